package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/stint-run/stint/tasks"
)

// inState makes a job in each state, with a step "0/1" that has not ended where there is one.
var inState = map[tasks.State]func(t *testing.T) *bench{
	tasks.Accepted:  func(t *testing.T) *bench { b := newBench(t); b.create(); return b },
	tasks.Planning:  func(t *testing.T) *bench { b := newBench(t); b.create(); b.lease(b.take("p"), "w"); return b },
	tasks.Running:   func(t *testing.T) *bench { return running(t, nil, "1", "2") },
	tasks.Paused:    func(t *testing.T) *bench { b := running(t, nil, "1", "2"); b.control(Pause); return b },
	tasks.Failed:    func(t *testing.T) *bench { b := running(t, nil, "1", "2"); b.fail("0/2"); return b },
	tasks.Cancelled: func(t *testing.T) *bench { b := running(t, nil, "1", "2"); b.control(Cancel); return b },
	tasks.Succeeded: func(t *testing.T) *bench { b := running(t, nil, "1"); b.end("0/1"); return b },
}

func TestWhatCanBeDoneToAJobInEachState(t *testing.T) {
	t.Parallel()
	type moves map[Verb]tasks.State // what is not listed is a conflict
	table := map[tasks.State]moves{
		tasks.Accepted:  {Pause: tasks.Paused, Cancel: tasks.Cancelled},
		tasks.Planning:  {Pause: tasks.Paused, Cancel: tasks.Cancelled},
		tasks.Running:   {Pause: tasks.Paused, Cancel: tasks.Cancelled},
		tasks.Paused:    {Resume: tasks.Running, Cancel: tasks.Cancelled},
		tasks.Failed:    {Retry: tasks.Running, Restart: tasks.Accepted},
		tasks.Cancelled: {Restart: tasks.Accepted},
		tasks.Succeeded: {Restart: tasks.Accepted},
	}
	for from, moves := range table {
		for _, verb := range []Verb{Pause, Resume, Cancel, Retry, Restart} {
			t.Run(string(from)+" "+string(verb), func(t *testing.T) {
				t.Parallel()
				b := inState[from](t)
				b.wantState(from)
				want, ok := moves[verb]
				if ok {
					b.control(verb)
					b.wantState(want)
					return
				}
				before := b.dump()
				if _, err := b.Control(b.ctx(), b.job.ID, verb, "me", ""); !errors.Is(err, ErrConflict) {
					t.Errorf("%v, want a conflict", err)
				}
				after := b.dump()
				delete(before, activeKey) // to be looked through once more does no harm
				delete(after, activeKey)
				for k := range after {
					if before[k] != after[k] {
						t.Errorf("a refused %s changed %s: %s -> %s", verb, k, before[k], after[k])
					}
				}
			})
		}
	}
}

func TestAPausedJobHandsNothingOutAndGoesOnAfterwards(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Window = 2 }, "1", "2", "3", "4")
	one, two := b.take("0/1"), b.take("0/2")
	a1, a2 := b.lease(one, "w"), b.lease(two, "w")
	b.control(Pause)
	b.must(b.End(b.ctx(), one, a1, tasks.Counters{}, nil))
	b.must(b.GiveBack(b.ctx(), two, a2, "w", tasks.Counters{}, 0, "paused"))
	b.sweep("w")
	b.create2()
	b.wantQueue()
	b.control(Resume)
	b.wantQueue("0/2", "0/3")
	for _, key := range []string{"0/2", "0/3", "0/4"} {
		b.end(key)
	}
	b.wantState(tasks.Succeeded)
}

// create2 submits the job again, which hands out what is due.
func (b *bench) create2() {
	b.t.Helper()
	h, _, err := b.Create(b.ctx(), b.job)
	b.must(h, err)
}

func TestAJobThatIsPausedDuringPlanningAndSplittingKeepsWhatTheyMake(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	r := b.take("p")
	a := b.lease(r, "w")
	b.control(Pause)
	b.must(b.PlanDone(b.ctx(), r, a, stagesOf([]string{"a"})))
	b.wantState(tasks.Paused)
	b.wantQueue()
	b.control(Resume)
	r = b.take("x0")
	a = b.lease(r, "w")
	b.control(Pause)
	b.must(b.SplitDone(b.ctx(), r, a, stepsOf([]string{"1"}), nil))
	b.wantQueue()
	b.control(Resume)
	b.end("0/1")
	b.wantState(tasks.Succeeded)
}

func TestAJobWhoseLastStepsEndWhileItIsPausedHasSucceeded(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	a := b.lease(r, "w")
	b.control(Pause)
	b.must(b.End(b.ctx(), r, a, tasks.Counters{}, nil))
	b.wantState(tasks.Succeeded)
}

