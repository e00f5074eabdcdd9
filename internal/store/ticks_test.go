package store

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/client/wire"
)

// noon is when the schedules of these tests have their first tick that is not decided.
var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// at makes a schedule of one tick each minute with a deadline of 90 s, looked at so long after noon.
func at(t interface{ Fatal(...any) }, after time.Duration, missed, overlap string) *schedule {
	sc, err := newSchedule(wire.Schedule{Name: "s", Every: "1m", Missed: missed, Overlap: overlap, Deadline: "90s",
		Job: wire.ScheduleJob{Kind: "test"}}, wire.OriginAPI)
	if err != nil {
		t.Fatal(err)
	}
	sc.rev, sc.next, sc.seen = "r", noon, noon.Add(after)
	return sc
}

// said is what was decided, in short: "fired 12:00", "missed 12:00-12:03(4)".
func said(sc *schedule) string {
	var list []string
	for _, d := range sc.decided {
		text := d.Tick.Outcome + " " + d.Tick.DueAt.Format("15:04")
		if d.Tick.Until != nil {
			text += "-" + d.Tick.Until.Format("15:04") + fmt.Sprintf("(%d)", d.Tick.Count)
		}
		list = append(list, text)
	}
	return strings.Join(append(list, "next "+sc.next.Format("15:04")), ", ")
}

func TestWhatBecomesOfTicksThatAreDue(t *testing.T) {
	t.Parallel()
	const skip, last, all = wire.MissedSkip, wire.MissedLast, wire.MissedAll
	const allow, one, queue = wire.OverlapAllow, wire.OverlapSkip, wire.OverlapQueue
	for _, c := range []struct {
		name            string
		after           time.Duration
		missed, overlap string
		busy            string
		want            string
	}{
		{"nothing is due yet", -time.Second, last, allow, "", "next 12:00"},
		{"in time", 0, last, allow, "", "fired 12:00, next 12:01"},
		{"late, within the deadline", 80 * time.Second, last, allow, "", "fired 12:00, fired 12:01, next 12:02"},
		{"missed, skip: listed as one range", 5*time.Minute + 45*time.Second, skip, allow, "", "missed 12:00-12:04(5), fired 12:05, next 12:06"},
		{"missed, last: one in time comes after it", 5*time.Minute + 45*time.Second, last, allow, "", "missed 12:00-12:04(5), fired 12:05, next 12:06"},
		{"missed, all: each fires, in order", 5*time.Minute + 45*time.Second, all, allow, "",
			"fired 12:00, fired 12:01, fired 12:02, fired 12:03, fired 12:04, fired 12:05, next 12:06"},
		{"the job before it runs, skip", 10 * time.Second, last, one, "job", "skipped 12:00, next 12:01"},
		{"two at once, skip: the second finds the first", 80 * time.Second, last, one, "", "fired 12:00, skipped 12:01, next 12:02"},
		{"the job before it runs, queue: one waits, the next is skipped", 80 * time.Second, last, queue, "job", "queued 12:00, skipped 12:01, next 12:02"},
		{"the job before it runs, queue and all: one waits, the others stay undecided", 5 * time.Minute, all, queue, "job", "queued 12:00, next 12:01"},
		{"the job before it runs, allow", 10 * time.Second, last, allow, "job", "fired 12:00, next 12:01"},
		{"missed, skip, and the job before it runs", 5*time.Minute + 45*time.Second, skip, one, "job", "missed 12:00-12:04(5), skipped 12:05, next 12:06"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sc := at(t, c.after, c.missed, c.overlap)
			sc.lastJob = c.busy
			sc.decide(c.busy)
			if got := said(sc); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
			for _, d := range sc.decided {
				if k := d.Tick; k.Outcome != wire.TickFired && (k.Reason == "" || k.Outcome == wire.TickSkipped && k.Running == "") {
					t.Errorf("a reason is missing: %+v", k)
				}
			}
		})
	}
}

