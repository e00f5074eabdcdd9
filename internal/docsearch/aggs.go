package docsearch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// agg is one aggregation: it makes an answer of documents.
type agg interface {
	run(docs []*view) map[string]any
}

// aggs are aggregations by their names.
type aggs map[string]agg

// into runs all of them and puts their answers into a bucket.
func (a aggs) into(bucket map[string]any, docs []*view) map[string]any {
	for name, x := range a {
		bucket[name] = x.run(docs)
	}
	return bucket
}

// bucket is the answer of some documents.
func (a aggs) bucket(docs []*view) map[string]any {
	return a.into(map[string]any{"doc_count": count(len(docs))}, docs)
}

// count and double write numbers as Elasticsearch does: a double always has a point or an exponent.
func count(n int) json.Number { return json.Number(strconv.Itoa(n)) }

func double(f float64) json.Number {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if a := max(f, -f); a != 0 && (a < 1e-3 || a >= 1e7) {
		s = strconv.FormatFloat(f, 'E', -1, 64)
		s = strings.Replace(strings.Replace(s, "E+0", "E+", 1), "E-0", "E-", 1)
		if mantissa, exponent, _ := strings.Cut(s, "E"); !strings.Contains(mantissa, ".") {
			s = mantissa + ".0E" + exponent
		}
		return json.Number(strings.Replace(s, "E+", "E", 1))
	}
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return json.Number(s)
}

// aggregations reads the aggs of a search or of another aggregation.
func (c *compiler) aggregations(v any) (aggs, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("aggregations are an object, not %s", kindOf(v))
	}
	out := aggs{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		if strings.ContainsAny(name, "[]>") || name == "" {
			return nil, fmt.Errorf("the aggregation %q has a name with [, ] or >, or none", name)
		}
		a, err := c.aggregation(name, m[name])
		if err != nil {
			return nil, err
		}
		out[name] = a
	}
	return out, nil
}

func (c *compiler) aggregation(name string, v any) (agg, error) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the aggregation %q is %s, not an object", name, kindOf(v))
	}
	var kind string
	var sub aggs
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch {
		case k == "meta":
		case k == "aggs" || k == "aggregations":
			var err error
			if sub, err = c.aggregations(m[k]); err != nil {
				return nil, err
			}
		case kind != "":
			return nil, fmt.Errorf("the aggregation %q is of two kinds, %s and %s", name, kind, k)
		default:
			kind = k
		}
	}
	if kind == "" {
		return nil, fmt.Errorf("the aggregation %q has no kind", name)
	}
	if c.depth++; c.depth > 50 {
		return nil, fmt.Errorf("aggregations are nested more than 50 deep")
	}
	defer func() { c.depth-- }()
	body, ok := m[kind].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the aggregation %q has %s for its %s, not an object", name, kindOf(m[kind]), kind)
	}
	o := newOptions(fmt.Sprintf("[%s] of the aggregation %q", kind, name), body)
	a, err := c.bucketAgg(kind, o, sub)
	if a == nil && err == nil {
		if a, err = c.metricAgg(kind, o); sub != nil && a != nil && err == nil {
			return nil, fmt.Errorf("the aggregation %q is a %s, which takes no aggregations below it", name, kind)
		}
	}
	if err != nil {
		return nil, err
	}
	if a == nil {
		return nil, fmt.Errorf("unknown aggregation [%s] of the name %q", kind, name)
	}
	return a, o.end()
}

// bucketAgg reads an aggregation that tells documents apart; nil if it is none.
func (c *compiler) bucketAgg(kind string, o *options, sub aggs) (agg, error) {
	switch kind {
	case "terms":
		return c.termsAgg(o, sub)
	case "composite":
		return c.compositeAgg(o, sub)
	case "date_histogram":
		return c.dateHistogram(o, sub)
	case "histogram":
		return c.histogram(o, sub)
	case "filters":
		return c.filtersAgg(o, sub)
	case "filter":
		for k := range o.m {
			o.skip(k)
		}
		n, err := c.query(o.m)
		return &filterAgg{node: n, sub: sub}, err
	case "missing":
		field := o.text("field", "")
		return &filterAgg{node: &boolean{not: []node{&exists{field: field}}}, sub: sub}, needs(o, field)
	case "global":
		return nil, fmt.Errorf("%s is not supported here", o.where)
	}
	return nil, nil
}

