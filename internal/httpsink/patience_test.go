package httpsink_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks"
)

var one = httpsink.Endpoint{Path: "/v1/records"}

func TestWhatTheAPIAsksToWaitIsWaitedForOrGoesBackToTheEngine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, after string
		status      int
		least, most time.Duration // of what goes back; 0: it is waited for here
	}{
		{"seconds, short", "1", http.StatusTooManyRequests, 0, 0},
		{"seconds, long", "120", http.StatusTooManyRequests, 2 * time.Minute, 132 * time.Second},
		{"a date, long", time.Now().Add(10 * time.Minute).UTC().Format(http.TimeFormat), http.StatusTooManyRequests, 9 * time.Minute, 11 * time.Minute},
		{"a date that is over", "Mon, 02 Jan 2006 15:04:05 GMT", http.StatusTooManyRequests, 0, 0},
		{"unavailable, long", "60", http.StatusServiceUnavailable, time.Minute, 66 * time.Second},
		{"nonsense", "soon", http.StatusTooManyRequests, 0, 0},
		{"beyond all measure", "99999999999", http.StatusTooManyRequests, 15 * time.Minute, 17 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
				if n == 1 {
					w.Header().Set("Retry-After", c.after)
					reply(w, c.status, "")
					return
				}
				reply(w, http.StatusCreated, "")
			})
			began := time.Now()
			answers, err := deliver(t, sink(t, to(a.url), one, quick()), numbered(1))
			after, asked := tasks.RetryAfterOf(err)
			if c.most == 0 {
				if err != nil || answers["r0"].Outcome != httpsink.Created {
					t.Errorf("%+v, %v", answers, err)
				}
				if c.after == "1" && time.Since(began) < time.Second {
					t.Errorf("it did not wait for the second that the API asked for, but %s", time.Since(began))
				}
				return
			}
			if !asked || after < c.least || after > c.most || len(answers) > 0 {
				t.Errorf("%v after %s, and %+v", err, after, answers)
			}
		})
	}
}

func TestPatienceThatOneAsksForHoldsForAllSinksOfTheProcess(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "300")
		reply(w, http.StatusTooManyRequests, "")
	})
	o := quick()
	o.Shared = httpsink.NewShared()
	defer o.Shared.Close()
	for range 3 {
		_, err := deliver(t, sink(t, to(a.url), one, o), numbered(1))
		if after, ok := tasks.RetryAfterOf(err); !ok || after < 4*time.Minute {
			t.Errorf("%v, %s", err, after)
		}
	}
	if n := len(a.requests()); n != 1 {
		t.Errorf("the API was asked %d times", n)
	}
}

func TestThatTheAPIIsBusyFailsNoRecord(t *testing.T) {
	t.Parallel()
	a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n <= 20 {
			reply(w, http.StatusTooManyRequests, "")
			return
		}
		reply(w, http.StatusCreated, "")
	})
	o := quick()
	o.Tries, o.Patience = 2, time.Minute
	o.Backoff = 10 * time.Microsecond
	if answers, err := deliver(t, sink(t, to(a.url), one, o), numbered(1)); err != nil || answers["r0"].Outcome != httpsink.Created {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestARecordThatMakesTheServerStumbleFailsAloneAndSaysWhy(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "r2") {
			reply(w, http.StatusInternalServerError, `{"message": "division by zero"}`)
			return
		}
		reply(w, http.StatusOK, "")
	})
	s := sink(t, to(a.url), httpsink.Endpoint{Method: http.MethodPut, Path: "/v1/{{ .legacy_id }}"}, quick())
	answers, err := deliver(t, s, numbered(5))
	if err != nil {
		t.Fatal(err)
	}
	bad := answers["r2"]
	if bad.Outcome != httpsink.Failed || bad.Code != "status_500" || !strings.Contains(bad.Reason, "division by zero") || !bad.Uncertain || bad.Excerpt == "" {
		t.Errorf("r2 is %+v", bad)
	}
	if answers["r4"].Outcome != httpsink.Created || len(answers) != 5 {
		t.Errorf("the others are %+v", answers)
	}
}

