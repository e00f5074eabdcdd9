package replay_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// ruleOf reads the options of a table's rule that types go by. The tables know what is left out here: names, indexes, alerts.
func ruleOf(options map[string]any) (*rule.Rule, error) {
	r := &rule.Rule{Name: "r", FilterByList: true, BufferTime: 15 * time.Minute, RunEvery: time.Minute, KeywordPostfix: true,
		TermsWindow: 30 * 24 * time.Hour, WindowStep: 24 * time.Hour, Timestamp: rule.Timestamp{Field: "@timestamp", Type: "iso"}}
	if t := options["type"]; t == "whitelist" || t == "change" {
		if _, ok := options["ignore_null"]; !ok {
			return nil, errors.New("ignore_null is missing")
		}
	}
	for name, v := range options {
		if err := option(r, name, v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

func option(r *rule.Rule, name string, v any) error {
	texts := map[string]*string{"type": &r.Type, "timestamp_field": &r.Timestamp.Field, "timestamp_type": &r.Timestamp.Type, "timestamp_format": &r.Timestamp.Format,
		"spike_type": &r.SpikeType, "field_value": &r.FieldValue, "cardinality_field": &r.Cardinality, "metric_agg_key": &r.MetricKey, "metric_agg_type": &r.MetricType,
		"metric_format_string": &r.MetricFormat, "percentage_format_string": &r.PercentageFormat}
	durations := map[string]*time.Duration{"timeframe": &r.Timeframe, "buffer_time": &r.BufferTime, "bucket_interval": &r.BucketInterval, "terms_window_size": &r.TermsWindow,
		"window_step_size": &r.WindowStep}
	flags := map[string]*bool{"ignore_null": &r.IgnoreNull, "use_count_query": &r.UseCountQuery, "use_terms_query": &r.UseTermsQuery, "forget_keys": &r.ForgetKeys,
		"alert_on_new_data": &r.AlertOnNewData, "alert_on_missing_field": &r.AlertOnMissing, "attach_related": &r.AttachRelated, "filter_by_list": &r.FilterByList,
		"use_keyword_postfix": &r.KeywordPostfix}
	ints := map[string]*int{"num_events": &r.NumEvents, "threshold": &r.Threshold, "min_denominator": &r.MinDenominator}
	floats := map[string]**float64{"threshold_cur": &r.ThresholdCur, "threshold_ref": &r.ThresholdRef, "max_threshold": &r.MaxThreshold, "min_threshold": &r.MinThreshold,
		"max_percentage": &r.MaxPercentage, "min_percentage": &r.MinPercentage}
	f, _ := document.Number(v)
	n := int(f)
	switch {
	case texts[name] != nil:
		*texts[name] = v.(string)
	case durations[name] != nil:
		*durations[name] = 0
		for unit, n := range v.(map[string]any) {
			f, _ := document.Number(n)
			*durations[name] += time.Duration(f * float64(map[string]time.Duration{"milliseconds": time.Millisecond, "seconds": time.Second, "minutes": time.Minute,
				"hours": time.Hour, "days": 24 * time.Hour}[unit]))
		}
	case flags[name] != nil:
		*flags[name] = v.(bool)
	case ints[name] != nil:
		*ints[name] = n
	case floats[name] != nil:
		*floats[name] = &f
	default:
		switch name {
		case "query_key":
			r.QueryKey = strings(v)
		case "compare_key":
			r.CompareKey = strings(v)
		case "blacklist", "whitelist":
			r.List = v.([]any)
		case "fields":
			for _, x := range v.([]any) {
				r.Fields = append(r.Fields, strings(x))
			}
		case "spike_height":
			r.SpikeHeight = f
		case "percentile_range":
			r.PercentileRange = f
		case "max_cardinality":
			r.MaxCardinality = &n
		case "min_cardinality":
			r.MinCardinality = &n
		case "match_bucket_filter":
			r.MatchBucketFilter = v
		default:
			return errors.New("not known")
		}
	}
	return nil
}

func strings(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var out []string
	for _, x := range v.([]any) {
		out = append(out, x.(string))
	}
	return out
}
