package sqldb

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	mssql "github.com/microsoft/go-mssqldb"
	"github.com/stint-run/stint/tasks"
)

// sqlserverDialect is Microsoft SQL Server, 2012 and later, as a source. It was written by the documentation: this project
// has not run it against a server.
type sqlserverDialect struct{ sourceOnly }

// msPlace is the name of the place of a row, 8 bytes that can be compared and ordered. It is known to many, and documented
// nowhere.
const msPlace = "%%physloc%%"

func (sqlserverDialect) system() (name, loading string) { return "microsoft.sql_server", "INSERT" }

// foldsNames holds for the usual collations; a database of a case-sensitive one may have two tables that differ by case.
func (sqlserverDialect) foldsNames() bool { return true }
func (sqlserverDialect) enforces() bool   { return true }

func (sqlserverDialect) quote(name string) string {
	return "[" + strings.ReplaceAll(name, "]", "]]") + "]"
}

func (sqlserverDialect) literal(text string) string { return "N" + quoteSingle(text) }

func (sqlserverDialect) urls() (schemes []string, form string) {
	return []string{"sqlserver"}, "sqlserver://USER:PASSWORD@HOST:PORT?database=DATABASE"
}

func (sqlserverDialect) parseURL(_, url string) (Location, error) { return parseSQLServer(url) }

func (sqlserverDialect) open(ctx context.Context, at Location, opts Options) (*DB, error) {
	return openSQLServer(ctx, at, opts)
}

func (sqlserverDialect) ping(ctx context.Context, db *DB) error {
	return explainSQLServer(db.Location, db.SQL.PingContext(ctx))
}

func (sqlserverDialect) querier(db *DB) querier {
	return placed{q: sqlQuerier{db.SQL}, write: func(n int) string { return "@p" + strconv.Itoa(n) }}
}

// msNumber returns the number of an error of SQL Server in a chain, and 0 when there is none.
func msNumber(err error) int32 {
	var said mssql.Error
	if !errors.As(err, &said) {
		return 0
	}
	return said.Number
}

func (sqlserverDialect) classify(err error) (error, bool) {
	switch msNumber(err) {
	case 0:
		return err, false
	case 1205, 1222, 3960, 3961, 41302, 41305, 41325: // deadlock, lock timeout, snapshot conflicts
		return tasks.RetryAfter(err, lockPatience), true
	case 4060, 40197, 40501, 40540, 40613, 49918, 49919, 49920, 10928, 10929, 10053, 10054, 10060, 6005, 17142:
		return tasks.RetryAfter(tasks.WithHint(err, "nothing is lost; the step goes on when the server is back", "the server is not to be had at the moment"), aWhile()), true
	case 229, 230, 262, 297, 300, 916:
		return tasks.Permanent(tasks.WithHint(err, "GRANT SELECT on it, and VIEW DEFINITION, to the user of this connection", "the user may not do this")), true
	case 207, 208, 4902, 2812:
		return tasks.Permanent(tasks.WithHint(err, "was the schema changed? plan again", "a table or column is not there")), true
	case 3952, 3953, 3957, 41332, 41333:
		return tasks.Permanent(tasks.WithHint(err, "ALTER DATABASE ... SET ALLOW_SNAPSHOT_ISOLATION ON, in each database that the query reads",
			"what is read cannot be read under SNAPSHOT isolation")), true
	}
	return err, true
}

// rowFault has nothing to say: rows are only read.
func (sqlserverDialect) rowFault(error) (code, reason, column string, ok bool) {
	return "", "", "", false
}

func (sqlserverDialect) lacksTable(err error, _ string) bool { return msNumber(err) == 208 }
func (sqlserverDialect) lockTimeout(err error) bool          { return msNumber(err) == 1222 }

func (sqlserverDialect) introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	return introspectSQLServer(ctx, db, only)
}

func (sqlserverDialect) from(t *Table) string { return SQLServer.QuoteTable(t.Schema, t.Name) }
func (sqlserverDialect) binary(Kind) bool     { return false }

