// Package condition decides which events are matches of a rule: the types of rules, each as a value that is fed with what a source
// found, and whose memory can be written down. It knows nothing of queries, alerts or time besides what it is told, so that the same
// events and the same memory give the same matches, whichever process asks.
package condition

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/tasks/alert/source"
)

// Match is what a rule found: the document of an event, or one that was made of counts, with what its type adds. Its time stands
// in the rule's timestamp field, as text; see source.Hit.
type Match = map[string]any

// Condition is one rule's type at work. It belongs to one goroutine.
type Condition interface {
	// AddData takes new events, in the order of their times as the source gave them; each event once. Prepare has been called for them.
	AddData(events []source.Hit) error
	// AddCount takes how many events there were in a window that ends at that time.
	AddCount(end time.Time, n int64) error
	// AddTerms takes how many events there were for each value of the rule's key.
	AddTerms(end time.Time, buckets []source.Bucket) error
	// AddAggregation takes an answer of metrics, in the form of Elasticsearch's aggregations. Where they are of buckets of time, those
	// say when.
	AddAggregation(end time.Time, payload map[string]any) error
	// Collect ends a window: everything up to that time has been added.
	Collect(end time.Time) error
	// Matches returns what was found since the last call, oldest first as the type finds them.
	Matches() []Match
	// Quiet returns whether the key of an alert, "" where the rule has none, is well at the end of the last window by the type's own
	// lights (a flatline that is one no more, a metric within its bounds), and whether the type can tell.
	Quiet(key string) (well, known bool)
	// Save returns the memory, which is bounded; Restore takes it up again. Restore of nil begins anew. Matches that nobody has asked for
	// are not part of it. A type that has to forget keys for the sake of the bound has a method Forgotten() int that says how many.
	Save() (json.RawMessage, error)
	Restore(json.RawMessage) error
}

// Baseline is what new_term has to know before its first window: it is asked for once, when the memory is empty.
type Baseline interface {
	Condition
	// NeedsBaseline reports whether it is to be asked for.
	NeedsBaseline() bool
	// AddBaseline takes values that are known for a field of the rule, by its number in Rule.Fields.
	AddBaseline(field int, values []any)
}
