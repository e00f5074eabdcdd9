// Package tasks defines the words of stint and what a family of work has to offer.
//
// A Job is what somebody asked for. Its family turns it into Stages, and each stage, a page at a time, into Steps: atomic,
// idempotent units. One run of a step by one worker is an Attempt; it may end early at any moment, because its worker is
// drained, replaced or killed, and the next attempt goes on from what the last one made durable.
//
// This package imports nothing of stint, so that a family can be written, and tested, with these words alone.
package tasks

import (
	"context"
	"encoding/json"
	"time"
)

// State says where a job stands.
type State string

// The states of a job. docs/states.md has the drawing.
const (
	// Accepted: written to the store; nothing has run. The submitter moves it in, the first planning attempt out.
	Accepted State = "accepted"
	// Planning: its family is turning the spec into stages. A crash here plans again.
	Planning State = "planning"
	// Running: steps are handed out, a window at a time.
	Running State = "running"
	// Paused: nothing more is handed out and running attempts give back; resume goes on.
	Paused State = "paused"
	// Succeeded: every step of every stage has ended. Steps skipped by the policy are counted as failed.
	Succeeded State = "succeeded"
	// Failed: a step failed for good and the policy is to stop; retry goes on from there.
	Failed State = "failed"
	// Cancelled: somebody stopped it for good. What had taken effect stays.
	Cancelled State = "cancelled"
)

// Ended reports whether a job in this state is over: nothing will be handed out unless somebody retries it.
func (s State) Ended() bool { return s == Succeeded || s == Failed || s == Cancelled }

// Job is what somebody asked for, as it was accepted. It never changes afterwards; what changes is kept by the store.
type Job struct {
	ID       string            `json:"id"`
	Kind     string            `json:"kind"`             // the family that carries it out
	Tenant   string            `json:"tenant,omitempty"` // "" is the default tenant
	Spec     json.RawMessage   `json:"spec"`             // the family's own words, whole: no later change of a config reaches it
	Labels   map[string]string `json:"labels,omitempty"`
	Priority int               `json:"priority,omitempty"` // 0 is normal; higher is sooner, lower is later; MinPriority to MaxPriority
	Queue    string            `json:"queue,omitempty"`    // the queue that its steps go on, without protocol and band; "" means DefaultQueue
	Window   int               `json:"window"`             // steps of this job that may be out at once; 0 means DefaultWindow
	Policy   Policy            `json:"policy"`
	Protocol int               `json:"protocol"`
	// KeepFor is how long the job is kept when it has succeeded; 0 is as long as any other. One that has not is kept like any other.
	KeepFor   time.Duration `json:"keep_for,omitempty"`
	CreatedAt time.Time     `json:"created_at"`
	// Trace is the W3C traceparent of the submission, so that whoever carries out a step can join its trace; "" without one.
	Trace string `json:"trace,omitempty"`
}

// DefaultQueue is where the steps of a job go that does not say otherwise.
const DefaultQueue = "default"

// The bounds of a priority.
const (
	MinPriority = -100
	MaxPriority = 100
)

// DefaultWindow is how many steps of a job are out at once when the job does not say.
const DefaultWindow = 8

// Policy says what failures do to a job.
type Policy struct {
	// Retries is how many times a step may fail and be tried again. 0 means DefaultRetries; -1 means never.
	// Interruptions (drain, lost worker, patience asked for by the other side) are not failures and are not counted.
	Retries int `json:"retries,omitempty"`
	// OnFailure is what a step that failed for good does to its job: OnFailureStop ("" means the same) or OnFailureSkip.
	OnFailure string `json:"on_failure,omitempty"`
}

// What a step that failed for good does to its job.
const (
	OnFailureStop = "stop" // the job fails; what is out gives back; retry goes on from there
	OnFailureSkip = "skip" // the step is counted as failed and the job goes on
)

// DefaultRetries is how many times a step is tried again when the policy does not say.
const DefaultRetries = 8

