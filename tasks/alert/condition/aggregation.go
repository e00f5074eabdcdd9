package condition

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks"
)

// Names that the answers of metrics have; whoever asks gives them.
const (
	intervals = "interval_aggs"
	buckets   = "bucket_aggs"
	filters   = "percentage_match_aggs"
)

func missing(what string) error {
	return tasks.WithHint(nil, "the source left out what it was asked for", "there is no %s in the answer", what)
}

// bucketsOf returns the buckets of an aggregation.
func bucketsOf(answer map[string]any, name string) ([]map[string]any, error) {
	agg, ok := answer[name].(map[string]any)
	if !ok {
		return nil, missing(name)
	}
	raw, ok := agg["buckets"].([]any)
	if !ok {
		return nil, missing(name + ".buckets")
	}
	out := make([]map[string]any, len(raw))
	for i, v := range raw {
		if out[i], ok = v.(map[string]any); !ok {
			return nil, missing(fmt.Sprintf("%s.buckets[%d]", name, i))
		}
	}
	return out, nil
}

// eachBucket goes down to the buckets that have no others by key within them, with the values of the key on the way.
func (b *base) eachBucket(answer map[string]any, path []any, do func(path []any, bucket map[string]any) error) error {
	if _, ok := answer[buckets]; !ok {
		return do(path, answer)
	}
	list, err := bucketsOf(answer, buckets)
	if err != nil {
		return err
	}
	for _, bucket := range list {
		k, ok := bucket["key"]
		if !ok {
			return missing(buckets + ".buckets.key")
		}
		if err := b.eachBucket(bucket, append(slices.Clip(path), k), do); err != nil {
			return err
		}
	}
	return nil
}

// eachInterval goes through the buckets of time within a bucket, if there are any; text is the time of each.
func eachInterval(bucket map[string]any, end string, do func(text string, bucket map[string]any) error) error {
	if _, ok := bucket[intervals]; !ok {
		return do(end, bucket)
	}
	list, err := bucketsOf(bucket, intervals)
	if err != nil {
		return err
	}
	for _, b := range list {
		text, ok := bucketTime(b)
		if !ok {
			return missing("time of a bucket")
		}
		if err := do(text, b); err != nil {
			return err
		}
	}
	return nil
}

// metricName is what the rule's metric is called, in answers and in matches.
func (b *base) metricName() string { return "metric_" + b.rule.MetricKey + "_" + b.rule.MetricType }

// metricOf returns the value of the rule's metric in a bucket; null where there was nothing to measure.
func (b *base) metricOf(bucket map[string]any) (any, error) {
	agg, ok := bucket[b.metricName()].(map[string]any)
	if !ok {
		return nil, missing(b.metricName())
	}
	if b.rule.MetricType != "percentiles" {
		v, ok := agg["value"]
		if !ok {
			return nil, missing(b.metricName() + ".value")
		}
		return v, nil
	}
	switch values := agg["values"].(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(values)) {
			if !strings.HasSuffix(name, "_as_string") {
				return values[name], nil
			}
		}
	case []any: // of "keyed": false
		if len(values) > 0 {
			if v, ok := values[0].(map[string]any); ok {
				return v["value"], nil
			}
		}
	}
	return nil, missing(b.metricName() + ".values")
}

// setKey puts the values of the rule's key into a match: a single one as an object where its name has dots, several each under its name
// and all of them joined.
func (b *base) setKey(m Match, path []any) {
	switch {
	case len(path) == 0:
	case len(path) == 1 && len(b.rule.QueryKey) < 2:
		parts := strings.Split(b.rule.Key(), ".")
		var v any = path[0]
		for _, name := range slices.Backward(parts[1:]) {
			v = map[string]any{name: v}
		}
		m[parts[0]] = v
	default:
		for i, v := range path[:min(len(path), len(b.rule.QueryKey))] {
			m[b.rule.QueryKey[i]] = v
		}
		m[b.rule.Key()] = joined(path)
	}
}

// bounds remembers which keys were within their bounds in the last window.
type bounds struct {
	max  int
	well map[string]bool
}

func (b *bounds) begin() { b.well = map[string]bool{} }

// note says of a key that it is well, or that it is not.
func (b *bounds) note(path []any, well bool) {
	name := ""
	switch len(path) {
	case 0:
	case 1:
		name = document.Text(path[0])
	default:
		name = joined(path)
	}
	if _, ok := b.well[name]; ok || len(b.well) < b.max {
		b.well[name] = well
	}
}

// Quiet says whether a key was within its bounds in the last window.
func (b *bounds) Quiet(text string) (well, known bool) {
	well, known = b.well[text]
	return well, known
}

// Save writes the memory.
func (b *bounds) Save() (json.RawMessage, error) { return json.Marshal(b.well) }

// Restore takes the memory up again.
func (b *bounds) Restore(raw json.RawMessage) error {
	b.well = nil
	return restore(raw, &b.well)
}

// outside reports whether a value is out of bounds; what is just at a bound is not.
func outside(f float64, least, most *float64) bool {
	return most != nil && f > *most || least != nil && f < *least
}
