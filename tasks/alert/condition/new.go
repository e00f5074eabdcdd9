package condition

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// Bounds of a memory, where Options do not say otherwise.
const (
	// MaxKeys is how many values of a rule's key are remembered; those that were seen longest ago are forgotten first.
	MaxKeys = 10_000
	// MaxTerms is how many values new_term remembers.
	MaxTerms = 100_000
	// MaxDocuments is how many bytes of events are remembered that a match may have to show. Of those that are forgotten a match has
	// the time and the key.
	MaxDocuments = 4 << 20
)

// Options are what a condition does not know by itself. The zero value is good for all types but absence.
type Options struct {
	// Matches reports whether a filter of absence holds for an event.
	Matches func(filter, doc map[string]any) (bool, error)
	MaxKeys int // 0 is MaxKeys
}

// New makes the condition of a rule, with an empty memory. The error says what the rule lacks; it has a hint.
func New(r *rule.Rule, options ...Options) (Condition, error) {
	var o Options
	if len(options) > 0 {
		o = options[0]
	}
	o.MaxKeys = cmp.Or(o.MaxKeys, MaxKeys)
	if err := check(r); err != nil {
		return nil, err
	}
	b := base{rule: r, field: cmp.Or(r.Timestamp.Field, "@timestamp")}
	switch r.Type {
	case rule.Any:
		return &anyEvent{b}, nil
	case rule.Blacklist:
		return newBlacklist(b), nil
	case rule.Whitelist:
		return newWhitelist(b), nil
	case rule.Change:
		return newChange(b, o), nil
	case rule.Frequency:
		return newFrequency(b, o), nil
	case rule.Flatline:
		return newFlatline(b, o), nil
	case rule.Spike:
		return newSpike(b, o), nil
	case rule.NewTerm:
		return newNewTerm(b), nil
	case rule.Cardinality:
		return newCardinality(b, o), nil
	case rule.MetricAggregation:
		return newMetric(b, o), nil
	case rule.SpikeAggregation:
		return newSpikeAggregation(b, o), nil
	case rule.PercentageMatch:
		return newPercentage(b, o), nil
	case rule.Absence:
		if o.Matches == nil {
			return nil, fmt.Errorf("condition: absence has no way to look at filters")
		}
		return newAbsence(b, o), nil
	}
	return nil, tasks.WithHint(nil, "the types are any, blacklist, whitelist, change, frequency, spike, flatline, new_term, cardinality, metric_aggregation, spike_aggregation, percentage_match and absence",
		"rule %s: there is no type %q", r.Name, r.Type)
}

// base is what all types have: the rule, the matches that were found, and the refusal of data that the type has no use for.
type base struct {
	rule    *rule.Rule
	field   string // the timestamp field
	matches []Match
}

func (b *base) useless(what string) error {
	return tasks.Permanent(tasks.WithHint(nil, "leave out use_count_query and use_terms_query: this type does not know them",
		"rule %s: a rule of type %s can do nothing with %s", b.rule.Name, b.rule.Type, what))
}

// AddData refuses events.
func (b *base) AddData([]source.Hit) error { return b.useless("events") }

// AddCount refuses counts.
func (b *base) AddCount(time.Time, int64) error { return b.useless("a count of events") }

// AddTerms refuses counts of values.
func (b *base) AddTerms(time.Time, []source.Bucket) error { return b.useless("counts of values") }

// AddAggregation refuses metrics.
func (b *base) AddAggregation(time.Time, map[string]any) error { return b.useless("metrics") }

// Collect has nothing to end.
func (b *base) Collect(time.Time) error { return nil }

// Matches returns what was found, and forgets it.
func (b *base) Matches() []Match {
	m := b.matches
	b.matches = nil
	return m
}

// Quiet cannot tell.
func (b *base) Quiet(string) (well, known bool) { return false, false }

// Save has nothing to remember.
func (b *base) Save() (json.RawMessage, error) { return json.RawMessage("null"), nil }

// Restore has nothing to take up.
func (b *base) Restore(json.RawMessage) error { return nil }

func (b *base) found(m Match) { b.matches = append(b.matches, m) }

// key returns the value of the rule's key that an event has; keyless where the rule has no key.
func (b *base) key(doc map[string]any) (value any, none bool) {
	if len(b.rule.QueryKey) == 0 {
		return keyless, true
	}
	return document.Value(doc, b.rule.Key()), false
}

// made is the document of something that is not an event: its time, and the value of the key where there is one.
func (b *base) made(at string, value any, none bool) Match {
	m := Match{b.field: at}
	if !none {
		m[b.rule.Key()] = value
	}
	return m
}
