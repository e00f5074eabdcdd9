package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (b *bench) account() *Account {
	b.t.Helper()
	acc, err := b.Account(b.ctx(), b.job.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return acc
}

// gap fails the test unless the account lacks exactly what is said.
func (a *Account) gap(t *testing.T, want ...string) {
	t.Helper()
	if len(a.Gaps) != len(want) {
		t.Fatalf("gaps: %q, want %d", a.Gaps, len(want))
	}
	for i, w := range want {
		if !strings.Contains(a.Gaps[i], w) {
			t.Errorf("gap %q, want %q", a.Gaps[i], w)
		}
	}
}

func TestAnAccountCountsAttemptsByWorkerStageAndReason(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2", "3", "4")
	ctx := b.ctx()
	r := b.take("0/1")
	b.must(b.End(ctx, r, b.lease(r, "w1"), tasks.Counters{Read: 5}, nil))
	r = b.take("0/2")
	h, _, err := b.Fail(ctx, r, b.lease(r, "w1"), "w1", Failure{Reason: "no way", After: time.Hour})
	b.must(h, err)
	r = b.take("0/3")
	b.must(b.GiveBack(ctx, r, b.lease(r, "w2"), "w2", tasks.Counters{}, time.Hour, "patience"))
	r = b.take("0/4")
	b.must(b.Postpone(ctx, r, b.lease(r, "w2"), "w2", time.Hour)) // as if it had not been begun
	acc := b.account()
	acc.gap(t)
	lines := map[string]wire.WorkerReport{}
	for _, w := range acc.Workers {
		if w.FirstAt == nil || w.LastAt == nil || w.Version != "1.0.0" {
			t.Errorf("%+v", w)
		}
		w.FirstAt, w.LastAt, w.BusyMS, w.Version = nil, nil, 0, ""
		lines[w.ID] = w
	}
	want := map[string]wire.WorkerReport{"w": {ID: "w", Planned: 2}, "w1": {ID: "w1", Done: 1, Failed: 1}, "w2": {ID: "w2", GivenBack: 1}}
	if len(lines) != 3 || lines["w"] != want["w"] || lines["w1"] != want["w1"] || lines["w2"] != want["w2"] {
		t.Errorf("%+v", lines)
	}
	if st := acc.Stages[0]; st.Name != "a" || st.Failed != 1 || st.GivenBack != 1 || st.Planned != 1 || st.Lost+st.Revoked != 0 {
		t.Errorf("%+v", st)
	}
	if want := []wire.AttemptReason{{What: "failed", Reason: "no way", Times: 1}, {What: "given_back", Reason: "patience", Times: 1}}; !slices.Equal(acc.Reasons, want) {
		t.Errorf("%+v", acc.Reasons)
	}
	i := slices.IndexFunc(acc.History, func(h wire.Happening) bool { return h.Type == "attempt_failed" })
	if i < 0 || acc.History[i].Stage != "a" || acc.History[i].Step != "2" || acc.History[i].Worker != "w1" || acc.History[i].Reason != "no way" || acc.History[i].More["again_ms"] != "3600000" {
		t.Errorf("%+v", acc.History)
	}
}

func TestALossIsToldWithTheStepsThatRanAgain(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.lease(b.take("0/1"), "gone")
	b.lease(b.take("0/2"), "gone")
	b.sweep("w")
	r := b.take("0/1")
	b.must(b.End(b.ctx(), r, b.lease(r, "w"), tasks.Counters{}, nil))
	acc := b.account()
	if len(acc.Losses) != 1 {
		t.Fatalf("%+v", acc.Losses)
	}
	l := acc.Losses[0]
	slices.SortFunc(l.List, func(x, y wire.LostStep) int { return strings.Compare(x.Step, y.Step) })
	if l.Worker != "gone" || l.Steps != 2 || l.Again != 1 || len(l.List) != 2 || l.List[0].Again == nil || l.List[0].By != "w" || l.List[1].Again != nil {
		t.Errorf("%+v", l)
	}
	if w := acc.Workers[slices.IndexFunc(acc.Workers, func(w wire.WorkerReport) bool { return w.ID == "gone" })]; w.Lost != 2 {
		t.Errorf("%+v", w)
	}
}

func TestAnAccountSaysThatItBeganWithAnUpgrade(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.rdb.Del(b.ctx(), tallyKey(b.job.ID)) // as an older build leaves it
	b.rdb.HDel(b.ctx(), jobKey(b.job.ID), "events", "by")
	r := b.take("0/1")
	b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{}, 0, "drained"))
	b.end("0/1")
	b.end("0/2")
	acc := b.account()
	acc.gap(t, "begun by an older build")
	if len(acc.Workers) != 1 || acc.Workers[0].Done != 2 || acc.Job.State != tasks.Succeeded {
		t.Errorf("%+v", acc)
	}
}

func TestAnAccountSaysThatWorkersOfAnOlderBuildTookPart(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.end("0/1")
	b.rdb.HDel(b.ctx(), tallyKey(b.job.ID), "w:w")
	b.end("0/2")
	b.account().gap(t, "of 2 steps that ended, 1 are told by worker")
}

