package store

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestAJobIsCreatedOnceAndItsPlanningIsHandedOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	b.wantQueue("p")
	b.wantState(tasks.Accepted)
	h, created, err := b.Create(b.ctx(), b.job)
	if err != nil || created {
		t.Errorf("the same job again: created %v, %v", created, err)
	}
	if len(h.Enqueue) != 0 {
		t.Errorf("the same job again hands out %v", h.Enqueue)
	}
	job, epoch, err := b.Job(b.ctx(), b.job.ID)
	if err != nil || epoch != 1 || string(job.Spec) != `{"a":1}` || job.Protocol != tasks.Protocol || job.CreatedAt.IsZero() {
		t.Errorf("read back: %+v epoch %d, %v", job, epoch, err)
	}
}

func TestTheSameIdWithAnotherSpecIsAConflict(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	other := b.job
	other.Spec = json.RawMessage(`{"a":2}`)
	b.unchanged("a conflict", func() {
		if _, created, err := b.Create(b.ctx(), other); !errors.Is(err, ErrConflict) || created {
			t.Errorf("created %v, %v; want a conflict", created, err)
		}
	})
}

func TestAJobThatSaysNothingOfItsWindowGetsTheDefaultOne(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.job.Window = 0
	b.create()
	if got := b.view().Window; got != tasks.DefaultWindow {
		t.Errorf("window %d", got)
	}
	if _, created, err := b.Create(b.ctx(), b.job); created || err != nil {
		t.Errorf("the same words again: created %v, %v", created, err)
	}
}

func TestAJobThatIsSubmittedAgainByANewerBuildIsTheSameJob(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	old := b.job
	old.Protocol = tasks.Protocol + 1
	if sumOf(old) != sumOf(b.job) {
		t.Error("the protocol of the build is part of what was asked for")
	}
}

func TestAJobIdIsDerivedFromItsIdempotencyKey(t *testing.T) {
	t.Parallel()
	if a, b := JobID("migration", "t", "k"), JobID("migration", "t", "k"); a != b || !strings.HasPrefix(a, "mig-") {
		t.Errorf("%s and %s", a, b)
	}
	seen := map[string]bool{}
	for _, id := range []string{JobID("migration", "t", "k"), JobID("migration", "u", "k"), JobID("migrator", "t", "k"), JobID("migration", "t", "l"),
		JobID("migration", "t", ""), JobID("migration", "t", "")} {
		if seen[id] {
			t.Errorf("%s stands for two jobs", id)
		}
		seen[id] = true
	}
}

func TestATaskIdSaysWhichDeliveryOfWhichStepItIs(t *testing.T) {
	t.Parallel()
	for _, r := range []Ref{{"mig-1", 1, "p", 1}, {"mig-1", 12, "x3.45", 6}, {"mig-1", 1, "0/a:b|c/d", 7}} {
		if got, ok := ParseTaskID(r.TaskID()); !ok || got != r {
			t.Errorf("%s is read as %+v, %v", r.TaskID(), got, ok)
		}
	}
	for _, id := range []string{"", "x", "a:b:c", "a:b:c:d", "a:1:c:d"} {
		if r, ok := ParseTaskID(id); ok {
			t.Errorf("%q is read as %+v", id, r)
		}
	}
}

func TestWhatIsAskedOfAnUnknownJobIsNotFound(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, verb := range []Verb{Pause, Resume, Cancel, Retry, Restart} {
		if _, err := b.Control(b.ctx(), "mig-0", verb, "me", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", verb, err)
		}
	}
	if _, err := b.View(b.ctx(), "mig-0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("view: %v", err)
	}
	if _, _, err := b.Job(b.ctx(), "mig-0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("job: %v", err)
	}
	if _, err := b.Stage(b.ctx(), "mig-0", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("stage: %v", err)
	}
	if _, err := b.Sweep(b.ctx(), "mig-0", Look{Living: nil, Trusted: true, Unbegun: soon}); !errors.Is(err, ErrNotFound) {
		t.Errorf("sweep: %v", err)
	}
	if got := b.begin(Ref{"mig-0", 1, "p", 1}, "a", "w"); got.Code != Gone {
		t.Errorf("begin: %d", got.Code)
	}
}

func TestAnUnknownVerbIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	b.unchanged("an unknown verb", func() {
		if _, err := b.Control(b.ctx(), b.job.ID, "explode", "me", ""); err == nil {
			t.Error("it was accepted")
		}
	})
}

func TestForgettingAJobLeavesNothingOfIt(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2", "3")
	r := b.take("0/1")
	a := b.lease(r, "w")
	if _, err := b.Save(b.ctx(), r, a, []byte("c"), false, tasks.Counters{Read: 1}); err != nil {
		t.Fatal(err)
	}
	b.fail("0/2")
	if _, err := b.Gather(b.ctx(), b.job.ID, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Forget(b.ctx(), b.job.ID); err != nil {
		t.Fatal(err)
	}
	if left := b.dump(); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	_, err := b.End(b.ctx(), r, a, tasks.Counters{}, nil)
	wantStale(t, "an attempt of a forgotten job", err)
	if left := b.dump(); len(left) != 0 {
		t.Errorf("the stale attempt made: %v", left)
	}
}

func TestAJobThatIsRetriedWhileTheSweepDropsItStaysActive(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.fail("0/1")
	// A sweep saw that the job has failed, somebody retries it, and only then the sweep drops it.
	b.control(Retry)
	if err := b.Deactivate(b.ctx(), b.job.ID); err != nil {
		t.Fatal(err)
	}
	if ids, err := b.Active(b.ctx()); err != nil || len(ids) != 1 {
		t.Errorf("active: %v, %v; nobody would sweep the job any more", ids, err)
	}
}

func TestJobsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	second := b.job
	second.ID = "mig-2"
	second.CreatedAt = b.view().CreatedAt.Add(1e9)
	if _, _, err := b.Create(b.ctx(), second); err != nil {
		t.Fatal(err)
	}
	list, next, err := b.List(b.ctx(), Filter{Limit: 10})
	if next != "" {
		t.Errorf("a cursor %q after the last page", next)
	}
	if err != nil || len(list) != 2 || list[0].ID != "mig-2" {
		t.Errorf("%v, %v", list, err)
	}
	list, next, _ = b.List(b.ctx(), Filter{Limit: 1})
	if len(list) != 1 || next == "" {
		t.Errorf("%d jobs, asked for 1; cursor %q", len(list), next)
	}
}
