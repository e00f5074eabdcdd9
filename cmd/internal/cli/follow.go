package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/tasks"
)

// asked is a job that a command follows.
type asked struct {
	id string
	// again is how it was submitted; nil when this command did not. A job that Redis has lost is submitted again: its ledger in the
	// target says what is left.
	again *wire.Submission
	key   string // the Idempotency-Key of its submission; "" is none
}

// follow shows a job's progress until it has ended, and reports. The first signal drains and ends with 130; the same command
// goes on later.
func (c *command) follow(ctx context.Context, s *session, job *asked) error {
	v, err := c.await(ctx, s, job)
	if err != nil {
		return err
	}
	return c.report(ctx, s, v)
}

// await shows a job's progress until it has ended, and says what an interruption means.
func (c *command) await(ctx context.Context, s *session, job *asked) (*wire.Job, error) {
	v, err := c.watch(ctx, s, job)
	if errors.Is(err, errInterrupted) {
		if s.app != nil {
			c.say("interrupted: giving back what runs; the same command goes on from there")
			c.cutAtTheNext(s.app)
		} else {
			c.say("interrupted: the job goes on; see it with: stint jobs watch %s", job.id)
		}
	}
	return v, err
}

// cutAtTheNext has the next signal cut what does not come back by itself.
func (c *command) cutAtTheNext(a *app.App) {
	signals, _ := c.signals() // until the process ends
	go func() {
		<-signals
		if a.Worker != nil {
			a.Worker.Cut()
		}
	}()
}

// watch shows progress until the job has ended.
func (c *command) watch(ctx context.Context, s *session, job *asked) (*wire.Job, error) {
	return c.watchWith(ctx, s, job, c.newProgress())
}

// watchWith is watch with a way to show progress.
func (c *command) watchWith(ctx context.Context, s *session, job *asked, p progress) (*wire.Job, error) {
	ctx, cancel := c.interruptible(ctx)
	defer cancel()
	defer p.end()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	away := time.Time{}
	for {
		v, err := s.Job(ctx, job.id)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case isNotFound(err) && job.again != nil:
			c.log.Warn("redis has lost this job; it is submitted again, and the target's ledger says what is left", "job", job.id)
			if _, err := s.Submit(ctx, job.key, *job.again); err != nil {
				c.log.Warn("could not submit it yet", "err", err)
			}
		case err != nil && isPassing(err):
			if away.IsZero() {
				away = time.Now()
				c.log.Warn("there is no answer; waiting for it", "err", err)
			}
		case err != nil:
			return nil, err
		default:
			if !away.IsZero() {
				c.log.Info("there is an answer again", "after", short(time.Since(away)))
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

func isNotFound(err error) bool {
	var p *wire.Problem
	return errors.As(err, &p) && p.Code == wire.CodeNotFound
}

// isPassing reports whether an error is worth waiting out: a server or a Redis that is away.
func isPassing(err error) bool {
	var p *wire.Problem
	var away *client.Unreachable
	return errors.As(err, &away) || errors.As(err, &p) && (p.Status >= 500 || p.Code == wire.CodeLimited)
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
