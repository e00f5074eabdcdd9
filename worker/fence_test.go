package worker

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func version(v string) func(*Options) { return func(o *Options) { o.Version = v } }

func (f *fleet) fence(x wire.Fence) {
	f.t.Helper()
	if err := f.st.SetFence(f.t.Context(), x); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) lift(which string) {
	f.t.Helper()
	if err := f.st.LiftFence(f.t.Context(), which); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) is(w *Worker, state string) {
	f.t.Helper()
	enginetest.Eventually(f.t, "worker "+w.ID()+" is "+state, func() bool { return w.State() == state })
}

// watchClaims counts the steps that a worker begins.
func (f *fleet) watchClaims(worker string) *atomic.Int64 {
	var n atomic.Int64
	f.family.Do = func(_ context.Context, a *tasks.Attempt) error {
		if a.Worker == worker {
			n.Add(1)
		}
		return nil
	}
	return &n
}

func TestAWorkerThatAFenceParksComesUpDrainedAndClaimsNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	claims := f.watchClaims("old")
	f.fence(wire.Fence{Version: "<2.0", Reason: "it corrupts"})
	f.submit(enginetest.Job("j", 50))
	old := f.worker("old", version("1.9.0-rc.1"))
	if s := old.State(); s != wire.WorkerDraining && s != wire.WorkerDrained {
		t.Fatalf("it is %s when Start returns", s)
	}
	f.is(old, wire.WorkerDrained)
	enginetest.Eventually(t, "the fleet says why", func() bool {
		list, err := f.st.Workers(t.Context(), time.Hour)
		return err == nil && len(list) == 1 && list[0].SafeToStop && list[0].Fenced == "version <2.0" && list[0].Reads == tasks.OldestProtocol && slices.Equal(list[0].Kinds, []string{"test"})
	})
	if s := old.Status(); !s.Drain.Wanted || !slices.Equal(s.Drain.By, []string{wire.DrainByFence}) || s.Fenced != "version <2.0" || !s.SafeToStop {
		t.Errorf("%+v", s)
	}
	if why := strings.Join(old.Ready(), "; "); !strings.Contains(why, "version <2.0") {
		t.Errorf("it is not ready because: %s", why)
	}
	old.Undrain()
	if err := f.st.Want(t.Context(), "old", false, "ada"); err != nil {
		t.Fatal(err)
	}
	f.worker("dev", version("dev")) // no constraint means it
	f.ends("j", 50)
	if claims.Load() != 0 || old.State() != wire.WorkerDrained {
		t.Errorf("%d steps ran on the worker that is parked; it is %s", claims.Load(), old.State())
	}
	f.lift(store.FenceVersion)
	f.is(old, wire.WorkerActive)
}

func TestAFenceParksRunningWorkersAtOnceAsADrainDoes(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	var begun atomic.Int64
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		begun.Add(1)
		return checkpointing(ctx, a)
	}
	silent := func(o *Options) { o.Heartbeat = time.Hour } // only the message can tell it
	old, new := f.worker("old", version("1.4.0"), silent), f.worker("new", version("1.5.0"), silent)
	f.submit(enginetest.Job("j", 20))
	enginetest.Eventually(t, "steps run", func() bool { return begun.Load() >= 6 })
	start := time.Now()
	f.fence(wire.Fence{NotVersion: "1.5.0"})
	f.is(old, wire.WorkerDrained)
	t.Logf("parked %v after the fence was set", time.Since(start))
	if new.State() != wire.WorkerActive || old.InFlight() != 0 {
		t.Errorf("the new one is %s; the old one holds %d", new.State(), old.InFlight())
	}
	f.ends("j", 20)
	f.family.CheckEffects(t, "j", 20)
	f.lift(store.FenceNotVersion)
	f.is(old, wire.WorkerActive)
}

func TestALiftedFenceLeavesADrainInForce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	asked, here := f.worker("asked", version("1.0.0")), f.worker("here", version("1.0.0"))
	free := f.worker("free", version("1.0.0"))
	f.fence(wire.Fence{Version: "1.0.0"})
	for _, w := range []*Worker{asked, here, free} {
		f.is(w, wire.WorkerDrained)
	}
	if err := f.st.Want(t.Context(), "asked", true, "ada"); err != nil {
		t.Fatal(err)
	}
	here.Drain()
	enginetest.Eventually(t, "it has heard of the drain, too", func() bool { return len(asked.Status().Drain.By) == 2 })
	f.lift(store.FenceVersion)
	f.is(free, wire.WorkerActive)
	for _, w := range []*Worker{asked, here} {
		enginetest.Eventually(t, "it has heard", func() bool { return w.Status().Fenced == "" })
		if w.State() != wire.WorkerDrained {
			t.Errorf("%s is %s", w.ID(), w.State())
		}
	}
	here.Undrain()
	f.is(here, wire.WorkerActive)
	if err := f.st.Want(t.Context(), "asked", false, "ada"); err != nil {
		t.Fatal(err)
	}
	f.is(asked, wire.WorkerActive)
}