// Stage is a named part of a job. Stages form a graph: one starts when every stage in After has ended.
type Stage struct {
	Name  string   `json:"name"`
	After []string `json:"after,omitempty"`
	// Detail is what the family wants to know again when it splits the stage or runs its steps. Frozen by Plan.
	Detail json.RawMessage `json:"detail,omitempty"`
	// Rows is the family's estimate of the rows of this stage, for progress and ETA. 0 means unknown.
	Rows int64 `json:"rows,omitempty"`
}

// Step is the atomic, idempotent unit of a stage.
type Step struct {
	// ID is unique within the stage and the same each time the stage is split: the ledger of the sink knows the step by it.
	ID string `json:"id"`
	// Body is what the family needs to run the step.
	Body json.RawMessage `json:"body,omitempty"`
}

// Cursor is an opaque position, in the family's own format. A nil cursor is the beginning.
type Cursor []byte

// Counters are absolute: what a step has done so far, over all of its attempts. The store adds differences up.
type Counters struct {
	Read        int64 `json:"rows_read"`
	Written     int64 `json:"rows_written"`
	Quarantined int64 `json:"rows_quarantined"`
	Skipped     int64 `json:"rows_skipped"` // read, and left out on purpose: by a filter, or because there was nothing to do
	Bytes       int64 `json:"bytes"`
}

// Add returns the sum of two counters.
func (c Counters) Add(d Counters) Counters {
	return Counters{c.Read + d.Read, c.Written + d.Written, c.Quarantined + d.Quarantined, c.Skipped + d.Skipped, c.Bytes + d.Bytes}
}

// Finding is something a person has to look at, found by a step that itself went well: a row that differs, a view left
// out, a constraint that could not be validated. A job keeps a bounded number of them and counts the rest.
type Finding struct {
	Level   string `json:"level"`             // "note" or "difference"; differences make a verification fail
	Subject string `json:"subject,omitempty"` // a table, a data set, a file
	Key     string `json:"key,omitempty"`     // which row
	Field   string `json:"field,omitempty"`   // which column
	Message string `json:"message"`
}

// Levels of a Finding.
const (
	LevelNote       = "note"
	LevelDifference = "difference"
)

// Family carries out one kind of job. All methods may be called at the same time, for many jobs, in many processes, and a
// process may die within any of them.
type Family interface {
	// Kind is the word that jobs name this family by.
	Kind() string
	// Plan turns a job's spec into stages. It runs on a worker, as a step: the same job gives the same stages.
	Plan(ctx context.Context, job Job) ([]Stage, error)
	// Split lists the steps of one stage after a cursor, at most limit of them. The same cursor gives the same steps.
	// A nil next cursor ends the stage.
	Split(ctx context.Context, job Job, stage Stage, after Cursor, limit int) (steps []Step, next Cursor, err error)
	// Run carries out one attempt, from its checkpoint to the end of its step. When a.Draining closes it makes what it
	// has durable and returns ErrDrained. errors.go says what each error means for what happens next.
	Run(ctx context.Context, a *Attempt) error
}

// What follows is what a family may offer besides. The API asks for it, in any process that knows the family.

// Checker looks at a spec when a job is submitted, before anything is written. It opens no connection.
type Checker interface {
	// Check returns an error that says what is wrong with the spec and what to do; nil when nothing is.
	Check(spec json.RawMessage) error
}

// Drafter says what a job would do, without doing it.
type Drafter interface {
	// Draft returns what a person wants to see before the job is submitted, in the family's own form, as JSON.
	Draft(ctx context.Context, job Job) (json.RawMessage, error)
}

// Rejecter lists what a job has set aside.
type Rejecter interface {
	// Rejects returns at most limit of them after a cursor, in the family's own form, and the cursor of the next page; "" ends it.
	Rejects(ctx context.Context, job Job, after string, limit int) (page []json.RawMessage, next string, err error)
}

// Keyer names what a job is about, so that the same thing asked for again is the same job, with the same ledger.
type Keyer interface {
	// Key returns the name; it does not leave the process but as a hash.
	Key(job Job) (string, error)
}
