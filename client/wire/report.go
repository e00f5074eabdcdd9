package wire

import (
	"time"

	"github.com/stint-run/stint/tasks"
)

// ReportForm is the form of the reports of this build; a field that is added does not change it.
const ReportForm = 1

// Report is the account of a job: what was asked for and by whom, what became of each stage, who worked on it, and every
// interruption. That of a job that still runs is as of now.
type Report struct {
	Form        int             `json:"form" doc:"The form of this report: 1"`
	Job         *Job            `json:"job"`
	SubmittedBy string          `json:"submitted_by,omitempty" doc:"The name of the token, or the schedule; left out when it is not known"`
	Source      string          `json:"source,omitempty" doc:"Where rows come from: the name in the spec, or an address without a password"`
	Target      string          `json:"target,omitempty" doc:"Where rows go to, in the same way"`
	Policy      ReportPolicy    `json:"policy"`
	SpecSHA256  string          `json:"spec_sha256" doc:"Of job.spec as it was frozen when the job was accepted, in the canonical form of RFC 8785; hex"`
	DurationMS  int64           `json:"duration_ms" doc:"From started to ended; 0 while it has not"`
	Versions    []string        `json:"versions" doc:"The versions of the engine that took part"`
	Stages      []StageReport   `json:"stages" doc:"In the order of job.stages"`
	Workers     []WorkerReport  `json:"workers" doc:"Those that took part, the first first"`
	Drains      []Drain         `json:"drains" doc:"Workers that were drained while they worked on it"`
	Losses      []Loss          `json:"losses" doc:"Workers that vanished with steps of it"`
	Reasons     []AttemptReason `json:"reasons" doc:"Why attempts did not end well, the most frequent first"`
	// Verifications are jobs that compare what this one has written.
	Verifications []Verification        `json:"verifications" doc:"Jobs that verify this one, the newest first"`
	About         *JobLink              `json:"about,omitempty" doc:"The job that this one is about, such as the migration that it verifies"`
	Findings      []tasks.Finding       `json:"findings" doc:"Those that are kept"`
	FailedSteps   []FailedStep          `json:"failed_steps"`
	Sections      []tasks.ReportSection `json:"sections" doc:"What else the family has to say"`
	History       []Happening           `json:"history" doc:"What happened to it, oldest first: the newest thousand or so events"`
	Gaps          []string              `json:"gaps" doc:"What this report lacks, in sentences; empty when it is whole"`
	Made          Made                  `json:"made" doc:"When and by which server; not part of the digest"`
	Digest        string                `json:"digest" doc:"sha256: and the hex SHA-256 of all but made and digest, in the canonical form of RFC 8785. It is no signature"`
}

// ReportPolicy is what failures do to the job, with the defaults filled in.
type ReportPolicy struct {
	Retries   int    `json:"retries" doc:"How many times a step may fail and be tried again"`
	OnFailure string `json:"on_failure" enum:"stop,skip" doc:"What a step that failed for good does to the job"`
}

// StageReport is what the counters of a stage do not say.
type StageReport struct {
	Name       string `json:"name"`
	DurationMS int64  `json:"duration_ms" doc:"From started to ended; 0 while it has not"`
	BusyMS     int64  `json:"busy_ms" doc:"The time of all attempts, added up"`
	// RowsPerBusySecond is the speed of one slot of a worker.
	RowsPerBusySecond float64           `json:"rows_per_busy_second" doc:"Rows read in a second of one attempt"`
	Planned           int64             `json:"planned" doc:"Attempts that divided it into steps"`
	GivenBack         int64             `json:"given_back" doc:"Attempts that gave their step back: drained, cut, or asked for patience"`
	Failed            int64             `json:"failed" doc:"Attempts that failed, those that were tried again included"`
	Lost              int64             `json:"lost" doc:"Attempts that vanished with their worker"`
	Revoked           int64             `json:"revoked" doc:"Attempts that Redis had forgotten to have ended"`
	Proof             *tasks.StageProof `json:"proof,omitempty" doc:"What the sink itself knows; left out when the family has nothing to say"`
}

