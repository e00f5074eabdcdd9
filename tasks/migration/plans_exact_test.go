package migration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// plannedFrom is a world whose source has been made by statements.
func plannedFrom(t *testing.T, from, to string, statements ...string) *world {
	t.Helper()
	worldOf(t, to, from).inTarget(t, statements...)
	return worldOf(t, from, to)
}

// MariaDB sorts an ENUM by its labels' numbers, and compares it by their text: an attempt that goes on where another one ended would leave
// out rows that are sorted later and compare smaller.
func TestAKeyThatIsSortedOtherwiseThanItComparesIsRefused(t *testing.T) {
	t.Parallel()
	w := plannedFrom(t, mariadbtest.New(t), "sqlite:"+filepath.Join(t.TempDir(), "new.db"),
		"CREATE TABLE tr (kind ENUM('small', 'medium', 'large') NOT NULL, id INT NOT NULL, UNIQUE (kind, id))", "INSERT INTO tr VALUES ('small', 1), ('medium', 1), ('large', 1)")
	_, err := migration.New(w.dbs).Plan(t.Context(), w.planned(t, `stages: [{name: a, from: {table: tr, key: [kind, id]}, map: {k: kind, id: id}, to: {table: a}}]`))
	if err == nil || !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "stages[0].from.key[0]: kind is sorted in another order than it is compared in") {
		t.Errorf("got %v", err)
	}
	job := w.planned(t, `stages: [{name: a, from: {query: 'SELECT CAST(kind AS CHAR) kind, id FROM tr', key: [kind, id]}, map: {k: kind, id: id}, to: {table: a}}]`)
	if total, _ := drive(t, migration.New(w.dbs), job); total.Written != 3 {
		t.Errorf("by a query, as it is advised: %+v", total)
	}
}

func TestATimeOfDayIsNotLostToADate(t *testing.T) {
	t.Parallel()
	w := plannedFrom(t, pgtest.New(t), "sqlite:"+filepath.Join(t.TempDir(), "new.db"),
		"CREATE TABLE v (id int PRIMARY KEY, at timestamp)", "INSERT INTO v VALUES (1, '2024-03-01 23:45:00'), (2, '2024-03-02 00:00:00'), (3, '1960-01-01 00:00:00'), (4, '1960-01-01 00:00:00.000001')")
	job := w.planned(t, `stages: [{name: v, from: {table: v, as: {at: date}}, map: {id: id, at: 'at ?? nil'}, to: {table: v, key: id}}]`)
	total, _ := drive(t, migration.New(w.dbs), job)
	adds(t, total, 4, 2, 2, 0)
	w.list(t, "id || ' ' || at FROM v ORDER BY id", "2 2024-03-02 | 3 1960-01-01")
	for _, line := range w.aside(t, job.ID) {
		if !strings.Contains(line, "at 22007: ") || !strings.Contains(line, "has a time of day, which a date would lose") {
			t.Error(line)
		}
	}
}

func TestATableWithoutAKeyIsMadeInMariaDB(t *testing.T) {
	t.Parallel()
	w := shopWorld(t, mariadbtest.New(t))
	job := w.planned(t, `stages: [{name: k, from: {table: customer}, map: {a: id, b: name}, to: {table: k}}]`)
	total, _ := drive(t, migration.New(w.dbs), job)
	if got := w.one(t, "SELECT count(*) FROM k"); total.Written == 0 || got == "0" {
		t.Errorf("%s rows are there, %+v", got, total)
	}
}

// What follows in a batch would be committed row by row, and again with each retry.
func TestATargetThatRollsWholeTransactionsBackGetsNothingTwice(t *testing.T) {
	t.Parallel()
	w := plannedFrom(t, "sqlite:"+filepath.Join(t.TempDir(), "old.db"), "sqlite:"+filepath.Join(t.TempDir(), "new.db"),
		"CREATE TABLE m (id INTEGER PRIMARY KEY, v int)", "INSERT INTO m WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT i, iif(i = 7, -1, i) FROM n")
	w.inTarget(t, "CREATE TABLE m (id int, v int); CREATE TRIGGER no BEFORE INSERT ON m WHEN new.v < 0 BEGIN SELECT RAISE(ROLLBACK, 'negative'); END")
	_, _, err := try(t, migration.New(w.dbs), w.planned(t, `stages: [{name: m, from: {table: m}, map: {id: id, v: v}, to: {table: m}}]`))
	if err == nil || !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "rolls whole transactions back when it refuses a row of m") {
		t.Errorf("got %v", err)
	}
	w.want(t, "SELECT count(*) - count(DISTINCT id) FROM m", "0")
}
