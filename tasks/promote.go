package tasks

import (
	"context"
	"errors"
	"time"
)

// Promoter promotes what a job has left behind from one environment to the next, without making it anew. Like Outputter it is asked
// by the API, in any process that knows the family.
type Promoter interface {
	// Promote notes that what the job has left behind is in an environment now. Once more is no error, and Already. A gate that
	// does not let it through is ErrGate, with the reason.
	Promote(ctx context.Context, job Job, environment, by string) (Promotion, error)
	// Promoted lists what is in each environment now, in the order in which they follow one another: of one product, or of all.
	Promoted(ctx context.Context, tenant, product string) ([]Promotion, error)
}

// ErrGate: an environment does not take this, or not yet.
var ErrGate = errors.New("the environment does not take it")

// Promotion is a version that came into an environment.
type Promotion struct {
	Environment string    `json:"environment"`
	Product     string    `json:"product"`
	Version     string    `json:"version"`
	Channel     string    `json:"channel"`
	Commit      string    `json:"commit,omitempty"`
	Job         string    `json:"job" doc:"The job that left it behind"`
	By          string    `json:"by,omitempty" doc:"Who promoted it"`
	At          time.Time `json:"at"`
	Files       []Output  `json:"files" doc:"What it is, by its digests"`
	Already     bool      `json:"already,omitempty" doc:"It was there before"`
}
