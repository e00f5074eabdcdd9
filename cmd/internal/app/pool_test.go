package app_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// legacy makes a database of three tables, whose tables begin with a prefix.
func legacy(t *testing.T, prefix string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "legacy.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for i := range 3 {
		for _, s := range []string{
			fmt.Sprintf("CREATE TABLE %s%d (id INTEGER PRIMARY KEY, name TEXT)", prefix, i),
			fmt.Sprintf("INSERT INTO %s%d WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 400) SELECT i, 'row ' || i FROM n", prefix, i),
		} {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	return "sqlite:" + path
}

// sessions looks at the sessions of stint at a database until the test ends, and returns the most that were there side by side
// for a while: the server still shows one for a moment that its client has closed before it opened the next.
func sessions(t *testing.T, url string) func() int64 {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	var most atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer conn.Close(context.Background())
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		seen := map[int32]int{} // in how many looks in a row
		for ctx.Err() == nil {
			var now []int32
			err := conn.QueryRow(ctx, "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'stint%'").Scan(&now)
			for pid := range seen {
				if !slices.Contains(now, pid) {
					delete(seen, pid)
				}
			}
			n := int64(0)
			for _, pid := range now {
				if seen[pid]++; seen[pid] >= 5 {
					n++
				}
			}
			if err == nil && n > most.Load() {
				most.Store(n)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return most.Load
}

func TestAPoolBoundsTheConnectionsOfAWorkerAndNothingWaitsForEver(t *testing.T) {
	t.Parallel()
	for _, pool := range []int{1, 2} {
		t.Run(fmt.Sprint(pool), func(t *testing.T) {
			t.Parallel()
			one, two := pgtest.New(t), pgtest.New(t)
			queue := redistest.New(t)
			a, err := app.New(t.Context(), app.Options{
				Redis: config.Redis{Topology: config.Single, URL: config.NewURL(queue.URL())},
				Connections: config.Connections{
					{Name: "a", URL: config.NewURL(legacy(t, "a"))}, {Name: "b", URL: config.NewURL(legacy(t, "b"))},
					{Name: "one", URL: config.NewURL(one), Pool: pool}, {Name: "two", URL: config.NewURL(two), Pool: pool},
				},
				Log: slog.New(slog.DiscardHandler), Concurrency: 8, Heartbeat: 100 * time.Millisecond, DrainTimeout: 20 * time.Second,
				Sweep: 100 * time.Millisecond, LostAfter: 3 * time.Second,
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := a.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
			if err := a.StartScheduler(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := a.StartWorker(t.Context()); err != nil {
				t.Fatal(err)
			}
			most := []func() int64{sessions(t, one), sessions(t, two)}
			run := func(kind string, specs ...any) {
				t.Helper()
				for i, spec := range specs {
					body, err := json.Marshal(spec)
					if err != nil {
						t.Fatal(err)
					}
					enginetest.Submit(t, a.Redis, a.Store, tasks.Job{ID: fmt.Sprintf("%s-%d-%x", kind, i, body), Kind: kind, Spec: body, Window: 8})
				}
				for i, spec := range specs {
					body, _ := json.Marshal(spec)
					enginetest.WaitState(t, a.Store, fmt.Sprintf("%s-%d-%x", kind, i, body), tasks.Succeeded)
				}
			}
			// Each database is read and written at once, and from both sides, which is where a circle would be.
			run(migration.Kind, migration.Spec{Source: "a", Target: "one", ChunkRows: 50}, migration.Spec{Source: "b", Target: "two", ChunkRows: 50})
			run(migration.Kind,
				migration.Spec{Source: "one", Target: "two", Tables: []string{"a0", "a1", "a2"}, ChunkRows: 50},
				migration.Spec{Source: "two", Target: "one", Tables: []string{"b0", "b1", "b2"}, ChunkRows: 50})
			if pool > 1 { // a verification takes two connections of its target
				run(migration.VerifyKind, migration.VerifySpec{Source: "one", Target: "two", ChunkRows: 50}, migration.VerifySpec{Source: "two", Target: "one", ChunkRows: 50})
			}
			for i, m := range most {
				if n := m(); n < 1 || n > int64(pool) {
					t.Errorf("%d sessions at database %d, whose pool is %d", n, i, pool)
				}
			}
		})
	}
}
