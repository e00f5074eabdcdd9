package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// mysqlDialect is MySQL and MariaDB, whose sessions are set up by openMySQL: names in backticks, no backslashes in literals.
type mysqlDialect struct{}

func (mysqlDialect) system() (name, loading string) { return "mysql", "INSERT" }

// foldsNames takes the safe side: columns are the same in any case, and tables are on some servers.
func (mysqlDialect) foldsNames() bool           { return true }
func (mysqlDialect) enforces() bool             { return true }
func (mysqlDialect) literal(text string) string { return quoteSingle(text) }
func (mysqlDialect) quote(name string) string {
	return "`" + strings.ReplaceAll(name, "`", "``") + "`"
}

// longestKey is none: the ledger's keys are hashes there.
func (mysqlDialect) longestKey() int { return 0 }

func (mysqlDialect) longestName() (n int, characters bool, words string) {
	return 64, true, "MySQL keeps"
}

func (mysqlDialect) urls() (schemes []string, form string) {
	return []string{"mysql", "mariadb"}, mysqlForm
}

func (mysqlDialect) parseURL(scheme, url string) (Location, error) { return parseMySQL(scheme, url) }

func (mysqlDialect) open(ctx context.Context, at Location, opts Options) (*DB, error) {
	return openMySQL(ctx, at, opts)
}

func (mysqlDialect) ping(ctx context.Context, db *DB) error {
	return explainMySQL(db.Location, db.SQL.PingContext(ctx))
}

// mysqlPlace writes the place of an argument, as the driver understands it.
func mysqlPlace(int) string { return "?" }

func (mysqlDialect) querier(db *DB) querier { return placed{sqlQuerier{db.SQL}, mysqlPlace} }

func (mysqlDialect) transaction(ctx context.Context, db *DB, do func(q querier) error) error {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer releaseLocks(ctx, conn) // those of lockStage, which belong to the session and not to the transaction
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(placed{sqlQuerier{tx}, mysqlPlace}); err != nil {
		return err
	}
	return tx.Commit()
}

// releaseLocks gives back the named locks of a session. Where that fails the session is ended, and its locks with it.
func releaseLocks(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "DO RELEASE_ALL_LOCKS()"); err != nil {
		endSession(conn)
	}
}

func (mysqlDialect) introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	return introspectMySQL(ctx, db, only)
}

func (mysqlDialect) from(t *Table) string { return MySQL.QuoteTable(t.Schema, t.Name) }
func (mysqlDialect) binary(Kind) bool     { return false }

// expression reads what the text form of a type would lose or bend: the digits of a FLOAT, the number in a BIT.
func (mysqlDialect) expression(s selected, t *Table) string {
	if s.column == nil {
		return t.RowID
	}
	name := MySQL.Quote(s.column.Name)
	switch {
	case s.column.Kind == KindFloat32:
		return name + " + 0e0"
	case strings.HasPrefix(s.column.Type, "bit"):
		return name + " + 0"
	case s.column.Kind == KindOther:
		return "CAST(" + name + " AS CHAR)"
	}
	return name
}

func (mysqlDialect) rows(ctx context.Context, db *DB, expressions []string, rest string, args []any, cols []selected) (rowSource, error) {
	return querySQL(ctx, db, "SELECT "+strings.Join(expressions, ", ")+rest, args, cols, mysqlValue)
}

// mysqlValue narrows what was read as a double to the FLOAT that it is, and takes a hash as the text it is.
func mysqlValue(c *Column, v any) (any, error) {
	switch x := v.(type) {
	case float64:
		if c != nil && c.Kind == KindFloat32 {
			return float32(x), nil
		}
	case []byte:
		if c == nil {
			return viewString(x), nil
		}
	}
	return v, nil
}

// place lets numbers be compared as decimals: a text would make doubles of both.
func (mysqlDialect) place(_ int, c *Column) string {
	if c.Kind == KindNumeric && c.Precision > 0 {
		return fmt.Sprintf("CAST(? AS DECIMAL(%d,%d))", c.Precision, c.Scale)
	}
	if c.Kind == KindFloat32 { // a float equals no double but itself: 0.1 is none
		return "CAST(? AS FLOAT)"
	}
	return "?"
}

// rowValues is no, as row values are compared row by row there, past every index.
func (mysqlDialect) rowValues() bool { return false }

// valuesList is no, as MariaDB finds lists of rows in no index.
func (mysqlDialect) valuesList() (word string, ok bool)   { return "", false }
func (mysqlDialect) page(n, skip int) (head, tail string) { return "", limitOffset(n, skip) }
func (mysqlDialect) integers(_ *Table, c *Column) bool    { return c != nil && isIntKind(c.Kind) }
func (mysqlDialect) boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	if w.Kind == WalkRowID {
		return nil, nil // sorted by a hash: to find a border would sort the table once more
	}
	return denseOrKeyset(ctx, db, t, w, after, rows, limit)
}

// parseDefault understands b'1' and the current time with its digits.
func (mysqlDialect) parseDefault(e string) (literal, bool) {
	upper := strings.ToUpper(bare(e, false))
	if digits, ok := strings.CutPrefix(upper, "B'"); ok && strings.HasSuffix(digits, "'") {
		n := int64(0)
		for _, c := range strings.TrimSuffix(digits, "'") {
			n = n<<1 | int64(c-'0')
		}
		return literal{litNumber, fmt.Sprint(n)}, true
	}
	name, _, call := strings.Cut(upper, "(")
	switch {
	case !call && upper != "CURRENT_TIMESTAMP":
	case name == "CURRENT_TIMESTAMP" || name == "NOW" || name == "LOCALTIMESTAMP":
		return literal{litNow, "timestamp"}, true
	case name == "CURDATE" || name == "CURRENT_DATE":
		return literal{litNow, "date"}, true
	case name == "CURTIME" || name == "CURRENT_TIME":
		return literal{litNow, "time"}, true
	}
	return literal{}, false
}
