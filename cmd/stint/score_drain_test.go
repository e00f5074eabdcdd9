package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// claimGrace is how long after a request to drain a claim that was on its way may still arrive.
const claimGrace = 250 * time.Millisecond

// work keeps a fleet busy for as long as a score wants: when one migration has ended, the next one begins, into the next of
// its empty databases.
type work struct {
	t       *testing.T
	r       *rig.Rig
	job     string
	targets int
	used    int
	args    []string
}

// newWork makes a rig with that many empty databases, a scheduler, and no worker yet.
func newWork(t *testing.T, src rig.Source, targets int, args ...string) *work {
	connections := []rig.Connection{{Name: "legacy", URL: src.URL()}}
	for i := range targets {
		connections = append(connections, rig.Connection{Name: fmt.Sprintf("cloud%d", i), URL: pgtest.New(t)})
	}
	w := &work{t: t, r: rig.New(t, redistest.New(t), connections...), targets: targets, args: args}
	w.r.Start("scheduler")
	return w
}

// view returns the job that is under way; it starts one when there is none.
func (w *work) view() *wire.Job {
	w.t.Helper()
	if w.job != "" {
		v := w.r.View(w.job)
		if v == nil || !v.State.Ended() {
			return v
		}
		if v.State != "succeeded" {
			w.t.Fatalf("job %s %s: %+v", v.ID, v.State, v.Error)
		}
	}
	if w.used == w.targets {
		w.t.Fatal("the score needs more databases: its migrations have ended too soon")
	}
	w.job = w.r.Submit("legacy", fmt.Sprintf("cloud%d", w.used), w.args...)
	w.used++
	return w.r.View(w.job)
}

// leased lists what a worker holds: its leases on steps of any kind.
func leased(v *wire.Job, worker string) (held []wire.Out) {
	if v == nil {
		return nil
	}
	for _, o := range v.Out {
		if o.Worker == worker {
			held = append(held, o)
		}
	}
	return held
}

// heldBy lists what a worker holds of the rows: its leases on chunks.
func heldBy(v *wire.Job, worker string) []wire.Out {
	return slices.DeleteFunc(leased(v, worker), func(o wire.Out) bool { return o.Stage != "load:item" || o.Step == "split" })
}

// Drains in turn while a migration with large chunks runs: soon safe to stop, and nothing is claimed any more.
func TestScoreDrain(t *testing.T) {
	t.Parallel()
	count := size(runs, 4, 50)
	src := rig.Plain(t, size(rows, 300_000, 3_000_000))
	w := newWork(t, src, 20, "--chunk-rows", "100000")
	r := w.r
	w.view()
	crew := []*rig.Process{r.Worker(), r.Worker()}
	for _, p := range crew {
		r.Ready(p)
	}
	var took rig.Figures
	var latest time.Duration // claim after its request
	for i := range count {
		id := crew[i%2].ID
		r.Until(time.Minute, "a worker is in the middle of a chunk", func(context.Context) (bool, error) {
			held := heldBy(w.view(), id)
			return len(held) > 0, nil
		})
		asked := time.Now()
		if err := r.Store.Want(t.Context(), id, true, "test"); err != nil {
			t.Fatal(err)
		}
		r.Until(time.Minute, "the drained worker is safe to stop", func(ctx context.Context) (bool, error) {
			for _, o := range leased(r.View(w.job), id) {
				latest = max(latest, o.Since.Sub(asked))
			}
			ws, err := r.Store.Workers(ctx, 3*time.Second)
			for _, x := range ws {
				if x.ID == id {
					return x.SafeToStop, err
				}
			}
			return false, err
		})
		took = append(took, time.Since(asked))
		if held := leased(r.View(w.job), id); len(held) > 0 {
			t.Errorf("%s is safe to stop and holds %v", id, held)
		}
		if err := r.Store.Want(t.Context(), id, false, "test"); err != nil {
			t.Fatal(err)
		}
	}
	score(t, "drain, from the request to safe_to_stop, chunks of 100,000 rows: %v; latest claim %v after its request", took, latest)
	if latest > claimGrace {
		t.Errorf("a step was claimed %v after its worker was asked to drain, want at most %v", latest, claimGrace)
	}
	limit := 5 * time.Second
	if *long {
		limit = 1500 * time.Millisecond
	}
	if p99 := took.Quantile(0.99); p99 > limit {
		t.Errorf("p99 of a drain is %v, want at most %v", p99, limit)
	}
}

// Workers are killed with what they hold; how soon does it run elsewhere?
func TestScoreRecovery(t *testing.T) {
	t.Parallel()
	count := size(runs, 2, 30)
	src := rig.Plain(t, size(rows, 300_000, 3_000_000))
	w := newWork(t, src, 40, "--chunk-rows", "100000", "--batch-rows", "2000")
	r := w.r
	w.view()
	crew := []*rig.Process{r.Worker(), r.Worker()}
	for _, p := range crew {
		r.Ready(p)
	}
	var took rig.Figures
	for i := 0; len(took) < count; i++ {
		p := crew[i%2]
		r.Until(time.Minute, "a worker is in the middle of a chunk", func(context.Context) (bool, error) {
			return len(heldBy(w.view(), p.ID)) > 0, nil
		})
		killed := time.Now()
		p.Kill()
		lost := heldBy(r.View(w.job), p.ID)
		crew[i%2] = r.Worker()
		if len(lost) == 0 {
			continue // it had just ended them
		}
		r.Until(time.Minute, "lost steps run elsewhere", func(context.Context) (bool, error) {
			v := r.View(w.job)
			return v != nil && runElsewhere(v, lost, p.ID), nil
		})
		took = append(took, time.Since(killed))
		r.Ready(crew[i%2])
	}
	score(t, "recovery, from SIGKILL to the lost steps running elsewhere: %v", took)
	limit := 15 * time.Second
	if *long {
		limit = 5 * time.Second
	}
	if p99 := took.Quantile(0.99); p99 > limit {
		t.Errorf("p99 of a recovery is %v, want at most %v", p99, limit)
	}
}

// runElsewhere reports whether each lost step is leased to somebody else by now, or has ended. One that the sweep gives back is
// handed out again in the same call, ahead of all others, so a step that is not out has ended.
func runElsewhere(v *wire.Job, lost []wire.Out, killed string) bool {
	for _, l := range lost {
		for _, o := range v.Out {
			if o.Stage == l.Stage && o.Step == l.Step && (o.Worker == killed || o.Worker == "") {
				return false
			}
		}
	}
	return true
}
