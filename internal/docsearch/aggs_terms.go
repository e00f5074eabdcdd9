package docsearch

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// termsAgg is of the documents of each value.
type termsAgg struct {
	field   string
	size    int
	least   int
	missing any
	order   []sortKey
	sub     aggs
}

// sortKey is one rank of the order of buckets: _count, _key, or a metric below.
type sortKey struct {
	by   string
	desc bool
}

type termsBucket struct {
	key    key
	n      int
	answer map[string]any
}

func (a *termsAgg) run(docs []*view) map[string]any {
	var g grouped
	for _, d := range docs {
		for _, k := range keysOf(d, a.field, a.missing) {
			g.add(k, d)
		}
	}
	buckets := make([]termsBucket, 0, len(g.keys))
	for i, k := range g.keys {
		if len(g.docs[i]) < a.least {
			continue
		}
		b := a.sub.bucket(g.docs[i])
		b["key"] = k.value
		if k.text != "" {
			b["key_as_string"] = k.text
		}
		buckets = append(buckets, termsBucket{k, len(g.docs[i]), b})
	}
	slices.SortStableFunc(buckets, func(x, y termsBucket) int {
		for _, o := range a.order {
			c := o.compare(x, y)
			if o.desc {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return x.key.compare(y.key)
	})
	other := 0
	out := make([]any, 0, min(a.size, len(buckets)))
	for i, b := range buckets {
		if i < a.size {
			out = append(out, b.answer)
		} else {
			other += b.n
		}
	}
	return map[string]any{"doc_count_error_upper_bound": count(0), "sum_other_doc_count": count(other), "buckets": out}
}

func (o sortKey) compare(x, y termsBucket) int {
	switch o.by {
	case "_count":
		return cmp.Compare(x.n, y.n)
	case "_key", "_term":
		return x.key.compare(y.key)
	}
	return order(metric(x.answer, o.by), metric(y.answer, o.by))
}

// metric returns the value of a metric that buckets are ordered by; one without a value comes first.
func metric(bucket map[string]any, path string) float64 {
	name, part := path, "value"
	for i := range path {
		if path[i] == '.' {
			name, part = path[:i], path[i+1:]
		}
	}
	m, _ := bucket[name].(map[string]any)
	f, ok := number(m[part])
	if !ok {
		return -1e308
	}
	return f
}

func (c *compiler) termsAgg(o *options, sub aggs) (agg, error) {
	a := &termsAgg{field: o.text("field", ""), size: o.whole("size", 10), least: o.whole("min_doc_count", 1), sub: sub}
	a.missing, _ = o.take("missing")
	if err := needs(o, a.field); err != nil {
		return nil, err
	}
	if a.size == 0 {
		return nil, fmt.Errorf("%s wants a size of 1 or more", o.where)
	}
	for _, v := range o.list("order") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s has an order that is %s, not an object", o.where, kindOf(v))
		}
		for _, by := range slices.Sorted(maps.Keys(m)) {
			a.order = append(a.order, sortKey{by: by, desc: m[by] == "desc"})
		}
	}
	if a.order == nil {
		a.order = []sortKey{{by: "_count", desc: true}}
	}
	o.skip("shard_size", "show_term_doc_count_error", "shard_min_doc_count", "collect_mode", "execution_hint")
	return a, nil
}

// compositeAgg is of the documents of each combination of values, a page at a time.
type compositeAgg struct {
	sources []compositeSource
	size    int
	after   []key
	sub     aggs
}

type compositeSource struct {
	name, field string
	desc        bool
	missing     bool // null is a value
	keys        func(d *view) []key
}

func (a *compositeAgg) run(docs []*view) map[string]any {
	var g grouped
	rows := map[string][]key{}
	for _, d := range docs {
		for _, row := range a.rows(d, 0, nil) {
			same := ""
			for _, k := range row {
				same += strconv.Itoa(len(k.same)) + ":" + k.same
			}
			rows[same] = row
			g.add(key{same: same}, d)
		}
	}
	order := slices.SortedFunc(maps.Keys(rows), func(x, y string) int { return a.compare(rows[x], rows[y]) })
	out, last := []any{}, map[string]any(nil)
	for _, same := range order {
		if a.after != nil && a.compare(rows[same], a.after) <= 0 {
			continue
		}
		if len(out) == a.size {
			break
		}
		b := a.sub.bucket(g.docs[g.at[same]])
		last = map[string]any{}
		for i, k := range rows[same] {
			last[a.sources[i].name] = k.value
		}
		b["key"] = last
		out = append(out, b)
	}
	answer := map[string]any{"buckets": out}
	if last != nil {
		answer["after_key"] = maps.Clone(last)
	}
	return answer
}

