package datasets

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// flag returns what the registry says of the old data set's deletion: "", "0" or "1".
func (l *lab) flag() string {
	l.t.Helper()
	expression := "coalesce(CAST(deleting AS char(5)), '')"
	if l.db.Dialect == sqldb.SQLite {
		expression = "coalesce(CAST(deleting AS text), '')"
	}
	got := l.texts("SELECT " + expression + " FROM data_set WHERE customer_id = 7 AND database_id = '" + old.Database + "'")
	return strings.NewReplacer("true", "1", "false", "0", " ", "").Replace(strings.Join(got, ","))
}

func TestAHoldShowsTheCheckBothDataSetsAndTheirRows(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		spared, err := l.Hold(l.ctx, "j1", old, kept, func(now time.Time, victim, witness *Set, scan func(Scan, func([]Row) error) error) (string, error) {
			if age := time.Since(now); age.Abs() > time.Minute {
				t.Errorf("now is %v", now)
			}
			want := time.Date(2026, 1, 2, 3, 4, 5, 123456000, time.UTC)
			if victim == nil || victim.ID != old || victim.LastSync == nil || !victim.LastSync.Equal(want) || witness == nil || witness.ID != kept {
				t.Errorf("the check saw %+v and %+v", victim, witness)
			}
			rows := map[int32]int{}
			err := scan(Scan{Customers: []string{old.Customer}, Lookup: func(id ID) int32 { return map[ID]int32{old: 1, kept: 2}[id] }}, func(batch []Row) error {
				for _, r := range batch {
					rows[r.Set]++
				}
				return nil
			})
			if rows[1] != labRows || rows[2] != labRows || len(rows) != 2 {
				t.Errorf("the scan gave %v rows", rows)
			}
			return "", err
		})
		if spared != "" || err != nil {
			t.Fatal(spared, err)
		}
		p := l.state("j1", Held)
		if got := l.flag(); got != "1" {
			t.Errorf("the flag is %q", got)
		}
		if p.Sync.IsZero() || p.Since.IsZero() {
			t.Errorf("%+v", p)
		}
	})
}

func TestWhatTheCheckSparesStaysAsItWas(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		before := l.dump()
		spared, err := l.Hold(l.ctx, "j1", old, kept, func(time.Time, *Set, *Set, func(Scan, func([]Row) error) error) (string, error) {
			return "it is recent", nil
		})
		if spared != "it is recent" || err != nil {
			t.Error(spared, err)
		}
		broken := errors.New("broken")
		if _, err := l.Hold(l.ctx, "j1", old, kept, func(time.Time, *Set, *Set, func(Scan, func([]Row) error) error) (string, error) { return "", broken }); !errors.Is(err, broken) {
			t.Error(err)
		}
		absent := ID{"7", "0b000000-0000-4000-8000-00000000ffff"}
		if spared, err := l.Hold(l.ctx, "j1", absent, kept, yes); !strings.Contains(spared, "not in the registry") {
			t.Error(spared, err)
		}
		if spared, err := l.Hold(l.ctx, "j1", old, absent, yes); !strings.Contains(spared, "witness") {
			t.Error(spared, err)
		}
		if _, err := l.Hold(l.ctx, "j1", old, others, yes); !tasks.IsPermanent(err) {
			t.Error("another customer's data set was taken for a witness:", err)
		}
		l.state("j1", None)
		l.exec("UPDATE data_set SET last_synced_at = NULL WHERE database_id = '" + old.Database + "' AND customer_id = 7")
		if spared, err := l.Hold(l.ctx, "j1", old, kept, yes); !strings.Contains(spared, "nobody knows") {
			t.Error(spared, err)
		}
		l.exec("UPDATE data_set SET last_synced_at = '2026-01-02 03:04:05.123456' WHERE database_id = '" + old.Database + "' AND customer_id = 7")
		l.sameDump(l.dump(), before)
	})
}

