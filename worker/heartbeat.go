package worker

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// beat sends one heartbeat and takes over what is wanted of this worker.
func (w *Worker) beat(ctx context.Context) error {
	host, _ := os.Hostname()
	w.mu.Lock()
	me := wire.Worker{ID: w.o.ID, Version: w.o.Version, Protocol: tasks.Protocol, Reads: tasks.OldestProtocol, State: w.state, Host: host, PID: os.Getpid(),
		Labels: w.o.Labels, Queues: w.o.Queues, Kinds: slices.Sorted(maps.Keys(w.families)), Concurrency: w.o.Concurrency, InFlight: len(w.running),
		StartedAt: w.started, Admin: w.o.Admin, Fenced: w.fencedBy(), Held: make([]string, 0, len(w.running))}
	if w.state == wire.WorkerDraining || w.state == wire.WorkerDrained {
		since, cut := w.since, w.cutAt
		me.DrainingSince = &since
		if !cut.IsZero() && w.state == wire.WorkerDraining {
			me.CutAt = &cut
		}
	}
	for attempt := range w.running {
		me.Held = append(me.Held, attempt)
	}
	w.mu.Unlock()
	heard, err := w.store.Beat(ctx, me)
	if err != nil {
		return err
	}
	w.answered.Store(int64(time.Since(w.born)))
	if heard.WasLost {
		w.o.Log.Warn("this worker was silent for so long that it was given up as lost; what it held runs elsewhere, and its own attempts there are stale")
	}
	if me.State != wire.WorkerStopped {
		w.want(ctx, heard)
	}
	return nil
}

// beatSoon asks for a heartbeat now.
func (w *Worker) beatSoon() {
	select {
	case w.now <- struct{}{}:
	default:
	}
}

// heartbeats says each interval that the worker is alive, until ctx ends. Redis being away is logged once. The loop itself never
// waits for Redis, so that Alive tells a Redis that hangs from a process that does.
func (w *Worker) heartbeats(ctx context.Context) {
	defer w.loops.Done()
	t := time.NewTicker(w.o.Heartbeat)
	defer t.Stop()
	sent := make(chan error)
	sending, due, away := false, false, false
	for {
		_ = w.State() // a lock that nobody gives back stops this loop, too
		w.turned.Store(int64(time.Since(w.born)))
		if due && !sending {
			sending, due = true, false
			go func() {
				bctx, cancel := context.WithTimeout(ctx, 2*w.o.Heartbeat)
				defer cancel()
				sent <- w.beat(bctx)
			}()
		}
		select {
		case <-ctx.Done():
			if sending {
				<-sent
			}
			w.turned.Store(0)
			return
		case <-t.C:
			due = true
		case <-w.now:
			due = true
		case err := <-sent:
			sending = false
			switch {
			case err == nil && away:
				away = false
				w.o.Log.Info("redis is back")
			case err != nil && !away && ctx.Err() == nil:
				away = true
				w.o.Log.Warn("redis cannot be reached; work goes on and waits for it where it must", "err", err)
			}
		}
	}
}

// pulses makes the counters of running attempts durable each interval, and learns which of them have gone stale or are
// wanted back because their job was paused, cancelled or has failed.
func (w *Worker) pulses(ctx context.Context) {
	defer w.loops.Done()
	t := time.NewTicker(w.o.Heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		for _, r := range w.due() {
			pctx, cancel := context.WithTimeout(ctx, 2*w.o.Heartbeat)
			err := (&saver{w, r}).save(pctx, nil, true, r.attempt.Counters())
			cancel()
			if errors.Is(err, tasks.ErrStale) {
				w.o.Log.Warn("stale attempt: the lease went to another, or the job is over; stopping it", "job", r.ref.Job, "step", r.ref.Key, "attempt", r.attempt.ID)
			}
		}
	}
}

// due lists the attempts that run since a pulse and have not saved since.
func (w *Worker) due() []*run {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*run
	for _, r := range w.running {
		if r.attempt == nil {
			continue
		}
		if kind, _, _ := store.ParseKey(r.ref.Key); kind != store.RunKey {
			continue
		}
		r.mu.Lock()
		if time.Since(r.saved) >= w.o.Heartbeat*8/10 {
			list = append(list, r)
		}
		r.mu.Unlock()
	}
	return list
}

// listen hears at once when something new is wanted of this worker; the heartbeat would tell it a second later.
func (w *Worker) listen(ctx context.Context) {
	defer w.loops.Done()
	sub := w.store.Listen(ctx)
	defer sub.Close()
	ch := sub.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-ch:
			if !ok {
				return
			}
			switch m := m.(type) {
			case *redis.Subscription: // now, or anew after Redis was away: what was said before was not heard
				w.beatSoon()
			case *redis.Message:
				if m.Payload == w.o.ID || m.Payload == store.EveryWorker {
					w.beatSoon()
				}
			}
		}
	}
}
