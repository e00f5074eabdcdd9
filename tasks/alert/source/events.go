package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/tasks"
)

// Events are documents in memory.
type Events struct {
	// Documents are in no order. One without an Index is of every index.
	Documents []docsearch.Document
	// Visible says which of them can be found when a query is asked; nil is all.
	Visible func(d docsearch.Document) bool
	// Mapping is what is known of their fields; nil is nothing.
	Mapping docsearch.Mapping
	// Now is what date math counts from; nil is the clock.
	Now func() time.Time
}

// memory is the engine of Events.
type memory struct {
	Events

	mu    sync.Mutex
	times map[clock]*timeline
}

// timeline are the documents that have a time, by it.
type timeline struct {
	docs []docsearch.Document
	ms   []int64
}

// NewEvents is the source of documents in memory, which nobody may change. Hits are copies.
func NewEvents(e Events) *Documents {
	if e.Now == nil {
		e.Now = time.Now
	}
	return &Documents{&memory{Events: e, times: map[clock]*timeline{}}}
}

// timeline puts the documents in order once for each way of carrying times.
func (m *memory) timeline(k clock) *timeline {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.times[k]; ok {
		return t
	}
	type timed struct {
		d  docsearch.Document
		ms int64
	}
	var list []timed
	for _, d := range m.Documents {
		if v, ok := document.Get(d.Source, k.field); ok {
			if at, ok := k.read(v); ok {
				list = append(list, timed{d, at.UnixMilli()})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b timed) int { return int(max(-1, min(1, a.ms-b.ms))) })
	t := &timeline{}
	for _, x := range list {
		t.docs, t.ms = append(t.docs, x.d), append(t.ms, x.ms)
	}
	m.times[k] = t
	return t
}

// upTo returns how many documents there are up to a time.
func (t *timeline) upTo(at time.Time) int {
	i, _ := slices.BinarySearch(t.ms, at.UnixMilli()+1)
	return i
}

// find returns what can be found of an index in a window, by time.
func (m *memory) find(q *Query, k clock) []docsearch.Document {
	t := m.timeline(k)
	from, to := 0, len(t.docs)
	if !q.Start.IsZero() && k.kind != Custom {
		from = t.upTo(q.Start.Truncate(time.Second).Add(-time.Second)) // the query itself is exact
	}
	if !q.End.IsZero() {
		to = t.upTo(q.End)
	}
	var out []docsearch.Document
	for _, d := range t.docs[min(from, to):to] {
		if ofIndex(q.Index, d.Index) && (m.Visible == nil || m.Visible(d)) {
			out = append(out, d)
		}
	}
	return out
}

// ofIndex reports whether a list of names and patterns names an index.
func ofIndex(list, name string) bool {
	if list == "" || list == "_all" || name == "" || list == name {
		return true
	}
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, without := strings.CutPrefix(strings.TrimSpace(pattern), "-")
		if pattern == name || strings.Contains(pattern, "*") && docsearch.Wildcard(pattern, name) {
			found = !without
		}
	}
	return found
}

// search answers a body over a window.
func (m *memory) search(ctx context.Context, q *Query, body map[string]any) (docsearch.Response, error) {
	if err := ctx.Err(); err != nil {
		return docsearch.Response{}, err
	}
	k := clockOf(q)
	mapping := docsearch.Mapping{}
	maps.Copy(mapping, m.Mapping)
	mapping[k.field] = docsearch.Field{Kind: docsearch.Date, Time: k.read}
	if k.kind == ISO { // which docsearch reads itself, with all that bounds may be
		mapping[k.field] = docsearch.Field{Kind: docsearch.Date}
	}
	plain, err := asJSON(body)
	if err != nil {
		return docsearch.Response{}, tasks.Permanent(err)
	}
	res, err := docsearch.Search(m.find(q, k), plain, mapping, m.Now())
	return res, tasks.Permanent(err)
}

// asJSON returns a body as a server would read it, whatever Go types it was made of.
func asJSON(body map[string]any) (plain map[string]any, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("write a search: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return plain, d.Decode(&plain)
}

func body(r elastic.Request, size int) map[string]any {
	b := map[string]any{"size": size, "track_total_hits": true}
	if r.Query != nil {
		b["query"] = r.Query
	}
	if r.PostFilter != nil {
		b["post_filter"] = r.PostFilter
	}
	if r.Aggs != nil {
		b["aggs"] = r.Aggs
	}
	return b
}

func (m *memory) pages(ctx context.Context, q *Query, r elastic.Request, page func([]elastic.Hit) error) (elastic.Answer, error) {
	b := body(r, len(m.Documents))
	if len(r.Source) > 0 {
		b["_source"] = r.Source
	}
	b["sort"] = []any{r.Time}
	res, err := m.search(ctx, q, b)
	if err != nil {
		return elastic.Answer{}, err
	}
	size := r.PageSize
	if size <= 0 {
		size = elastic.MaxPage
	}
	for hits := range slices.Chunk(res.Hits.Hits, size) {
		out := make([]elastic.Hit, len(hits))
		for i, h := range hits {
			out[i] = elastic.Hit{Index: h.Index, ID: h.ID, Source: document.Clone(h.Source), Named: h.Named}
		}
		if err := page(out); err != nil {
			return elastic.Answer{}, err
		}
	}
	return elastic.Answer{Total: res.Hits.Total.Value, Aggregations: res.Aggregations}, nil
}

func (m *memory) count(ctx context.Context, q *Query, r elastic.Request) (int64, error) {
	a, err := m.aggregate(ctx, q, r)
	return a.Total, err
}

func (m *memory) aggregate(ctx context.Context, q *Query, r elastic.Request) (elastic.Answer, error) {
	res, err := m.search(ctx, q, body(r, 0))
	if err != nil {
		return elastic.Answer{}, err
	}
	return elastic.Answer{Total: res.Hits.Total.Value, Aggregations: res.Aggregations}, nil
}

// refused holds for every error of a search in memory besides those of a context.
func (m *memory) refused(err error) bool { return tasks.IsPermanent(err) }
