package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/tasks"
)

func TestBadRowsOfMySQLTargetsAreQuarantinedAndTheRestIsLoaded(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, n INTEGER, at DATETIME, code TEXT, e TEXT, j JSON, d DECIMAL)",
		`INSERT INTO t VALUES (1, 'good', 1, '2020-01-01', 'a', 'x', '{}', 1.5), (2, 'a'||char(0)||'b', 2, NULL, 'b', 'x', NULL, NULL), (3, 'text in n', 'x', NULL, 'c', 'x', NULL, NULL),
 (4, 'no such day', 4, '2020-02-30', 'd', 'x', NULL, NULL), (5, 'twice', 5, NULL, 'a', 'x', NULL, NULL), (6, CAST(x'ff' AS TEXT), 6, NULL, 'f', 'x', NULL, NULL), (7, NULL, 7, NULL, 'g', 'x', NULL, NULL),
 (8, 'checked', -8, NULL, 'h', 'x', NULL, NULL), (9, 'fine', 9, '0001-01-01 00:00:01', 'i', 'x', NULL, NULL), (10, 'too long for it', 10, NULL, 'j', 'x', NULL, NULL), (11, 'enum', 11, NULL, 'k', 'zz', NULL, NULL),
 (12, 'zero', 12, '0000-00-00', 'l', 'x', NULL, NULL), (13, 'json', 13, NULL, 'm', 'x', '{', NULL), (14, 'digits', 14, NULL, 'n', 'x', NULL, '1.005'), (15, 'A', 15, NULL, 'A', 'x', NULL, NULL),
 (16, 'blank', 16, NULL, 'a ', 'x', NULL, NULL)`)
	for _, batch := range []int{1, 4, 100} {
		t.Run(fmt.Sprint("in batches of ", batch), func(t *testing.T) {
			t.Parallel()
			dst := mysqlDB(t, `CREATE TABLE t (id bigint PRIMARY KEY, name varchar(11) NOT NULL, n int CHECK (n > 0), at datetime, code varchar(20) UNIQUE, e enum('x','y'), j longtext CHECK (json_valid(j)),
				d decimal(10,2)) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin`)
			m := pair(t, src, dst, "t")
			if got := loadWhole(t, src, dst, m, batch); got.Read != 16 || got.Written != 5 || got.Quarantined != 11 {
				t.Errorf("%+v", got)
			}
			if got := one(t, dst, "SELECT group_concat(id ORDER BY id) FROM t"); got != "1,2,9,15,16" {
				t.Error(got)
			}
			bad, err := Quarantine(context.Background(), dst, "job", "t", 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			codes := map[string]string{}
			for _, q := range bad {
				codes[fmt.Sprint(q.Key)] = q.Column + " " + q.Code
				if q.Reason == "" || !strings.HasPrefix(q.Row, `{"id":`) {
					t.Errorf("%+v", q)
				}
			}
			want := map[string]string{"[3]": "n 22P02", "[4]": "at 22008", "[5]": " 23505", "[6]": "name 22021", "[7]": "name 23502", "[8]": " 23514", "[10]": "name 22001", "[11]": "e 22P02",
				"[12]": "at 22008", "[13]": "j 22P02", "[14]": "d 22003"}
			if fmt.Sprint(codes) != fmt.Sprint(want) {
				t.Errorf("got %v\nwant %v", codes, want)
			}
		})
	}
}

func TestABatchFullOfBadRowsIsIsolatedInMySQLToo(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
		"INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 3000) SELECT i, CASE WHEN i%3 = 0 THEN 7 ELSE i*10 END FROM g")
	dst := mysqlDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n bigint UNIQUE)")
	if got := loadWhole(t, src, dst, pair(t, src, dst, "t"), 0); got.Read != 3000 || got.Written != 2001 || got.Quarantined != 999 {
		t.Errorf("%+v", got)
	}
	if n := one(t, dst, "SELECT count(*)||' '||(SELECT id FROM t WHERE n = 7)||' '||(SELECT count(*) FROM stint_quarantine WHERE code = '23505' AND row_json LIKE '%\"n\":7}') FROM t"); n != "2001 3 999" {
		t.Error(n)
	}
}

