package source

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/tasks"
)

const (
	termsPage     = 10_000 // values of one request
	compositePage = 1000
	anyLimit      = 100_000 // values, where the caller names no limit
)

// engine is what searches documents: a server, or documents in memory. The query says what a request was made of.
type engine interface {
	pages(ctx context.Context, q *Query, r elastic.Request, page func([]elastic.Hit) error) (elastic.Answer, error)
	count(ctx context.Context, q *Query, r elastic.Request) (int64, error)
	aggregate(ctx context.Context, q *Query, r elastic.Request) (elastic.Answer, error)
	// refused reports whether an error says that the request could not be carried out for what is in it.
	refused(err error) bool
}

// Documents is a Source of documents that are searched in the language of Elasticsearch. NewElastic and NewEvents make one.
type Documents struct{ engine engine }

// server is the engine of a search server.
type server struct{ client *elastic.Client }

// NewElastic is the source of a search server.
func NewElastic(c *elastic.Client) *Documents { return &Documents{server{c}} }

func (s server) pages(ctx context.Context, _ *Query, r elastic.Request, page func([]elastic.Hit) error) (elastic.Answer, error) {
	return s.client.Pages(ctx, r, page)
}

func (s server) count(ctx context.Context, _ *Query, r elastic.Request) (int64, error) {
	return s.client.Count(ctx, r.Index, r.Query)
}

func (s server) aggregate(ctx context.Context, _ *Query, r elastic.Request) (elastic.Answer, error) {
	return s.client.Aggregate(ctx, r)
}

func (s server) refused(err error) bool { return elastic.Refused(err) }

// filters returns the filters of a query. A filter may be within a "query", as it was written for Elasticsearch 1.
func filters(q *Query) []any {
	out := make([]any, 0, len(q.Filter)+1)
	for _, f := range q.Filter {
		if inner, ok := f["query"].(map[string]any); ok && len(f) == 1 {
			f = inner
		}
		out = append(out, f)
	}
	return out
}

func every(queries ...any) map[string]any {
	return map[string]any{"bool": map[string]any{"filter": queries}}
}

// request is a search for a window's events.
func request(q *Query) (elastic.Request, clock, error) {
	k := clockOf(q)
	if err := k.check(); err != nil {
		return elastic.Request{}, k, tasks.Permanent(err)
	}
	r := elastic.Request{Index: q.Index, Query: every(slices.Insert(filters(q), 0, any(k.within(q.Start, q.End)))...), Time: k.field, PageSize: q.PageSize, Unmapped: "date"}
	if k.kind == Unix || k.kind == UnixMS {
		r.Unmapped = "long"
	}
	return r, k, nil
}

// known reports whether a part of the window has been read before.
func (q *Query) known() bool { return q.Known.After(q.Start) }

// fields are those that hits have: nil is all.
func (q *Query) fields(k clock) []string {
	if len(q.Include) == 0 {
		return nil
	}
	fields := append(slices.Clone(q.Include), k.field)
	if q.IDField != "" {
		fields = append(fields, q.IDField)
	}
	return fields
}

const knownAgg = "known"

// Search gives the hits of a window. It is one request where they fit on a page.
func (d *Documents) Search(ctx context.Context, q Query, page func([]Hit) error) (Found, error) {
	r, k, err := request(&q)
	if err != nil {
		return Found{}, err
	}
	r.Source = q.fields(k)
	if q.known() {
		r.PostFilter = k.within(q.Known, q.End)
		r.Aggs = map[string]any{knownAgg: map[string]any{"filter": k.within(q.Start, q.Known)}}
	}
	a, err := d.engine.pages(ctx, &q, r, func(raw []elastic.Hit) error {
		hits := make([]Hit, len(raw))
		for i, h := range raw {
			if hits[i], err = hit(&q, k, h, h.Source); err != nil {
				return err
			}
		}
		return page(hits)
	})
	if err != nil {
		return Found{}, err
	}
	found := Found{New: a.Total}
	if q.known() {
		if found.Known, err = docCount(a.Aggregations[knownAgg]); err != nil {
			return Found{}, err
		}
	}
	return found, nil
}

