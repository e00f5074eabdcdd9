package datasets

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Store is an open store of data sets. It may be used by many goroutines; it does not own its database, which stays open after it.
type Store struct {
	db       *sqldb.DB
	layout   Layout
	registry sqldb.Table
	tables   []table // as layout.Tables
	entity   entity
	notes    []string
	sound    atomic.Bool // Deletable has said that nothing stands in the way
}

// table is a table of the layout, with what the database says of it.
type table struct {
	Table
	info sqldb.Table
}

// entity is whose GUIDs are compared.
type entity struct {
	at     int    // in tables
	kind   string // the value of its Kind column
	ofKind bool   // false: all rows of the table
}

// Open resolves a layout against what a database holds: the names that were left out, the tables, the order in which their rows can go,
// and the entity. Its errors name what is missing, and what there is instead; they are permanent, but for those of the database.
//
// Where the layout leaves the entity open, choosing it may read a whole column: whoever opens a store again and again gives it what
// Layout returned, and so compares the same entity each time.
func Open(ctx context.Context, db *sqldb.DB, l Layout) (*Store, error) {
	switch db.Dialect {
	case sqldb.Postgres, sqldb.MySQL, sqldb.SQLite:
	default:
		return nil, refuse("use PostgreSQL, MariaDB, MySQL or SQLite", "data sets cannot be kept in %s", db.Location)
	}
	s := &Store{db: db, layout: withDefaults(l)}
	if err := s.resolve(ctx); err != nil {
		return nil, fmt.Errorf("open the data sets of %s: %w", db.Location, sqldb.Classify(err))
	}
	return s, nil
}

// withDefaults fills in the registry's names that were left out.
func withDefaults(l Layout) Layout {
	r := &l.Registry
	for _, x := range []struct {
		name  *string
		value string
	}{{&r.Table, "data_set"}, {&r.Customer, "customer_id"}, {&r.Database, "database_id"}, {&r.LastSync, "last_synced_at"}} {
		if *x.name == "" {
			*x.name = x.value
		}
	}
	l.Tables = slices.Clone(l.Tables)
	return l
}

// resolve looks a layout up in the database, part by part.
func (s *Store) resolve(ctx context.Context) error {
	there, err := s.list(ctx)
	if err != nil {
		return err
	}
	names, err := s.choose(there)
	if err != nil {
		return err
	}
	schema, err := sqldb.Introspect(ctx, s.db, names)
	if err != nil {
		return err
	}
	for _, resolve := range []func(*sqldb.Schema) error{s.resolveRegistry, s.resolveTables} {
		if err := resolve(schema); err != nil {
			return err
		}
	}
	if err := s.resolveEntity(ctx); err != nil {
		return err
	}
	return s.findTriggers(ctx)
}

// refuse is an error that no retry can help.
func refuse(hint, format string, args ...any) error {
	return tasks.Permanent(tasks.WithHint(nil, hint, format, args...))
}

// Address returns where the store is, without its password.
func (s *Store) Address() string { return s.db.Location.Redacted() }

// Layout returns the layout with all names filled in and the tables listed, children before parents: the order in which their rows can
// go. Opened again with it, a store compares the same entity.
func (s *Store) Layout() Layout {
	l := s.layout
	l.Tables = slices.Clone(l.Tables)
	return l
}

// Entity returns whose GUIDs are compared: a table, or table/value where the table has a Kind column.
func (s *Store) Entity() string { return s.layout.Entity }

// Notes returns what people should know about the store before anything is deleted, one sentence each.
func (s *Store) Notes() []string { return slices.Clone(s.notes) }

// from returns the table as FROM wants it.
func (t *table) from(d sqldb.Dialect) string { return d.QuoteTable(t.info.Schema, t.info.Name) }

// each runs a query and calls f for each of its rows. Places of arguments are written as the dialect has them.
func (s *Store) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	if s.db.Pool != nil {
		rows, err := s.db.Pool.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := f(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	}
	rows, err := s.db.SQL.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
