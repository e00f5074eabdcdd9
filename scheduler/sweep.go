package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// unbegunAfter is how long a step may be out without anybody having begun it before the queue is asked where its task is.
const unbegunAfter = 2 * time.Second

// How often jobs are looked for that were to be kept for a short time, and how many are forgotten at once.
const (
	retireEach   = 5 * time.Second
	retireAtOnce = 200
)

// turn sweeps once, if it is this scheduler's turn.
func (s *Scheduler) turn(ctx context.Context) (err error) {
	s.health.begin()
	defer func() { s.health.end(err) }()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	// Who only waits for the turn keeps watch as well, so that taking over does not begin with a guess.
	trusted, err := s.contact(ctx)
	if err != nil {
		s.away = true
		return err
	}
	mine, err := s.store.HoldSweep(ctx, s.id, 3*s.o.Interval)
	if err != nil || !mine {
		s.away = err != nil
		return err
	}
	began := time.Now()
	defer func() { s.o.Telemetry.Metrics.SweepEnded(ctx, time.Since(began)) }()
	look := store.Look{Trusted: trusted, Unbegun: unbegunAfter}
	if trusted {
		fleet, err := s.store.Living(ctx, s.o.LostAfter)
		if err != nil {
			s.away = true
			return err
		}
		look.Living, look.AsOf = fleet.Alive, fleet.AsOf
		for _, id := range fleet.Lost {
			s.o.Log.Warn("worker is lost: no heartbeat", "worker", id, "for", s.o.LostAfter.String())
		}
	}
	jobs, err := s.store.Active(ctx)
	if err != nil {
		return fmt.Errorf("list active jobs: %w", err)
	}
	s.look = time.Since(s.looked) >= unbegunAfter
	if s.look {
		s.looked, look.Old = time.Now(), 2*s.o.LostAfter
	}
	errs := []error{s.letIn(ctx)}
	s.hooks = nil
	s.recovered = map[string]int{}
	for _, id := range jobs {
		errs = append(errs, s.sweep(ctx, id, look))
	}
	s.countRecovered(ctx)
	if time.Since(s.retired) >= retireEach {
		s.retired = time.Now()
		_, err := s.store.RetireBrief(ctx, retireAtOnce)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// contact says whether missing heartbeats may be trusted: when Redis was away, or has just started, nobody could send one,
// and giving everybody up at that moment would be a false alarm (harmless, and a waste).
func (s *Scheduler) contact(ctx context.Context) (bool, error) {
	asked := time.Now()
	info, err := s.rdb.Info(ctx, "server").Result()
	var refused redis.Error // the queue within the process has no such section: it answers, and that is what counts
	if err != nil && !errors.As(err, &refused) {
		return false, fmt.Errorf("ask redis how long it is up: %w", err)
	}
	now := time.Now()
	up, known := uptime(info)
	silent := !s.lastContact.IsZero() && now.Sub(s.lastContact) > s.o.LostAfter/2+s.o.Interval
	if s.away || silent || now.Sub(asked) > s.o.LostAfter/2 || !known && s.lastContact.IsZero() {
		s.trustFrom = now.Add(s.o.LostAfter)
	}
	if known { // it may have started between two turns; uptime is in whole seconds
		if ready := now.Add(s.o.LostAfter + time.Second - up); ready.After(s.trustFrom) {
			s.trustFrom = ready
		}
	}
	s.lastContact, s.away = now, false
	return !now.Before(s.trustFrom), nil
}

func uptime(info string) (time.Duration, bool) {
	_, rest, ok := strings.Cut(info, "uptime_in_seconds:")
	if !ok {
		return 0, false
	}
	text, _, _ := strings.Cut(rest, "\r")
	var n int64
	if _, err := fmt.Sscan(text, &n); err != nil {
		return 0, false
	}
	return time.Duration(n) * time.Second, true
}

// sweep looks through one job: steps of lost workers, steps that are due, and, now and then, tasks that went astray.
func (s *Scheduler) sweep(ctx context.Context, id string, look store.Look) error {
	found, err := s.store.Sweep(ctx, id, look)
	if found.Untold {
		if err := s.gather(ctx, id); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.store.Deactivate(ctx, id)
	case errors.Is(err, store.ErrNewer):
		return nil
	case err != nil:
		return err
	case tasks.State(found.State).Ended():
		return s.store.Deactivate(ctx, id)
	}
	for key, worker := range found.Lost {
		s.recovered[worker]++
		s.o.Log.Warn("step of a lost worker is handed out again", "job", id, "step", key, "worker", worker)
	}
	if err := s.hand(ctx, found.Handout); err != nil {
		return err
	}
	if !s.look {
		return nil
	}
	for _, ref := range found.Unbegun {
		if err := s.findTask(ctx, found.Queue, ref); err != nil {
			return err
		}
	}
	for _, l := range found.Old {
		if err := s.revokeForgotten(ctx, l, look.Old); err != nil {
			return err
		}
	}
	return nil
}

// countRecovered tells the metrics of the leases that were taken from lost workers in this turn.
func (s *Scheduler) countRecovered(ctx context.Context) {
	if len(s.recovered) == 0 {
		return
	}
	ages := map[string]time.Duration{}
	ws, err := s.store.Workers(ctx, s.o.LostAfter)
	if err != nil {
		s.o.Log.Debug("how long lost workers have been silent could not be read for metrics", "err", err)
	}
	for _, w := range ws {
		ages[w.ID] = time.Duration(w.HeartbeatAge) * time.Millisecond
	}
	for id, n := range s.recovered {
		age, known := ages[id]
		if !known {
			age = -1
		}
		s.o.Telemetry.Metrics.LeaseRecovered(ctx, n, age)
	}
}

// revokeForgotten takes a lease back that nobody will ever settle: a Redis that lost its last moments says that a worker holds
// it, and the worker has long been done with it. Running it again is harmless: the sink's ledger knows better.
func (s *Scheduler) revokeForgotten(ctx context.Context, l store.Lease, younger time.Duration) error {
	forgotten, err := s.store.Forgotten(ctx, l, younger)
	if err != nil || !forgotten {
		return err
	}
	h, err := s.store.Revoke(ctx, l)
	if errors.Is(err, tasks.ErrStale) {
		return nil
	}
	if err == nil {
		s.o.Log.Warn("redis says that a worker holds a step of which it knows nothing; handed out again", "job", l.Ref.Job, "step", l.Ref.Key, "worker", l.Worker)
	}
	return errors.Join(err, s.hand(ctx, h))
}

// findTask asks the queue for the task of a step that nobody has begun: a lost one is queued again, one that somebody
// claimed without beginning it is handed out under its next delivery.
func (s *Scheduler) findTask(ctx context.Context, at string, ref store.Ref) error {
	where, err := s.producer.Find(ctx, at, ref.TaskID())
	if err != nil {
		return err
	}
	switch where {
	case queue.Missing:
		s.o.Log.Warn("step is not on the queue; queued again", "job", ref.Job, "step", ref.Key)
		return s.hand(ctx, store.Handout{Queue: at, Enqueue: []store.Ref{ref}})
	case queue.Claimed:
		h, err := s.store.Redeliver(ctx, ref)
		if err != nil {
			return err
		}
		if len(h.Enqueue) > 0 {
			s.o.Log.Warn("step was claimed and never begun; handed out again", "job", ref.Job, "step", ref.Key)
		}
		return s.hand(ctx, h)
	}
	return nil
}

// hand puts on the queue what a transition handed out.
func (s *Scheduler) hand(ctx context.Context, h store.Handout) error {
	return s.producer.Enqueue(ctx, h.Queue, store.TaskIDs(h.Enqueue)...)
}

// letIn starts what was held by a limit or a maintenance and need not be any more.
func (s *Scheduler) letIn(ctx context.Context) error {
	limited, err := s.store.Reconcile(ctx)
	maintained, err2 := s.store.LetGo(ctx)
	errs := []error{err, err2}
	for _, h := range append(limited, maintained...) {
		errs = append(errs, s.hand(ctx, h))
	}
	return errors.Join(errs...)
}
