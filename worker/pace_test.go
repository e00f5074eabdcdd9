package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
)

// diary notes when steps began, by tenant.
type diary struct {
	mu    sync.Mutex
	begun map[string][]time.Time
}

func (d *diary) note(_ context.Context, a *tasks.Attempt) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun == nil {
		d.begun = map[string][]time.Time{}
	}
	d.begun[a.Job.Tenant] = append(d.begun[a.Job.Tenant], time.Now())
	return nil
}

func (d *diary) of(tenant string) []time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.begun[tenant])
}

func jobOf(tenant, id string, steps int) tasks.Job {
	j := enginetest.Job(id, steps)
	j.Tenant = tenant
	return j
}

func (f *fleet) limit(tenant string, l wire.Limits) {
	f.t.Helper()
	if err := f.st.SetLimits(f.t.Context(), tenant, l); err != nil {
		f.t.Fatal(err)
	}
}

func TestATenantsRateHoldsAcrossWorkersAndSlowsNobodyElse(t *testing.T) {
	t.Parallel()
	const rate = 20
	f := newFleet(t, time.Hour)
	var d diary
	f.family.Do = d.note
	f.limit("slow", wire.Limits{StepsPerSecond: rate})
	f.worker("a")
	f.worker("b")
	fast := func(id string) time.Duration {
		start := time.Now()
		f.submit(jobOf("fast", id, 300))
		f.ends(id, 300)
		return time.Since(start)
	}
	alone := fast("alone")
	f.submit(jobOf("slow", "s", 200))
	enginetest.Eventually(t, "the first burst is over", func() bool { return len(d.of("slow")) >= rate })
	took := fast("beside")
	enginetest.Eventually(t, "two seconds and more have passed", func() bool {
		b := d.of("slow")
		return b[len(b)-1].Sub(b[0]) > 2500*time.Millisecond
	})
	begun := d.of("slow")
	// In any stretch of time at most a second's worth and what the rate gives; over the whole of it nearly all of that.
	for i := range begun {
		for j := i + 1; j < len(begun); j++ {
			if span := begun[j].Sub(begun[i]); j-i+1 > rate+int(rate*span.Seconds())+2 {
				t.Fatalf("%d steps began within %v", j-i+1, span)
			}
		}
	}
	span := begun[len(begun)-1].Sub(begun[0])
	t.Logf("%d steps of a tenant with %d a second began in %v; 300 steps of another took %v, and %v without it", len(begun), rate, span.Round(time.Millisecond),
		took.Round(time.Millisecond), alone.Round(time.Millisecond))
	if least := int(0.7 * rate * span.Seconds()); len(begun) < least {
		t.Errorf("only %d steps began in %v, want %d or more", len(begun), span, least)
	}
	f.limit("slow", wire.Limits{})
	f.ends("s", 200)
	alone = max(alone, fast("again")) // the machine may be busier at one time than at another
	// Behind the limited one they would have waited for its end; on a machine that others load, a multiple alone says little.
	if took > 3*alone+500*time.Millisecond && took > 200*time.Second/rate*8/10 {
		t.Errorf("another tenant's steps took %v, and %v without the limited one", took, alone)
	}
	events, err := f.st.Events(t.Context(), "s", "", 10_000)
	if err != nil || slices.ContainsFunc(events, func(e wire.Event) bool { return e.Type == "given_back" }) {
		t.Errorf("those who watch the job are told of each wait; %v", err)
	}
	f.family.CheckEffects(t, "s", 200)
	if n := f.log.Count("attempt failed"); n != 0 {
		t.Errorf("%d waits were counted as failures", n)
	}
}

func TestAStepThatWaitsForItsTenantsRateGoesBackAtOnceOnADrain(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	var d diary
	f.family.Do = d.note
	f.limit("x", wire.Limits{StepsPerSecond: 5}) // one in 200 ms: worth to wait for
	w := f.worker("a")
	f.submit(jobOf("x", "j", 30))
	const rounds = 6
	began := 0
	for range rounds {
		enginetest.Eventually(t, "a step waits", func() bool { return w.pacing.Load() > 0 })
		n := len(d.of("x"))
		start := time.Now()
		w.Drain()
		ctx, cancel := context.WithTimeout(t.Context(), enginetest.Patience)
		err := w.WaitDrained(ctx)
		cancel()
		t.Logf("drained after %v", time.Since(start))
		if took := time.Since(start); err != nil || took > time.Second {
			t.Errorf("drained after %v, %v", took, err)
		}
		began += len(d.of("x")) - n
		w.Undrain()
	}
	// Who waits on runs his step when its turn comes, within 200 ms. It may have come just then, but not each time.
	if began > rounds/2 {
		t.Errorf("%d steps began on the draining worker in %d drains", began, rounds)
	}
	f.limit("x", wire.Limits{})
	f.ends("j", 30)
	f.family.CheckEffects(t, "j", 30)
}

func TestTheNextJobOfALimitedTenantStartsWhenOneEnds(t *testing.T) {
	t.Parallel()
	const sweep = 8 * time.Second // lets the first one in; if it had to let in each of them, that could not be overlooked
	f := newFleetWith(t, scheduler.Options{LostAfter: time.Hour, Interval: sweep})
	f.limit(store.AnyTenant, wire.Limits{RunningJobs: 1})
	f.worker("a")
	for i := range 10 {
		f.submit(jobOf("x", fmt.Sprint("j", i), 2))
	}
	for i := range 10 {
		f.ends(fmt.Sprint("j", i), 2)
	}
	var last *wire.Job
	for i := range 10 {
		v, err := f.st.View(t.Context(), fmt.Sprint("j", i))
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && v.StartedAt.Before(*last.EndedAt) {
			t.Errorf("%s began before %s had ended", v.ID, last.ID)
		}
		if last != nil && v.StartedAt.Sub(*last.EndedAt) > sweep/2 {
			t.Errorf("%s began %v after %s had ended: it has waited for the sweep", v.ID, v.StartedAt.Sub(*last.EndedAt), last.ID)
		}
		last = v
	}
}

func TestTheNextJobStartsWhenOneFails(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	f.family.Do = func(_ context.Context, a *tasks.Attempt) error {
		if a.Job.ID == "bad" {
			return tasks.Permanent(fmt.Errorf("no"))
		}
		return nil
	}
	f.limit("x", wire.Limits{RunningJobs: 1})
	f.worker("a")
	f.submit(jobOf("x", "bad", 1))
	f.submit(jobOf("x", "good", 1))
	enginetest.WaitState(t, f.st, "bad", tasks.Failed)
	f.ends("good", 1)
}

func TestWhatIsKnownOfLimitsIsKeptWhileTheStoreDoesNotAnswer(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	c := limitsCache{store: f.st, keep: time.Nanosecond}
	f.limit("x", wire.Limits{StepsPerSecond: 7})
	if l, err := c.of(t.Context(), "x"); err != nil || l.StepsPerSecond != 7 {
		t.Fatalf("%+v, %v", l, err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if l, err := c.of(gone, "x"); err != nil || l.StepsPerSecond != 7 {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := c.of(gone, "y"); err == nil {
		t.Error("a tenant of which nothing is known has limits")
	}
	f.limit("x", wire.Limits{StepsPerSecond: 9})
	if l, err := c.of(t.Context(), "x"); err != nil || l.StepsPerSecond != 9 {
		t.Errorf("%+v, %v", l, err)
	}
}