func TestARecordThatMakesItsBatchStumbleIsFoundWhereRecordsHaveKeys(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	fail.Store(true)
	a := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body)
		if strings.Contains(string(body[:n]), `"r2"`) && fail.Load() {
			reply(w, http.StatusInternalServerError, "")
			return
		}
		reply(w, http.StatusOK, "")
	})
	e := httpsink.Endpoint{Path: "/v1/batch", Batch: 8, RecordKey: "key"}
	o := quick()
	o.Tries = 2
	answers, err := deliver(t, sink(t, to(a.url), e, o), numbered(8))
	if err != nil {
		t.Fatal(err)
	}
	for key, answer := range answers {
		if (answer.Outcome == httpsink.Failed) != (key == "r2") {
			t.Errorf("%s is %+v", key, answer)
		}
	}
	e.RecordKey = "" // now the batch may have had an effect, which no other key may repeat
	answers, err = deliver(t, sink(t, to(a.url), e, o), numbered(8))
	if err != nil || answers["r0"].Outcome != httpsink.Failed || !answers["r0"].Uncertain {
		t.Errorf("%+v, %v", answers, err)
	}
}

func TestTheBreakerOpensWhenAllFailsAndClosesWhenItIsOver(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		if broken.Load() {
			reply(w, http.StatusBadGateway, "")
			return
		}
		reply(w, http.StatusCreated, "")
	})
	o := quick()
	o.Tries, o.OpenFor = 100, 300*time.Millisecond
	o.Backoff = 100 * time.Microsecond
	s := sink(t, to(a.url), one, o)
	answers, err := deliver(t, s, numbered(50))
	after, ok := tasks.RetryAfterOf(err)
	if !ok || after <= 0 || after > time.Second || !strings.Contains(err.Error(), "502") || tasks.HintOf(err) == "" || len(answers) > 0 {
		t.Fatalf("%v after %s, %d answers", err, after, len(answers))
	}
	sent := len(a.requests())
	if sent > 8+httpsink.DefaultConcurrency {
		t.Errorf("%d requests went to an API that only fails", sent)
	}
	if _, err := deliver(t, s, numbered(50)); err == nil || len(a.requests()) != sent {
		t.Errorf("the open breaker let %d requests through, %v", len(a.requests())-sent, err)
	}
	broken.Store(false)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		answers, err := deliver(t, s, numbered(50))
		if err == nil && len(answers) == 50 {
			return
		}
		if _, ok := tasks.RetryAfterOf(err); !ok || time.Now().After(deadline) {
			t.Fatalf("%v, %d answers", err, len(answers))
		}
	}
}

func TestAnAPIThatAnswersAndOnlyFailsIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	for status, ends := range map[int]bool{http.StatusInternalServerError: true, http.StatusBadGateway: false} {
		a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, status, "") })
		o := quick()
		o.OpenFor = 5 * time.Millisecond
		s := sink(t, to(a.url), one, o)
		waits, ended := 0, false
		for began := time.Now(); time.Since(began) < 20*time.Second && (ends || waits < 20 || time.Since(began) < 100*time.Millisecond); waits++ {
			_, err := deliver(t, s, numbered(20))
			if _, ok := tasks.RetryAfterOf(err); err != nil && !ok {
				ended = !tasks.IsPermanent(err) && tasks.HintOf(err) != ""
				break
			}
		}
		if ended != ends || waits == 0 {
			t.Errorf("status %d: ended %t after %d waits", status, ended, waits)
		}
	}
}

// counting lets everything through and counts it.
type counting struct{ n atomic.Int64 }

func (c *counting) Wait(ctx context.Context, n int) error {
	c.n.Add(int64(n))
	return ctx.Err()
}

func TestTheLimiterIsAskedForEachRequestLookupsAndRepetitionsIncluded(t *testing.T) {
	t.Parallel()
	a := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet:
			reply(w, http.StatusOK, `{"data": []}`)
		case n%3 == 0:
			reply(w, http.StatusInternalServerError, "")
		default:
			reply(w, http.StatusCreated, "")
		}
	})
	e := one
	e.Lookup = &httpsink.Lookup{Path: "/v1/records?id={{ .legacy_id }}", ID: "$.data[0].id", Always: true}
	e.IdempotencyHeader = "none"
	o, limiter := quick(), &counting{}
	o.Limiter = limiter
	if answers, err := deliver(t, sink(t, to(a.url), e, o), numbered(20)); err != nil || len(answers) != 20 {
		t.Fatalf("%d answers, %v", len(answers), err)
	}
	if n := len(a.requests()); int64(n) != limiter.n.Load() || n < 45 {
		t.Errorf("%d requests, and the limiter was asked for %d", n, limiter.n.Load())
	}
}