func TestDrainingEndsTheIsolationInMySQLAtOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER)",
		"INSERT INTO t WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM g WHERE i < 500) SELECT i, i%10 FROM g")
	dst := mysqlDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, n bigint CHECK (n <> 5))")
	m := pair(t, src, dst, "t")
	draining := make(chan struct{})
	close(draining)
	o := opts("1")
	o.Draining = draining
	steps := 0
	for done := false; !done; steps++ {
		err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{})
		if err != nil && !errors.Is(err, tasks.ErrDrained) {
			t.Fatal(err)
		}
		if _, done, _, err = Progress(ctx, dst, "job", "stage", "1"); err != nil {
			t.Fatal(err)
		}
	}
	if steps < 2 {
		t.Error("was never drained")
	}
	if n := one(t, dst, "SELECT count(*)||' '||(SELECT count(*) FROM stint_quarantine)||' '||(SELECT sum(rows_read) FROM stint_ledger) FROM t"); n != "450 50 500" {
		t.Error(n)
	}
}

func TestARivalThatIsFrozenInMySQLIsNotWaitedForAndCanBeEnded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, numbered, numberedRows(10))
	dst := mysqlDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, v text)")
	m := pair(t, src, dst, "t")
	// The frozen one has written its ledger row and rows, and never commits.
	l, err := NewLoader(ctx, dst, m, opts("1"))
	if err != nil {
		t.Fatal(err)
	}
	frozen := l.sink.(*mysqlSink)
	for _, sql := range []string{"START TRANSACTION", ledgerInsert + "'job', 'stage', '1', '', '', 1, 10, 10, 0, 0, 0, '', 'frozen', 'a1')", "INSERT INTO t VALUES (1, 'half')"} {
		if err := frozen.run(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	o := opts("1")
	o.LockTimeout = 50 * time.Millisecond
	err = attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{})
	if _, ok := tasks.RetryAfterOf(err); !ok || !IsLockTimeout(err) {
		t.Fatalf("waiting for a frozen rival ended with %v", err)
	}
	if n, err := EndRivals(ctx, dst, "job", "stage", "2"); n != 0 || err != nil {
		t.Fatalf("another step has %d rivals: %v", n, err)
	}
	if n, err := EndRivals(ctx, dst, "job", "stage", "1"); n != 1 || err != nil {
		t.Fatalf("%d sessions were ended, want the frozen one: %v", n, err)
	}
	if err := persist(ctx, src, dst, m, Chunk{}, o, Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, dst, "SELECT count(*)||' '||min(v) FROM t"); got != "10 value 1" {
		t.Error(got)
	}
	if err := frozen.run(ctx, "COMMIT"); err == nil {
		t.Error("the frozen rival could commit after all")
	}
	l.Close()
	if n, err := EndRivals(ctx, dst, "job", "stage", "1"); n != 0 || err != nil {
		t.Errorf("loaders that have ended are %d rivals: %v", n, err)
	}
}

// TestAConnectionToMySQLThatBreaksAnywhereLosesAndDoublesNothing cuts the connection at every few bytes of a whole load, in either
// direction.
func TestAConnectionToMySQLThatBreaksAnywhereLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, answers := range []bool{false, true} {
		t.Run(fmt.Sprintf("answers=%v", answers), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			src := sqliteFile(t, numbered, numberedRows(60), "UPDATE t SET v = CAST(x'ff' AS TEXT) WHERE id % 20 = 3")
			at := mariadbtest.New(t)
			dst := openAt(t, at, Options{})
			run(t, dst, "CREATE TABLE t (id bigint, v varchar(100) CHECK (v NOT LIKE '%17'))")
			m := pair(t, src, dst, "t")
			cut, through := newCutter(t, at, answers)
			step := int64(397)
			if answers {
				step = 101
			}
			broken := openAt(t, through, Options{MaxConns: 2})
			for left, cuts := int64(0), 0; ; left += step {
				o := opts(fmt.Sprint(left))
				o.LockTimeout = time.Second
				if err := broken.Ping(ctx); err != nil {
					t.Fatal(err)
				}
				cut.left.Store(left)
				if err := persist(ctx, src, broken, m, Chunk{}, o, Limits{Rows: 25}); err != nil {
					t.Fatal(err)
				}
				whole := cut.left.Swap(-1) >= 0
				if got := one(t, dst, fmt.Sprintf("SELECT count(*)||' '||count(DISTINCT id)||' '||(SELECT count(*) FROM stint_quarantine WHERE step = '%d')||' '||"+
					"(SELECT sum(rows_written)||' '||sum(rows_quarantined) FROM stint_ledger WHERE step = '%d') FROM t", left, left)); got != "56 56 4 56 4" {
					t.Fatalf("cut after %d bytes: %s", left, got)
				}
				run(t, dst, "DELETE FROM t")
				if whole { // all of it fitted in: there is nothing left to cut
					if cuts < 10 {
						t.Errorf("only %d cuts", cuts)
					}
					t.Logf("%d cuts, the last after %d bytes", cuts, left-step)
					return
				}
				cuts++
			}
		})
	}
}

