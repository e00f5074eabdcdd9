package message

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// options are those of a rule, by their names in its file, as far as texts may refer to them.
func options(r *rule.Rule, given map[string]any) map[string]any {
	o := map[string]any{"name": r.Name, "type": r.Type, "description": r.Description, "owner": r.Owner, "category": r.Category, "priority": r.Priority}
	text := func(name, value string) {
		if value != "" {
			o[name] = value
		}
	}
	text("index", r.Index)
	text("query_key", r.Key())
	text("compare_key", strings.Join(r.CompareKey, ","))
	text("timestamp_field", r.Timestamp.Field)
	text("spike_type", r.SpikeType)
	text("cardinality_field", r.Cardinality)
	text("metric_agg_key", r.MetricKey)
	text("metric_agg_type", r.MetricType)
	text("rule_file", r.File)
	for name, d := range map[string]time.Duration{"timeframe": r.Timeframe, "realert": r.Realert, "run_every": r.RunEvery, "buffer_time": r.BufferTime, "query_delay": r.QueryDelay} {
		if d != 0 {
			o[name] = timedelta(d)
		}
	}
	for name, n := range map[string]int{"num_events": r.NumEvents, "threshold": r.Threshold} {
		if n != 0 {
			o[name] = n
		}
	}
	if r.SpikeHeight != 0 {
		o["spike_height"] = r.SpikeHeight
	}
	for name, n := range map[string]*float64{"threshold_ref": r.ThresholdRef, "threshold_cur": r.ThresholdCur, "max_threshold": r.MaxThreshold, "min_threshold": r.MinThreshold,
		"max_percentage": r.MaxPercentage, "min_percentage": r.MinPercentage} {
		if n != nil {
			o[name] = *n
		}
	}
	for name, n := range map[string]*int{"max_cardinality": r.MaxCardinality, "min_cardinality": r.MinCardinality} {
		if n != nil {
			o[name] = *n
		}
	}
	maps.Copy(o, given)
	return o
}

// dereference follows a text that is $option$ to what the rule has there.
func dereference(text string, options map[string]any) string {
	if len(text) > 2 && strings.HasPrefix(text, "$") && strings.HasSuffix(text, "$") {
		if v, ok := options[text[1:len(text)-1]]; ok {
			return document.Text(v)
		}
	}
	return text
}

// truthy reports what Python takes for true.
func truthy(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case []any:
		return len(v) > 0
	case map[string]any:
		return len(v) > 0
	}
	n, ok := document.Number(v)
	return !ok || n != 0
}

// timedelta writes a duration as Python does.
func timedelta(d time.Duration) string {
	days := d / (24 * time.Hour)
	if d -= days * 24 * time.Hour; d < 0 {
		days, d = days-1, d+24*time.Hour
	}
	s := fmt.Sprintf("%d:%02d:%02d", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	if micro := d % time.Second / time.Microsecond; micro != 0 {
		s += fmt.Sprintf(".%06d", micro)
	}
	switch {
	case days == 0:
		return s
	case days == 1 || days == -1:
		return fmt.Sprintf("%d day, %s", days, s)
	}
	return fmt.Sprintf("%d days, %s", days, s)
}

// pretty writes a time as ElastAlert does, by the minute.
func pretty(at time.Time, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	return at.In(zone).Format("2006-01-02 15:04 MST")
}
