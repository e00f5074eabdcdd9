package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// unbegunAfter is how long a step may be out without anybody having begun it before the queue is asked where its task is.
const unbegunAfter = 2 * time.Second

// A look through all jobs is followed by a rest of so many times as long as it took, but by no longer one than longestRest: with
// thousands of jobs, of which most wait, it would else keep Redis busy for nothing. A worker that is lost ends it.
const (
	restTimes   = 3
	longestRest = 5 * time.Second
)

// turnTakes bounds a turn, without its batches of jobs, and each of those.
const turnTakes = 10 * time.Second

// sweepAtOnce is how many jobs are swept in one call. It saves most of the round trips, and keeps others of Redis waiting for some
// milliseconds at most.
const sweepAtOnce = 100

// How often jobs are looked for that were to be kept for a short time, and how many are forgotten at once.
const (
	retireEach   = 5 * time.Second
	retireAtOnce = 200
)

// turn sweeps once, if it is this scheduler's turn.
func (s *Scheduler) turn(ctx context.Context) (err error) {
	s.health.begin()
	defer func() { s.health.end(err) }()
	whole := ctx // of which each part has so long
	ctx, cancel := context.WithTimeout(whole, turnTakes)
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
	look := store.Look{Trusted: trusted, Unbegun: unbegunAfter}
	if err := s.see(ctx, &look); err != nil {
		return err
	}
	errs := []error{s.letIn(ctx)}
	if s.bereft || !time.Now().Before(s.restsUntil) {
		mine, err = s.lookThrough(ctx, whole, look)
		errs = append(errs, err)
	}
	ctx, cancel = context.WithTimeout(whole, turnTakes)
	defer cancel()
	if mine && time.Since(s.retired) >= retireEach {
		s.retired = time.Now()
		_, err := s.store.RetireBrief(ctx, retireAtOnce)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// lookThrough sweeps all active jobs. What it begins with has ctx, what may take longer whole; mine as sweepAll says.
func (s *Scheduler) lookThrough(ctx, whole context.Context, look store.Look) (mine bool, err error) {
	began := time.Now()
	defer func() { s.o.Telemetry.Metrics.SweepEnded(whole, time.Since(began)) }()
	jobs, err := s.store.Active(ctx)
	if err != nil {
		return false, fmt.Errorf("list active jobs: %w", err)
	}
	s.look = time.Since(s.looked) >= unbegunAfter
	if s.look {
		s.looked, look.Old = time.Now(), 2*s.o.LostAfter
	}
	s.hooks = nil
	s.recovered = map[string]int{}
	bereft := s.bereft
	s.bereft = false
	mine, err = s.sweepAll(whole, jobs, look)
	ctx, cancel := context.WithTimeout(whole, turnTakes)
	defer cancel()
	s.countRecovered(ctx)
	if mine {
		now := time.Now()
		s.restsUntil = now.Add(min(restTimes*now.Sub(began), longestRest))
	} else {
		s.bereft = s.bereft || bereft // not all jobs have been looked at
	}
	return mine, err
}

// see reads who is alive, when it may be trusted.
func (s *Scheduler) see(ctx context.Context, look *store.Look) error {
	if !look.Trusted {
		return nil
	}
	fleet, err := s.store.Living(ctx, s.o.LostAfter)
	if err != nil {
		s.away = true
		return err
	}
	look.Living, look.AsOf = fleet.Alive, fleet.AsOf
	s.bereft = s.bereft || len(fleet.Lost) > 0
	for _, id := range fleet.Lost {
		s.o.Log.Warn("worker is lost: no heartbeat", "worker", id, "for", s.o.LostAfter.String())
	}
	return nil
}

// sweepAll looks through jobs, many in one call. Between batches it does, each interval, what a turn begins with: with thousands of
// jobs a turn takes long, and would else lose its right to sweep, go by heartbeats of long ago, and take the time since it last asked
// for one in which Redis was away. mine is false when another scheduler sweeps by now, or Redis does not answer.
func (s *Scheduler) sweepAll(ctx context.Context, jobs []string, look store.Look) (mine bool, err error) {
	var errs []error
	looked := time.Now()
	for batch := range slices.Chunk(jobs, sweepAtOnce) {
		if time.Since(looked) >= s.o.Interval {
			looked = time.Now()
			if mine, err := s.lookAgain(ctx, &look); err != nil || !mine {
				return false, errors.Join(append(errs, err)...)
			}
		}
		asked, err := s.sweep(ctx, batch, look)
		errs = append(errs, err)
		if !asked {
			return false, errors.Join(errs...)
		}
	}
	return true, errors.Join(errs...)
}

// lookAgain does in the middle of a turn what it began with; false when another scheduler sweeps by now.
func (s *Scheduler) lookAgain(ctx context.Context, look *store.Look) (mine bool, err error) {
	s.health.begin()
	ctx, cancel := context.WithTimeout(ctx, turnTakes)
	defer cancel()
	if look.Trusted, err = s.contact(ctx); err != nil {
		s.away = true
		return false, err
	}
	if mine, err = s.store.HoldSweep(ctx, s.id, 3*s.o.Interval); err != nil || !mine {
		s.away = err != nil
		return false, err
	}
	return true, s.see(ctx, look)
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

// sweep looks through some jobs: steps of lost workers, steps that are due, and, now and then, tasks that went astray.
// asked is false when Redis could not be asked for a single one of them.
func (s *Scheduler) sweep(ctx context.Context, ids []string, look store.Look) (asked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, turnTakes)
	defer cancel()
	var errs []error
	astray := map[string][]store.Ref{} // by queue: nobody has begun them
	for i, found := range s.store.SweepAll(ctx, ids, look) {
		asked = asked || found.Err == nil || errors.Is(found.Err, store.ErrNotFound) || errors.Is(found.Err, store.ErrNewer)
		errs = append(errs, s.swept(ctx, ids[i], found))
		if s.look && found.Err == nil && !tasks.State(found.State).Ended() {
			if len(found.Unbegun) > 0 {
				astray[found.Queue] = append(astray[found.Queue], found.Unbegun...)
			}
			for _, l := range found.Old {
				errs = append(errs, s.revokeForgotten(ctx, l, look.Old))
			}
		}
	}
	for queue, refs := range astray {
		errs = append(errs, s.findTasks(ctx, queue, refs))
	}
	return asked, errors.Join(errs...)
}

// swept does what a look at one job calls for.
func (s *Scheduler) swept(ctx context.Context, id string, found store.Swept) error {
	if found.Untold {
		if err := s.gather(ctx, id); err != nil {
			return err
		}
	}
	switch err := found.Err; {
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
	return s.hand(ctx, found.Handout)
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

// findTasks asks the queue for the tasks of steps that nobody has begun: lost ones are queued again, those that somebody claimed
// without beginning them are handed out under their next delivery.
func (s *Scheduler) findTasks(ctx context.Context, at string, refs []store.Ref) error {
	where, err := s.producer.Find(ctx, at, store.TaskIDs(refs)...)
	if err != nil {
		return err
	}
	var errs []error
	missing := store.Handout{Queue: at}
	for i, ref := range refs {
		switch where[i] {
		case queue.Missing:
			s.o.Log.Warn("step is not on the queue; queued again", "job", ref.Job, "step", ref.Key)
			missing.Enqueue = append(missing.Enqueue, ref)
		case queue.Claimed:
			h, err := s.store.Redeliver(ctx, ref)
			if err == nil && len(h.Enqueue) > 0 {
				s.o.Log.Warn("step was claimed and never begun; handed out again", "job", ref.Job, "step", ref.Key)
			}
			errs = append(errs, err, s.hand(ctx, h))
		}
	}
	return errors.Join(append(errs, s.hand(ctx, missing))...)
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
