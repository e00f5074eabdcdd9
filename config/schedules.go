package config

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a job that begins by the clock, again and again. Cron or Every says when, the rest says what.
type Schedule struct {
	// Name is a-z, digits, _, - and ., at most 64.
	Name string `key:"name" jsonschema:"required"`
	// Cron is five fields (minute hour day month weekday) or @hourly, @daily, @weekly, @monthly, @yearly; "" means Every.
	Cron string `key:"cron"`
	// Every is the time between two ticks, at least 1s; 0 means Cron.
	Every time.Duration `key:"every"`
	// Timezone is the IANA name of the zone in which Cron is read.
	Timezone string `key:"timezone"`
	// Jitter is how much later than its time a tick may fire, by chance; 0 means on time.
	Jitter time.Duration `key:"jitter"`
	// Missed says what becomes of ticks that no scheduler was there for: skip, last or all.
	Missed string `key:"missed" jsonschema:"enum=skip,enum=last,enum=all"`
	// Overlap says what becomes of a tick while the job of an earlier one runs: skip, queue or allow.
	Overlap string `key:"overlap" jsonschema:"enum=skip,enum=queue,enum=allow"`
	// Deadline is how late a tick may be and still fire.
	Deadline time.Duration `key:"deadline"`
	// Paused keeps the schedule without firing it.
	Paused bool `key:"paused"`
	// Tenant is whose job it is; "" is the default tenant.
	Tenant string `key:"tenant"`
	// Priority is -100 to 100; 0 is the usual one.
	Priority int `key:"priority"`
	// Window is how many steps of the job may be on the queue; 0 means the engine's default.
	Window int `key:"window"`
	// Queue is where the job's steps go; "" is the default queue.
	Queue string `key:"queue"`
	// Kind is the family of the job.
	Kind string `key:"kind"`
	// Labels are name=value pairs of the job.
	Labels []string `key:"labels"`
	// Spec is what the family reads, as JSON with the keys as they were written; nil means none.
	Spec json.RawMessage `key:"spec"`
}

// Schedules are in the order in which their names first appeared.
type Schedules []Schedule

// LabelMap returns Labels by name.
func (s Schedule) LabelMap() map[string]string { return labelMap(s.Labels) }

// defaultSchedule is what holds for a schedule where nobody has said anything.
var defaultSchedule = Schedule{Timezone: "UTC", Missed: "skip", Overlap: "skip", Deadline: time.Minute}

func (s Schedule) check(k *checker) {
	part := func(name string) string { return itemKey("schedules", s.Name, name) }
	switch {
	case s.Cron == "" && s.Every == 0:
		k.add(part("cron"), `write cron: "0 3 * * *" or every: 5m`, "says not when")
	case s.Cron != "" && s.Every != 0:
		k.add(part("every"), "leave one of them away", "there is a cron already")
	case s.Cron != "":
		s.checkCron(k, part("cron"))
	case s.Every < time.Second:
		k.add(part("every"), "write it as 30s, 5m or 24h", "want 1s or more, got %s", s.Every)
	}
	// LoadLocation takes "" for UTC and Local for whatever this machine is set to, which another is not.
	if _, err := time.LoadLocation(s.Timezone); err != nil || s.Timezone == "" || s.Timezone == "Local" {
		k.add(part("timezone"), "write an IANA name such as Europe/Berlin or UTC", "there is no time zone %q", s.Timezone)
	}
	if s.Jitter < 0 {
		k.add(part("jitter"), "0s is on time", "want 0 or more, got %s", s.Jitter)
	} else if s.Every >= time.Second && s.Jitter >= s.Every {
		k.add(part("jitter"), "lower it", "want less than every (%s), got %s", s.Every, s.Jitter)
	}
	k.positive(part("deadline"), s.Deadline)
	k.oneOf(part("missed"), s.Missed, "skip", "last", "all")
	k.oneOf(part("overlap"), s.Overlap, "skip", "queue", "allow")
	k.within(part("priority"), s.Priority, -100, 100)
	k.notNegative(part("window"), s.Window, "0 is the usual one")
	if s.Queue != "" {
		k.queue(part("queue"), s.Queue)
	}
	if s.Kind == "" {
		k.add(part("kind"), "name the family of the job, such as migration", "is missing")
	}
	k.labels(part("labels"), s.Labels)
}

func (s Schedule) checkCron(k *checker, key string) {
	const form = `five fields: minute hour day month weekday, such as "30 2 * * 1-5"; or @hourly, @daily, @weekly, @monthly, @yearly`
	switch {
	// The library takes a zone in front of the fields (and panics when nothing follows it); there is a key for that.
	case strings.HasPrefix(s.Cron, "TZ=") || strings.HasPrefix(s.Cron, "CRON_TZ="):
		k.add(key, "set timezone: instead", "has a time zone in it")
		return
	case strings.HasPrefix(s.Cron, "@every"):
		k.add(key, "set every: instead", "%q is no time of day", s.Cron)
		return
	}
	parsed, err := cron.ParseStandard(s.Cron)
	if err != nil {
		k.add(key, form, "%v", err)
		return
	}
	// Next gives up after five years; there is a leap day in the five from here.
	if parsed.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		k.add(key, "is there such a day in that month?", "%q never comes", s.Cron)
	}
}
