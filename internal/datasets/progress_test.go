package datasets

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestProgressIsGivenForEachDataSetOfAJobInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		const sets = progressPage + 2
		at := formatMoment(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		var want []ID
		parts := 0
		l.must(l.inTx(l.ctx, func(tx *txn) error {
			for i := range sets {
				id := ID{fmt.Sprint(i % 7), fmt.Sprint("d", i)}
				if i%2 == 1 {
					id.Database = fmt.Sprint("D", i) // before all small letters
				}
				want = append(want, id)
				for _, job := range []string{"j1", "j2"} {
					d := deletion{job: job, set: id, state: Held, heldAt: at, sync: at}
					if err := d.insert(l.ctx, tx); err != nil {
						return err
					}
				}
				parts += i % 3
				for n := range i % 3 {
					if err := tx.insertPart(l.ctx, Part{Job: "j1", Set: id, Number: n + 1, At: time.Unix(1, 0)}); err != nil {
						return err
					}
				}
			}
			return nil
		}))
		slices.SortFunc(want, func(a, b ID) int {
			return slices.Compare([]string{a.Customer, a.Database}, []string{b.Customer, b.Database})
		})
		var got []ID
		l.must(l.EachProgress(l.ctx, "j1", func(id ID, p Progress) error {
			got = append(got, id)
			parts -= len(p.Parts)
			for i, part := range p.Parts {
				if part.Number != i+1 || part.Set != id {
					t.Errorf("%s: part %d is %+v", id, i+1, part)
				}
			}
			return nil
		}))
		if !slices.Equal(got, want) {
			t.Errorf("%d data sets, or another order: %v", len(got), got[:min(5, len(got))])
		}
		if parts != 0 {
			t.Errorf("%d parts are missing", parts)
		}
	})
}

func TestTheTablesAboutDeletionsAreMadeByAnyNumberOfProcesses(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		l.exec("DROP TABLE stint_deletions")
		l.exec("DROP TABLE stint_deletion_parts")
		var wg sync.WaitGroup
		for range 6 {
			wg.Go(func() {
				if err := l.Prepare(l.ctx); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if p, err := l.Progress(l.ctx, "j1", old); err != nil || p.State != None {
			t.Error(p, err)
		}
	})
}

func TestHealthIsReadByAnybody(t *testing.T) {
	onEach(t, func(t *testing.T, l *lab) {
		h, err := l.Health(l.ctx)
		l.must(err)
		if h.Probe <= 0 || h.Lag != 0 || h.Waiting < 0 {
			t.Errorf("%+v", h)
		}
	})
}
