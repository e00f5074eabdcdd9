package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/due"
)

func (s *Site) scheduleRoutes() {
	s.page("/schedules", "schedules", "schedules", s.schedules)
	s.page("/schedules/{name}", "schedules", "schedule", s.schedule)
	s.page("/schedules/{name}/edit", "schedules", "schedule_edit", s.editSchedule)
	s.page("/new/schedule", "schedules", "schedule_edit", s.newSchedule)
	s.action("/schedules/{name}/run", s.runSchedule)
	s.action("/schedules/{name}/pause", s.pauseSchedule)
	s.action("/schedules/{name}/resume", s.resumeSchedule)
	s.action("/schedules/{name}/delete", s.deleteSchedule)
	s.form("/schedules/{name}/edit", "schedules", "schedule_edit", s.editSchedule, s.saveSchedule)
	s.form("/new/schedule", "schedules", "schedule_edit", s.newSchedule, s.makeSchedule)
}

// scheduleRow is a schedule in words.
type scheduleRow struct {
	wire.Schedule
	When string // it is due, without the zone
	Zone string // "" for an interval
	Next string // when, on the clock of its zone
}

func scheduleIn(sc wire.Schedule) scheduleRow {
	r := scheduleRow{Schedule: sc, When: whenWords(sc.Cron, sc.Every)}
	if sc.Cron != "" {
		r.Zone = cmp.Or(sc.Timezone, "UTC")
	}
	if sc.NextAt != nil {
		r.Next = wallClock(*sc.NextAt, zoneOf(sc))
	}
	return r
}

// zoneOf is the zone in which a schedule is due; UTC where it has none, or one that this build does not know.
func zoneOf(sc wire.Schedule) *time.Location {
	if sc.Cron != "" && sc.Timezone != "" && sc.Timezone != "Local" {
		if zone, err := time.LoadLocation(sc.Timezone); err == nil {
			return zone
		}
	}
	return time.UTC
}

// wallClock writes a due time as the clock of its zone shows it. Seconds and a year that go without saying are left out.
func wallClock(at time.Time, zone *time.Location) string {
	at = at.In(zone)
	day, clock := "Mon 2 Jan", "15:04"
	if at.Year() != time.Now().In(zone).Year() {
		day = "Mon 2 Jan 2006"
	}
	if at.Second() != 0 || at.Nanosecond() != 0 {
		clock = "15:04:05"
	}
	return at.Format(day + ", " + clock + " MST")
}

// schedulesBody are all schedules.
type schedulesBody struct {
	Rows    []scheduleRow
	Overdue int
	Paused  int
	Steer   bool
}

func (s *Site) schedules(v *visit) (content, error) {
	all, err := v.client.Schedules(v.ctx)
	if err != nil {
		return content{}, err
	}
	b := schedulesBody{Steer: can(v.me, "operator")}
	for _, sc := range all {
		b.Rows = append(b.Rows, scheduleIn(sc))
		if sc.Overdue > 0 {
			b.Overdue++
		}
		if sc.Paused {
			b.Paused++
		}
	}
	slices.SortStableFunc(b.Rows, func(x, y scheduleRow) int { // those that are late first
		return cmp.Or(cmp.Compare(min(1, y.Overdue), min(1, x.Overdue)), strings.Compare(x.Name, y.Name))
	})
	return content{Title: "Schedules", Body: b}, nil
}

// scheduleBody is one schedule with what became of its due times.
type scheduleBody struct {
	scheduleRow
	Steer  bool
	Mine   bool // the API may change it
	Coming []coming
	Ticks  []tickRow
	Seen   string // what the ticks came to, in words
	Limit  int
	Policy policies
}

// coming is a due time to come.
type coming struct {
	At   time.Time
	Wall string
	Fire *time.Time // when it takes effect, where a jitter puts it off
}

// tickRow is a tick in words.
type tickRow struct {
	wire.Tick
	Wall string // its due time on the clock of the zone
}

// policies say what a schedule does when things are not as they should be.
type policies struct{ Missed, Overlap string }

var missedWords = map[string]string{wire.MissedSkip: "are listed, and none fires", wire.MissedLast: "the latest fires, late as it is; the others are listed", wire.MissedAll: "each fires, in order"}

var overlapWords = map[string]string{wire.OverlapSkip: "is skipped", wire.OverlapQueue: "waits until that job has ended", wire.OverlapAllow: "fires all the same"}

// Ticks that a page shows, and those that it shows when asked for more.
const fewTicks, manyTicks = 30, 500

