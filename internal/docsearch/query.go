package docsearch

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Query is a query that has been read. It may be used by many at the same time.
type Query struct {
	root  node
	named []named
}

// named is a clause with a _name.
type named struct {
	name string
	node node
}

// node is a clause of a query.
type node interface{ match(v *view) bool }

// Compile reads a query of Elasticsearch; an empty one matches everything. An error says what is wrong with it, or what is not known.
func Compile(query map[string]any) (*Query, error) {
	c := &compiler{}
	root, err := c.query(query)
	if err != nil {
		return nil, err
	}
	return &Query{root: root, named: c.named}, nil
}

// Match compiles a query and asks whether it matches a document, now.
func Match(query, source map[string]any) (bool, error) {
	q, err := Compile(query)
	if err != nil {
		return false, err
	}
	return q.Match(Document{Source: source}, nil, time.Now()), nil
}

// Match reports whether the query matches a document; now is what date math counts from.
func (q *Query) Match(d Document, m Mapping, now time.Time) bool {
	return q.root.match(look(&d, m, now))
}

// names returns the names of the clauses that match.
func (q *Query) names(v *view) []string {
	var out []string
	for _, n := range q.named {
		if n.node.match(v) {
			out = append(out, n.name)
		}
	}
	return out
}

// compiler reads a query.
type compiler struct {
	named []named
	depth int
}

// all and none match everything and nothing.
type (
	all  struct{}
	none struct{}
)

func (all) match(*view) bool  { return true }
func (none) match(*view) bool { return false }

// query reads an object with one query in it.
func (c *compiler) query(q any) (node, error) {
	m, ok := q.(map[string]any)
	if !ok && q != nil {
		return nil, fmt.Errorf("a query is an object, not %s", kindOf(q))
	}
	if len(m) == 0 {
		return all{}, nil
	}
	if len(m) > 1 {
		return nil, fmt.Errorf("a query has one name, not %s", strings.Join(slices.Sorted(maps.Keys(m)), ", "))
	}
	if c.depth++; c.depth > 100 {
		return nil, fmt.Errorf("a query is nested more than 100 deep")
	}
	defer func() { c.depth-- }()
	for kind, body := range m {
		n, err := c.kind(kind, body)
		if err != nil {
			return nil, err
		}
		return n, nil
	}
	return all{}, nil
}

func (c *compiler) kind(kind string, body any) (node, error) {
	switch kind {
	case "match_all":
		return c.plain(kind, body, all{})
	case "match_none":
		return c.plain(kind, body, none{})
	case "bool":
		return c.boolean(body)
	case "constant_score":
		return c.wrapped(kind, body, "filter")
	case "dis_max":
		return c.disMax(body)
	case "nested":
		return c.nested(body)
	case "ids":
		return c.ids(body)
	case "exists":
		return c.exists(body)
	case "terms":
		return c.terms(body)
	case "term", "prefix", "wildcard", "regexp", "fuzzy":
		return c.termLevel(kind, body)
	case "range":
		return c.rangeQuery(body)
	case "match", "match_phrase", "match_phrase_prefix":
		return c.matchQuery(kind, body)
	case "multi_match":
		return c.multiMatch(body)
	case "query_string":
		return c.queryString(body)
	case "simple_query_string":
		return c.simpleQueryString(body)
	}
	return nil, fmt.Errorf("unknown query [%s]", kind)
}

// object returns the options of a query.
func (c *compiler) object(kind string, body any) (*options, error) {
	m, ok := body.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("[%s] wants an object, not %s", kind, kindOf(body))
	}
	return newOptions("["+kind+"]", m), nil
}

// end checks that each option was known, and keeps a clause that has a name.
func (c *compiler) end(o *options, n node) (node, error) {
	name := o.text("_name", "")
	o.skip("boost")
	if err := o.end(); err != nil {
		return nil, err
	}
	if name != "" {
		c.named = append(c.named, named{name, n})
	}
	return n, nil
}

func (c *compiler) plain(kind string, body any, n node) (node, error) {
	o, err := c.object(kind, body)
	if err != nil {
		return nil, err
	}
	return c.end(o, n)
}

func (c *compiler) wrapped(kind string, body any, key string) (node, error) {
	o, err := c.object(kind, body)
	if err != nil {
		return nil, err
	}
	inner, ok := o.take(key)
	if !ok {
		return nil, fmt.Errorf("[%s] has no %s", kind, key)
	}
	n, err := c.query(inner)
	if err != nil {
		return nil, err
	}
	return c.end(o, n)
}

