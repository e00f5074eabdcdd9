package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nakagami/firebirdsql"
	"github.com/stint-run/stint/tasks"
)

// firebirdDialect is Firebird, 2.5 and later, as a source.
type firebirdDialect struct{ sourceOnly }

// fbPlace is the name of the place of a row, 8 bytes that can be compared and ordered. Firebird 3 reads the whole table to
// find a range of them; later versions go there.
const fbPlace = "RDB$DB_KEY"

func (firebirdDialect) system() (name, loading string) { return "firebirdsql", "INSERT" }
func (firebirdDialect) foldsNames() bool               { return false }
func (firebirdDialect) enforces() bool                 { return true }
func (firebirdDialect) quote(name string) string       { return quoteDouble(name) }
func (firebirdDialect) literal(text string) string     { return quoteSingle(text) }

func (firebirdDialect) urls() (schemes []string, form string) {
	return []string{"firebird"}, "firebird://USER:PASSWORD@HOST:PORT/PATH"
}

func (firebirdDialect) parseURL(_, url string) (Location, error) { return parseFirebird(url) }

func (firebirdDialect) open(ctx context.Context, at Location, opts Options) (*DB, error) {
	return openFirebird(ctx, at, opts)
}

func (firebirdDialect) ping(ctx context.Context, db *DB) error {
	return explainFirebird(db.Location, db.SQL.PingContext(ctx))
}

func (firebirdDialect) querier(db *DB) querier {
	return placed{q: sqlQuerier{db.SQL}, write: func(int) string { return "?" }}
}

// fbSaid returns the error of the server in a chain, and nil where there is none.
func fbSaid(err error) *firebirdsql.FbError {
	var said *firebirdsql.FbError
	if !errors.As(err, &said) {
		return nil
	}
	return said
}

// fbHas reports whether an error of the server holds one of these codes.
func fbHas(said *firebirdsql.FbError, codes ...int) bool {
	return said != nil && slices.ContainsFunc(said.GDSCodes, func(code int) bool { return slices.Contains(codes, code) })
}

func (firebirdDialect) classify(err error) (error, bool) {
	said := fbSaid(err)
	switch {
	case said == nil:
		return err, false
	case fbHas(said, firebirdsql.ISCDeadlock, firebirdsql.ISCUpdateConflict, firebirdsql.ISCLockConflict, firebirdsql.ISCLockTimeout):
		return tasks.RetryAfter(err, lockPatience), true
	case fbHas(said, firebirdsql.ISCShutdown, firebirdsql.ISCNetworkError, firebirdsql.ISCNetReadErr, firebirdsql.ISCNetWriteErr, firebirdsql.ISCLostDbConnection, firebirdsql.ISCAttShutdown, firebirdsql.ISCUnavailable):
		return tasks.RetryAfter(tasks.WithHint(err, "nothing is lost; the step goes on when the server is back", "the server ended the session"), aWhile()), true
	case fbHas(said, firebirdsql.ISCNoPriv):
		return tasks.Permanent(tasks.WithHint(err, "GRANT SELECT on it to the user of this connection, or name the role in the URL (?role=)",
			"the user may not do this")), true
	case fbHas(said, firebirdsql.ISCDsqlRelationErr, firebirdsql.ISCDsqlFieldErr):
		return tasks.Permanent(tasks.WithHint(err, "was the schema changed? plan again", "a table or column is not there")), true
	}
	return err, true
}

// rowFault has nothing to say: rows are only read.
func (firebirdDialect) rowFault(error) (code, reason, column string, ok bool) {
	return "", "", "", false
}

func (firebirdDialect) lacksTable(err error, _ string) bool {
	return fbHas(fbSaid(err), firebirdsql.ISCDsqlRelationErr)
}
func (firebirdDialect) lockTimeout(err error) bool {
	return fbHas(fbSaid(err), firebirdsql.ISCLockTimeout)
}

func (firebirdDialect) introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	return introspectFirebird(ctx, db, only)
}

func (firebirdDialect) from(t *Table) string { return quoteDouble(t.Name) }
func (firebirdDialect) binary(Kind) bool     { return false }

// expression lets the server write what the driver, or we, cannot read: text of a character set that is not known here, and
// times of day with a zone.
func (firebirdDialect) expression(s selected, t *Table) string {
	switch {
	case s.column == nil:
		return "stint_t." + t.RowID
	case s.column.Kind == KindOther:
		return "CAST(" + quoteDouble(s.column.Name) + " AS VARCHAR(64))"
	}
	if _, known := fbCoderOf(s.column.Type); !known {
		if base, _, _ := fbTextOf(s.column.Type); strings.HasPrefix(base, "BLOB") {
			return "CAST(" + quoteDouble(s.column.Name) + " AS BLOB SUB_TYPE TEXT CHARACTER SET UTF8)"
		}
		return fmt.Sprintf("CAST(%s AS VARCHAR(%d) CHARACTER SET UTF8)", quoteDouble(s.column.Name), max(s.column.Length, 1))
	}
	return quoteDouble(s.column.Name)
}

