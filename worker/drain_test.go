package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// checkpointing makes steps of ten checkpoints, one each 50 ms; a drained one goes on from its last.
func checkpointing(ctx context.Context, a *tasks.Attempt) error {
	n := len(a.Cursor())
	for ; n < 10; n++ {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		a.Count(tasks.Counters{Read: int64(n + 1)})
		if err := a.Checkpoint(ctx, append(a.Cursor(), 'x')); err != nil {
			return err
		}
		if a.IsDraining() {
			return tasks.ErrDrained
		}
	}
	return nil
}

func TestADrainingWorkerClaimsNothingAndIsSafeToStopWithinACheckpoint(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	var late, begun atomic.Int64
	var drained atomic.Int64 // when the drain was asked for, ns; 0 before
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		if at := drained.Load(); at != 0 && a.Worker == "a" && time.Now().UnixNano()-at > int64(250*time.Millisecond) {
			late.Add(1)
		}
		begun.Add(1)
		return checkpointing(ctx, a)
	}
	a := f.worker("a")
	f.submit(enginetest.Job("j", 12))
	enginetest.Eventually(t, "steps run", func() bool { return begun.Load() >= 6 })
	start := time.Now()
	drained.Store(start.UnixNano())
	a.Drain()
	closed := time.Since(start)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.WaitDrained(ctx); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	t.Logf("nothing more was claimed after %v; drained after %v", closed, took)
	if took > 1500*time.Millisecond || a.State() != wire.WorkerDrained || a.InFlight() != 0 {
		t.Errorf("drained after %v; %s with %d in flight", took, a.State(), a.InFlight())
	}
	enginetest.Eventually(t, "others see that it is safe to stop", func() bool {
		list, err := f.st.Workers(ctx, time.Hour)
		return err == nil && len(list) == 1 && list[0].SafeToStop
	})
	v, err := f.st.View(ctx, "j")
	if err != nil || v.State != tasks.Running || len(v.Workers) != 0 {
		t.Errorf("%+v, %v", v, err)
	}
	n := begun.Load()
	f.worker("b", func(o *Options) { o.Concurrency = 1 })
	enginetest.Eventually(t, "another worker goes on", func() bool { return begun.Load() > n })
	drained.Store(0)
	a.Undrain()
	f.ends("j", 12)
	f.family.CheckEffects(t, "j", 12)
	if late.Load() != 0 {
		t.Errorf("%d steps began on the draining worker later than 250 ms after the request", late.Load())
	}
	if n := f.log.Count("attempt failed"); n != 0 {
		t.Errorf("%d interruptions were counted as failures", n)
	}
}

func TestADrainThatIsAskedForThroughTheStoreIsHeardAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour, redistest.FsyncAlways())
	w := f.worker("a", func(o *Options) { o.Heartbeat = time.Hour }) // only the message can tell it
	want := func(drain bool, state string) {
		t.Helper()
		if err := f.st.Want(t.Context(), "a", drain, "ada"); err != nil {
			t.Fatal(err)
		}
		took := enginetest.Eventually(t, "the worker is "+state, func() bool { return w.State() == state })
		t.Logf("%s after %v", state, took)
	}
	want(true, wire.WorkerDrained)
	want(false, wire.WorkerActive)
	f.server.Kill()
	f.server.Restart()
	enginetest.Eventually(t, "redis is back", func() bool { return f.st.Ping(t.Context()) == nil })
	want(true, wire.WorkerDrained)
	w.Undrain() // somebody else asked for it: it stays
	if w.State() != wire.WorkerDrained {
		t.Error("a local undrain took back what was asked for through the store")
	}
	want(false, wire.WorkerActive)
	f.submit(enginetest.Job("j", 5))
	f.ends("j", 5)
}

func TestARequestThatWasMissedIsFoundByTheNextHeartbeat(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	w := f.worker("a", func(o *Options) { o.Heartbeat = 50 * time.Millisecond })
	if err := f.rdb.HSet(t.Context(), "stint:{fleet}:worker:a", "wanted", "drain").Err(); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "the worker is drained", func() bool { return w.State() == wire.WorkerDrained })
}

func TestDrainsAndUndrainsAtTheSameTimeLeaveAWorkerThatDoesWhatItSays(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	w := f.worker("a")
	for range 50 {
		var both sync.WaitGroup
		both.Go(w.Drain)
		both.Go(w.Undrain)
		both.Wait()
	}
	w.Undrain()
	if w.State() != wire.WorkerActive {
		t.Fatalf("it is %s", w.State())
	}
	f.submit(enginetest.Job("j", 20))
	f.ends("j", 20)
	f.family.CheckEffects(t, "j", 20)
}

func TestAWorkerThatStopsCutsWhatDoesNotComeBackAndSaysGoodbye(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	began := make(chan struct{}, 100)
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		if a.Worker == "a" { // deaf to Draining
			began <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	}
	a := f.worker("a", func(o *Options) { o.Concurrency = 2 })
	job := enginetest.Job("j", 6)
	job.Policy.Retries = -1
	f.submit(job)
	<-began
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	cut, err := a.Stop(ctx)
	if cut != 2 || err != nil {
		t.Errorf("%d were cut, %v", cut, err)
	}
	t.Logf("stopped after %v", time.Since(start))
	f.worker("b")
	f.ends("j", 6)
	f.family.CheckEffects(t, "j", 6)
	if list, err := f.st.Workers(t.Context(), time.Hour); err != nil || len(list) != 2 || list[0].State != wire.WorkerStopped || !list[0].SafeToStop {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAWorkerThatStopsTakesNothingFromOthersOnTheSameClient(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	a := f.worker("a")
	f.worker("b")
	f.submit(enginetest.Job("j", 5))
	f.ends("j", 5)
	if _, err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.submit(enginetest.Job("k", 5))
	f.ends("k", 5)
}

// asynq goes on using the client then, and panics when that is closed.
func TestAWorkerWithAnAttemptThatDoesNotEndLeavesTheClientOpen(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	begun, release := make(chan struct{}), make(chan struct{})
	f.family.Do = func(context.Context, *tasks.Attempt) error {
		close(begun)
		<-release // a call that knows of no context
		return nil
	}
	w := f.worker("a")
	f.submit(enginetest.Job("j", 1))
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	cut, err := w.Stop(ctx)
	if cut != 1 || err == nil || !w.LeftRedis() {
		t.Errorf("%d cut, %v; the client may be closed: %v", cut, err, !w.LeftRedis())
	}
	close(release) // the worker is stopped once more, with the test
}

func TestAWorkerThatIsCutClaimsNothingAnew(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	var begun atomic.Int64
	f.family.Do = func(ctx context.Context, _ *tasks.Attempt) error {
		begun.Add(1)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	w := f.worker("a")
	f.submit(enginetest.Job("j", 8))
	enginetest.Eventually(t, "all slots are taken", func() bool { return begun.Load() == 4 })
	w.Cut()
	enginetest.Eventually(t, "it is drained", func() bool { return w.State() == wire.WorkerDrained })
	if n := begun.Load(); n > 12 { // a claim may be on its way
		t.Errorf("%d attempts were begun by a worker with four slots that was cut", n)
	}
}
