package worker

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/versions"
)

// Drain stops claiming and asks every attempt to come back. It returns when nothing more can be claimed; WaitDrained waits
// for the attempts. The order: the state turns to draining (readiness goes red), claiming stops and the claim that is on
// its way ends, then Draining closes; contexts stay alive.
func (w *Worker) Drain() { w.drain(true) }

// Undrain takes Drain back: the worker goes back to work, unless somebody asked through the store that it drains, a fence parks
// its version, or it is being stopped. Status says which.
func (w *Worker) Undrain() {
	w.mu.Lock()
	w.local = false
	w.mu.Unlock()
	w.resume()
}

// resume goes back to work when no reason to drain is left.
func (w *Worker) resume() {
	if w.State() == wire.WorkerActive {
		return
	}
	w.turning.Lock()
	defer w.turning.Unlock()
	w.mu.Lock()
	stay := len(w.reasons()) > 0 || w.state == wire.WorkerStopped || w.state == wire.WorkerActive
	if !stay {
		w.state = wire.WorkerActive
		w.changed()
	}
	w.mu.Unlock()
	if stay {
		return
	}
	w.consumer.Resume()
	w.beatSoon()
	w.o.Log.Info("active again")
}

// want takes over what the store says is wanted of this worker, and the fences that stand. A store that knows of no wish and of
// no fence has lost it, if there was one: only who asks for it undoes a drain, only who lifts it undoes a fence.
func (w *Worker) want(ctx context.Context, h store.Heard) {
	w.mu.Lock()
	forgotten := w.wanted && h.Wanted == ""
	by := w.wantedBy
	if !forgotten {
		w.wanted, w.wantedBy = h.Wanted == wire.WantDrain, h.WantedBy
	}
	var lost []wire.Fence
	for _, f := range w.fences {
		if h.Fences.Forgotten(f) {
			lost = append(lost, f)
		}
	}
	before := w.fencedBy()
	w.fences = append(slices.Clone(h.Fences.Standing), lost...)
	fenced, drains := w.fencedBy(), len(w.reasons()) > 0
	w.mu.Unlock()
	if forgotten {
		if err := w.store.Want(ctx, w.o.ID, true, by); err != nil {
			w.o.Log.Warn("redis has forgotten that this worker drains, and could not be told", "err", err)
		}
	}
	for _, f := range lost {
		if err := w.store.RestoreFence(ctx, f); err != nil {
			w.o.Log.Warn("redis has forgotten a fence, and could not be told", "fence", versions.Text(f), "err", err)
		}
	}
	switch {
	case fenced == before:
	case fenced == "":
		w.o.Log.Info("the fence was lifted", "fence", before)
	default:
		w.logFences(h.Fences.Standing)
	}
	if drains {
		w.drain(false)
	} else {
		w.resume()
	}
}

func (w *Worker) logFences(standing []wire.Fence) {
	for _, f := range standing {
		if parks, err := versions.Parks(f, w.o.Version); parks {
			args := []any{"fence", versions.Text(f), "version", w.o.Version, "by", f.By, "reason", f.Reason}
			if err != nil {
				args = append(args, "err", err)
			}
			w.o.Log.Warn("a fence parks this worker: it claims nothing until the fence is lifted", args...)
		}
	}
}

// giveBackWithin is how long a worker that drains tries to give back what it has claimed and not begun.
const giveBackWithin = 5 * time.Second

func (w *Worker) drain(local bool) {
	asked := time.Now()
	w.turning.Lock()
	defer w.turning.Unlock()
	w.mu.Lock()
	w.local = w.local || local
	if w.state != wire.WorkerActive {
		w.mu.Unlock()
		return
	}
	w.state, w.since = wire.WorkerDraining, time.Now().UTC()
	story := w.beginStory(asked)
	w.changed()
	w.mu.Unlock()
	w.beatSoon()
	ctx, cancel := context.WithTimeout(context.Background(), giveBackWithin)
	defer cancel()
	if err := w.consumer.Pause(ctx); err != nil {
		w.o.Log.Warn("draining; some claimed tasks were not given back, the sweep will hand them out again", "err", err)
	}
	w.mu.Lock()
	held := len(w.running)
	for _, r := range w.running {
		r.interrupt()
	}
	w.mu.Unlock()
	w.o.Log.Info("draining", "in_flight", held)
	w.loops.Add(1)
	go func() {
		defer w.loops.Done()
		told := w.tellLater(story)
		err := w.WaitDrained(w.base)
		if err == nil && w.State() == wire.WorkerDrained {
			w.o.Telemetry.Metrics.Drained(w.base, time.Since(asked))
			w.o.Log.Info("drained: safe to stop", "was_in_flight", held)
		}
		told(err)
	}()
}

// WaitDrained waits until the draining worker holds no attempt. It returns an error when ctx ends before, and nil at once
// when the worker does not drain.
func (w *Worker) WaitDrained(ctx context.Context) error {
	for {
		w.mu.Lock()
		n, state, changed := len(w.running), w.state, w.settled
		if n == 0 && state == wire.WorkerDraining {
			w.state = wire.WorkerDrained
			w.changed()
			w.mu.Unlock()
			w.beatSoon()
			return nil
		}
		w.mu.Unlock()
		if state != wire.WorkerDraining {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d attempts have not come back: %w", n, context.Cause(ctx))
		}
	}
}