// rows reads within a snapshot: a query alone sees, in Firebird 3, what others commit while it runs.
func (firebirdDialect) rows(ctx context.Context, db *DB, expressions []string, rest string, args []any, cols []selected) (rowSource, error) {
	tx, err := db.SQL.BeginTx(ctx, fbSnapshot)
	if err != nil {
		return nil, err
	}
	rows, err := readSQL(ctx, tx, "SELECT "+strings.Join(expressions, ", ")+rest, args, cols, nil)
	if err != nil {
		_ = tx.Rollback() // nothing was written
		return nil, err
	}
	rows.end = tx.Rollback
	for i := range rows.scan {
		if c := rows.scan[i].column; c != nil {
			rows.scan[i].convert = fbConverter(c)
		}
	}
	return rows, nil
}

// fbSnapshot begins a transaction that sees the database as it was then. For the driver a read-only transaction is READ
// COMMITTED, whatever is asked; so ours could write, and does not.
var fbSnapshot = &sql.TxOptions{Isolation: sql.LevelRepeatableRead}

// fbConverter returns what turns the driver's values of a column into ours, nil where they are the same. Blanks at the end of
// CHAR are padding: for Firebird they are no part of the value.
func fbConverter(c *Column) func(c *Column, v any) (any, error) {
	switch c.Kind {
	case KindFloat32:
		return func(_ *Column, v any) (any, error) {
			if f, ok := v.(float64); ok {
				return float32(f), nil
			}
			return v, nil
		}
	case KindText:
	default:
		return nil
	}
	coder, known := fbCoderOf(c.Type)
	if !known {
		coder = fbCoder{} // the server has decoded it
	}
	pad := strings.HasPrefix(c.Type, "CHAR(")
	var buf []byte
	return func(_ *Column, v any) (any, error) {
		var b []byte
		switch x := v.(type) {
		case string:
			b = viewBytes(x)
		case []byte:
			b = x
		default:
			return v, nil
		}
		if pad {
			for len(b) > 0 && b[len(b)-1] == ' ' {
				b = b[:len(b)-1]
			}
		}
		var text []byte
		text, buf = coder.decode(b, buf)
		return text, nil
	}
}

// place casts an argument to the widest type of its kind, so that one which the column cannot hold is greater or less, and no
// error.
func (firebirdDialect) place(_ int, c *Column) string {
	switch c.Kind {
	case KindFloat32:
		return "CAST(? AS FLOAT)"
	case KindFloat64:
		return "CAST(? AS DOUBLE PRECISION)"
	}
	return "?"
}

// keyLiteral writes all but floats into the query. Arguments of a statement have 64 kB together, which a few hundred keys of
// text would not fit into, and one that is longer than its column is an error.
func (firebirdDialect) keyLiteral(c *Column, v any) (string, bool) {
	switch x := v.(type) {
	case int64:
		if c.Kind == KindBool {
			return strings.ToUpper(strconv.FormatBool(x != 0)), true
		}
		return strconv.FormatInt(x, 10), true
	case []byte:
		return "x'" + hex.EncodeToString(x) + "'", true
	case string:
		switch c.Kind {
		case KindDate, KindTime, KindTimestamp:
			return strings.ToUpper(string(c.Kind)) + " " + quoteSingle(x), true
		case KindTimestampTZ:
			return "TIMESTAMP " + quoteSingle(x), true
		case KindText:
			_, charset, _ := fbTextOf(c.Type)
			coder, known := fbCoderOf(c.Type)
			if !known {
				charset = "UTF8"
			}
			return "_" + charset + " x'" + hex.EncodeToString(coder.encode(x)) + "'", true
		case KindNumeric:
			var d decimal
			if d.parse(x) {
				return x, true
			}
		}
		return quoteSingle(x), true
	}
	return "", false
}

func (firebirdDialect) rowValues() bool               { return false }
func (firebirdDialect) valuesList() (string, bool)    { return "", false }
func (firebirdDialect) integers(*Table, *Column) bool { return false }
func (firebirdDialect) page(n, skip int) (string, string) {
	return fmt.Sprintf("FIRST %d SKIP %d ", n, skip), ""
}

// fbPlaceChunks is how many chunks a table without a key is cut into at most: each is a search through all of it.
const fbPlaceChunks = 64

// boundaries walks the key: the greatest value of a column is no quick find here, as an index of Firebird runs one way.
func (firebirdDialect) boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	if w.Kind == WalkRowID {
		rows = max(rows, int(t.Rows/fbPlaceChunks))
	}
	return keysetBoundaries(ctx, db, t, w, after, rows, limit)
}

// parseDefault knows the words for the current time that are written as texts; introspection has taken them apart already.
func (firebirdDialect) parseDefault(string) (literal, bool) { return literal{}, false }
