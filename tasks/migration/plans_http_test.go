package migration_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/httpsink/apitest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

// apiWorld is a shop whose target is an API; stint's own tables are in a database beside it.
func apiWorld(t *testing.T, state string, o apitest.Options, statements ...string) (*world, *apitest.Server) {
	t.Helper()
	return cachedWorld(t, state, "", o, statements...)
}

// cachedWorld is one with a Redis besides.
func cachedWorld(t *testing.T, state, cache string, o apitest.Options, statements ...string) (*world, *apitest.Server) {
	t.Helper()
	server := apitest.New(o)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w := shopWorld(t, server.URL(), statements...)
	w.to = state
	w.dbs = cachedDatabases(t, w, server, state, cache)
	return w, server
}

func cachedDatabases(t *testing.T, w *world, server *apitest.Server, state, cache string) *migration.Databases {
	t.Helper()
	dbs := migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"old": w.from, "new": server.URL(), "state": state, "cache": cache}[name])
	}, 3)
	dbs.Besides(nil, func(string) (httpsink.Connection, error) { return httpsink.Connection{BaseURL: server.URL()}, nil })
	t.Cleanup(func() {
		if err := dbs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return dbs
}

func (w *world) toAPI(t *testing.T, text string) tasks.Job {
	t.Helper()
	return w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", State: "state", Plan: planOf(t, text), ChunkRows: 40})
}

// insist runs a job as an engine does that tries a step again when it fails for the moment.
func insist(t *testing.T, f tasks.Family, job tasks.Job) tasks.Counters {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	stages, err := f.Plan(ctx, job)
	if err != nil {
		t.Fatal(err)
	}
	var total tasks.Counters
	for _, st := range stages {
		for cursor := tasks.Cursor(nil); ; {
			steps, next, err := f.Split(ctx, job, st, cursor, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, step := range steps {
				for try := 0; ; try++ {
					a := tasks.NewAttempt(&tasks.Attempt{ID: fmt.Sprintf("%s-%s-%d", st.Name, step.ID, try), Job: job, Stage: st, Step: step, Worker: "w", Draining: make(chan struct{})},
						nowhere{}, nil, tasks.Counters{})
					err := f.Run(ctx, a)
					if err == nil {
						total = total.Add(a.Counters())
						break
					}
					if tasks.IsPermanent(err) || ctx.Err() != nil {
						t.Fatalf("%s %s: %v", st.Name, step.ID, err)
					}
				}
			}
			if next == nil {
				break
			}
			cursor = next
		}
	}
	return total
}

// many gives the shop so many sales of the first five customers.
func many(n int) string {
	return fmt.Sprintf("INSERT INTO sale WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i+1 FROM n WHERE i < %d) SELECT i, 1 + i %% 5, i FROM n", 9+n)
}

const intoAPI = `
stages:
  - name: customers
    from: {table: customer}
    filter: deleted == 0
    map: {legacy_id: '"c" + text(id)', name: trim(name)}
    to: {http: {path: /v1/records, id: $.data.id}}
  - name: sales
    from: {table: sale, where: id >= 10}
    map: {legacy_id: id, customer_id: 'ref("customers", customer)'}
    to: {http: {path: /v1/records/batch, batch: 7}}
`

func TestAMigrationIntoAnAPIKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		w, server := apiWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "state.db"), apitest.Options{}, many(100))
		job := w.toAPI(t, intoAPI)
		return taskstest.Subject{Family: migration.New(w.dbs), Job: job, Check: func(t *testing.T) {
			s := server.State()
			if len(s.Effects) != 105 || len(s.Twice()) > 0 {
				t.Errorf("%d records took effect, want 105; twice: %v", len(s.Effects), s.Twice())
			}
			if got := w.aside(t, job.ID); len(got) > 0 {
				t.Errorf("set aside: %v", got)
			}
			w.want(t, "SELECT CAST(count(*) AS TEXT) FROM stint_ids WHERE entity LIKE '%/batch' OR target_id = ''", "0")
		}}
	})
}

