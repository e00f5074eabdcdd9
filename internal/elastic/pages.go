package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/stint-run/stint/tasks"
)

const (
	defaultPage = 1000
	keepAlive   = "2m" // of a point in time, from one page to the next
)

// Pages gives all hits of a search, by time, a page after the other: one request where they fit on a page, and as many as it takes
// where not, also beyond MaxPage. Where the server can, all pages are of one point in time. An error of page ends it and is returned.
func (c *Client) Pages(ctx context.Context, r Request, page func([]Hit) error) (Answer, error) {
	size := min(r.PageSize, MaxPage)
	if size <= 0 {
		size = defaultPage
	}
	body := r.body(size)
	body["sort"] = r.order("")
	if len(r.Aggs) > 0 {
		body["aggs"] = r.Aggs
	}
	res, total, err := c.search(ctx, path(r.Index, "_search"), lenient(), body)
	if err != nil {
		return Answer{}, err
	}
	a, err := c.answer(r, res, total)
	if err != nil {
		return Answer{}, err
	}
	if hits := res.Hits.Hits; int64(len(hits)) == total {
		if len(hits) == 0 {
			return a, nil
		}
		return a, page(hits)
	} else if len(hits) < size {
		return Answer{}, fmt.Errorf("search at %s: %d of %d hits came, and a page has %d", c, len(hits), total, size)
	}
	return c.follow(ctx, r, size, page)
}

// follow begins again, now that there are several pages, with an order in which no two hits stand at the same place.
func (c *Client) follow(ctx context.Context, r Request, size int, page func([]Hit) error) (Answer, error) {
	w := walk{client: c, request: r, size: size, path: path(r.Index, "_search"), query: lenient(), tie: "_id"}
	if err := w.open(ctx); err != nil {
		return Answer{}, err
	}
	if w.pit != "" {
		defer w.close(ctx)
	}
	return w.all(ctx, page)
}

// walk is a search of several pages.
type walk struct {
	client  *Client
	request Request
	size    int
	path    string
	query   url.Values
	tie     string // what tells hits of the same time apart
	pit     string // the point in time; "" is none
	remove  string // where it is closed
}

// open makes a point in time, where the server has them. Elasticsearch numbers the documents of one since 7.12; before that, and with
// OpenSearch, and without a point in time, it is the id that tells hits apart.
func (w *walk) open(ctx context.Context) error {
	server, err := w.client.server(ctx)
	var refused *Error
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
		return nil // who may search may not always ask for the version
	default:
		return err
	}
	var opened struct {
		ID  string `json:"id"`
		PIT string `json:"pit_id"`
	}
	query := url.Values{"keep_alive": {keepAlive}}
	endpoint := ""
	switch {
	case server.since("", 7, 12):
		query.Set("ignore_unavailable", "true")
		endpoint, w.remove, w.tie = "_pit", "/_pit", "_shard_doc"
	case server.since("opensearch", 2, 4):
		endpoint, w.remove = "_search/point_in_time", "/_search/point_in_time"
	default:
		return nil
	}
	err = w.client.call(ctx, http.MethodPost, path(w.request.Index, endpoint), query, nil, &opened)
	switch {
	case err == nil && opened.ID+opened.PIT != "":
		w.pit, w.path, w.query = opened.ID+opened.PIT, "/_search", nil
	case err == nil || errors.As(err, &refused) && refused.Status < 500 && refused.Status != http.StatusTooManyRequests:
		w.tie = "_id" // it can be done without
	default:
		return err
	}
	return nil
}

// close lets the point in time go; one that cannot be closed ends by itself.
func (w *walk) close(ctx context.Context) {
	body := map[string]any{"id": w.pit}
	if w.remove != "/_pit" {
		body = map[string]any{"pit_id": []string{w.pit}}
	}
	_ = w.client.call(context.WithoutCancel(ctx), http.MethodDelete, w.remove, nil, body, nil)
}

func (w *walk) all(ctx context.Context, page func([]Hit) error) (Answer, error) {
	var a Answer
	var after []any
	given := int64(0)
	for first := true; ; first = false {
		body := w.request.body(w.size)
		body["sort"] = w.request.order(w.tie)
		if after != nil {
			body["search_after"] = after
		}
		if first && len(w.request.Aggs) > 0 {
			body["aggs"] = w.request.Aggs
		}
		if w.pit != "" {
			body["pit"] = map[string]any{"id": w.pit, "keep_alive": keepAlive}
		}
		res, total, err := w.client.search(ctx, w.path, w.query, body)
		if err != nil {
			return Answer{}, err
		}
		if res.PIT != "" {
			w.pit = res.PIT
		}
		if first {
			if a, err = w.client.answer(w.request, res, total); err != nil {
				return Answer{}, err
			}
		}
		hits := res.Hits.Hits
		if given += int64(len(hits)); len(hits) > 0 {
			if after = hits[len(hits)-1].Sort; len(after) == 0 {
				return Answer{}, fmt.Errorf("search at %s: the hits do not say where they stand", w.client)
			}
			if err := page(hits); err != nil {
				return Answer{}, err
			}
		}
		if len(hits) < w.size {
			break
		}
	}
	// Without a point in time others may have come meanwhile; those that were there at first must all have been given.
	if given < a.Total {
		return Answer{}, tasks.WithHint(nil, "does every document have the time field? are all nodes well?", "search at %s: %d of %d hits came", w.client, given, a.Total)
	}
	a.Total = given
	return a, nil
}
