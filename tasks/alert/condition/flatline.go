package condition

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/stint-run/stint/tasks/alert/source"
)

// flatline: less than threshold events within a timeframe are a match, again at each look, once a timeframe has passed since there was
// something to count. Keys are watched from when they were first seen; a rule without a key is watched in any case.
type flatline struct {
	base
	keys[tally]
}

func newFlatline(b base, o Options) *flatline {
	return &flatline{base: b, keys: newKeys[tally](o.MaxKeys)}
}

// AddData takes events. The key of the last of them is looked at: time has come as far as that.
func (c *flatline) AddData(events []source.Hit) error {
	var last *key[tally]
	fresh := map[*key[tally]]bool{}
	for _, e := range events {
		value, none := c.key(e.Doc)
		p := counted(e.At, 1)
		p.doc, p.text = e.Doc, timeOf(e, c.field)
		last = c.count(p, value, none)
		if last.state.Since == 0 {
			fresh[last] = true
		}
	}
	for k := range fresh {
		k.state.Since = k.state.Window.newest().at
	}
	if last != nil {
		c.look(last)
	}
	return nil
}

// AddCount takes a count.
func (c *flatline) AddCount(end time.Time, n int64) error {
	c.look(c.count(counted(end, float64(n)), keyless, true))
	return nil
}

// AddTerms takes counts of the values of the key.
func (c *flatline) AddTerms(end time.Time, buckets []source.Bucket) error {
	for _, b := range buckets {
		c.look(c.count(counted(end, float64(b.Count)), b.Key, false))
	}
	return nil
}

// count keeps the newest points only, as many as threshold asks for.
func (c *flatline) count(p point, value any, none bool) *key[tally] {
	k, _ := c.see(value, none)
	c.add(k, p)
	return k
}

func (c *flatline) add(k *key[tally], p point) {
	w := &k.state.Window
	k.state.add(p, c.rule.Timeframe, false)
	for len(w.points) > 1 && w.sum-w.points[0].n >= float64(c.rule.Threshold) {
		w.sum -= w.points[0].n
		w.real -= w.points[0].real
		w.points = w.points[1:]
	}
}

// look makes a match of a key that has too few events.
func (c *flatline) look(k *key[tally]) {
	t := k.state
	newest := t.Window.newest()
	if t.Since == 0 {
		t.Since = newest.at
	}
	if newest.at-t.Since < int64(c.rule.Timeframe) {
		return
	}
	count := int64(t.Window.sum)
	if count >= int64(c.rule.Threshold) {
		return
	}
	none := k.name == ""
	var m Match
	if newest.n == 0 && newest.doc == nil && newest.mark {
		m = c.made(newest.timeText(), nil, true)
	} else {
		m = c.event(newest, k.value, none)
	}
	m["key"], m["count"], m["threshold"] = k.value, whole(float64(count)), whole(float64(c.rule.Threshold))
	c.found(m)
	if c.rule.ForgetKeys {
		c.remove(k)
		return
	}
	t.Since = newest.at - int64(c.rule.Timeframe)
}

// Collect looks at each key.
func (c *flatline) Collect(end time.Time) error {
	if c.len() == 0 && len(c.rule.QueryKey) == 0 {
		c.see(keyless, true)
	}
	for _, k := range c.all() {
		mark := counted(end, 0)
		mark.real, mark.mark = 0, true
		c.add(k, mark)
		k.state.Count = int64(k.state.Window.sum)
		c.look(k)
	}
	return nil
}

// Quiet says whether a key has as many events as threshold asks for.
func (c *flatline) Quiet(text string) (well, known bool) {
	k, ok := c.find(text)
	if !ok {
		return false, false
	}
	return k.state.Count >= int64(c.rule.Threshold), true
}

// Save writes the memory.
func (c *flatline) Save() (json.RawMessage, error) {
	trimTallies(&c.keys)
	return json.Marshal(&c.keys)
}

// Restore takes the memory up again.
func (c *flatline) Restore(raw json.RawMessage) error {
	c.keys = newKeys[tally](c.max)
	return restore(raw, &c.keys)
}

// whole writes a number that has no fraction, where it has none, without a point.
func whole(f float64) json.Number { return json.Number(strconv.FormatFloat(f, 'f', -1, 64)) }
