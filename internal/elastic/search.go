package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// MaxPage is how many hits a server gives at once.
const MaxPage = 10_000

// Request is a search. The zero value is everything of every index.
type Request struct {
	Index      string // names or patterns, separated by commas; those that are not there are left out
	Query      map[string]any
	PostFilter map[string]any // leaves hits out, not aggregations
	Aggs       map[string]any
	Source     []string // fields of a hit; none means all
	// Time is the field that hits are ordered by, "" is none; Unmapped is its type where an index does not know it: date or long.
	Time, Unmapped string
	// PageSize is the most hits of one page; 0 is 1,000, and more than MaxPage is MaxPage.
	PageSize int
}

// Hit is a document.
type Hit struct {
	Index  string         `json:"_index"`
	ID     string         `json:"_id"`
	Source map[string]any `json:"_source"` // numbers are json.Number
	Fields map[string]any `json:"fields"`
	Named  []string       `json:"matched_queries"`
	Sort   []any          `json:"sort"`
}

// Answer is what a search says besides its hits.
type Answer struct {
	Total        int64          // all that match, or that are left by PostFilter
	Aggregations map[string]any // numbers are json.Number
}

// response is the answer as the server writes it.
type response struct {
	PIT      string  `json:"pit_id"`
	TimedOut bool    `json:"timed_out"`
	Shards   *shards `json:"_shards"`
	Hits     *struct {
		Total json.RawMessage `json:"total"`
		Hits  []Hit           `json:"hits"`
	} `json:"hits"`
	Aggregations map[string]any `json:"aggregations"`
	Count        *int64         `json:"count"`
}

type shards struct {
	Total, Failed int
	Failures      []struct {
		Index  string `json:"index"`
		Reason struct {
			Type   string `json:"type"`
			Reason string `json:"reason"`
		} `json:"reason"`
	}
}

// whole is an error where an answer is of less than was asked for.
func (r *response) whole() error {
	if r.TimedOut {
		return errors.New("the search ran out of time on the server, and its answer is of what it had found by then")
	}
	if r.Shards == nil {
		return errors.New("the answer does not say which shards it is of")
	}
	if r.Shards.Failed > 0 {
		why := ""
		if len(r.Shards.Failures) > 0 {
			f := r.Shards.Failures[0]
			why = short(fmt.Sprintf(": %s: %s: %s", f.Index, f.Reason.Type, f.Reason.Reason))
		}
		return fmt.Errorf("%d of %d shards failed%s", r.Shards.Failed, r.Shards.Total, why)
	}
	return nil
}

// total returns how many hits there are in all.
func (r *response) total() (int64, error) {
	if r.Hits == nil {
		return 0, errors.New("the answer has no hits, not even an empty list")
	}
	var n int64
	if json.Unmarshal(r.Hits.Total, &n) == nil {
		return n, nil
	}
	var t struct {
		Value    *int64 `json:"value"`
		Relation string `json:"relation"`
	}
	if err := json.Unmarshal(r.Hits.Total, &t); err != nil || t.Value == nil {
		return 0, errors.New("the answer does not say how many hits there are")
	}
	if t.Relation != "eq" {
		return 0, fmt.Errorf("the answer says that there are at least %d hits, and not how many", *t.Value)
	}
	return *t.Value, nil
}

// body writes a request, for a page of some size.
func (r *Request) body(size int) map[string]any {
	b := map[string]any{"size": size, "track_total_hits": true}
	if r.Query != nil {
		b["query"] = r.Query
	}
	if r.PostFilter != nil {
		b["post_filter"] = r.PostFilter
	}
	if len(r.Source) > 0 && size > 0 {
		b["_source"] = r.Source
	}
	return b
}

// order writes what hits are ordered by, and then by what tells those of the same time apart; "" is nothing.
func (r *Request) order(then string) []any {
	var order []any
	if r.Time != "" {
		by := map[string]any{"order": "asc"}
		if r.Unmapped != "" {
			by["unmapped_type"] = r.Unmapped
		}
		order = append(order, map[string]any{r.Time: by})
	}
	if then == "" && order == nil {
		then = "_doc"
	}
	if then != "" {
		order = append(order, map[string]any{then: "asc"})
	}
	return order
}

// path returns the path of an endpoint of indices.
func path(index, endpoint string) string {
	if index == "" {
		index = "_all"
	}
	return "/" + strings.ReplaceAll(url.PathEscape(index), "%2C", ",") + "/" + endpoint
}

// lenient is how indices that are not there are taken.
func lenient() url.Values {
	return url.Values{"ignore_unavailable": {"true"}, "allow_no_indices": {"true"}}
}

// Aggregate returns the answer to aggregations, and how many documents they are of.
func (c *Client) Aggregate(ctx context.Context, r Request) (Answer, error) {
	body := r.body(0)
	body["aggs"] = r.Aggs
	res, total, err := c.search(ctx, path(r.Index, "_search"), lenient(), body)
	if err != nil {
		return Answer{}, err
	}
	return c.answer(r, res, total)
}

