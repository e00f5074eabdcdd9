package wire

import (
	"encoding/json"

	"github.com/stint-run/stint/tasks"
)

// Submission asks for a job.
type Submission struct {
	Kind     string            `json:"kind,omitempty" maxLength:"40" doc:"The family; left out where the path says it"`
	Spec     json.RawMessage   `json:"spec" doc:"In the family's words"`
	Tenant   string            `json:"tenant,omitempty" maxLength:"100" doc:"Whose it is. Left out, it is the token's own tenant if that has exactly one, else the default tenant"`
	Labels   map[string]string `json:"labels,omitempty"`
	Priority int               `json:"priority,omitempty" minimum:"-100" maximum:"100" doc:"0 is normal, above is sooner, below is later"`
	Window   int               `json:"window,omitempty" minimum:"0" maximum:"10000" doc:"Steps that may be out at once; 0 is the default"`
	Queue    string            `json:"queue,omitempty" pattern:"^([a-z][a-z0-9_-]{0,39})?$" doc:"The queue for its steps; left out, the default queue"`
	Policy   *tasks.Policy     `json:"policy,omitempty" doc:"What failures do to it"`
	// Notify names webhooks of the configuration. An address cannot be given: whoever could would let stint call it from within.
	Notify []string `json:"notify,omitempty" maxItems:"20" doc:"Webhooks that are told what becomes of the job, besides those that are told anyway: names of the configuration. Kept as the label notify"`
	// Continue says what it means that there is such a job already: false gives it back as it is; true goes on with it. Without an
	// Idempotency-Key it is the job about the same thing, such as the migration between the same databases.
	Continue bool `json:"continue,omitempty" doc:"Go on with the job of this Idempotency-Key or, without one, with the job about the same thing: one that is paused is resumed, one that has ended begins anew"`
}

// Outcomes of a submission.
const (
	OutcomeCreated   = "created"   // there was none
	OutcomeExists    = "exists"    // it was there, asked for in the same words; nothing was done
	OutcomeRunning   = "running"   // continue: it is on its way
	OutcomeResumed   = "resumed"   // continue: it was paused
	OutcomeRestarted = "restarted" // continue: it had ended
)

// Submitted is the answer to a submission.
type Submitted struct {
	ID      string      `json:"id"`
	State   tasks.State `json:"state"`
	Outcome string      `json:"outcome" enum:"created,exists,running,resumed,restarted"`
	Held    string      `json:"held,omitempty" doc:"Why nothing of it is started yet"`
}

// Controlled is the answer to pause, resume, cancel and retry.
type Controlled struct {
	ID    string      `json:"id"`
	State tasks.State `json:"state" doc:"The state that it is in now"`
}

// Jobs is a page of jobs, without their stages.
type Jobs struct {
	Jobs []*Job `json:"jobs"`
	Next string `json:"next,omitempty" doc:"The cursor of the next page; left out on the last one"`
}

// JobCount is how many jobs of a kind are in a state.
type JobCount struct {
	Kind  string      `json:"kind"`
	State tasks.State `json:"state" enum:"accepted,planning,running,paused,succeeded,failed,cancelled"`
	Jobs  int64       `json:"jobs"`
}

// JobCounts counts the jobs that have not ended, and those that have of the newest 1000. It is at most some seconds old.
type JobCounts struct {
	Counts []JobCount `json:"counts"`
}

// Events is a page of a job's events.
type Events struct {
	Events []Event `json:"events"`
}

// Rejects is a page of the rows that a job has set aside.
type Rejects struct {
	Rejects []json.RawMessage `json:"rejects" doc:"In the family's form"`
	Next    string            `json:"next,omitempty" doc:"The cursor of the next page; left out on the last one"`
}

// Draft says what a job would do.
type Draft struct {
	Kind     string          `json:"kind"`
	Draft    json.RawMessage `json:"draft" doc:"In the family's form"`
	Estimate *Estimate       `json:"estimate" doc:"How much it is, and how long it will take; null when the draft does not say how many rows there are"`
}

// What the seconds of an Estimate go by.
const (
	BasisHistory = "history" // what the last jobs of this kind into this target have reached
	BasisUnknown = "unknown" // nothing: there was no such job yet
)

// Estimate is how much a job would have to do.
type Estimate struct {
	Rows    int64    `json:"rows" doc:"The sum of the stages' rows"`
	Bytes   *int64   `json:"bytes" doc:"null when unknown"`
	Seconds *float64 `json:"seconds" doc:"null when unknown"`
	Basis   string   `json:"basis" enum:"history,unknown" doc:"What the seconds go by"`
	Jobs    int      `json:"jobs,omitempty" doc:"How many jobs were measured"`
	Note    string   `json:"note,omitempty" doc:"The basis in words"`
}

// Workers are the fleet.
type Workers struct {
	Workers []Worker `json:"workers"`
}

// Selection says which workers are meant. Several choices add up.
type Selection struct {
	IDs        []string          `json:"ids,omitempty" maxItems:"10000"`
	All        bool              `json:"all,omitempty" doc:"Every worker that lives"`
	Version    string            `json:"version,omitempty" doc:"Those of a version, or of a constraint such as <2.0"`
	NotVersion string            `json:"not_version,omitempty" doc:"Those of any other version"`
	Labels     map[string]string `json:"labels,omitempty" doc:"Those that have all of these labels"`
	Force      bool              `json:"force,omitempty" doc:"Drain them although a queue is left without any worker"`
}

// Asked says which workers were asked.
type Asked struct {
	Workers []string `json:"workers"`
}

// Kinds are what jobs can be of.
type Kinds struct {
	Kinds []Kind `json:"kinds"`
}

// Kind is a family as the server knows it.
type Kind struct {
	Kind        string       `json:"kind"`
	Maintenance *Maintenance `json:"maintenance,omitempty" doc:"Under it jobs are accepted and not started"`
}

// Queues are all queues that jobs or workers name.
type Queues struct {
	Queues []Queue `json:"queues"`
}

// Queue is a queue over all protocols and priorities.
type Queue struct {
	Name    string `json:"name"`
	Depth   int64  `json:"depth" doc:"Steps on the queue, which nobody has claimed"`
	Claimed int64  `json:"claimed" doc:"Steps that a worker has claimed and that have not ended"`
	// Backlog is what autoscalers should go by: a job has no more than its window on the queue.
	Backlog int64       `json:"backlog" doc:"Steps that are known and have not ended, those that are not yet on the queue included"`
	Latency int64       `json:"latency_ms" doc:"How long the oldest step has been waiting on the queue"`
	Workers int         `json:"workers" doc:"Active workers that serve it"`
	Parts   []QueuePart `json:"parts,omitempty" doc:"By protocol and priority; those with nothing on them are left out"`
}

// QueuePart is the part of a queue for one protocol and one band of priority.
type QueuePart struct {
	Name    string `json:"name"`
	Depth   int64  `json:"depth"`
	Claimed int64  `json:"claimed"`
	Latency int64  `json:"latency_ms"`
}

// Tenants are those that have limits of their own, and "*" for the others.
type Tenants struct {
	Tenants []Tenant `json:"tenants"`
}

// About is what a server says of itself and of who asks.
type About struct {
	Version  string   `json:"version"`
	Protocol int      `json:"protocol"`
	Name     string   `json:"name" doc:"The name of your token"`
	Role     string   `json:"role" doc:"What your token allows"`
	Tenants  []string `json:"tenants,omitempty" doc:"The tenants that your token is for; left out for all"`
}

// Fences are those that are up.
type Fences struct {
	Fences []Fence `json:"fences"`
}
