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

// kiosk is a plan over the legacy database with a filter, computed columns, money, dates, references, and one row that becomes several.
const kiosk = `
name: kiosk
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

func parsedPlan(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, _, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// migrated runs the migration of a plan that does not verify itself, and returns the job.
func (w *world) migrated(t *testing.T, text string) (tasks.Job, *plan.Plan) {
	t.Helper()
	p := parsedPlan(t, text)
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

func wantFound(t *testing.T, got []string, want ...string) {
	t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestWhatAPlanHasLoadedIsEqualAndEachDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		job, p := w.migrated(t, kiosk)
		c, differ, _ := w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID})
		wantFound(t, differ)
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
		wantFound(t, differ, "people [7] half: source has 3.5, target has 9.25", "people [8] since: source has 2001-02-09, target has 2001-02-03",
			"people [9] : "+migration.MissingRow, "people [13] : "+migration.ExtraRow, "people [99] : "+migration.ExtraRow,
			`bills ["R-003"] cents: source has 375, target has 376`, `bills ["R-004"] person: source has 4, target has 1`,
			`words ["R-005",1] : `+migration.MissingRow, `words ["x"] : `+migration.ExtraRow, "log : "+migration.ExtraRow, "log : "+migration.MissingRow)
	})
}

// damages make the target of the kiosk differ in all ways that can be mended.
var damages = []string{
	"UPDATE people SET half = 9.25, name = 'x' WHERE legacy_id = 7",
	"DELETE FROM people WHERE legacy_id = 9",
	"INSERT INTO people (legacy_id, name) VALUES (13, 'FILTERED'), (99, 'EXTRA')",
	"UPDATE bills SET person = 1 WHERE number = 'R-004'",
	"DELETE FROM bills WHERE number = 'R-005'",
	"DELETE FROM words WHERE id = 'R-005/1/b'",
	"INSERT INTO words VALUES ('x', 'y', 'z')",
}

func TestWhatIsRepairedIsEqualAfterwardsAndTheLedgerSaysWhatWasDone(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		job, p := w.migrated(t, kiosk)
		w.inTarget(t, damages...)
		_, differ, _ := w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID, Repair: migration.RepairRows})
		wantFound(t, differ, "people [13] : "+migration.ExtraRow, "people [99] : "+migration.ExtraRow, `words ["x"] : `+migration.ExtraRow)

		f, again := migration.NewVerifier(w.dbs), w.job(t, migration.VerifyKind, migration.VerifySpec{Source: "old", Target: "new", Plan: p, Job: job.ID, Repair: migration.RepairDelete})
		if _, found := drive(t, f, again); len(found) > 0 {
			t.Errorf("after a repair that deletes: %+v", found)
		}
		report, err := f.Report(t.Context(), again)
		if err != nil || len(report.Sections) != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		var done []string
		for _, row := range report.Sections[0].Rows {
			done = append(done, strings.Join(row, " "))
		}
		wantFound(t, done, "people 0 0 2", "words 0 0 1")
		if _, differ, _ = w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID}); len(differ) > 0 {
			t.Errorf("after both: %q", differ)
		}
		if c, found := drive(t, f, again); len(found) > 0 || c.Written == 0 {
			t.Errorf("what was repaired is repaired again: %+v %+v", c, found)
		}
	})
}

func TestTablesThatWereMovedAsTheyAreAreRepairedToo(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"})
		drive(t, migration.New(w.dbs), job)
		w.inTarget(t, "UPDATE line SET text = 'other' WHERE invoice = 'R-011' AND pos = 2", "DELETE FROM line WHERE invoice = 'R-012'", "DELETE FROM invoice WHERE no = 'R-012'",
			"INSERT INTO invoice (no, customer) VALUES ('R-999', 1)", "INSERT INTO customer (id, name) VALUES (77, 'x')", "INSERT INTO log VALUES ('x', 'y')")
		_, differ, notes := w.verified(t, migration.VerifySpec{Job: job.ID, Repair: migration.RepairDelete})
		if len(differ) != 1 || !strings.HasPrefix(differ[0], "log ") || len(notes) != 1 || !strings.Contains(notes[0], "no key") {
			t.Errorf("left: %q, %q", differ, notes)
		}
	})
}

func TestAMigrationThatFindsItselfDifferentFailsAndARetryAfterTheRepairSucceeds(t *testing.T) {
	t.Parallel()
	inBoth(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		p := parsedPlan(t, kiosk)
		f, job := migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: p, ChunkRows: 9})
		stages := runStages(t, f, job, "schema", "load:people", "load:", "again:", "indexes", "foreign keys")
		w.inTarget(t, damages...)
		last := stages[len(stages)-1]
		for _, st := range stages {
			if strings.HasPrefix(st.Name, "verify:") || strings.HasPrefix(st.Name, "extras:") {
				if err := runStage(t, f, job, st); err != nil {
					t.Fatal(err)
				}
			}
		}
		if last.Name != "verified" {
			t.Fatalf("the last stage is %s", last.Name)
		}
		refused(t, runStage(t, f, job, last), "differ", "stint verify "+job.ID+" --repair")
		w.verified(t, migration.VerifySpec{Plan: p, Job: job.ID, Repair: migration.RepairDelete})
		if err := runStage(t, f, job, last); err != nil {
			t.Errorf("after the repair: %v", err)
		}
	})
}

func TestAPlanVerifiesItselfAsMuchAsItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	for rows, want := range map[string]int{"": 7, "all": 7, "sample: 10%": 5, "count": 5, "none": 0} {
		p := parsedPlan(t, kiosk)
		p.Verify.Rows = rows
		stages, err := migration.New(w.dbs).Plan(t.Context(), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: p}))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, st := range stages {
			if strings.HasPrefix(st.Name, "verif") || strings.HasPrefix(st.Name, "extras:") {
				n++
			}
		}
		if n != want {
			t.Errorf("verify: {rows: %s} makes %d stages, want %d", rows, n, want)
		}
	}
}

// fresh returns the address of a database that is empty.
func fresh(t *testing.T, kind string) string {
	t.Helper()
	if kind == "postgres" {
		return pgtest.New(t)
	}
	return "sqlite:" + filepath.Join(t.TempDir(), "new.db")
}

// count returns a number that the target gives.
func (w *world) count(t *testing.T, query string) (n int64) {
	t.Helper()
	db := w.open(t, w.to)
	var err error
	if db.Pool != nil {
		err = db.Pool.QueryRow(t.Context(), query).Scan(&n)
	} else {
		err = db.SQL.QueryRowContext(t.Context(), query).Scan(&n)
	}
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}
