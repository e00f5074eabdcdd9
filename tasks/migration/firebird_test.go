package migration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/firebirdtest"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

// fromFirebird is a world whose source is the example database of Firebird: circular foreign keys, computed columns, arrays,
// text blobs, keys of CHAR, decimals and generators.
func fromFirebird(t *testing.T, to string) *world {
	t.Helper()
	w := &world{from: firebirdtest.Employee(t), to: to}
	w.dbs = migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"old": w.from, "new": w.to}[name])
	}, 3)
	t.Cleanup(func() {
		if err := w.dbs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

func TestAMigrationFromFirebirdKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject { return subject(t, fromFirebird(t, pgtest.New(t)), 0) })
}

func TestTheExampleDatabaseOfFirebirdArrivesWholeAndWithoutADifference(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]func(t *testing.T) string{
		"PostgreSQL": func(t *testing.T) string { return pgtest.New(t) },
		"SQLite":     func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "new.db") },
		"MariaDB":    func(t *testing.T) string { return mariadbtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := fromFirebird(t, to(t))
			job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 20})
			total, found := drive(t, migration.New(w.dbs), job)
			const rows = 16 + 31 + 21 + 42 + 6 + 28 + 24 + 49 + 15 + 33
			if total.Read != rows || total.Written != rows || total.Quarantined != 0 {
				t.Errorf("counted %+v, want %d rows", total, rows)
			}
			if d := w.differences(t, job.ID); len(d) > 0 {
				t.Errorf("%d differences, the first: %+v", len(d), d[0])
			}
			var all strings.Builder
			for _, f := range found {
				all.WriteString(f.Subject + " " + f.Message + "\n")
			}
			for _, want := range []string{"LANGUAGE_REQ", "an array, is left out", "view PHONE_LIST", "FULL_NAME of table EMPLOYEE is computed", "trigger SAVE_SALARY_CHANGE",
				"Procedures are left out: ADD_EMP_PROJ", "CHECK constraints of table SALES"} {
				if !strings.Contains(all.String(), want) {
					t.Errorf("the report does not say %q:\n%s", want, all.String())
				}
			}
		})
	}
}
