package wire

import (
	"encoding/json"
	"time"
)

// What happens to ticks that nobody fired in time (Schedule.Missed).
const (
	MissedSkip = "skip" // they are listed, and none fires; the default
	MissedLast = "last" // the latest one fires, the others are listed
	MissedAll  = "all"  // each of them fires, in order
)

// What happens to a tick whose predecessor's job still runs (Schedule.Overlap).
const (
	OverlapSkip  = "skip"  // it is listed as skipped; the default
	OverlapQueue = "queue" // it waits until that job has ended; one waits at most
	OverlapAllow = "allow" // it fires
)

// Where a schedule comes from (Schedule.Origin).
const (
	OriginConfig = "config" // a configuration file: changed there, and only there
	OriginAPI    = "api"
)

// Schedule says when a job is started again and again, and how that goes. What a client writes are the fields down to Job;
// the others are filled in by the server.
type Schedule struct {
	Name     string      `json:"name" doc:"a-z, digits, _, - and ., at most 64"`
	Cron     string      `json:"cron,omitempty" doc:"Five fields, or @hourly, @daily, @weekly, @monthly, @yearly"`
	Every    string      `json:"every,omitempty" doc:"Instead of cron: an interval such as 15m; its multiples since the Unix epoch are due"`
	Timezone string      `json:"timezone,omitempty" doc:"Of cron; the default is UTC"`
	Jitter   string      `json:"jitter,omitempty" doc:"Up to how much later a tick fires; the same for whoever computes it"`
	Missed   string      `json:"missed,omitempty" enum:"skip,last,all"`
	Overlap  string      `json:"overlap,omitempty" enum:"skip,queue,allow"`
	Deadline string      `json:"deadline,omitempty" doc:"A tick that is later than this is missed; the default is 1m"`
	Paused   bool        `json:"paused"`
	Job      ScheduleJob `json:"job"`

	Origin  string     `json:"origin" enum:"config,api"`
	NextAt  *time.Time `json:"next_at" doc:"The due time that comes next; null while it is paused"`
	LastAt  *time.Time `json:"last_at" doc:"The due time that fired last"`
	LastJob string     `json:"last_job,omitempty" doc:"The job of the tick that fired last"`
	Waiting string     `json:"waiting,omitempty" doc:"The tick that waits for the last job to end"`
	// Overdue is computed when it is read, from the due time and Redis' clock, so it shows when every scheduler is dead.
	Overdue   int64     `json:"overdue_ms" doc:"For how long a tick should have fired that has not; 0 within the grace of 10s or twice the jitter"`
	Version   string    `json:"version" doc:"Changes with each change that somebody makes; the ETag"`
	CreatedAt time.Time `json:"created_at"`
}

// ScheduleJob is the job that each tick starts.
type ScheduleJob struct {
	Kind     string            `json:"kind"`
	Tenant   string            `json:"tenant,omitempty"`
	Spec     json.RawMessage   `json:"spec"`
	Labels   map[string]string `json:"labels,omitempty"`
	Priority int               `json:"priority,omitempty"`
	Window   int               `json:"window,omitempty"`
	Queue    string            `json:"queue,omitempty"`
	KeepFor  string            `json:"keep_for,omitempty" doc:"How long its job is kept when it has succeeded, such as 10m; left out, as long as any other"`
}

// What became of a tick (Tick.Outcome).
const (
	TickFired   = "fired"
	TickMissed  = "missed"  // nobody decided it before its deadline
	TickSkipped = "skipped" // it was decided that it does not fire
	TickQueued  = "queued"  // it waits for the job before it; it will be fired
)

// Tick is one due time of a schedule, or a range of them that share their fate, and what became of it.
type Tick struct {
	ID       string     `json:"id"`
	Schedule string     `json:"schedule"`
	DueAt    time.Time  `json:"due_at"`
	Until    *time.Time `json:"until,omitempty" doc:"The last due time of a range"`
	Count    int        `json:"count" doc:"The due times in the range; counted up to 100000"`
	Outcome  string     `json:"outcome" enum:"fired,missed,skipped,queued"`
	Reason   string     `json:"reason,omitempty"`
	Job      string     `json:"job,omitempty" doc:"The job that it started, or will start"`
	Running  string     `json:"running,omitempty" doc:"The earlier job that was not over"`
	Manual   bool       `json:"manual,omitempty" doc:"Somebody asked for it"`
	Lag      int64      `json:"lag_ms" doc:"By how much it was decided later than it should have fired"`
	At       time.Time  `json:"at" doc:"When it was decided, by Redis' clock"`
}

// ScheduleDefinition is what somebody writes of a schedule; the fields mean the same as in Schedule.
type ScheduleDefinition struct {
	Cron     string      `json:"cron,omitempty" doc:"Five fields, or @hourly, @daily, @weekly, @monthly, @yearly"`
	Every    string      `json:"every,omitempty" doc:"Instead of cron: an interval such as 15m"`
	Timezone string      `json:"timezone,omitempty" doc:"Of cron; the default is UTC"`
	Jitter   string      `json:"jitter,omitempty" doc:"Up to how much later a tick fires"`
	Missed   string      `json:"missed,omitempty" enum:"skip,last,all" doc:"What happens to ticks that nobody fired in time; the default is skip"`
	Overlap  string      `json:"overlap,omitempty" enum:"skip,queue,allow" doc:"What happens to a tick while the job before it runs; the default is skip"`
	Deadline string      `json:"deadline,omitempty" doc:"A tick that is later than this is missed; the default is 1m"`
	Paused   bool        `json:"paused,omitempty"`
	Job      ScheduleJob `json:"job"`
}

// Schedules are those that there are.
type Schedules struct {
	Schedules []Schedule `json:"schedules"`
}

// Ticks are what became of a schedule's due times, newest first.
type Ticks struct {
	Ticks []Tick `json:"ticks"`
}
