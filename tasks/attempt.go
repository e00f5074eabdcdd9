package tasks

import (
	"context"
	"sync"
)

// Saver makes an attempt's progress durable. The worker gives each attempt one; tests give their own.
type Saver interface {
	// Save stores the cursor and the absolute counters of the attempt's step, fenced by the attempt's id. It returns
	// ErrStale when a later attempt holds the step.
	Save(ctx context.Context, cursor Cursor, counters Counters) error
}

// Attempt is one run of a step by one worker, under a lease that is fenced by the attempt's own random ID.
type Attempt struct {
	ID      string // random; two attempts never share one
	Job     Job
	Stage   Stage
	Step    Step
	Worker  string // the id of the worker that holds the lease
	Failed  int    // how many attempts of this step have failed before; 0 on the first
	Resumed bool   // true when an earlier attempt was begun, whatever became of it

	// Draining closes when the worker wants the attempt back: make durable what there is and return ErrDrained. The
	// context stays alive meanwhile, so that a transaction can be committed.
	Draining <-chan struct{}

	saver    Saver
	mu       sync.Mutex
	cursor   Cursor
	counters Counters
	findings []Finding
}

// NewAttempt completes an attempt with its saved progress and the saver of its worker.
func NewAttempt(a *Attempt, saver Saver, cursor Cursor, counters Counters) *Attempt {
	a.saver, a.cursor, a.counters = saver, cursor, counters
	return a
}

// Cursor returns the last cursor that was saved, by this attempt or an earlier one; nil at the beginning.
func (a *Attempt) Cursor() Cursor {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cursor
}

// Checkpoint makes a cursor durable, together with the counters as they stand. After a crash the next attempt starts from
// it. Families whose sink has a ledger of its own need not call it. It returns ErrStale when a later attempt holds the step.
func (a *Attempt) Checkpoint(ctx context.Context, cursor Cursor) error {
	a.mu.Lock()
	counters := a.counters
	a.mu.Unlock()
	if err := a.saver.Save(ctx, cursor, counters); err != nil {
		return err
	}
	a.mu.Lock()
	a.cursor = cursor
	a.mu.Unlock()
	return nil
}

// Count sets the absolute counters of the step: all that it has done so far, earlier attempts included. They become
// durable with the next checkpoint, with the worker's pulse (each second) and when the attempt ends.
func (a *Attempt) Count(c Counters) {
	a.mu.Lock()
	a.counters = c
	a.mu.Unlock()
}

// Counters returns the counters as they stand.
func (a *Attempt) Counters() Counters {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.counters
}

// Report adds a finding to the job's report. Findings are stored when the step ends, once, however often it was attempted.
func (a *Attempt) Report(f Finding) {
	a.mu.Lock()
	a.findings = append(a.findings, f)
	a.mu.Unlock()
}

// Findings returns what was reported so far.
func (a *Attempt) Findings() []Finding {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Finding(nil), a.findings...)
}

// UntilDraining returns a context for what may be cut off without harm, such as reading and waiting: it ends with ctx, and, with
// ErrDrained as its cause, as soon as the worker wants the attempt back. An error of such work while IsDraining is no failure:
// return ErrDrained. What must not be cut off, such as a commit, goes on with ctx itself. Call the function when the work ends.
func (a *Attempt) UntilDraining(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if a.IsDraining() {
		cancel(ErrDrained)
	}
	go func() {
		select {
		case <-a.Draining:
			cancel(ErrDrained)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// IsDraining reports whether the worker wants the attempt back.
func (a *Attempt) IsDraining() bool {
	select {
	case <-a.Draining:
		return true
	default:
		return false
	}
}
