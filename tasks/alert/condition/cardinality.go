package condition

import (
	"encoding/json"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// cardinality: more than max_cardinality values of a field within a timeframe are a match at each further event; less than min_cardinality
// are one, once more than a timeframe has passed since the key's first event, and then again only after another.
type cardinality struct {
	base
	keys[distinct]
	most, least, keep int
	// next is a time before which no key has a value that is too old or has waited long enough for min_cardinality; nanoseconds since 1970.
	next int64
}

// distinct is the values that a key had last.
type distinct struct {
	First  *int64 `json:"f,omitempty"` // when it was first seen, as long as min_cardinality waits; nanoseconds since 1970
	Values []seen `json:"v,omitempty"` // by time
	at     map[string]int64
}

// seen is when a value was last seen.
type seen struct {
	Name string `json:"n"`
	At   int64  `json:"t"`
}

func newCardinality(b base, o Options) *cardinality {
	c := &cardinality{base: b, keys: newKeys[distinct](o.MaxKeys), most: math.MaxInt, least: math.MinInt, next: math.MinInt64}
	if b.rule.MaxCardinality != nil {
		c.most, c.keep = *b.rule.MaxCardinality, *b.rule.MaxCardinality
	}
	if b.rule.MinCardinality != nil {
		c.least, c.keep = *b.rule.MinCardinality, max(c.keep, *b.rule.MinCardinality)
	}
	c.keep = max(c.keep, 0) + 1
	return c
}

// AddData takes events.
func (c *cardinality) AddData(events []source.Hit) error {
	for _, e := range events {
		value, none := c.key(e.Doc)
		k, _ := c.see(value, none)
		at := e.At.UnixNano()
		c.next = min(c.next, at+int64(c.rule.Timeframe))
		if k.state.First == nil {
			k.state.First = &at
		}
		v := document.Value(e.Doc, c.rule.Cardinality)
		if v == nil {
			continue
		}
		k.state.put(nameOf(v), at, c.keep)
		if !c.breaks(k, at) {
			continue
		}
		// What is too old is found out only where it matters.
		switch {
		case c.rule.MinCardinality == nil:
			k.state.prune(at - int64(c.rule.Timeframe))
		case at <= c.next:
			c.look(k, at, timeOf(e, c.field), true)
		default:
			c.lookAtAll(at, timeOf(e, c.field), k)
		}
		if c.breaks(k, at) {
			k.state.First = nil
			c.found(document.Clone(e.Doc))
		}
	}
	return nil
}

// put remembers when a value was last seen. An event that comes late does not make it older. Of too many values the oldest are left out:
// there are more than matter without them.
func (d *distinct) put(name string, at int64, keep int) {
	if d.at == nil {
		d.at = make(map[string]int64, len(d.Values))
		for _, v := range d.Values {
			d.at[v.Name] = v.At
		}
	}
	if before, ok := d.at[name]; ok {
		if before >= at {
			return
		}
		i := sort.Search(len(d.Values), func(i int) bool { return d.Values[i].At >= before })
		for d.Values[i].Name != name {
			i++
		}
		d.Values = slices.Delete(d.Values, i, i+1)
	}
	i := sort.Search(len(d.Values), func(i int) bool { return d.Values[i].At > at })
	d.Values = slices.Insert(d.Values, i, seen{name, at})
	d.at[name] = at
	for len(d.Values) > keep {
		delete(d.at, d.Values[0].Name)
		d.Values = slices.Delete(d.Values, 0, 1)
	}
}

// prune leaves out what was last seen before a time.
func (d *distinct) prune(before int64) {
	n := sort.Search(len(d.Values), func(i int) bool { return d.Values[i].At >= before })
	for _, v := range d.Values[:n] {
		delete(d.at, v.Name)
	}
	d.Values = slices.Delete(d.Values, 0, n)
}

// breaks reports whether a key has too many or too few values at a time.
func (c *cardinality) breaks(k *key[distinct], at int64) bool {
	return len(k.state.Values) > c.most || c.lacks(k, at)
}

func (c *cardinality) lacks(k *key[distinct], at int64) bool {
	return len(k.state.Values) < c.least && k.state.First != nil && at-*k.state.First > int64(c.rule.Timeframe)
}

// look leaves out what is too old of a key at a time, and finds with min_cardinality whether it is out of bounds then; above max_cardinality
// only where that is asked for.
func (c *cardinality) look(k *key[distinct], at int64, text string, above bool) {
	k.state.prune(at - int64(c.rule.Timeframe))
	if c.rule.MinCardinality != nil && (c.lacks(k, at) || above && c.breaks(k, at)) {
		k.state.First = nil
		c.found(c.made(text, k.value, k.name == ""))
	}
}

// lookAtAll looks at each key. Those that have too many values, but have no part in it, are left to the end of the window.
func (c *cardinality) lookAtAll(at int64, text string, part *key[distinct]) {
	c.next = math.MaxInt64
	for _, k := range c.all() {
		c.look(k, at, text, part == nil || k == part)
		if k.state.First != nil {
			c.next = min(c.next, *k.state.First)
		}
		if len(k.state.Values) > 0 {
			c.next = min(c.next, k.state.Values[0].At)
		}
	}
	if c.next < math.MaxInt64 {
		c.next += int64(c.rule.Timeframe)
	}
}

// Collect looks at each key, and forgets those that have nothing to wait for; with min_cardinality, by which keys are told in the order in
// which they came, only when there are many.
func (c *cardinality) Collect(end time.Time) error {
	c.lookAtAll(end.UnixNano(), TimeText(end), nil)
	if c.rule.MinCardinality != nil && c.len() <= c.max/2 {
		return nil
	}
	for _, k := range c.latest() {
		if len(k.state.Values) == 0 && (k.state.First == nil || c.rule.MinCardinality == nil) {
			c.remove(k)
		}
	}
	return nil
}

// Quiet says whether a key has as many values as it may have.
func (c *cardinality) Quiet(text string) (well, known bool) {
	n := 0
	if k, ok := c.find(text); ok {
		n = len(k.state.Values)
	} else if c.forgotten > 0 {
		return false, false
	}
	return n <= c.most && n >= c.least, true
}

// Save writes the memory.
func (c *cardinality) Save() (json.RawMessage, error) { return json.Marshal(&c.keys) }

// Restore takes the memory up again.
func (c *cardinality) Restore(raw json.RawMessage) error {
	c.keys, c.next = newKeys[distinct](c.max), math.MinInt64
	return restore(raw, &c.keys)
}
