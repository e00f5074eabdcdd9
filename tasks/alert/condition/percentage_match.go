package condition

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// percentage: a share of events out of bounds is a match, if there are min_denominator of them, and any at all.
type percentage struct {
	base
	bounds
}

func newPercentage(b base, o Options) *percentage { return &percentage{b, bounds{max: o.MaxKeys}} }

// Quiet says whether a key was within its bounds in the last window.
func (c *percentage) Quiet(text string) (well, known bool) { return c.bounds.Quiet(text) }

// Save writes the memory.
func (c *percentage) Save() (json.RawMessage, error) { return c.bounds.Save() }

// Restore takes the memory up again.
func (c *percentage) Restore(raw json.RawMessage) error { return c.bounds.Restore(raw) }

// AddData refuses events.
func (c *percentage) AddData(e []source.Hit) error { return c.base.AddData(e) }

// AddAggregation takes how many events there are of both kinds, for each bucket of the key and of time where there are such.
func (c *percentage) AddAggregation(end time.Time, payload map[string]any) error {
	c.begin()
	return c.eachBucket(payload, nil, func(path []any, bucket map[string]any) error {
		return eachInterval(bucket, TimeText(end), func(text string, bucket map[string]any) error {
			yes, no, known, err := shares(bucket)
			if err != nil || !known || yes+no == 0 || yes+no < float64(c.rule.MinDenominator) {
				return err
			}
			share := yes / (yes + no) * 100
			bad := outside(share, c.rule.MinPercentage, c.rule.MaxPercentage)
			c.note(path, !bad)
			if !bad {
				return nil
			}
			m := Match{c.field: text, "percentage": json.Number(document.Text(share)), "denominator": whole(yes + no)}
			if c.rule.PercentageFormat != "" {
				formatted, err := Format(c.rule.PercentageFormat, share)
				if err != nil {
					return err
				}
				m["percentage_formatted"] = formatted
			}
			c.setKey(m, path)
			c.found(m)
			return nil
		})
	})
}

// shares returns how many events of a bucket are of the one kind and how many of the other; null is not known.
func shares(bucket map[string]any) (yes, no float64, known bool, err error) {
	agg, _ := bucket[filters].(map[string]any)
	kinds, _ := agg["buckets"].(map[string]any)
	counts := [2]float64{}
	for i, name := range []string{"match_bucket", "_other_"} {
		kind, ok := kinds[name].(map[string]any)
		if !ok {
			return 0, 0, false, missing(filters + ".buckets." + name)
		}
		v, ok := kind["doc_count"]
		if !ok {
			return 0, 0, false, missing(filters + ".buckets." + name + ".doc_count")
		}
		if counts[i], ok = document.Number(v); !ok {
			return 0, 0, false, nil
		}
	}
	return counts[0], counts[1], true, nil
}
