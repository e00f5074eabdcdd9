package store

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestStagesOpenWhenAllThatTheyWaitForHasEnded(t *testing.T) {
	t.Parallel()
	b := planned(t, nil, "a", "b<a", "c<a", "d<b,c")
	b.wantQueue("x0.0")
	b.split(nil, "1", "2")
	b.end("0/1")
	b.wantQueue("0/2")
	b.end("0/2")
	b.wantQueue("x1.0", "x2.0")
	b.splitOf("x1", nil, "1")
	b.splitOf("x2", nil, "1")
	b.end("1/1")
	b.wantQueue("2/1")
	b.end("2/1")
	b.wantQueue("x3.0")
	b.wantState(tasks.Running)
	b.split(nil, "1")
	b.end("3/1")
	b.wantQueue()
	v := b.view()
	if v.State != tasks.Succeeded || v.EndedAt == nil || v.StartedAt == nil || len(v.Out) != 0 || v.Counters.StepsDone != 5 {
		t.Errorf("%+v", v)
	}
	for _, st := range v.Stages {
		if st.State != "done" || st.EndedAt == nil {
			t.Errorf("stage %+v", st)
		}
	}
	if got := v.Stages[3].After; !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("d waits for %v", got)
	}
}

func TestAStageWithoutStepsIsOverAtOnce(t *testing.T) {
	t.Parallel()
	b := planned(t, nil, "a", "b<a")
	b.split(tasks.Cursor("empty page"))
	b.wantQueue("x0.1")
	b.split(nil)
	b.wantQueue("x1.0")
	b.split(nil)
	b.wantState(tasks.Succeeded)
}

func TestAJobWithoutStagesHasSucceeded(t *testing.T) {
	t.Parallel()
	b := planned(t, nil)
	b.wantQueue()
	b.wantState(tasks.Succeeded)
}

func TestAPlanThatMakesNoSenseIsRefusedForGood(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	r := b.take("p")
	a := b.lease(r, "w")
	for what, stages := range map[string][]tasks.Stage{"twice": {{Name: "a"}, {Name: "a"}}, "no name": {{}}, "unknown": {{Name: "a", After: []string{"z"}}},
		"itself": {{Name: "a", After: []string{"a"}}}, "later": {{Name: "a", After: []string{"b"}}, {Name: "b"}}} {
		if _, err := b.PlanDone(b.ctx(), r, a, stages); !tasks.IsPermanent(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAPageThatMakesNoSenseIsRefusedForGood(t *testing.T) {
	t.Parallel()
	b := planned(t, nil, "a")
	r := b.take("x0")
	a := b.lease(r, "w")
	if _, err := b.SplitDone(b.ctx(), r, a, []tasks.Step{{}}, nil); !tasks.IsPermanent(err) {
		t.Errorf("a step without an id: %v", err)
	}
	if _, err := b.SplitDone(b.ctx(), r, a, nil, tasks.Cursor{}); !tasks.IsPermanent(err) {
		t.Errorf("an empty cursor, which would begin the stage anew for ever: %v", err)
	}
}

func TestAStageIsReadBackAsItWasPlanned(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	r := b.take("p")
	want := tasks.Stage{Name: "a", Detail: json.RawMessage(`{"x":[1]}`), Rows: 1e10}
	b.must(b.PlanDone(b.ctx(), r, b.lease(r, "w"), []tasks.Stage{want, {Name: "b"}}))
	if got, err := b.Stage(b.ctx(), b.job.ID, 0); err != nil || got.Name != "a" || got.Rows != 1e10 || string(got.Detail) != string(want.Detail) {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := b.Stage(b.ctx(), b.job.ID, 1); err != nil || got.Name != "b" || got.Detail != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAPageIsAddedOnceAndMovesTheCursor(t *testing.T) {
	t.Parallel()
	b := planned(t, nil, "a")
	r := b.take("x0")
	a := RandomID()
	if got := b.begin(r, a, "w"); got.Cursor != nil || got.Resumed {
		t.Errorf("the first page begins at %q", got.Cursor)
	}
	b.must(b.SplitDone(b.ctx(), r, a, stepsOf([]string{"1", "2"}), tasks.Cursor("after 2")))
	b.unchanged("the same page again", func() {
		_, err := b.SplitDone(b.ctx(), r, a, stepsOf([]string{"1", "2"}), tasks.Cursor("after 2"))
		wantStale(t, "the same page again", err)
	})
	b.wantQueue("0/1", "0/2", "x0.1")
	r = b.take("x0")
	if got := b.begin(r, RandomID(), "w"); string(got.Cursor) != "after 2" {
		t.Errorf("the second page begins at %q", got.Cursor)
	}
	if got := b.view().Counters.StepsKnown; got != 2 {
		t.Errorf("%d steps are known", got)
	}
}

func TestASplitThatWasInterruptedBeginsAtTheSameCursor(t *testing.T) {
	t.Parallel()
	b := planned(t, func(j *tasks.Job) { j.Window = 8 }, "a")
	b.split(tasks.Cursor("after 1"), "1")
	r := b.take("x0")
	b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{}, 0, "patience"))
	r = b.take("x0")
	h, _, err := b.Fail(b.ctx(), r, b.lease(r, "w"), "w", Failure{Reason: "source is away"})
	b.must(h, err)
	b.lease(b.take("x0"), "lost")
	b.sweep("w")
	r = b.take("x0")
	if got := b.begin(r, "a", "w"); string(got.Cursor) != "after 1" || got.Failed != 1 {
		t.Errorf("%+v", got)
	}
	b.must(b.SplitDone(b.ctx(), r, "a", stepsOf([]string{"2"}), nil))
	b.wantQueue("0/1", "0/2")
}

func TestNoMoreStepsAreOutThanTheWindowAllows(t *testing.T) {
	t.Parallel()
	for _, window := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			t.Parallel()
			b := planned(t, func(j *tasks.Job) { j.Window = window }, "a", "b")
			total, ended, most := 0, 0, 0
			for b.view().State == tasks.Running {
				if n := b.rdb.HLen(b.ctx(), outKey(b.job.ID)).Val(); n > int64(window) || int(n) != len(b.queue) {
					t.Fatalf("%d steps are out, %d on the queue, window %d", n, len(b.queue), window)
				}
				most = max(most, len(b.queue))
				if len(b.queue) == 0 {
					t.Fatal("the job runs and nothing is handed out")
				}
				r := b.queue[0]
				if kind, i, _ := ParseKey(r.Key); kind == SplitKey {
					next, steps := tasks.Cursor(fmt.Sprint(total)), []string{}
					for range 4 {
						total++
						steps = append(steps, fmt.Sprint(total))
					}
					if total > 20*(i+1) {
						next = nil
					}
					b.splitOf(fmt.Sprintf("x%d", i), next, steps...)
					continue
				}
				b.end(r.Key)
				ended++
			}
			if ended != total || most != window {
				t.Errorf("%d of %d steps ended, at most %d were out", ended, total, most)
			}
		})
	}
}

