package sqldb

import (
	"context"
	"fmt"
	"reflect"
	"testing"
)

// tableIn returns a table as the database itself describes it.
func tableIn(t testing.TB, db *DB, name string) *Table {
	t.Helper()
	s, err := Introspect(context.Background(), db, []string{name})
	if err != nil {
		t.Fatal(err)
	}
	return &s.Tables[0]
}

// readInChunks reads a table chunk by chunk and returns the first column of all rows, in order, and the number of chunks.
func readInChunks(t *testing.T, db *DB, table *Table, rows, limit int) ([]any, int) {
	t.Helper()
	ctx := context.Background()
	w := WalkOf(table)
	var starts []RowKey
	var after RowKey
	for {
		page, err := Boundaries(ctx, db, table, w, after, rows, limit)
		if err != nil {
			t.Fatal(err)
		}
		starts = append(starts, page...)
		if len(page) < limit {
			break
		}
		after = page[len(page)-1]
	}
	var all []any
	var from RowKey
	for i := 0; i <= len(starts); i++ {
		var to RowKey
		if i < len(starts) {
			to = starts[i]
		}
		r, err := Read(ctx, db, table, w, from, to)
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			v, err := r.Values()
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Key()) != w.Parts() {
				t.Fatalf("key %v of a walk with %d parts", r.Key(), w.Parts())
			}
			all = append(all, v[0])
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		from = to
	}
	return all, len(starts) + 1
}

func TestEveryKindOfTableIsWalkedCompletely(t *testing.T) {
	t.Parallel()
	numbers := func(d Dialect, n int) string {
		if d == Postgres {
			return fmt.Sprintf("generate_series(1, %d) AS g(i)", n)
		}
		return fmt.Sprintf("(WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < %d) SELECT i FROM g)", n)
	}
	cases := []struct {
		name   string
		d      Dialect
		create string
		fill   string // SELECT ... FROM @N
		kind   WalkKind
		rows   int
	}{
		{"INTEGER PRIMARY KEY", SQLite, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "SELECT i FROM @N", WalkKey, 100},
		{"a sparse INTEGER PRIMARY KEY", SQLite, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "SELECT i*i*1000-5000000 FROM @N", WalkKey, 100},
		{"a text key that may be NULL, and is twice", SQLite, "CREATE TABLE t (id TEXT PRIMARY KEY)", "SELECT CASE WHEN i > 2 THEN 'k'||i END FROM @N", WalkRowID, 100},
		{"a text key", SQLite, "CREATE TABLE t (id TEXT NOT NULL PRIMARY KEY)", "SELECT 'k'||i FROM @N", WalkKey, 100},
		{"a key without case", SQLite, "CREATE TABLE t (id TEXT NOT NULL COLLATE NOCASE PRIMARY KEY)", "SELECT CASE WHEN i%2 THEN 'K' ELSE 'k' END||i FROM @N", WalkKey, 100},
		{"a key finer than the collation of its column", SQLite, "CREATE TABLE t (id TEXT NOT NULL COLLATE NOCASE, PRIMARY KEY (id COLLATE BINARY))",
			"SELECT CASE WHEN i%2 THEN 'K' ELSE 'k' END||(i/2) FROM @N", WalkKey, 100},
		{"all storage classes in one key", SQLite, "CREATE TABLE t (id NOT NULL PRIMARY KEY)",
			"SELECT CASE i%4 WHEN 0 THEN i WHEN 1 THEN i+0.5 WHEN 2 THEN 'x'||i ELSE CAST('b'||i AS BLOB) END FROM @N", WalkKey, 100},
		{"text in an integer key", SQLite, "CREATE TABLE t (id INTEGER NOT NULL, PRIMARY KEY (id DESC)) WITHOUT ROWID",
			"SELECT CASE WHEN i%3 THEN i ELSE 'x'||i END FROM @N", WalkKey, 100},
		{"a composite key", SQLite, "CREATE TABLE t (v INTEGER, b TEXT NOT NULL, a INTEGER NOT NULL, PRIMARY KEY (a, b))", "SELECT i, 'b'||(i%7), i/7 FROM @N", WalkKey, 100},
		{"WITHOUT ROWID", SQLite, "CREATE TABLE t (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID", "SELECT 'a'||(i%3), i FROM @N", WalkKey, 100},
		{"no key", SQLite, "CREATE TABLE t (v)", "SELECT i%5 FROM @N", WalkRowID, 100},
		{"a column called rowid", SQLite, "CREATE TABLE t (rowid TEXT, v)", "SELECT 'same', i FROM @N", WalkRowID, 100},
		{"a unique key instead of a primary one", SQLite, "CREATE TABLE t (a INTEGER UNIQUE, b INTEGER NOT NULL UNIQUE)", "SELECT NULL, i FROM @N", WalkKey, 100},
		{"names that need quotes", SQLite, `CREATE TABLE t ("or""der" INTEGER NOT NULL, "select" TEXT NOT NULL, PRIMARY KEY ("select", "or""der"))`, "SELECT i, 's'||i%3 FROM @N", WalkKey, 100},
		{"times as keys", SQLite, "CREATE TABLE t (at DATETIME NOT NULL PRIMARY KEY)", "SELECT datetime(i*1000, 'unixepoch') FROM @N", WalkKey, 100},
		{"no rows", SQLite, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "SELECT i FROM @N WHERE false", WalkKey, 0},
		{"no rows and no key", SQLite, "CREATE TABLE t (v)", "SELECT i FROM @N WHERE false", WalkRowID, 0},

		{"bigint", Postgres, "CREATE TABLE t (id bigint PRIMARY KEY)", "SELECT i*3 FROM @N", WalkKey, 100},
		{"text by the collation of the server", Postgres, "CREATE TABLE t (id text PRIMARY KEY)", "SELECT CASE WHEN i%2=0 THEN 'K' ELSE 'k' END||i FROM @N", WalkKey, 100},
		{"a composite key of many types", Postgres, "CREATE TABLE t (v integer, a date, b numeric(5,2), c uuid, d boolean, PRIMARY KEY (a, b, c, d))",
			"SELECT i, DATE '0044-01-01 BC' + i%3, i%5/4.0, ('00000000-0000-4000-8000-'||lpad(i::text, 12, '0'))::uuid, i%2=0 FROM @N", WalkKey, 100},
		{"timestamptz and bytea", Postgres, "CREATE TABLE t (v integer, a timestamptz, b bytea, PRIMARY KEY (a, b))",
			"SELECT i, to_timestamp(i%3*1e5), decode(lpad(to_hex(i), 4, '0'), 'hex') FROM @N", WalkKey, 100},
		{"floats and reals", Postgres, "CREATE TABLE t (a real, b double precision, PRIMARY KEY (a, b))", "SELECT i/10.0, i/3.0 FROM @N", WalkKey, 100},
		{"an enum", Postgres, "CREATE TYPE mood AS ENUM ('z', 'a', 'm'); CREATE TABLE t (v integer, a mood, b integer, PRIMARY KEY (a, b))",
			"SELECT i, ((ARRAY['z','a','m'])[i%3+1])::mood, i FROM @N", WalkKey, 100},
		{"char(n) and varchar(n)", Postgres, "CREATE TABLE t (a char(5), b varchar(5), PRIMARY KEY (a, b))", "SELECT 'x'||i%9, 'y'||i FROM @N", WalkKey, 100},
		{"an interval and an inet", Postgres, "CREATE TABLE t (a interval, b inet, PRIMARY KEY (a, b))", "SELECT make_interval(mins => i%7), '10.0.0.0'::inet+i FROM @N", WalkKey, 100},
		{"no key", Postgres, "CREATE TABLE t (v integer)", "SELECT i%5 FROM @N", WalkCTID, 5000},
		{"no rows and no key", Postgres, "CREATE TABLE t (v integer)", "SELECT i FROM @N WHERE false", WalkCTID, 0},
		{"a unique key that is NOT NULL", Postgres, "CREATE TABLE t (a integer UNIQUE, b integer NOT NULL UNIQUE)", "SELECT NULL, i FROM @N", WalkKey, 100},
		{"names that need quotes, in a schema", Postgres, `CREATE TABLE t ("or""der" integer, "SELECT" text, PRIMARY KEY ("SELECT", "or""der"))`, "SELECT i, 's'||i%3 FROM @N", WalkKey, 100},
	}
	for _, tc := range cases {
		t.Run(string(tc.d)+": "+tc.name, func(t *testing.T) {
			t.Parallel()
			var db *DB
			if tc.d == Postgres {
				db = postgresDB(t, tc.create)
			} else {
				db = sqliteFile(t, tc.create)
			}
			n := max(tc.rows, 100)
			run(t, db, "INSERT INTO t "+replaceN(tc.fill, numbers(tc.d, n)))
			table := tableIn(t, db, "t")
			if w := WalkOf(table); w.Kind != tc.kind {
				t.Errorf("walked by %s, want %s", w.Kind, tc.kind)
			}
			want, _ := readInChunks(t, db, table, 1<<20, 10)
			if len(want) != tc.rows {
				t.Fatalf("%d rows in one chunk, want %d", len(want), tc.rows)
			}
			for _, size := range []int{1, 7, 30} {
				got, chunks := readInChunks(t, db, table, size, 4)
				if !reflect.DeepEqual(got, want) {
					t.Errorf("in chunks of %d: %v, want %v", size, got, want)
				}
				if tc.rows == 100 && tc.kind == WalkKey && chunks < 100/size/2 {
					t.Errorf("only %d chunks of %d", chunks, size)
				}
				if tc.rows == 5000 && chunks < 4 {
					t.Errorf("only %d chunks of %d", chunks, size)
				}
			}
		})
	}
}

