package source

import (
	"context"
	"strconv"
	"time"

	"github.com/stint-run/stint/internal/promsource"
	"github.com/stint-run/stint/tasks"
)

// DefaultStep is how far apart the samples of a Prometheus source are when nobody says.
const DefaultStep = 15 * time.Second

// StepFor returns the step for a rule that is evaluated each so often: DefaultStep, or less where the rule is in more of a hurry.
func StepFor(runEvery time.Duration) time.Duration {
	if runEvery > 0 && runEvery < DefaultStep {
		return max(runEvery.Truncate(time.Millisecond), time.Millisecond)
	}
	return DefaultStep
}

// NewPrometheus makes a source of a server that speaks the API of Prometheus; the client stays the caller's. The events of a rule are
// the samples of its expression (Query.Text) at each multiple of Query.Step, counted from 1970: so windows that follow one another
// have each sample once, whatever their length.
//
// An event has the labels of its series as fields, and value. A value that is NaN is null, an infinite one is 1e300 or -1e300, and
// value_text says what it was. A label that has the name of a field of ours has exported_ in front of it. The id of an event is made
// of its labels and its time. Filters and metrics are looked at here.
func NewPrometheus(client *promsource.Client) Source { return &scanned{promFeed{client}} }

// The fields of an event of Prometheus, besides its labels and its time.
const (
	fieldValue     = "value"
	fieldValueText = "value_text"
)

// promFeed reads samples.
type promFeed struct{ client *promsource.Client }

// each implements feed.
func (p promFeed) each(ctx context.Context, q Query, event func(Hit) error) error {
	if q.Text == "" {
		return tasks.Permanent(tasks.WithHint(nil, "write query: with an expression of PromQL", "the rule does not say what to ask Prometheus for"))
	}
	step := q.Step
	if step <= 0 {
		step = DefaultStep
	}
	return p.client.Range(ctx, q.Text, q.Start, q.End, step, func(s promsource.Sample) error {
		return event(sampleEvent(s, q.Field))
	})
}

// count implements feed: how many samples an expression has is only known from the samples.
func (promFeed) count(context.Context, Query) (int64, bool, error) { return 0, false, nil }

// sampleEvent makes an event of a sample.
func sampleEvent(s promsource.Sample, timeField string) Hit {
	doc := make(map[string]any, len(s.Labels)+4)
	for name, value := range s.Labels {
		switch name {
		case fieldValue, fieldValueText, timeField, "_id", "_index":
			name = "exported_" + name // as Prometheus itself does where a label of a target meets one of its own
		}
		doc[name] = value
	}
	doc[fieldValue] = floatValue(s.Value)
	if text := strconv.FormatFloat(s.Value, 'g', -1, 64); text == "NaN" || text == "+Inf" || text == "-Inf" {
		doc[fieldValueText] = text
	}
	doc[timeField] = timeText(s.At)
	return named(Hit{ID: s.Series + "-" + strconv.FormatInt(s.At.UnixMilli(), 10), At: s.At, Doc: doc})
}