func TestAnAPIThatFailsInEveryWayGetsEachRecordOnce(t *testing.T) {
	t.Parallel()
	w, server := apiWorld(t, pgtest.New(t), apitest.Options{Faults: apitest.Faults{Error: 0.1, Busy: 0.03, Cut: 0.1, Item: 0.02}, Seed: 7, Partial: true,
		RetryAfter: time.Millisecond, Reject: func(key string) bool { return key == "33" }}, many(300))
	text := strings.Replace(intoAPI, "batch: 7}", "batch: 7, partial: {items: $.results, status: $.status, id: $.id, error: $.error, match: $.legacy_id}}", 1)
	job := w.toAPI(t, text)
	total := insist(t, migration.New(w.dbs), job)
	adds(t, total, 306, 304, 1, 1)
	s := server.State()
	if len(s.Effects) != 304 || len(s.Twice()) > 0 {
		t.Errorf("%d records took effect, want 304; twice: %v", len(s.Effects), s.Twice())
	}
	if got := w.aside(t, job.ID); len(got) != 1 || !strings.HasPrefix(got[0], "load:sales [33]") {
		t.Errorf("set aside: %v", got)
	}
	other := w.toAPI(t, text) // another job of the same tenant finds what is there
	total = insist(t, migration.New(w.dbs), other)
	if total.Written != 0 || total.Skipped != 305 || len(server.State().Twice()) > 0 {
		t.Errorf("a second job counts %+v", total)
	}
}

// attemptOf returns an attempt at the first step of a load.
func firstAttempt(t *testing.T, f tasks.Family, job tasks.Job, stage, id string) *tasks.Attempt {
	t.Helper()
	stages, err := f.Plan(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range stages {
		if st.Name != stage {
			if st.Name == "schema" {
				if _, _, err := f.Split(t.Context(), job, st, nil, 10); err != nil {
					t.Fatal(err)
				}
			}
			continue
		}
		steps, _, err := f.Split(t.Context(), job, st, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		return tasks.NewAttempt(&tasks.Attempt{ID: id, Job: job, Stage: st, Step: steps[0], Worker: "w", Draining: make(chan struct{})}, nowhere{}, nil, tasks.Counters{})
	}
	t.Fatalf("there is no stage %s", stage)
	return nil
}

func TestABatchWhoseRowsHaveChangedSinceItWasSentIsNotSentAsAnother(t *testing.T) {
	t.Parallel()
	w, server := apiWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "state.db"), apitest.Options{}, many(30))
	job := w.toAPI(t, "stages: [{name: sales, from: {table: sale, where: id >= 10}, map: {legacy_id: id}, to: {http: {path: /v1/records/batch, batch: 10}}}]")
	f := migration.New(w.dbs)
	server.SetFaults(apitest.Faults{Cut: 1}) // each request is done, and never answered
	if err := f.Run(t.Context(), firstAttempt(t, f, job, "load:sales", "a1")); err == nil || tasks.IsPermanent(err) {
		t.Fatalf("an attempt without answers ends with %v", err)
	}
	server.SetFaults(apitest.Faults{})
	path := strings.TrimPrefix(w.from, "sqlite:")
	run(t, path, "DELETE FROM sale WHERE id = 12", "INSERT INTO sale VALUES (9, 1, 1), (200, 1, 1)", "UPDATE sale SET id = 35 + 1000 WHERE id = 35")
	total := insist(t, f, job)
	s := server.State()
	if len(s.Twice()) > 0 {
		t.Errorf("twice: %v", s.Twice())
	}
	for _, key := range []string{"200", "1035"} {
		if s.Effects[key] != 1 {
			t.Errorf("the new record %s took effect %d times", key, s.Effects[key])
		}
	}
	// Of the two batches that have lost a record nobody can say what became of the others: they are set aside, and say so.
	got := w.aside(t, job.ID)
	if total.Quarantined != int64(len(got)) || len(got) == 0 || !strings.Contains(got[0], "batch_changed") {
		t.Errorf("counted %+v, set aside: %v", total, got)
	}
}
