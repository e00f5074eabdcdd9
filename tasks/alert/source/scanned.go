package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks"
)

// feed is a place that gives the events of a window, and knows no filters and no metrics of ours.
type feed interface {
	// each gives every event of (Start, End], by time, and those of the same time in an order that stays the same.
	each(ctx context.Context, q Query, event func(Hit) error) error
	// count counts them; not ok where they have to be read for it.
	count(ctx context.Context, q Query) (n int64, ok bool, err error)
}

// scanned is a Source over a feed: it looks at the filters, and makes the counts and metrics, itself.
type scanned struct{ feed }

// defaultPage is how many hits are given at once when nobody says; maxHeld how many events are held in memory, where they have to be
// held.
const (
	defaultPage = 1000
	maxHeld     = 500_000
)

// tooMany is the error of a window that cannot be held.
func tooMany(what string) error {
	return tasks.Permanent(tasks.WithHint(nil, "let the query of the rule count or sum up, or make the window smaller (run_every, buffer_time)",
		"a window has more than %d %s", maxHeld, what))
}

// matching gives the events of a window that the filters let through.
func (s *scanned) matching(ctx context.Context, q Query, event func(Hit) error) error {
	match, err := compileFilter(q.Filter, q.End)
	if err != nil {
		return tasks.Permanent(err)
	}
	return s.each(ctx, q, func(h Hit) error {
		if !match(h) {
			return nil
		}
		return event(h)
	})
}

// Search implements Source.
func (s *scanned) Search(ctx context.Context, q Query, page func([]Hit) error) (Found, error) {
	var found Found
	if len(q.Filter) == 0 && q.Known.After(q.Start) {
		until := q
		if until.End = q.Known; q.End.Before(q.Known) {
			until.End = q.End
		}
		n, ok, err := s.count(ctx, until)
		if err != nil {
			return Found{}, err
		}
		if ok {
			found.Known, q.Start = n, until.End
		}
	}
	size := q.PageSize
	if size <= 0 {
		size = defaultPage
	}
	var hits []Hit
	err := s.matching(ctx, q, func(h Hit) error {
		if !h.At.After(q.Known) {
			found.Known++
			return nil
		}
		found.New++
		h.Doc = including(h.Doc, q)
		if hits = append(hits, h); len(hits) < size {
			return nil
		}
		full := hits
		hits = nil
		return page(full)
	})
	if err == nil && len(hits) > 0 {
		err = page(hits)
	}
	if err != nil {
		return Found{}, err
	}
	return found, nil
}

// Count implements Source.
func (s *scanned) Count(ctx context.Context, q Query) (int64, error) {
	if len(q.Filter) == 0 {
		if n, ok, err := s.count(ctx, q); ok || err != nil {
			return n, err
		}
	}
	var n int64
	err := s.matching(ctx, q, func(Hit) error {
		n++
		return nil
	})
	return n, err
}

// Terms implements Source. A list has each of its values.
func (s *scanned) Terms(ctx context.Context, q Query, field string, least, limit int) ([]Bucket, error) {
	counts := map[string]*Bucket{}
	err := s.matching(ctx, q, func(h Hit) error {
		values, isList := document.Value(h.Doc, field).([]any)
		if !isList {
			values = []any{document.Value(h.Doc, field)}
		}
		seen := make([]string, 0, len(values))
		for _, v := range values {
			name := document.Same(v)
			if v == nil || slices.Contains(seen, name) {
				continue
			}
			seen = append(seen, name)
			b := counts[name]
			if b == nil {
				if len(counts) == maxHeld {
					return tooMany("values of " + field)
				}
				b = &Bucket{Key: v}
				counts[name] = b
			}
			b.Count++
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	buckets := make([]Bucket, 0, len(counts))
	for _, b := range counts {
		if b.Count >= int64(least) {
			buckets = append(buckets, *b)
		}
	}
	if limit > 0 && len(buckets) > limit {
		return nil, tasks.WithHint(nil, "raise terms_size, or let min_doc_count or a filter leave some out", "%s has %d values, and %d are asked for", field, len(buckets), limit)
	}
	slices.SortFunc(buckets, func(a, b Bucket) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(document.Same(a.Key), document.Same(b.Key)))
	})
	return buckets, nil
}

// Aggregate implements Source.
func (s *scanned) Aggregate(ctx context.Context, q Query, aggs map[string]any) (map[string]any, int64, error) {
	if err := docsearch.CheckAggregations(aggs); err != nil {
		return nil, 0, tasks.Permanent(err)
	}
	var hits []Hit
	err := s.matching(ctx, q, func(h Hit) error {
		if len(hits) == maxHeld {
			return tooMany("events, which a metric cannot be made of here")
		}
		hits = append(hits, h)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	answer, err := aggregate(hits, aggs, q)
	if err != nil {
		return nil, 0, err
	}
	return answer, int64(len(hits)), nil
}

// maxTied is how many events of the same time are put in order.
const maxTied = 50_000

// inTime gives events that come by time, or in any order, by time and name, and names those that have no name by what is in them: two
// of the same time that are equal are told apart by a number.
type inTime struct {
	event  func(Hit) error
	sorted bool // they come by time
	held   []Hit
	last   string // the hash of the event that was named last, and how many before it have had the same
	same   int
	lastAt time.Time
}

// add takes an event.
func (o *inTime) add(h Hit) error {
	if h.ID == "" {
		b, err := json.Marshal(h.Doc)
		if err != nil {
			return fmt.Errorf("name an event: %w", err)
		}
		sum := sha256.Sum256(b)
		h.ID = hashed + hex.EncodeToString(sum[:10])
	}
	switch {
	case !o.sorted && len(o.held) == maxHeld:
		return tooMany("events whose times are text, which are put in order here")
	case o.sorted && len(o.held) > 0 && (!o.held[0].At.Equal(h.At) || len(o.held) == maxTied):
		if err := o.end(); err != nil {
			return err
		}
	}
	o.held = append(o.held, h)
	return nil
}

// hashed marks, within inTime, a name that is a hash.
const hashed = "\x00"

// end gives what is held.
func (o *inTime) end() error {
	slices.SortStableFunc(o.held, func(a, b Hit) int { return cmp.Or(a.At.Compare(b.At), strings.Compare(a.ID, b.ID)) })
	for _, h := range o.held {
		if name, ok := strings.CutPrefix(h.ID, hashed); ok {
			if name == o.last && h.At.Equal(o.lastAt) {
				o.same++
			} else {
				o.last, o.same, o.lastAt = name, 0, h.At
			}
			if h.ID = name; o.same > 0 {
				h.ID += "-" + strconv.Itoa(o.same+1)
			}
		}
		if err := o.event(named(h)); err != nil {
			return err
		}
	}
	clear(o.held)
	o.held = o.held[:0]
	return nil
}

// named puts the name of an event into its document.
func named(h Hit) Hit {
	h.Doc["_id"] = h.ID
	if h.Index != "" {
		h.Doc["_index"] = h.Index
	}
	return h
}