// hit makes an event of a document, which it may change.
func hit(q *Query, k clock, raw elastic.Hit, doc map[string]any) (Hit, error) {
	if doc == nil {
		doc = map[string]any{}
	}
	v, _ := document.Get(doc, k.field)
	at, ok := k.read(v)
	if !ok {
		why := tasks.WithHint(nil, "check timestamp_field, timestamp_type and timestamp_format of the rule", "the event %s of %s has no time of the type %s in %s", raw.ID, raw.Index, k.kind, k.field)
		return Hit{}, tasks.Permanent(why)
	}
	document.Set(doc, k.field, text(at))
	h := Hit{ID: raw.ID, Index: raw.Index, At: at, Doc: doc}
	if q.IDField != "" {
		h.ID = document.Text(document.Value(doc, q.IDField))
	}
	if h.ID != "" {
		doc["_id"] = h.ID
	}
	if h.Index != "" {
		doc["_index"] = h.Index
	}
	return h, nil
}

// Count returns how many events a window has.
func (d *Documents) Count(ctx context.Context, q Query) (int64, error) {
	r, _, err := request(&q)
	if err != nil {
		return 0, err
	}
	return d.engine.count(ctx, &q, r)
}

// Terms returns how many events each value of a field has, the most frequent first where one request is enough.
func (d *Documents) Terms(ctx context.Context, q Query, field string, least, limit int) ([]Bucket, error) {
	r, _, err := request(&q)
	if err != nil {
		return nil, err
	}
	r.Aggs = map[string]any{"counts": termsOf(field, least, limit)}
	a, err := d.engine.aggregate(ctx, &q, r)
	if err != nil {
		return nil, err
	}
	buckets, whole, err := bucketsOf(a.Aggregations["counts"])
	if err != nil || whole {
		return buckets, err
	}
	return d.allTerms(ctx, &q, r, field, least, limit)
}

func termsOf(field string, least, limit int) map[string]any {
	return map[string]any{"terms": map[string]any{"field": field, "size": min(ceiling(limit), termsPage), "min_doc_count": max(1, least)}}
}

func ceiling(limit int) int {
	if limit <= 0 {
		return anyLimit
	}
	return limit
}

// bucketsOf reads a terms aggregation; whole is false where it is of the most frequent values only.
func bucketsOf(agg any) (buckets []Bucket, whole bool, err error) {
	m, _ := agg.(map[string]any)
	list, ok := m["buckets"].([]any)
	if !ok {
		return nil, false, fmt.Errorf("the values of a field are not in the answer as buckets")
	}
	for _, b := range list {
		n, err := docCount(b)
		if err != nil {
			return nil, false, err
		}
		buckets = append(buckets, Bucket{Key: b.(map[string]any)["key"], Count: n})
	}
	return buckets, !truncated(m), nil
}

// truncated reports whether a terms aggregation has left values out, or may have counted some too low.
func truncated(terms map[string]any) bool {
	other, _ := document.Number(terms["sum_other_doc_count"])
	off, _ := document.Number(terms["doc_count_error_upper_bound"])
	return other > 0 || off > 0
}

