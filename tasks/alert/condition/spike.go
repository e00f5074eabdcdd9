package condition

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// spike: a timeframe that has spike_height times as many events as the one before it, or that fraction of them, is a match: the oldest
// event of the later one. It says nothing until two timeframes have passed since a key was first seen, and since its last match.
type spike struct {
	base
	memory spikes
}

type spikes struct {
	Keys keys[pair] `json:"keys"`
	// Filled says that some key has once been watched for two timeframes, from when on new keys are compared with nothing where the rule
	// says alert_on_new_data.
	Filled bool `json:"filled,omitempty"`
}

// pair is the two windows of a key, and what keeps it from being compared; times are in nanoseconds since 1970.
type pair struct {
	Before window `json:"b"`
	Now    window `json:"n"`
	First  *int64 `json:"f,omitempty"`
	Not    *int64 `json:"not,omitempty"` // new data is not compared until then
}

func newSpike(b base, o Options) *spike {
	return &spike{base: b, memory: spikes{Keys: newKeys[pair](o.MaxKeys)}}
}

// other is the key of events that have none.
const other = "other"

// AddData takes events.
func (c *spike) AddData(events []source.Hit) error {
	for _, e := range events {
		n := 1.0
		if c.rule.FieldValue != "" {
			var ok bool
			if n, ok = truncated(document.Value(e.Doc, c.rule.FieldValue)); !ok {
				continue
			}
		}
		value, none := c.key(e.Doc)
		if value == nil {
			value = other
		}
		p := counted(e.At, n)
		p.doc, p.text = e.Doc, timeOf(e, c.field)
		c.add(p, value, none)
	}
	return nil
}

// truncated returns a number, or a text that is a whole one, without its fraction, and whether there is one.
func truncated(v any) (float64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return float64(n), err == nil
	}
	f, ok := document.Number(v)
	if !ok || f != f || f > 1e300 || f < -1e300 {
		return 0, false
	}
	if -1<<53 < f && f < 1<<53 {
		f = float64(int64(f))
	}
	return f, true
}

// AddCount takes a count.
func (c *spike) AddCount(end time.Time, n int64) error {
	c.add(counted(end, float64(n)), keyless, true)
	return nil
}

// AddTerms takes counts of the values of the key.
func (c *spike) AddTerms(end time.Time, buckets []source.Bucket) error {
	for _, b := range buckets {
		c.add(counted(end, float64(b.Count)), b.Key, false)
	}
	return nil
}

func (c *spike) add(p point, value any, none bool) {
	k, _ := c.memory.Keys.see(value, none)
	c.handle(k, p)
}

// limit is how many points a window has: less of them where there are many keys.
func (c *spike) limit() int {
	return max(20, min(maxPoints, 100*maxPoints/max(c.memory.Keys.len(), 1)))
}

func (c *spike) handle(k *key[pair], p point) {
	s, frame := k.state, c.rule.Timeframe
	if s.First == nil {
		s.First = &p.at
	}
	if s.Now.empty() && s.Before.empty() {
		c.memory.Keys.renew(k)
	}
	limit := c.limit()
	s.Now.add(p, frame, limit, func(old point) {
		old.doc, old.text = nil, ""
		s.Before.add(old, frame, limit, nil)
	})
	if p.at-*s.First < 2*int64(frame) {
		if !c.memory.Filled || len(c.rule.QueryKey) == 0 || !c.rule.AlertOnNewData || s.Not != nil && p.at < *s.Not {
			return
		}
	} else {
		c.memory.Filled = true
	}
	before, now, known := c.values(s)
	if !known || !c.spikes(before, now) {
		return
	}
	first := c.shown(&s.Now)
	m := c.match(k, first)
	m["spike_count"], m["reference_count"] = c.written(now), c.written(before)
	c.found(m)
	not := first.at + 2*int64(frame)
	s.Before, s.First, s.Not = window{}, nil, &not
}

// values returns what is compared, and whether there is something on both sides.
func (c *spike) values(s *pair) (before, now float64, known bool) {
	of := func(w *window) (float64, bool) { return w.sum, true }
	switch {
	case c.rule.FieldValue != "" || c.metric() == "avg":
		of = (*window).mean
	case c.metric() == "min":
		of = (*window).least
	case c.metric() == "max":
		of = (*window).greatest
	}
	before, ok1 := of(&s.Before)
	now, ok2 := of(&s.Now)
	return before, now, ok1 && ok2
}

func (c *spike) metric() string {
	if c.rule.Type == rule.SpikeAggregation {
		return c.rule.MetricType
	}
	return ""
}

// spikes reports whether the values are far enough apart. Nothing after nothing is no growth; that there is nothing, still, is a fall to
// those who watch for one.
func (c *spike) spikes(before, now float64) bool {
	if c.rule.FieldValue != "" {
		if before == 0 || now == 0 {
			return false
		}
	} else if now < orZero(c.rule.ThresholdCur) || before < orZero(c.rule.ThresholdRef) {
		return false
	}
	up := now >= before*c.rule.SpikeHeight && (before != 0 || now != 0)
	down := now <= before/c.rule.SpikeHeight
	return up && c.rule.SpikeType != "down" || down && c.rule.SpikeType != "up"
}

func orZero(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// shown returns the point that a match shows: the oldest of the window that counts, or else the newest.
func (c *spike) shown(w *window) *point {
	for i := range w.points {
		if p := &w.points[i]; p.n != 0 || c.rule.FieldValue != "" && !p.mark {
			return p
		}
	}
	return w.newest()
}

func (c *spike) match(k *key[pair], p *point) Match {
	m := c.event(p, k.value, k.name == "")
	if p.mark {
		m["placeholder"] = true
	}
	return m
}

// written writes a count without a fraction, and a mean with one.
func (c *spike) written(f float64) json.Number {
	if c.rule.FieldValue != "" || c.metric() == "avg" {
		return json.Number(document.Text(f))
	}
	return whole(f)
}

// Collect moves the windows of each key up to a time, and gives up those of keys that have nothing in them.
func (c *spike) Collect(end time.Time) error {
	for _, k := range c.memory.Keys.all() {
		s := k.state
		if s.Now.empty() && s.Before.empty() {
			continue
		}
		if k.name != "" && s.Before.sum == 0 && s.Now.sum == 0 {
			s.Before, s.Now = window{}, window{}
			continue
		}
		c.handle(k, point{at: end.UnixNano(), mark: true})
	}
	return nil
}

// Forgotten returns how many keys were forgotten because there were more than are remembered.
func (c *spike) Forgotten() int { return c.memory.Keys.forgotten }

// Save writes the memory.
func (c *spike) Save() (json.RawMessage, error) {
	room := budget(MaxDocuments)
	for _, k := range c.memory.Keys.latest() {
		points := k.state.Now.points
		for i := range points {
			points[i].doc = room.keep(points[i].doc)
		}
	}
	return json.Marshal(&c.memory)
}

// Restore takes the memory up again.
func (c *spike) Restore(raw json.RawMessage) error {
	c.memory = spikes{Keys: newKeys[pair](c.memory.Keys.max)}
	return restore(raw, &c.memory)
}
