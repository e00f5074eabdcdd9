package scheduler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// unbegunAfter is how long a step may be out without anybody having begun it before the queue is asked where its task is.
const unbegunAfter = 2 * time.Second

// turn sweeps once, if it is this scheduler's turn.
func (s *Scheduler) turn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	mine, err := s.store.HoldSweep(ctx, s.id, 3*s.o.Interval)
	if err != nil || !mine {
		s.lastContact = time.Time{}
		return err
	}
	trusted, err := s.contact(ctx)
	if err != nil {
		s.lastContact = time.Time{}
		return err
	}
	alive, lost, err := s.store.Living(ctx, s.o.LostAfter)
	if err != nil {
		s.lastContact = time.Time{}
		return err
	}
	if trusted {
		for _, id := range lost {
			s.o.Log.Warn("worker is lost: no heartbeat", "worker", id, "for", s.o.LostAfter)
		}
	}
	jobs, err := s.store.Active(ctx)
	if err != nil {
		return fmt.Errorf("list active jobs: %w", err)
	}
	s.sweeps++
	var errs []error
	for _, id := range jobs {
		errs = append(errs, s.sweep(ctx, id, alive, trusted))
	}
	return errors.Join(errs...)
}

// contact says whether missing heartbeats may be trusted: when Redis was away, or has just started, nobody could send one,
// and giving everybody up at that moment would be a false alarm (harmless, and a waste).
func (s *Scheduler) contact(ctx context.Context) (bool, error) {
	now := time.Now()
	if s.lastContact.IsZero() {
		info, err := s.rdb.Info(ctx, "server").Result()
		s.trustFrom = now.Add(s.o.LostAfter)
		if up, ok := uptime(info); err == nil && ok && up > s.o.LostAfter+time.Second {
			s.trustFrom = now
		}
	} else if now.Sub(s.lastContact) > s.o.LostAfter/2+s.o.Interval {
		s.trustFrom = now.Add(s.o.LostAfter)
	}
	if err := s.store.Ping(ctx); err != nil {
		return false, err
	}
	if took := time.Since(now); took > s.o.LostAfter/2 {
		s.trustFrom = time.Now().Add(s.o.LostAfter)
	}
	s.lastContact = time.Now()
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
func (s *Scheduler) sweep(ctx context.Context, id string, alive []string, trusted bool) error {
	found, err := s.store.Sweep(ctx, id, alive, trusted, unbegunAfter)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return s.store.Deactivate(ctx, id)
	case err != nil:
		return err
	case tasks.State(found.State).Ended():
		return s.store.Deactivate(ctx, id)
	}
	for key, worker := range found.Lost {
		s.o.Log.Warn("step of a lost worker is handed out again", "job", id, "step", key, "worker", worker)
	}
	if err := s.enqueue(ctx, found.Enqueue); err != nil {
		return err
	}
	if time.Duration(s.sweeps)*s.o.Interval%unbegunAfter != 0 {
		return nil
	}
	for _, ref := range found.Unbegun {
		if err := s.findTask(ctx, ref); err != nil {
			return err
		}
	}
	return nil
}

// findTask asks the queue for the task of a step that nobody has begun: a lost one is queued again, one that somebody
// claimed without beginning it is handed out under its next delivery.
func (s *Scheduler) findTask(ctx context.Context, ref store.Ref) error {
	where, err := s.producer.Find(ctx, store.QueueName(store.DefaultQueue), ref.TaskID())
	if err != nil {
		return err
	}
	switch where {
	case queue.Missing:
		s.o.Log.Warn("step is not on the queue; queued again", "job", ref.Job, "step", ref.Key)
		return s.enqueue(ctx, []store.Ref{ref})
	case queue.Claimed:
		h, err := s.store.Redeliver(ctx, ref)
		if err != nil {
			return err
		}
		if len(h.Enqueue) > 0 {
			s.o.Log.Warn("step was claimed and never begun; handed out again", "job", ref.Job, "step", ref.Key)
		}
		return s.enqueue(ctx, h.Enqueue)
	}
	return nil
}

func (s *Scheduler) enqueue(ctx context.Context, refs []store.Ref) error {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r.TaskID()
	}
	return s.producer.Enqueue(ctx, store.QueueName(store.DefaultQueue), ids...)
}
