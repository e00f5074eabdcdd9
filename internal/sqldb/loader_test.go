package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

// opts returns the options of a test's only step.
func opts(step string) LoaderOptions {
	return LoaderOptions{Job: "job", Stage: "stage", Step: step, Worker: "w", Attempt: "a"}
}

// pair makes a mapping between two tables as their databases describe them, and the ledger.
func pair(t *testing.T, src, dst *DB, table string) *Mapping {
	t.Helper()
	if err := EnsureLedger(context.Background(), dst); err != nil {
		t.Fatal(err)
	}
	m, err := MapByName(tableIn(t, src, table), tableIn(t, dst, table))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// loadWhole loads a table as one chunk, in batches of some rows, and returns the step's counters from the ledger.
func loadWhole(t *testing.T, src, dst *DB, m *Mapping, rows int) tasks.Counters {
	t.Helper()
	ctx := context.Background()
	b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), dst.Dialect, nil, nil, Limits{Rows: rows})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	l, err := NewLoader(ctx, dst, m, opts("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var sum tasks.Counters
	for {
		batch, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Load(ctx, batch)
		if err != nil {
			t.Fatal(err)
		}
		if !got.To.Equal(batch.To) || got.Done != batch.Last {
			t.Errorf("loaded to %v (done %v), the batch ends at %v (last %v)", got.To, got.Done, batch.To, batch.Last)
		}
		sum = sum.Add(got.Counters)
		batch.Release()
	}
	_, done, totals, err := Progress(ctx, dst, "job", "stage", "1")
	if err != nil || !done || totals != sum {
		t.Fatalf("the ledger says %+v, done %v, %v; the loader %+v", totals, done, err, sum)
	}
	return totals
}

// loadedTexts returns the rows of a table as the database prints them, ordered by the first column.
func loadedTexts(t *testing.T, db *DB, table string, columns ...string) []string {
	t.Helper()
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = "coalesce(CAST(" + c + " AS text), '~')"
	}
	var out []string
	err := db.queryAll(context.Background(), "SELECT "+strings.Join(parts, "||'|'||")+" FROM "+table+" ORDER BY "+columns[0], nil,
		func(scan func(...any) error) error {
			var s string
			err := scan(&s)
			out = append(out, s)
			return err
		})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestBadRowsAreQuarantinedAndTheRestIsLoaded(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, at DATETIME, code TEXT)",
		`INSERT INTO t VALUES (1, 'good', 1, '2020-01-01', 'a'), (2, 'a'||char(0)||'b', 2, NULL, 'b'), (3, 'text in n', 'x', NULL, 'c'),
 (4, 'no such day', 4, '2020-02-30', 'd'), (5, 'twice', 5, NULL, 'a'), (6, CAST(x'ff' AS TEXT), 6, NULL, 'f'), (7, NULL, 7, NULL, 'g'),
 (8, 'checked', -8, NULL, 'h'), (9, 'fine', 9, '0001-01-01 00:00:01', 'i')`)
	for _, batch := range []int{1, 2, 4, 100} {
		t.Run(fmt.Sprint("in batches of ", batch), func(t *testing.T) {
			t.Parallel()
			dst := postgresDB(t, `CREATE TABLE t (id bigint PRIMARY KEY, name text NOT NULL, n integer CHECK (n > 0), at timestamp, code text UNIQUE)`)
			m := pair(t, src, dst, "t")
			got := loadWhole(t, src, dst, m, batch)
			if got.Read != 9 || got.Written != 2 || got.Quarantined != 7 {
				t.Errorf("%+v", got)
			}
			want := []string{"1|good|1|2020-01-01 00:00:00|a", "9|fine|9|0001-01-01 00:00:01|i"}
			if rows := loadedTexts(t, dst, "t", "id", "name", "n", "at", "code"); fmt.Sprint(rows) != fmt.Sprint(want) {
				t.Errorf("%q", rows)
			}
			bad, err := Quarantine(context.Background(), dst, "job", "t", 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			codes := ""
			for _, q := range bad {
				codes += fmt.Sprintf("%v %s %s; ", q.Key, q.Column, q.Code)
				if q.Reason == "" || !strings.HasPrefix(q.Row, `{"id":`) {
					t.Errorf("%+v", q)
				}
			}
			if codes != "[2] name 22021; [3] n 22P02; [4] at 22008; [5]  23505; [6] name 22021; [7] name 23502; [8]  23514; " {
				t.Error(codes)
			}
			if n, err := QuarantineCount(context.Background(), dst, "job", ""); err != nil || n != 7 {
				t.Error(n, err)
			}
		})
	}
}

