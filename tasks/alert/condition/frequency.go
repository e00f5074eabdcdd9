package condition

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// tally counts what there was within the last timeframe of one key. Its newest point has the document of the newest event.
type tally struct {
	Window window `json:"w"`
	// Since is, for flatline, the time from which on there is something to miss; 0 while that has not begun.
	Since int64 `json:"since,omitempty"`
	// Count is, for flatline, how many there were at the end of the last window.
	Count int64 `json:"count,omitempty"`
}

// add counts a point. One that counts nothing is kept only while it is the newest: it says how far time has come.
func (t *tally) add(p point, frame time.Duration, related bool) {
	w := &t.Window
	if !w.empty() {
		last := w.newest()
		switch {
		case p.at < last.at && p.n == 0:
			return
		case p.at >= last.at && last.n == 0:
			w.real -= last.real
			w.points = w.points[:len(w.points)-1]
		case p.at >= last.at && !related:
			last.doc, last.text = nil, ""
		}
	}
	if !w.empty() && p.at < w.newest().at && !related {
		p.doc, p.text = nil, ""
	}
	w.add(p, frame, maxPoints, nil)
}

// frequency: num_events events within a timeframe are a match, and counting begins anew.
type frequency struct {
	base
	keys[tally]
}

func newFrequency(b base, o Options) *frequency {
	return &frequency{base: b, keys: newKeys[tally](o.MaxKeys)}
}

// AddData takes events.
func (c *frequency) AddData(events []source.Hit) error {
	for _, e := range events {
		value, none := c.key(e.Doc)
		p := counted(e.At, 1)
		p.doc, p.text = e.Doc, timeOf(e, c.field)
		c.count(p, value, none)
	}
	return nil
}

// AddCount takes a count.
func (c *frequency) AddCount(end time.Time, n int64) error {
	c.count(counted(end, float64(n)), keyless, true)
	return nil
}

// AddTerms takes counts of the values of the key.
func (c *frequency) AddTerms(end time.Time, buckets []source.Bucket) error {
	for _, b := range buckets {
		c.count(counted(end, float64(b.Count)), b.Key, false)
	}
	return nil
}

func (c *frequency) count(p point, value any, none bool) {
	k, _ := c.see(value, none)
	t := k.state
	t.add(p, c.rule.Timeframe, c.rule.AttachRelated)
	if t.Window.sum < float64(c.rule.NumEvents) {
		return
	}
	points := t.Window.points
	m := c.event(&points[len(points)-1], k.value, none)
	if c.rule.AttachRelated {
		related := make([]any, 0, len(points)-1)
		for i := range points[:len(points)-1] {
			related = append(related, c.event(&points[i], k.value, none))
		}
		m["related_events"] = related
	}
	c.found(m)
	c.remove(k)
}

// event is the match of a point: its document or, where it has none, one that is made of its time and key.
func (b *base) event(p *point, value any, none bool) Match {
	if p.doc != nil {
		return document.Clone(p.doc)
	}
	return b.made(p.timeText(), value, none)
}

// Collect forgets keys whose newest event is more than a timeframe old.
func (c *frequency) Collect(end time.Time) error {
	for _, k := range c.latest() {
		if end.UnixNano()-k.state.Window.newest().at > int64(c.rule.Timeframe) {
			c.remove(k)
		}
	}
	return nil
}

// Save writes the memory.
func (c *frequency) Save() (json.RawMessage, error) {
	trimTallies(&c.keys)
	return json.Marshal(&c.keys)
}

// trimTallies forgets documents for which there is no room.
func trimTallies(k *keys[tally]) {
	room := budget(MaxDocuments)
	for _, x := range k.latest() {
		points := x.state.Window.points
		for i := len(points) - 1; i >= 0; i-- {
			points[i].doc = room.keep(points[i].doc)
		}
	}
}

// Restore takes the memory up again.
func (c *frequency) Restore(raw json.RawMessage) error {
	c.keys = newKeys[tally](c.max)
	return restore(raw, &c.keys)
}