func TestOneJobAtATimeDeletesADataSetAndNoWitnessGoes(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		for _, x := range []struct {
			job             string
			victim, witness ID
			want            string
		}{
			{"j2", old, kept, "job j1 is deleting it"},
			{"j2", kept, old, "is deleting its witness"},
			{"j1", kept, old, "is deleting its witness"},
		} {
			if spared, err := l.Hold(l.ctx, x.job, x.victim, x.witness, yes); err != nil || !strings.Contains(spared, x.want) {
				t.Errorf("%s, %s: spared %q, error %v", x.job, x.victim, spared, err)
			}
		}
		third := ID{"7", "0b000000-0000-4000-8000-000000000003"}
		l.fill(third)
		if spared, err := l.Hold(l.ctx, "j2", kept, third, yes); err != nil || !strings.Contains(spared, "it is the witness of") {
			t.Error(spared, err)
		}
	})
}

func TestHeldTwiceByTheSameJobIsCheckedAnewOnlyWhenItWasSynced(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.hold("j1")
		checks := 0
		check := func(now time.Time, victim, _ *Set, _ func(Scan, func([]Row) error) error) (string, error) {
			checks++
			return "", nil
		}
		for range 2 {
			if spared, err := l.Hold(l.ctx, "j1", old, kept, check); spared != "" || err != nil {
				t.Fatal(spared, err)
			}
		}
		if checks != 0 {
			t.Errorf("it was checked %d times", checks)
		}
		l.sync(old, "2026-03-04 05:06:07")
		if spared, err := l.Hold(l.ctx, "j1", old, kept, check); spared != "" || err != nil || checks != 1 {
			t.Fatal(spared, err, checks)
		}
		l.deleteAll("j1", 1000) // the sync that the check saw stops nothing
		if spared, err := l.Hold(l.ctx, "j1", old, kept, check); spared != "" || err != nil || checks != 1 {
			t.Fatal(spared, err, checks)
		}
		l.restoreAll("j1", false)
		if got := l.flag(); got != "" {
			t.Errorf("the flag is %q, and was nothing", got)
		}
	})
}

// sync is what the service does when a client's sync ends.
func (l *lab) sync(set ID, at string) {
	l.t.Helper()
	l.exec("UPDATE data_set SET last_synced_at = '" + at + "' WHERE customer_id = " + set.Customer + " AND database_id = '" + set.Database + "'")
}

func TestAFlagThatSomebodyElseSetSparesTheDataSet(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		value := "1"
		if l.db.Dialect == sqldb.Postgres {
			value = "true"
		}
		l.exec("UPDATE data_set SET deleting = " + value)
		if spared, err := l.Hold(l.ctx, "j1", old, kept, yes); err != nil || !strings.Contains(spared, "deleting") {
			t.Error(spared, err)
		}
	})
}

func TestHoldsThatWaitForOneAnotherDoNotBlockEachOther(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		third := ID{"7", "0b000000-0000-4000-8000-000000000000"}
		l.fill(third)
		rounds := [][2]ID{{old, kept}, {kept, third}, {third, old}}
		held := make([]string, len(rounds))
		var wg sync.WaitGroup
		for i, r := range rounds {
			wg.Go(func() {
				for l.ctx.Err() == nil {
					spared, err := l.Hold(l.ctx, "j"+r[0].Database[34:], r[0], r[1], yes)
					if _, again := tasks.RetryAfterOf(err); again {
						continue
					}
					if err != nil {
						t.Error(err)
					}
					held[i] = spared
					return
				}
			})
		}
		wg.Wait()
		n := 0
		for _, spared := range held {
			if spared == "" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%d of 3 data sets are held, each of which is the witness of another: %q", n, held)
		}
	})
}

func TestALockThatIsNotHadIsAskedForAgainLater(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		ctx, cancel := context.WithCancel(l.ctx)
		defer cancel()
		err := l.inTx(ctx, func(tx *txn) error {
			if _, err := tx.exec(ctx, "UPDATE data_set SET note = 'x'"); err != nil {
				return err
			}
			_, err := l.Hold(l.ctx, "j1", old, kept, yes)
			if _, again := tasks.RetryAfterOf(err); !again {
				t.Errorf("want a RetryAfter, got %v", err)
			}
			return nil
		})
		l.must(err)
		l.hold("j1")
	})
}