func TestBadRowsOfSQLiteTargetsAreQuarantinedToo(t *testing.T) {
	t.Parallel()
	src := postgresDB(t, "CREATE TABLE t (id integer PRIMARY KEY, n numeric, s text)",
		"INSERT INTO t SELECT i, CASE WHEN i%100 = 7 THEN 12345678901234567.8901 ELSE i END, CASE WHEN i%100 = 9 THEN 'same' ELSE 's'||i END FROM generate_series(1, 1000) i")
	dst := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC, s TEXT UNIQUE ON CONFLICT REPLACE)")
	got := loadWhole(t, src, dst, pair(t, src, dst, "t"), 300)
	if got.Read != 1000 || got.Written != 981 || got.Quarantined != 19 {
		t.Errorf("%+v", got)
	}
	if n := one(t, dst, "SELECT count(*) FROM t"); n != "981" {
		t.Error(n)
	}
	if n := one(t, dst, "SELECT sum(code = '22003')||' '||sum(code = 'SQLITE_CONSTRAINT') FROM stint_quarantine"); n != "10 9" {
		t.Error(n)
	}
}

func TestABatchFullOfBadRowsIsIsolatedRowByRow(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
		"INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 4000) SELECT i, CASE WHEN i%3 = 0 THEN 7 ELSE i*10 END FROM g")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n bigint UNIQUE DEFERRABLE INITIALLY DEFERRED)")
	got := loadWhole(t, src, dst, pair(t, src, dst, "t"), 0)
	if got.Read != 4000 || got.Written != 2668 || got.Quarantined != 1332 {
		t.Errorf("%+v", got)
	}
	if n := one(t, dst, "SELECT count(*)::text||' '||min(id) FILTER (WHERE n = 7) FROM t"); n != "2668 3" {
		t.Error(n)
	}
	if n := one(t, dst, "SELECT count(*)::text FROM stint_quarantine WHERE code = '23505' AND row_json LIKE '%\"n\":7}'"); n != "1332" {
		t.Error(n)
	}
}

func TestDrainingEndsTheIsolationOfBadRowsAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
		"INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 1000) SELECT i, i%10 FROM g")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n bigint CHECK (n <> 5))")
	m := pair(t, src, dst, "t")
	draining := make(chan struct{})
	close(draining)
	steps := 0
	for done := false; !done; steps++ {
		to, _, _, err := Progress(ctx, dst, "job", "stage", "1")
		if err != nil {
			t.Fatal(err)
		}
		b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), Postgres, to, nil, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		o := opts("1")
		o.Draining = draining
		l, err := NewLoader(ctx, dst, m, o)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := b.Next()
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Load(ctx, batch)
		if err != nil && !errors.Is(err, tasks.ErrDrained) {
			t.Fatal(err)
		}
		if err != nil && (got.Done || got.To.Equal(batch.From)) {
			t.Fatalf("drained without having moved: %+v", got)
		}
		done = got.Done
		l.Close()
		b.Close()
	}
	if steps < 2 {
		t.Error("was never drained")
	}
	if n := one(t, dst, "SELECT count(*)::text||' '||(SELECT count(*) FROM stint_quarantine)||' '||(SELECT sum(rows_read) FROM stint_ledger) FROM t"); n != "900 100 1000" {
		t.Error(n)
	}
}

func TestAnEmptyChunkIsDoneWithOneEmptyBatch(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
	targets(t, func(t *testing.T, dst *DB) {
		run(t, dst, "CREATE TABLE t (id bigint PRIMARY KEY)")
		if got := loadWhole(t, src, dst, pair(t, src, dst, "t"), 10); got != (tasks.Counters{}) {
			t.Errorf("%+v", got)
		}
		if n := one(t, dst, "SELECT count(*) FROM stint_ledger"); n != "1" {
			t.Error(n)
		}
	})
}

func TestALargeRowIsABatchOfItsOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)",
		"INSERT INTO t VALUES (1, x'00'), (2, zeroblob(9000000)), (3, x'02'), (4, zeroblob(1000000)), (5, zeroblob(1000000)), (6, NULL)")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, b bytea)")
	m := pair(t, src, dst, "t")
	b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), Postgres, nil, nil, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var sizes []int
	for {
		batch, err := b.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, batch.RowsRead)
		batch.Release()
	}
	if fmt.Sprint(sizes) != "[2 3 1]" {
		t.Error(sizes)
	}
	loadWhole(t, src, dst, m, 0)
	if n := one(t, dst, "SELECT sum(length(b))::text FROM t"); n != "11000002" {
		t.Error(n)
	}
}

func TestATriggerThatDropsRowsIsNoticed(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1), (2), (3)")
	for _, dst := range []*DB{
		postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY)",
			"CREATE FUNCTION drop_two() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; RETURN NEW; END'",
			"CREATE TRIGGER t BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION drop_two()"),
		sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY)", "CREATE TRIGGER tr BEFORE INSERT ON t WHEN NEW.id = 2 BEGIN SELECT RAISE(IGNORE); END"),
	} {
		m := pair(t, src, dst, "t")
		err := loadChunk(ctx, src, dst, m, WalkOf(m.Source), Chunk{}, opts("1"))
		if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", dst.Dialect, err)
		}
		if n := one(t, dst, "SELECT count(*) FROM t"); n != "0" {
			t.Errorf("%s: %s rows", dst.Dialect, n)
		}
	}
}

func TestRowsOfPostgresArriveInPostgresAsTheyAre(t *testing.T) {
	t.Parallel()
	types := `CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
 CREATE TABLE plain (id bigint PRIMARY KEY, n numeric, m numeric(30,10), f real, d double precision, t text, v varchar(10), c char(4), b bytea, day date,
  ti time, ts timestamp, tz timestamptz, u uuid, j json, jb jsonb, o boolean, iv interval, ip inet, a integer[], ta text[], s smallint, r int4range);
 CREATE TABLE odd (id bigint PRIMARY KEY, m mood, p positive, ms mood[], n numeric(10,2), tz timestamptz, b bytea, f real, j jsonb, t text, o boolean, iv interval)`
	src := postgresDB(t, types, `INSERT INTO plain SELECT i, CASE i%5 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' ELSE i/7.0 END::numeric, i*1e15+0.5, i/3.0, i/3.0,
 E'a\t\\\n'||i, 'v'||i, 'c', decode('00ff','hex'), CASE WHEN i%9=0 THEN 'infinity' ELSE '0044-01-01 BC'::date+i*1000 END, '24:00', '2020-01-01'::timestamp+i*'1.000001s'::interval,
 now(), gen_random_uuid(), '{"a":  1}', '{"a":  1}', i%2=0, i*'1 month 2 days 3.5s'::interval, '10.0.0.0/8', ARRAY[i,NULL], ARRAY['x','"'], i, int4range(1,i+1)
 FROM generate_series(1, 50) i`, "INSERT INTO plain (id) VALUES (99)",
		`INSERT INTO odd SELECT i, CASE WHEN i%2=0 THEN 'sad' ELSE 'ok' END::mood, i, ARRAY['ok','sad']::mood[], i/4.0, now(), decode('00ff5c','hex'), i/3.0, '{"a":"\\"}',
 E'a\t\\\r\n\\N'||i, i%2=0, '1 day' FROM generate_series(1, 50) i`, "INSERT INTO odd (id) VALUES (99)")
	// Numbers of enums differ between databases: make some more before ours.
	dst := postgresDB(t, "CREATE TYPE other AS ENUM ('x', 'y', 'z')", types)
	for _, table := range []string{"plain", "odd"} {
		m := pair(t, src, dst, table)
		if got := loadWhole(t, src, dst, m, 20); got.Written != 51 || got.Quarantined != 0 {
			t.Errorf("%s: %+v", table, got)
		}
		text := "SELECT md5(string_agg(t::text, '' ORDER BY id)) FROM " + table + " t"
		if a, b := one(t, src, text), one(t, dst, text); a != b {
			t.Errorf("%s differs", table)
		}
		run(t, dst, "DELETE FROM stint_ledger")
	}
}

