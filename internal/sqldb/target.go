package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// HasTable reports whether a database has a table of this name.
func HasTable(ctx context.Context, db *DB, t *Table) (bool, error) {
	found, err := db.Dialect.words().hasTable(ctx, db, t)
	if err != nil {
		return false, fmt.Errorf("look for table %s: %w", t.FullName(), Classify(err))
	}
	return found, nil
}

// HasRows reports whether a table has any row. It reads one at most.
func HasRows(ctx context.Context, db *DB, t *Table) (bool, error) {
	var found bool
	t, err := asItIs(ctx, db, t)
	if err == nil {
		err = queryValue(ctx, db, "SELECT EXISTS (SELECT 1 FROM "+t.from(db.Dialect)+walked+")", &found)
	}
	if err != nil {
		return false, fmt.Errorf("look for rows of %s: %w", t.FullName(), Classify(err))
	}
	return found, nil
}

func queryValue(ctx context.Context, db *DB, query string, value any) error {
	return queryRow(ctx, db, query, nil, value)
}

// SetSequences lets the database go on numbering where the source stopped: after the greatest value of the column, and
// after t.LastValue, the last number that the source gave out. It never goes back, and does nothing when run again. Tables
// without such a column are left alone.
func SetSequences(ctx context.Context, db *DB, t *Table) error {
	for i := range t.Columns {
		c := &t.Columns[i]
		if !c.Identity {
			continue
		}
		err := db.Dialect.words().setSequence(ctx, db, t, c)
		if err != nil {
			return fmt.Errorf("set the sequence of %s.%s: %w", t.FullName(), c.Name, Classify(err))
		}
	}
	return nil
}

func setPostgresSequence(ctx context.Context, db *DB, t *Table, c *Column) error {
	table := Postgres.QuoteTable(t.Schema, t.Name)
	// A column without a sequence gives no row; a sequence never used, in a table without positive values, stays as it is.
	_, err := db.Pool.Exec(ctx, fmt.Sprintf(`
		SELECT setval(q.seq, least(q.last, d.seqmax)) FROM (
			SELECT s.seq, greatest((SELECT max(%s) FROM %s)::int8, $3::int8, pg_sequence_last_value(s.seq)) AS last
			FROM (SELECT pg_get_serial_sequence($1, $2)::regclass AS seq) s WHERE s.seq IS NOT NULL) q
		JOIN pg_sequence d ON d.seqrelid = q.seq
		WHERE q.last >= d.seqmin`, Postgres.Quote(c.Name), table), table, c.Name, t.LastValue)
	return err
}

func setSQLiteSequence(ctx context.Context, db *DB, t *Table, c *Column) error {
	tx, err := db.SQL.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit this does nothing
	var made bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence')").Scan(&made); err != nil || !made {
		return err // without AUTOINCREMENT in the target there is nothing to set
	}
	var last *int64
	if err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT max(v) FROM (SELECT max(%s) AS v FROM %s UNION ALL SELECT ? UNION ALL "+
		"SELECT seq FROM sqlite_sequence WHERE name = ?)", SQLite.Quote(c.Name), SQLite.Quote(t.Name)), t.LastValue, t.Name).
		Scan(&last); err != nil {
		return err
	}
	if last == nil {
		return nil
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM sqlite_sequence WHERE name = ?", t.Name); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", t.Name, *last); err != nil {
		return err
	}
	return tx.Commit()
}