func TestAFenceOutlivesTheLossOfRedisAsLongAsAWorkerKnowsIt(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	beats := func(o *Options) { o.Heartbeat = 50 * time.Millisecond }
	old := f.worker("old", version("1.0.0"), beats)
	knows := f.worker("new", version("2.0.0"), beats)
	f.fence(wire.Fence{Version: "<2.0", By: "me"})
	f.is(old, wire.WorkerDrained)
	enginetest.Eventually(t, "the new one has heard of it, too", func() bool {
		knows.mu.Lock()
		defer knows.mu.Unlock()
		return len(knows.fences) == 1
	})
	if _, err := old.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "it stands again", func() bool {
		list, err := f.st.Fences(t.Context())
		return err == nil && len(list) == 1 && list[0].Version == "<2.0" && list[0].By == "me"
	})
	again := f.worker("again", version("1.0.0"), beats)
	if again.State() == wire.WorkerActive {
		t.Error("an old worker that starts after that is active")
	}
	f.lift(store.FenceVersion)
	f.is(again, wire.WorkerActive)
	beat := knows.LastBeat()
	enginetest.Eventually(t, "the one that knew it has heard that it was lifted", func() bool { return knows.LastBeat().After(beat.Add(100 * time.Millisecond)) })
	if list, err := f.st.Fences(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after it was lifted: %+v, %v", list, err)
	}
}

func TestAWorkerThatIsBeingStoppedIsNotTakenBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	began := make(chan struct{}, 8)
	release := make(chan struct{})
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		began <- struct{}{}
		<-release // deaf to Draining
		return nil
	}
	w := f.worker("a")
	f.submit(enginetest.Job("j", 1))
	<-began
	stopped := make(chan error, 1)
	go func() {
		_, err := w.Stop(context.Background())
		stopped <- err
	}()
	f.is(w, wire.WorkerDraining)
	w.Undrain()
	if w.State() != wire.WorkerDraining || !w.Status().Drain.Wanted {
		t.Errorf("it is %s", w.State())
	}
	close(release)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestAWorkerIsAliveWhileRedisIsAwayAndReadyWhenItIsBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, time.Hour)
	w := f.worker("a", func(o *Options) { o.Heartbeat = 400 * time.Millisecond })
	if why := w.Ready(); len(why) != 0 {
		t.Errorf("it is not ready because %v", why)
	}
	f.server.Pause() // it takes connections, and never answers
	enginetest.Eventually(t, "it says that it is not ready", func() bool {
		if err := w.Alive(); err != nil {
			t.Fatalf("it is said to be wedged: %v", err)
		}
		return strings.Contains(strings.Join(w.Ready(), " "), "redis has confirmed no heartbeat")
	})
	start := time.Now()
	enginetest.Eventually(t, "time passes", func() bool {
		if err := w.Alive(); err != nil {
			t.Fatalf("it is said to be wedged: %v", err)
		}
		return time.Since(start) > 4*w.o.Heartbeat
	})
	f.server.Resume()
	enginetest.Eventually(t, "it is ready again", func() bool { return len(w.Ready()) == 0 })
	w.mu.Lock()
	enginetest.Eventually(t, "a worker whose lock is never given back is not alive", func() bool { return w.Alive() != nil })
	w.mu.Unlock()
	enginetest.Eventually(t, "it is alive again", func() bool { return w.Alive() == nil })
}

func TestAStatusSaysWhatIsHeld(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = g.wait
	w := f.worker("a", func(o *Options) { o.Concurrency = 2; o.Version = "1.2.3" })
	f.submit(enginetest.Job("j", 5))
	g.arrive(t, 2)
	s := w.Status()
	if s.ID != "a" || s.Version != "1.2.3" || s.Protocol != tasks.Protocol || s.State != wire.WorkerActive || s.Concurrency != 2 || s.SafeToStop || s.Drain.Wanted || len(s.InFlight) != 2 {
		t.Fatalf("%+v", s)
	}
	for _, h := range s.InFlight {
		if h.Job != "j" || h.Kind != "test" || h.Stage != "s0" || h.Step == "" || h.Attempt == "" || h.Resumed || time.Since(h.Since) > time.Minute {
			t.Errorf("%+v", h)
		}
	}
	w.Drain()
	f.is(w, wire.WorkerDrained)
	if s := w.Status(); !s.SafeToStop || len(s.InFlight) != 0 || s.Drain.Since == nil || !slices.Equal(s.Drain.By, []string{wire.DrainByProcess}) {
		t.Errorf("%+v", s)
	}
	close(g.open)
	w.Undrain()
	f.ends("j", 5)
}