func TestTypesThatDifferAreConvertedExactlyOrNotAtAll(t *testing.T) {
	t.Parallel()
	src := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, d date, x text)", `INSERT INTO t VALUES (1, 1.50, '2020-01-01', '5'),
 (2, 1.555, '2020-01-01', '6'), (3, 1, 'infinity', '7'), (4, 'NaN', '2020-01-01', '8'), (5, 5, '2020-01-01', 'x'), (6, 6, '0044-01-01 BC', '9')`)
	dst := postgresDB(t, "CREATE TABLE t (id integer PRIMARY KEY, n numeric(5,2), d timestamptz, x smallint)")
	loadWhole(t, src, dst, pair(t, src, dst, "t"), 0)
	want := []string{"1|1.50|2020-01-01 00:00:00+00|5", "3|1.00|infinity|7", "4|NaN|2020-01-01 00:00:00+00|8"}
	if got := loadedTexts(t, dst, "t", "id", "n", "d", "x"); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
}

func TestRowsOfPostgresArriveInSQLiteInAFormThatReadsBack(t *testing.T) {
	t.Parallel()
	src := postgresDB(t, `CREATE TABLE t (id bigint PRIMARY KEY, n numeric(30,10), f double precision, t text, b bytea, d date, ts timestamp, tz timestamptz, u uuid, j jsonb,
 o boolean, iv interval, e bytea)`, `INSERT INTO t VALUES (1, 12345678901234567890.0123456789, 0.1, 'ä', '\x00ff', '0001-01-01', '2020-01-01 10:00:00.5',
 '2020-01-01 12:00:00+02', '0011aaff-0000-4000-8000-000000000001', '{"a": 1}', true, '1 day', '')`, "INSERT INTO t (id) VALUES (2)")
	dst := sqliteFile(t, `CREATE TABLE t (id INTEGER PRIMARY KEY, n DECIMAL_TEXT, f REAL, t TEXT, b BLOB, d DATE, ts DATETIME, tz TEXT, u TEXT, j JSON_TEXT, o BOOLEAN, iv TEXT, e BLOB)`)
	m := pair(t, src, dst, "t")
	loadWhole(t, src, dst, m, 0)
	got := loadedTexts(t, dst, "t", "id", "n", "f", "t", "hex(b)", "d", "ts", "tz", "u", "j", "o", "iv", "typeof(e)")
	want := []string{`1|12345678901234567890.0123456789|0.1|ä|00FF|0001-01-01|2020-01-01 10:00:00.5|2020-01-01 10:00:00+00:00|0011aaff-0000-4000-8000-000000000001|{"a": 1}|1|1 day|blob`,
		"2|~|~|~||~|~|~|~|~|~|~|null"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q", got)
	}
}

func TestRowsOfSQLiteArriveInSQLiteWithTheirStorageClasses(t *testing.T) {
	t.Parallel()
	create := "CREATE TABLE t (id TEXT PRIMARY KEY, v, w INTEGER, at DATETIME)"
	src := sqliteFile(t, create, `INSERT INTO t VALUES (NULL, 1, 'x', '2020-01-01'), (NULL, 1.5, 2, 5), ('k', x'', NULL, 'not a date'), ('z', CAST(x'ff' AS TEXT), 1e400, ''),
 ('n', 'a'||char(0)||'b', -0.0, x'00')`)
	dst := sqliteFile(t, create)
	m := pair(t, src, dst, "t")
	if got := loadWhole(t, src, dst, m, 2); got.Written != 5 {
		t.Errorf("%+v", got)
	}
	q := "SELECT group_concat(typeof(id)||quote(id)||typeof(v)||hex(v)||typeof(w)||quote(w)||typeof(at)||hex(at), ',' ORDER BY rowid) FROM t"
	if a, b := one(t, src, q), one(t, dst, q); a != b {
		t.Errorf("%s\nwant %s", b, a)
	}
}
