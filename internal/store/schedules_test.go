package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func hourly(name string, change ...func(*wire.Schedule)) wire.Schedule {
	sc := wire.Schedule{Name: name, Every: "1h", Missed: wire.MissedLast, Job: wire.ScheduleJob{Kind: "test", Spec: json.RawMessage(`{"a": 1}`)}}
	for _, c := range change {
		c(&sc)
	}
	return sc
}

func (b *bench) put(sc wire.Schedule, origin string) wire.Schedule {
	b.t.Helper()
	got, _, err := b.PutSchedule(b.ctx(), sc, origin, AnyVersion)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

// asIf lets a schedule be as if nobody had looked at it for so long.
func (b *bench) asIf(name string, unseen time.Duration) {
	b.t.Helper()
	sc, err := b.readSchedule(b.ctx(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	sc.next = sc.rule.Next(sc.seen.Add(-unseen))
	if ok, err := b.move(b.ctx(), sc, sc.rev); !ok || err != nil {
		b.t.Fatal(ok, err)
	}
}

func (b *bench) decide(name string) []PendingTick {
	b.t.Helper()
	list, err := b.DecideTicks(b.ctx(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func (b *bench) history(name string) []wire.Tick {
	b.t.Helper()
	list, err := b.ScheduleHistory(b.ctx(), name, KeepTicks)
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

func TestAScheduleIsCreatedReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	one, created, err := b.PutSchedule(b.ctx(), hourly("s"), wire.OriginAPI, NoVersion)
	if err != nil || !created || one.NextAt == nil || one.Missed != wire.MissedLast || one.Overlap != wire.OverlapSkip || one.Deadline != "1m0s" || one.Version == "" {
		t.Fatalf("%+v, %v, %v", one, created, err)
	}
	if _, _, err := b.PutSchedule(b.ctx(), hourly("s"), wire.OriginAPI, NoVersion); !errors.Is(err, ErrChanged) {
		t.Errorf("it is created again: %v", err)
	}
	same, created, err := b.PutSchedule(b.ctx(), one, wire.OriginAPI, one.Version)
	if err != nil || created || same.Version != one.Version {
		t.Errorf("what was read is written, and changes it: %+v, %v", same, err)
	}
	two, created, err := b.PutSchedule(b.ctx(), hourly("s", func(s *wire.Schedule) { s.Overlap = wire.OverlapAllow }), wire.OriginAPI, one.Version)
	if err != nil || created || two.Version == one.Version || two.Overlap != wire.OverlapAllow || !two.CreatedAt.Equal(one.CreatedAt) {
		t.Errorf("%+v, %v", two, err)
	}
	if _, _, err := b.PutSchedule(b.ctx(), hourly("s"), wire.OriginAPI, one.Version); !errors.Is(err, ErrChanged) {
		t.Errorf("an old version is replaced: %v", err)
	}
	if err := b.DeleteSchedule(b.ctx(), "s", wire.OriginAPI, one.Version); !errors.Is(err, ErrChanged) {
		t.Errorf("an old version is removed: %v", err)
	}
	if _, err := b.Schedule(b.ctx(), "s"); err != nil {
		t.Error(err)
	}
	if err := b.DeleteSchedule(b.ctx(), "s", wire.OriginAPI, two.Version); err != nil {
		t.Error(err)
	}
	for what, err := range map[string]error{
		"delete": b.DeleteSchedule(b.ctx(), "s", wire.OriginAPI, AnyVersion),
		"read":   second(b.Schedule(b.ctx(), "s")),
		"pause":  second(b.PauseSchedule(b.ctx(), "s")),
		"run":    second(b.RunSchedule(b.ctx(), "s", "")),
		"ticks":  second(b.ScheduleHistory(b.ctx(), "s", 1)),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if keys := b.rdb.Keys(b.ctx(), "stint:{schedules}*").Val(); len(keys) != 0 {
		t.Errorf("left behind: %v", keys)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWhatTheConfigurationSaysOnlyTheConfigurationChanges(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s"), wire.OriginAPI)
	if got := b.put(hourly("s"), wire.OriginConfig); got.Origin != wire.OriginConfig {
		t.Errorf("the configuration takes it over: %+v", got)
	}
	if _, _, err := b.PutSchedule(b.ctx(), hourly("s"), wire.OriginAPI, AnyVersion); !errors.Is(err, ErrConflict) || tasks.HintOf(err) == "" {
		t.Errorf("replaced through the API: %v", err)
	}
	if err := b.DeleteSchedule(b.ctx(), "s", wire.OriginAPI, AnyVersion); !errors.Is(err, ErrConflict) {
		t.Errorf("removed through the API: %v", err)
	}
	if got, err := b.PauseSchedule(b.ctx(), "s"); err != nil || !got.Paused || got.NextAt != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if got := b.put(hourly("s"), wire.OriginConfig); !got.Paused {
		t.Error("a pause by hand does not survive the same configuration")
	}
	if got := b.put(hourly("s", func(s *wire.Schedule) { s.Job.Window = 3 }), wire.OriginConfig); !got.Paused {
		t.Error("a pause by hand does not survive a configuration that says nothing of it")
	}
	b.put(hourly("s", func(s *wire.Schedule) { s.Paused = true }), wire.OriginConfig)
	if got := b.put(hourly("s"), wire.OriginConfig); got.Paused {
		t.Error("the configuration resumes it, and it stays paused")
	}
}

func TestAChangeOfTheRuleCountsFromNowAndOtherChangesKeepWhatIsDue(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s"), wire.OriginAPI)
	b.asIf("s", 150*time.Minute)
	was, err := b.Schedule(b.ctx(), "s")
	if err != nil || was.NextAt.After(time.Now()) {
		t.Fatal(was, err)
	}
	got := b.put(hourly("s", func(s *wire.Schedule) { s.Deadline = "2m" }), wire.OriginAPI)
	if !got.NextAt.Equal(*was.NextAt) || len(b.history("s")) != 0 {
		t.Errorf("next was %s and is %s", was.NextAt, got.NextAt)
	}
	got = b.put(hourly("s", func(s *wire.Schedule) { s.Every = "2h" }), wire.OriginAPI)
	if h := b.history("s"); !got.NextAt.After(time.Now()) || len(h) != 1 || h[0].Outcome != wire.TickMissed || !h[0].DueAt.Equal(*was.NextAt) || h[0].Count < 2 {
		t.Errorf("next is %s, %+v", got.NextAt, h)
	}
}

// During a deployment an older build meets what a newer one wrote.
func TestWhatAnotherBuildWroteIsKeptAndStopsNobodyElse(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, name := range []string{"more", "unknown", "plain"} {
		b.put(hourly(name), wire.OriginAPI)
		b.asIf(name, 90*time.Minute)
	}
	const more = `{"name":"more","every":"1h","job":{"kind":"test","spec":{}},"colour":"green"}`
	b.rdb.HSet(b.ctx(), scheduleKey("more"), "def", more)
	b.rdb.HSet(b.ctx(), scheduleKey("unknown"), "def", `{"name":"unknown","every":"1h","missed":"half","job":{"kind":"test","spec":{}}}`)
	list, err := b.Schedules(b.ctx())
	if err != nil || len(list) != 3 || list[2].Missed != "half" {
		t.Fatalf("%+v, %v", list, err)
	}
	b.decide("more")
	b.decide("plain")
	if got := b.rdb.HGet(b.ctx(), scheduleKey("more"), "def").Val(); got != more {
		t.Errorf("it became %s", got)
	}
	if _, err := b.DecideTicks(b.ctx(), "unknown"); tasks.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if _, err := b.PauseSchedule(b.ctx(), "unknown"); tasks.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if got := b.put(hourly("unknown"), wire.OriginAPI); !got.NextAt.After(time.Now()) || len(b.decide("unknown")) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestWhatCameDueInAPauseIsListedAsSkipped(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s"), wire.OriginAPI)
	b.asIf("s", 3*time.Hour)
	if _, err := b.PauseSchedule(b.ctx(), "s"); err != nil {
		t.Fatal(err)
	}
	if list := b.decide("s"); len(list) != 0 {
		t.Errorf("decided in a pause: %+v", list)
	}
	if look, err := b.LookSchedules(b.ctx()); err != nil || len(look.Due) != 0 || look.Wait >= 0 {
		t.Errorf("%+v, %v", look, err)
	}
	got, err := b.ResumeSchedule(b.ctx(), "s")
	if err != nil || got.Paused || !got.NextAt.After(time.Now()) {
		t.Errorf("%+v, %v", got, err)
	}
	if h := b.history("s"); len(h) != 1 || h[0].Outcome != wire.TickSkipped || h[0].Reason != "paused" || h[0].Count != 3 {
		t.Errorf("%+v", h)
	}
	again, err := b.ResumeSchedule(b.ctx(), "s")
	if err != nil || again.Version != got.Version {
		t.Errorf("resumed twice: %+v, %v", again, err)
	}
}

func TestManyWhoDecideAtOnceDecideOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s", func(s *wire.Schedule) { s.Every, s.Missed, s.Overlap = "1s", wire.MissedAll, wire.OverlapAllow }), wire.OriginAPI)
	b.asIf("s", 300*time.Second)
	var all sync.WaitGroup
	var mu sync.Mutex
	decided := map[string]int{}
	for range 8 {
		all.Go(func() {
			for range 20 {
				list, err := b.DecideTicks(context.Background(), "s")
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				for _, p := range list {
					decided[p.Tick.ID]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for id, n := range decided {
		if n != 1 {
			t.Errorf("%s was decided %d times", id, n)
		}
	}
	history := b.history("s")
	if len(decided) < 300 || len(history) != len(decided) {
		t.Errorf("%d were decided, %d are in the history", len(decided), len(history))
	}
	for i := 1; i < len(history); i++ {
		if history[i-1].DueAt.Sub(history[i].DueAt) != time.Second {
			t.Fatalf("%s comes after %s", history[i-1].DueAt, history[i].DueAt)
		}
	}
}

// A scheduler that stood still between its look and its decision decides nothing any more.
func TestADecisionOnAnythingButThePresentStateDoesNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s"), wire.OriginAPI)
	b.asIf("s", 30*time.Minute+time.Hour)
	stalled, err := b.readSchedule(b.ctx(), "s")
	if err != nil {
		t.Fatal(err)
	}
	stalled.decide("job-that-still-runs")
	b.decide("s") // another one was faster, and saw another state of affairs
	before := fmt.Sprint(b.history("s"))
	if moved, err := b.move(b.ctx(), stalled, stalled.rev); moved || err != nil {
		t.Errorf("it moved: %v, %v", moved, err)
	}
	if got := fmt.Sprint(b.history("s")); got != before {
		t.Errorf("%s\nwas %s", got, before)
	}

	b.asIf("s", 90*time.Minute)
	for _, off := range []time.Duration{-time.Minute, time.Minute} { // nobody was faster, but the look is old, or by another clock
		old, err := b.readSchedule(b.ctx(), "s")
		if err != nil {
			t.Fatal(err)
		}
		old.seen = old.seen.Add(off)
		old.decide("")
		if moved, err := b.move(b.ctx(), old, old.rev); moved || err != nil {
			t.Errorf("a look %s off: %v, %v", off, moved, err)
		}
	}
}

func TestATickStaysInTheOutboxUntilItsJobIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s"), wire.OriginAPI)
	b.asIf("s", 90*time.Minute)
	b.decide("s") // and here the process died
	for range 2 {
		look, err := b.LookSchedules(b.ctx())
		if err != nil || len(look.Due) != 0 || len(look.Pending) != 1 || look.Wait <= 0 {
			t.Fatalf("%+v, %v", look, err)
		}
		p := look.Pending[0]
		if _, _, err := b.Create(b.ctx(), p.Job); err != nil {
			t.Fatal(err)
		}
	}
	h := b.history("s")
	if ids := b.rdb.ZRange(b.ctx(), jobsKey, 0, -1).Val(); len(ids) != 1 || ids[0] != h[0].Job {
		t.Errorf("%v, %+v", ids, h)
	}
	if err := b.SettleTick(b.ctx(), h[0].ID); err != nil {
		t.Fatal(err)
	}
	if look, err := b.LookSchedules(b.ctx()); err != nil || len(look.Pending) != 0 {
		t.Errorf("%+v, %v", look, err)
	}
	if sc, err := b.Schedule(b.ctx(), "s"); err != nil || sc.LastJob != h[0].Job || !sc.LastAt.Equal(h[0].DueAt) {
		t.Errorf("%+v, %v", sc, err)
	}
}

// The job of a tick that has been decided and not created yet is not over for being absent.
func TestAJobThatIsNotThereYetIsNotOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s"), wire.OriginAPI)
	b.asIf("s", 90*time.Minute)
	first := b.decide("s")
	first = first[len(first)-1:]
	b.asIf("s", 30*time.Minute+time.Hour)
	if next := b.decide("s"); len(next) == 0 || next[len(next)-1].Tick.Outcome != wire.TickSkipped || next[len(next)-1].Tick.Running != first[0].Job.ID {
		t.Errorf("%+v", next)
	}
	if err := b.SettleTick(b.ctx(), first[0].Tick.ID); err != nil { // it was there, and has been forgotten since
		t.Fatal(err)
	}
	b.asIf("s", 90*time.Minute)
	if next := b.decide("s"); len(next) == 0 || next[len(next)-1].Tick.Outcome != wire.TickFired {
		t.Errorf("%+v", next)
	}
}

func TestATickThatWaitsIsFiredOnceTheJobBeforeItHasEnded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s", func(s *wire.Schedule) { s.Overlap = wire.OverlapQueue }), wire.OriginAPI)
	run := func(key string) wire.Tick {
		tick, err := b.RunSchedule(b.ctx(), "s", key)
		if err != nil {
			t.Fatal(err)
		}
		return tick
	}
	create := func() (jobs []string) {
		look, err := b.LookSchedules(b.ctx())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range look.Pending {
			if _, _, err := b.Create(b.ctx(), p.Job); err != nil {
				t.Fatal(err)
			}
			if err := b.SettleTick(b.ctx(), p.Tick.ID); err != nil {
				t.Fatal(err)
			}
			jobs = append(jobs, p.Job.ID)
		}
		return jobs
	}
	one, two, three := run("1"), run("2"), run("3")
	if one.Outcome != wire.TickFired || two.Outcome != wire.TickQueued || two.Running != one.Job || three.Outcome != wire.TickSkipped {
		t.Fatalf("%+v\n%+v\n%+v", one, two, three)
	}
	if jobs := create(); len(jobs) != 1 || jobs[0] != one.Job {
		t.Fatalf("%v", jobs)
	}
	if list := b.decide("s"); len(list) != 0 {
		t.Fatalf("fired too early: %+v", list)
	}
	if sc, err := b.Schedule(b.ctx(), "s"); err != nil || sc.Waiting != two.ID || sc.LastJob != one.Job {
		t.Errorf("%+v, %v", sc, err)
	}
	if _, err := b.Control(b.ctx(), one.Job, Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	look, err := b.LookSchedules(b.ctx())
	if err != nil || len(look.Due) != 1 {
		t.Fatalf("nobody will look at what waits: %+v, %v", look, err)
	}
	if list := b.decide("s"); len(list) != 1 || list[0].Tick.ID != two.ID || list[0].Tick.Outcome != wire.TickFired {
		t.Fatalf("%+v", list)
	}
	if jobs := create(); len(jobs) != 1 || jobs[0] != two.Job {
		t.Fatalf("%v", jobs)
	}
	if h := b.history("s"); len(h) != 3 {
		t.Errorf("%+v", h)
	}
}

func TestRunNowIsOneTickPerKeyAlsoInAPause(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s", func(s *wire.Schedule) { s.Paused, s.Overlap = true, wire.OverlapAllow }), wire.OriginAPI)
	var all sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		all.Go(func() {
			tick, err := b.RunSchedule(context.Background(), "s", "key")
			if err != nil || tick.Outcome != wire.TickFired || !tick.Manual {
				t.Errorf("%+v, %v", tick, err)
			}
			ids[i] = tick.Job
		})
	}
	all.Wait()
	for range 2 {
		tick, err := b.RunSchedule(b.ctx(), "s", "")
		if err != nil || tick.Job == ids[0] {
			t.Errorf("%+v, %v", tick, err)
		}
	}
	if h := b.history("s"); len(h) != 3 || ids[0] != ids[1] || ids[0] != ids[2] || ids[0] != ids[3] {
		t.Errorf("%v, %+v", ids, h)
	}
}

func TestAScheduleIsOverdueAlthoughNobodyRuns(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("plain"), wire.OriginAPI)
	b.put(hourly("spread", func(s *wire.Schedule) { s.Jitter = "10m" }), wire.OriginAPI)
	for _, c := range []struct {
		name     string
		since    time.Duration // the due time
		min, max time.Duration // overdue
	}{
		{"plain", -time.Minute, 0, 0},
		{"plain", 5 * time.Second, 0, 0}, // within the grace
		{"plain", time.Minute, time.Minute, 2 * time.Minute},
		{"spread", 19 * time.Minute, 0, 0}, // within twice the jitter
		{"spread", time.Hour, 50 * time.Minute, 61 * time.Minute},
	} {
		sc, err := b.readSchedule(b.ctx(), c.name)
		if err != nil {
			t.Fatal(err)
		}
		sc.next = sc.seen.Add(-c.since)
		if ok, err := b.move(b.ctx(), sc, sc.rev); !ok || err != nil {
			t.Fatal(ok, err)
		}
		got, err := b.Schedule(b.ctx(), c.name)
		if late := time.Duration(got.Overdue) * time.Millisecond; err != nil || late < c.min || late > c.max {
			t.Errorf("%s, due %s ago: overdue by %s, %v", c.name, c.since, late, err)
		}
	}
	if list, err := b.Schedules(b.ctx()); err != nil || len(list) != 2 || list[0].Name != "plain" || list[0].Overdue == 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestTheHistoryIsBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.put(hourly("s", func(s *wire.Schedule) { s.Every, s.Missed, s.Overlap = "1s", wire.MissedAll, wire.OverlapAllow }), wire.OriginAPI)
	b.asIf("s", (KeepTicks+500)*time.Second)
	for len(b.decide("s")) == turnTicks {
	}
	h := b.history("s")
	bodies, err := b.rdb.HLen(b.ctx(), scheduleHistoryKey("s")).Result()
	if err != nil || len(h) != KeepTicks || bodies != KeepTicks || time.Since(h[0].DueAt) > 30*time.Second {
		t.Errorf("%d ticks, %d bodies, newest %s, %v", len(h), bodies, h[0].DueAt, err)
	}
}