func (sqlserverDialect) expression(s selected, t *Table) string {
	if s.column == nil {
		return "stint_t." + t.RowID
	}
	return msExpression(s.column)
}

func (sqlserverDialect) rows(ctx context.Context, db *DB, expressions []string, rest string, args []any, cols []selected) (rowSource, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := readSQL(ctx, conn, "SELECT "+strings.Join(expressions, ", ")+rest, args, cols, nil)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	rows.end = conn.Close
	for i := range rows.scan {
		if c := rows.scan[i].column; c != nil {
			rows.scan[i].convert = msConverter(c)
		}
	}
	return rows, nil
}

// place casts an argument to the type of its column: what the driver sends has a type of its own, and where that counts for
// more the server would convert the column instead, past its index.
func (sqlserverDialect) place(n int, c *Column) string {
	place := "@p" + strconv.Itoa(n)
	switch c.Kind {
	case KindFloat32:
		return "CAST(" + place + " AS real)"
	case KindFloat64:
		return "CAST(" + place + " AS float)"
	}
	return place
}

// keyLiteral writes all but floats into the query, whose arguments could be 2,100 at most, and as the type of the column. Text
// is written as its bytes: in a string a backslash at the end of a line would join it with the next.
func (sqlserverDialect) keyLiteral(c *Column, v any) (string, bool) {
	name, full, collation := msTypeOf(c.Type)
	switch x := v.(type) {
	case int64:
		return strconv.FormatInt(x, 10), true
	case []byte:
		return "0x" + hex.EncodeToString(x), true
	case string:
		switch c.Kind {
		case KindUUID:
			return "CAST(" + quoteSingle(x) + " AS uniqueidentifier)", true
		case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
			// Only with a T between them are day and time read the same in every language.
			return "CAST(" + quoteSingle(strings.Replace(x, " ", "T", 1)) + " AS " + full + ")", true
		case KindNumeric:
			if name == "money" || name == "smallmoney" {
				return "CAST(" + x + " AS " + name + ")", true
			}
			return x, true
		}
		text := "CAST(0x" + hexUTF16(x) + " AS nvarchar(4000))"
		if (name == "char" || name == "varchar") && collation != "" {
			return "CAST(" + text + msCollate + collation + " AS varchar(8000))", true
		}
		return text, true
	}
	return "", false
}

// hexUTF16 returns text as nvarchar keeps it, in hexadecimal digits.
func hexUTF16(s string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return hex.EncodeToString(b)
}

func (sqlserverDialect) rowValues() bool            { return false }
func (sqlserverDialect) valuesList() (string, bool) { return "", false }

func (sqlserverDialect) page(n, skip int) (head, tail string) {
	return "", fmt.Sprintf(" OFFSET %d ROWS FETCH NEXT %d ROWS ONLY", skip, n)
}

func (sqlserverDialect) integers(_ *Table, c *Column) bool { return c != nil && isIntKind(c.Kind) }

func (sqlserverDialect) boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	if w.Kind == WalkRowID {
		// Each chunk is a search through the whole table.
		return keysetBoundaries(ctx, db, t, w, after, max(rows, int(t.Rows/fbPlaceChunks)), limit)
	}
	return denseOrKeyset(ctx, db, t, w, after, rows, limit)
}

// msTimes are the words for the current time that only SQL Server has, in upper case.
var msTimes = map[string]string{"GETDATE()": "timestamp", "SYSDATETIME()": "timestamp", "GETUTCDATE()": "timestamp", "SYSUTCDATETIME()": "timestamp",
	"SYSDATETIMEOFFSET()": "timestamp"}

// parseDefault knows the current time, and texts of nvarchar.
func (sqlserverDialect) parseDefault(e string) (literal, bool) {
	if now, ok := msTimes[squeeze(e)]; ok {
		return literal{litNow, now}, true
	}
	if len(e) > 2 && (e[0] == 'N' || e[0] == 'n') && e[1] == '\'' && afterQuoted(e, 1) == len(e) {
		return literal{litText, strings.ReplaceAll(e[2:len(e)-1], "''", "'")}, true
	}
	return literal{}, false
}