// rows returns the combinations of the values of a document.
func (a *compositeAgg) rows(d *view, i int, before []key) [][]key {
	if i == len(a.sources) {
		return [][]key{slices.Clone(before)}
	}
	var out [][]key
	for _, k := range a.sources[i].keys(d) {
		out = append(out, a.rows(d, i+1, append(before, k))...)
	}
	return out
}

func (a *compositeAgg) compare(x, y []key) int {
	for i := range x {
		c := 0
		switch {
		case x[i].value == nil && y[i].value == nil:
		case x[i].value == nil:
			c = -1
		case y[i].value == nil:
			c = 1
		default:
			c = x[i].compare(y[i])
		}
		if a.sources[i].desc {
			c = -c
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func (c *compiler) compositeAgg(o *options, sub aggs) (agg, error) {
	a := &compositeAgg{size: o.whole("size", 10), sub: sub}
	for _, v := range o.list("sources") {
		m, ok := v.(map[string]any)
		if !ok || len(m) != 1 {
			return nil, fmt.Errorf("%s wants sources of one name each", o.where)
		}
		for name, v := range m {
			s, err := c.compositeSource(o, name, v)
			if err != nil {
				return nil, err
			}
			a.sources = append(a.sources, s)
		}
	}
	if len(a.sources) == 0 {
		return nil, fmt.Errorf("%s has no sources", o.where)
	}
	if v, ok := o.take("after"); ok {
		after, _ := v.(map[string]any)
		for _, s := range a.sources {
			value, ok := after[s.name]
			if !ok {
				return nil, fmt.Errorf("%s has an after without %s", o.where, s.name)
			}
			if value == nil {
				a.after = append(a.after, key{})
				continue
			}
			k := newKey(value)
			if b, isBool := value.(bool); isBool {
				k.value = b
			}
			a.after = append(a.after, k)
		}
	}
	return a, nil
}

func (c *compiler) compositeSource(outer *options, name string, v any) (compositeSource, error) {
	s := compositeSource{name: name}
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return s, fmt.Errorf("%s wants one kind for the source %s", outer.where, name)
	}
	for kind, body := range m {
		inner, ok := body.(map[string]any)
		if !ok {
			return s, fmt.Errorf("%s wants an object for the source %s", outer.where, name)
		}
		o := newOptions(fmt.Sprintf("%s, source %s", outer.where, name), inner)
		s.field, s.missing = o.text("field", ""), o.flag("missing_bucket", false)
		if err := needs(o, s.field); err != nil {
			return s, err
		}
		s.desc = o.text("order", "asc") == "desc"
		bare := func(d *view) []key { return keysOf(d, s.field, nil) }
		switch kind {
		case "terms":
		case "date_histogram":
			h, err := c.interval(o)
			if err != nil {
				return s, err
			}
			field := s.field
			bare = func(d *view) []key {
				var out []key
				for _, ms := range h.times(d, field, nil) {
					out = append(out, newKey(json.Number(strconv.FormatInt(h.floor(ms), 10))))
				}
				return slices.CompactFunc(out, func(x, y key) bool { return x.same == y.same })
			}
		default:
			return s, fmt.Errorf("%s has a source of the kind %s, which is not supported here", outer.where, kind)
		}
		s.keys = func(d *view) []key {
			out := bare(d)
			for i, k := range out {
				if k.text != "" { // true and false stand for themselves here
					out[i].value = k.text == "true"
				}
			}
			if len(out) == 0 && s.missing {
				out = []key{{}}
			}
			return out
		}
		if err := o.end(); err != nil {
			return s, err
		}
	}
	return s, nil
}
