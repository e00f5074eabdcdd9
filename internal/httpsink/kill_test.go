package httpsink_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/tasks"
)

// A test runs this program again as a worker, which it kills.
var (
	workerURL    = flag.String("worker-url", "", "be a worker that delivers to this API")
	workerPlan   = flag.String("worker-plan", "", "by this endpoint, in JSON")
	workerLedger = flag.String("worker-ledger", "", "and writes answers into this file")
)

const killRecords = 3_000

// work is the life of a worker: it delivers, in groups, what has no answer in the ledger.
func work() error {
	var e httpsink.Endpoint
	if err := json.Unmarshal([]byte(*workerPlan), &e); err != nil {
		return err
	}
	s, err := httpsink.New(httpsink.Connection{BaseURL: *workerURL}, e, httpsink.Options{Backoff: time.Millisecond, OpenFor: 50 * time.Millisecond})
	if err != nil {
		return err
	}
	defer s.Close()
	known, err := readLedger(*workerLedger)
	if err != nil {
		return err
	}
	ledger, err := os.OpenFile(*workerLedger, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = ledger.Close() }()
	all := numbered(killRecords)
	for from := 0; from < len(all); from += 500 {
		group := all[from : from+500]
		for open := true; open; {
			open = false
			for i := range group {
				_, group[i].Answered = known[group[i].Key]
				group[i].Maybe = true
				open = open || !group[i].Answered
			}
			err := s.Deliver(context.Background(), group, func(answers []httpsink.Answer) error {
				var lines []byte
				for _, a := range answers {
					if a.Outcome == httpsink.Failed {
						continue
					}
					known[a.Key] = a
					line, err := json.Marshal(a)
					if err != nil {
						return err
					}
					lines = append(lines, line...)
					lines = append(lines, '\n')
				}
				_, err := ledger.Write(lines) // one write: a killed process has written all of it or nothing
				return err
			})
			if tasks.IsPermanent(err) { // anything else is an attempt that failed
				return err
			}
		}
	}
	return nil
}

func readLedger(name string) (map[string]httpsink.Answer, error) {
	known := map[string]httpsink.Answer{}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return known, nil
	} else if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var a httpsink.Answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			return nil, err
		}
		if _, twice := known[a.Key]; twice {
			return nil, fmt.Errorf("%s is in the ledger twice", a.Key)
		}
		known[a.Key] = a
	}
	return known, nil
}

func TestEachRecordTakesEffectOnceWhenWorkersAreKilled(t *testing.T) {
	t.Parallel()
	partial := &httpsink.Partial{Items: "$.results", Status: "$.status", ID: "$.id", Error: "$.error", Match: "$.legacy_id"}
	for _, c := range []struct {
		name     string
		mode     apitest.Mode
		endpoint httpsink.Endpoint
	}{
		{"one by one, by keys", apitest.ModeKeys, httpsink.Endpoint{Path: "/v1/records", ID: "$.data.id", Concurrency: 8}},
		{"batches, by keys", apitest.ModeKeys, httpsink.Endpoint{Path: "/v1/records/batch", Batch: 20, Partial: partial, Concurrency: 2}},
		{"batches, by lookup", apitest.ModeLookup, httpsink.Endpoint{Path: "/v1/records/batch", Batch: 20, Partial: partial, Concurrency: 8, IdempotencyHeader: "none",
			Lookup: &httpsink.Lookup{Path: "/v1/records?legacy_id={{ .legacy_id }}", ID: "$.data[0].id", Settle: httpsink.Duration(500 * time.Millisecond)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := apitest.New(apitest.Options{Mode: c.mode, Partial: true, Seed: 3, Reject: bad, HangFor: time.Second, HoldFor: 10 * time.Millisecond,
				Faults: apitest.Faults{Error: 0.05, Hang: 0.02, Busy: 0.02, Cut: 0.03, Item: 0.02}})
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			c.endpoint.Timeout = httpsink.Duration(300 * time.Millisecond)
			plan, err := json.Marshal(c.endpoint)
			if err != nil {
				t.Fatal(err)
			}
			ledger := filepath.Join(t.TempDir(), "ledger")
			random := rand.New(rand.NewPCG(5, 1))
			for kills := 0; ; kills++ {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if kills < 12 { // the context's end is a kill -9
					ctx, cancel = context.WithTimeout(ctx, time.Duration(60+random.IntN(250))*time.Millisecond)
				}
				worker := exec.CommandContext(ctx, os.Args[0], "-worker-url", server.URL(), "-worker-plan", string(plan), "-worker-ledger", ledger)
				out, err := worker.CombinedOutput()
				killed := ctx.Err() != nil
				cancel()
				if err == nil {
					t.Logf("done after %d kills, %+v", kills, server.State().Counts)
					break
				}
				if !killed {
					t.Fatalf("the worker ended with %v: %s", err, out)
				}
			}
			known, err := readLedger(ledger)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, numbered(killRecords), known, server.State())
		})
	}
}
