package docsearch

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
)

// rangeNode holds when a value lies between bounds.
type rangeNode struct {
	field  string
	bounds []bound
}

// bound is one end of a range.
type bound struct {
	raw   any
	upper bool // lt or lte
	equal bool // gte or lte
	form  dateForm
	// What raw is as a date, where that does not hang on now.
	fixed, date bool
	ms          int64
	number      float64
	numeric     bool
}

func newBound(raw any, upper, equal bool, form dateForm) (bound, error) {
	b := bound{raw: raw, upper: upper, equal: equal, form: form}
	b.number, b.numeric = number(raw)
	t, ok, err := form.parse(raw, b.up(), time.Now())
	if err != nil {
		return b, err
	}
	s, _ := raw.(string)
	b.fixed, b.date, b.ms = !strings.HasPrefix(s, "now"), ok, t.UnixMilli()
	return b, nil
}

// up reports whether what is missing of a date is its end: "up to the first" includes the first, "after the first" does not.
func (b *bound) up() bool { return b.upper == b.equal }

// moment returns the bound in milliseconds, for a field whose times are read by a function of its own if it has one.
func (b *bound) moment(f *field, now time.Time) (int64, bool) {
	if f.time != nil && b.fixed && len(b.form.formats) == 0 {
		if t, ok := f.time(b.raw); ok {
			return t.UnixMilli(), true
		}
	}
	if b.fixed {
		return b.ms, b.date
	}
	t, ok, err := b.form.parse(b.raw, b.up(), now)
	return t.UnixMilli(), ok && err == nil
}

// holds reports whether an order of a value to the bound (-1, 0, 1) is inside.
func (b *bound) holds(order int) bool {
	return order == 0 && b.equal || order < 0 && b.upper || order > 0 && !b.upper
}

func (b *bound) admits(v *view, f *field, value any) bool {
	if ms, ok := f.moment(value); ok {
		at, isDate := b.moment(f, v.now)
		return isDate && b.holds(order(ms, at))
	}
	switch x := value.(type) {
	case json.Number:
		n, ok := document.Number(x)
		if ok && b.numeric && len(b.form.formats) == 0 {
			return b.holds(order(n, b.number))
		}
		at, isDate := b.moment(f, v.now)
		return ok && isDate && b.holds(order(int64(n), at))
	case string:
		if n, ok := number(x); ok && b.numeric {
			return b.holds(order(n, b.number))
		}
		text := queryText(b.raw)
		if a, err := netip.ParseAddr(x); err == nil {
			if to, err := netip.ParseAddr(text); err == nil {
				return b.holds(a.Compare(to))
			}
		}
		return b.holds(strings.Compare(x, text))
	}
	return false
}

func order[T int64 | float64](a, b T) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (n *rangeNode) match(v *view) bool {
	for _, name := range v.expand(n.field) {
		f := v.field(name)
	values:
		for _, x := range f.values {
			for i := range n.bounds {
				if !n.bounds[i].admits(v, f, x) {
					continue values
				}
			}
			return true
		}
	}
	return false
}

func (c *compiler) rangeQuery(body any) (node, error) {
	field, o, err := single("range", body, "")
	if err != nil {
		return nil, err
	}
	if _, short := o.m[""]; short {
		return nil, fmt.Errorf("[range] of %s wants an object", field)
	}
	form, err := newDateForm(o.text("format", ""), o.text("time_zone", ""))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.where, err)
	}
	n := &rangeNode{field: field}
	include := map[string]bool{"from": o.flag("include_lower", true), "to": o.flag("include_upper", true)}
	for _, key := range []string{"gt", "gte", "lt", "lte", "from", "to"} {
		raw, ok := o.take(key)
		if !ok {
			continue
		}
		if kind := kindOf(raw); kind == "a list" || kind == "an object" {
			return nil, fmt.Errorf("%s wants one value for %s, not %s", o.where, key, kind)
		}
		equal, of := include[key]
		b, err := newBound(raw, key[0] == 'l' || key == "to", equal || !of && strings.HasSuffix(key, "e"), form)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.where, err)
		}
		n.bounds = append(n.bounds, b)
	}
	o.skip("relation")
	if len(n.bounds) == 0 { // any value
		return c.end(o, &exists{field: field})
	}
	return c.end(o, n)
}
