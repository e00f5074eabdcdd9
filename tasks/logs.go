package tasks

import (
	"context"
	"iter"
	"time"
)

// Logger gives out what the steps of a job print. Like Outputter it is asked by the API, in any process that knows the family.
type Logger interface {
	// Logs names the logs that there are, in the order of their stages.
	Logs(ctx context.Context, job Job) ([]string, error)
	// Log reads a log, from the line with this number on; with follow it goes on until the log has ended. A log that has not begun
	// is empty, and with follow is waited for. A name that the job has no step of is ErrNoOutput.
	Log(ctx context.Context, job Job, name string, from int64, follow bool) iter.Seq2[LogLine, error]
}

// LogLine is a line of a log.
type LogLine struct {
	Seq     int64     `json:"seq" doc:"The number of the line, from 1"`
	At      time.Time `json:"at" doc:"When it was printed"`
	Stream  string    `json:"stream" enum:"o,e,#" doc:"o is standard output, e is standard error, # is a note of the agent's"`
	Text    string    `json:"text" doc:"Without secrets, and without the line break"`
	Attempt string    `json:"attempt,omitempty" doc:"The attempt that printed it: another one begins the step anew"`
	Partial bool      `json:"partial,omitempty" doc:"The line goes on in the next one"`
}
