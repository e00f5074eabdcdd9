package source_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/elastictest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/source"
)

// answer is what a participant was told, in words.
func answer(ctx context.Context, s source.Source, i int) string {
	q := window(term("user.keyword", fmt.Sprintf("u%d", i%50)))
	if i%3 == 0 {
		q.Filter = append(q.Filter, map[string]any{"query_string": map[string]any{"query": "request AND NOT nothing"}})
	}
	if i%5 == 0 {
		q.Known = midnight.Add(time.Duration(i) * time.Minute)
	}
	switch i % 4 {
	case 0:
		n, err := s.Count(ctx, q)
		return fmt.Sprint(n, err)
	case 1:
		buckets, err := s.Terms(ctx, q, "host.name.keyword", 1, 3+i%6)
		return fmt.Sprint(buckets, err)
	case 2:
		got, n, err := s.Aggregate(ctx, q, map[string]any{"m": map[string]any{"sum": map[string]any{"field": "ms"}}})
		return fmt.Sprint(got, n, err)
	}
	q.PageSize = 60 + i
	var docs []any
	found, err := s.Search(ctx, q, func(hits []source.Hit) error {
		for _, h := range hits {
			docs = append(docs, h.ID, h.At, fmt.Sprint(h.Doc))
			h.Doc["mine"] = i
		}
		return nil
	})
	return fmt.Sprint(docs, found, err)
}

func TestTogetherEveryoneIsToldWhatTheyWouldBeAlone(t *testing.T) {
	t.Parallel()
	sources, server := both(t, logs(400))
	const n = 60
	for name, s := range sources {
		before := server.Requests("search") + server.Requests("count")
		got := make([]string, n)
		var all sync.WaitGroup
		for i, p := range source.Together(s, n) {
			all.Go(func() {
				defer p.Done()
				got[i] = answer(t.Context(), p, i)
			})
		}
		all.Wait()
		asked := server.Requests("search") + server.Requests("count") - before
		for i := range n {
			if want := answer(t.Context(), s, i); got[i] != want {
				t.Errorf("%s: %d was told\n%s\nand alone\n%s", name, i, got[i], want)
			}
		}
		if name == "http" && asked > 20 { // one for the hits, one for the numbers, and what has more values than its limit by itself
			t.Errorf("%d requests were sent for %d", asked, n)
		}
	}
}

func TestAThousandRulesAreTwoRequests(t *testing.T) {
	t.Parallel()
	sources, server := both(t, logs(200))
	var all sync.WaitGroup
	for i, p := range source.Together(sources["http"], 1000) {
		all.Go(func() {
			defer p.Done()
			q := window(term("user.keyword", fmt.Sprintf("u%d", i)))
			ids, found, err := search(t.Context(), p, q)
			want := int64(0)
			if i < 40 {
				want = 5
			}
			if err != nil || found.New != want || len(strings.Fields(ids)) != int(want) {
				t.Errorf("rule %d: %s, %+v, %v", i, ids, found, err)
			}
		})
	}
	all.Wait()
	if n := server.Requests("search"); n != 2 {
		t.Errorf("a thousand rules took %d searches", n)
	}
}

func TestEqualRequestsAreSentOnceAndEachHasCopies(t *testing.T) {
	t.Parallel()
	sources, server := both(t, logs(50))
	var all sync.WaitGroup
	for i, p := range source.Together(sources["http"], 30) {
		all.Go(func() {
			defer p.Done()
			_, err := p.Search(t.Context(), window(), func(hits []source.Hit) error {
				for _, h := range hits {
					if _, foreign := h.Doc["mine"]; foreign {
						t.Error("a document is another's too")
					}
					h.Doc["mine"] = i
				}
				return nil
			})
			n, err2 := p.Count(t.Context(), window())
			if err != nil || err2 != nil || n != 50 {
				t.Errorf("%d, %v, %v", n, err, err2)
			}
		})
	}
	all.Wait()
	if n := server.Requests("search") + server.Requests("count"); n != 2 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestOneBadQueryHurtsNobodyElse(t *testing.T) {
	t.Parallel()
	sources, server := both(t, logs(100))
	for name, s := range sources {
		var all sync.WaitGroup
		for i, p := range source.Together(s, 64) {
			all.Go(func() {
				defer p.Done()
				q := window(term("user.keyword", fmt.Sprintf("u%d", i)))
				if i == 37 {
					q.Filter = []map[string]any{{"no_such_query": map[string]any{}}}
				}
				_, _, err := search(t.Context(), p, q)
				_, err2 := p.Count(t.Context(), q)
				if bad := i == 37; (err != nil) != bad || (err2 != nil) != bad || bad && (!tasks.IsPermanent(err) || !strings.Contains(err.Error(), "no_such_query")) {
					t.Errorf("%s: %d: %v, %v", name, i, err, err2)
				}
			})
		}
		all.Wait()
	}
	if n := server.Requests("search") + server.Requests("count"); n > 30 {
		t.Errorf("to find one bad query of 64, twice, took %d requests", n)
	}
}

func TestWhatFailsForAllIsToldToAll(t *testing.T) {
	t.Parallel()
	sources, server := both(t, logs(10))
	server.Fail(elastictest.Faults{Status: 503, RetryAfter: 9 * time.Second})
	var all sync.WaitGroup
	for i, p := range source.Together(sources["http"], 8) {
		all.Go(func() {
			defer p.Done()
			_, err := p.Count(t.Context(), window(term("user.keyword", fmt.Sprint(i))))
			if d, ok := tasks.RetryAfterOf(err); !ok || d != 9*time.Second {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	all.Wait()
	if n := server.Requests("search"); n != 1 {
		t.Errorf("%d requests were sent", n)
	}
}

func TestOneThatLeavesOrPanicsDoesNotKeepTheOthers(t *testing.T) {
	t.Parallel()
	sources, _ := both(t, logs(30))
	ps := source.Together(sources["memory"], 5)
	ps[0].Done() // without having asked
	ps[0].Done()
	gone, cancel := context.WithCancel(t.Context())
	left := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // gives up while the others have not come yet
		defer ps[1].Done()
		defer close(left)
		cancel()
		if _, err := ps[1].Count(gone, window()); !errors.Is(err, context.Canceled) {
			t.Errorf("the one that gave up was told %v", err)
		}
	})
	<-left
	all.Go(func() {
		defer ps[2].Done()
		_, err := ps[2].Search(t.Context(), window(), func([]source.Hit) error { panic("oh") })
		if err == nil || !strings.Contains(err.Error(), "oh") {
			t.Errorf("the one that panicked was told %v", err)
		}
	})
	all.Go(func() {
		defer ps[3].Done()
		_, err := ps[3].Search(t.Context(), window(term("user.keyword", "u1")), func([]source.Hit) error { return errors.New("enough") })
		if err == nil || err.Error() != "enough" {
			t.Errorf("the one that had enough was told %v", err)
		}
	})
	all.Go(func() {
		defer ps[4].Done()
		if ids, found, err := search(t.Context(), ps[4], window(term("user.keyword", "u2"))); err != nil || ids != "e0002" || found.New != 1 {
			t.Errorf("the other was told %s, %v, %v", ids, found, err)
		}
	})
	all.Wait()
}
