package evaluate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// aggregations are what a metric's window asks for: its metric, within buckets of time where the rule has them, within those of its key.
func aggregations(r *rule.Rule, start time.Time) map[string]any {
	aggs := metric(r)
	if r.BucketInterval > 0 {
		histogram := map[string]any{"field": r.Timestamp.Field, "fixed_interval": interval(r.BucketInterval)}
		if offset := start.Sub(start.Truncate(r.BucketInterval)); offset > 0 && !r.SyncBuckets {
			histogram["offset"] = "+" + strconv.Itoa(int(offset/time.Second)) + "s"
		}
		aggs = map[string]any{"interval_aggs": map[string]any{"date_histogram": histogram, "aggs": aggs}}
	}
	for _, key := range slices.Backward(r.QueryKey) {
		aggs = map[string]any{"bucket_aggs": map[string]any{"aggs": aggs,
			"terms": map[string]any{"field": key, "size": cmp.Or(r.TermsSize, 50), "min_doc_count": max(r.MinDocCount, 1)}}}
	}
	return aggs
}

// metric is the innermost aggregation, under the name that the type looks for.
func metric(r *rule.Rule) map[string]any {
	if r.Type == rule.PercentageMatch {
		return map[string]any{"percentage_match_aggs": map[string]any{"filters": map[string]any{"other_bucket": true,
			"filters": map[string]any{"match_bucket": map[string]any{"bool": map[string]any{"must": r.MatchBucketFilter}}}}}}
	}
	of := map[string]any{"field": r.MetricKey}
	if r.MetricScript != nil {
		of = map[string]any{"script": r.MetricScript}
	}
	if r.MetricType == "percentiles" {
		of["percents"] = []any{r.PercentileRange}
	}
	return map[string]any{"metric_" + r.MetricKey + "_" + r.MetricType: map[string]any{r.MetricType: of}}
}

// interval writes a length of time as Elasticsearch wants a fixed one.
func interval(d time.Duration) string {
	if d%time.Second != 0 {
		return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// topCounts puts into a match which values of some fields had the most events around it.
func (e *evaluation) topCounts(m condition.Match) error {
	r := e.rule
	if len(r.TopCountKeys) == 0 {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, document.Text(document.Value(m, r.Timestamp.Field)))
	if err != nil {
		at = e.now
	}
	around := r.Timeframe
	switch {
	case r.Type == rule.Flatline: // nothing came within the timeframe
		around *= 2
	case around == 0:
		around = 10 * time.Minute
	}
	q := e.query(span{at.Add(-around), at.Add(10 * time.Minute)})
	q.Filter = slices.Clone(q.Filter)
	for _, field := range r.QueryKey {
		if v := document.Value(m, field); v != nil {
			q.Filter = append(q.Filter, map[string]any{"term": map[string]any{keyword(r, field): v}})
		}
	}
	for _, field := range r.TopCountKeys {
		n := r.TopCountNumber
		if n == 0 {
			n = 5
		}
		field = keyword(r, field)
		answer, _, err := e.src.Aggregate(e.ctx, q, map[string]any{"counts": map[string]any{"terms": map[string]any{"field": field, "size": n}}})
		if err != nil {
			return fmt.Errorf("count the values of %s: %w", field, err)
		}
		top := map[string]any{}
		counts, _ := answer["counts"].(map[string]any)
		buckets, _ := counts["buckets"].([]any)
		for _, b := range buckets {
			if b, ok := b.(map[string]any); ok {
				top[document.Text(b["key"])] = b["doc_count"]
			}
		}
		m["top_events_"+field] = top
	}
	return nil
}

// keyword names the exact form of a text field, where the rule wants that.
func keyword(r *rule.Rule, field string) string {
	if n := len(field) - len(document.Keyword); r.RawCountKeys && (n < 0 || field[n:] != document.Keyword) {
		return field + document.Keyword
	}
	return field
}
