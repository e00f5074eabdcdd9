package store

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/redistest"
)

func TestBuildsAreNumberedOneAfterTheOtherWhoeverAsks(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	var mu sync.Mutex
	given := map[int64]string{}
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			s, build := New(rdb), "build"+strconv.Itoa(i)
			n, err := s.BuildNumber(t.Context(), "editor", build, 0)
			again, err2 := s.BuildNumber(t.Context(), "editor", build, 0)
			if err != nil || err2 != nil || n != again {
				t.Errorf("%s has %d and %d: %v, %v", build, n, again, err, err2)
			}
			mu.Lock()
			defer mu.Unlock()
			if other, ok := given[n]; ok {
				t.Errorf("%s and %s have %d", other, build, n)
			}
			given[n] = build
		})
	}
	wg.Wait()
	for n := range int64(100) {
		if given[n+1] == "" {
			t.Errorf("no build has %d", n+1)
		}
	}
	s := New(rdb)
	if n, err := s.BuildNumber(t.Context(), "viewer", "build1", 0); err != nil || n != 1 {
		t.Errorf("another product begins with %d: %v", n, err)
	}
	if n, err := s.BuildNumber(t.Context(), "editor", "build1", 500); err != nil || n != 500 {
		t.Errorf("a build whose number is taken gets %d: %v", n, err)
	}
	if n, err := s.BuildNumber(t.Context(), "editor", "build1", 500); err != nil || n != 500 {
		t.Errorf("and then %d: %v", n, err)
	}
	if n, err := s.BuildNumber(t.Context(), "editor", "new", 0); err != nil || n != 501 {
		t.Errorf("the next one gets %d: %v", n, err)
	}
}

func TestAClaimIsHeldByOneUntilItIsGivenBackOrForgotten(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	claim := func(who string, d time.Duration) string {
		holder, err := s.Claim(t.Context(), "step", who, d)
		if err != nil {
			t.Fatal(err)
		}
		return holder
	}
	if h := claim("a", time.Minute); h != "a" {
		t.Errorf("held by %q", h)
	}
	if h := claim("b", time.Minute); h != "a" {
		t.Errorf("taken by %q", h)
	}
	if h := claim("b", 0); h != "a" {
		t.Errorf("given back by somebody else: %q", h)
	}
	if h := claim("a", 0); h != "" {
		t.Errorf("given back, and held by %q", h)
	}
	if h := claim("b", 50*time.Millisecond); h != "b" {
		t.Errorf("held by %q", h)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); claim("c", time.Minute) != "c"; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("what nobody keeps does not end")
		}
	}
}
