package tasks

import (
	"context"
	"encoding/json"
	"time"
)

// Reporter adds to a job's report what only its family knows, such as what the ledger of the sink proves. Like Rejecter it is asked
// by the API, in any process that knows the family, whenever somebody wants the report: also of a job that still runs.
type Reporter interface {
	// Report returns what the family has to say of a job. It reads and changes nothing. The same job, once it has ended, gives the
	// same report, in the same order: people compare their digests. An error leaves the rest of the report as it is, which then says
	// that this part is missing and why; so it has to be one that a person may read.
	Report(ctx context.Context, job Job) (FamilyReport, error)
}

// FamilyReport is a family's part of a report. The zero value says nothing. No text of it may hold a secret.
type FamilyReport struct {
	// Source and Target are where rows came from and went to, as addresses without passwords. "" leaves the names of the spec.
	Source string `json:"source,omitempty" doc:"Where rows came from, without a password"`
	Target string `json:"target,omitempty" doc:"Where rows went to, without a password"`
	// Stages are those of which there is something to say, by their names; the others may be left out.
	Stages []StageProof `json:"stages,omitempty" doc:"What the sink proves of each stage"`
	// Sections are shown after all else, in their order.
	Sections []ReportSection `json:"sections,omitempty" doc:"What else the family has to say"`
}

// StageProof is what the sink itself knows of a stage, which the engine's counters cannot prove. Zero values are not shown.
type StageProof struct {
	Stage string `json:"stage" doc:"The name of the stage"`
	// Hash is over all that the stage has written, whatever the order it was written in; HashOf says in words over what, and how.
	Hash   string `json:"hash,omitempty" doc:"Over all that the stage has written"`
	HashOf string `json:"hash_of,omitempty" doc:"Over what the hash is, and how it is made"`
	// Rows and Commits are how many rows were committed in how many transactions or requests.
	Rows        int64      `json:"rows,omitempty" doc:"Rows that the sink has committed"`
	Commits     int64      `json:"commits,omitempty" doc:"Transactions or requests in which they were"`
	FirstCommit *time.Time `json:"first_commit,omitempty"`
	LastCommit  *time.Time `json:"last_commit,omitempty"`
	Workers     []string   `json:"workers,omitempty" doc:"The workers that committed"`
	// Quarantined and Skipped are the rows that were not written, by reason, the most frequent first. Keep them to some dozens, and
	// add up the rest under a reason that says so.
	Quarantined []RowReason `json:"quarantined,omitempty" doc:"Rows that were set aside, by reason"`
	Skipped     []RowReason `json:"skipped,omitempty" doc:"Rows that were left out on purpose, by reason"`
}

// RowReason says of how many rows something holds.
type RowReason struct {
	Reason string `json:"reason"`
	Rows   int64  `json:"rows"`
}

// ReportSection is a part of a report in a family's own words: a text, a table, or both.
type ReportSection struct {
	Title   string     `json:"title"`
	Text    string     `json:"text,omitempty" doc:"A paragraph; no markup"`
	Columns []string   `json:"columns,omitempty" doc:"The heads of a table"`
	Rows    [][]string `json:"rows,omitempty" doc:"Its rows, each as long as the heads"`
}

// AboutJob returns the id of the job that a spec says it is about, "" when it says nothing of the kind: by convention a spec names it
// as "job", as that of a verification names the migration that it verifies. The reports of both then lead to one another.
func AboutJob(spec json.RawMessage) string {
	var s struct {
		Job string `json:"job"` // as families have it, so that of a word that is there twice both take the same
	}
	_ = json.Unmarshal(spec, &s) // one that cannot be read, or that is no text, names none
	return s.Job
}
