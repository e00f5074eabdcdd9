package worker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func (f *fleet) account(job string) *store.Account {
	f.t.Helper()
	acc, err := f.st.Account(f.t.Context(), job)
	if err != nil {
		f.t.Fatal(err)
	}
	return acc
}

// of finds the line of a worker in an account.
func of(t *testing.T, acc *store.Account, worker string) wire.WorkerReport {
	t.Helper()
	i := slices.IndexFunc(acc.Workers, func(w wire.WorkerReport) bool { return w.ID == worker })
	if i < 0 {
		t.Fatalf("%s did not take part: %+v", worker, acc.Workers)
	}
	return acc.Workers[i]
}

func TestTheAccountOfAJobHasItsDrainAndItsKill(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		if a.Worker == "a" {
			return g.wait(ctx, a)
		}
		return nil
	}
	kid, out := startChild(t, f.server.URL())
	f.submit(enginetest.Job("j", 8))
	enginetest.Eventually(t, "the child holds steps", func() bool { return out.Count("holds") == 2 })
	a := f.worker("a", version("1.2.0"))
	g.arrive(t, 4)
	if err := f.st.Want(t.Context(), "a", true, "ada"); err != nil {
		t.Fatal(err)
	}
	f.is(a, wire.WorkerDrained)
	enginetest.Eventually(t, "the job knows that the drain is over", func() bool {
		acc := f.account("j")
		return len(acc.Drains) == 1 && acc.Drains[0].State == wire.DrainSafe
	})
	if err := kid.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	f.worker("b", version("1.3.0"))
	f.ends("j", 8)
	f.family.CheckEffects(t, "j", 8)

	acc := f.account("j")
	d := acc.Drains[0]
	if d.Worker != "a" || d.By != "ada" || d.Why != wire.DrainByRequest || d.Held != 4 || d.GivenBack != 4 || d.Ended+d.Cut != 0 || d.AskedAt == nil || d.OverAt == nil || d.OverAt.Before(*d.AskedAt) {
		t.Errorf("drain: %+v", d)
	}
	if len(acc.Losses) != 1 {
		t.Fatalf("losses: %+v", acc.Losses)
	}
	l := acc.Losses[0]
	if l.Worker != "child" || l.Steps != 2 || l.Again != 2 || len(l.List) != 2 || l.NoticedAt == nil || l.LastAgain == nil || l.LastAgain.Before(*l.NoticedAt) {
		t.Errorf("loss: %+v", l)
	}
	for _, s := range l.List {
		if s.Stage != "s0" || s.Step == "" || s.Again == nil || s.Again.Before(s.LostAt) || s.By != "b" {
			t.Errorf("lost step: %+v", s)
		}
	}
	if w := of(t, acc, "a"); w.Version != "1.2.0" || w.GivenBack != 4 || w.Done != 0 || w.BusyMS == 0 {
		t.Errorf("a: %+v", w)
	}
	if w := of(t, acc, "b"); w.Version != "1.3.0" || w.Done != 8 {
		t.Errorf("b: %+v", w)
	}
	if w := of(t, acc, "child"); w.Lost != 2 || w.Done != 0 || w.Planned != 2 {
		t.Errorf("child: %+v", w)
	}
	if !slices.Equal(acc.Versions, []string{"1.2.0", "1.3.0"}) || len(acc.Gaps) != 0 {
		t.Errorf("versions %v, gaps %v", acc.Versions, acc.Gaps)
	}
	if st := acc.Stages[0]; st.GivenBack != 4 || st.Lost != 2 || st.Planned != 1 || st.BusyMS == 0 {
		t.Errorf("stage: %+v", st)
	}
	if want := []wire.AttemptReason{{What: "given_back", Reason: "drained", Times: 4}}; !slices.Equal(acc.Reasons, want) {
		t.Errorf("reasons: %+v", acc.Reasons)
	}
}

func TestADrainThatIsTakenBackIsToldAsSuch(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error { // deaf to Draining
		g.arrived <- a
		select {
		case <-g.open:
		case <-ctx.Done():
		}
		return nil
	}
	a := f.worker("a")
	f.submit(enginetest.Job("j", 2))
	g.arrive(t, 2)
	a.Drain()
	enginetest.Eventually(t, "the job knows of the drain", func() bool { return len(f.account("j").Drains) == 1 })
	a.Undrain()
	enginetest.Eventually(t, "the job knows that it was taken back", func() bool { return f.account("j").Drains[0].State == wire.DrainUndone })
	close(g.open)
	f.ends("j", 2)
	if d := f.account("j").Drains[0]; d.Why != wire.DrainByProcess || d.By != "" || d.Held != 2 || d.GivenBack+d.Ended != 0 {
		t.Errorf("%+v", d)
	}
}

func TestAWorkerThatIsStoppedTellsWhatItHadToCut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error { // deaf to Draining
		g.arrived <- a
		<-ctx.Done()
		return context.Cause(ctx)
	}
	a := f.worker("a")
	f.submit(enginetest.Job("j", 3))
	g.arrive(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if cut, err := a.Stop(ctx); cut != 3 || err != nil {
		t.Fatalf("cut %d, %v", cut, err)
	}
	acc := f.account("j")
	if len(acc.Drains) != 1 || acc.Drains[0].State != wire.DrainSafe || acc.Drains[0].GivenBack != 3 || acc.Drains[0].Cut != 3 {
		t.Errorf("%+v", acc.Drains)
	}
}

func TestADrainIsToldToAJobBetweenTwoOfItsSteps(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	a := f.worker("a")
	job := enginetest.Job("j", 2, 1)
	f.family.Do = func(ctx context.Context, at *tasks.Attempt) error {
		if at.Stage.Name == "s1" {
			return tasks.RetryAfter(context.DeadlineExceeded, time.Hour)
		}
		return nil
	}
	f.submit(job)
	enginetest.Eventually(t, "it has given the last step back for an hour", func() bool {
		return len(f.account("j").Reasons) == 1 && a.InFlight() == 0
	})
	a.Drain()
	enginetest.Eventually(t, "the job knows of the drain", func() bool {
		d := f.account("j").Drains
		return len(d) == 1 && d[0].Held == 0 && d[0].State == wire.DrainSafe
	})
}

func TestADrainByAFenceNamesWhoPutItUp(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	f.family.Do = g.wait
	w := f.worker("a", version("1.2.0"))
	f.submit(enginetest.Job("j", 2))
	g.arrive(t, 2)
	f.fence(wire.Fence{NotVersion: "1.2.0", By: "bob"}) // spares it
	f.fence(wire.Fence{Version: "1.2.0", By: "eve"})
	f.is(w, wire.WorkerDrained)
	enginetest.Eventually(t, "the job knows", func() bool {
		d := f.account("j").Drains
		return len(d) == 1 && d[0].State == wire.DrainSafe
	})
	if d := f.account("j").Drains[0]; d.Why != wire.DrainByFence || d.By != "eve" || d.GivenBack != 2 {
		t.Errorf("%+v", d)
	}
}
