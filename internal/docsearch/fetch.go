package docsearch

import (
	"fmt"
	"slices"
	"strings"
)

// sourceFilter says which fields of a document a hit has.
type sourceFilter struct {
	none               bool
	includes, excludes []string
}

func readSource(v any) (sourceFilter, error) {
	switch v := v.(type) {
	case nil:
		return sourceFilter{}, nil
	case bool:
		return sourceFilter{none: !v}, nil
	case string:
		return sourceFilter{includes: []string{v}}, nil
	case []any, []string:
		o := newOptions("_source", map[string]any{"includes": v})
		f := sourceFilter{includes: o.texts("includes")}
		return f, o.end()
	case map[string]any:
		o := newOptions("_source", v)
		f := sourceFilter{includes: append(o.texts("includes"), o.texts("include")...), excludes: append(o.texts("excludes"), o.texts("exclude")...)}
		return f, o.end()
	}
	return sourceFilter{}, fmt.Errorf("_source is %s", kindOf(v))
}

func (f sourceFilter) apply(source map[string]any) map[string]any {
	if f.none {
		return nil
	}
	return Include(source, f.includes, f.excludes)
}

// Include returns a document with only some of its fields, by their names or patterns with *; a field comes with all that is below it.
// Without any names the document itself is returned, and what is left of it shares with it.
func Include(source map[string]any, includes, excludes []string) map[string]any {
	if len(includes) == 0 && len(excludes) == 0 {
		return source
	}
	out, _ := filtered("", source, patterns(includes), patterns(excludes)).(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	return out
}

type fieldPattern struct {
	text string
	glob glob
}

func patterns(names []string) []fieldPattern {
	out := make([]fieldPattern, len(names))
	for i, n := range names {
		out[i] = fieldPattern{n, globPattern(n)}
	}
	return out
}

// covers reports whether a pattern means a field, or one above it.
func (p fieldPattern) covers(name string) bool {
	if p.glob.match(name) {
		return true
	}
	for i, c := range name {
		if c == '.' && p.glob.match(name[:i]) {
			return true
		}
	}
	return false
}

// below reports whether a pattern may mean a field below one.
func (p fieldPattern) below(name string) bool {
	return strings.HasPrefix(p.text, name+".") || strings.Contains(p.text, "*")
}

// filtered returns what is left of a value, nil if nothing is.
func filtered(name string, v any, in, ex []fieldPattern) any {
	if name != "" && slices.ContainsFunc(ex, func(p fieldPattern) bool { return p.covers(name) }) {
		return nil
	}
	whole := len(in) == 0 || slices.ContainsFunc(in, func(p fieldPattern) bool { return name != "" && p.covers(name) })
	if whole && len(ex) == 0 {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		if name != "" && !whole && !slices.ContainsFunc(in, func(p fieldPattern) bool { return p.below(name) }) {
			return nil
		}
		out := map[string]any{}
		for k, x := range v {
			full := k
			if name != "" {
				full = name + "." + k
			}
			if left := filtered(full, x, in, ex); left != nil || x == nil && whole {
				out[k] = left
			} else if x == nil && slices.ContainsFunc(in, func(p fieldPattern) bool { return p.covers(full) }) {
				out[k] = nil
			}
		}
		if len(out) == 0 && len(v) > 0 && name != "" {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, x := range v {
			if left := filtered(name, x, in, ex); left != nil {
				out = append(out, left)
			}
		}
		if len(out) == 0 && !whole {
			return nil
		}
		return out
	}
	if whole {
		return v
	}
	return nil
}

// topHits is an aggregation of the first documents of a bucket.
type topHits struct{ search }

func (c *compiler) topHits(o *options) (agg, error) {
	a := &topHits{search{query: &Query{root: all{}}, size: o.whole("size", 3), from: o.whole("from", 0), track: -1}}
	var err error
	if a.order, err = readOrder(o.list("sort")); err != nil {
		return nil, err
	}
	source, _ := o.take("_source")
	a.source, err = readSource(source)
	return a, err
}

func (a *topHits) run(docs []*view) map[string]any {
	h := a.hits(docs)
	list := make([]any, len(h.Hits))
	for i, hit := range h.Hits {
		m := map[string]any{"_index": hit.Index, "_id": hit.ID, "_score": nil}
		if hit.Score != nil {
			m["_score"] = double(*hit.Score)
		}
		if hit.Source != nil {
			m["_source"] = hit.Source
		}
		if hit.Sort != nil {
			m["sort"] = hit.Sort
		}
		list[i] = m
	}
	var score any
	if h.MaxScore != nil {
		score = double(*h.MaxScore)
	}
	return map[string]any{"hits": map[string]any{"total": map[string]any{"value": count(len(docs)), "relation": "eq"}, "max_score": score, "hits": list}}
}
