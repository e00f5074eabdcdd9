package docsearch

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
)

// Response is the answer to a search.
type Response struct {
	Hits         Hits           `json:"hits"`
	Aggregations map[string]any `json:"aggregations,omitempty"` // numbers are json.Number
}

// Hits are the documents of a page, and how many there are of them in all.
type Hits struct {
	Total    *Total   `json:"total,omitempty"`
	MaxScore *float64 `json:"max_score"` // null where there is an order
	Hits     []Hit    `json:"hits"`
}

// Total is how many documents match: that many (eq), or at least (gte).
type Total struct {
	Value    int64  `json:"value"`
	Relation string `json:"relation"`
}

// Hit is a document that was found.
type Hit struct {
	Index  string         `json:"_index"`
	Type   string         `json:"_type,omitempty"` // of servers before version 8, which say _doc
	ID     string         `json:"_id"`
	Score  *float64       `json:"_score"`
	Source map[string]any `json:"_source,omitempty"`
	Sort   []any          `json:"sort,omitempty"`
	Named  []string       `json:"matched_queries,omitempty"`
}

// search is the body of a search, read.
type search struct {
	query, post *Query
	aggs        aggs
	order       []sortField
	from, size  int
	after       []any
	source      sourceFilter
	track       int64 // hits that are counted exactly; below 0 is all, 0 is none
}

// Search answers the body of a search over documents; now is what date math counts from. Documents without an order of the body's own
// keep theirs. The sources of hits are shared with the documents where the body wants all of their fields.
func Search(docs []Document, body map[string]any, m Mapping, now time.Time) (Response, error) {
	s, err := readSearch(body)
	if err != nil {
		return Response{}, err
	}
	var found []*view
	for i := range docs {
		if v := look(&docs[i], m, now); s.query.root.match(v) {
			found = append(found, v)
		}
	}
	r := Response{}
	if s.aggs != nil {
		r.Aggregations = s.aggs.into(map[string]any{}, found)
	}
	if s.post != nil {
		found = matching(s.post.root, found)
	}
	r.Hits = s.hits(found)
	return r, nil
}

// Check says what is wrong with the body of a search.
func Check(body map[string]any) error {
	_, err := readSearch(body)
	return err
}

// CheckAggregations says what is wrong with aggregations.
func CheckAggregations(aggs map[string]any) error {
	_, err := (&compiler{}).aggregations(aggs)
	return err
}

func readSearch(body map[string]any) (*search, error) {
	o := newOptions("the search", body)
	s := &search{size: o.whole("size", 10), from: o.whole("from", 0), track: 10_000}
	query, _ := o.m["query"].(map[string]any)
	if v, ok := o.take("query"); ok && query == nil {
		return nil, fmt.Errorf("the query is %s, not an object", kindOf(v))
	}
	var err error
	if s.query, err = Compile(query); err != nil {
		return nil, err
	}
	if v, ok := o.take("post_filter"); ok {
		post, isMap := v.(map[string]any)
		if !isMap {
			return nil, fmt.Errorf("the post_filter is %s, not an object", kindOf(v))
		}
		if s.post, err = Compile(post); err != nil {
			return nil, err
		}
	}
	for _, key := range []string{"aggs", "aggregations"} {
		if v, ok := o.take(key); ok {
			if s.aggs, err = (&compiler{}).aggregations(v); err != nil {
				return nil, err
			}
		}
	}
	if s.order, err = readOrder(o.list("sort")); err != nil {
		return nil, err
	}
	if s.after = o.list("search_after"); s.after != nil && len(s.after) != len(s.order) {
		return nil, fmt.Errorf("search_after has %d values, sort has %d", len(s.after), len(s.order))
	}
	if s.after != nil && s.from > 0 {
		return nil, fmt.Errorf("from must be 0 where there is search_after")
	}
	source, _ := o.take("_source")
	if s.source, err = readSource(source); err != nil {
		return nil, err
	}
	switch track := o.m["track_total_hits"].(type) {
	case nil:
	case bool:
		if s.track = 0; track {
			s.track = -1
		}
	default:
		s.track = int64(o.number("track_total_hits", 0))
	}
	o.skip("track_total_hits", "track_scores", "timeout", "version", "seq_no_primary_term", "explain", "stats", "pit", "terminate_after", "profile")
	return s, o.end()
}

