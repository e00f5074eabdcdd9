package sqldb

import (
	"context"
	"fmt"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestRowsMeetThoseThatAreThereByTheirKeyAlone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, code TEXT, v TEXT)",
		"INSERT INTO t VALUES (1, 'a', 'new'), (2, 'b', 'new'), (3, 'taken', 'new'), (4, 'd', 'new'), (5, 'same', 'same')")
	for mode, want := range map[string]string{
		ModeUpsert:  "1 a new kept, 2 b new -, 4 d new -, 5 same same kept, 9 taken old kept",
		ModeReplace: "1 a new -, 2 b new -, 4 d new -, 5 same same -, 9 taken old kept",
	} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dst := mysqlDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, code varchar(20) UNIQUE, v varchar(20), other varchar(20) DEFAULT '-')",
				"INSERT INTO t VALUES (1, 'a', 'old', 'kept'), (9, 'taken', 'old', 'kept'), (5, 'same', 'same', 'kept')")
			m := pair(t, src, dst, "t")
			o := opts("1")
			o.Mode, o.Key = mode, []string{"id"}
			for range 2 { // the second time under another step: everything is there already
				if err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{Rows: 2}); err != nil {
					t.Fatal(err)
				}
				got := one(t, dst, "SELECT group_concat(concat_ws(' ', id, code, v, other) ORDER BY id SEPARATOR ', ') FROM t")
				if got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
				o.Step = "2"
			}
			bad, err := Quarantine(ctx, dst, "job", "t", 0, 10)
			if err != nil || len(bad) != 2 || fmt.Sprint(bad[0].Key) != "[3]" || bad[0].Code != "23505" {
				t.Errorf("%+v, %v", bad, err)
			}
			if got := one(t, dst, "SELECT sum(rows_written)||' '||sum(rows_quarantined) FROM stint_ledger"); got != "8 2" {
				t.Error(got)
			}
		})
	}
}

func TestTheLastRowOfAKeyWinsInMySQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE s (id INTEGER PRIMARY KEY, a TEXT, b INTEGER, v TEXT)",
		"INSERT INTO s VALUES (1, 'x', 1, 'first'), (2, 'y', 1, 'only'), (3, 'x', 1, 'second'), (4, 'X', 1, 'third'), (5, 'new', 1, 'first'), (6, 'new', 1, 'second'), (7, 'x', 2, 'other')")
	dst := mysqlDB(t, "CREATE TABLE t (a varchar(20) COLLATE utf8mb4_general_ci, b bigint, v varchar(20), n bigint DEFAULT 0, PRIMARY KEY (a, b))", "INSERT INTO t VALUES ('x', 1, 'old', 7), ('y', 1, 'old', 8)")
	if err := EnsureLedger(ctx, dst); err != nil {
		t.Fatal(err)
	}
	m := &Mapping{Source: tableIn(t, src, "s"), Target: tableIn(t, dst, "t"), Columns: []ColumnPair{{"a", "a"}, {"b", "b"}, {"v", "v"}}}
	o := opts("1")
	o.Mode, o.Key = ModeUpsert, []string{"a", "b"}
	for range 2 { // the second time all keys are there
		if err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{}); err != nil {
			t.Fatal(err)
		}
		if got := one(t, dst, "SELECT group_concat(concat_ws(' ', a, b, v, n) ORDER BY a, b SEPARATOR ', ') FROM t"); got != "new 1 second 0, x 1 third 7, x 2 other 0, y 1 only 8" {
			t.Error(got)
		}
		o.Step = "2"
	}
	if got := one(t, dst, "SELECT concat_ws(' ', sum(rows_read), sum(rows_written), sum(rows_quarantined), (SELECT count(*) FROM stint_quarantine)) FROM stint_ledger"); got != "14 14 0 0" {
		t.Error(got)
	}
}

