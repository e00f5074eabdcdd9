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
