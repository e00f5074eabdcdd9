package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// differences compares a table as a whole and returns what was found, as text.
func differences(t *testing.T, src, dst *DB, m *Mapping, job string) (CompareResult, []string) {
	t.Helper()
	var found []string
	got, err := CompareRange(context.Background(), src, dst, m, WalkOf(m.Source), nil, nil, job, func(d Difference) bool {
		found = append(found, strings.TrimRight(fmt.Sprintf("%s %s %v %s %s %s", d.Kind, d.Table, d.Key, d.Column, d.Source, d.Target), " "))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(found)
	return got, found
}

// same reports whether a comparison found nothing.
func same(r CompareResult) bool {
	return r.Differing == 0 && r.Missing == 0 && r.Extra == 0 && !r.Stopped
}

func TestWhatWasLoadedComparesEqual(t *testing.T) {
	t.Parallel()
	fill := `INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 700)
 SELECT @KEY, i/3, CASE i%4 WHEN 0 THEN i WHEN 1 THEN i/7.0 WHEN 2 THEN -0.0 END, (i*7919%100000)/100.0, 'text '||i||' é "', datetime(i*1e6, 'unixepoch'),
 date(i*1e6, 'unixepoch'), printf('{%08X-0000-4000-8000-000000000000}', i), i%2, CAST('b'||i AS BLOB), '{"b": 1.0, "a": ['||i||']}', 'c' FROM g`
	cols := `n INTEGER, f REAL, m DECIMAL(12,2), s TEXT, ts DATETIME, d DATE, u TEXT, b BOOLEAN, x BLOB, j JSON, c CHAR(5)`
	pgCols := `n bigint, f double precision, m numeric(12,2), s text, ts timestamptz, d date, u uuid, b boolean, x bytea, j jsonb, c char(5)`
	for _, tc := range []struct {
		mode               CompareMode
		source, key, table string
	}{
		{CompareMerge, "id INTEGER PRIMARY KEY", "i", "id bigint PRIMARY KEY"},
		{CompareLookup, "id TEXT NOT NULL PRIMARY KEY", "CASE WHEN i%2 THEN 'K' ELSE 'k' END||i", "id text PRIMARY KEY"},
		{CompareLookup, "id TEXT NOT NULL PRIMARY KEY", "printf('{%08X-1111-4000-8000-000000000000}', i)", "id uuid PRIMARY KEY"},
		{CompareMultiset, "id INTEGER", "i%10", "id bigint"},
	} {
		t.Run(string(tc.mode)+" by "+tc.table, func(t *testing.T) {
			t.Parallel()
			src := sqliteFile(t, "CREATE TABLE t ("+tc.source+", "+cols+")", strings.Replace(fill, "@KEY", tc.key, 1))
			dst := postgresDB(t, "CREATE TABLE t ("+tc.table+", "+pgCols+")")
			m := pair(t, src, dst, "t")
			if mode := ModeOf(m, WalkOf(m.Source)); mode != tc.mode {
				t.Fatalf("compared by %s", mode)
			}
			loadWhole(t, src, dst, m, 100)
			got, found := differences(t, src, dst, m, "job")
			if len(found) > 0 || !same(got) || got.Equal != 700 || got.SourceRows != 700 || got.TargetRows != 700 {
				t.Errorf("%+v %q", got, found)
			}
			// And back again into SQLite, where it must be the same still.
			back := sqliteFile(t, "CREATE TABLE t ("+tc.source+", "+strings.Replace(cols, "DECIMAL", "DECIMAL_TEXT", 1)+")")
			m2 := pair(t, dst, back, "t")
			loadWhole(t, dst, back, m2, 100)
			if got, found := differences(t, dst, back, m2, "job"); len(found) > 0 || got.Equal != 700 {
				t.Errorf("back: %+v %q", got, found)
			}
		})
	}
}

func TestOneCellThatDiffersIsNamed(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, m DECIMAL(10,2))", "INSERT INTO t VALUES (1, 'a', 1.5), (2, 'b', 2.5), (3, 'c', NULL), (4, 'd', 4), (5, 'e', 5)")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, s text, m numeric(10,2))",
		"INSERT INTO t VALUES (1, 'a', 1.50), (2, 'B', 2.51), (3, 'c', 0), (5, 'e', 5), (9, 'new', 1)")
	m := pair(t, src, dst, "t")
	got, found := differences(t, src, dst, m, "")
	want := []string{`differs t [2] m 2.5 2.51`, `differs t [2] s "b" "B"`, `differs t [3] m NULL 0.00`, "extra t [9]", "missing t [4]"}
	if fmt.Sprint(found) != fmt.Sprint(want) || same(got) {
		t.Errorf("%q", found)
	}
	if (got != CompareResult{SourceRows: 5, TargetRows: 5, Equal: 2, Differing: 2, Missing: 1, Extra: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestRowsInQuarantineAreExpectedToBeMissing(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"id INTEGER PRIMARY KEY", "id TEXT NOT NULL PRIMARY KEY", "id INTEGER"} {
		src := sqliteFile(t, "CREATE TABLE t ("+key+", s TEXT)", "INSERT INTO t VALUES ('1', 'a'), ('2', 'b'||char(0)), ('3', 'c')")
		dst := postgresDB(t, "CREATE TABLE t ("+strings.NewReplacer("INTEGER", "bigint", "TEXT", "text").Replace(key)+", s text)")
		m := pair(t, src, dst, "t")
		loadWhole(t, src, dst, m, 0)
		if got, found := differences(t, src, dst, m, "job"); len(found) > 0 || got.Quarantined != 1 || got.Equal != 2 || !same(got) {
			t.Errorf("%s: %+v %q", key, got, found)
		}
		if got, found := differences(t, src, dst, m, "another job"); len(found) != 1 || got.Missing != 1 {
			t.Errorf("%s: %+v %q", key, got, found)
		}
	}
}

func TestExtraRowsAreFoundBehindKeysThatSortDifferently(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (a TEXT NOT NULL, b INTEGER NOT NULL, s TEXT, PRIMARY KEY (a, b))", "INSERT INTO t VALUES ('a', 1, 'x'), ('B', 2, 'y'), ('c', 3, 'z')")
	dst := postgresDB(t, "CREATE TABLE t (a text, b bigint, s text, PRIMARY KEY (a, b))", "INSERT INTO t VALUES ('a', 1, 'x'), ('B', 2, 'y'), ('c', 4, 'z'), ('A', 1, 'x')")
	m := pair(t, src, dst, "t")
	if got, found := differences(t, src, dst, m, ""); got.Missing != 1 || fmt.Sprint(found) != `[missing t ["c",3]]` {
		t.Errorf("%+v %q", got, found)
	}
	var extra []string
	n, err := FindExtra(context.Background(), src, dst, m, WalkOf(m.Source), func(d Difference) bool { extra = append(extra, d.Key.String()); return true })
	slices.Sort(extra)
	if err != nil || n != 2 || fmt.Sprint(extra) != `[["A",1] ["c",4]]` {
		t.Errorf("%d %q %v", n, extra, err)
	}
	if n, err := CountRows(context.Background(), dst, m.Target); n != 4 || err != nil {
		t.Error(n, err)
	}
}

func TestTablesWithoutAKeyAreComparedAsMultisets(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (v INTEGER, s TEXT)", "INSERT INTO t VALUES (1, 'a'), (1, 'a'), (2, 'b'), (3, NULL), (NULL, NULL)")
	dst := postgresDB(t, "CREATE TABLE t (v bigint, s text)", "INSERT INTO t VALUES (NULL, NULL), (1, 'a'), (2, 'b'), (2, 'b'), (3, NULL)")
	m := pair(t, src, dst, "t")
	got, found := differences(t, src, dst, m, "")
	if got.Missing != 1 || got.Extra != 1 || got.Equal != 4 || len(found) != 2 || !strings.HasPrefix(found[0], "extra t [0,") || !strings.HasPrefix(found[1], "missing t [") {
		t.Errorf("%+v %q", got, found)
	}
	_, err := CompareRange(context.Background(), src, dst, m, WalkOf(m.Source), RowKey{int64(2)}, nil, "", func(Difference) bool { return true })
	if err == nil {
		t.Error("a part of a table without a key was compared")
	}
}

func TestAComparisonStopsWhenItIsTold(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, numbered, numberedRows(100))
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
	m := pair(t, src, dst, "t")
	n := 0
	got, err := CompareRange(context.Background(), src, dst, m, WalkOf(m.Source), nil, nil, "", func(Difference) bool { n++; return n < 3 })
	if err != nil || n != 3 || !got.Stopped || same(got) {
		t.Errorf("%d %+v %v", n, got, err)
	}
}

func TestARangeIsComparedWithoutItsNeighbours(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, numbered, numberedRows(100))
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, v text)", "INSERT INTO t SELECT i, 'value '||i FROM generate_series(30, 69) i")
	m := pair(t, src, dst, "t")
	got, err := CompareRange(context.Background(), src, dst, m, WalkOf(m.Source), RowKey{int64(30)}, RowKey{int64(70)}, "", func(Difference) bool { return true })
	if err != nil || !same(got) || got.Equal != 40 {
		t.Errorf("%+v %v", got, err)
	}
}

func TestBytesThatDifferMayHoldTheSameValue(t *testing.T) {
	t.Parallel()
	src := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, f double precision, at timestamptz, j jsonb)",
		"INSERT INTO t VALUES (1, 1.5, 0, '2020-01-01Z', '{\"a\": 1.0}'), (2, 2, 1, NULL, '[]'), (3, 3, 'NaN', 'infinity', NULL), (4, 4.0, 2, NULL, NULL)")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n numeric, f double precision, at timestamptz, j jsonb)",
		"INSERT INTO t VALUES (1, 1.50, '-0', '2020-01-01Z', '{\"a\": 1}'), (2, 2.01, 1, NULL, '[]'), (3, 3, 'NaN', '-infinity', NULL), (4, 4, NULL, NULL, NULL)")
	got, found := differences(t, src, dst, pair(t, src, dst, "t"), "")
	want := []string{"differs t [2] n 2 2.01", `differs t [3] at "infinity" "-infinity"`, "differs t [4] f 2 NULL"}
	if fmt.Sprint(found) != fmt.Sprint(want) || got.Equal != 1 {
		t.Errorf("%+v %q", got, found)
	}
}
