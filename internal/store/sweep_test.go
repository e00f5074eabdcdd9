package store

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func TestTheSweepHandsOutAgainWhatLostWorkersHeld(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2", "3")
	one, two, three := b.take("0/1"), b.take("0/2"), b.take("0/3")
	b.lease(one, "gone")
	alive := b.lease(two, "alive")
	s := b.sweep("alive")
	if len(s.Lost) != 1 || s.Lost["0/1"] != "gone" {
		t.Errorf("lost: %v", s.Lost)
	}
	b.wantQueue("0/1")
	if r := b.take("0/1"); r.Delivery != one.Delivery+1 {
		t.Errorf("delivery %d", r.Delivery)
	}
	b.must(b.End(b.ctx(), two, alive, tasks.Counters{}, nil))
	b.lease(three, "alive")
	if s := b.sweep("alive"); len(s.Lost) != 0 || len(s.Enqueue) != 0 {
		t.Errorf("a second sweep finds %v", s)
	}
}

func TestAListOfWorkersThatMayNotBeTrustedTakesNothingAway(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	a := b.lease(r, "w")
	s, err := b.Sweep(b.ctx(), b.job.ID, Look{Living: nil, Trusted: false, Unbegun: never})
	if err != nil || len(s.Lost) != 0 {
		t.Errorf("%v, %v", s, err)
	}
	b.must(b.End(b.ctx(), r, a, tasks.Counters{}, nil))
}

func TestTheSweepFindsWhatWasHandedOutAndNeverBegun(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.lease(b.take("0/1"), "w")
	s, err := b.Sweep(b.ctx(), b.job.ID, Look{Living: []string{"w"}, Trusted: true, Unbegun: never})
	if err != nil || len(s.Unbegun) != 0 {
		t.Errorf("too early: %v, %v", s.Unbegun, err)
	}
	s, err = b.Sweep(b.ctx(), b.job.ID, Look{Living: []string{"w"}, Trusted: true, Unbegun: soon})
	if err != nil || len(s.Unbegun) != 1 || s.Unbegun[0] != b.queue[0] {
		t.Errorf("%v, %v; want %v", s.Unbegun, err, b.queue)
	}
}