// allTerms reads the values of a field a page after the other, in their own order.
func (d *Documents) allTerms(ctx context.Context, q *Query, r elastic.Request, field string, least, limit int) ([]Bucket, error) {
	var out []Bucket
	composite := map[string]any{"size": compositePage, "sources": []any{map[string]any{"value": map[string]any{"terms": map[string]any{"field": field}}}}}
	for {
		r.Aggs = map[string]any{"counts": map[string]any{"composite": maps.Clone(composite)}}
		a, err := d.engine.aggregate(ctx, q, r)
		if err != nil {
			return nil, err
		}
		m, _ := a.Aggregations["counts"].(map[string]any)
		list, _ := m["buckets"].([]any)
		for _, b := range list {
			n, err := docCount(b)
			if err != nil {
				return nil, err
			}
			if n < int64(least) {
				continue
			}
			key, _ := b.(map[string]any)["key"].(map[string]any)
			value := key["value"]
			if is, ok := value.(bool); ok { // as terms writes it
				value = map[bool]json.Number{true: "1", false: "0"}[is]
			}
			if out = append(out, Bucket{Key: value, Count: n}); len(out) > ceiling(limit) {
				why := tasks.WithHint(nil, "raise terms_size, or narrow the rule's filter", "the field %s has more than %d values in a window", field, ceiling(limit))
				return nil, tasks.Permanent(why)
			}
		}
		after, ok := m["after_key"].(map[string]any)
		if !ok || len(list) == 0 {
			slices.SortStableFunc(out, func(a, b Bucket) int { return int(b.Count - a.Count) })
			return out, nil
		}
		composite["after"] = after
	}
}

// docCount reads the doc_count of a bucket.
func docCount(bucket any) (int64, error) {
	m, _ := bucket.(map[string]any)
	n, ok := m["doc_count"].(json.Number)
	if !ok {
		return 0, fmt.Errorf("a bucket of the answer has no doc_count")
	}
	return n.Int64()
}

// Aggregate returns the answer to aggregations. Where values of a terms aggregation do not fit its size, it asks for more of them; more
// than 10,000 are an error.
func (d *Documents) Aggregate(ctx context.Context, q Query, aggs map[string]any) (map[string]any, int64, error) {
	r, _, err := request(&q)
	if err != nil {
		return nil, 0, err
	}
	r.Aggs = aggs
	a, err := d.engine.aggregate(ctx, &q, r)
	if err != nil {
		return nil, 0, err
	}
	if cut := cutOff(aggs, a.Aggregations); cut != "" {
		r.Aggs = widened(aggs)
		if a, err = d.engine.aggregate(ctx, &q, r); err != nil {
			return nil, 0, err
		}
		if cut := cutOff(aggs, a.Aggregations); cut != "" {
			why := tasks.WithHint(nil, "narrow the rule's filter, or use a query_key with fewer values", "the aggregation %s has more than %d values in a window", cut, termsPage)
			return nil, 0, tasks.Permanent(why)
		}
	}
	return a.Aggregations, a.Total, nil
}

// cutOff returns the name of a terms aggregation whose answer lacks values; "" is none.
func cutOff(asked, answer map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		agg, _ := asked[name].(map[string]any)
		got, _ := answer[name].(map[string]any)
		if _, ok := agg["terms"]; ok && truncated(got) {
			return name
		}
		below, _ := agg["aggs"].(map[string]any)
		if below == nil {
			continue
		}
		inner := []any{got}
		switch buckets := got["buckets"].(type) {
		case []any:
			inner = buckets
		case map[string]any:
			inner = slices.Collect(maps.Values(buckets))
		}
		for _, b := range inner {
			m, _ := b.(map[string]any)
			if cut := cutOff(below, m); cut != "" {
				return cut
			}
		}
	}
	return ""
}

// widened returns aggregations whose terms have the largest size.
func widened(aggs map[string]any) map[string]any {
	out := document.Clone(aggs)
	for _, v := range out {
		agg, _ := v.(map[string]any)
		if terms, ok := agg["terms"].(map[string]any); ok {
			terms["size"] = termsPage
		}
		if below, ok := agg["aggs"].(map[string]any); ok {
			agg["aggs"] = widened(below)
		}
	}
	return out
}

// included returns the fields of a document that a query asks for, as a copy where others have it too.
func included(q *Query, k clock, doc map[string]any, shared bool) map[string]any {
	doc = docsearch.Include(doc, q.fields(k), nil)
	if shared || len(q.Include) > 0 {
		doc = document.Clone(doc)
	}
	return doc
}