// answer checks that every aggregation that was asked for is there. A server without the index answers none of them.
func (c *Client) answer(r Request, res *response, total int64) (Answer, error) {
	a := Answer{Total: total, Aggregations: res.Aggregations}
	if len(r.Aggs) == 0 {
		return a, nil
	}
	if res.Shards.Total == 0 && res.Aggregations == nil {
		return Answer{Aggregations: nothing(r.Aggs)}, nil
	}
	if missing := missing(r.Aggs, res.Aggregations); missing != "" {
		return Answer{}, fmt.Errorf("the answer of %s is without the aggregation %s", c, missing)
	}
	return a, nil
}

// Count returns how many documents match.
func (c *Client) Count(ctx context.Context, index string, query map[string]any) (int64, error) {
	body := map[string]any{}
	if query != nil {
		body["query"] = query
	}
	res := &response{}
	if err := c.call(ctx, http.MethodPost, path(index, "_count"), lenient(), body, res); err != nil {
		return 0, err
	}
	if err := res.whole(); err != nil {
		return 0, fmt.Errorf("count at %s: %w", c, err)
	}
	if res.Count == nil {
		return 0, fmt.Errorf("count at %s: the answer has no count", c)
	}
	return *res.Count, nil
}

func (c *Client) search(ctx context.Context, path string, query url.Values, body map[string]any) (*response, int64, error) {
	res := &response{}
	if err := c.call(ctx, http.MethodPost, path, query, body, res); err != nil {
		return nil, 0, err
	}
	err := res.whole()
	total := int64(0)
	if err == nil {
		total, err = res.total()
	}
	if err != nil {
		return nil, 0, fmt.Errorf("search at %s: %w", c, err)
	}
	return res, total, nil
}

// sub returns the aggregations below one.
func sub(agg any) map[string]any {
	m, _ := agg.(map[string]any)
	for _, key := range []string{"aggs", "aggregations"} {
		if s, ok := m[key].(map[string]any); ok {
			return s
		}
	}
	return nil
}

// missing returns the path of the first aggregation that was asked for and is not in an answer; "" is none.
func missing(asked, answer map[string]any) string {
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		got, ok := answer[name].(map[string]any)
		if !ok {
			return name
		}
		below := sub(asked[name])
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
			if lost := missing(below, m); lost != "" {
				return name + ">" + lost
			}
		}
	}
	return ""
}

// nothing is the answer to aggregations where there is no index: what they say of no documents.
func nothing(asked map[string]any) map[string]any {
	out := map[string]any{}
	for name, agg := range asked {
		m, _ := agg.(map[string]any)
		out[name] = of(m)
	}
	return out
}

func of(agg map[string]any) map[string]any {
	zero := json.Number("0")
	for kind, body := range agg {
		options, _ := body.(map[string]any)
		switch kind {
		case "filter", "missing", "global", "nested":
			out := nothing(sub(agg))
			out["doc_count"] = zero
			return out
		case "filters":
			return map[string]any{"buckets": emptyFilters(options, sub(agg))}
		case "terms":
			return map[string]any{"buckets": []any{}, "sum_other_doc_count": zero, "doc_count_error_upper_bound": zero}
		case "composite", "date_histogram", "histogram":
			return map[string]any{"buckets": []any{}}
		case "value_count", "cardinality", "sum":
			return map[string]any{"value": zero}
		case "percentiles":
			return map[string]any{"values": emptyPercents(options)}
		case "min", "max", "avg":
			return map[string]any{"value": nil}
		case "stats", "extended_stats":
			return map[string]any{"count": zero, "min": nil, "max": nil, "avg": nil, "sum": zero}
		}
	}
	return map[string]any{}
}

func emptyFilters(options, below map[string]any) any {
	bucket := func() map[string]any {
		b := nothing(below)
		b["doc_count"] = json.Number("0")
		return b
	}
	other, keyed := options["other_bucket_key"].(string)
	rest, _ := options["other_bucket"].(bool)
	if other == "" {
		other = "_other_"
	}
	if list, ok := options["filters"].([]any); ok {
		out := []any{}
		for range list {
			out = append(out, bucket())
		}
		if rest || keyed {
			out = append(out, bucket())
		}
		return out
	}
	named, _ := options["filters"].(map[string]any)
	out := map[string]any{}
	for name := range named {
		out[name] = bucket()
	}
	if rest || keyed {
		out[other] = bucket()
	}
	return out
}

// emptyPercents are percentiles of nothing, which are null, under the names that servers write.
func emptyPercents(options map[string]any) map[string]any {
	out := map[string]any{}
	percents, _ := options["percents"].([]any)
	for _, p := range percents {
		text := fmt.Sprint(p)
		if !strings.Contains(text, ".") {
			text += ".0"
		}
		out[text] = nil
	}
	return out
}