func TestTheSweepLeavesEndedJobsAlone(t *testing.T) {
	t.Parallel()
	for _, state := range []tasks.State{tasks.Failed, tasks.Cancelled, tasks.Succeeded} {
		b := inState[state](t)
		b.unchanged("a sweep", func() {
			s, err := b.Sweep(b.ctx(), b.job.ID, Look{Living: nil, Trusted: true, Unbegun: soon})
			if err != nil || len(s.Lost)+len(s.Unbegun)+len(s.Enqueue) != 0 || s.State != string(state) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
}

func TestTheSweepOfAPausedJobTakesBackWhatLostWorkersHeldAndHandsNothingOut(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.lease(b.take("0/1"), "gone")
	b.control(Pause)
	if s := b.sweep(); len(s.Lost) != 1 || len(s.Enqueue) != 0 {
		t.Errorf("%+v", s)
	}
	b.control(Resume)
	b.wantQueue("0/1")
}

func TestAWorkerWhoseNameHasTheSeparatorOfALeaseCannotTakeAStepAway(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	if _, err := b.Begin(b.ctx(), b.take("0/1"), "a", "host|1", ""); err == nil {
		t.Fatal("it got a lease that nobody can read again")
	}
}

func TestHeartbeatsSayWhoIsAliveAndWhoIsLost(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	beat := func(id, state string) (wanted string, lost bool) {
		t.Helper()
		h, err := b.Beat(b.ctx(), wire.Worker{ID: id, State: state, Version: "v1"})
		if err != nil {
			t.Fatal(err)
		}
		return h.Wanted, h.WasLost
	}
	beat("a", wire.WorkerActive)
	beat("b", wire.WorkerActive)
	beat("c", wire.WorkerStopped)
	// Age is made by hand: the score is what the sweep judges by.
	for _, id := range []string{"a", "c"} {
		if err := b.rdb.ZIncrBy(b.ctx(), beatsKey, -10_000, id).Err(); err != nil {
			t.Fatal(err)
		}
	}
	fleet, err := b.Living(b.ctx(), 5*time.Second)
	alive, lost := fleet.Alive, fleet.Lost
	if err != nil || !slices.Equal(alive, []string{"b"}) || !slices.Equal(lost, []string{"a"}) {
		t.Errorf("alive %v, lost %v, %v", alive, lost, err)
	}
	if f, _ := b.Living(b.ctx(), 5*time.Second); len(f.Lost) != 0 {
		lost := f.Lost
		t.Errorf("lost a second time: %v", lost)
	}
	list, err := b.Workers(b.ctx(), 5*time.Second)
	if err != nil || len(list) != 3 || list[0].State != wire.WorkerLost || list[1].State != wire.WorkerActive || list[2].State != wire.WorkerStopped {
		t.Errorf("%+v, %v", list, err)
	}
	if list[0].SafeToStop || list[1].SafeToStop || !list[2].SafeToStop || list[0].HeartbeatAge < 10_000 {
		t.Errorf("%+v", list)
	}
	if _, wasLost := beat("a", wire.WorkerActive); !wasLost {
		t.Error("a worker that had been given up is not told so")
	}
	if _, wasLost := beat("a", wire.WorkerActive); wasLost {
		t.Error("it is told twice")
	}
	if err := b.Remove(b.ctx(), "a"); err != nil {
		t.Fatal(err)
	}
	if list, _ := b.Workers(b.ctx(), time.Hour); len(list) != 2 {
		t.Errorf("%+v", list)
	}
}

func TestWhatIsWantedOfAWorkerReachesItsNextHeartbeat(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.Want(b.ctx(), "a", true, "ada"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown worker: %v", err)
	}
	for _, want := range []bool{false, true, true, false} {
		if _, err := b.Beat(b.ctx(), wire.Worker{ID: "a", State: wire.WorkerActive}); err != nil {
			t.Fatal(err)
		}
		if err := b.Want(b.ctx(), "a", want, "ada"); err != nil {
			t.Fatal(err)
		}
		if h, err := b.Beat(b.ctx(), wire.Worker{ID: "a", State: wire.WorkerActive}); err != nil || (h.Wanted == wire.WantDrain) != want {
			t.Errorf("wanted %q, %v; want %v", h.Wanted, err, want)
		}
	}
}

func TestOneHolderAtATimeHasTheRightToSweep(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	hold := func(id string, d time.Duration) bool {
		t.Helper()
		ok, err := b.HoldSweep(b.ctx(), id, d)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !hold("a", time.Hour) || hold("b", time.Hour) || !hold("a", time.Hour) {
		t.Error("a has it and keeps it")
	}
	if err := b.ReleaseSweep(b.ctx(), "b"); err != nil || hold("b", time.Hour) {
		t.Errorf("b gave up what is a's: %v", err)
	}
	if err := b.ReleaseSweep(b.ctx(), "a"); err != nil || !hold("b", 50*time.Millisecond) {
		t.Errorf("a gave it up: %v", err)
	}
	eventually(t, "b's right runs out", func() bool { return hold("a", time.Hour) })
}

func TestAViewSaysWhatIsOutAndWithWhom(t *testing.T) {
	t.Parallel()
	b := planned(t, func(j *tasks.Job) { j.Window = 9 }, "a")
	b.split(tasks.Cursor("more"), "1", "2")
	b.lease(b.take("0/2"), "w2")
	b.lease(b.take("x0"), "w1")
	v := b.view()
	if !slices.Equal(v.Workers, []string{"w1", "w2"}) || len(v.Out) != 3 {
		t.Fatalf("%+v", v)
	}
	for _, o := range v.Out {
		if want := map[string]string{"1": "", "2": "w2", "split": "w1"}; o.Worker != want[o.Step] || o.Stage != "a" {
			t.Errorf("%+v", o)
		}
	}
}

// A Redis that was started anew does not know the script: the first job brings it there.
func TestManyJobsAreSweptInOneCallEachWithItsOwnAnswer(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.lease(b.take("0/1"), "gone")
	look := Look{Trusted: true, Unbegun: never}
	for range 2 {
		if err := b.rdb.ScriptFlush(b.ctx()).Err(); err != nil {
			t.Fatal(err)
		}
		all := b.SweepAll(b.ctx(), []string{"nobody", b.job.ID, "nobody"}, look)
		if len(all) != 3 || !errors.Is(all[0].Err, ErrNotFound) || all[1].Err != nil || !errors.Is(all[2].Err, ErrNotFound) {
			t.Fatalf("%+v", all)
		}
		if len(all[1].Enqueue) > 0 { // only the first time
			if all[1].Lost["0/1"] != "gone" || all[1].Enqueue[0].Job != b.job.ID {
				t.Errorf("%+v", all[1])
			}
			b.queue = append(b.queue, all[1].Enqueue...)
		}
	}
	b.wantQueue("0/1")
	if all := b.SweepAll(b.ctx(), nil, look); len(all) != 0 {
		t.Errorf("of no job: %v", all)
	}
}
