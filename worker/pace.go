package worker

import (
	"context"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// paceInPlace is how long a step waits for its tenant's rate while it holds a slot, and how soon at the earliest one that does
// not is handed out again: sooner, the steps of a busy tenant would only go round the queue.
const paceInPlace = 250 * time.Millisecond

// postponed is the error of a step whose turn has not come: it goes back as if it had not been begun.
type postponed struct{ after time.Duration }

func (p *postponed) Error() string {
	return "its tenant's rate is used up; tried again after " + p.after.String()
}

// pace lets a step go on when its tenant's rate has room for it. Otherwise it waits a moment, unless the worker drains, the wait
// would be long or others wait already: a limited tenant must not hold the slots that other tenants could use.
func (w *Worker) pace(ctx context.Context, a *tasks.Attempt) error {
	tenant := a.Job.Tenant
	limits, err := w.limits.of(ctx, tenant)
	if err != nil {
		return away(err)
	}
	if limits.StepsPerSecond <= 0 {
		return nil
	}
	waits := false
	defer func() {
		if waits {
			w.pacing.Add(-1)
		}
	}()
	for until := time.Now().Add(paceInPlace); ; {
		wait, err := w.store.Take(ctx, tenant, a.Job.ID, limits.StepsPerSecond)
		if err != nil {
			return away(err)
		}
		if wait == 0 {
			return nil
		}
		if !waits && wait <= paceInPlace {
			waits = w.pacing.Add(1) <= w.mayPace()
			if !waits {
				w.pacing.Add(-1)
			}
		}
		if !waits || time.Now().Add(wait).After(until) {
			return &postponed{max(wait, paceInPlace)}
		}
		select {
		case <-time.After(wait):
		case <-a.Draining:
			return &postponed{}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// mayPace is how many steps of this worker may wait in their slots at once.
func (w *Worker) mayPace() int64 { return max(int64(w.o.Concurrency)/4, 1) }

// letNextIn takes a job that has ended out of its tenant's count and starts what waited for that, so that the next job need not
// wait for the next sweep. What goes wrong here the sweep mends.
func (w *Worker) letNextIn(job tasks.Job) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	limits, err := w.limits.of(ctx, job.Tenant)
	if err == nil && limits.RunningJobs <= 0 {
		return
	}
	if err == nil {
		err = w.store.Release(ctx, job.Tenant, job.ID)
	}
	if err == nil {
		var next []store.Handout
		next, err = w.store.Admit(ctx, job.Tenant, limits.RunningJobs)
		for _, h := range next {
			w.hand(h)
		}
	}
	if err != nil {
		w.o.Log.Debug("the next job of a limited tenant was not started; the sweep will", "tenant", job.Tenant, "err", err)
	}
}

// limitsCache remembers the limits of the tenants that a worker has to do with, for one heartbeat interval.
type limitsCache struct {
	store *store.Store
	keep  time.Duration
	mu    sync.Mutex
	known map[string]knownLimits
}

type knownLimits struct {
	wire.Limits
	asked time.Time
}

// keptLimits bounds the tenants that are remembered.
const keptLimits = 4096

// of returns a tenant's limits. While one call asks the store anew, others go on with what is known, and so does this one when
// the store does not answer; it is an error only for a tenant of which nothing is known.
func (c *limitsCache) of(ctx context.Context, tenant string) (wire.Limits, error) {
	c.mu.Lock()
	k, ok := c.known[tenant]
	if ok && time.Since(k.asked) < c.keep {
		c.mu.Unlock()
		return k.Limits, nil
	}
	if ok {
		c.known[tenant] = knownLimits{k.Limits, time.Now()}
	}
	c.mu.Unlock()
	fresh, err := c.store.LimitsOf(ctx, tenant)
	if err != nil {
		if ok {
			return k.Limits, nil
		}
		return wire.Limits{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) >= keptLimits {
		c.known = map[string]knownLimits{}
	}
	c.known[tenant] = knownLimits{fresh, time.Now()}
	return fresh, nil
}
