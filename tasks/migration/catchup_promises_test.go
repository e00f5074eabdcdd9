package migration_test

import (
	"path/filepath"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
	"github.com/stint-run/stint/tasks/taskstest"
)

// busy is what people did in the source, in the words of every dialect.
var busy = []string{
	"INSERT INTO customer (id, name, boss) VALUES (101, 'newer', 1)", "INSERT INTO customer (id, name, boss) VALUES (100, 'new', 101)",
	"UPDATE customer SET name = 'changed' WHERE id IN (1, 2, 39)", "UPDATE line SET text = NULL WHERE pos = 2 AND invoice < 'R-010'",
	"DELETE FROM line WHERE invoice = 'R-040'", "DELETE FROM invoice WHERE no = 'R-040'", "DELETE FROM customer WHERE id = 40",
	"UPDATE line SET invoice = 'R-039', pos = pos + 10 WHERE invoice = 'R-038'", "DELETE FROM invoice WHERE no = 'R-038'",
	"INSERT INTO invoice (no, customer, total) VALUES ('R-100', 100, 5)",
}

// roundSubject is a round that has something of everything to do.
func roundSubject(t *testing.T, to string) taskstest.Subject {
	w := newWorld(t, to)
	l := begin(t, w, w.asTheyAre(t, keyed...))
	run(t, l.path, busy...)
	return taskstest.Subject{Family: migration.NewCatchUp(w.dbs), Job: l.next(t, nil), Check: l.equal}
}

func TestARoundIntoPostgreSQLKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject { return roundSubject(t, pgtest.New(t)) })
}

func TestARoundIntoSQLiteKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		return roundSubject(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	})
}

func TestARoundIntoMariaDBKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject { return roundSubject(t, mariadbtest.New(t)) })
}

func TestRoundsCatchUpWithMariaDB(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := fromMariaDB(t, to)
		p := w.asTheyAre(t, keyed...)
		l := begin(t, w, p)
		source := &world{to: w.from}
		source.inTarget(t, "SET foreign_key_checks = 0")
		source.inTarget(t, busy...)
		if got, _ := l.catchUp(t, nil); got.Written == 0 {
			t.Errorf("the round counted %+v", got)
		}
		l.equal(t)
		if got, _ := l.catchUp(t, nil); got.Written != 0 {
			t.Errorf("the next round counted %+v, want nothing", got)
		}
	})
}

func TestByAMomentARoundReadsOnlyWhatHasChanged(t *testing.T) {
	t.Parallel()
	w := fromMariaDB(t, pgtest.New(t), "ALTER TABLE customer ADD COLUMN changed_at DATETIME(6) NOT NULL DEFAULT '2020-01-01'")
	p := w.asTheyAre(t, "customer")
	p.Stages[0].From.Changed, p.Policy.OnDelete = "changed_at", plan.OnDeleteKeep
	l := begin(t, w, p)
	l.catchUp(t, nil)
	source := &world{to: w.from}
	source.inTarget(t, "UPDATE customer SET name = 'told', changed_at = '2021-01-01 00:00:00.000001' WHERE id = 1", "UPDATE customer SET name = 'untold', changed_at = '2019-01-01' WHERE id = 2")
	job := l.next(t, nil)
	job.CreatedAt = job.CreatedAt.Add(2 * migration.DefaultOverlap)
	got, _ := drive(t, migration.NewCatchUp(l.dbs), job)
	if got.Written != 1 {
		t.Errorf("the round counted %+v, want one row", got)
	}
	l.expect(t, "SELECT name FROM customer WHERE id < 3 ORDER BY id", "told", "Kundin 2")
}
