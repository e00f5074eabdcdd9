package httpsink_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/tasks"
)

var records = flag.Int("records", 3_000, "how many records go through the hostile server, in each way, without -short")

// caller is what the engine and a family are to a sink: it writes answers down, dies at times, and comes again.
type caller struct {
	t       *testing.T
	sink    *httpsink.Sink
	random  *rand.Rand
	answers map[string]httpsink.Answer
	within  int // an attempt dies, if it does, within so many calls of done
	deaths  int
	failed  int
	busy    int
}

var errKilled = errors.New("killed")

// run delivers records, a chunk after the other, until each has a final answer.
func (c *caller) run(records []httpsink.Record, chunk int) {
	c.t.Helper()
	c.answers = map[string]httpsink.Answer{}
	for from := 0; from < len(records); from += chunk {
		part := append([]httpsink.Record(nil), records[from:min(from+chunk, len(records))]...)
		for attempt := 0; !c.settled(part); attempt++ {
			if attempt == 300 {
				c.t.Fatalf("after %d attempts there are records without an answer", attempt)
			}
			for i := range part {
				_, part[i].Answered = c.answers[part[i].Key]
				part[i].Maybe = attempt > 0
			}
			c.attempt(part)
		}
	}
}

func (c *caller) settled(part []httpsink.Record) bool {
	for _, r := range part {
		if _, ok := c.answers[r.Key]; !ok {
			return false
		}
	}
	return true
}

// attempt is one Deliver, which often dies: before answers are written down, or with requests under way.
func (c *caller) attempt(part []httpsink.Record) {
	ctx, cancel := context.WithCancelCause(c.t.Context())
	defer cancel(nil)
	dies := c.random.IntN(c.within)
	calls := 0
	err := c.sink.Deliver(ctx, part, func(all []httpsink.Answer) error {
		if calls++; calls == dies {
			c.deaths++
			return errKilled
		}
		for _, a := range all {
			if a.Outcome == httpsink.Failed {
				c.failed++
				continue
			}
			if before, ok := c.answers[a.Key]; ok {
				c.t.Errorf("%s is answered twice: %+v and %+v", a.Key, before, a)
			}
			c.answers[a.Key] = a
		}
		if calls == dies-1 {
			c.deaths++
			cancel(errKilled)
		}
		return nil
	})
	if after, ok := tasks.RetryAfterOf(err); ok {
		c.busy++
		t := time.NewTimer(min(after, 100*time.Millisecond))
		defer t.Stop()
		<-t.C
		return
	}
	if tasks.IsPermanent(err) { // anything else is an attempt that failed
		c.t.Fatalf("Deliver returned %v", err)
	}
}

// numbered returns n records with keys.
func numbered(n int) []httpsink.Record {
	out := make([]httpsink.Record, n)
	for i := range out {
		key := fmt.Sprintf("r%d", i)
		out[i] = httpsink.Record{Key: key, IdempotencyKey: "job/stage/" + key, Fields: map[string]any{"legacy_id": key, "n": i}}
	}
	return out
}

// bad says which records the server refuses: few, as each costs a whole batch some halving.
func bad(key string) bool { return len(key) > 2 && key[len(key)-2:] == "77" && key[len(key)-3] == '3' }

