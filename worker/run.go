package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// run is one attempt as its worker holds it.
type run struct {
	ref      store.Ref
	since    time.Time
	attempt  *tasks.Attempt // nil until the step is begun; like cancel, kind and stage, written under the worker's mu
	kind     string         // of the job, and the name of the stage, once they are read; "" before
	stage    string
	cancel   context.CancelCauseFunc
	draining chan struct{}
	once     sync.Once
	word     string // what came of it; "" until it is settled

	mu     sync.Mutex
	saved  time.Time
	toldOf string         // the kind under which metrics are told; "" until it is known
	told   tasks.Counters // what metrics were told of the step so far, earlier attempts included
}

// interrupt asks the attempt to come back.
func (r *run) interrupt() { r.once.Do(func() { close(r.draining) }) }

// handle runs the step that a task stands for, from its lease to its settlement. It is called by the queue, at most
// Concurrency times at once, and never fails: what goes wrong is the store's to remember.
func (w *Worker) handle(id string) {
	ref, ok := store.ParseTaskID(id)
	if !ok {
		w.o.Log.Error("a task on the queue is not of this program; it is dropped", "task", id)
		return
	}
	now := time.Now()
	r := &run{ref: ref, since: now.UTC(), draining: make(chan struct{}), saved: now}
	attempt := store.RandomID()
	ctx, cancel := context.WithCancelCause(telemetry.WithAttrs(w.base, slog.String("job", ref.Job), slog.String("step", ref.Key), slog.String("attempt", attempt)))
	defer cancel(nil)
	if !w.enter(attempt, r) {
		w.passOn(ctx, ref)
		return
	}
	defer w.leave(attempt)
	var b store.Begin
	err := w.patiently(func(ctx context.Context) (err error) {
		b, err = w.store.Begin(ctx, ref, attempt, w.o.ID, w.o.Version)
		return err
	})
	switch {
	case err != nil:
		w.o.Log.WarnContext(ctx, "step could not be begun; the sweep will hand it out again", "err", err)
		return
	case b.Code != store.Begun:
		w.o.Log.DebugContext(ctx, "nothing to do for a task", "delivery", ref.Delivery, "answer", int(b.Code))
		return
	}
	a := &tasks.Attempt{ID: attempt, Worker: w.o.ID, Failed: b.Failed, Resumed: b.Resumed, Draining: r.draining}
	w.mu.Lock()
	r.cancel = cancel
	r.attempt = tasks.NewAttempt(a, &saver{w, r}, b.Cursor, b.Counters)
	w.mu.Unlock()
	r.mu.Lock()
	r.told = b.Counters
	r.mu.Unlock()
	err = w.load(ctx, r, b)
	ctx, told := w.tell(ctx, r)
	var d done
	if err == nil {
		d, err = w.perform(ctx, r, b)
	}
	r.word = w.settle(ctx, r, d, err)
	told.end(ctx, r.word, err)
}

// enter notes an attempt before it is begun; false when the worker drains.
func (w *Worker) enter(attempt string, r *run) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.state != wire.WorkerActive {
		return false
	}
	w.running[attempt] = r
	return true
}

func (w *Worker) leave(attempt string) {
	w.mu.Lock()
	w.cameBack(w.running[attempt])
	delete(w.running, attempt)
	w.changed()
	w.mu.Unlock()
}

// passOn hands a step that was claimed and not begun to somebody else.
func (w *Worker) passOn(ctx context.Context, ref store.Ref) {
	err := w.patiently(func(ctx context.Context) error {
		h, err := w.store.Redeliver(ctx, ref)
		w.hand(h)
		return err
	})
	if err != nil {
		w.o.Log.WarnContext(ctx, "claimed step could not be passed on; the sweep will", "err", err)
	}
}

// hand puts on the queue what a transition handed out, in the background.
func (w *Worker) hand(h store.Handout) { w.queued.Add(h.Queue, store.TaskIDs(h.Enqueue)...) }

// done is what settles an attempt that went well; its family's three methods end in three ways.
type done func(ctx context.Context) (store.Handout, error)

// load reads what the attempt is about: its job, its stage and its step.
func (w *Worker) load(ctx context.Context, r *run, b store.Begin) (err error) {
	a := r.attempt
	if a.Job, err = w.specs.job(ctx, w.store, r.ref, b.Born); err != nil {
		return away(err)
	}
	w.mu.Lock()
	r.kind = a.Job.Kind
	w.mu.Unlock()
	kind, i, step := store.ParseKey(r.ref.Key)
	if kind == store.PlanKey {
		return nil
	}
	if a.Stage, err = w.specs.stage(ctx, w.store, r.ref, b.Born, i); err != nil {
		return away(err)
	}
	if kind == store.RunKey {
		a.Step = tasks.Step{ID: step, Body: b.Body}
	}
	w.mu.Lock()
	r.stage = a.Stage.Name
	w.mu.Unlock()
	return nil
}

