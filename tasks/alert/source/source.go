// Package source says what a rule asks of the place where its events are, and holds the ways of asking: Elasticsearch and OpenSearch,
// Prometheus, SQL databases, and events of a file.
//
// A source answers wholly or not at all: hits that are missing, a shard that failed, an aggregation that is not in the answer, a time
// that ran out are errors, never fewer events. Null and zero are told apart.
package source

import (
	"context"
	"time"
)

// Query is a window of a rule's events.
type Query struct {
	Index string // as the source knows it, dates filled in; commas separate several
	Text  string // of a source that is asked in its own words
	// Step is how far apart the samples of a source are that has values at all times (Prometheus); 0 is DefaultStep. Windows that follow
	// one another need the same one; see StepFor.
	Step   time.Duration
	Filter []map[string]any // each of them has to hold; queries of Elasticsearch
	// Field carries the time of an event, in the form of Type (iso, unix, unix_ms, custom) and, of custom, Format.
	Field, Type, Format string
	IDField             string
	// Start and End are the window (Start, End].
	Start, End time.Time
	// Known is the end of what has been read before, if it is after Start: Search counts the hits up to it, and gives those after it.
	Known    time.Time
	Include  []string // fields of a hit; none means all
	PageSize int      // hits of one page; 0 is the source's default
}

// Hit is an event.
type Hit struct {
	// ID names it within its index; events without one have "".
	ID    string
	Index string
	At    time.Time
	// Doc is the event as it was written, numbers as json.Number, the time in Field as text: RFC 3339 in UTC with a Z, or with the offset
	// that the event itself has. _id and _index are among its fields where there are any.
	Doc map[string]any
}

// Found is what Search says besides the hits.
type Found struct {
	Known int64 // hits up to Query.Known
	New   int64 // hits after it, each of which was given
}

// Bucket is a value and how many events have it.
type Bucket struct {
	Key   any   `json:"key"`
	Count int64 `json:"doc_count"`
}

// Source answers queries. It may be asked by many at the same time. An error that no later try can help with, such as a query that
// cannot be understood, is marked by tasks.Permanent.
type Source interface {
	// Search gives the hits of a window, a page at a time, by time.
	Search(ctx context.Context, q Query, page func([]Hit) error) (Found, error)
	// Count returns how many there are.
	Count(ctx context.Context, q Query) (int64, error)
	// Terms returns the values of a field that at least least events have, all of them; more than limit are an error.
	Terms(ctx context.Context, q Query, field string, least, limit int) ([]Bucket, error)
	// Aggregate returns the answer to aggregations, numbers as json.Number, and how many events they are of.
	Aggregate(ctx context.Context, q Query, aggs map[string]any) (answer map[string]any, events int64, err error)
}
