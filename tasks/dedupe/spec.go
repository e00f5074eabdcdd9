// Package dedupe is the family of work that finds data sets which were uploaded twice, and deletes the older copy without fear.
//
// Three kinds of jobs. A dedupe reads the store and writes an analysis: what is a copy of what, what may go, and why. A deletion
// takes an analysis, checks each data set again under locks, and deletes at most so many, in batches that are archived before they are
// committed. A restoration puts back what a deletion took. A dedupe with Apply is both in one job, for the daily schedule.
package dedupe

import (
	"github.com/stint-run/stint/internal/datasets"
)

// The words by which jobs name these families.
const (
	Kind            = "dedupe"
	KindDeletion    = "deletion"
	KindRestoration = "restoration"
)

// Spec is what a dedupe job is asked for.
type Spec struct {
	Store  string          `json:"store"`           // a connection's name, or a URL where the process allows it
	Layout datasets.Layout `json:"layout"`          // where the data sets are
	Rules  RuleSpec        `json:"rules"`           // when a data set may go
	Apply  *ApplySpec      `json:"apply,omitempty"` // delete afterwards, in the same job; nil is only to look
	// KeepArchives is how long archives of deletions are kept: older ones are removed afterwards. A duration such as 2160h; "" removes
	// none.
	KeepArchives string `json:"keep_archives,omitempty"`
}

// RuleSpec are the rules in the form that people write; what is absent has the default of decide.Defaults.
type RuleSpec struct {
	Threshold        *int     `json:"threshold,omitempty"`          // GUIDs, 25
	Containment      *float64 `json:"containment,omitempty"`        // above 0 to 1, 0.9
	RecencyDays      *float64 `json:"recency_days,omitempty"`       // days, 7
	MaxShareCustomer *float64 `json:"max_share_customer,omitempty"` // 0 to 1, 0.75
	MaxShare         *float64 `json:"max_share,omitempty"`          // 0 to 1, 0.5
	Exempt           []string `json:"exempt,omitempty"`             // customers
	// TemplateCustomers is how many customers must hold a GUID for it to be taken for a row that the product ships; absent is 3, or 2
	// where only two customers can be looked at.
	TemplateCustomers *int `json:"template_customers,omitempty"`
}

// ApplySpec says how an analysis is carried out.
type ApplySpec struct {
	// Limit is the most data sets that are deleted. It has to be said: 0 deletes none.
	Limit int `json:"limit"`
	// RecencyDays may only be more than what the analysis was made with; absent is the same.
	RecencyDays *float64 `json:"recency_days,omitempty"`
	// Batch is how many rows a transaction deletes at most; 0 is 5,000.
	Batch int `json:"batch,omitempty"`
	// Busy is the share of the time, above 0 to 1, that one step may keep the database busy; 0 is 0.5.
	Busy float64 `json:"busy,omitempty"`
	// MaxLag, MaxProbe and MaxWaiting are what the database's health may come to before the deletion pauses: durations such as 5s ("" is
	// 10s and 250ms) and sessions that wait for locks (0 is 5).
	MaxLag     string `json:"max_lag,omitempty"`
	MaxProbe   string `json:"max_probe,omitempty"`
	MaxWaiting int    `json:"max_waiting,omitempty"`
	// MaxAge is how old an analysis may be, such as 24h; "" is that.
	MaxAge string `json:"max_age,omitempty"`
}

// DeletionSpec is what a deletion job is asked for. Job names the analysis, so that the reports lead to one another.
type DeletionSpec struct {
	Job    string    `json:"job"`    // the job that made the analysis
	Store  string    `json:"store"`  // as in the analysis
	Digest string    `json:"digest"` // of the analysis: one that has been changed is refused
	Apply  ApplySpec `json:"apply"`
}

// RestorationSpec is what a restoration job is asked for.
type RestorationSpec struct {
	Job   string        `json:"job"`            // the job that deleted
	Store string        `json:"store"`          // the connection of the store
	Sets  []datasets.ID `json:"sets,omitempty"` // which data sets; empty is all that it deleted
}
