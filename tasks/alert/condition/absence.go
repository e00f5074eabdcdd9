package condition

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// absence: an event that the filters of `first` match, and that none which those of `then` match has followed within timeframe, of the
// same key, is a match. One at the same time, or just a timeframe later, has followed. Of a key the first event that waits is told, and
// then the last that came in the meantime.
//
// The match is the document of the first event with absent_since, its time, absent_until, when its timeframe was over, and missing, the
// filters that matched nothing, as JSON.
type absence struct {
	base
	memory  keys[wait]
	matches func(filter, doc map[string]any) (bool, error)
	missing string
}

// wait is what a key waits for; times are in nanoseconds since 1970.
type wait struct {
	First  *waiting `json:"first,omitempty"`
	Last   *waiting `json:"last,omitempty"`   // the newest that came after First
	Then   *int64   `json:"then,omitempty"`   // when there was last what is waited for
	Absent *int64   `json:"absent,omitempty"` // the event of the last match, until there is what it waited for
}

type waiting struct {
	At   int64          `json:"at"`
	Text string         `json:"text"`
	Doc  map[string]any `json:"doc,omitempty"`
}

func newAbsence(b base, o Options) *absence {
	missing, err := json.Marshal(b.rule.Then)
	if err != nil { // it was read from a file; what JSON cannot say cannot be asked either
		missing = nil
	}
	return &absence{base: b, memory: newKeys[wait](o.MaxKeys), matches: o.Matches, missing: string(missing)}
}

// AddData takes events.
func (c *absence) AddData(events []source.Hit) error {
	for _, e := range events {
		begins, err := c.all(c.rule.First, e.Doc)
		if err != nil {
			return err
		}
		ends, err := c.all(c.rule.Then, e.Doc)
		if err != nil {
			return err
		}
		if !begins && !ends {
			continue
		}
		value, none := c.key(e.Doc)
		k, _ := c.memory.see(value, none)
		c.take(k, e, begins, ends)
	}
	return nil
}

// take puts an event to those of its key.
func (c *absence) take(k *key[wait], e source.Hit, begins, ends bool) {
	s, at := k.state, e.At.UnixNano()
	c.overdue(k, at-1)
	before := s.Then
	if ends {
		if s.First != nil && s.First.At <= at {
			s.First, s.Last = s.Last, nil
			if s.First != nil && s.First.At <= at {
				s.First = nil
			}
		}
		if s.Absent != nil && *s.Absent <= at {
			s.Absent = nil
		}
		if s.Then == nil || *s.Then < at {
			s.Then = &at
		}
	}
	if !begins {
		return
	}
	followed := before != nil && (*before > at || *before == at && !ends)
	if followed && *before-at <= int64(c.rule.Timeframe) {
		return
	}
	w := &waiting{At: at, Text: timeOf(e, c.field), Doc: e.Doc}
	switch {
	case s.First == nil:
		s.First = w
	case at < s.First.At:
		s.First, w = w, s.First
		if s.Last == nil {
			s.Last = w
		}
	case s.Last == nil || at >= s.Last.At:
		s.Last = w
	}
}

// overdue makes matches of what has waited long enough at a time.
func (c *absence) overdue(k *key[wait], at int64) {
	s := k.state
	for s.First != nil && at-s.First.At >= int64(c.rule.Timeframe) {
		w := s.First
		m := document.Clone(w.Doc)
		if m == nil {
			m = c.made(w.Text, k.value, k.name == "")
		}
		m["absent_since"] = w.Text
		m["absent_until"] = TimeText(time.Unix(0, w.At).Add(c.rule.Timeframe))
		m["missing"] = c.missing
		c.found(m)
		s.Absent = &w.At
		s.First, s.Last = s.Last, nil
	}
}

// all reports whether each of the filters matches.
func (c *absence) all(filters []map[string]any, doc map[string]any) (bool, error) {
	for _, f := range filters {
		ok, err := c.matches(f, doc)
		if err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// Collect finds the keys for which time has run out, that of the longest wait first, and forgets those that wait for nothing.
func (c *absence) Collect(end time.Time) error {
	at := end.UnixNano()
	list := c.memory.all()
	since := func(k *key[wait]) int64 {
		if k.state.First == nil {
			return at
		}
		return k.state.First.At
	}
	slices.SortStableFunc(list, func(a, b *key[wait]) int { return cmp.Compare(since(a), since(b)) })
	for _, k := range list {
		c.overdue(k, at)
		if s := k.state; s.First == nil && s.Absent == nil && (s.Then == nil || at-*s.Then > int64(c.rule.Timeframe)) {
			c.memory.remove(k)
		}
	}
	return nil
}

// Quiet says whether a key waits for nothing that should have come.
func (c *absence) Quiet(text string) (well, known bool) {
	k, ok := c.memory.find(text)
	if !ok {
		return true, c.memory.forgotten == 0
	}
	return k.state.Absent == nil, true
}

// Forgotten returns how many keys were forgotten because there were more than are remembered.
func (c *absence) Forgotten() int { return c.memory.forgotten }

// Save writes the memory.
func (c *absence) Save() (json.RawMessage, error) {
	room := budget(MaxDocuments)
	for _, k := range c.memory.latest() {
		for _, w := range []*waiting{k.state.First, k.state.Last} {
			if w != nil {
				w.Doc = room.keep(w.Doc)
			}
		}
	}
	return json.Marshal(&c.memory)
}

// Restore takes the memory up again.
func (c *absence) Restore(raw json.RawMessage) error {
	c.memory = newKeys[wait](c.memory.max)
	return restore(raw, &c.memory)
}