func TestACancelledJobKeepsNothingThatCouldRun(t *testing.T) {
	t.Parallel()
	b := planned(t, nil, "a")
	b.split(tasks.Cursor("more"), "1", "2", "3", "4", "5", "6")
	r := b.take("0/1")
	b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{Read: 1}, 0, "x"))
	b.lease(b.take("0/2"), "w")
	b.control(Cancel)
	b.sweep()
	var left []string
	for k := range b.dump() {
		left = append(left, k)
	}
	slices.Sort(left)
	if want := []string{activeKey, jobsKey, tenantJobsKey(""), eventsKey(b.job.ID), outboxKey(b.job.ID), tallyKey(b.job.ID), stagesKey(b.job.ID), jobKey(b.job.ID)}; !sameSet(left, want) {
		t.Errorf("left: %v", left)
	}
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestARetriedStepGoesOnFromItsCheckpointWithANewBudget(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Policy.Retries = 1 }, "1")
	for try := range 2 {
		for n := range 2 {
			r := b.take("0/1")
			a := RandomID()
			got := b.begin(r, a, "w")
			if got.Failed != n || (try == 1 && string(got.Cursor) != "half") {
				t.Errorf("retry %d, attempt %d: %+v", try, n, got)
			}
			if _, err := b.Save(b.ctx(), r, a, tasks.Cursor("half"), false, tasks.Counters{Read: 5}); err != nil {
				t.Fatal(err)
			}
			h, final, err := b.Fail(b.ctx(), r, a, "w", Failure{Reason: "no"})
			b.must(h, err)
			if final != (n == 1) {
				t.Errorf("retry %d, attempt %d: final %v", try, n, final)
			}
		}
		if try == 0 {
			b.control(Retry)
		}
	}
	b.control(Retry)
	b.end("0/1")
	if v := b.view(); v.State != tasks.Succeeded || v.Counters.StepsFailed != 0 || v.Counters.StepsDone != 1 {
		t.Errorf("%+v", v)
	}
}

func TestSkippedStepsOfEndedStagesCanBeRetried(t *testing.T) {
	t.Parallel()
	b := planned(t, func(j *tasks.Job) { j.Policy.OnFailure = tasks.OnFailureSkip }, "a", "b<a", "c<b")
	for i, x := range []string{"x0", "x1", "x2"} {
		b.splitOf(x, nil, "1", "2")
		b.end(string(rune('0'+i)) + "/1")
		b.fail(string(rune('0'+i)) + "/2")
	}
	b.wantState(tasks.Succeeded)
	b.control(Retry)
	b.wantState(tasks.Running)
	b.wantQueue("0/2", "1/2", "2/2")
	b.end("1/2")
	b.fail("2/2")
	b.wantState(tasks.Running)
	b.end("0/2")
	if v := b.view(); v.State != tasks.Succeeded || v.Counters.StepsFailed != 1 || v.Counters.StepsDone != 5 {
		t.Errorf("%+v", v)
	}
	if _, err := b.Control(b.ctx(), b.job.ID, Cancel, "me", ""); !errors.Is(err, ErrConflict) {
		t.Errorf("cancel of an ended job: %v", err)
	}
	b.control(Retry)
	b.end("2/2")
	b.wantState(tasks.Succeeded)
	if _, err := b.Control(b.ctx(), b.job.ID, Retry, "me", ""); !errors.Is(err, ErrConflict) {
		t.Errorf("retry with nothing to retry: %v", err)
	}
}

func TestAStepThatWasHeldWhenItsJobFailedRunsAgainAfterRetryEvenIfItsWorkerIsGone(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.lease(b.take("0/1"), "gone")
	b.fail("0/2")
	b.sweep("w")
	b.control(Retry)
	b.end("0/2")
	b.sweep("w")
	b.end("0/1")
	b.wantState(tasks.Succeeded)
}

func TestARestartedJobBeginsAnew(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	one := b.take("0/1")
	b.must(b.End(b.ctx(), one, b.lease(one, "w"), tasks.Counters{Read: 9}, []tasks.Finding{{Message: "x"}}))
	b.fail("0/2")
	b.control(Restart)
	v := b.view()
	if v.State != tasks.Accepted || v.Epoch != 2 || v.Error != nil || v.Findings != 0 || len(v.Stages) != 0 || v.EndedAt != nil || v.StartedAt != nil {
		t.Errorf("%+v", v)
	}
	if dead, _ := b.Dead(b.ctx(), b.job.ID); len(dead) != 0 {
		t.Errorf("dead: %v", dead)
	}
	b.plan("a", "b")
	b.splitOf("x0", nil, "1", "2")
	b.splitOf("x1", nil)
	if got := b.begin(one, "late", "w"); got.Code != Gone {
		t.Errorf("a task of the first run: answer %d", got.Code)
	}
	b.end("0/1")
	b.end("0/2")
	if v := b.view(); v.State != tasks.Succeeded || v.Counters.StepsDone != 2 || v.Counters.Read != 0 {
		t.Errorf("%+v", v)
	}
}

func TestAJobThatIsPausedAndResumedWhileItIsPlannedIsStillPlanned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	p := b.take("p")
	attempt := b.lease(p, "w")
	b.control(Pause)
	b.control(Resume)
	b.wantState(tasks.Planning)
	b.control(Pause)
	b.must(b.GiveBack(b.ctx(), p, attempt, "w", tasks.Counters{}, 0, "paused"))
	b.control(Resume)
	b.wantState(tasks.Accepted) // nobody plans it
}

func TestWhatHappenedToAJobIsInItsEvents(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.control(Pause)
	b.control(Resume)
	b.end("0/1")
	events, err := b.Events(b.ctx(), b.job.ID, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var types []string
	for _, e := range events {
		types = append(types, e.Type)
	}
	if want := []string{"accepted", "planning", "planned", "stage_started", "pause", "resume", "stage_ended", "succeeded"}; !slices.Equal(types, want) {
		t.Errorf("%v\nwant %v", types, want)
	}
	rest, err := b.Events(b.ctx(), b.job.ID, events[3].ID, 2)
	if err != nil || len(rest) != 2 || rest[0].Type != "pause" || rest[0].Fields["by"] != "somebody" || rest[0].At.IsZero() {
		t.Errorf("%+v, %v", rest, err)
	}
}
