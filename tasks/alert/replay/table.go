// Package replay runs behaviour tables: what a rule made of some events, as it was written down when the original did it, is compared with
// what the same evaluation as in production makes of them.
package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// The levels of tables.
const (
	LevelRuleType = "ruletype" // a rule's type alone: events in, matches out
	LevelEngine   = "engine"   // rules as they run: windows, alerts, restarts
)

// The advices of tables.
const (
	AdviceSame   = "same"
	AdviceDiffer = "differ" // what the original does is not worth having
)

// Table is a behaviour table. Numbers in documents are json.Number.
type Table struct {
	Name  string `json:"name"`
	Level string `json:"level"`
	About string `json:"about"`
	// Rule is as YAML would give it. It has no name, index or alert where those do not matter.
	Rule   map[string]any   `json:"rule"`
	Config map[string]any   `json:"config"`
	Events []map[string]any `json:"events"`
	// History are the events that new_term finds when it begins, at Now.
	History []map[string]any `json:"history"`
	Now     string           `json:"now"`
	Steps   []Step           `json:"steps"`

	ExpectedMatches []map[string]any `json:"expected_matches"`
	MatchesPerStep  []int            `json:"matches_per_step"`
	// ExpectedError is the text of what the original threw: it refused the rule, or broke down.
	ExpectedError string `json:"expected_error"`

	ExpectedRuns   []Evaluation   `json:"expected_runs"`
	ExpectedAlerts []Notification `json:"expected_alerts"`
	Silences       []Silence      `json:"silences"`
	Status         []Status       `json:"status"`
	Errors         []string       `json:"errors"`

	Advice string         `json:"advice"`
	Oracle map[string]any `json:"oracle"`
}

// Step is a line of a table: data for a rule's type, or a run of the engine.
type Step struct {
	Op string `json:"op"`

	// Of rule types: add_data, add_count_data, add_terms_data, add_aggregation_data, garbage_collect.
	Events  []int           `json:"events"` // by their place in Table.Events
	At      string          `json:"at"`
	Count   int64           `json:"count"`
	Buckets []source.Bucket `json:"buckets"`
	Payload map[string]any  `json:"payload"`

	// Of engines: run, pending, restart.
	Now           string `json:"now"`
	Instance      string `json:"instance"`
	SourceDown    bool   `json:"es_down"`
	WritebackDown bool   `json:"writeback_down"`
}

// Evaluation is what a run of the engine did.
type Evaluation struct {
	Now           string     `json:"now"`
	Op            string     `json:"op"`
	Instance      string     `json:"instance"`
	Queries       []Question `json:"queries"`
	NewMatches    int        `json:"new_matches"`
	Notifications int        `json:"notifications"`
	ProcessDied   bool       `json:"process_died"`
}

// Question is a query of a run, of the window (After, To].
type Question struct {
	Kind  string `json:"kind"` // search, count, terms, agg
	After string `json:"gt"`
	To    string `json:"lte"`
	Hits  int64  `json:"hits"`
}

// Notification is an attempt to tell somebody.
type Notification struct {
	At      string           `json:"at"`
	Channel string           `json:"channel"`
	OK      bool             `json:"ok"`
	Matches []map[string]any `json:"matches"`
}

// Silence is until when a rule is not told again.
type Silence struct {
	RuleName string `json:"rule_name"`
	Until    string `json:"until"`
	Exponent int    `json:"exponent"`
}

// Status is what a run wrote down about itself.
type Status struct {
	StartTime string `json:"starttime"`
	EndTime   string `json:"endtime"`
	Hits      int64  `json:"hits"`
	Matches   int    `json:"matches"`
}

// Read reads a table. What it does not know is an error, so that nothing of a table is left unchecked.
func Read(r io.Reader) (*Table, error) {
	d := json.NewDecoder(r)
	d.UseNumber()
	d.DisallowUnknownFields()
	var t Table
	if err := d.Decode(&t); err != nil {
		return nil, tasks.WithHint(err, "a table is one JSON object in the format of the behaviour tables of alerts", "the table cannot be read")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, tasks.WithHint(nil, "put each table into a file of its own", "there is more in the file than one table")
	}
	if t.Level != LevelRuleType && t.Level != LevelEngine {
		return nil, tasks.WithHint(nil, "the levels are ruletype and engine", "the table %s has an unknown level %q", t.Name, t.Level)
	}
	for i, s := range t.Steps {
		for _, n := range s.Events {
			if n < 0 || n >= len(t.Events) {
				return nil, tasks.WithHint(nil, "events are named by their place, from 0 on", "step %d of the table %s names event %d of %d", i, t.Name, n, len(t.Events))
			}
		}
	}
	return &t, nil
}

// Parse reads a table.
func Parse(b []byte) (*Table, error) { return Read(bytes.NewReader(b)) }

// Result is what became of a table.
type Result struct {
	Name        string   `json:"name"`
	Equal       bool     `json:"equal"`
	Differences []string `json:"differences,omitempty"` // each with its place, what was wanted and what came
	Notes       []string `json:"notes,omitempty"`       // what could not be compared, and why
	Advice      string   `json:"advice"`
}

func (r *Result) differ(format string, args ...any) {
	r.Differences = append(r.Differences, fmt.Sprintf(format, args...))
}
