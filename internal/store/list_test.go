package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// crowd creates jobs of several kinds and tenants, four of them in each millisecond.
func crowd(t *testing.T, s *Store, n int) {
	t.Helper()
	start := time.UnixMilli(1_700_000_000_000).UTC()
	for i := range n {
		job := tasks.Job{ID: fmt.Sprintf("j-%04d", i), Kind: []string{"a", "b"}[i%2], Tenant: []string{"x", "y", ""}[i%3], Spec: []byte(`{}`),
			Labels: map[string]string{"n": fmt.Sprint(i % 5)}, CreatedAt: start.Add(time.Duration(i/4) * time.Millisecond)}
		if _, _, err := s.Create(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
}

// pages reads a list to its end, page by page.
func pages(t *testing.T, s *Store, f Filter) []string {
	t.Helper()
	var ids []string
	for range 1000 {
		jobs, next, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			ids = append(ids, j.ID)
		}
		if next == "" {
			return ids
		}
		f.After = next
	}
	t.Fatal("the list has no end")
	return nil
}

func TestJobsOfOneMomentAreAllListed(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	const n = 650
	at := time.UnixMilli(1_700_000_000_000).UTC()
	for i := range n {
		if _, _, err := s.Create(t.Context(), tasks.Job{ID: fmt.Sprintf("j-%04d", i), Kind: "a", Spec: []byte(`{}`), CreatedAt: at}); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{50, 200, 300} {
		if got := pages(t, s, Filter{Limit: limit}); len(got) != n || got[0] != "j-0649" || got[n-1] != "j-0000" {
			t.Errorf("pages of %d: %d jobs, want %d", limit, len(got), n)
		}
	}
}

func TestAListIsReadPageByPageWithoutGapOrRepetition(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	const n = 450
	crowd(t, s, n)
	for name, c := range map[string]struct {
		filter Filter
		want   func(i int) bool
	}{
		"all":           {Filter{Limit: 7}, func(int) bool { return true }},
		"large pages":   {Filter{Limit: 200}, func(int) bool { return true }},
		"one tenant":    {Filter{Limit: 10, Tenants: []string{"x"}}, func(i int) bool { return i%3 == 0 }},
		"two tenants":   {Filter{Limit: 10, Tenants: []string{"x", "y"}}, func(i int) bool { return i%3 != 2 }},
		"no tenant":     {Filter{Limit: 10, Tenants: []string{}}, func(int) bool { return false }},
		"kind":          {Filter{Limit: 10, Kind: "b"}, func(i int) bool { return i%2 == 1 }},
		"label":         {Filter{Limit: 10, Labels: map[string]string{"n": "4"}}, func(i int) bool { return i%5 == 4 }},
		"another state": {Filter{States: []tasks.State{tasks.Failed}}, func(int) bool { return false }},
		"kind, tenant":  {Filter{Limit: 3, Kind: "a", Tenants: []string{""}}, func(i int) bool { return i%2 == 0 && i%3 == 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := pages(t, s, c.filter)
			var want []string
			for i := n - 1; i >= 0; i-- {
				if c.want(i) {
					want = append(want, fmt.Sprintf("j-%04d", i))
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("%d jobs %v, want %d %v", len(got), got, len(want), want)
			}
		})
	}
}
