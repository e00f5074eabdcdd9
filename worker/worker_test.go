package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func TestAJobRunsStageByStageOnSeveralWorkers(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	f.worker("a")
	f.worker("b")
	start := time.Now()
	f.submit(enginetest.Job("j", 150, 0, 50))
	v := f.ends("j", 200)
	t.Logf("200 steps in %v", time.Since(start))
	f.family.CheckEffects(t, "j", 150, 0, 50)
	for i := 1; i < len(v.Stages); i++ {
		if v.Stages[i].StartedAt.Before(*v.Stages[i-1].EndedAt) {
			t.Errorf("stage %d began before the one it waits for had ended", i)
		}
	}
	if n := f.log.Count("level=WARN"); n != 0 {
		t.Errorf("%d warnings on the way", n)
	}
}

func TestAPanicIsAFailureOfItsStepOnly(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	f.family.Do = func(_ context.Context, a *tasks.Attempt) error {
		if a.Failed == 0 && a.Step.ID == "1" {
			panic("at the disco")
		}
		return nil
	}
	f.worker("a")
	f.submit(enginetest.Job("j", 3))
	f.ends("j", 3)
	f.family.CheckEffects(t, "j", 3)
	if f.log.Count("at the disco") == 0 || f.log.Count("worker_test.go") == 0 {
		t.Error("the log does not say where it panicked")
	}
}

func TestAStepThatFailsForGoodEndsItsJobWithReasonAndHint(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	var mended atomic.Bool
	f.family.Do = func(context.Context, *tasks.Attempt) error {
		if !mended.Load() {
			return tasks.Permanent(tasks.WithHint(errors.New("disk"), "buy a larger one", "full"))
		}
		return nil
	}
	f.worker("a")
	f.submit(enginetest.Job("j", 1))
	v := enginetest.WaitState(t, f.st, "j", tasks.Failed)
	if v.Error == nil || v.Error.Message != "full: disk" || v.Error.Hint != "buy a larger one" {
		t.Errorf("%+v", v.Error)
	}
	mended.Store(true)
	h, err := f.st.Control(t.Context(), "j", store.Retry, "me", "")
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Enqueue(t, f.rdb, h)
	f.ends("j", 1)
}

func TestAJobOfAnUnknownKindWaitsForAWorkerThatKnowsIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	f.worker("old", func(o *Options) { o.Families = nil })
	job := enginetest.Job("j", 2)
	job.Policy.Retries = -1
	f.submit(job)
	enginetest.Eventually(t, "the old one gives it back", func() bool { return f.log.Count("does not know jobs of kind") > 0 })
	f.worker("new", func(o *Options) { o.Concurrency = 8 })
	f.ends("j", 2)
}

func TestAPausedJobGetsItsStepsBackAndGoesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = g.wait
	f.worker("a", func(o *Options) { o.Heartbeat = 100 * time.Millisecond })
	f.submit(enginetest.Job("j", 10))
	g.arrive(t, 4)
	if _, err := f.st.Control(t.Context(), "j", store.Pause, "me", ""); err != nil {
		t.Fatal(err)
	}
	took := enginetest.Eventually(t, "nothing is held", func() bool {
		v, err := f.st.View(t.Context(), "j")
		return err == nil && len(v.Workers) == 0
	})
	t.Logf("given back after %v", took)
	close(g.open)
	h, err := f.st.Control(t.Context(), "j", store.Resume, "me", "")
	if err != nil {
		t.Fatal(err)
	}
	enginetest.Enqueue(t, f.rdb, h)
	f.ends("j", 10)
	f.family.CheckEffects(t, "j", 10)
}

func TestCancellingAJobStopsItsAttempts(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	began, ended := make(chan struct{}, 100), make(chan error, 100)
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		began <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}
	w := f.worker("a", func(o *Options) { o.Heartbeat = 100 * time.Millisecond })
	f.submit(enginetest.Job("j", 10))
	<-began
	if _, err := f.st.Control(t.Context(), "j", store.Cancel, "me", ""); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, tasks.ErrStale) {
		t.Errorf("it was stopped because %v", err)
	}
	enginetest.Eventually(t, "the worker holds nothing", func() bool { return w.InFlight() == 0 })
	if v, err := f.st.View(t.Context(), "j"); err != nil || v.State != tasks.Cancelled || len(v.Out) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestAJobOutlivesRedisBeingAwayWithoutSpendingItsRetries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ away, back func(*redistest.Server) }{
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
		"frozen": {(*redistest.Server).Pause, (*redistest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Synced always: on a busy disk the other way may forget steps that have ended, and the effects here have no ledger.
			f := newFleet(t, 0, redistest.FsyncAlways()).apart()
			var begun atomic.Int64
			f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
				begun.Add(1)
				return checkpointing(ctx, a)
			}
			f.worker("a")
			f.worker("b")
			job := enginetest.Job("j", 40)
			job.Policy.Retries = -1
			f.submit(job)
			enginetest.Eventually(t, "steps run", func() bool { return begun.Load() > 10 })
			c.away(f.server)
			gone := time.Now()
			enginetest.Eventually(t, "the outage lasts longer than a worker may be silent", func() bool { return time.Since(gone) > 4*time.Second })
			c.back(f.server)
			back := time.Now()
			f.ends("j", 40)
			t.Logf("done %v after Redis came back", time.Since(back))
			f.family.CheckEffects(t, "j", 40)
			if n := f.log.Count("worker is lost") + f.log.Count("given up as lost"); n != 0 {
				t.Errorf("%d false alarms", n)
			}
		})
	}
}

