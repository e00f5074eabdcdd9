package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
)

// arrivals is an API that notes when requests come.
func arrivals(t *testing.T) (url string, times func() []time.Time) {
	t.Helper()
	var mu sync.Mutex
	var all []time.Time
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, time.Now())
		w.WriteHeader(http.StatusCreated)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

// send delivers records through a sink of a process of its own.
func send(t *testing.T, url string, of *turns, process, records int) {
	endpoint := httpsink.Endpoint{Path: "/c", Rate: "40/s"}
	sink, err := httpsink.New(httpsink.Connection{BaseURL: url}, endpoint, httpsink.Options{Limiter: of.limiter("api POST /c", endpoint.PerSecond())})
	if err != nil {
		t.Error(err)
		return
	}
	defer sink.Close()
	var list []httpsink.Record
	for i := range records {
		key := fmt.Sprintf("%d-%d", process, i)
		list = append(list, httpsink.Record{Key: key, IdempotencyKey: key, Fields: map[string]any{"id": i}})
	}
	if err := sink.Deliver(t.Context(), list, func([]httpsink.Answer) error { return nil }); err != nil {
		t.Error(err)
	}
}

func TestARateHoldsOverAllWorkers(t *testing.T) {
	t.Parallel()
	url, times := arrivals(t)
	rdb := redistest.Client(t)
	var wg sync.WaitGroup
	for process := range 3 {
		wg.Go(func() { send(t, url, newTurns(store.New(rdb)), process, 20) })
	}
	wg.Wait()
	all := times()
	if len(all) != 60 {
		t.Fatalf("%d requests, want 60", len(all))
	}
	// 60 requests at 40/s, of which two may come at once: 58 intervals of 25 ms. Each process alone would have needed a third.
	if took := all[len(all)-1].Sub(all[0]); took < 1200*time.Millisecond {
		t.Errorf("60 requests came within %v", took)
	}
}

func TestWithoutRedisAProcessKeepsToTheRateByItself(t *testing.T) {
	t.Parallel()
	url, times := arrivals(t)
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialTimeout: 100 * time.Millisecond})
	t.Cleanup(func() { _ = rdb.Close() })
	send(t, url, newTurns(store.New(rdb)), 0, 20)
	all := times()
	if len(all) != 20 {
		t.Fatalf("%d requests, want 20", len(all))
	}
	if took := all[len(all)-1].Sub(all[0]); took < 300*time.Millisecond || took > 20*time.Second {
		t.Errorf("20 requests came within %v", took)
	}
}

func TestWhoWaitsForItsTurnIsGoneWhenItsContextIs(t *testing.T) {
	t.Parallel()
	l := newTurns(store.New(redistest.Client(t))).limiter("e", 0.01)
	if err := l.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Wait(ctx, 1); err == nil {
		t.Error("want an error")
	}
}
