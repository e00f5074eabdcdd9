package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/stint-run/stint/client/wire"
)

// Drain stops claiming and asks every attempt to come back. It returns when nothing more can be claimed; WaitDrained waits
// for the attempts. The order: the state turns to draining (readiness goes red), claiming stops and the claim that is on
// its way ends, then Draining closes; contexts stay alive.
func (w *Worker) Drain() { w.drain(true) }

// Undrain goes back to work, unless somebody asked through the store that the worker drains.
func (w *Worker) Undrain() {
	w.turning.Lock()
	defer w.turning.Unlock()
	w.mu.Lock()
	w.local = false
	stay := w.wanted || w.state == wire.WorkerStopped || w.state == wire.WorkerActive
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

// want takes over what the store says is wanted of this worker. A store that knows of no wish has lost it, if there was one:
// only who asks for it undoes a drain.
func (w *Worker) want(ctx context.Context, wanted string) {
	drain := wanted == wire.WantDrain
	w.mu.Lock()
	same := w.wanted == drain
	forgotten := w.wanted && wanted == ""
	if !forgotten {
		w.wanted = drain
	}
	local := w.local
	w.mu.Unlock()
	switch {
	case forgotten:
		if err := w.store.Want(ctx, w.o.ID, true); err != nil {
			w.o.Log.Warn("redis has forgotten that this worker drains, and could not be told", "err", err)
		}
	case same:
	case drain:
		w.drain(false)
	case !local:
		w.Undrain()
	}
}

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
	w.state = wire.WorkerDraining
	w.changed()
	w.mu.Unlock()
	w.beatSoon()
	if err := w.consumer.Pause(context.Background()); err != nil {
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
		if w.WaitDrained(w.base) == nil && w.State() == wire.WorkerDrained {
			w.o.Telemetry.Metrics.Drained(w.base, time.Since(asked))
			w.o.Log.Info("drained: safe to stop", "was_in_flight", held)
		}
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
