package condition

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// newTerm: an event with a value of a field that was not seen within terms_window_size is a match. Of values it remembers a hash each,
// and in which window_step_size they were last seen, so that one is forgotten when it was not seen for terms_window_size, and at most a
// step after that.
type newTerm struct {
	base
	fields []rule.Field
	memory terms
	limit  int
}

type terms struct {
	Based     bool         `json:"based,omitempty"` // the baseline is known
	Step      int64        `json:"step"`            // where time has come to
	Forgotten int          `json:"forgotten,omitempty"`
	Fields    []termsField `json:"fields"`
}

type termsField map[term]int64 // the step in which it was last seen

// term is the hash of a value. It is of such a length that nobody finds a value that goes for another.
type term [12]byte

func termOf(values ...any) term {
	h := sha256.New()
	for _, v := range values {
		name := document.Same(v)
		fmt.Fprintf(h, "%d:%s", len(name), name)
	}
	return term(h.Sum(nil)[:len(term{})])
}

// fieldsOf are the fields of new_term. Where the rule names none it is that of the key; of a key of several parts it is the joined one,
// which Prepare gives to events.
func fieldsOf(r *rule.Rule) []rule.Field {
	if len(r.Fields) == 0 && len(r.QueryKey) > 0 {
		return []rule.Field{{r.Key()}}
	}
	return slices.DeleteFunc(slices.Clone(r.Fields), func(f rule.Field) bool { return len(f) == 0 })
}

func newNewTerm(b base) *newTerm {
	c := &newTerm{base: b, fields: fieldsOf(b.rule), limit: MaxTerms}
	c.forget()
	return c
}

func (c *newTerm) forget() {
	c.memory = terms{Fields: make([]termsField, len(c.fields))}
	for i := range c.memory.Fields {
		c.memory.Fields[i] = termsField{}
	}
}

// NeedsBaseline reports whether AddBaseline has not been called, for this memory.
func (c *newTerm) NeedsBaseline() bool { return !c.memory.Based }

// AddBaseline takes known values of a field, or lists of values where the field is several together, or the parts of the rule's key.
// They count as seen when the next window ends.
func (c *newTerm) AddBaseline(field int, values []any) {
	c.memory.Based = true
	if field < 0 || field >= len(c.fields) {
		return
	}
	for _, v := range values {
		parts, several := v.([]any)
		switch {
		case several && len(c.rule.Fields) == 0 && len(c.rule.QueryKey) > 1:
			parts = []any{joinedText(parts)}
		case !several || len(c.fields[field]) == 1:
			parts = []any{v}
		}
		c.memory.Fields[field][termOf(parts...)] = unknownStep
	}
}

// unknownStep marks values of a baseline until time is known.
const unknownStep = -1 << 62

func (c *newTerm) step(t time.Time) int64 {
	return t.UnixNano() / int64(cmp.Or(c.rule.WindowStep, 24*time.Hour))
}

// AddData takes events.
func (c *newTerm) AddData(events []source.Hit) error {
	for _, e := range events {
		var m Match
		for i, field := range c.fields {
			isNew, missing := c.look(i, e)
			if missing && !c.rule.AlertOnMissing || !missing && !isNew {
				continue
			}
			if m == nil {
				m = document.Clone(e.Doc)
			}
			what := "new_field"
			if missing {
				what = "missing_field"
			}
			m[what] = named(field)
			c.found(document.Clone(m))
		}
	}
	return nil
}

// named is how a match names a field, or several that are new together.
func named(f rule.Field) any {
	if len(f) == 1 {
		return f[0]
	}
	names := make([]any, len(f))
	for i, name := range f {
		names[i] = name
	}
	return names
}

