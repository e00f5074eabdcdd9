package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

const idsPlan = `name: %s
ids: {connection: cache, max_ids: %d}
state: books
stages:
  - name: customers
    from: {table: customer}
    map: {legacy_id: '"c" + text(id)', name: name}
    to: {http: {path: /v1/records, id: $.data.id, concurrency: 8}}
  - name: invoices
    from: {table: invoice}
    map: {legacy_id: 'text(id) + "-" + text(ref("customers", customer))'}
    to: {http: {path: /v1/records/batch, batch: 25, partial: {items: $.results, status: $.status, id: $.id, error: $.error, match: $.legacy_id}}}
`

// Three workers send customers and their invoices to an API that fails in every way, with the ids in a Redis that is killed once and
// comes back; two workers are killed in each stage. Each record is there once, and each invoice with the id of its customer.
func TestScoreKillsOfWorkersWithTheIDsInRedis(t *testing.T) {
	t.Parallel()
	n := size(rows, 3_000, 100_000)
	customers := n / 6
	source := "sqlite:" + filepath.Join(t.TempDir(), "legacy.db")
	count := "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM c WHERE i < %d) "
	err := rig.Execute(t.Context(), source, "CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT)", "CREATE TABLE invoice (id INTEGER PRIMARY KEY, customer INTEGER NOT NULL)",
		fmt.Sprintf("INSERT INTO customer "+count+"SELECT i, 'Customer ' || i FROM c", customers), fmt.Sprintf("INSERT INTO invoice "+count+"SELECT i, 1 + i * 7 %% %d FROM c", n-customers, customers))
	if err != nil {
		t.Fatal(err)
	}
	api := apitest.New(apitest.Options{Faults: apitest.Faults{Error: 0.05, Busy: 0.02, Cut: 0.05, Item: 0.02}, Seed: 3, Partial: true, RetryAfter: 10 * time.Millisecond})
	if err := api.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	cache := redistest.New(t, redistest.FsyncAlways()) // what it has confirmed it must not forget: with everysec it may, while the disk is slow
	r := rig.New(t, redistest.New(t), rig.Connection{Name: "legacy", URL: source}, rig.Connection{Name: "crm", URL: api.URL()},
		rig.Connection{Name: "books", URL: pgtest.New(t)}, rig.Connection{Name: "cache", URL: cache.URL()})
	submit := func(name string) string {
		file := filepath.Join(t.TempDir(), name+".yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, idsPlan, name, n), 0o600); err != nil {
			t.Fatal(err)
		}
		return r.Submit("legacy", "crm", file, "--tenant", "acme", "--chunk-rows", "300", "--window", "8")
	}
	random := moments(t)
	start := time.Now()
	r.Start("scheduler")
	crew := []*rig.Process{r.Worker(), r.Worker(), r.Worker()}
	for _, w := range crew {
		r.Ready(w)
	}
	job := submit("first")
	var at []int64
	for range 5 {
		at = append(at, int64(n)*int64(2+random.IntN(85))/100)
	}
	slices.Sort(at)
	for i := range at {
		r.Until(3*time.Minute, "the job goes on", func(context.Context) (bool, error) { return r.Read(job) >= at[i], nil })
		if i == 2 {
			cache.Kill()
			cache.Restart()
			continue
		}
		victim := random.IntN(len(crew))
		crew[victim].Kill()
		crew[victim] = r.Worker()
		r.Ready(crew[victim])
	}
	v := r.Ended(job, 5*time.Minute)
	s := api.State()
	wrong := 0
	for i := 1; i <= n-customers; i++ {
		if s.Effects[fmt.Sprintf("%d-%d", i, s.IDs[fmt.Sprintf("c%d", 1+i*7%customers)])] != 1 {
			wrong++
		}
	}
	if len(s.Effects) != n || len(s.Twice()) > 0 || wrong > 0 || v.Counters.Written != int64(n) || v.Counters.Quarantined > 0 {
		t.Errorf("%d of %d records took effect, %d twice, %d invoices with another customer; %+v", len(s.Effects), n, len(s.Twice()), wrong, v.Counters)
	}
	var maps []struct {
		Tenant, Map string
		IDs         int
	}
	r.JSON(&maps, "ids", "--connection", "cache")
	if len(maps) != 2 || maps[0].Map != "acme/legacy/crm/customers" || maps[0].Tenant != "acme" || maps[0].IDs != customers || maps[1].IDs != n-customers {
		t.Errorf("maps: %+v", maps)
	}
	v = r.Ended(submit("edited"), 5*time.Minute)
	if s := api.State(); len(s.Effects) != n || len(s.Twice()) > 0 || v.Counters.Skipped != int64(n) {
		t.Errorf("a second job: %d records took effect, %d twice; %+v", len(s.Effects), len(s.Twice()), v.Counters)
	}
	score(t, "ids in Redis: %d records by 4 SIGKILLs of workers and one of the Redis, each once, in %v", n, time.Since(start).Round(time.Millisecond))
}
