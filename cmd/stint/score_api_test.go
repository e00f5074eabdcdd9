package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// apiScores are the ways in which records go to an API, with what is played of each.
var apiScores = []struct {
	name         string
	server       apitest.Options
	http         string // of the plan
	short, whole int
}{
	{"batches", apitest.Options{Mode: apitest.ModeKeys, Partial: true},
		"{path: /v1/records/batch, batch: 50, partial: {items: $.results, status: $.status, id: $.id, error: $.error, match: $.legacy_id}, timeout: 250ms}", 2_000, 100_000},
	{"one by one", apitest.Options{Mode: apitest.ModeKeys}, "{path: /v1/records, id: $.data.id, timeout: 250ms}", 400, 100_000},
	{"lookup", apitest.Options{Mode: apitest.ModeLookup},
		"{path: /v1/records, id: $.data.id, timeout: 250ms, idempotency_header: none, lookup: {path: '/v1/records?legacy_id={{ .legacy_id }}', id: '$.data[0].id', settle: 300ms}}", 300, 20_000},
}

// An API fails a tenth of all requests, carries out a twentieth and answers never, cuts another twentieth off in the middle, of a
// batch with a part of it done, and asks for patience, while workers are killed: each record takes effect once.
func TestScoreRecordsOfAHostileAPIAndKilledWorkers(t *testing.T) {
	t.Parallel()
	for _, s := range apiScores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			n, kills := size(rows, s.short, s.whole), size(runs, 3, 20)
			random := moments(t)
			o := s.server
			o.Faults, o.Seed, o.RetryAfter, o.HangFor = apitest.Hostile(), random.Uint64(), time.Second, 10*time.Second
			api := apitest.New(o)
			if err := api.Start(); err != nil {
				t.Fatal(err)
			}
			defer api.Close()
			source, state := recordSource(t, n), pgtest.New(t)
			r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: source}, rig.Connection{Name: "api", URL: api.URL()}, rig.Connection{Name: "state", URL: state})
			start := time.Now()
			killRecords(t, r, recordPlan(t, r, s.http, max(n/100, 50)), random, n, kills)
			took := time.Since(start)
			once(t, api.State(), n)
			answered, err := rig.Look(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			defer answered.Close()
			if got, err := answered.Number(t.Context(), "SELECT count(*) FROM stint_ids WHERE entity = 'records' AND target_id <> ''"); err != nil || got != int64(n) {
				t.Errorf("%d records have an id, want %d (%v)", got, n, err)
			}
			c := api.State().Counts
			if !t.Failed() {
				score(t, "%s: %d records once each in %v, through %d SIGKILLs; %d requests, of which %d failed, %d were done without an answer, %d cut off, %d put off; %d repeated without effect, %d lookups",
					s.name, n, took.Round(time.Second), kills, c.Requests, c.Errors, c.Hangs, c.Cuts, c.Busy, c.Replays, c.Lookups)
			}
		})
	}
}

// recordSource is a file of records with the keys 1 to n.
func recordSource(t *testing.T, n int) string {
	t.Helper()
	url := "sqlite:" + filepath.Join(t.TempDir(), "records.db")
	if err := rig.Execute(t.Context(), url, "CREATE TABLE record (id INTEGER PRIMARY KEY, name TEXT NOT NULL)",
		fmt.Sprintf("INSERT INTO record WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) SELECT i, 'Record ' || i FROM n", n)); err != nil {
		t.Fatal(err)
	}
	return url
}

// recordPlan writes a plan that sends the records, and returns its file.
func recordPlan(t *testing.T, r *rig.Rig, http string, chunk int) string {
	t.Helper()
	file := filepath.Join(r.Dir, "records.yaml")
	text := fmt.Sprintf("name: records\nsource: legacy\ntarget: api\nstate: state\npolicy: {retries: 100}\nwindow: 12\nstages:\n  - name: records\n    from: {table: record}\n"+
		"    chunk: {rows: %d}\n    map: {legacy_id: text(id), name: name}\n    to: {http: %s}\nverify: {rows: none}\n", chunk, http)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// killRecords carries a plan out with three workers, of which so many are killed and replaced, each at a random moment.
func killRecords(t *testing.T, r *rig.Rig, plan string, random *rand.Rand, n, kills int) {
	t.Helper()
	r.Start("scheduler")
	crew := []*rig.Process{r.Worker(), r.Worker(), r.Worker()}
	for _, w := range crew {
		r.Ready(w)
	}
	var job struct{ ID string }
	r.JSON(&job, "migrate", plan, "--wait=false")
	at := make([]int64, kills)
	for i := range at {
		at[i] = int64(n) * int64(random.IntN(90)) / 100
	}
	slices.Sort(at)
	for _, moment := range at {
		r.Until(30*time.Minute, "the job goes on", func(context.Context) (bool, error) { return r.Read(job.ID) >= moment, nil })
		victim := random.IntN(len(crew))
		crew[victim].Kill()
		crew[victim] = r.Worker()
		r.Ready(crew[victim])
	}
	if v := r.Ended(job.ID, time.Hour); v.Counters.Written != int64(n) || v.Counters.Quarantined != 0 {
		t.Errorf("the job counts %+v, want %d rows written", v.Counters, n)
	}
}

// once fails the test unless each of n records has taken effect once.
func once(t *testing.T, s apitest.State, n int) {
	t.Helper()
	if twice := s.Twice(); len(s.Effects) != n || len(twice) > 0 {
		t.Errorf("%d of %d records took effect, %d of them more than once: %s", len(s.Effects), n, len(twice), strings.Join(twice[:min(len(twice), 5)], " "))
	}
	if c := s.Counts; c.Errors == 0 || c.Hangs+c.Cuts == 0 {
		t.Errorf("the API was kind: %+v", c)
	}
}

func TestARehearsalInASandboxSendsItsRecordsOnce(t *testing.T) {
	t.Parallel()
	api := apitest.New(apitest.Options{Partial: true})
	if err := api.Start(); err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	r := rig.New(t, nil, rig.Connection{Name: "legacy", URL: recordSource(t, 1_500)}, rig.Connection{Name: "api", URL: "http://127.0.0.1:1"},
		rig.Connection{Name: "state", URL: "sqlite:" + filepath.Join(t.TempDir(), "state.db")})
	var res struct {
		Equal  bool
		Rows   int64
		Tables []struct {
			Rows     int64
			Checksum string
		}
		Notes []string
	}
	r.JSON(&res, "rehearse", recordPlan(t, r, apiScores[0].http, 100), "--to", api.URL(), "--kills", "1", "--drains", "0")
	if !res.Equal || res.Rows != 1_500 || len(res.Tables) != 1 || res.Tables[0].Checksum != "" || !strings.Contains(strings.Join(res.Notes, " "), "look there") {
		t.Errorf("it says %+v", res)
	}
	if s := api.State(); len(s.Effects) != 1_500 || len(s.Twice()) > 0 {
		t.Errorf("%d records took effect, %d of them more than once", len(s.Effects), len(s.Twice()))
	}
}
