package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
)

func TestALeaseGivesTheBodyAndTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	first := RandomID()
	got := b.begin(r, first, "w1")
	if got.Code != Begun || string(got.Body) != `"body of 1"` || got.Resumed || got.Cursor != nil || got.Failed != 0 {
		t.Errorf("first: %+v", got)
	}
	c := tasks.Counters{Read: 5, Written: 4, Quarantined: 1, Bytes: 99}
	if _, err := b.Save(b.ctx(), r, first, tasks.Cursor("at|5"), false, c); err != nil {
		t.Fatal(err)
	}
	b.must(b.GiveBack(b.ctx(), r, first, "w1", c, 0, "drained"))
	next := b.take("0/1")
	if next.Delivery != r.Delivery+1 {
		t.Errorf("delivery %d after %d", next.Delivery, r.Delivery)
	}
	got = b.begin(next, RandomID(), "w2")
	if got.Code != Begun || !got.Resumed || string(got.Cursor) != "at|5" || got.Counters != c || got.Failed != 0 {
		t.Errorf("second: %+v", got)
	}
}

func TestAStepIsLeasedToOneAttemptOnly(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	attempt := b.lease(r, "w1")
	b.unchanged("a second attempt at the same delivery", func() {
		if got := b.begin(r, RandomID(), "w2"); got.Code != Held {
			t.Errorf("answer %d, want that another attempt has it", got.Code)
		}
	})
	if got := b.begin(r, attempt, "w1"); got.Code != Begun {
		t.Errorf("the same attempt again, after a lost reply: answer %d", got.Code)
	}
}

func TestATaskThatWasSupersededIsGone(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	one, two := b.take("0/1"), b.take("0/2")
	b.must(b.GiveBack(b.ctx(), one, b.lease(one, "w"), "w", tasks.Counters{}, 0, "drained"))
	b.must(b.End(b.ctx(), two, b.lease(two, "w"), tasks.Counters{}, nil))
	future, otherRun := b.take("0/1"), one
	future.Delivery += 5
	otherRun.Delivery, otherRun.Epoch = 2, 9
	for what, r := range map[string]Ref{"given back": one, "ended": two, "never handed out": future, "of another run of the job": otherRun,
		"a stage that does not exist": {b.job.ID, 1, "7/1", 1}} {
		b.unchanged(what, func() {
			if got := b.begin(r, RandomID(), "w"); got.Code != Gone {
				t.Errorf("%s: answer %d, want gone", what, got.Code)
			}
		})
	}
}

func TestAStepOfAJobThatDoesNotRunIsGivenBackAtItsBegin(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.control(Pause)
	one := b.take("0/1")
	if got := b.begin(one, RandomID(), "w"); got.Code != NotRunning {
		t.Errorf("answer %d, want that the job does not run", got.Code)
	}
	b.wantQueue("0/2")
	b.control(Resume)
	if r := b.take("0/1"); r.Delivery != one.Delivery+1 {
		t.Errorf("handed out again as delivery %d after %d", r.Delivery, one.Delivery)
	}
}

func TestCountersAreAbsoluteAndAreAddedExactlyOnce(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	want := func(n int64) {
		t.Helper()
		if got := b.view().Counters.Counters; got != (tasks.Counters{Read: n, Written: 2 * n, Quarantined: 3 * n, Bytes: 4e12 + 4*n}) {
			t.Errorf("counters %+v, want %d of each", got, n)
		}
	}
	count := func(n int64) tasks.Counters {
		return tasks.Counters{Read: n, Written: 2 * n, Quarantined: 3 * n, Bytes: 4e12 + 4*n}
	}
	r := b.take("0/1")
	first := b.lease(r, "w1")
	save := func(a string, n int64, keep bool) {
		t.Helper()
		if _, err := b.Save(b.ctx(), r, a, tasks.Cursor("c"), keep, count(n)); err != nil {
			t.Fatal(err)
		}
	}
	save(first, 3, false)
	save(first, 3, false) // the reply was lost
	want(3)
	save(first, 7, true) // a pulse
	want(7)
	b.sweep("w2") // w1 is gone, with what it counted since
	want(7)
	r = b.take("0/1")
	second := b.lease(r, "w2")
	save(second, 5, false) // it went on from a cursor that is older than the pulse
	want(5)
	b.must(b.GiveBack(b.ctx(), r, second, "w2", count(6), 0, "drained"))
	want(6)
	r = b.take("0/1")
	third := b.lease(r, "w2")
	h, _, err := b.Fail(b.ctx(), r, third, "w2", Failure{Reason: "no"})
	b.must(h, err)
	want(6)
	r = b.take("0/1")
	b.must(b.End(b.ctx(), r, b.lease(r, "w2"), count(10), nil))
	want(10)
	if got := b.view().Counters; got.StepsKnown != 2 || got.StepsDone != 1 || got.StepsFailed != 0 {
		t.Errorf("steps: %+v", got)
	}
}

