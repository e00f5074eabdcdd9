package condition

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// change: an event whose compare_key has another value than the one before it, of the same key, is a match. Events that come late are put
// where they belong, as far as that can be told from the last two values.
type change struct {
	base
	keys[run]
}

// run is the events in a row that had the same values.
type run struct {
	Values []any    `json:"v"` // as a match shows them
	Names  []string `json:"n"` // by which they are compared
	From   int64    `json:"f"` // the first of them, in nanoseconds since 1970
	To     int64    `json:"t"` // the last
	Before *run     `json:"b,omitempty"`
}

func newChange(b base, o Options) *change {
	return &change{base: b, keys: newKeys[run](o.MaxKeys)}
}

// AddData takes events.
func (c *change) AddData(events []source.Hit) error {
	for _, e := range events {
		at := e.At.UnixNano()
		now := run{From: at, To: at}
		skip := false
		for _, name := range c.rule.CompareKey {
			v := document.Value(e.Doc, name)
			skip = skip || c.rule.IgnoreNull && falsy(v)
			now.Values, now.Names = append(now.Values, shownIn(v)), append(now.Names, nameOf(v))
		}
		if skip {
			continue
		}
		value, none := c.key(e.Doc)
		k, isNew := c.see(value, none)
		if isNew {
			*k.state = now
			continue
		}
		if from, to, ok := c.place(k.state, now); ok {
			m := document.Clone(e.Doc)
			m["old_value"], m["new_value"] = slices.Clone(from.Values), slices.Clone(to.Values)
			c.found(m)
		}
	}
	return nil
}

// place puts an event among those that were there, and returns the change that comes to light with it, if there is one.
func (c *change) place(r *run, e run) (from, to run, changed bool) {
	at := e.From
	same := slices.Equal(r.Names, e.Names)
	switch {
	case at >= r.To && same:
		r.To = at
	case at >= r.To:
		before := *r
		before.Before = nil
		near := c.near(at - r.To)
		*r = e
		r.Before = &before
		return before, e, near
	case at >= r.From: // in the midst of a row
		return *r, e, !same && c.near(min(at-r.From, r.To-at))
	case r.Before == nil && same:
		r.From = at
	case r.Before == nil: // it was before all that is known
		near := c.near(r.From - at)
		r.Before = &e
		return e, *r, near
	case at < r.Before.From: // older than what is remembered
	case slices.Equal(r.Before.Names, e.Names):
		r.Before.To = max(r.Before.To, at)
	case at <= r.Before.To: // in the midst of the row before
		return *r.Before, e, c.near(min(at-r.Before.From, r.Before.To-at))
	case same:
		r.From = at // the change that was told happened earlier
	default: // between the rows, and like neither
		return *r.Before, e, c.near(at - r.Before.To)
	}
	return run{}, run{}, false
}

// near reports whether a change within such a time is one.
func (c *change) near(nanoseconds int64) bool {
	return c.rule.Timeframe == 0 || time.Duration(nanoseconds) <= c.rule.Timeframe
}

// falsy is what ignore_null leaves out: null, "", 0 and what is empty; false is a value.
func falsy(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case bool:
		return false
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	f, ok := document.Number(v)
	return ok && f == 0
}

// shownIn is a value as a match shows it, whole unless it is long.
func shownIn(v any) any {
	switch v.(type) {
	case []any, map[string]any:
		if sizeOf(v) <= maxValue {
			return v
		}
	}
	return shown(v)
}

// Save writes the memory.
func (c *change) Save() (json.RawMessage, error) { return json.Marshal(&c.keys) }

// Restore takes the memory up again.
func (c *change) Restore(raw json.RawMessage) error {
	c.keys = newKeys[run](c.max)
	return restore(raw, &c.keys)
}