// look reports whether an event has a new value of a field, or none. The values of a list are looked at one by one, as a search engine
// does.
func (c *newTerm) look(i int, e source.Hit) (isNew, missing bool) {
	field := c.fields[i]
	if len(field) > 1 {
		values := make([]any, len(field))
		for j, name := range field {
			if values[j] = document.Value(e.Doc, name); void(values[j]) {
				return false, true
			}
		}
		return c.see(i, termOf(values...), e.At), false
	}
	v := document.Value(e.Doc, field[0])
	if void(v) {
		return false, true
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	for _, v := range list {
		if v != nil && c.see(i, termOf(v), e.At) {
			isNew = true
		}
	}
	return isNew, false
}

// void is what has no value: null, "", 0, false and what is empty.
func void(v any) bool { return v == false || falsy(v) }

// see remembers that a value was seen, and reports whether it is new.
func (c *newTerm) see(i int, t term, at time.Time) bool {
	known := c.memory.Fields[i]
	last, ok := known[t]
	if step := c.step(at); !ok || last < step {
		known[t] = step
	}
	return !ok
}

// AddTerms takes counts of the values of the field.
func (c *newTerm) AddTerms(end time.Time, buckets []source.Bucket) error {
	name := c.fields[0][0]
	for _, b := range buckets {
		if b.Count != 0 && c.see(0, termOf(b.Key), end) {
			c.found(Match{name: b.Key, c.field: TimeText(end), "new_field": name})
		}
	}
	return nil
}

// Collect forgets values that were not seen for terms_window_size, and the oldest of too many.
func (c *newTerm) Collect(end time.Time) error {
	step := c.step(end)
	old := c.step(end.Add(-cmp.Or(c.rule.TermsWindow, 30*24*time.Hour)))
	count := 0
	for _, known := range c.memory.Fields {
		for t, last := range known {
			switch {
			case last == unknownStep:
				known[t] = step
			case last < old:
				delete(known, t)
			}
		}
		count += len(known)
	}
	if count <= c.limit {
		return nil
	}
	type place struct {
		term
		field int
		last  int64
	}
	all := make([]place, 0, count)
	for i, known := range c.memory.Fields {
		for t, last := range known {
			all = append(all, place{t, i, last})
		}
	}
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.field, b.field), bytes.Compare(a.term[:], b.term[:]))
	})
	for _, p := range all[:count-c.limit] {
		delete(c.memory.Fields[p.field], p.term)
	}
	c.memory.Forgotten += count - c.limit
	return nil
}

// Forgotten returns how many values were forgotten because there were more than are remembered: they will be new again.
func (c *newTerm) Forgotten() int { return c.memory.Forgotten }

// Save writes the memory.
func (c *newTerm) Save() (json.RawMessage, error) { return json.Marshal(&c.memory) }

// Restore takes the memory up again.
func (c *newTerm) Restore(raw json.RawMessage) error {
	c.forget()
	if err := restore(raw, &c.memory); err != nil {
		return err
	}
	if n := len(c.memory.Fields); n != len(c.fields) {
		return fmt.Errorf("read the memory of a rule: it has %d fields and not %d", n, len(c.fields))
	}
	return nil
}

// MarshalJSON writes terms by step, each step's one after the other in base64.
func (f termsField) MarshalJSON() ([]byte, error) {
	steps := map[int64][]string{}
	for t, step := range f {
		steps[step] = append(steps[step], base64.RawStdEncoding.EncodeToString(t[:]))
	}
	out := make(map[int64]string, len(steps))
	for step, list := range steps {
		slices.Sort(list)
		out[step] = strings.Join(list, "")
	}
	return json.Marshal(out)
}

// UnmarshalJSON takes up terms.
func (f *termsField) UnmarshalJSON(b []byte) error {
	var in map[int64]string
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*f = termsField{}
	for _, step := range slices.Sorted(maps.Keys(in)) {
		raw, err := base64.RawStdEncoding.DecodeString(in[step])
		if err != nil || len(raw)%len(term{}) != 0 {
			return fmt.Errorf("terms of step %d cannot be read", step)
		}
		for len(raw) > 0 {
			(*f)[term(raw[:len(term{})])] = step
			raw = raw[len(term{}):]
		}
	}
	return nil
}