func (s *Site) schedule(v *visit) (content, error) {
	sc, err := v.client.Schedule(v.ctx, v.PathValue("name"))
	if err != nil {
		return content{}, err
	}
	b := scheduleBody{scheduleRow: scheduleIn(*sc), Steer: can(v.me, "operator"), Mine: sc.Origin == wire.OriginAPI, Limit: fewTicks}
	if v.URL.Query().Has("more") {
		b.Limit = manyTicks
	}
	b.Policy = policies{cmp.Or(missedWords[cmp.Or(sc.Missed, wire.MissedSkip)], sc.Missed), cmp.Or(overlapWords[cmp.Or(sc.Overlap, wire.OverlapSkip)], sc.Overlap)}
	b.Deadline, b.Jitter = brief(b.Deadline), brief(b.Jitter)
	b.Coming = nextTimes(*sc, 5)
	ticks, err := v.client.Ticks(v.ctx, sc.Name, b.Limit)
	if err != nil {
		return content{}, err
	}
	sums := map[string]int{}
	for _, t := range ticks {
		b.Ticks = append(b.Ticks, tickRow{t, wallClock(t.DueAt, zoneOf(*sc))})
		sums[t.Outcome] += max(1, t.Count)
	}
	var said []string
	for _, o := range []string{wire.TickFired, wire.TickMissed, wire.TickSkipped, wire.TickQueued} {
		if sums[o] > 0 {
			said = append(said, number(sums[o])+" "+o)
		}
	}
	b.Seen = strings.Join(said, ", ")
	return content{Title: "Schedule " + sc.Name, Body: b}, nil
}

// nextTimes computes when a schedule is due next, by the rule that its schedulers go by. A paused one has the times that it would have.
func nextTimes(sc wire.Schedule, most int) []coming {
	every, _ := time.ParseDuration(sc.Every)
	jitter, _ := time.ParseDuration(sc.Jitter)
	zone := ""
	if sc.Cron != "" {
		zone = sc.Timezone
	}
	rule, err := due.Parse(sc.Cron, every, zone, jitter)
	if err != nil {
		return nil
	}
	from := time.Now()
	if sc.NextAt != nil { // what the schedulers have decided on is the first
		from = sc.NextAt.Add(-time.Millisecond)
	}
	var list []coming
	for at := rule.Next(from); !at.IsZero() && len(list) < most; at = rule.Next(at) {
		c := coming{At: at, Wall: wallClock(at, zoneOf(sc))}
		if fire := rule.Fire(sc.Name, at); !fire.Equal(at) {
			c.Fire = &fire
		}
		list = append(list, c)
	}
	return list
}

func (s *Site) runSchedule(v *visit) (string, string, error) {
	key := v.PostFormValue("once")
	if key != "" { // two clicks are one run
		key = "page-" + clip(key, 100)
	}
	t, err := v.client.RunSchedule(v.ctx, v.PathValue("name"), key)
	if err != nil {
		return "", "", err
	}
	switch t.Outcome {
	case wire.TickFired:
		return "", fmt.Sprintf("%s runs now, as the job %s.", t.Schedule, t.Job), nil
	case wire.TickQueued:
		return "", fmt.Sprintf("%s runs as soon as the job %s has ended.", t.Schedule, t.Running), nil
	}
	hint := "pause what keeps it, or wait for its end"
	if t.Running != "" {
		hint = "the job " + t.Running + " has not ended; its page says how far it is"
	}
	return "", "", badInput(hint, "%s does not run now: %s", t.Schedule, cmp.Or(t.Reason, t.Outcome))
}

func (s *Site) pauseSchedule(v *visit) (string, string, error) {
	sc, err := v.client.PauseSchedule(v.ctx, v.PathValue("name"))
	if err != nil {
		return "", "", err
	}
	return "", sc.Name + " is paused: it fires nothing until it is resumed.", nil
}

func (s *Site) resumeSchedule(v *visit) (string, string, error) {
	sc, err := v.client.ResumeSchedule(v.ctx, v.PathValue("name"))
	if err != nil {
		return "", "", err
	}
	if sc.NextAt == nil {
		return "", sc.Name + " is resumed.", nil
	}
	return "", fmt.Sprintf("%s is resumed; it is due next on %s.", sc.Name, wallClock(*sc.NextAt, zoneOf(*sc))), nil
}

func (s *Site) deleteSchedule(v *visit) (string, string, error) {
	name := v.PathValue("name")
	if v.PostFormValue("sure") == "" {
		return "", "", badInput("tick “yes, delete it” as well: its history goes, too", "nothing was deleted")
	}
	return "/schedules", name + " is deleted. Jobs that it has started go on.", v.client.DeleteSchedule(v.ctx, name)
}
