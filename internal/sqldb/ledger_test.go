package sqldb

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/tasks"
)

// targets runs a test against each dialect that can be one.
func targets(t *testing.T, test func(t *testing.T, db *DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, sqliteFile(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, postgresDB(t)) })
	t.Run("mysql", func(t *testing.T) { t.Parallel(); test(t, mysqlDB(t)) })
}

func TestTheLedgerIsMadeByManyAtOnce(t *testing.T) {
	t.Parallel()
	targets(t, func(t *testing.T, db *DB) {
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if err := EnsureLedger(context.Background(), db); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, table := range []string{"stint_ledger", "stint_chunks", "stint_tables", "stint_quarantine"} {
			if got := one(t, db, "SELECT count(*) FROM "+table); got != "0" {
				t.Errorf("%s holds %s rows", table, got)
			}
		}
	})
}

func TestTheFirstSplitOfAStageHolds(t *testing.T) {
	t.Parallel()
	targets(t, func(t *testing.T, db *DB) {
		ctx := context.Background()
		if err := EnsureLedger(ctx, db); err != nil {
			t.Fatal(err)
		}
		// Each rival has seen another source, so it would cut elsewhere.
		cut := func(rival int, last Chunk) []Chunk {
			var page []Chunk
			for i := range 5 + rival {
				c := Chunk{Seq: last.Seq + 1 + int64(i), From: last.To}
				if i > 0 {
					c.From = page[i-1].To
				}
				if c.Seq < 25 {
					c.To = RowKey{c.Seq*100 + int64(rival), fmt.Sprintf("it's \\ %d", rival)}
				}
				page = append(page, c)
				if c.To == nil {
					break
				}
			}
			return page
		}
		var wg sync.WaitGroup
		results := make([][]Chunk, 6)
		for rival := range results {
			wg.Go(func() {
				last := Chunk{Seq: -1}
				for last.Seq < 0 || last.To != nil {
					held, err := SaveChunks(ctx, db, &Table{Name: "t"}, "job", "stage", cut(rival, last))
					for err != nil {
						if _, ok := tasks.RetryAfterOf(err); !ok {
							t.Error(err)
							return
						}
						held, err = SaveChunks(ctx, db, &Table{Name: "t"}, "job", "stage", cut(rival, last))
					}
					if len(held) == 0 {
						t.Error("nothing was saved")
						return
					}
					results[rival] = append(results[rival], held...)
					last = held[len(held)-1]
				}
			})
		}
		wg.Wait()
		saved, err := SavedChunks(ctx, db, "job", "stage", -1, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range saved {
			if c.Seq != int64(i) || (i > 0 && !c.From.Equal(saved[i-1].To)) {
				t.Errorf("chunk %d is %+v", i, c)
			}
		}
		for i, r := range results {
			if !reflect.DeepEqual(r, saved) {
				t.Errorf("rival %d went by %v, saved are %v", i, r, saved)
			}
		}
		page, err := SavedChunks(ctx, db, "job", "stage", 3, 2)
		if err != nil || len(page) != 2 || page[0].Seq != 4 {
			t.Errorf("%v, %v", page, err)
		}
		other, err := SavedChunks(ctx, db, "job", "other", -1, 10)
		if err != nil || len(other) != 0 {
			t.Errorf("%v, %v", other, err)
		}
	})
}

func TestChunksThatDoNotFollowAreRefused(t *testing.T) {
	t.Parallel()
	targets(t, func(t *testing.T, db *DB) {
		ctx := context.Background()
		if err := EnsureLedger(ctx, db); err != nil {
			t.Fatal(err)
		}
		k := func(n int64) RowKey { return RowKey{n} }
		if _, err := SaveChunks(ctx, db, &Table{Name: "t"}, "j", "s", []Chunk{{Seq: 0, To: k(5)}}); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range [][]Chunk{
			{{Seq: 1, From: k(6)}},                     // a gap
			{{Seq: 2, From: k(5)}},                     // a number left out
			{{Seq: 1, From: k(5), To: k(9)}, {Seq: 3}}, // within the page
			{{Seq: 1, From: k(5), To: k(9)}, {Seq: 2}}, // a gap within the page
		} {
			if _, err := SaveChunks(ctx, db, &Table{Name: "t"}, "j", "s", wrong); !tasks.IsPermanent(err) {
				t.Errorf("%v: %v", wrong, err)
			}
		}
	})
}

func TestProgressFollowsTheChainOfBatches(t *testing.T) {
	t.Parallel()
	targets(t, func(t *testing.T, db *DB) {
		ctx := context.Background()
		if err := EnsureLedger(ctx, db); err != nil {
			t.Fatal(err)
		}
		add := func(from, to string, done int) {
			run(t, db, fmt.Sprintf("%s'j', 's', '1', '%s', '%s', %d, 10, 8, 2, 0, 100, '', 'w', 'a')", ledgerInsert, from, to, done))
		}
		check := func(wantTo RowKey, wantDone bool, batches int64) {
			t.Helper()
			to, done, totals, err := Progress(ctx, db, "j", "s", "1")
			if err != nil || !to.Equal(wantTo) || done != wantDone ||
				totals != (tasks.Counters{Read: 10 * batches, Written: 8 * batches, Quarantined: 2 * batches, Bytes: 100 * batches}) {
				t.Errorf("%v %v %+v %v", to, done, totals, err)
			}
		}
		check(nil, false, 0)
		add("", "[5]", 0)
		check(RowKey{int64(5)}, false, 1)
		add("[5]", `[9]`, 0)
		check(RowKey{int64(9)}, false, 2)
		add("[9]", "", 1)
		check(nil, true, 3)
		if c, err := StageTotals(ctx, db, "j", "s"); err != nil || c.Read != 30 {
			t.Errorf("%+v %v", c, err)
		}
		run(t, db, "DELETE FROM stint_ledger WHERE from_key <> '[5]'")
		add("[1]", "[2]", 0)
		if _, _, _, err := Progress(ctx, db, "j", "s", "1"); !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
			t.Errorf("a broken chain gave %v", err)
		}
	})
}

