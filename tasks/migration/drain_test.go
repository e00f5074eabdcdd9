package migration_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// lock takes a table for itself until the test ends.
func lock(t *testing.T, db *sqldb.DB, table string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	tx, err := db.Pool.Begin(ctx)
	if err == nil {
		_, err = tx.Exec(ctx, "LOCK TABLE "+table+" IN ACCESS EXCLUSIVE MODE")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(ctx) })
}

// waitsForALock waits until a session of a database waits for a lock.
func waitsForALock(t *testing.T, db *sqldb.DB) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		var n int
		if err := db.Pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("nobody waits for the lock")
}

func TestADrainDoesNotWaitForALockOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, stage, locked string }{
		{"the source's table", "load:thing", "thing"},
		{"the ledger", "load:thing", "stint_ledger"},
		{"the target's table", "indexes", "thing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := fromPostgres(t, pgtest.New(t), "CREATE TABLE thing (id int PRIMARY KEY, v text UNIQUE)", "INSERT INTO thing SELECT i, i FROM generate_series(1, 50) i")
			f, job := migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 20})
			var step tasks.Step
			var stage tasks.Stage
			for _, stage = range runStages(t, f, job, "schema") {
				steps, _, err := f.Split(t.Context(), job, stage, nil, 10)
				if stage.Name == "indexes" && err != nil { // nothing is loaded yet
					steps = []tasks.Step{{ID: "0"}}
				} else if err != nil {
					t.Fatal(err)
				}
				if step = steps[0]; stage.Name == tc.stage {
					break
				}
			}
			db := w.open(t, w.to)
			if tc.locked == "thing" && tc.stage != "indexes" {
				db = w.open(t, w.from)
			}
			lock(t, db, tc.locked)
			draining, ended := make(chan struct{}), make(chan error, 1)
			go func() { ended <- f.Run(t.Context(), attemptAt(job, stage, step, draining)) }()
			waitsForALock(t, db)
			asked := time.Now()
			close(draining)
			select {
			case err := <-ended:
				if took := time.Since(asked); !errors.Is(err, tasks.ErrDrained) || took > time.Second {
					t.Errorf("after %s: %v", took, err)
				}
			case <-time.After(15 * time.Second):
				t.Error("the attempt is still there 15 s after the drain")
			}
		})
	}
}

func TestDrainsAtAnyMomentLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), "CREATE TABLE many (id INTEGER PRIMARY KEY, v TEXT)",
		"INSERT INTO many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000) SELECT i, 'v' FROM n")
	f, job := migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Tables: []string{"many"}, BatchRows: 100})
	for _, st := range runStages(t, f, job, "schema") {
		if st.Name != "load:many" {
			continue
		}
		steps, _, err := f.Split(t.Context(), job, st, nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		for wait := time.Duration(0); ; wait += 2 * time.Millisecond { // longer each time, so that it comes to its end
			draining := make(chan struct{})
			time.AfterFunc(wait, func() { close(draining) })
			if err = f.Run(t.Context(), attemptAt(job, st, steps[0], draining)); !errors.Is(err, tasks.ErrDrained) {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	v := migration.NewVerifier(w.dbs)
	if _, found := drive(t, v, w.job(t, migration.VerifyKind, migration.VerifySpec{Source: "old", Target: "new", Tables: []string{"many"}})); len(found) > 0 {
		t.Errorf("%+v", found)
	}
}
