package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/worker"
)

// chunkRows is how many rows a chunk of BenchmarkChunks has: it is one transaction.
const chunkRows = 5_000

// clocked is a family of which each step of a table's load is timed.
type clocked struct {
	tasks.Family
	mu   sync.Mutex
	took []time.Duration
}

func (c *clocked) Run(ctx context.Context, a *tasks.Attempt) error {
	start := time.Now()
	err := c.Family.Run(ctx, a)
	if strings.HasPrefix(a.Stage.Name, "load:") {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.took = append(c.took, time.Since(start))
	}
	return err
}

// BenchmarkChunks moves the rows of BenchmarkMigration in chunks of 5,000, four at once: how long does one take, with reading, writing and
// the ledger, until it is committed?
func BenchmarkChunks(b *testing.B) {
	m := newMigrationBench(b)
	makeBenchLegacy(b, m.legacy)
	r := &results{name: "chunks"}
	rdb := redistest.New(b, redistest.EverySecond()).Client()
	ctx := context.Background()
	at := m.fresh(false)
	dbs := migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"old": "sqlite:" + m.legacy, "new": at}[name])
	}, 4)
	defer dbs.Close()
	f := &clocked{Family: migration.New(dbs)}
	st := store.New(rdb)
	w := worker.New(rdb, st, worker.Options{Concurrency: 4, Families: []tasks.Family{f}, Log: quiet})
	s := scheduler.New(rdb, st, scheduler.Options{Log: quiet})
	s.Start()
	defer s.Stop()
	if err := w.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer w.Stop(ctx)
	spec, err := json.Marshal(migration.Spec{Source: "old", Target: "new", ChunkRows: chunkRows, BatchRows: chunkRows})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	submit(b, rdb, st, tasks.Job{ID: "chunks", Kind: migration.Kind, Spec: spec, Window: 16})
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		v, err := st.View(ctx, "chunks")
		if err != nil {
			b.Fatal(err)
		}
		if v.State == tasks.Succeeded {
			tick.Stop()
			break
		}
		if v.State.Ended() || time.Since(start) > 10*time.Minute {
			b.Fatalf("the job is %s: %+v", v.State, v.Error)
		}
	}
	wall := time.Since(start)
	m.check("chunks", at)
	ms := func(p float64) float64 { return 1000 * secs(percentile(f.took, p)) }
	r.add("%d chunks of %d rows, four at once: p50 %.0f ms, p99 %.0f ms, longest %.0f ms; %s rows/s", len(f.took), chunkRows, ms(.5), ms(.99), ms(1), thousands(float64(benchRows)/wall.Seconds()))
	r.take("migration-chunk", taken{Figure: ms(.99), Runs: len(f.took), Measured: fmt.Sprintf("%.0f ms; p50 %.0f ms, longest %.0f ms", ms(.99), ms(.5), ms(1)), Size: fmt.Sprintf("%s rows in chunks of 5,000, four at once", thousands(float64(benchRows)))})
	r.write(b)
}