func TestARateHoldsForAllSinksOfTheProcess(t *testing.T) {
	t.Parallel()
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusCreated, "") })
	e := one
	e.Rate = "100/s"
	o := quick()
	o.Shared = httpsink.NewShared()
	defer o.Shared.Close()
	began := time.Now()
	results := make(chan error, 3)
	for i := range 3 {
		s := sink(t, to(a.url), e, o)
		go func() {
			results <- s.Deliver(t.Context(), numbered(30)[i:], func([]httpsink.Answer) error { return nil })
		}()
	}
	for range 3 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	// 87 requests at 100/s, with a burst of 5, take 820 ms at least; how much longer is up to the machine.
	if took, n := time.Since(began), len(a.requests()); n != 87 || took < 800*time.Millisecond {
		t.Errorf("%d requests in %s", n, took)
	}
}

func TestNoMoreRequestsAreUnderWayThanTheEndpointAllows(t *testing.T) {
	t.Parallel()
	var now, most atomic.Int64
	a := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-time.After(time.Millisecond)
		now.Add(-1)
		reply(w, http.StatusCreated, "")
	})
	e := one
	e.Concurrency = 3
	if _, err := deliver(t, sink(t, to(a.url), e, quick()), numbered(100)); err != nil {
		t.Fatal(err)
	}
	if most.Load() > 3 || most.Load() < 2 {
		t.Errorf("%d requests were under way at once", most.Load())
	}
}

func TestWhenTheContextEndsWaitingEndsAtOnceAndWhatIsUnderWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n == 1 { // the other worker waits for a minute, within its patience
			w.Header().Set("Retry-After", "60")
			reply(w, http.StatusServiceUnavailable, "")
			return
		}
		arrived <- struct{}{}
		<-release
		reply(w, http.StatusCreated, "")
	})
	e := one
	e.Concurrency = 1
	o := quick()
	o.Grace, o.Patience = time.Minute, 5*time.Minute
	waits := sink(t, to(a.url), e, o)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- waits.Deliver(ctx, numbered(3), func([]httpsink.Answer) error { return nil }) }()
	poll(t, func() bool { return len(a.requests()) == 1 })
	var got []httpsink.Answer
	runs := sink(t, to(a.url), e, o)
	go func() {
		ended <- runs.Deliver(ctx, numbered(3), func(all []httpsink.Answer) error {
			got = append(got, all...)
			return nil
		})
	}()
	<-arrived
	cancel(tasks.ErrDrained)
	if err := <-ended; !errors.Is(err, tasks.ErrDrained) { // the one that waits
		t.Errorf("the wait ended with %v", err)
	}
	close(release)
	if err := <-ended; !errors.Is(err, tasks.ErrDrained) {
		t.Errorf("Deliver returned %v", err)
	}
	if len(got) != 1 || got[0].Outcome != httpsink.Created || len(a.requests()) != 2 {
		t.Errorf("the answers are %+v, of %d requests", got, len(a.requests()))
	}
}

func TestWhatIsUnderWayIsCutWhenTheGraceIsOver(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{}, 1)
	a := serve(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	o := quick()
	o.Grace = 10 * time.Millisecond
	s := sink(t, to(a.url), one, o)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Deliver(ctx, numbered(1), func([]httpsink.Answer) error { return errors.New("an answer") })
	}()
	<-arrived
	cancel(tasks.ErrDrained)
	if err := <-ended; !errors.Is(err, tasks.ErrDrained) {
		t.Errorf("Deliver returned %v", err)
	}
}

func TestAnErrorOfTheCallerEndsTheDelivery(t *testing.T) {
	t.Parallel()
	a := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusCreated, `{"id": `+strconv.Itoa(n)+`}`)
	})
	full := errors.New("the disk is full")
	calls := 0
	err := sink(t, to(a.url), one, quick()).Deliver(t.Context(), numbered(10_000), func([]httpsink.Answer) error {
		calls++
		return full
	})
	if !errors.Is(err, full) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if n := len(a.requests()); n > 5_000 {
		t.Errorf("%d requests went on", n)
	}
}

// poll waits until something is true.
func poll(t *testing.T, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !is(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain")
		}
	}
}