func TestAPulseKeepsTheCursorOfTheLastCheckpoint(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	a := b.lease(r, "w")
	for _, cursor := range []string{"", "one|two|3", "{}"} {
		if _, err := b.Save(b.ctx(), r, a, tasks.Cursor(cursor), false, tasks.Counters{Read: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Save(b.ctx(), r, a, nil, true, tasks.Counters{Read: 2}); err != nil {
			t.Fatal(err)
		}
		if got := b.begin(r, a, "w"); string(got.Cursor) != cursor || got.Counters.Read != 2 {
			t.Errorf("cursor %q, read %d; want %q", got.Cursor, got.Counters.Read, cursor)
		}
	}
}

func TestACheckpointSaysThatTheJobWantsItsStepBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		do   func(b *bench)
		want bool
	}{
		{"running", func(*bench) {}, false},
		{"paused", func(b *bench) { b.control(Pause) }, true},
		{"resumed", func(b *bench) { b.control(Pause); b.control(Resume) }, false},
		{"failed", func(b *bench) { b.fail("0/2") }, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := running(t, nil, "1", "2")
			r := b.take("0/1")
			a := b.lease(r, "w")
			c.do(b)
			interrupted, err := b.Save(b.ctx(), r, a, nil, false, tasks.Counters{Read: 1})
			if err != nil || interrupted != c.want {
				t.Errorf("interrupted %v, %v", interrupted, err)
			}
			if got := b.view().Counters.Read; got != 1 {
				t.Errorf("the checkpoint was not saved: read %d", got)
			}
		})
	}
}

// stales are the ways in which an attempt loses its step.
var stales = map[string]func(b *bench, r Ref, attempt string){
	"ended": func(b *bench, r Ref, a string) { b.must(b.End(b.ctx(), r, a, tasks.Counters{Read: 3}, nil)) },
	"given back": func(b *bench, r Ref, a string) {
		b.must(b.GiveBack(b.ctx(), r, a, "w", tasks.Counters{Read: 2}, time.Hour, "drained"))
	},
	"failed": func(b *bench, r Ref, a string) {
		h, _, err := b.Fail(b.ctx(), r, a, "w", Failure{Reason: "no", After: time.Hour})
		b.must(h, err)
	},
	"failed for good": func(b *bench, r Ref, a string) {
		h, _, err := b.Fail(b.ctx(), r, a, "w", Failure{Reason: "no", Permanent: true})
		b.must(h, err)
	},
	"worker lost":          func(b *bench, r Ref, a string) { b.sweep() },
	"leased to another":    func(b *bench, r Ref, a string) { b.sweep(); b.lease(b.take(r.Key), "other") },
	"ended by another":     func(b *bench, r Ref, a string) { b.sweep(); b.end(r.Key) },
	"job cancelled":        func(b *bench, r Ref, a string) { b.control(Cancel) },
	"job restarted":        func(b *bench, r Ref, a string) { b.control(Cancel); b.control(Restart) },
	"job gone with Redis":  func(b *bench, r Ref, a string) { b.rdb.FlushAll(b.ctx()) },
	"job forgotten, again": func(b *bench, r Ref, a string) { b.rdb.FlushAll(b.ctx()); b.create() },
}

