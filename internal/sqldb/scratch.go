package sqldb

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stint-run/stint/tasks"
)

// scratchTable marks a database that may be emptied by the rehearsal whose name is in it. Like all of stint's own tables it is
// never part of a migration.
const scratchTable = "stint_rehearsal"

// Scratch is a place that was made for a trial: a database of its own on the server, or a schema where the user may not make one.
type Scratch struct {
	// URL leads there, with its password.
	URL string
	// Schema says that it is a schema within the database of others: tables that name a schema of theirs would leave it.
	Schema bool
}

// MakeScratch makes an empty database of that name beside another on the same server, and leaves one that is there as it is. Where
// a user of PostgreSQL may not make databases it is a schema, which is the default one of all who connect by the URL.
func MakeScratch(ctx context.Context, db *DB, name string) (Scratch, error) {
	u, err := url.Parse(db.Location.dsn)
	if err != nil || db.Location.dsn == "" {
		return Scratch{}, fmt.Errorf("make a scratch database: %s is not on a server", db.Location)
	}
	if db.Dialect == MySQL {
		if err := db.exec(ctx, "CREATE DATABASE IF NOT EXISTS "+MySQL.Quote(name)+" CHARACTER SET utf8mb4"); err != nil {
			return Scratch{}, refusedScratch(err)
		}
		u.Path = "/" + name
		return Scratch{URL: u.String()}, nil
	}
	err = db.exec(ctx, "CREATE DATABASE "+Postgres.Quote(name))
	var said *pgconn.PgError
	switch {
	case err == nil, errors.As(err, &said) && said.Code == "42P04": // it is there
		u.Path, u.RawPath = "/"+name, ""
		return Scratch{URL: u.String()}, nil
	case said == nil || said.Code != "42501":
		return Scratch{}, refusedScratch(err)
	}
	if err := db.exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+Postgres.Quote(name)); err != nil {
		return Scratch{}, refusedScratch(err)
	}
	q := u.Query()
	q.Set("search_path", name)
	u.RawQuery = q.Encode()
	return Scratch{URL: u.String(), Schema: true}, nil
}

func refusedScratch(err error) error {
	return tasks.WithHint(Classify(err), "let this user make databases (or schemas), or name an empty database with --to", "a scratch database cannot be made there")
}

// DropScratch takes away what MakeScratch made; what is not there is fine. Sessions that are still in it are ended.
func DropScratch(ctx context.Context, db *DB, name string, s Scratch) error {
	var err error
	switch {
	case db.Dialect == MySQL:
		err = db.exec(ctx, "DROP DATABASE IF EXISTS "+MySQL.Quote(name))
	case s.Schema:
		err = db.exec(ctx, "DROP SCHEMA IF EXISTS "+Postgres.Quote(name)+" CASCADE")
	default: // WITH (FORCE) is PostgreSQL 13's
		if err = db.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name); err == nil {
			err = db.exec(ctx, "DROP DATABASE IF EXISTS "+Postgres.Quote(name))
		}
	}
	if err != nil {
		return fmt.Errorf("drop the scratch %s: %w", name, Classify(err))
	}
	return nil
}

// ScratchOf returns the tables and views of a database, stint's own included, and the name of the rehearsal that it was given to by
// ClaimScratch; "" when it was given to none.
func ScratchOf(ctx context.Context, db *DB) (tables []string, rehearsal string, err error) {
	all, err := scratchRelations(ctx, db)
	if err != nil {
		return nil, "", fmt.Errorf("look what is in %s: %w", db.Location, Classify(err))
	}
	for _, r := range all {
		tables = append(tables, r.name)
	}
	if !slices.Contains(tables, scratchTable) {
		return tables, "", nil
	}
	if err := queryValue(ctx, db, "SELECT coalesce(max(name), '') FROM "+scratchTable, &rehearsal); err != nil {
		return nil, "", fmt.Errorf("read whose %s is: %w", db.Location, Classify(err))
	}
	return tables, rehearsal, nil
}

// ClaimScratch takes every table out of a database and gives it to a rehearsal. The caller has seen by ScratchOf that it may.
func ClaimScratch(ctx context.Context, db *DB, rehearsal string) error {
	err := EmptyScratch(ctx, db)
	if err == nil {
		err = db.exec(ctx, "CREATE TABLE IF NOT EXISTS "+scratchTable+" (name varchar(200) NOT NULL PRIMARY KEY)")
	}
	if err == nil {
		err = db.exec(ctx, "INSERT INTO "+scratchTable+" VALUES ($1)", rehearsal)
	}
	if err != nil {
		return fmt.Errorf("empty the scratch %s: %w", db.Location, Classify(err))
	}
	return nil
}

// relation is a table or view as it is dropped.
type relation struct{ name, kind, quoted string }