func TestStepsThatFailForGoodAreSkippedByPolicy(t *testing.T) {
	t.Parallel()
	b := planned(t, func(j *tasks.Job) { j.Policy.OnFailure = tasks.OnFailureSkip }, "a", "b<a")
	b.split(nil, "1", "2")
	b.end("0/1")
	b.fail("0/2") // the last of its stage: the next one opens
	b.split(nil, "1")
	b.fail("1/1")
	v := b.view()
	if v.State != tasks.Succeeded || v.Error != nil || v.Counters.StepsFailed != 2 || v.Counters.StepsDone != 1 {
		t.Errorf("%+v", v)
	}
	if dead, err := b.Dead(b.ctx(), b.job.ID); err != nil || len(dead) != 2 {
		t.Errorf("dead: %+v, %v", dead, err)
	}
}

func TestPlanningAndSplittingCannotBeSkipped(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"p", "x0"} {
		b := newBench(t)
		b.job.Policy.OnFailure = tasks.OnFailureSkip
		b.create()
		if key != "p" {
			b.plan("a")
		}
		b.fail(b.queue[0].Key)
		b.wantState(tasks.Failed)
		b.control(Retry)
		if key == "p" {
			b.wantState(tasks.Accepted)
			b.plan("a")
		}
		b.split(nil, "1")
		b.end("0/1")
		b.wantState(tasks.Succeeded)
	}
}

func TestAStepThatFailedForGoodStopsItsJobByPolicy(t *testing.T) {
	t.Parallel()
	b := planned(t, nil, "a", "b")
	b.splitOf("x0", nil, "1", "2", "3")
	b.splitOf("x1", nil, "1")
	one, two := b.take("0/2"), b.take("0/3")
	held, back := b.lease(one, "w"), b.lease(two, "w")
	b.fail("0/1")
	b.wantState(tasks.Failed)
	b.must(b.End(b.ctx(), one, held, tasks.Counters{}, nil)) // it had its effect all the same
	b.must(b.GiveBack(b.ctx(), two, back, "w", tasks.Counters{}, 0, "interrupted"))
	if got := b.begin(b.take("1/1"), "a", "w"); got.Code != NotRunning {
		t.Errorf("a step of a failed job: answer %d", got.Code)
	}
	b.wantQueue()
	b.sweep("w")
	b.wantQueue()
	b.wantState(tasks.Failed)
	b.control(Retry)
	b.wantState(tasks.Running)
	b.wantQueue("0/1", "0/3", "1/1")
	for _, key := range []string{"0/1", "0/3", "1/1"} {
		b.end(key)
	}
	if v := b.view(); v.State != tasks.Succeeded || v.Counters.StepsDone != 4 || v.Counters.StepsFailed != 0 || v.Error != nil {
		t.Errorf("%+v", v)
	}
}