func TestTheFirstRejectedRowStopsALoadIntoMySQLWhereItIsTo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, p INTEGER)", "INSERT INTO t VALUES (1, 1), (2, 99), (3, NULL)")
	create := []string{"CREATE TABLE p (id bigint PRIMARY KEY)", "INSERT INTO p VALUES (1)", "CREATE TABLE t (id bigint PRIMARY KEY, p bigint REFERENCES p (id), FOREIGN KEY (p) REFERENCES p (id))"}
	dst := mysqlDB(t, create...)
	m := pair(t, src, dst, "t")
	o := opts("1")
	if err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{}); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("a foreign key that is in the way: %v", err)
	}
	o.Rules, o.Stop = true, true
	if err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{}); !tasks.IsPermanent(err) {
		t.Errorf("under Stop: %v", err)
	}
	if got := one(t, dst, "SELECT count(*)||' '||(SELECT count(*) FROM stint_ledger) FROM t"); got != "0 0" {
		t.Error(got)
	}
	o.Stop = false
	if err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{}); err != nil {
		t.Fatal(err)
	}
	bad, err := Quarantine(ctx, dst, "job", "t", 0, 10)
	if err != nil || len(bad) != 1 || bad[0].Code != codeReference {
		t.Fatalf("%+v, %v", bad, err)
	}
	// What it refers to has come: the row is tried again.
	run(t, dst, "INSERT INTO p VALUES (99)")
	o.Step, o.Again = "again", &Again{Job: "job", Stage: "stage"}
	if err := attemptOnce(ctx, src, dst, m, Chunk{From: RowKey{int64(2)}, To: RowKey{int64(3)}}, o, Limits{}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, dst, "SELECT count(*)||' '||(SELECT count(*) FROM stint_quarantine) FROM t"); got != "3 0" {
		t.Error(got)
	}
}

// doubling makes two rows of each, and none of the third: one with a decimal, one with a moment.
type doubling struct{ key string }

func (*doubling) Reads() []Input                { return []Input{{Name: "id", Seen: true}, {Name: "v"}} }
func (*doubling) Plain(i int) int               { return []int{-1, 1, -1, -1}[i] }
func (*doubling) Ahead() bool                   { return false }
func (*doubling) Look([]Cell)                   {}
func (*doubling) Resolve(context.Context) error { return nil }
func (d *doubling) Key() string                 { return d.key }

func (d *doubling) Apply(row []Cell, emit func([]Cell) *BadValue) error {
	id := row[0].Value().(int64)
	d.key = fmt.Sprintf("k'%d", id)
	if id == 3 {
		return nil
	}
	for i := range id % 2 * 2 {
		if bad := emit([]Cell{TextCell(fmt.Sprintf("c%d-%d", id, i)), {}, DecimalCell(id*100+5, 2), MicrosCell(id * 1_000_000)}); bad != nil {
			return bad
		}
	}
	if id%2 == 0 {
		if bad := emit([]Cell{TextCell(fmt.Sprintf("c%d", id)), {}, {}, {}}); bad != nil {
			return bad
		}
	}
	return nil
}

func TestWhatBecameOfARowIsKeptInMySQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	src := sqliteFile(t, "CREATE TABLE s (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO s VALUES (1, 'a'), (2, 'it''s'), (3, 'c'), (4, 'bad'), (5, 'e')")
	dst := mysqlDB(t, "CREATE TABLE t (id bigint AUTO_INCREMENT PRIMARY KEY, code varchar(20) UNIQUE, v varchar(20) CHECK (v <> 'bad'), d decimal(10,2), ts datetime(6))", "INSERT INTO t (id, code) VALUES (7, 'c2')")
	if err := EnsureLedger(ctx, dst); err != nil {
		t.Fatal(err)
	}
	m := &Mapping{Source: tableIn(t, src, "s"), Target: tableIn(t, dst, "t"), Columns: []ColumnPair{{"code", "code"}, {"v", "v"}, {"d", "d"}, {"ts", "ts"}},
		Make: func() Transform { return &doubling{} }, Kinds: []Kind{KindText, KindText, KindNumeric, KindTimestamp}, KeepIDs: true}
	o := opts("1")
	o.Mode, o.Key, o.IDs = ModeUpsert, []string{"code"}, KeepIDs{Scope: "tenant", Entity: "things", Column: "id"}
	if err := attemptOnce(ctx, src, dst, m, Chunk{}, o, Limits{Rows: 2}); err != nil {
		t.Fatal(err)
	}
	if got := one(t, dst, "SELECT group_concat(concat_ws(' ', code, v, d, ts) ORDER BY code SEPARATOR ', ') FROM t"); got !=
		"c1-0 a 1.05 1970-01-01 00:00:01.000000, c1-1 a 1.05 1970-01-01 00:00:01.000000, c2 it's, c5-0 e 5.05 1970-01-01 00:00:05.000000, c5-1 e 5.05 1970-01-01 00:00:05.000000" {
		t.Error(got)
	}
	ids, err := LookUpIDs(ctx, dst, "tenant", "things", []string{"k'1", "k'2", "k'3", "k'4", "k'5"})
	if err != nil || len(ids) != 3 || ids["k'2"] != "7" {
		t.Errorf("%v, %v", ids, err)
	}
	totals, err := StageTotals(ctx, dst, "job", "stage")
	if err != nil || totals != (tasks.Counters{Read: 5, Written: 5, Skipped: 1, Quarantined: 1, Bytes: totals.Bytes}) {
		t.Errorf("%+v, %v", totals, err)
	}
}
