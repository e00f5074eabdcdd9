package dedupe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
)

// What holds when the spec does not say.
const (
	defaultBatch      = 5000
	defaultBusy       = 0.5
	defaultMaxLag     = 10 * time.Second
	defaultMaxProbe   = 250 * time.Millisecond
	defaultMaxWaiting = 5
	defaultMaxAge     = 24 * time.Hour
)

// How often the database is asked how it feels, and how long a step pauses before it asks again when it does not feel well.
const (
	healthEvery = time.Second
	healthPause = 2 * time.Second
	maxRest     = 10 * time.Second // after the check of a very large data set
)

// pace keeps a deletion from being felt: it lets the database rest after each batch, and pauses while it is not well.
type pace struct {
	busy    float64
	lag     time.Duration
	probe   time.Duration
	waiting int
	rest    time.Duration
	asked   time.Time
}

func newPace(a ApplySpec) *pace {
	p := &pace{busy: a.Busy, waiting: a.MaxWaiting, lag: duration(a.MaxLag, defaultMaxLag), probe: duration(a.MaxProbe, defaultMaxProbe)}
	if p.busy == 0 {
		p.busy = defaultBusy
	}
	if p.waiting == 0 {
		p.waiting = defaultMaxWaiting
	}
	return p
}

// duration reads a duration that has been checked.
func duration(text string, otherwise time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return otherwise
}

// took notes how long a batch, or a check, kept the database busy.
func (p *pace) took(d time.Duration) {
	p.rest = min(p.rest+time.Duration(float64(d)*(1-p.busy)/p.busy), maxRest)
}

// settle lets the database rest from the last of a data set's work, before another one's begins. A worker that wants the attempt back
// does not wait for it.
func (p *pace) settle(ctx context.Context, a *tasks.Attempt) error {
	err := rest(ctx, a, p.rest)
	p.rest = 0
	if errors.Is(err, tasks.ErrDrained) {
		return nil
	}
	return err
}

// wait lets the database rest, and until it is well. It returns ErrDrained as soon as the worker wants the attempt back.
func (p *pace) wait(ctx context.Context, a *tasks.Attempt, store *datasets.Store) error {
	if err := rest(ctx, a, p.rest); err != nil {
		return err
	}
	p.rest = 0
	for time.Since(p.asked) >= healthEvery {
		h, err := store.Health(ctx)
		if err != nil {
			return err
		}
		if p.ails(h) == "" {
			p.asked = time.Now()
			break
		}
		if err := rest(ctx, a, healthPause); err != nil {
			return err
		}
	}
	return nil
}

// ails says what is wrong with the database; "" when nothing is.
func (p *pace) ails(h datasets.Health) string {
	switch {
	case h.Lag > p.lag:
		return fmt.Sprintf("a replica is %v behind", h.Lag)
	case h.Waiting > p.waiting:
		return fmt.Sprintf("%d sessions wait for locks", h.Waiting)
	case h.Probe > p.probe:
		return fmt.Sprintf("a read of one row took %v", h.Probe)
	}
	return ""
}

// rest waits, and ends at once when the worker wants the attempt back.
func rest(ctx context.Context, a *tasks.Attempt, d time.Duration) error {
	if a.IsDraining() {
		return tasks.ErrDrained
	}
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-a.Draining:
		return tasks.ErrDrained
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
