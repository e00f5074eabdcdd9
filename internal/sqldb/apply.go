package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stint-run/stint/tasks"
)

// EnsureTypes makes the enum types that tables need, where they are not there yet.
func EnsureTypes(ctx context.Context, db *DB, enums []Enum) error {
	for _, s := range db.Dialect.words().createTypes(&Schema{Dialect: db.Dialect, Enums: enums}) {
		if err := db.exec(ctx, s.SQL); err != nil {
			return fmt.Errorf("create type %s: %w", s.Name, Classify(err))
		}
	}
	return nil
}

// EnsureTable makes a table where it is not there yet; one that is there must be able to hold what is to come (CheckTarget).
// It may be run again, and by rivals at the same time.
func EnsureTable(ctx context.Context, db *DB, t *Table) error {
	for _, sql := range CreateTable(t, db.Dialect) {
		if err := db.exec(ctx, sql); err != nil {
			return fmt.Errorf("create table %s: %w", t.FullName(), Classify(err))
		}
	}
	return CheckTarget(ctx, db, t)
}

// CheckLoadable refuses a table that cannot take its rows in any order, or does something else with them: a table of PostgreSQL
// that has foreign keys or triggers before its rows are loaded. Children may come before their parents, and would be set aside.
func CheckLoadable(ctx context.Context, db *DB, t *Table) error {
	return db.Dialect.words().checkLoadable(ctx, db, t)
}

func checkPostgresLoadable(ctx context.Context, db *DB, t *Table) error {
	table := Postgres.QuoteTable(t.Schema, t.Name)
	var found, undo []string
	err := db.queryAll(ctx, `
		SELECT 'foreign key ' || conname, format('ALTER TABLE %s DROP CONSTRAINT %I;', $1::text, conname)
		FROM pg_constraint c WHERE conrelid = to_regclass($1) AND contype = 'f' AND coalesce((to_jsonb(c) ->> 'conenforced')::bool, true)
		UNION ALL
		SELECT 'trigger ' || tgname, format('ALTER TABLE %s DISABLE TRIGGER %I;', $1::text, tgname)
		FROM pg_trigger WHERE tgrelid = to_regclass($1) AND NOT tgisinternal AND tgenabled IN ('O', 'A')
		ORDER BY 1`, []any{table}, func(scan func(...any) error) error {
		var what, sql string
		err := scan(&what, &sql)
		found, undo = append(found, what), append(undo, sql)
		return err
	})
	if err != nil {
		return fmt.Errorf("look for foreign keys of %s: %w", t.FullName(), Classify(err))
	}
	if len(found) == 0 {
		return nil
	}
	return tasks.Permanent(tasks.WithHint(nil, "take them away for the load: "+strings.Join(undo, " ")+
		" The foreign keys of the source are added when all rows are there; enable triggers afterwards",
		"table %s of the target, whose rows are still to come, has %s", t.FullName(), strings.Join(found, ", ")))
}

// FinishTable makes the unique keys and indexes of a loaded table, and sets its sequences. It may be run again; when ctx ends
// in the middle of an index, that index is made from its beginning the next time. It returns what to tell people of indexes that are
// left out because no index of the server holds what is in the rows: one that is not unique is there for speed alone.
func FinishTable(ctx context.Context, db *DB, t *Table) (leftOut []string, err error) {
	for _, s := range CreateIndexes(t, db.Dialect) {
		err := db.exec(ctx, s.SQL)
		if err == nil || db.Dialect.words().made(err) {
			continue
		}
		words, long := tooLong(err)
		if !long || !slices.ContainsFunc(t.Indexes, func(ix Index) bool { return ix.Name == s.Name && !ix.Unique }) {
			return leftOut, fmt.Errorf("create index %s of %s: %w", s.Name, t.FullName(), Classify(err))
		}
		leftOut = append(leftOut, fmt.Sprintf("index %s is left out, as a value is too long for it (%s); one over md5() of the column, or over its beginning, can hold it", s.Name, words))
	}
	return leftOut, SetSequences(ctx, db, t)
}

// tooLong returns what a server says of an index that cannot hold a value because of its length.
func tooLong(err error) (words string, ok bool) {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != "54000" {
		return "", false
	}
	return pg.Message, true
}

// Orphans are rows that name a parent which is not there.
type Orphans struct {
	Constraint string // "" where SQLite gave it no name
	Parent     string
	Rows       int64
	Enforced   bool // the database keeps new ones out
}

// ReferTable makes the foreign keys of a table, once all tables are loaded, and says which of them have orphans: rows are
// never deleted or changed for them. PostgreSQL keeps such a constraint unvalidated: it holds for new rows. It may be run
// again.
func ReferTable(ctx context.Context, db *DB, t *Table) ([]Orphans, error) {
	return db.Dialect.words().refer(ctx, db, t)
}

func referPostgres(ctx context.Context, db *DB, t *Table) ([]Orphans, error) {
	var found []Orphans
	for i, fk := range AddForeignKeys(t) {
		if err := db.exec(ctx, fk.Add); err != nil {
			return found, fmt.Errorf("add foreign key %s to %s: %w", fk.Name, t.FullName(), Classify(err))
		}
		err := db.exec(ctx, fk.Validate)
		if err == nil {
			continue
		}
		var n int64
		if !isForeignKeyViolation(err) {
			return found, fmt.Errorf("validate foreign key %s of %s: %w", fk.Name, t.FullName(), Classify(err))
		}
		if e := queryValue(ctx, db, fk.Orphans, &n); e != nil {
			return found, fmt.Errorf("count orphans of foreign key %s of %s: %w", fk.Name, t.FullName(), Classify(e))
		}
		if n == 0 { // they were there a moment ago: somebody else is at work on these tables, so try again
			return found, fmt.Errorf("validate foreign key %s of %s: rows came and went: %v", fk.Name, t.FullName(), err)
		}
		found = append(found, Orphans{fk.Name, t.ForeignKeys[i].RefTable, n, true})
	}
	return found, nil
}

func isForeignKeyViolation(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23503"
}

func orphansOfSQLite(ctx context.Context, db *DB, t *Table) ([]Orphans, error) {
	var found []Orphans
	err := db.queryAll(ctx, `SELECT "parent", count(*) FROM pragma_foreign_key_check($1) GROUP BY "fkid", "parent" ORDER BY "fkid"`, []any{t.Name},
		func(scan func(...any) error) error {
			var o Orphans
			err := scan(&o.Parent, &o.Rows)
			found = append(found, o)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("check foreign keys of %s: %w", t.FullName(), Classify(err))
	}
	return found, nil
}
