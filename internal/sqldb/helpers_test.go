package sqldb

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stint-run/stint/internal/pgtest"
)

// sqliteFile makes a new SQLite file, runs statements in it and returns it open for reading and writing.
func sqliteFile(t *testing.T, statements ...string) *DB {
	t.Helper()
	db := openAt(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), Options{})
	run(t, db, statements...)
	return db
}

// postgresDB makes a new PostgreSQL database, runs statements in it and returns it open.
func postgresDB(t *testing.T, statements ...string) *DB {
	t.Helper()
	db := openAt(t, pgtest.New(t), Options{})
	run(t, db, statements...)
	return db
}

func openAt(t *testing.T, url string, opts Options) *DB {
	t.Helper()
	at, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := Open(context.Background(), at, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// run executes statements one by one.
func run(t *testing.T, db *DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := tryRun(db, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func tryRun(db *DB, statement string) error {
	var err error
	if db.Pool != nil {
		_, err = db.Pool.Exec(context.Background(), statement)
	} else {
		_, err = db.SQL.ExecContext(context.Background(), statement)
	}
	return err
}

// oneOfMySQL lets a test write || for the concatenation of texts, as it does elsewhere.
func oneOfMySQL(db *DB, query string, v *string) error {
	tx, err := db.SQL.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var mode string
	if err := tx.QueryRow("SELECT @@sql_mode").Scan(&mode); err != nil {
		return err
	}
	if _, err := tx.Exec("SET sql_mode = ?", mode+",PIPES_AS_CONCAT"); err != nil {
		return err
	}
	err = tx.QueryRow(query).Scan(v)
	if _, e := tx.Exec("SET sql_mode = ?", mode); err == nil {
		err = e
	}
	return err
}

// one returns the only value of a query's only row, as text.
func one(t *testing.T, db *DB, query string) string {
	t.Helper()
	var v string
	var err error
	switch {
	case db.Pool != nil:
		err = db.Pool.QueryRow(context.Background(), query).Scan(&v)
	case db.Dialect == MySQL:
		err = oneOfMySQL(db, query, &v)
	default:
		err = db.SQL.QueryRowContext(context.Background(), query).Scan(&v)
	}
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}