func TestAnAccountSaysHowManyEventsWereDropped(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.end("0/1")
	all := b.account()
	all.gap(t)
	b.rdb.XTrimMaxLen(b.ctx(), eventsKey(b.job.ID), 2)
	acc := b.account()
	acc.gap(t, fmt.Sprintf("lacks its oldest %d events", len(all.History)-2))
	if len(acc.History) != 2 || len(acc.Workers) != len(all.Workers) {
		t.Errorf("%+v", acc)
	}
}

func TestAJobThatIsStartedOverIsCountedAnew(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.end("0/1")
	b.control(Restart)
	acc := b.account()
	acc.gap(t, "run 2 alone")
	if len(acc.Workers) != 0 || acc.History[0].Type != "accepted" {
		t.Errorf("%+v", acc)
	}
}

func TestTheListsOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	const most, more = 200, 230 // as lib.lua has it
	b := running(t, func(j *tasks.Job) { j.Policy.Retries = 2 * more; j.Window = 2 }, "1", "2")
	ctx := b.ctx()
	long := strings.Repeat("é", 400)
	for i := range more {
		w := fmt.Sprintf("w%03d", i)
		r := b.take("0/1")
		h, final, err := b.Fail(ctx, r, b.lease(r, w), w, Failure{Reason: fmt.Sprint(i, " ", long)})
		if b.must(h, err); final {
			t.Fatal("the budget is spent")
		}
		r = b.take("0/2")
		b.lease(r, w)
		if err := b.NoteDrain(ctx, b.job.ID, DrainNote{Worker: w, ID: "d", State: wire.DrainAsked, Why: wire.DrainByRequest, Held: 1}); err != nil {
			t.Fatal(err)
		}
		if err := b.NoteDrain(ctx, b.job.ID, DrainNote{Worker: w, ID: "d", State: wire.DrainSafe, Why: wire.DrainByRequest, Held: 1, GivenBack: 1, Since: time.Second}); err != nil {
			t.Fatal(err)
		}
		b.sweep()
	}
	acc := b.account()
	others := acc.Workers[len(acc.Workers)-1]
	if len(acc.Workers) != most+1 || others.ID != "" || others.Lost+others.Failed < 2*(more-most) || len(acc.Drains) != most || len(acc.Losses) != most || len(acc.Reasons) != most+1 {
		t.Errorf("%d workers, %d drains, %d losses, %d reasons; others %+v", len(acc.Workers), len(acc.Drains), len(acc.Losses), len(acc.Reasons), others)
	}
	var failed int64
	for _, r := range acc.Reasons {
		failed += r.Times
	}
	if failed != more || acc.Reasons[0].Reason != "" || acc.Reasons[0].Times != more-most {
		t.Errorf("%d failures are counted; the first reason is %+v", failed, acc.Reasons[0])
	}
	if d := acc.Drains[0]; d.State != wire.DrainSafe || d.OverAt.Sub(*d.AskedAt) != time.Second || d.GivenBack != 1 {
		t.Errorf("%+v", d)
	}
	acc.gap(t, "lacks its oldest", "more drains than the first 200", "more lost workers than the first 200", "More workers took part than the first 200")
	size := b.rdb.MemoryUsage(ctx, tallyKey(b.job.ID), 0).Val()
	t.Logf("%d bytes", size)
	if size > 256<<10 {
		t.Errorf("the tally takes %d bytes", size)
	}
}

func TestADrainIsNotToldToAJobThatIsOverOrGone(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	b.end("0/1")
	note := DrainNote{Worker: "w", ID: "d", State: wire.DrainAsked, Why: wire.DrainByFence}
	for _, job := range []string{b.job.ID, "nope"} {
		if err := b.NoteDrain(b.ctx(), job, note); err != nil {
			t.Error(err)
		}
	}
	if acc := b.account(); len(acc.Drains) != 0 || b.rdb.Exists(b.ctx(), tallyKey("nope")).Val() != 0 {
		t.Errorf("%+v", acc.Drains)
	}
}

func TestADrainThatIsToldTwiceIsNotedOnce(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	for range 2 {
		for _, state := range []string{wire.DrainAsked, wire.DrainSafe} {
			note := DrainNote{Worker: "w", ID: "d", State: state, Why: wire.DrainByProcess, By: "ada", Held: 1, GivenBack: 1, Since: 20 * time.Millisecond}
			if state == wire.DrainAsked {
				note.GivenBack, note.Since = 0, 0
			}
			if err := b.NoteDrain(b.ctx(), b.job.ID, note); err != nil {
				t.Fatal(err)
			}
		}
	}
	acc := b.account()
	var told []string
	for _, h := range acc.History {
		if strings.HasPrefix(h.Type, "worker_") {
			told = append(told, h.Type)
		}
	}
	if len(acc.Drains) != 1 || acc.Drains[0].State != wire.DrainSafe || acc.Drains[0].GivenBack != 1 || !slices.Equal(told, []string{"worker_draining", "worker_drained"}) {
		t.Errorf("%+v, %v", acc.Drains, told)
	}
}
