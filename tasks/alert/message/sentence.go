package message

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// sentence is what a rule's type says of a match; "" where it says nothing.
func (w *writer) sentence(m condition.Match) string {
	r := w.r
	at, ago := w.times(m)
	switch r.Type {
	case rule.Frequency:
		return fmt.Sprintf("At least %d events occurred between %s and %s\n\n", r.NumEvents, ago, at)
	case rule.Flatline:
		return fmt.Sprintf("An abnormally low number of events occurred around %s.\nBetween %s and %s, there were less than %d events.\n\n", at, ago, at, r.Threshold)
	case rule.Cardinality:
		if r.MaxCardinality != nil {
			return fmt.Sprintf("A maximum of %d unique %s(s) occurred since last alert or between %s and %s\n\n", *r.MaxCardinality, r.Cardinality, ago, at)
		}
		if r.MinCardinality != nil {
			return fmt.Sprintf("Less than %d unique %s(s) occurred since last alert or between %s and %s\n\n", *r.MinCardinality, r.Cardinality, ago, at)
		}
	case rule.Spike:
		if r.FieldValue != "" {
			return fmt.Sprintf("An abnormal average value (%.2f) of field '%s' occurred around %s.\nPreceding that time, the field had an average value of (%.2f) within %s\n\n",
				number(m["spike_count"]), r.FieldValue, at, number(m["reference_count"]), timedelta(r.Timeframe))
		}
		return fmt.Sprintf("An abnormal number (%d) of events occurred around %s.\nPreceding that time, there were only %d events within %s\n\n",
			int64(number(m["spike_count"])), at, int64(number(m["reference_count"])), timedelta(r.Timeframe))
	case rule.SpikeAggregation:
		return fmt.Sprintf("An abnormal %s of %s (%s) occurred around %s.\nPreceding that time, there was a %s of %s of (%s) within %s\n\n",
			r.MetricType, r.MetricKey, rounded(m["spike_count"]), at, r.MetricType, r.MetricKey, rounded(m["reference_count"]), timedelta(r.Timeframe))
	case rule.MetricAggregation:
		key := "metric_" + r.MetricKey + "_" + r.MetricType
		return fmt.Sprintf("Threshold violation, %s:%s %s (min: %s max : %s) \n\n", r.MetricType, r.MetricKey, formatted(m, key), w.bound("min_threshold"), w.bound("max_threshold"))
	case rule.PercentageMatch:
		return fmt.Sprintf("Percentage violation, value: %s (min: %s max : %s) of %s items\n\n", formatted(m, "percentage"), w.bound("min_percentage"), w.bound("max_percentage"),
			document.Text(m["denominator"]))
	case rule.Absence:
		return fmt.Sprintf("What should have followed the event of %s has not come within %s.\n\n", at, timedelta(r.Timeframe))
	}
	return ""
}

// times are when a match was, and the rule's timeframe before that.
func (w *writer) times(m condition.Match) (at, ago string) {
	text, _ := document.Value(m, w.r.Timestamp.Field).(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text, text + " - " + timedelta(w.r.Timeframe)
	}
	return pretty(t, w.zone), pretty(t.Add(-w.r.Timeframe), w.zone)
}

func number(v any) float64 {
	n, _ := document.Number(v)
	return n
}

// rounded is Python's round to two digits: a whole number stays one.
func rounded(v any) string {
	n, ok := document.Number(v)
	text := document.Text(v)
	if !ok || !strings.ContainsAny(text, ".e") {
		return text
	}
	return document.Text(math.RoundToEven(n*100) / 100)
}

// formatted is a value in the form that the rule gives it, if it does.
func formatted(m condition.Match, key string) string {
	if v, ok := m[key+"_formatted"]; ok {
		return document.Text(v)
	}
	return document.Text(m[key])
}

// bound is a threshold as a person writes it: 10, not 10.0.
func (w *writer) bound(name string) string {
	if f, ok := w.options[name].(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return document.Text(w.options[name])
}
