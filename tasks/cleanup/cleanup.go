// Package cleanup is the family that forgets jobs which ended long ago. Its effect is that they are gone, so doing it twice is
// doing it once, and it may stop between any two of them.
package cleanup

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Kind is the word by which jobs name this family.
const Kind = "cleanup"

// What is kept when the spec does not say.
const (
	DefaultKeepFor = 30 * 24 * time.Hour
	DefaultKeep    = 1000
)

// batch is how many jobs are forgotten between two looks whether the worker wants its attempt back.
const batch = 100

// Spec says what is kept: a job that has ended is forgotten when it is older than KeepFor and not among the newest Keep.
type Spec struct {
	KeepFor string `json:"keep_for,omitempty"` // such as 720h; "" is DefaultKeepFor
	Keep    *int   `json:"keep,omitempty"`     // absent is DefaultKeep; 0 keeps none for being new
}

// Retire forgets at most limit jobs, the oldest first, and returns how many; fewer than limit means that no more are left. It may
// be called by many at the same time.
type Retire func(ctx context.Context, keepFor time.Duration, keep, limit int) (removed int, err error)

// Family forgets old jobs.
type Family struct{ retire Retire }

// New makes the family on a function that forgets.
func New(retire Retire) *Family { return &Family{retire} }

// Kind returns the family's word.
func (*Family) Kind() string { return Kind }

// Plan checks the spec: there is one stage.
func (*Family) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	if _, _, err := rulesOf(job); err != nil {
		return nil, err
	}
	return []tasks.Stage{{Name: "jobs"}}, nil
}

// Split lists the one step that there is: nobody knows how many jobs are old before they are looked at.
func (*Family) Split(context.Context, tasks.Job, tasks.Stage, tasks.Cursor, int) ([]tasks.Step, tasks.Cursor, error) {
	return []tasks.Step{{ID: "old"}}, nil, nil
}

// Run forgets a batch after the other until there is nothing to forget. The cursor is how many were, for the counters alone.
func (f *Family) Run(ctx context.Context, a *tasks.Attempt) error {
	keepFor, keep, err := rulesOf(a.Job)
	if err != nil {
		return err
	}
	total, _ := strconv.ParseInt(string(a.Cursor()), 10, 64) // nil is none
	for {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		n, err := f.retire(ctx, keepFor, keep, batch)
		total += int64(n)
		a.Count(tasks.Counters{Read: total, Written: total})
		if err != nil {
			return fmt.Errorf("forget old jobs: %w", err)
		}
		if n < batch {
			return nil
		}
		if err := a.Checkpoint(ctx, tasks.Cursor(strconv.FormatInt(total, 10))); err != nil {
			return err
		}
	}
}

func rulesOf(job tasks.Job) (time.Duration, int, error) {
	var s Spec
	if err := json.Unmarshal(job.Spec, &s); err != nil {
		return 0, 0, tasks.Permanent(tasks.WithHint(err, `write it as {"keep_for": "720h", "keep": 1000}`, "the spec of job %s cannot be read", job.ID))
	}
	keepFor, keep := DefaultKeepFor, DefaultKeep
	if s.Keep != nil {
		keep = *s.Keep
	}
	if s.KeepFor != "" {
		var err error
		if keepFor, err = time.ParseDuration(s.KeepFor); err != nil || keepFor < 0 {
			return 0, 0, tasks.Permanent(tasks.WithHint(nil, "write it as in 720h", "keep_for of job %s is no duration: %q", job.ID, s.KeepFor))
		}
	}
	if keep < 0 {
		return 0, 0, tasks.Permanent(tasks.WithHint(nil, "0 keeps none for being new", "keep of job %s is less than nothing: %d", job.ID, keep))
	}
	return keepFor, keep, nil
}
