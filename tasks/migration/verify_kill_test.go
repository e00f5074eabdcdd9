package migration_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

func TestAMigrationThatVerifiesItselfKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		w := newWorld(t, pgtest.New(t))
		p := parsedPlan(t, kiosk)
		job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: p, ChunkRows: 9, BatchRows: 4})
		return taskstest.Subject{Family: migration.New(w.dbs), Job: job, Check: func(t *testing.T) {
			if _, differ, _ := w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID}); len(differ) > 0 {
				t.Errorf("%q", differ)
			}
		}}
	})
}

func TestARepairKeepsThePromises(t *testing.T) {
	t.Parallel()
	for _, to := range []string{"postgres", "sqlite"} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			taskstest.Run(t, func(t *testing.T) taskstest.Subject {
				at := "sqlite:" + t.TempDir() + "/new.db"
				if to == "postgres" {
					at = pgtest.New(t)
				}
				w := newWorld(t, at)
				job, p := w.migrated(t, kiosk)
				w.inTarget(t, damages...)
				spec := migration.VerifySpec{Source: "old", Target: "new", Plan: p, Job: job.ID, Repair: migration.RepairDelete, ChunkRows: 9}
				return taskstest.Subject{Family: migration.NewVerifier(w.dbs), Job: w.job(t, migration.VerifyKind, spec), Check: func(t *testing.T) {
					if _, differ, _ := w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID}); len(differ) > 0 {
						t.Errorf("%q", differ)
					}
				}}
			})
		})
	}
}

// stall is a plan that MariaDB holds in all of its kinds: money, days, text and references.
const stall = `
name: stall
stages:
  - name: people
    from: {table: customer, key: [id]}
    filter: id != 13
    map: {id: id, name: 'upper(name)', since: since}
    to: {table: people, key: [id]}
  - name: bills
    from: {table: invoice, key: [no]}
    filter: customer != 13
    map: {number: no, total: total, twice: 'total * 2', cents: 'int(total * 100)'}
    to: {table: bills, key: [number]}
`

func TestAPlanIntoMariaDBIsVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariadbtest.New(t))
	job, p := w.migrated(t, stall)
	c, differ, _ := w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID})
	wantFound(t, differ)
	if c.Read != 80 || c.Skipped != 2 || c.Written != 78 {
		t.Errorf("counted %+v", c)
	}
	w.inTarget(t, "UPDATE people SET since = '2001-02-03' WHERE id = 8", "UPDATE bills SET twice = twice + 0.01 WHERE number = 'R-004'",
		"DELETE FROM bills WHERE number = 'R-005'", "INSERT INTO people (id, name) VALUES (99, 'x')", "INSERT INTO bills (number) VALUES ('R-999')")
	_, differ, _ = w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID})
	for i := range differ { // MariaDB writes all digits of a column
		differ[i] = strings.TrimRight(strings.TrimSuffix(differ[i], ".000000"), "0")
	}
	wantFound(t, differ, "people [8] since: source has 2001-02-09, target has 2001-02-03 00:00:", "people [99] : "+migration.ExtraRow,
		`bills ["R-004"] twice: source has 10, target has 10.01`, `bills ["R-005"] : `+migration.MissingRow, `bills ["R-999"] : `+migration.ExtraRow)
}