func TestAStaleAttemptChangesNothing(t *testing.T) {
	t.Parallel()
	for what, lose := range stales {
		for kind, key := range map[string]string{"run": "0/1", "split": "x0", "plan": "p"} {
			if kind == "plan" && what == "ended" {
				continue
			}
			t.Run(what+" "+kind, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				b.create()
				if kind != "plan" {
					b.plan("a")
				}
				if kind == "run" {
					b.split(tasks.Cursor("more"), "1", "2")
				}
				r := b.take(key)
				a := b.lease(r, "w")
				if what == "ended" && kind == "split" {
					b.must(b.SplitDone(b.ctx(), r, a, stepsOf([]string{"8", "9"}), nil))
				} else if what == "ended by another" && kind != "run" {
					b.sweep()
					b.queue = append(b.queue, Ref{b.job.ID, 1, r.Key, 2})
					if kind == "plan" {
						b.plan("a")
					} else {
						b.split(nil, "8", "9")
					}
				} else {
					lose(b, r, a)
				}
				c := tasks.Counters{Read: 77}
				for name, call := range map[string]func() error{
					"save":  func() error { _, err := b.Save(b.ctx(), r, a, tasks.Cursor("z"), false, c); return err },
					"pulse": func() error { _, err := b.Save(b.ctx(), r, a, nil, true, c); return err },
					"end": func() error {
						_, err := b.End(b.ctx(), r, a, c, []tasks.Finding{{Message: "x"}})
						return err
					},
					"give back": func() error { _, err := b.GiveBack(b.ctx(), r, a, "w", c, 0, "late"); return err },
					"fail":      func() error { _, _, err := b.Fail(b.ctx(), r, a, "w", Failure{Permanent: true}); return err },
					"plan done": func() error {
						_, err := b.PlanDone(b.ctx(), Ref{Job: r.Job, Key: "p"}, a, stagesOf([]string{"z"}))
						return err
					},
					"split done": func() error { _, err := b.SplitDone(b.ctx(), r, a, stepsOf([]string{"z"}), nil); return err },
				} {
					b.unchanged(name, func() { wantStale(t, name, call()) })
				}
			})
		}
	}
}

func TestAFailedStepIsTriedAgainUntilItsBudgetIsSpent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ retries, attempts int }{{2, 3}, {-1, 1}, {0, tasks.DefaultRetries + 1}} {
		t.Run(fmt.Sprint(c.retries), func(t *testing.T) {
			t.Parallel()
			b := running(t, func(j *tasks.Job) { j.Policy.Retries = c.retries }, "1")
			for n := 1; n <= c.attempts; n++ {
				r := b.take("0/1")
				a := RandomID()
				if got := b.begin(r, a, "w"); got.Failed != n-1 {
					t.Errorf("attempt %d was told of %d failures", n, got.Failed)
				}
				h, final, err := b.Fail(b.ctx(), r, a, "w", Failure{Reason: "broken", Hint: "mend"})
				b.must(h, err)
				if final != (n == c.attempts) {
					t.Fatalf("attempt %d: final %v", n, final)
				}
			}
			v := b.view()
			if v.State != tasks.Failed || v.Error == nil || v.Error.Message != "broken" || v.Error.Hint != "mend" || v.EndedAt == nil {
				t.Errorf("job: %+v", v)
			}
			dead, err := b.Dead(b.ctx(), b.job.ID)
			if err != nil || len(dead) != 1 || dead[0].Reason != "broken" || dead[0].Stage != "a" || dead[0].Step != "1" || dead[0].Failed != c.attempts ||
				dead[0].Worker != "w" || time.Since(time.UnixMilli(dead[0].At)).Abs() > time.Minute {
				t.Errorf("dead: %+v, %v", dead, err)
			}
		})
	}
}