func (s *search) hits(found []*view) Hits {
	h := Hits{Hits: []Hit{}}
	if n := int64(len(found)); s.track != 0 {
		h.Total = &Total{n, "eq"}
		if s.track > 0 && n > s.track {
			h.Total = &Total{s.track, "gte"}
		}
	}
	rows := make([]row, len(found))
	for i, v := range found {
		rows[i] = row{v, make([]any, len(s.order)), i}
		for j, f := range s.order {
			rows[i].keys[j] = f.key(v, i)
		}
	}
	if s.order != nil {
		slices.SortStableFunc(rows, func(a, b row) int { return s.compare(a.keys, b.keys) })
	}
	if s.after != nil {
		rows = slices.DeleteFunc(rows, func(r row) bool { return s.compare(r.keys, s.after) <= 0 })
	}
	one := 1.0
	for _, r := range rows[min(s.from, len(rows)):min(s.from+s.size, len(rows))] {
		hit := Hit{Index: r.view.doc.Index, ID: r.view.doc.ID, Sort: r.keys, Source: s.source.apply(r.view.doc.Source)}
		if s.order == nil {
			hit.Score, h.MaxScore = &one, &one
			hit.Sort = nil
		}
		hit.Named = s.query.names(r.view)
		if s.post != nil {
			hit.Named = append(hit.Named, s.post.names(r.view)...)
		}
		h.Hits = append(h.Hits, hit)
	}
	return h
}

// row is a document with what it is ordered by.
type row struct {
	view *view
	keys []any
	at   int
}

func (s *search) compare(a, b []any) int {
	for i, f := range s.order {
		if c := f.compare(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

// sortField is one rank of an order.
type sortField struct {
	field string
	desc  bool
	first bool // documents without a value come first
}

func readOrder(list []any) ([]sortField, error) {
	var out []sortField
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, sortField{field: v, desc: v == "_score"})
		case map[string]any:
			for _, field := range slices.Sorted(maps.Keys(v)) {
				f := sortField{field: field}
				switch x := v[field].(type) {
				case string:
					f.desc = x == "desc"
				case map[string]any:
					o := newOptions("the sort by "+field, x)
					f.desc = o.text("order", "asc") == "desc"
					switch missing := o.text("missing", "_last"); missing {
					case "_first", "_last":
						f.first = missing == "_first"
					default:
						return nil, fmt.Errorf("the sort by %s puts %q for what is missing; _first and _last are there", field, missing)
					}
					o.skip("unmapped_type", "numeric_type", "format", "mode")
					if err := o.end(); err != nil {
						return nil, err
					}
				default:
					return nil, fmt.Errorf("the sort by %s is %s", field, kindOf(v[field]))
				}
				out = append(out, f)
			}
		default:
			return nil, fmt.Errorf("a sort is a text or an object, not %s", kindOf(v))
		}
	}
	return out, nil
}

// key returns what a document, the i-th that was found, is ordered by: a text, a number, or null.
func (s sortField) key(v *view, i int) any {
	switch s.field {
	case "_doc", "_shard_doc":
		return json.Number(strconv.Itoa(i))
	case "_score":
		return double(1)
	}
	f := v.field(s.field)
	var best any
	for _, x := range f.values {
		var k any
		switch y := x.(type) {
		case bool:
			k = newKey(y).value
		default:
			k = x
			if ms, ok := f.moment(x); ok {
				k = json.Number(strconv.FormatInt(ms, 10))
			}
		}
		// Of several values the least counts upwards, and the greatest downwards.
		if best == nil || s.compare(k, best) < 0 {
			best = k
		}
	}
	return best
}

func (s sortField) compare(a, b any) int {
	switch {
	case a == nil && b == nil:
		return 0
	case (a == nil) != (b == nil):
		if (a == nil) == s.first {
			return -1
		}
		return 1
	}
	c := 0
	x, isNumber := document.Number(a)
	y, both := document.Number(b)
	switch {
	case isNumber && both:
		c = order(x, y)
	case isNumber:
		c = -1
	case both:
		c = 1
	default:
		c = strings.Compare(queryText(a), queryText(b))
	}
	if s.desc {
		c = -c
	}
	return c
}
