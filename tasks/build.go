package tasks

import (
	"context"
	"time"
)

// Builder shows what a job builds, for those who watch it. Like Outputter it is asked by the API, in any process that knows the family.
type Builder interface {
	// Build returns what is known of a build so far; before it has been planned that is nothing, and no error.
	Build(ctx context.Context, job Job) (Build, error)
}

// Build is what a build is of, and what has become of its steps so far. The zero value is of a build that has not been planned.
type Build struct {
	Product    string      `json:"product,omitempty"`
	Version    string      `json:"version,omitempty" doc:"Left out until the build has been planned"`
	File       string      `json:"file_version,omitempty" doc:"Four numbers, as Windows and .NET want them"`
	Channel    string      `json:"channel,omitempty" doc:"release, branch and so on"`
	Why        []string    `json:"why,omitempty" doc:"What led to the version, in sentences"`
	Number     int64       `json:"number,omitempty" doc:"The number of the build; left out of a local one"`
	Repository string      `json:"repository,omitempty"`
	Ref        string      `json:"ref,omitempty" doc:"The full name by which it was asked for, such as refs/heads/main"`
	Commit     string      `json:"commit,omitempty"`
	Steps      []BuildStep `json:"steps" doc:"The steps of the pipeline, in the order of the file"`
	Gates      []BuildGate `json:"gates" doc:"The environments in their order, and whether each takes this build; empty until it has left packages behind"`
}

// States of a step of a build.
const (
	BuildPending = "pending" // it has no result yet
	BuildPassed  = "passed"
	BuildCached  = "cached" // the result of another build was taken, as all that it depends on is the same
	BuildFailed  = "failed" // its last attempt; it may be tried again
)

// BuildStep is a step of a pipeline.
type BuildStep struct {
	Name    string      `json:"name"`
	Needs   []string    `json:"needs,omitempty" doc:"The steps whose files it gets"`
	State   string      `json:"state" enum:"pending,passed,cached,failed"`
	Reused  string      `json:"reused,omitempty" doc:"The build whose result was taken"`
	Error   string      `json:"error,omitempty" doc:"Why its last attempt failed"`
	Agent   string      `json:"agent,omitempty" doc:"The worker that ran it"`
	Began   *time.Time  `json:"began,omitempty"`
	Ended   *time.Time  `json:"ended,omitempty"`
	Changed int64       `json:"files_changed,omitempty" doc:"Files that are new or other than before the step"`
	Tests   *BuildTests `json:"tests,omitempty" doc:"Left out of a step without test results"`
}

// BuildTests are the results of the tests of a step.
type BuildTests struct {
	Tests      int            `json:"tests"`
	Passed     int            `json:"passed"`
	Failed     int            `json:"failed" doc:"Those that ended with an error included"`
	Skipped    int            `json:"skipped"`
	Flaky      int            `json:"flaky,omitempty" doc:"Passed when they were tried again; among the passed"`
	Incomplete string         `json:"incomplete,omitempty" doc:"Why the results could not be read to their end"`
	Failures   []BuildFailure `json:"failures,omitempty" doc:"The first fifty"`
}

// BuildFailure is a test that failed.
type BuildFailure struct {
	Name    string `json:"name"`
	Message string `json:"message,omitempty"`
	Text    string `json:"text,omitempty" doc:"What stood in the failure, such as a stack trace; the first 4,000 characters"`
}

// What a gate says of a build.
const (
	GateHere = "here" // the build stands in the environment now
	GateOpen = "open" // it may be promoted to it
	GateShut = "shut"
)

// BuildGate is an environment, and whether it takes a build.
type BuildGate struct {
	Environment string `json:"environment"`
	State       string `json:"state" enum:"here,open,shut"`
	Why         string `json:"why,omitempty" doc:"Why it is shut"`
	Hint        string `json:"hint,omitempty" doc:"What to do about it"`
	Stands      string `json:"stands,omitempty" doc:"The version that stands there now"`
}
