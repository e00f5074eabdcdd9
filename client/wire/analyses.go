package wire

import "github.com/stint-run/stint/tasks"

// Labels that the server itself puts on jobs.
const (
	// LabelApprovedBy names who let a job delete, or put back, rows: the name of their token.
	LabelApprovedBy = "approved_by"
)

// Analysis is a dedupe job with what it has found.
type Analysis struct {
	Job     *Job           `json:"job" doc:"The job that made it"`
	Outputs []tasks.Output `json:"outputs" doc:"Its files; empty until it is whole"`
	// Deletions are the jobs that carry it out, the newest first.
	Deletions []JobLink `json:"deletions" doc:"The jobs that carry it out, the newest first"`
}

// Apply lets an analysis be carried out. Limit has to be said.
type Apply struct {
	Limit  int    `json:"limit" minimum:"0" doc:"The most data sets that are deleted; 0 deletes none"`
	Digest string `json:"digest,omitempty" pattern:"^sha256:[0-9a-f]{64}$" doc:"Of analysis.jsonl as you have seen it: another one is a conflict. Left out, it is the one that there is"`

	RecencyDays *float64 `json:"recency_days,omitempty" minimum:"0" doc:"May only be more than what the analysis was made with"`
	Batch       int      `json:"batch,omitempty" minimum:"0" doc:"Rows that one transaction deletes at most; 0 is the default"`
	Busy        float64  `json:"busy,omitempty" minimum:"0" maximum:"1" doc:"The share of the time that one step may keep the database busy; 0 is the default"`
	MaxLag      string   `json:"max_lag,omitempty" doc:"How far a replica may be behind before the deletion pauses, such as 10s"`
	MaxProbe    string   `json:"max_probe,omitempty" doc:"How long a read of one row may take before the deletion pauses, such as 250ms"`
	MaxWaiting  int      `json:"max_waiting,omitempty" minimum:"0" doc:"How many sessions may wait for a lock before the deletion pauses; 0 is the default"`
	MaxAge      string   `json:"max_age,omitempty" doc:"How old the analysis may be, such as 24h"`

	Labels map[string]string `json:"labels,omitempty"`
	Window int               `json:"window,omitempty" minimum:"0" maximum:"10000" doc:"Steps that may be out at once; 0 is the default"`
}

// Undo asks for what a job has deleted to be put back.
type Undo struct {
	Sets   []DataSet         `json:"sets,omitempty" doc:"Which data sets; left out, all that it deleted"`
	Labels map[string]string `json:"labels,omitempty"`
	Window int               `json:"window,omitempty" minimum:"0" maximum:"10000" doc:"Steps that may be out at once; 0 is the default"`
}

// DataSet names a data set.
type DataSet struct {
	Customer string `json:"customer"`
	Database string `json:"database"`
}
