package sqldb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/stint-run/stint/tasks"
)

// sqliteDialect is SQLite. Its types are advice, and what a column is compared with follows its affinity.
type sqliteDialect struct{}

func (sqliteDialect) system() (name, loading string)                      { return "sqlite", "INSERT" }
func (sqliteDialect) foldsNames() bool                                    { return true }
func (sqliteDialect) enforces() bool                                      { return false }
func (sqliteDialect) quote(name string) string                            { return quoteDouble(name) }
func (sqliteDialect) literal(text string) string                          { return quoteSingle(text) }
func (sqliteDialect) longestName() (n int, characters bool, words string) { return 0, false, "" }
func (sqliteDialect) longestKey() int                                     { return 0 }

func (sqliteDialect) urls() (schemes []string, form string) {
	return []string{"sqlite"}, "sqlite:FILE"
}

func (sqliteDialect) parseURL(_, url string) (Location, error) {
	return parseSQLite(url[len("sqlite:"):])
}

func (sqliteDialect) open(ctx context.Context, at Location, opts Options) (*DB, error) {
	return openSQLite(ctx, at, opts)
}

// ping reads the schema's version, which is in the first page: a ping alone does not touch the file.
func (sqliteDialect) ping(ctx context.Context, db *DB) error {
	var version int64
	return explainSQLite(db.Location, db.SQL.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version))
}

func (sqliteDialect) querier(db *DB) querier { return sqlQuerier{db.SQL} }

func (sqliteDialect) transaction(ctx context.Context, db *DB, do func(q querier) error) error {
	tx, err := db.SQL.BeginTx(ctx, nil) // the connection's _txlock makes it BEGIN IMMEDIATE
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if err := do(sqlQuerier{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

func (sqliteDialect) classify(err error) (error, bool) {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return err, false
	}
	return classifySQLite(err, lite.Code()), true
}

func (sqliteDialect) rowFault(err error) (code, reason, column string, ok bool) {
	var lite *sqlite.Error
	if !errors.As(err, &lite) {
		return "", "", "", false
	}
	switch lite.Code() & 0xff {
	case sqlitelib.SQLITE_CONSTRAINT:
		code = "SQLITE_CONSTRAINT"
	case sqlitelib.SQLITE_MISMATCH:
		code = "SQLITE_MISMATCH"
	case sqlitelib.SQLITE_TOOBIG:
		code = "SQLITE_TOOBIG"
	default:
		return "", "", "", false
	}
	return code, lite.Error(), "", true
}

func (sqliteDialect) lacksTable(err error, table string) bool {
	return sqliteCode(err) == sqlitelib.SQLITE_ERROR && strings.Contains(err.Error(), "no such table: "+table)
}

func (sqliteDialect) lockTimeout(error) bool { return false }

func (sqliteDialect) introspect(ctx context.Context, db *DB, only []string) (*Schema, error) {
	return introspectSQLite(ctx, db, only)
}

func (d sqliteDialect) from(t *Table) string { return SQLite.QuoteTable(t.Schema, t.Name) }
func (sqliteDialect) binary(Kind) bool       { return false }

// expression hides the declared type of a column, by which the driver would bend its values. The quotes are those of MySQL: what
// stands in double quotes and is no column, as it was renamed since, SQLite would take for a text.
func (sqliteDialect) expression(s selected, t *Table) string {
	if s.column == nil {
		return t.RowID
	}
	return "+`" + strings.ReplaceAll(s.column.Name, "`", "``") + "`"
}

func (sqliteDialect) rows(ctx context.Context, db *DB, expressions []string, rest string, args []any, _ []selected) (rowSource, error) {
	return openSQLiteRows(ctx, db, expressions, rest, args)
}

func (sqliteDialect) place(int, *Column) string { return "?" }
func (sqliteDialect) rowValues() bool           { return true }

func (sqliteDialect) valuesList() (word string, ok bool) { return "VALUES ", true }

func (sqliteDialect) page(n, skip int) (head, tail string) { return "", limitOffset(n, skip) }

// integers knows that a column which is declared so may hold anything, unless it is the rowid itself.
func (sqliteDialect) integers(t *Table, c *Column) bool { return c == nil || isRowIDAlias(t, c) }

func (d sqliteDialect) boundaries(ctx context.Context, db *DB, t *Table, w Walk, after RowKey, rows, limit int) ([]RowKey, error) {
	return denseOrKeyset(ctx, db, t, w, after, rows, limit)
}

// parseDefault takes a bare word for a string, as SQLite does.
func (sqliteDialect) parseDefault(e string) (literal, bool) {
	return literal{litText, e}, wordText.MatchString(e)
}

func (sqliteDialect) mapColumn(m *schemaMap, i, j int) {
	t := &m.dst.Tables[i]
	c := &t.Columns[j]
	if c.Kind == KindOther {
		m.note("Column %s of table %s becomes text: SQLite has no %s.", c.Name, t.FullName(), c.Type)
	}
	toSQLiteType(c)
}

func (sqliteDialect) mapRows(m *schemaMap, i int) {
	t := &m.dst.Tables[i]
	t.RowID = freeRowID(t)
	for j := range t.Columns {
		c := &t.Columns[j]
		if !c.Identity {
			continue
		}
		if t.PrimaryKey != nil && len(t.PrimaryKey.Columns) == 1 && t.PrimaryKey.Columns[0] == c.Name {
			c.Type, t.Autoincr = "INTEGER", true
			continue
		}
		c.Identity, t.LastValue = false, nil
		m.note("Column %s of table %s no longer gets its values by itself: SQLite does that for a key of one column only.",
			c.Name, t.FullName())
	}
}

func (sqliteDialect) hasSchemas() bool       { return false }
func (sqliteDialect) sharesNames() bool      { return true }
func (sqliteDialect) namesKeys() bool        { return false }
func (sqliteDialect) partialIndexes() bool   { return true }
func (sqliteDialect) strictReferences() bool { return false }

// taken avoids the names that SQLite keeps for itself.
func (sqliteDialect) taken(name string, what nameOf) string {
	if what == nameOfColumn || !strings.HasPrefix(strings.ToLower(name), "sqlite_") {
		return name
	}
	if what == nameOfIndex {
		return "i_" + name
	}
	return "t_" + name
}

func (sqliteDialect) writeDefault(l literal, kind Kind) string { return l.in(SQLite, kind) }

// ownDefault writes a string as such: SQLite takes "x", and even x, as a string in a default, but not within the parentheses
// that we write.
func (sqliteDialect) ownDefault(e string, l literal) string {
	if l.kind == litText {
		return SQLite.Literal(l.text)
	}
	return e
}

func (sqliteDialect) createTypes(*Schema) []Statement           { return nil }
func (sqliteDialect) createTable(t *Table) []string             { return createSQLiteTable(t) }
func (sqliteDialect) createIndexes(t *Table) []Statement        { return createSQLiteIndexes(t) }
func (sqliteDialect) made(error) bool                           { return false }
func (sqliteDialect) asItIs(context.Context, *DB, *Table) error { return nil }

func (sqliteDialect) hasTable(ctx context.Context, db *DB, t *Table) (found bool, err error) {
	err = db.SQL.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE)",
		t.Name).Scan(&found)
	return found, err
}