func scratchRelations(ctx context.Context, db *DB) ([]relation, error) {
	query := `SELECT name, upper(type), '' FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`
	switch db.Dialect {
	case Postgres:
		// With a search_path of its own it is a schema among others; else everything in the database counts.
		query = `SELECT CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname || '.' END || c.relname,
			CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, c.oid::regclass::text
			FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
			  AND (n.nspname = current_schema() OR current_schema() NOT LIKE 'stint\_rehearsal%')
			  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') ORDER BY 1`
	case MySQL:
		query = `SELECT table_name, CASE table_type WHEN 'VIEW' THEN 'VIEW' ELSE 'TABLE' END, '' FROM information_schema.tables WHERE table_schema = database()`
	}
	var all []relation
	err := db.queryAll(ctx, query, nil, func(scan func(...any) error) error {
		var r relation
		err := scan(&r.name, &r.kind, &r.quoted)
		if r.quoted == "" {
			r.quoted = db.Dialect.Quote(r.name)
		}
		all = append(all, r)
		return err
	})
	return all, err
}

// EmptyScratch drops every table and view, the mark last: a crash in the middle leaves the scratch known as one. The caller has
// seen by ScratchOf that it may.
func EmptyScratch(ctx context.Context, db *DB) error {
	all, err := scratchRelations(ctx, db)
	if err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b relation) int { return boolOrder(a.name == scratchTable, b.name == scratchTable) })
	exec, done := db.exec, func() error { return nil }
	if db.Dialect == MySQL { // in one session, which does not mind parents going before their children
		conn, err := db.SQL.Conn(ctx)
		if err != nil {
			return err
		}
		exec = func(ctx context.Context, query string, args ...any) error {
			_, err := conn.ExecContext(ctx, query, args...)
			return err
		}
		if err := exec(ctx, "SET foreign_key_checks = 0"); err != nil {
			return errors.Join(err, conn.Close())
		}
		done = func() error {
			return errors.Join(exec(ctx, "SET foreign_key_checks = 1"), conn.Close())
		}
	}
	var dropped []error
	for _, r := range all {
		words := "DROP " + r.kind + " IF EXISTS " + r.quoted
		if db.Dialect == Postgres {
			words += " CASCADE"
		}
		if err := exec(ctx, words); err != nil {
			dropped = append(dropped, err)
			break
		}
	}
	if db.Dialect == Postgres && len(dropped) == 0 {
		dropped = append(dropped, dropEnums(ctx, db))
	}
	return errors.Join(errors.Join(dropped...), done())
}

// dropEnums drops the enum types that tables left behind.
func dropEnums(ctx context.Context, db *DB) error {
	var types []string
	err := db.queryAll(ctx, `SELECT t.oid::regtype::text FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE t.typtype = 'e' AND (n.nspname = current_schema() OR current_schema() NOT LIKE 'stint\_rehearsal%')
		  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')`, nil, func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		types = append(types, name)
		return err
	})
	if err != nil || len(types) == 0 {
		return err
	}
	return db.exec(ctx, "DROP TYPE IF EXISTS "+strings.Join(types, ", ")+" CASCADE")
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Fingerprint sums up a table: its rows, and a checksum of 128 bits that is the same for the same rows in any order, in any of the
// databases of one dialect. Columns that are not in t are not looked at.
func Fingerprint(ctx context.Context, db *DB, t *Table) (rows int64, checksum string, err error) {
	fail := func(err error) (int64, string, error) {
		return 0, "", fmt.Errorf("sum up %s: %w", t.FullName(), Classify(err))
	}
	m, err := MapByName(t, t)
	if err != nil {
		return fail(err)
	}
	c, err := newComparison(ctx, db, db, m, WalkOf(t), "", nil)
	if err != nil {
		return fail(err)
	}
	r, err := readColumns(ctx, db, c.m.Target, c.walk, c.columns(db, c.m.Target, c.walk, targetName), nil, nil)
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	var sum rowHash
	for r.Next() {
		if err := c.readTarget(r); err != nil {
			return fail(err)
		}
		h := c.hash(c.targetCells)
		rows, sum.a, sum.b = rows+1, sum.a+h.a, sum.b+h.b
	}
	if err := r.Err(); err != nil {
		return fail(err)
	}
	return rows, fmt.Sprintf("%016x%016x", sum.a, sum.b), nil
}

// LedgerTotals adds up what the ledger of a target says of a job, by stage.
func LedgerTotals(ctx context.Context, db *DB, job string) (map[string]tasks.Counters, error) {
	totals := map[string]tasks.Counters{}
	err := db.queryAll(ctx, "SELECT stage, rows_read, rows_written, rows_quarantined, rows_skipped, bytes FROM stint_ledger WHERE job = $1", []any{job},
		func(scan func(...any) error) error {
			var stage string
			var c tasks.Counters
			err := scan(&stage, &c.Read, &c.Written, &c.Quarantined, &c.Skipped, &c.Bytes)
			totals[stage] = totals[stage].Add(c)
			return err
		})
	if err != nil {
		return nil, fmt.Errorf("add the ledger up: %w", Classify(err))
	}
	return totals, nil
}
