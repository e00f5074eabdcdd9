// Package evaluate takes a rule through its windows: which events to ask for, which of them are new, which matches are told and which
// the rule's realert holds back, and which alerts are over.
//
// It is a function of a rule, the rule's State, a source and a time. The State is all that is remembered, and is written down as a
// whole after each window; whoever has it goes on from it, and the same window evaluated twice from the same State gives the same
// State and the same alerts. So it does not matter which process evaluates, or how many began to: the one that writes first wins.
//
// The time is that of the rule's grid and not that of a clock: a window that is evaluated late, because the source was down or
// nobody was there, gives what it would have given in time.
package evaluate

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// Bounds of a State.
const (
	// MaxSeen is how many ids of events a rule remembers, so that one that comes late is told from those that were there. Where there
	// were more within buffer_time, late ones are looked for in a shorter time.
	MaxSeen = 20_000
	// MaxKeys is how many keys a rule remembers of which it has told; the ones that were longest ago are forgotten first.
	MaxKeys = 10_000
	// MaxGrouped is how many matches wait to be told together; more are counted.
	MaxGrouped = 1_000
	// OldQueryLimit is how far back a rule goes that has not been evaluated for long.
	OldQueryLimit = 7 * 24 * time.Hour
)

// State is what a rule remembers. The zero value is that of a rule that has not been evaluated.
type State struct {
	// Due is the time of the grid that was evaluated last; zero before the first.
	Due time.Time `json:"due,omitzero"`
	// End is up to where events have been read: Due less the rule's query_delay, or less where a window was not complete.
	End time.Time `json:"end,omitzero"`
	// MinStart is where queries do not go back behind, if it is set.
	MinStart time.Time `json:"min_start,omitzero"`
	// Made is the digest of the options that made Memory. Where a rule has others, Memory begins anew.
	Made   string          `json:"made,omitempty"`
	Memory json.RawMessage `json:"memory,omitempty"`
	Seen   Seen            `json:"seen,omitzero"`
	// Silences are by silence key: when the rule is told again.
	Silences map[string]Silence `json:"silences,omitempty"`
	// Groups are matches that wait to be told together, by aggregation key.
	Groups map[string]*Group `json:"groups,omitempty"`
	// Open are the alerts that are not over, by key.
	Open map[string]Open `json:"open,omitempty"`
}

// Silence is until when matches of a key are not told.
type Silence struct {
	Until    time.Time `json:"until"`
	Exponent int       `json:"exponent,omitempty"`
}

// Group is matches that wait to be told together.
type Group struct {
	At      time.Time         `json:"at"` // when they are told: at the first evaluation after it
	Matches []condition.Match `json:"matches"`
	More    int               `json:"more,omitempty"` // of which only the number is known
}

// Open is an alert that is not over.
type Open struct {
	Last time.Time `json:"last"` // when it matched last
}

// Seen are the events of the last buffer_time.
type Seen struct {
	// From is the time from which all events are known; zero where that is the whole of buffer_time.
	From time.Time `json:"from,omitzero"`
	// IDs are digests of ids, and At the times in milliseconds, in the order in which they came.
	IDs []uint64 `json:"ids,omitempty"`
	At  []int64  `json:"at,omitempty"`
}

// add remembers an event.
func (s *Seen) add(id uint64, at time.Time) {
	s.IDs, s.At = append(s.IDs, id), append(s.At, at.UnixMilli())
}

// has returns the set of ids.
func (s *Seen) set() map[uint64]bool {
	m := make(map[uint64]bool, len(s.IDs))
	for _, id := range s.IDs {
		m[id] = true
	}
	return m
}

// within counts the events of (from, to].
func (s *Seen) within(from, to time.Time) int64 {
	n := int64(0)
	for _, at := range s.At {
		if at > from.UnixMilli() && at <= to.UnixMilli() {
			n++
		}
	}
	return n
}

// forget lets go of events up to a time, and of the oldest where there are more than MaxSeen.
func (s *Seen) forget(upTo time.Time) {
	if len(s.At) > MaxSeen {
		sorted := slices.Clone(s.At)
		slices.Sort(sorted)
		if from := time.UnixMilli(sorted[len(sorted)-MaxSeen]).UTC(); from.After(upTo) {
			upTo, s.From = from, from
		}
	}
	if !s.From.After(upTo) && s.From != upTo {
		s.From = time.Time{}
	}
	n := 0
	for i, at := range s.At {
		if at > upTo.UnixMilli() {
			s.IDs[n], s.At[n] = s.IDs[i], at
			n++
		}
	}
	s.IDs, s.At = s.IDs[:n:n], s.At[:n:n]
}

// Alert is something to be told.
type Alert struct {
	// Key is what tells it from other alerts of its rule; "" where the rule has no key, or an event none.
	Key string
	// At is the time of the evaluation.
	At      time.Time
	Matches []condition.Match
	More    int // matches that are not in Matches
}

// Outcome is what an evaluation gave.
type Outcome struct {
	State    State
	Alerts   []Alert
	Resolved []string // keys of alerts that are over
	Hits     int64    // events that the queries found, those that were known included
	Late     int64    // events that came late
	Matches  []condition.Match
	Windows  []Window
	// Notes are what the rule has to say about itself, such as that it has forgotten keys.
	Notes []string
}

// Window is a query that was made.
type Window struct {
	Kind       string // search, count, terms, agg
	Start, End time.Time
	Hits       int64
}

// digest says by which options the memory of a condition was made.
func digest(r *rule.Rule) string {
	m := rule.Rule{Type: r.Type, Index: r.Index, Query: r.Query, Filter: r.Filter, Timestamp: r.Timestamp, UseCountQuery: r.UseCountQuery, UseTermsQuery: r.UseTermsQuery,
		QueryKey: r.QueryKey, CompareKey: r.CompareKey, Timeframe: r.Timeframe, FieldValue: r.FieldValue, Cardinality: r.Cardinality, Fields: r.Fields, MetricKey: r.MetricKey,
		MetricType: r.MetricType, First: r.First, Then: r.Then, Source: r.Source, NumEvents: r.NumEvents, Threshold: r.Threshold,
		WindowStep: r.WindowStep, KeywordPostfix: r.KeywordPostfix} // new_term remembers in which step a value was seen
	return hashOf(m)
}