// checkLoadable refuses a table whose triggers do something else with its rows. Foreign keys are not enforced in our sessions.
func (sqliteDialect) checkLoadable(ctx context.Context, db *DB, t *Table) error {
	var found, undo []string
	err := db.queryAll(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND lower(tbl_name) = lower($1) ORDER BY name", []any{t.Name},
		func(scan func(...any) error) error {
			var name, sql string
			err := scan(&name, &sql)
			if insertTrigger.MatchString(sql) {
				found, undo = append(found, "trigger "+name), append(undo, "DROP TRIGGER "+SQLite.Quote(name)+";")
			}
			return err
		})
	if err != nil {
		return fmt.Errorf("look for triggers of %s: %w", t.FullName(), Classify(err))
	}
	if len(found) == 0 {
		return nil
	}
	return tasks.Permanent(tasks.WithHint(nil, "take them away for the load: "+strings.Join(undo, " ")+" Make them again afterwards",
		"table %s of the target, whose rows are still to come, has %s", t.FullName(), strings.Join(found, ", ")))
}

// insertTrigger finds the event in the definition of a trigger; no statement has these words.
var insertTrigger = regexp.MustCompile(`(?i)\binsert\s+on\b`)

func (sqliteDialect) refer(ctx context.Context, db *DB, t *Table) ([]Orphans, error) {
	return orphansOfSQLite(ctx, db, t)
}

func (sqliteDialect) setSequence(ctx context.Context, db *DB, t *Table, c *Column) error {
	if !t.Autoincr {
		return nil
	}
	return setSQLiteSequence(ctx, db, t, c)
}

func (sqliteDialect) ensureLedger(ctx context.Context, db *DB) error {
	var n int
	err := db.SQL.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ("+ledgerNames()+")").Scan(&n)
	if err != nil || n == len(ledgerTables) {
		return err
	}
	words := strings.NewReplacer("@TIME", "text", "@NOW", "(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
	_, err = db.SQL.ExecContext(ctx, "BEGIN IMMEDIATE;\n"+createLedger(words.Replace)+"COMMIT")
	return err
}

// lockStage has nothing to do: a transaction that writes has the whole file.
func (sqliteDialect) lockStage(context.Context, querier, string, string) error { return nil }

func (sqliteDialect) insertNew(insert, key string) string {
	return insert + " ON CONFLICT (" + key + ") DO NOTHING"
}

func (sqliteDialect) upsert(insert, key string, set ...string) string {
	return overwriting(insert, key, set)
}

func (sqliteDialect) checksEachRow() bool { return false }

func (sqliteDialect) lockRows() string { return "" }

func (sqliteDialect) referred(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code() == sqlitelib.SQLITE_CONSTRAINT_FOREIGNKEY || lite.Code() == sqlitelib.SQLITE_CONSTRAINT_TRIGGER)
}

func (sqliteDialect) unsettled(err error) bool {
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE
}

func (sqliteDialect) lockingRead() string             { return "" }
func (sqliteDialect) bigint(expression string) string { return "CAST(" + expression + " AS bigint)" }
func (sqliteDialect) encoding() encoding              { return encodeValues }

func (sqliteDialect) sink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (loadSink, error) {
	return newSQLiteSink(ctx, db, m, opts)
}

// endRivals has nothing to end: the lock goes with the process.
func (sqliteDialect) endRivals(context.Context, *DB, string, string, string) (int, error) {
	return 0, nil
}

// limitOffset is how most databases limit a query.
func limitOffset(n, skip int) string { return fmt.Sprintf(" LIMIT %d OFFSET %d", n, skip) }