// list reads one query or a list of them.
func (c *compiler) list(v any) ([]node, error) {
	items, ok := v.([]any)
	if !ok {
		if maps, isMaps := v.([]map[string]any); isMaps {
			for _, m := range maps {
				items = append(items, m)
			}
		} else if v != nil {
			items = []any{v}
		}
	}
	out := make([]node, 0, len(items))
	for _, x := range items {
		n, err := c.query(x)
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}

// boolean is the bool query, and what query_string makes of AND, OR and NOT.
type boolean struct {
	must, should, not []node
	least             int // of should
}

func (b *boolean) match(v *view) bool {
	for _, n := range b.must {
		if !n.match(v) {
			return false
		}
	}
	for _, n := range b.not {
		if n.match(v) {
			return false
		}
	}
	for found, i := 0, 0; found < b.least; i++ {
		if i == len(b.should) {
			return false
		}
		if b.should[i].match(v) {
			found++
		}
	}
	return true
}

func (c *compiler) boolean(body any) (node, error) {
	o, err := c.object("bool", body)
	if err != nil {
		return nil, err
	}
	b := &boolean{}
	for _, part := range []struct {
		key  string
		into *[]node
	}{{"must", &b.must}, {"filter", &b.must}, {"should", &b.should}, {"must_not", &b.not}} {
		v, _ := o.take(part.key)
		nodes, err := c.list(v)
		if err != nil {
			return nil, err
		}
		*part.into = append(*part.into, nodes...)
	}
	if len(b.should) > 0 && len(b.must) == 0 {
		b.least = 1
	}
	if v, ok := o.take("minimum_should_match"); ok {
		if b.least, err = atLeast(v, len(b.should)); err != nil {
			return nil, err
		}
	}
	o.skip("adjust_pure_negative")
	return c.end(o, b)
}

func (c *compiler) disMax(body any) (node, error) {
	o, err := c.object("dis_max", body)
	if err != nil {
		return nil, err
	}
	queries, _ := o.take("queries")
	nodes, err := c.list(queries)
	if err != nil {
		return nil, err
	}
	o.skip("tie_breaker")
	return c.end(o, &boolean{should: nodes, least: 1})
}

// nested looks at each object of a list by itself.
type nested struct {
	path string
	node node
}

func (n *nested) match(v *view) bool {
	for _, x := range objects(v.doc.Source, n.path, nil) {
		inner := Document{Index: v.doc.Index, ID: v.doc.ID, Source: map[string]any{n.path: x}}
		if n.node.match(look(&inner, v.mapping, v.now)) {
			return true
		}
	}
	return false
}

// objects appends the objects that a name stands for.
func objects(at any, name string, out []any) []any {
	switch at := at.(type) {
	case []any:
		for _, x := range at {
			out = objects(x, name, out)
		}
	case map[string]any:
		if name == "" {
			return append(out, at)
		}
		for i := 1; i <= len(name); i++ {
			if i < len(name) && name[i] != '.' {
				continue
			}
			if x, ok := at[name[:i]]; ok {
				out = objects(x, strings.TrimPrefix(name[i:], "."), out)
			}
		}
	}
	return out
}

func (c *compiler) nested(body any) (node, error) {
	o, err := c.object("nested", body)
	if err != nil {
		return nil, err
	}
	n := &nested{path: o.text("path", "")}
	inner, _ := o.take("query")
	outer := len(c.named)
	if n.node, err = c.query(inner); err != nil {
		return nil, err
	}
	if len(c.named) > outer {
		return nil, fmt.Errorf("[nested] has a clause with a _name within, which is not supported here; give it to [nested] itself")
	}
	o.skip("score_mode", "ignore_unmapped")
	if n.path == "" {
		return nil, fmt.Errorf("[nested] has no path")
	}
	return c.end(o, n)
}

type ids struct{ values map[string]bool }

func (n *ids) match(v *view) bool { return n.values[v.doc.ID] }

func (c *compiler) ids(body any) (node, error) {
	o, err := c.object("ids", body)
	if err != nil {
		return nil, err
	}
	n := &ids{values: map[string]bool{}}
	for _, id := range o.list("values") {
		n.values[fmt.Sprint(id)] = true
	}
	return c.end(o, n)
}

type exists struct{ field string }

func (n *exists) match(v *view) bool {
	return slices.ContainsFunc(v.expand(n.field), v.has)
}

func (c *compiler) exists(body any) (node, error) {
	o, err := c.object("exists", body)
	if err != nil {
		return nil, err
	}
	n := &exists{field: o.text("field", "")}
	if n.field == "" {
		return nil, fmt.Errorf("[exists] has no field")
	}
	return c.end(o, n)
}