// perform calls the family. A panic is an error like any other.
func (w *Worker) perform(ctx context.Context, r *run, b store.Begin) (d done, err error) {
	defer func() {
		if x := recover(); x != nil {
			w.o.Log.ErrorContext(ctx, "a step panicked", "panic", x, "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", x)
		}
	}()
	a := r.attempt
	f := w.families[a.Job.Kind]
	if f == nil {
		return nil, tasks.RetryAfter(fmt.Errorf("this worker does not know jobs of kind %q", a.Job.Kind), time.Second)
	}
	if w.o.Allow != nil {
		if err := w.o.Allow(a.Job); err != nil {
			return nil, tasks.Permanent(err)
		}
	}
	kind, _, _ := store.ParseKey(r.ref.Key)
	if kind != store.RunKey { // what only reads is not asked to come back, but cut off: the next attempt does it anew
		var stop context.CancelFunc
		ctx, stop = a.UntilDraining(ctx)
		defer stop()
		defer func() {
			if err != nil && a.IsDraining() {
				err = tasks.ErrDrained
			}
		}()
	}
	switch kind {
	case store.PlanKey:
		stages, err := f.Plan(ctx, a.Job)
		return func(ctx context.Context) (store.Handout, error) {
			return w.store.PlanDone(ctx, r.ref, a.ID, stages)
		}, err
	case store.SplitKey:
		page := min(max(4*a.Job.Window, 32), 1024)
		steps, next, err := f.Split(ctx, a.Job, a.Stage, b.Cursor, page)
		return func(ctx context.Context) (store.Handout, error) {
			return w.store.SplitDone(ctx, r.ref, a.ID, steps, next)
		}, err
	}
	if err := w.pace(ctx, a); err != nil {
		return nil, err
	}
	err = f.Run(ctx, a)
	return func(ctx context.Context) (store.Handout, error) {
		return w.store.End(ctx, r.ref, a.ID, a.Counters(), a.Findings())
	}, err
}

// settle does what the outcome table says and hands out what comes next. It returns in a word what came of the attempt.
func (w *Worker) settle(ctx context.Context, r *run, end done, err error) (word string) {
	o := decide(err, context.Cause(ctx), r.attempt.Failed)
	word = o.word
	log := w.o.Log
	var h store.Handout
	final := false
	e := w.patiently(func(ctx context.Context) (err error) {
		switch o.action {
		case endStep:
			h, err = end(ctx)
		case giveBack:
			h, err = w.store.GiveBack(ctx, r.ref, r.attempt.ID, w.o.ID, r.attempt.Counters(), o.after, o.reason)
		case postpone:
			h, err = w.store.Postpone(ctx, r.ref, r.attempt.ID, w.o.ID, o.after)
		case failStep:
			h, final, err = w.store.Fail(ctx, r.ref, r.attempt.ID, w.o.ID, store.Failure{Reason: o.reason, Hint: o.hint, Permanent: o.permanent, After: o.after})
		case leaveStep:
			return tasks.ErrStale
		}
		return err
	})
	switch {
	case errors.Is(e, tasks.ErrStale):
		word = wordStale
		log.WarnContext(ctx, "stale attempt: another one holds this step, or it has ended; nothing was changed by this one from here on", "err", err)
	case tasks.IsPermanent(e): // the family's answer itself cannot be stored
		word = wordFailed
		_ = w.patiently(func(ctx context.Context) (err error) {
			h, final, err = w.store.Fail(ctx, r.ref, r.attempt.ID, w.o.ID, store.Failure{Reason: e.Error(), Permanent: true})
			return err
		})
		log.ErrorContext(ctx, "step failed for good", "err", e)
	case e != nil:
		word = wordUnsettled
		log.WarnContext(ctx, "outcome could not be stored; the sweep will hand the step out again", "err", e)
	case final:
		word = wordFailed
		log.ErrorContext(ctx, "step failed for good", "err", err, "hint", o.hint)
	case o.action == failStep:
		log.WarnContext(ctx, "attempt failed; the step will be tried again", "err", err, "after", o.after.String(), "failed", r.attempt.Failed+1)
	case o.action == giveBack:
		log.InfoContext(ctx, "step given back", "reason", o.reason, "after", o.after.String())
	}
	w.hand(h)
	if e == nil && tasks.State(h.State).Ended() {
		w.letNextIn(r.attempt.Job)
	}
	return word
}

// patiently repeats a call of the store while Redis is away: an outcome is worth waiting for. It gives up when the worker is
// cut, and returns the store's own answers (stale, permanent) at once.
func (w *Worker) patiently(call func(ctx context.Context) error) error {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := call(ctx)
		cancel()
		if err == nil || errors.Is(err, tasks.ErrStale) || tasks.IsPermanent(err) || errors.Is(err, store.ErrNotFound) || w.base.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait):
		case <-w.base.Done():
			return err
		}
	}
}

// away marks that the store could not be asked: not the step's fault, so its retry budget is not spent.
func away(err error) error { return tasks.RetryAfter(err, time.Second) }

// saver makes the progress of one attempt durable.
type saver struct {
	w *Worker
	r *run
}

// Save stores a checkpoint. When the job wants its step back, the attempt is asked to drain.
func (s *saver) Save(ctx context.Context, cursor tasks.Cursor, c tasks.Counters) error {
	return s.save(ctx, cursor, false, c)
}

func (s *saver) save(ctx context.Context, cursor tasks.Cursor, keep bool, c tasks.Counters) error {
	interrupted, err := s.w.store.Save(ctx, s.r.ref, s.r.attempt.ID, cursor, keep, c)
	if err != nil {
		if errors.Is(err, tasks.ErrStale) {
			s.r.cancel(tasks.ErrStale)
			return err
		}
		return away(err)
	}
	s.r.mu.Lock()
	s.r.saved = time.Now()
	s.r.mu.Unlock()
	s.w.countRows(ctx, s.r, c)
	if interrupted {
		s.r.interrupt()
	}
	return nil
}
