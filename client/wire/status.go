package wire

import "time"

// Why a worker drains. More than one reason may hold, and each is taken back where it was asked for.
const (
	DrainByProcess = "process" // a signal to the process, or its own admin port
	DrainByRequest = "request" // asked for through the store, as `stint workers drain` does
	DrainByFence   = "fence"   // a fence parks its version
)

// WorkerStatus is what a process says of itself on its own admin port, as it is at that moment.
type WorkerStatus struct {
	ID          string      `json:"id"`
	Version     string      `json:"version"`
	Protocol    int         `json:"protocol" doc:"The newest protocol that it can read"`
	State       string      `json:"state" enum:"active,draining,drained,stopped"`
	Fenced      string      `json:"fenced,omitempty" doc:"The version fence that keeps it from claiming"`
	Concurrency int         `json:"concurrency" doc:"Steps that it runs at once; 0 in a process without a worker"`
	InFlight    []HeldStep  `json:"in_flight"`
	SafeToStop  bool        `json:"safe_to_stop" doc:"It claims nothing and holds nothing"`
	Drain       WorkerDrain `json:"drain"`
	StartedAt   time.Time   `json:"started_at"`
}

// HeldStep is a step that a worker has taken from the queue and not settled yet. One that was not begun yet has only a job
// and a step.
type HeldStep struct {
	Job     string    `json:"job"`
	Kind    string    `json:"kind,omitempty"`
	Stage   string    `json:"stage,omitempty"`
	Step    string    `json:"step" doc:"The step's id; plan and split for what makes stages and steps"`
	Attempt string    `json:"attempt"`
	Since   time.Time `json:"since"`
	Resumed bool      `json:"resumed" doc:"It goes on from a checkpoint"`
}

// WorkerDrain says whether and why a worker is wanted drained.
type WorkerDrain struct {
	Wanted bool       `json:"wanted"`
	By     []string   `json:"by,omitempty" doc:"process, request, fence: each is taken back where it was asked for"`
	Since  *time.Time `json:"since,omitempty"`
}