func TestEachRecordTakesEffectOnceThroughFaultsOfAllKindsAndDeaths(t *testing.T) {
	t.Parallel()
	lookup := &httpsink.Lookup{Path: "/v1/records?legacy_id={{ .legacy_id }}", ID: "$.data[0].id", Settle: httpsink.Duration(time.Second)}
	partial := &httpsink.Partial{Items: "$.results", Status: "$.status", ID: "$.id", Error: "$.error", Match: "$.legacy_id"}
	rare := apitest.Faults{Error: 0.10, Hang: 0.005, Busy: 0.03, Cut: 0.01, Item: 0.02}
	for _, c := range []struct {
		name     string
		server   apitest.Options
		endpoint httpsink.Endpoint
	}{
		{"one by one, by keys", apitest.Options{Mode: apitest.ModeKeys},
			httpsink.Endpoint{Path: "/v1/records", ID: "$.data.id", Concurrency: 24}},
		{"one by one, by lookup", apitest.Options{Mode: apitest.ModeLookup, Faults: rare},
			httpsink.Endpoint{Path: "/v1/records", ID: "header:Location", IdempotencyHeader: "none", Lookup: lookup, Concurrency: 32}},
		{"one by one, by PUT", apitest.Options{Mode: apitest.ModePut},
			httpsink.Endpoint{Method: http.MethodPut, Path: "/v1/records/{{ .legacy_id }}", ID: "$.data.id", Concurrency: 24}},
		{"batches that stand or fall, by keys", apitest.Options{Mode: apitest.ModeKeys},
			httpsink.Endpoint{Path: "/v1/records/batch", Batch: 50, ID: "$.results[*].id", Concurrency: 16}},
		{"batches answered in part, by keys", apitest.Options{Mode: apitest.ModeKeys, Partial: true},
			httpsink.Endpoint{Path: "/v1/records/batch", Batch: 50, BatchField: "items", Partial: partial, Concurrency: 16}},
		{"batches, by a key for each record", apitest.Options{Mode: apitest.ModeRecordKeys, Partial: true},
			httpsink.Endpoint{Path: "/v1/records/batch", Batch: 50, ContentType: "application/x-ndjson", RecordKey: "idempotency_key", Partial: partial, Concurrency: 16}},
		{"batches, by lookup", apitest.Options{Mode: apitest.ModeLookup, Partial: true},
			httpsink.Endpoint{Path: "/v1/records/batch", Batch: 50, IdempotencyHeader: "none", Lookup: lookup, Partial: partial, Concurrency: 16}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := *records
			if testing.Short() {
				n = 2_000
			}
			c.server.Reject, c.server.Seed = bad, 7
			c.server.HangFor, c.server.HoldFor = 5*time.Second, 20*time.Millisecond
			if c.server.Faults == (apitest.Faults{}) {
				c.server.Faults = apitest.Hostile()
			}
			server := apitest.New(c.server)
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			c.endpoint.Timeout = httpsink.Duration(300 * time.Millisecond)
			if c.server.Faults == rare { // what times out although nothing hangs, on a busy machine, costs most here
				c.endpoint.Timeout = httpsink.Duration(time.Second)
			}
			sink, err := httpsink.New(httpsink.Connection{BaseURL: server.URL()}, c.endpoint,
				httpsink.Options{Grace: time.Millisecond, Backoff: 5 * time.Millisecond, OpenFor: 50 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer sink.Close()
			within := 40
			switch {
			case c.endpoint.Batch > 1:
				within = 8
			case c.endpoint.Lookup != nil:
				within = min(400, n/25) // each death costs a lookup for all that is left of a chunk
			}
			caller := &caller{t: t, sink: sink, within: within, random: rand.New(rand.NewPCG(11, 1))}
			all := numbered(n)
			began := time.Now()
			caller.run(all, max(n/20, 500))
			compare(t, all, caller.answers, server.State())
			t.Logf("%d records, %d deaths, %d failed, %d times busy, %s, %+v", n, caller.deaths, caller.failed, caller.busy, time.Since(began).Round(time.Millisecond), server.State().Counts)
		})
	}
}

// compare finds records that did not take effect exactly once, and answers that are not what the server knows.
func compare(t *testing.T, records []httpsink.Record, answers map[string]httpsink.Answer, state apitest.State) {
	t.Helper()
	wrong := 0
	for _, r := range records {
		a, effects := answers[r.Key], state.Effects[r.Key]
		want := 1
		if bad(r.Key) {
			want = 0
		}
		id := fmt.Sprint(state.IDs[r.Key])
		if a.Outcome == httpsink.Rejected {
			id = ""
		}
		if effects == want && (a.Outcome == httpsink.Rejected) == (want == 0) && a.IDText() == id {
			continue
		}
		if wrong++; wrong <= 10 {
			t.Errorf("%s took effect %d times and has the id %d; its answer is %+v", r.Key, effects, state.IDs[r.Key], a)
		}
	}
	if wrong > 0 || len(state.Effects) > len(records) {
		t.Errorf("%d records are wrong; the server has %d", wrong, len(state.Effects))
	}
}
