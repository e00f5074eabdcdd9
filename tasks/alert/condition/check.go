package condition

import (
	"slices"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// The metrics that Elasticsearch is asked for.
var metricTypes = []string{"min", "max", "avg", "sum", "cardinality", "value_count", "percentiles"}

// check looks for what a type cannot do without. The reading of rule files says the same, with file and line; this is for rules that come
// another way.
func check(r *rule.Rule) error {
	wrong := func(hint, format string, args ...any) error {
		return tasks.WithHint(nil, hint, "rule "+r.Name+": "+format, args...)
	}
	timed := []string{rule.Frequency, rule.Spike, rule.Flatline, rule.Cardinality, rule.SpikeAggregation, rule.Absence}
	if slices.Contains(timed, r.Type) && r.Timeframe <= 0 {
		return wrong("write, for example, timeframe: {minutes: 5}", "a rule of type %s needs a timeframe", r.Type)
	}
	switch r.Type {
	case rule.Blacklist, rule.Whitelist, rule.Change:
		if len(r.CompareKey) == 0 {
			return wrong("compare_key names the field that is compared", "a rule of type %s needs a compare_key", r.Type)
		}
	case rule.Frequency:
		if r.NumEvents < 1 {
			return wrong("num_events is how many events within timeframe are a match", "num_events has to be 1 or more")
		}
	case rule.Spike:
		return checkSpike(r, wrong)
	case rule.NewTerm:
		if len(fieldsOf(r)) == 0 {
			return wrong("fields names the fields whose new values are matches", "a rule of type new_term needs fields, or a query_key")
		}
		if r.UseTermsQuery && (len(fieldsOf(r)) != 1 || len(fieldsOf(r)[0]) != 1 || len(r.QueryKey) > 1) {
			return wrong("leave out use_terms_query, or name one field", "use_terms_query asks for the values of a single field")
		}
	case rule.Cardinality:
		if r.Cardinality == "" {
			return wrong("cardinality_field names the field whose values are counted", "a rule of type cardinality needs a cardinality_field")
		}
		if r.MaxCardinality == nil && r.MinCardinality == nil {
			return wrong("give one of them, or both", "a rule of type cardinality needs max_cardinality or min_cardinality")
		}
	case rule.MetricAggregation:
		if r.MaxThreshold == nil && r.MinThreshold == nil {
			return wrong("give one of them, or both", "a rule of type metric_aggregation needs max_threshold or min_threshold")
		}
		return checkMetric(r, wrong)
	case rule.SpikeAggregation:
		if r.BucketInterval != 0 {
			return wrong("leave out bucket_interval: each window gives one value", "a rule of type spike_aggregation has no bucket_interval")
		}
		if err := checkMetric(r, wrong); err != nil {
			return err
		}
		return checkSpike(r, wrong)
	case rule.PercentageMatch:
		if r.MaxPercentage == nil && r.MinPercentage == nil {
			return wrong("give one of them, or both", "a rule of type percentage_match needs max_percentage or min_percentage")
		}
		return checkBuckets(r, wrong)
	case rule.Absence:
		if len(r.First) == 0 || len(r.Then) == 0 {
			return wrong("first: is the filter of the event that begins the wait, then: that of the one that ends it", "a rule of type absence needs first and then")
		}
	}
	return nil
}

type complaint func(hint, format string, args ...any) error

func checkSpike(r *rule.Rule, wrong complaint) error {
	if r.SpikeHeight <= 0 {
		return wrong("spike_height is by which factor the events have to grow or shrink, for example 3", "spike_height has to be more than 0")
	}
	if !slices.Contains([]string{"up", "down", "both"}, r.SpikeType) {
		return wrong("it is up, down or both", "there is no spike_type %q", r.SpikeType)
	}
	return nil
}

func checkMetric(r *rule.Rule, wrong complaint) error {
	if r.MetricKey == "" {
		return wrong("metric_agg_key names the field", "a rule of type %s needs a metric_agg_key", r.Type)
	}
	if !slices.Contains(metricTypes, r.MetricType) {
		return wrong("it is min, max, avg, sum, cardinality, value_count or percentiles", "there is no metric_agg_type %q", r.MetricType)
	}
	if r.MetricType == "percentiles" && r.PercentileRange <= 0 {
		return wrong("for example 95", "percentiles need a percentile_range")
	}
	return checkBuckets(r, wrong)
}

// checkBuckets wants whole buckets in a window, as one that is cut says nothing.
func checkBuckets(r *rule.Rule, wrong complaint) error {
	window, name := r.BufferTime, "buffer_time"
	if r.UseRunEverySize {
		window, name = r.RunEvery, "run_every"
	}
	if r.BucketInterval < 0 || r.BucketInterval > 0 && window%r.BucketInterval != 0 {
		return wrong("choose a bucket_interval that goes into "+name+" without a rest", "%s (%v) is not a multiple of bucket_interval (%v)", name, window, r.BucketInterval)
	}
	return nil
}