// needs is an error for an aggregation without a field.
func needs(o *options, field string) error {
	if _, script := o.m["script"]; script {
		return fmt.Errorf("%s has a script, which cannot be run here", o.where)
	}
	if field == "" {
		return fmt.Errorf("%s has no field", o.where)
	}
	return nil
}

// filterAgg is of the documents that a query matches.
type filterAgg struct {
	node node
	sub  aggs
}

func (a *filterAgg) run(docs []*view) map[string]any { return a.sub.bucket(matching(a.node, docs)) }

func matching(n node, docs []*view) []*view {
	var out []*view
	for _, d := range docs {
		if n.match(d) {
			out = append(out, d)
		}
	}
	return out
}

// filtersAgg is of several queries, and of what none of them matches.
type filtersAgg struct {
	names []string // none where they are numbered
	nodes []node
	other string
	rest  bool
	sub   aggs
}

func (a *filtersAgg) run(docs []*view) map[string]any {
	buckets := make([]any, 0, len(a.nodes)+1)
	for _, n := range a.nodes {
		buckets = append(buckets, a.sub.bucket(matching(n, docs)))
	}
	names := a.names
	if a.rest {
		buckets = append(buckets, a.sub.bucket(matching(&boolean{not: []node{&boolean{should: a.nodes, least: 1}}}, docs)))
		names = append(slices.Clone(names), a.other)
	}
	if a.names == nil {
		return map[string]any{"buckets": buckets}
	}
	keyed := map[string]any{}
	for i, b := range buckets {
		keyed[names[i]] = b
	}
	return map[string]any{"buckets": keyed}
}

func (c *compiler) filtersAgg(o *options, sub aggs) (agg, error) {
	a := &filtersAgg{sub: sub, other: o.text("other_bucket_key", "_other_")}
	_, a.rest = o.m["other_bucket_key"]
	a.rest = o.flag("other_bucket", a.rest)
	filters, _ := o.take("filters")
	switch filters := filters.(type) {
	case map[string]any:
		a.names = slices.Sorted(maps.Keys(filters))
		for _, name := range a.names {
			n, err := c.query(filters[name])
			if err != nil {
				return nil, err
			}
			a.nodes = append(a.nodes, n)
		}
	case []any:
		var err error
		if a.nodes, err = c.list(filters); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("%s has no filters", o.where)
	}
	return a, nil
}

// key is what a bucket goes by.
type key struct {
	value  any    // as it is in the answer
	text   string // key_as_string, "" where there is none
	number float64
	isText bool
	same   string
}

// keysOf returns the keys of a document for a field: each value once.
func keysOf(d *view, field string, missing any) []key {
	values := d.field(field).values
	if len(values) == 0 && missing != nil {
		values = []any{missing}
	}
	var out []key
	for _, v := range values {
		k := newKey(v)
		if !slices.ContainsFunc(out, func(o key) bool { return o.same == k.same }) {
			out = append(out, k)
		}
	}
	return out
}

func newKey(v any) key {
	switch v := v.(type) {
	case string:
		return key{value: v, isText: true, same: "s" + v}
	case bool:
		k := key{value: json.Number("0"), text: "false", same: "bfalse"}
		if v {
			k = key{value: json.Number("1"), text: "true", number: 1, same: "btrue"}
		}
		return k
	}
	f, _ := number(v)
	k := key{number: f, same: "n" + strconv.FormatFloat(f, 'g', -1, 64), value: double(f)}
	if n, ok := v.(json.Number); ok && !strings.ContainsAny(n.String(), ".eE") {
		k.value, k.same = n, "n"+n.String()
	}
	return k
}

// compare orders keys: numbers before texts.
func (k key) compare(o key) int {
	switch {
	case k.isText && o.isText:
		return strings.Compare(k.value.(string), o.value.(string))
	case k.isText:
		return 1
	case o.isText:
		return -1
	}
	return order(k.number, o.number)
}

// grouped are documents by key, in the order in which the keys were first met.
type grouped struct {
	at   map[string]int
	keys []key
	docs [][]*view
}

func (g *grouped) add(k key, d *view) {
	if g.at == nil {
		g.at = map[string]int{}
	}
	i, ok := g.at[k.same]
	if !ok {
		i = len(g.keys)
		g.at[k.same] = i
		g.keys, g.docs = append(g.keys, k), append(g.docs, nil)
	}
	g.docs[i] = append(g.docs[i], d)
}

// isoText writes milliseconds since 1970 as Elasticsearch does.
func isoText(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
