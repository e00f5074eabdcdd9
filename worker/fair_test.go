package worker

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks"
)

// bigSteps is the size of the job beside which the small ones must not starve.
var bigSteps = flag.Int("big", 3_000, "steps of the big job beside which small ones run; 10000 for the figure of the docs")

// smallCount is how many small jobs there are, of nine tenants.
var smallCount = flag.Int("small", 90, "small jobs beside the big one; 999 for the figure of the docs")

// smallJobs submits jobs of five steps for nine tenants in turn, and returns how long each took to end, sorted.
func (f *fleet) smallJobs(round string) []time.Duration {
	f.t.Helper()
	var ids []string
	for i := range *smallCount {
		id := fmt.Sprint(round, i)
		f.submit(jobOf(fmt.Sprint("tenant", i%9), id, 5))
		ids = append(ids, id)
	}
	var took []time.Duration
	for _, id := range ids {
		v := f.ends(id, 5)
		took = append(took, v.EndedAt.Sub(v.CreatedAt))
	}
	slices.Sort(took)
	return took
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func TestAHugeJobOfOneTenantDoesNotStarveTheSmallJobsOfOthers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	// A step takes a moment, so that the slots of the fleet are what everybody waits for.
	f.family.Do = func(ctx context.Context, _ *tasks.Attempt) error {
		select {
		case <-time.After(2 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	f.worker("a")
	f.worker("b")
	alone := f.smallJobs("alone")
	f.submit(jobOf("big", "big", *bigSteps))
	enginetest.Eventually(t, "the big job is under way", func() bool {
		v, err := f.st.View(t.Context(), "big")
		return err == nil && v.Counters.StepsDone > 50
	})
	beside := f.smallJobs("beside")
	v, err := f.st.View(t.Context(), "big")
	if err != nil || v.State != tasks.Running {
		t.Errorf("the big job is not running any more, so nothing was measured: %+v, %v", v, err)
	}
	f.ends("big", int64(*bigSteps))
	// Before and after: the machine may be busier at one time than at another.
	if again := f.smallJobs("again"); quantile(again, 0.95) > quantile(alone, 0.95) {
		alone = again
	}
	t.Logf("%d jobs of 5 steps: p50 %v, p95 %v alone; p50 %v, p95 %v beside a job of %d steps, of which %d were done by then",
		*smallCount, quantile(alone, 0.5), quantile(alone, 0.95), quantile(beside, 0.5), quantile(beside, 0.95), *bigSteps, v.Counters.StepsDone)
	if most := 3 * quantile(alone, 0.95); quantile(beside, 0.95) > most {
		t.Errorf("p95 is %v beside the big job, want at most 3 times the %v without it", quantile(beside, 0.95), quantile(alone, 0.95))
	}
}

func TestJobsOfHigherPriorityOvertakeAndThoseOfLowerOnesAreNotStarved(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	var mu sync.Mutex
	var order []string
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		mu.Lock()
		order = append(order, a.Job.ID)
		mu.Unlock()
		select {
		case <-time.After(time.Millisecond):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	w := f.worker("a")
	w.Drain()
	submit := func(id string, priority, steps int) {
		j := enginetest.Job(id, steps)
		j.Priority, j.Window = priority, 50
		f.submit(j)
	}
	for i := range 8 {
		submit(fmt.Sprint("normal", i), 0, 100)
	}
	submit("low", -1, 30)
	submit("high", 1, 100)
	w.Undrain()
	for i := range 8 {
		f.ends(fmt.Sprint("normal", i), 100)
	}
	f.ends("low", 30)
	f.ends("high", 100)
	// Where in the order of all 930 steps did each job's last one run?
	mu.Lock()
	defer mu.Unlock()
	last := map[string]int{}
	for i, id := range order {
		last[id] = i
	}
	firstNormal, lastNormal := len(order), 0
	for i := range 8 {
		firstNormal = min(firstNormal, last[fmt.Sprint("normal", i)])
		lastNormal = max(lastNormal, last[fmt.Sprint("normal", i)])
	}
	t.Logf("of %d steps the last of the high job was number %d, the last of the first normal one %d, the last of the low one %d", len(order), last["high"], firstNormal, last["low"])
	if last["high"] >= firstNormal || last["high"] > 400 {
		t.Error("the job of high priority did not overtake the normal ones")
	}
	if last["low"] > lastNormal {
		t.Error("the job of low priority has waited for all others")
	}
}
