package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// follow shows a job's progress until it has ended, and reports. A job that Redis has lost is submitted again: its ledger in
// the target says what is left. The first signal drains and ends with 130; the same command goes on later.
func (c *command) follow(ctx context.Context, a *app.App, job tasks.Job) error {
	v, err := c.watch(ctx, a, job)
	if err != nil {
		if errors.Is(err, errInterrupted) {
			c.say("interrupted: giving back what runs; the same command goes on from there")
			go c.secondSignal(a)
		}
		return err
	}
	return c.report(ctx, a, v)
}

// secondSignal cuts what does not come back by itself.
func (c *command) secondSignal(a *app.App) {
	<-c.Signals
	if a.Worker != nil {
		a.Worker.Cut()
	}
}

// watch shows progress until the job has ended. With a job that has a spec, a loss of Redis is made good.
func (c *command) watch(ctx context.Context, a *app.App, job tasks.Job) (*wire.Job, error) {
	ctx, cancel := c.interruptible(ctx)
	defer cancel()
	p := c.newProgress()
	defer p.end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	away := time.Time{}
	for {
		v, err := a.Store.View(ctx, job.ID)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, store.ErrNotFound) && job.Spec != nil:
			c.log.Warn("redis has lost this job; it is submitted again, and the target's ledger says what is left", "job", job.ID)
			if _, _, err := a.Submit(ctx, job); err != nil && !errors.Is(err, store.ErrConflict) {
				c.log.Warn("could not submit it yet", "err", err)
			}
		case errors.Is(err, store.ErrNotFound):
			return nil, err
		case err != nil:
			if away.IsZero() {
				away = time.Now()
				c.log.Warn("redis does not answer; waiting for it", "err", err)
			}
		default:
			if !away.IsZero() {
				c.log.Info("redis answers again", "after", short(time.Since(away)))
				away = time.Time{}
			}
			p.show(v)
			if v.State.Ended() {
				return v, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// failed says that a job did not do what it was asked.
func failed(v *wire.Job) error {
	switch {
	case v.State == tasks.Succeeded && v.Counters.StepsFailed == 0:
		return nil
	case v.Error != nil:
		return tasks.WithHint(nil, v.Error.Hint, "job %s %s: %s", v.ID, v.State, v.Error.Message)
	case v.State == tasks.Succeeded:
		return tasks.WithHint(nil, "see: stint jobs report "+v.ID, "job %s ended, but %d steps failed", v.ID, v.Counters.StepsFailed)
	}
	return fmt.Errorf("job %s was %s", v.ID, v.State)
}