func TestOfMissedTicksTheLatestFiresWhenNoneAfterItIsDue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		every, after time.Duration
		want         string
	}{
		{time.Hour, 30 * time.Minute, "fired 12:00, next 13:00"},
		{time.Hour, 150 * time.Minute, "missed 12:00-13:00(2), fired 14:00, next 15:00"},
		{time.Hour, 90 * time.Minute, "missed 12:00, fired 13:00, next 14:00"},
		{time.Hour, 120*time.Minute + time.Second, "missed 12:00-13:00(2), fired 14:00, next 15:00"},
	} {
		sc := at(t, c.after, wire.MissedLast, wire.OverlapAllow)
		n, err := newSchedule(wire.Schedule{Name: "s", Every: c.every.String(), Deadline: "90s", Job: wire.ScheduleJob{Kind: "test"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		sc.rule = n.rule
		sc.decide("")
		if got := said(sc); got != c.want {
			t.Errorf("after %s: %s\nwant %s", c.after, got, c.want)
		}
	}
}

func TestATurnFiresAHundredTicksAtMost(t *testing.T) {
	t.Parallel()
	sc := at(t, 10*time.Hour, wire.MissedAll, wire.OverlapAllow)
	sc.decide("")
	if len(sc.decided) != 100 || !sc.next.Equal(noon.Add(100*time.Minute)) {
		t.Errorf("%d, next %s", len(sc.decided), sc.next)
	}
}

func TestATickThatWaitsFiresWhenTheJobBeforeItIsOver(t *testing.T) {
	t.Parallel()
	sc := at(t, 10*time.Second, wire.MissedLast, wire.OverlapQueue)
	sc.lastJob = "job"
	sc.decide("job")
	waits := sc.decided[0]
	sc.decided, sc.waits = nil, &waits
	sc.seen = noon.Add(70 * time.Second)
	sc.decide("")
	if got := said(sc); got != "fired 12:00, queued 12:01, next 12:02" || sc.decided[1].Tick.Running != waits.Job.ID || sc.lastJob != waits.Job.ID {
		t.Errorf("%s, %+v", got, sc)
	}
}

// Whatever the policies, the jitter and the moments of the looks: no due time is left out, and none is decided twice.
func TestEachDueTimeIsDecidedOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sc := at(t, 0, rapid.SampledFrom([]string{"skip", "last", "all"}).Draw(t, "missed"), rapid.SampledFrom([]string{"skip", "queue", "allow"}).Draw(t, "overlap"))
		n, err := newSchedule(wire.Schedule{Name: "s", Every: "1m", Jitter: rapid.SampledFrom([]string{"", "10s", "59s"}).Draw(t, "jitter"),
			Deadline: rapid.SampledFrom([]string{"1s", "90s", "10m"}).Draw(t, "deadline"), Job: wire.ScheduleJob{Kind: "test"}}, "")
		if err != nil {
			t.Fatal(err)
		}
		sc.rule, sc.deadline = n.rule, n.deadline
		seen := map[time.Time]string{}
		busy := ""
		for range rapid.IntRange(1, 20).Draw(t, "looks") {
			sc.seen = sc.seen.Add(time.Duration(rapid.IntRange(1, 1200).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "the job ends") {
				busy = ""
			}
			sc.decided = nil
			before := sc.next
			sc.decide(busy)
			for _, d := range sc.decided {
				until := d.Tick.DueAt
				if d.Tick.Until != nil {
					until = *d.Tick.Until
				}
				count := 0
				for due := d.Tick.DueAt; !due.After(until); due = due.Add(time.Minute) {
					if was, ok := seen[due]; ok && was != wire.TickQueued {
						t.Fatalf("%s is %s and was %s", due, d.Tick.Outcome, was)
					}
					seen[due] = d.Tick.Outcome
					count++
				}
				switch {
				case count != d.Tick.Count:
					t.Fatalf("%+v has %d", d.Tick, count)
				case d.Tick.Outcome == wire.TickFired && sc.fire(d.Tick.DueAt).After(sc.seen):
					t.Fatalf("%+v fired before its time", d.Tick)
				case d.Waits:
					sc.waits = &d
				case d.Tick.Outcome == wire.TickFired:
					busy = d.Job.ID
				}
			}
			for due := before; due.Before(sc.next); due = due.Add(time.Minute) {
				if seen[due] == "" {
					t.Fatalf("nothing was said of %s", due)
				}
			}
		}
	})
}

func TestTheIdOfATicksJobFollowsFromScheduleAndDueTime(t *testing.T) {
	t.Parallel()
	one, two := at(t, 0, "", ""), at(t, time.Second, "", "")
	one.decide("")
	two.decide("")
	if one.decided[0].Job.ID != two.decided[0].Job.ID || one.decided[0].Job.Labels[ScheduleLabel] != "s" {
		t.Errorf("%+v\n%+v", one.decided[0].Job, two.decided[0].Job)
	}
	two.decided, two.seen = nil, noon.Add(time.Minute)
	two.decide("")
	if one.decided[0].Job.ID == two.decided[0].Job.ID {
		t.Error("two ticks have one job")
	}
}

func TestAScheduleThatCannotBeMeantIsAnErrorWithAHint(t *testing.T) {
	t.Parallel()
	good := wire.Schedule{Name: "s", Every: "1m", Job: wire.ScheduleJob{Kind: "test"}}
	sc, err := newSchedule(good, "")
	if err != nil || sc.def.Missed != wire.MissedSkip || sc.def.Overlap != wire.OverlapSkip || sc.deadline != DefaultDeadline {
		t.Fatalf("%+v, %v", sc, err)
	}
	for want, change := range map[string]func(*wire.Schedule){
		"no name for a schedule": func(s *wire.Schedule) { s.Name = "a b" },
		"neither cron nor every": func(s *wire.Schedule) { s.Every = "" },
		"no duration":            func(s *wire.Schedule) { s.Deadline = "soon" },
		"no cron expression":     func(s *wire.Schedule) { s.Every, s.Cron = "", "daily" },
		"missed":                 func(s *wire.Schedule) { s.Missed = "never" },
		"overlap":                func(s *wire.Schedule) { s.Overlap = "never" },
		"which kind":             func(s *wire.Schedule) { s.Job.Kind = "" },
		"no JSON":                func(s *wire.Schedule) { s.Job.Spec = json.RawMessage("{") },
	} {
		sc := good
		change(&sc)
		if err := CheckSchedule(sc); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