func replaceN(fill, numbers string) string {
	out := ""
	for i := 0; i < len(fill); i++ {
		if fill[i] == '@' {
			out += numbers
			i++
			continue
		}
		out += string(fill[i])
	}
	return out
}

func TestDatesOfSQLiteAreReadAsTheTextTheyAre(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, a DATE, b DATETIME, c TIMESTAMP, d TIME, e BOOLEAN)",
		"INSERT INTO t VALUES (1, '2020-01-02', '2020-01-02 03:04:05', '0000-00-00', '10:00', 'true'), (2, 20200101, 1577836800, 1.5, NULL, 2)")
	r, err := Read(context.Background(), db, tableIn(t, db, "t"), WalkOf(tableIn(t, db, "t")), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, want := range [][]any{{int64(1), "2020-01-02", "2020-01-02 03:04:05", "0000-00-00", "10:00", "true"},
		{int64(2), int64(20200101), int64(1577836800), 1.5, nil, int64(2)}} {
		if !r.Next() {
			t.Fatal(r.Err())
		}
		if got, err := r.Values(); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%#v, want %#v (%v)", got, want, err)
		}
	}
}

func TestClosingInTheMiddleOfRowsGivesTheConnectionBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, db := range []*DB{
		sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 5000) SELECT i FROM g"),
		postgresDB(t, "CREATE TABLE t (id integer PRIMARY KEY)", "INSERT INTO t SELECT generate_series(1, 500000)"),
	} {
		table := tableIn(t, db, "t")
		for range 20 { // more than there are connections
			r, err := Read(ctx, db, table, WalkOf(table), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Next() {
				t.Fatal(r.Err())
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