func TestErrorsSayWhatHappensNext(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := postgresDB(t, "CREATE TABLE t (id integer)")
	err := Classify(tryRun(db, "SELECT * FROM nowhere"))
	if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Errorf("a missing table: %v", err)
	}
	tx, err := db.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "LOCK TABLE t"); err != nil {
		t.Fatal(err)
	}
	err = Classify(tryRun(db, "SET lock_timeout = 10; SELECT * FROM t"))
	if _, ok := tasks.RetryAfterOf(err); !ok {
		t.Errorf("a lock that was not had: %v", err)
	}
	if err := Classify(context.Canceled); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Classify(nil); err != nil {
		t.Error(err)
	}
	if once := Classify(tryRun(db, "SELECT * FROM nowhere")); Classify(once) != once {
		t.Error("an error was classified twice")
	}
}

func TestOneJobAloneLoadsATable(t *testing.T) {
	t.Parallel()
	targets(t, func(t *testing.T, db *DB) {
		ctx := context.Background()
		if err := EnsureLedger(ctx, db); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				save := func() error {
					_, err := SaveChunks(ctx, db, &Table{Name: "It's t"}, fmt.Sprintf("job %d", i), "load:t", []Chunk{{}})
					return err
				}
				errs[i] = save()
				for _, again := tasks.RetryAfterOf(errs[i]); again; _, again = tasks.RetryAfterOf(errs[i]) {
					errs[i] = save()
				}
			})
		}
		wg.Wait()
		owner := one(t, db, "SELECT job FROM stint_tables")
		if got := one(t, db, "SELECT count(*)||' '||min(job) FROM stint_chunks"); got != "1 "+owner {
			t.Errorf("chunks of %s, want those of %s alone", got, owner)
		}
		for i, err := range errs {
			if name := fmt.Sprintf("job %d", i); name == owner {
				if err != nil {
					t.Error(err)
				}
			} else if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), owner+" loads table It's t") || !strings.Contains(tasks.HintOf(err), "DELETE FROM stint_tables") {
				t.Errorf("%s: %v (%s)", name, err, tasks.HintOf(err))
			}
		}
	})
}