// CheckTarget compares a table that is there with the one that would be made: nil when it has the same columns, of kinds
// that can hold the values; keys and indexes may differ. Otherwise it is a permanent error that names each column that is
// missing, too many or of another kind, with what to do as its hint.
//
// Integers may be narrower, texts shorter and columns NOT NULL: a row that does not fit is set aside when it is loaded.
func CheckTarget(ctx context.Context, db *DB, t *Table) error {
	exists, err := HasTable(ctx, db, t)
	if err != nil {
		return err
	}
	if !exists {
		if all, err := Introspect(ctx, db, nil); err == nil && slices.Contains(all.Views, t.FullName()) {
			return tasks.Permanent(tasks.WithHint(nil, "rename or drop the view, or migrate into the tables that it shows",
				"%s is a view of the target, and rows go into tables", t.FullName()))
		}
		return tasks.Permanent(tasks.WithHint(nil, "let it be created, or check the name and the search_path", "the target has no table %s", t.FullName()))
	}
	have, err := there(ctx, db, t)
	if err != nil {
		return err
	}
	var wrong []string
	for i := range t.Columns {
		want := &t.Columns[i]
		c := columnThere(db, have, want.Name)
		switch {
		case c == nil:
			wrong = append(wrong, fmt.Sprintf("column %s (%s) is missing", want.Name, want.Type))
		case c.Generated:
			wrong = append(wrong, fmt.Sprintf("column %s is computed there and cannot be loaded", want.Name))
		case !Holds(c.Kind, want.Kind):
			wrong = append(wrong, fmt.Sprintf("column %s is %s, but would be %s", want.Name, typeWords(c), typeWords(want)))
		}
	}
	for i := range have.Columns {
		c := &have.Columns[i]
		if t.Column(c.Name) == nil && (!db.Dialect.words().foldsNames() || t.Column(columnNamed(t, c.Name)) == nil) {
			wrong = append(wrong, fmt.Sprintf("column %s (%s) is not in the source", c.Name, typeWords(c)))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return tasks.Permanent(tasks.WithHint(nil, "alter the table so that it fits, or rename or drop it and let it be created",
		"table %s is there already and differs: %s", t.FullName(), strings.Join(wrong, "; ")))
}

// there reads the definition of a table that a database has.
func there(ctx context.Context, db *DB, t *Table) (*Table, error) {
	found, err := Introspect(ctx, db, []string{t.FullName()})
	if err != nil {
		return nil, err
	}
	for i := range found.Tables { // a name with a dot in it may be two tables'
		if found.Tables[i].Schema == t.Schema && found.Tables[i].Name == t.Name {
			return &found.Tables[i], nil
		}
	}
	return &found.Tables[0], nil
}

// columnThere returns the column of a table in a database that is called like one of a definition; nil when there is none.
func columnThere(db *DB, have *Table, name string) *Column {
	c := have.Column(name)
	if c == nil && db.Dialect.words().foldsNames() {
		c = have.Column(columnNamed(have, name))
	}
	return c
}

// AsThere returns a table whose columns have the types that they have in a database, where somebody else may have made it:
// values are encoded for the column that they go into, and not for the one that would have been made.
func AsThere(ctx context.Context, db *DB, t *Table) (*Table, error) {
	have, err := there(ctx, db, t)
	if err != nil {
		return nil, err
	}
	as := cloneTable(t)
	for i := range as.Columns {
		c := &as.Columns[i]
		if h := columnThere(db, have, c.Name); h != nil {
			c.Type, c.Kind, c.Precision, c.Scale, c.Length, c.NotNull = h.Type, h.Kind, h.Precision, h.Scale, h.Length, h.NotNull
		}
	}
	return as, nil
}

func typeWords(c *Column) string {
	if c.Type == "" {
		return "without type"
	}
	return c.Type
}

// Holds reports whether a column of one kind can take the values of another, apart from single values that do not fit.
func Holds(have, want Kind) bool {
	if have == want || have == KindText && want != KindBytes {
		return true
	}
	return slices.Contains(wider[want], have)
}

// wider lists the kinds that take the values of a kind, apart from itself and text.
var wider = map[Kind][]Kind{
	KindBool:    {KindInt16, KindInt32, KindInt64, KindNumeric},
	KindInt16:   {KindInt32, KindInt64, KindNumeric},
	KindInt32:   {KindInt16, KindInt64, KindNumeric},
	KindInt64:   {KindInt16, KindInt32, KindNumeric},
	KindFloat32: {KindFloat64, KindNumeric},
	KindFloat64: {KindFloat32, KindNumeric},
	// A text that people kept something else in goes through that type's own text form.
	KindText:        {KindDate, KindTime, KindTimestamp, KindTimestampTZ, KindUUID, KindJSON, KindNumeric, KindOther},
	KindDate:        {KindTimestamp, KindTimestampTZ},
	KindTimestamp:   {KindTimestampTZ},
	KindTimestampTZ: {KindTimestamp},
	KindUUID:        {KindOther},
	KindJSON:        {KindOther},
}
