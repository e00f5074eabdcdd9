package worker

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks"
)

// slowPlanner hangs in its first Plan and in its first Split until its context ends.
type slowPlanner struct {
	*enginetest.Family
	plans, splits atomic.Int64
}

func (p *slowPlanner) Plan(ctx context.Context, job tasks.Job) ([]tasks.Stage, error) {
	if p.plans.Add(1) == 1 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return p.Family.Plan(ctx, job)
}

func (p *slowPlanner) Split(ctx context.Context, job tasks.Job, st tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	if p.splits.Add(1) == 1 {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	return p.Family.Split(ctx, job, st, after, limit)
}

func TestADrainCutsOffPlanningAndSplittingWithoutSpendingTheRetryBudget(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	p := &slowPlanner{Family: f.family}
	with := func(o *Options) { o.Families = []tasks.Family{p} }
	first := f.worker("first", with)
	job := enginetest.Job("j", 3)
	job.Policy.Retries = -1 // a failure would end the job
	f.submit(job)
	drain := func(w *Worker, what string) {
		start := time.Now()
		w.Drain()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := w.WaitDrained(ctx); err != nil {
			t.Fatalf("a drain while %s: %v", what, err)
		}
		t.Logf("drained while %s after %v", what, time.Since(start))
	}
	enginetest.Eventually(t, "it plans", func() bool { return p.plans.Load() == 1 })
	drain(first, "planning")
	second := f.worker("second", with)
	enginetest.Eventually(t, "it splits", func() bool { return p.splits.Load() == 1 })
	drain(second, "splitting")
	f.worker("third", with)
	f.ends("j", 3)
}