func TestAKilledWorkerIsReplacedInSeconds(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	kid, out := startChild(t, f.server.URL())
	f.submit(enginetest.Job("j", 8))
	enginetest.Eventually(t, "the child holds steps", func() bool { return out.Count("holds") == 2 })
	f.worker("b", func(o *Options) { o.Concurrency = 8 })
	enginetest.Eventually(t, "only the child's steps are left", func() bool {
		v, err := f.st.View(t.Context(), "j")
		return err == nil && v.Counters.StepsDone == 6
	})
	start := time.Now()
	if err := kid.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	f.ends("j", 8)
	took := time.Since(start)
	t.Logf("the steps of the killed worker ended elsewhere %v after the kill", took)
	if took > 15*time.Second {
		t.Error("that is too late")
	}
	f.family.CheckEffects(t, "j", 8)
	if n := f.log.Count("worker is lost"); n != 1 {
		t.Errorf("%d workers are said to be lost", n)
	}
}

func TestAFrozenWorkerChangesNothingWhenItGoesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	kid, out := startChild(t, f.server.URL())
	f.submit(enginetest.Job("j", 8))
	enginetest.Eventually(t, "the child holds steps", func() bool { return out.Count("holds") == 2 })
	if err := kid.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	f.worker("b", func(o *Options) { o.Concurrency = 8 })
	f.ends("j", 8)
	t.Logf("the steps of the frozen worker ended elsewhere after %v", time.Since(start))
	before := f.keysOf("j")
	if err := kid.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "the zombie sees that it is one", func() bool {
		return out.Count("stale attempt: another one holds") == 2 && out.Count("given up as lost") == 1
	})
	if after := f.keysOf("j"); after != before {
		t.Errorf("the zombie changed the job:\n%s\n%s", before, after)
	}
	f.family.CheckEffects(t, "j", 8)
}

// keysOf is what the store keeps of a job, as text.
func (f *fleet) keysOf(job string) string {
	f.t.Helper()
	text := ""
	for _, k := range []string{"", ":stages", ":out", ":steps", ":saved", ":later"} {
		key := "stint:{" + job + "}" + k
		if f.rdb.Type(f.t.Context(), key).Val() == "zset" {
			text += fmt.Sprintln(k, f.rdb.ZRangeWithScores(f.t.Context(), key, 0, -1).Val())
			continue
		}
		text += fmt.Sprintln(k, f.rdb.HGetAll(f.t.Context(), key).Val())
	}
	return text
}

func TestLosingTheQueueLosesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = g.wait
	f.worker("a")
	f.submit(enginetest.Job("j", 30))
	g.arrive(t, 4) // four run, four more wait on the queue
	keys, err := f.rdb.Keys(t.Context(), "asynq:*").Result()
	if err != nil || len(keys) == 0 {
		t.Fatalf("%v, %v", keys, err)
	}
	if err := f.rdb.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	close(g.open)
	f.ends("j", 30)
	t.Logf("ended %v after the queue was lost", time.Since(start))
	f.family.CheckEffects(t, "j", 30)
}

func TestLosingAllOfRedisStopsTheAttemptsAndTheWorkerLivesOn(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0).apart()
	var words atomic.Value
	words.Store("")
	began, ended := make(chan struct{}, 100), make(chan error, 100)
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		var spec enginetest.Spec
		if err := json.Unmarshal(a.Job.Spec, &spec); err != nil {
			return tasks.Permanent(err)
		}
		if spec.Word == "second" {
			words.Store(spec.Word)
			return nil
		}
		began <- struct{}{}
		<-ctx.Done()
		ended <- context.Cause(ctx)
		return ctx.Err()
	}
	w := f.worker("a")
	f.submit(enginetest.Job("j", 2))
	<-began
	<-began
	if err := f.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; !errors.Is(err, tasks.ErrStale) {
			t.Errorf("it was stopped because %v", err)
		}
	}
	enginetest.Eventually(t, "the worker holds nothing and has said that it is there", func() bool {
		list, err := f.st.Workers(t.Context(), time.Hour)
		return w.InFlight() == 0 && err == nil && len(list) == 1
	})
	// The same id may come back with other words: nothing of the first may be remembered.
	job := enginetest.Job("j", 3)
	job.Spec = json.RawMessage(`{"stages":[3],"word":"second"}`)
	f.submit(job)
	f.ends("j", 3)
	f.family.CheckEffects(t, "j", 3)
	if words.Load() != "second" {
		t.Error("the worker ran the words of the job that was lost")
	}
}

func TestAWorkerThatCannotStartLeavesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	rdb := server.Client()
	st := store.New(rdb)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := New(rdb, st, Options{ID: "a"})
	if err := w.Start(ctx); err == nil {
		t.Fatal("it started on a context that had ended")
	}
	if list, err := st.Workers(t.Context(), time.Hour); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}