func TestInterruptionsDoNotSpendTheBudget(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Policy.Retries = -1 }, "1")
	for range 20 {
		r := b.take("0/1")
		b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{}, 0, "drained"))
		b.lease(b.take("0/1"), "lost one")
		b.sweep("w")
	}
	if got := b.begin(b.take("0/1"), "a", "w"); got.Code != Begun || got.Failed != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAStepThatWaitsIsHandedOutWhenItsTimeHasCome(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	r := b.take("0/1")
	start := time.Now()
	b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{}, 150*time.Millisecond, "patience"))
	r = b.take("0/2")
	b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{}, time.Hour, "much patience"))
	b.wantQueue()
	eventually(t, "the first step is handed out", func() bool { b.sweep("w"); return len(b.queue) > 0 })
	if took := time.Since(start); took < 149*time.Millisecond {
		t.Errorf("handed out %v early", 150*time.Millisecond-took)
	}
	b.wantQueue("0/1")
}

func TestFindingsAreKeptOncePerStepAndAllAreCounted(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Window = 9 }, "1", "2", "3", "10")
	many := make([]tasks.Finding, KeptFindings+5)
	for i := range many {
		many[i] = tasks.Finding{Level: tasks.LevelNote, Message: "many"}
	}
	for _, s := range []struct {
		key  string
		list []tasks.Finding
	}{{"0/10", []tasks.Finding{{Message: "ten"}}}, {"0/2", []tasks.Finding{{Message: "two"}, {Message: "2"}}}, {"0/1", many}, {"0/3", []tasks.Finding{{Message: "dropped"}}}} {
		r := b.take(s.key)
		a := b.lease(r, "w")
		b.must(b.End(b.ctx(), r, a, tasks.Counters{}, s.list))
		_, err := b.End(b.ctx(), r, a, tasks.Counters{}, s.list)
		wantStale(t, "the same end again", err)
	}
	got, err := b.Findings(b.ctx(), b.job.ID)
	if err != nil || len(got) != KeptFindings+3 || got[0].Message != "many" || got[len(got)-1].Message != "ten" {
		t.Errorf("%d findings, %v", len(got), err)
	}
	if n := b.view().Findings; n != KeptFindings+5+4 {
		t.Errorf("%d findings are counted", n)
	}
}

func TestATaskThatNobodyBeganIsHandedOutUnderTheNextDelivery(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	one, two := b.take("0/1"), b.take("0/2")
	b.must(b.Redeliver(b.ctx(), one))
	if got := b.begin(one, "a", "w"); got.Code != Gone {
		t.Errorf("the old task: answer %d", got.Code)
	}
	next := b.take("0/1")
	if next.Delivery != one.Delivery+1 {
		t.Errorf("delivery %d", next.Delivery)
	}
	b.lease(two, "w")
	for what, r := range map[string]Ref{"superseded": one, "begun": two, "unknown": {b.job.ID, 1, "0/9", 1}} {
		b.unchanged(what, func() {
			if h := b.must(b.Redeliver(b.ctx(), r)); len(h.Enqueue) != 0 {
				t.Errorf("%s: handed out %v", what, h.Enqueue)
			}
		})
	}
	b.lease(next, "w")
}

func TestATaskOfAnEarlierRunOfTheJobIsNotHandedOutAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	old := b.take("p")
	b.control(Cancel)
	b.control(Restart)
	b.unchanged("an old task", func() { b.must(b.Redeliver(b.ctx(), old)) })
	b.lease(b.take("p"), "w")
}

// More than Lua can give a command at once.
func TestALargeWindowIsHandedOutInOneGo(t *testing.T) {
	t.Parallel()
	var steps []string
	for i := range 3_000 {
		steps = append(steps, fmt.Sprint(i))
	}
	b := running(t, func(j *tasks.Job) { j.Window = 2_500 }, steps...)
	if n := len(b.queue); n != 2_500 {
		t.Errorf("%d steps are out", n)
	}
	list := b.queue
	b.queue = nil
	for i := range list {
		h, err := b.GiveBack(b.ctx(), list[i], b.lease(list[i], "w"), "w", tasks.Counters{}, time.Hour, "drained")
		if b.queue = append(b.queue, h.Enqueue...); err != nil {
			t.Fatal(err)
		}
	}
	if len(b.queue) != 500 {
		t.Errorf("%d steps were handed out for those that wait", len(b.queue))
	}
}
