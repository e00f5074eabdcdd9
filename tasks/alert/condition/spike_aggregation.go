package condition

import (
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// spikeAggregation: spike, of a metric. A window in which there was nothing to measure says only that time has passed.
type spikeAggregation struct{ spike }

func newSpikeAggregation(b base, o Options) *spikeAggregation {
	return &spikeAggregation{*newSpike(b, o)}
}

// AddData refuses events.
func (c *spikeAggregation) AddData(e []source.Hit) error { return c.base.AddData(e) }

// AddCount refuses counts.
func (c *spikeAggregation) AddCount(end time.Time, n int64) error { return c.base.AddCount(end, n) }

// AddTerms refuses counts of values.
func (c *spikeAggregation) AddTerms(end time.Time, b []source.Bucket) error {
	return c.base.AddTerms(end, b)
}

// AddAggregation takes a metric, or one for each value of the key.
func (c *spikeAggregation) AddAggregation(end time.Time, payload map[string]any) error {
	return c.eachBucket(payload, nil, func(path []any, bucket map[string]any) error {
		v, err := c.metricOf(bucket)
		if err != nil {
			return err
		}
		p := point{at: end.UnixNano()}
		if f, ok := document.Number(v); ok {
			p = counted(end, f)
		}
		switch len(path) {
		case 0:
			c.add(p, keyless, true)
		case 1:
			c.add(p, path[0], false)
		default:
			c.add(p, joined(path), false)
		}
		return nil
	})
}

// joined is how the values of a key with several parts stand in the matches of metrics.
func joined(path []any) string {
	texts := make([]string, len(path))
	for i, v := range path {
		texts[i] = document.Text(v)
	}
	return strings.Join(texts, ",")
}
