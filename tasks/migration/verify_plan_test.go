package migration_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// shop is a plan over the legacy database with a filter, computed columns, money, dates, references, and one row that becomes several.
const shop = `
name: shop
stages:
  - name: people
    from: {table: customer, key: [id]}
    filter: id != 13
    map:
      legacy_id: id
      name: upper(name)
      since: parse_date(since, "2006-01-02")
      half: decimal(id) / 2
    to: {table: people, mode: upsert, key: [legacy_id]}
  - name: bills
    from: {table: invoice, key: [no]}
    filter: customer != 13
    map:
      number: no
      person: ref("people", customer)
      cents: int(total * 100)
      total: total
    to: {table: bills, key: [number]}
  - name: words
    from: {table: line, key: [invoice, pos]}
    filter: pos < 3
    each: '["a", "b"]'
    map:
      id: invoice + "/" + text(pos) + "/" + item
      text: text
      item: item
    to: {table: words, key: [id]}
  - name: log
    from: {table: log}
    map: {at: at, what: what}
    to: {table: log}
`

func planOf(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, _, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// planned runs the migration of a plan that does not verify itself, and returns the job.
func (w *world) planned(t *testing.T, text string) (tasks.Job, *plan.Plan) {
	t.Helper()
	p := planOf(t, text)
	p.Verify.Rows = "none"
	job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: p, ChunkRows: 9})
	drive(t, migration.New(w.dbs), job)
	return job, p
}

// verified runs a verification and returns what it found: differences, and notes.
func (w *world) verified(t *testing.T, spec migration.VerifySpec) (tasks.Counters, []string, []string) {
	t.Helper()
	spec.Source, spec.Target, spec.ChunkRows = "old", "new", 10
	c, found := drive(t, migration.NewVerifier(w.dbs), w.job(t, migration.VerifyKind, spec))
	var differ, notes []string
	for _, f := range found {
		text := strings.Join(strings.Fields(f.Subject+" "+f.Key+" "+f.Field+": "+f.Message), " ")
		if f.Level == tasks.LevelDifference {
			differ = append(differ, text)
		} else {
			notes = append(notes, text)
		}
	}
	slices.Sort(differ)
	return c, differ, notes
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func inPlanned(t *testing.T, test func(t *testing.T, to string)) {
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, pgtest.New(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db")) })
}

func TestWhatAPlanHasLoadedIsEqualAndEachDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	inPlanned(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		job, p := w.planned(t, shop)
		c, differ, _ := w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID})
		expect(t, differ)
		if c.Read != 40+40+120+80 || c.Skipped != 1+1+40 {
			t.Errorf("counted %+v", c)
		}
		w.inTarget(t,
			"UPDATE people SET half = 9.25 WHERE legacy_id = 7",
			"UPDATE people SET since = '2001-02-03' WHERE legacy_id = 8",
			"DELETE FROM people WHERE legacy_id = 9",
			"INSERT INTO people (legacy_id, name) VALUES (13, 'FILTERED'), (99, 'EXTRA')",
			"UPDATE bills SET cents = cents + 1 WHERE number = 'R-003'",
			"UPDATE bills SET person = 1 WHERE number = 'R-004'",
			"DELETE FROM words WHERE id = 'R-005/1/b'",
			"INSERT INTO words VALUES ('x', 'y', 'z')",
			"INSERT INTO log VALUES ('2020-01-02', 'row 5')",
			"DELETE FROM log WHERE what = 'row 6'")
		_, differ, _ = w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID})
		for i, d := range differ { // a place of a row, which depends on the database
			if strings.HasPrefix(d, "log [") {
				differ[i] = "log " + d[strings.Index(d, "]")+2:]
			}
		}
		slices.Sort(differ)
		expect(t, differ, "people [7] half: source has 3.5, target has 9.25", "people [8] since: source has 2001-02-09, target has 2001-02-03",
			"people [9] : "+migration.MissingRow, "people [13] : "+migration.ExtraRow, "people [99] : "+migration.ExtraRow,
			`bills ["R-003"] cents: source has 375, target has 376`, `bills ["R-004"] person: source has 4, target has 1`,
			`words ["R-005",1] : `+migration.MissingRow, `words ["x"] : `+migration.ExtraRow, "log : "+migration.ExtraRow, "log : "+migration.MissingRow)
	})
}