// WorkerReport is what a worker did for the job.
type WorkerReport struct {
	ID        string     `json:"id" doc:"Empty for all the workers together for which there was no more room"`
	Version   string     `json:"version,omitempty"`
	Done      int64      `json:"steps_done"`
	Planned   int64      `json:"planned" doc:"Times that it planned the job or divided a stage into steps"`
	GivenBack int64      `json:"given_back"`
	Failed    int64      `json:"failed" doc:"Attempts, not steps"`
	Lost      int64      `json:"lost"`
	Revoked   int64      `json:"revoked"`
	BusyMS    int64      `json:"busy_ms" doc:"The time of all its attempts, added up"`
	FirstAt   *time.Time `json:"first_at" doc:"When it began its first attempt"`
	LastAt    *time.Time `json:"last_at" doc:"When its last attempt came to an end"`
}

// What became of a drain.
const (
	DrainAsked  = "asked"  // the worker has not come to rest, as far as anybody knows
	DrainSafe   = "safe"   // it held nothing any more
	DrainUndone = "undone" // it was taken back before that
)

// Drain is a worker that was drained while it worked on the job.
type Drain struct {
	Worker    string     `json:"worker"`
	By        string     `json:"by,omitempty" doc:"The name of the token that asked for it; left out when it is not known"`
	Why       string     `json:"why" enum:"process,request,fence" doc:"Its own process, as when it is told to stop; a request; a version fence"`
	AskedAt   *time.Time `json:"asked_at"`
	State     string     `json:"state" enum:"asked,safe,undone" doc:"asked: it did not come to rest, as far as anybody knows; safe: it held nothing any more; undone: it was taken back"`
	OverAt    *time.Time `json:"over_at" doc:"When it was safe to stop, or active again"`
	Held      int64      `json:"held" doc:"Attempts at steps of the job that it held when it was asked"`
	GivenBack int64      `json:"given_back" doc:"How many it gave back, those that were cut included"`
	Ended     int64      `json:"ended" doc:"How many came to their end"`
	Cut       int64      `json:"cut" doc:"How many did not come back by themselves in time"`
}

// Loss is a worker that vanished with steps of the job.
type Loss struct {
	Worker    string     `json:"worker"`
	NoticedAt *time.Time `json:"noticed_at"`
	Steps     int64      `json:"steps" doc:"How many of its steps were handed out again"`
	Again     int64      `json:"again" doc:"How many of them have been begun again"`
	LastAgain *time.Time `json:"last_again_at" doc:"When the last of them was; null when none was"`
	List      []LostStep `json:"list" doc:"As far as the events are kept"`
}

// LostStep is a step that was lost with its worker.
type LostStep struct {
	Stage  string     `json:"stage"`
	Step   string     `json:"step" doc:"Its id, or plan, or split"`
	LostAt time.Time  `json:"lost_at"`
	Again  *time.Time `json:"again_at" doc:"When it was begun again; null when that is not known"`
	By     string     `json:"by,omitempty" doc:"The worker that began it again"`
}

// AttemptReason is why attempts did not end well.
type AttemptReason struct {
	What   string `json:"what" enum:"failed,given_back"`
	Reason string `json:"reason" doc:"Its first 200 bytes; empty for all the reasons together for which there was no more room"`
	Times  int64  `json:"times"`
}

// Verification is a job that compares what another has written.
type Verification struct {
	JobLink
	Equal       bool       `json:"equal" doc:"It has succeeded, and has found no difference"`
	Rows        int64      `json:"rows" doc:"Rows that were compared, without those in quarantine"`
	Quarantined int64      `json:"rows_quarantined" doc:"Rows that are missing and known to be"`
	Differences int64      `json:"differences"`
	EndedAt     *time.Time `json:"ended_at"`
}

// JobLink names another job.
type JobLink struct {
	ID    string      `json:"id"`
	Kind  string      `json:"kind,omitempty" doc:"Left out when there is no such job any more"`
	State tasks.State `json:"state,omitempty"`
}

// Happening is an event in a report. What does not apply is left out.
type Happening struct {
	At     time.Time         `json:"at"`
	Type   string            `json:"type" doc:"As in the events of a job"`
	Stage  string            `json:"stage,omitempty"`
	Step   string            `json:"step,omitempty" doc:"Its id, or plan, or split"`
	Worker string            `json:"worker,omitempty"`
	By     string            `json:"by,omitempty" doc:"Who asked for it"`
	Reason string            `json:"reason,omitempty"`
	More   map[string]string `json:"more,omitempty" doc:"The other fields of the event"`
}

// Made says when a report was made, and by what.
type Made struct {
	At      time.Time `json:"at"`
	Version string    `json:"version" doc:"Of the server"`
}
