package migration_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// A replica that takes over may lack what was committed last: chunks that the queue knows of. If rows of such a chunk were loaded nobody
// could tell them from somebody else's, and the same command would be refused from then on.
func TestAChunkThatTheTargetHasForgottenIsNotLoaded(t *testing.T) {
	t.Parallel()
	w := fromPostgres(t, pgtest.New(t), "CREATE TABLE thing (id int PRIMARY KEY, v text)", "INSERT INTO thing SELECT i, i FROM generate_series(1, 50) i")
	f, job := migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 20})
	run := func(stage tasks.Stage, step tasks.Step) error {
		return f.Run(t.Context(), tasks.NewAttempt(&tasks.Attempt{ID: "a" + step.ID, Job: job, Stage: stage, Step: step, Worker: "w", Draining: make(chan struct{})}, nowhere{}, nil, tasks.Counters{}))
	}
	var load tasks.Stage
	for _, load = range runStages(t, f, job, "schema") {
		if load.Name == "load:thing" {
			break
		}
	}
	steps, _, err := f.Split(t.Context(), job, load, nil, 10)
	if err != nil || len(steps) != 3 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	if err := run(load, steps[0]); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"DELETE FROM stint_chunks WHERE seq > 0",
		"INSERT INTO stint_chunks SELECT job, stage, 2, to_key, to_key FROM stint_chunks WHERE seq = 0", // with other borders
	} {
		if _, err := tryInTarget(t, w, statement); err != nil {
			t.Fatal(err)
		}
		if err := run(load, steps[2]); !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "chunk 2 of stage load:thing is not in the target's ledger any more") {
			t.Errorf("after %s: %v", statement, err)
		}
	}
	if _, err := tryInTarget(t, w, "DELETE FROM stint_chunks WHERE seq > 0"); err != nil {
		t.Fatal(err)
	}
	if total, _, err := try(t, f, job); err != nil || total.Written != 50 {
		t.Errorf("started again: %+v, %v", total, err)
	}
}
