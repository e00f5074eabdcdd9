package wire

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Job is a job as people and scripts see it.
type Job struct {
	ID        string            `json:"id" doc:"The id of the job"`
	Kind      string            `json:"kind" doc:"The family that carries it out"`
	Tenant    string            `json:"tenant" doc:"Whose it is; empty is the default tenant"`
	State     tasks.State       `json:"state" enum:"accepted,planning,running,paused,succeeded,failed,cancelled" doc:"Where it stands"`
	Labels    map[string]string `json:"labels,omitempty"`
	Priority  int               `json:"priority,omitempty" doc:"0 is normal, above is sooner, below is later"`
	Queue     string            `json:"queue" doc:"The queue on which its steps go"`
	Protocol  int               `json:"protocol" doc:"What a worker has to be able to read to carry it out"`
	Held      string            `json:"held,omitempty" doc:"Why nothing of it is started; empty when nothing holds it"`
	CreatedAt time.Time         `json:"created_at"`
	StartedAt *time.Time        `json:"started_at"`
	EndedAt   *time.Time        `json:"ended_at"`
	ETA       *time.Time        `json:"eta" doc:"When the rows of all stages will have been read, as far as that is known; null when nothing is known yet, or nothing moves. The time of stages without an estimate of rows, such as indexes, is not in it"`
	Error     *JobError         `json:"error" doc:"Why it failed, and what to do"`
	Counters  Counters          `json:"counters"`
	Findings  int64             `json:"findings" doc:"How many findings its steps reported, those no longer kept included"`
	Stages    []Stage           `json:"stages"`
	Workers   []string          `json:"workers" doc:"The workers that hold steps of it"`
	Out       []Out             `json:"out,omitempty" doc:"Steps that are on the queue or under a lease"`
	Pace      []PacePoint       `json:"pace,omitempty" doc:"How many rows it had read by when, over its present run, at most 60 points; left out of lists"`
	Window    int               `json:"window" doc:"How many steps may be out at once"`
	Epoch     int64             `json:"epoch" doc:"Which run of the job: one more each time it is started over"`
	TraceID   string            `json:"trace_id,omitempty" doc:"The trace that its submission began"`
	Spec      json.RawMessage   `json:"spec,omitempty" doc:"What was asked for, in the family's words"`
}

// PacePoint is how many rows a job had read by a moment.
type PacePoint struct {
	At   time.Time `json:"at"`
	Read int64     `json:"rows_read"`
}

// JobError is what a person reads when a job failed, and what to do.
type JobError struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Counters counts steps and rows.
type Counters struct {
	StepsKnown  int64 `json:"steps_known" doc:"So far: a stage is split a page at a time"`
	StepsDone   int64 `json:"steps_done"`
	StepsFailed int64 `json:"steps_failed" doc:"Failed for good"`
	tasks.Counters
}

// Stage is one stage of a job.
type Stage struct {
	Name      string     `json:"name"`
	State     string     `json:"state" enum:"waiting,open,done"`
	After     []string   `json:"after" doc:"The stages that it waits for"`
	Rows      int64      `json:"rows_estimated" doc:"0 when unknown"`
	Counters  Counters   `json:"counters"`
	StartedAt *time.Time `json:"started_at"`
	EndedAt   *time.Time `json:"ended_at"`
	Rate      float64    `json:"rows_per_second" doc:"Rows read a second since it started, or over its whole time when it has ended"`
	ETA       *time.Time `json:"eta" doc:"When its rows will have been read, at the rate of the last half minute and after the stages that it waits for; null when unknown"`
}

// Out is a step that is on the queue (no worker yet) or under a lease.
type Out struct {
	Stage  string    `json:"stage"`
	Step   string    `json:"step" doc:"Its id, or plan, or split"`
	Worker string    `json:"worker,omitempty" doc:"Left out while nobody has begun it"`
	Since  time.Time `json:"since"`
}

// FailedStep is a step that failed for good.
type FailedStep struct {
	Stage  string `json:"stage"`
	Step   string `json:"step"`
	Reason string `json:"reason"`
	Hint   string `json:"hint,omitempty"`
	Worker string `json:"worker"`
	Failed int    `json:"failed" doc:"How many attempts failed"`
	At     int64  `json:"at_ms" doc:"Unix time in milliseconds"`
}

// Event is one entry of a job's event log.
type Event struct {
	ID     string            `json:"id"`
	Type   string            `json:"type"`
	At     time.Time         `json:"at"`
	Fields map[string]string `json:"fields,omitempty"`
}
