package condition

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// metric: a metric out of bounds is a match. One that is null, because there was nothing to measure, is not.
type metric struct {
	base
	bounds
}

func newMetric(b base, o Options) *metric { return &metric{b, bounds{max: o.MaxKeys}} }

// Quiet says whether a key was within its bounds in the last window.
func (c *metric) Quiet(text string) (well, known bool) { return c.bounds.Quiet(text) }

// Save writes the memory.
func (c *metric) Save() (json.RawMessage, error) { return c.bounds.Save() }

// Restore takes the memory up again.
func (c *metric) Restore(raw json.RawMessage) error { return c.bounds.Restore(raw) }

// AddData refuses events.
func (c *metric) AddData(e []source.Hit) error { return c.base.AddData(e) }

// AddAggregation takes a metric, or one for each bucket of the key and of time.
func (c *metric) AddAggregation(end time.Time, payload map[string]any) error {
	c.begin()
	return c.eachBucket(payload, nil, func(path []any, bucket map[string]any) error {
		return eachInterval(bucket, TimeText(end), func(text string, bucket map[string]any) error {
			v, err := c.metricOf(bucket)
			if err != nil {
				return err
			}
			f, ok := document.Number(v)
			if !ok {
				return nil
			}
			bad := outside(f, c.rule.MinThreshold, c.rule.MaxThreshold)
			c.note(path, !bad)
			if !bad {
				return nil
			}
			several := len(path) > 1
			if several {
				text = TimeText(end)
			}
			m := Match{c.field: text, c.metricName(): v}
			if !several { // with a key of several parts it is under the metric's name alone
				m["metric_agg_value"] = v
			}
			if c.rule.MetricFormat != "" {
				formatted, err := Format(c.rule.MetricFormat, v)
				if err != nil {
					return err
				}
				m[c.metricName()+"_formatted"], m["metric_agg_value_formatted"] = formatted, formatted
			}
			c.setKey(m, path)
			c.found(m)
			return nil
		})
	})
}