func TestWhatTheServerWouldChangeIsSetAside(t *testing.T) {
	t.Parallel()
	src := mysqlDB(t, "CREATE TABLE t (id int PRIMARY KEY, dt datetime(6), d decimal(10,4), ti time(3))",
		"INSERT INTO t VALUES (1, '2020-01-01 00:00:00.123456', 1.0001, '10:00:00.001'), (2, '2020-01-01 00:00:00.5', 1.5, '10:00:00'), (3, '2020-01-01', 7, '838:59:59')")
	dst := mysqlDB(t, "CREATE TABLE t (id int PRIMARY KEY, dt datetime(1), d decimal(10,1), ti time)")
	if got := loadWhole(t, src, dst, pair(t, src, dst, "t"), 0); got.Written != 1 || got.Quarantined != 2 {
		t.Errorf("%+v", got)
	}
	// The codecs know these; a view of the server's own warnings is the second net.
	l, err := NewLoader(context.Background(), dst, pair(t, src, dst, "t"), opts("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := l.sink.(*mysqlSink)
	s.insert = "INSERT INTO t (id, d) VALUES "
	err = s.write(context.Background(), &Batch{data: []byte("(9,1.55),"), ends: []int{9}}, 0, 1)
	if code, reason, column, ok := rowFault(err); !ok || code != codeSyntax || column != "d" || reason == "" {
		t.Errorf("a decimal that was rounded: %v, %s %s %s", err, code, reason, column)
	}
}

func TestALargeRowGoesIntoMySQLAndOneThatIsTooLargeIsSetAside(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)",
		"INSERT INTO t VALUES (1, x'00'), (2, zeroblob(9000000)), (3, x'02'), (4, zeroblob(3000000)), (5, zeroblob(17000000)), (6, NULL)")
	dst := mysqlDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, b longblob)")
	if got := loadWhole(t, src, dst, pair(t, src, dst, "t"), 0); got.Written != 5 || got.Quarantined != 1 {
		t.Errorf("%+v", got)
	}
	if n := one(t, dst, "SELECT sum(length(b))||' '||(SELECT row_key||code FROM stint_quarantine) FROM t"); n != "12000002 [5]54000" {
		t.Error(n)
	}
}

func TestRowsWithoutAKeyThatAreTheSameAreSetAsideOneByOne(t *testing.T) {
	t.Parallel()
	src := mysqlDB(t, "CREATE TABLE t (d date, n int)", "INSERT INTO t VALUES ('2020-00-15', 1), ('2020-00-15', 1), ('2020-00-15', 1), ('0000-00-00', 2), ('2020-01-01', 3), ('2020-01-01', 3), (NULL, NULL)")
	for _, dst := range []*DB{postgresDB(t), mysqlDB(t)} {
		to, _ := MapSchema(introspect(t, src), dst.Dialect)
		create := CreateTable(&to.Tables[0], dst.Dialect)
		if dst.Dialect == MySQL {
			create = []string{"CREATE TABLE t (d date CHECK (d > '2020-01-00' OR d IS NULL), n int)"}
		}
		run(t, dst, create...)
		m := pair(t, src, dst, "t")
		want := int64(4)
		if got := loadWhole(t, src, dst, m, 2); got.Read != 7 || got.Quarantined != want {
			t.Errorf("%s: %+v", dst.Dialect, got)
		}
		if n, err := QuarantineCount(context.Background(), dst, "job", "t"); n != want || err != nil {
			t.Errorf("%s: %d in quarantine, %v", dst.Dialect, n, err)
		}
		got, err := CompareRange(context.Background(), src, dst, m, WalkOf(m.Source), nil, nil, "job", func(d Difference) bool {
			t.Errorf("%s: %+v", dst.Dialect, d)
			return true
		})
		if err != nil || got.Quarantined != want || got.Equal != 3 {
			t.Errorf("%s: %+v, %v", dst.Dialect, got, err)
		}
	}
}
