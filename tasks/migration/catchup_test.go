package migration_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// live is a migration that catches up.
type live struct {
	*world
	path  string // of the source
	first tasks.Job
	spec  migration.Spec
	round int
}

// asTheyAre is the plan that moves tables as they are.
func (w *world) asTheyAre(t *testing.T, tables ...string) *plan.Plan {
	t.Helper()
	body, err := migration.New(w.dbs).Draft(t.Context(), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Tables: tables}))
	if err != nil {
		t.Fatal(err)
	}
	var out migration.Outline
	if err := json.Unmarshal(body, &out); err != nil {
		t.Fatal(err)
	}
	return out.Plan
}

// begin makes the first pass.
func begin(t *testing.T, w *world, p *plan.Plan) *live {
	t.Helper()
	l := &live{world: w, path: strings.TrimPrefix(w.from, "sqlite:")}
	l.spec = migration.Spec{Source: "old", Target: "new", Plan: p, KeepRows: true, ChunkRows: 9, BatchRows: 4}
	l.first = w.job(t, migration.Kind, l.spec)
	drive(t, migration.New(w.dbs), l.first)
	return l
}

// next makes the job of the next round.
func (l *live) next(t *testing.T, change func(*migration.CatchUpSpec)) tasks.Job {
	t.Helper()
	l.round++
	s := migration.CatchUpSpec{Spec: l.spec, Of: l.first.ID, Round: fmt.Sprint(l.round)}
	if change != nil {
		change(&s)
	}
	job := l.job(t, migration.CatchUpKind, s)
	job.CreatedAt = time.Now()
	return job
}

// catchUp drives a round and returns what it wrote or deleted.
func (l *live) catchUp(t *testing.T, change func(*migration.CatchUpSpec)) (tasks.Counters, []tasks.Finding) {
	t.Helper()
	return drive(t, migration.NewCatchUp(l.dbs), l.next(t, change))
}

// equal compares the tables of source and target.
func (l *live) equal(t *testing.T) {
	t.Helper()
	v := migration.NewVerifier(l.dbs)
	spec := migration.VerifySpec{Source: "old", Target: "new", Job: l.first.ID, ChunkRows: 10}
	for _, s := range l.spec.Plan.Stages {
		spec.Tables = append(spec.Tables, s.From.Table)
	}
	_, found := drive(t, v, l.job(t, migration.VerifyKind, spec))
	for _, f := range found {
		if f.Level == tasks.LevelDifference {
			t.Errorf("%s %s %s: %s", f.Subject, f.Key, f.Field, f.Message)
		}
	}
}

var keyed = []string{"customer", "invoice", "line"}

func TestARoundBringsWhatWasInsertedUpdatedAndDeletedAndTheNextOneFindsNothing(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		l := begin(t, w, w.asTheyAre(t, keyed...))
		l.equal(t)
		run(t, l.path, "INSERT INTO customer VALUES (100, 'new, of one who comes later', 101, NULL), (101, 'newer', 1, '2020-01-01')",
			"UPDATE customer SET name = name || '!' WHERE id IN (1, 2, 39)", "UPDATE line SET text = NULL WHERE pos = 2 AND invoice < 'R-010'",
			"DELETE FROM line WHERE invoice = 'R-040'", "DELETE FROM invoice WHERE no = 'R-040'", "DELETE FROM customer WHERE id = 40",
			"UPDATE line SET invoice = 'R-039', pos = pos + 10 WHERE invoice = 'R-038'", "DELETE FROM invoice WHERE no = 'R-038'",
			"INSERT INTO invoice VALUES ('R-100', 100, 5)")
		got, _ := l.catchUp(t, nil)
		// 2 + 3 customers, 9 lines, 5 rows that are gone, 3 lines that have another key (deleted and inserted), 1 + 1 invoices
		if want := int64(2 + 3 + 9 + 5 + 3 + 3 + 1 + 1); got.Written != want || got.Quarantined != 0 {
			t.Errorf("the round counted %+v, want %d rows", got, want)
		}
		l.equal(t)
		if got, _ := l.catchUp(t, nil); got.Written != 0 {
			t.Errorf("the next round counted %+v, want nothing", got)
		}
	})
}

func TestARoundThatFindsNothingEndsTheMigrationAndThereIsNoOtherAfterIt(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		l := begin(t, w, w.asTheyAre(t, keyed...))
		last := func(s *migration.CatchUpSpec) { s.CutOver, s.Full = true, true }
		over := func(found []tasks.Finding) bool {
			for _, f := range found {
				if f.Subject == migration.CutOverSubject {
					return true
				}
			}
			return false
		}
		run(t, l.path, "UPDATE customer SET name = 'late' WHERE id = 1")
		if _, found := l.catchUp(t, last); over(found) {
			t.Error("a round that has found something has ended the migration")
		}
		if got, found := l.catchUp(t, last); !over(found) || got.Written != 0 {
			t.Errorf("a round that has found nothing (%+v) has not ended the migration", got)
		}
		l.equal(t)
		run(t, l.path, "UPDATE customer SET name = 'too late' WHERE id = 1")
		_, _, err := try(t, migration.NewCatchUp(l.dbs), l.next(t, nil))
		refused(t, err, "cut over")
	})
}

func TestARoundThatWasOvertakenWritesNothingAnyMore(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		l := begin(t, w, w.asTheyAre(t, keyed...))
		f := migration.NewCatchUp(l.dbs)
		old := l.next(t, nil)
		stages, err := f.Plan(t.Context(), old)
		if err != nil {
			t.Fatal(err)
		}
		step := func(st tasks.Stage) error {
			steps, _, err := f.Split(t.Context(), old, st, nil, 100)
			if err != nil {
				return err
			}
			for _, s := range steps {
				a := tasks.NewAttempt(&tasks.Attempt{ID: "z" + s.ID, Job: old, Stage: st, Step: s, Worker: "w", Draining: make(chan struct{})}, nowhere{}, nil, tasks.Counters{})
				if err := f.Run(t.Context(), a); err != nil {
					return err
				}
			}
			return nil
		}
		if err := step(stages[0]); err != nil {
			t.Fatal(err)
		}
		run(t, l.path, "UPDATE customer SET name = 'x' WHERE id < 5", "DELETE FROM line WHERE pos = 3")
		l.catchUp(t, nil)
		run(t, l.path, "UPDATE customer SET name = 'y' WHERE id < 5", "DELETE FROM line WHERE pos = 2")
		for _, st := range stages {
			switch st.Name {
			case "begin", "gone", "changed:customer", "end":
				refused(t, step(st), "later round")
			}
		}
		l.catchUp(t, nil)
		l.equal(t)
	})
}

func TestAMigrationThatKeptNothingOfItsRowsCannotCatchUp(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		p := w.asTheyAre(t, keyed...)
		l := &live{world: w, spec: migration.Spec{Source: "old", Target: "new", Plan: p}}
		l.first = w.job(t, migration.Kind, l.spec)
		drive(t, migration.New(w.dbs), l.first)
		if err := migration.NewCatchUp(w.dbs).Check(l.next(t, nil).Spec); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("the spec of a round is accepted: %v", err)
		}
		_, _, err := try(t, migration.NewCatchUp(w.dbs), l.next(t, func(s *migration.CatchUpSpec) { s.KeepRows = true }))
		refused(t, err, "kept nothing")
	})
}

func TestATableThatNothingNamesARowOfIsRefusedBeforeTheFirstPass(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	_, _, err := try(t, migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: w.asTheyAre(t), KeepRows: true}))
	refused(t, err, "log", "no key")
}

// at opens the target.
func (l *live) texts(t *testing.T, query string) []string {
	t.Helper()
	db := l.open(t, l.to)
	var out []string
	if db.Pool != nil {
		rows, err := db.Pool.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	rows, err := db.SQL.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		out = append(out, s)
	}
	return out
}

func (l *live) expect(t *testing.T, query string, want ...string) {
	t.Helper()
	if got := l.texts(t, query); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", query, got, want)
	}
}

// mapped is a plan whose target has other keys than its source: customers by their code, phones made of columns, and a filter.
func mapped() *plan.Plan {
	return &plan.Plan{Name: "mapped", Stages: []plan.Stage{
		{Name: "people", From: plan.From{Table: "customer"}, Filter: `name != "hidden"`,
			Map: plan.Map{{Column: "code", Expr: `"C" + text(len(name)) + "-" + lower(name)`}, {Column: "since", Expr: "since"}},
			To:  plan.To{Table: "people", Mode: plan.ModeInsert, Key: []string{"code"}, ID: "code"}},
		{Name: "bills", From: plan.From{Table: "invoice"}, Map: plan.Map{{Column: "no", Expr: "no"}, {Column: "person", Expr: `ref("people", customer)`}},
			To: plan.To{Table: "bills", Mode: plan.ModeUpsert, Key: []string{"no"}}},
	}}
}

func TestARowWhoseNameInTheTargetChangesOrThatIsLeftOutNowDoesNotStayThere(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to, "DELETE FROM invoice WHERE customer > 4", "DELETE FROM customer WHERE id > 4")
		l := begin(t, w, mapped())
		l.expect(t, "SELECT code FROM people ORDER BY code", "C8-kundin 1", "C8-kundin 2", "C8-kundin 3", "C8-kundin 4")
		// 1 and 2 change names with each other, 3 is hidden, 4 has another name. Their bills, which have not changed, follow.
		run(t, l.path, "UPDATE customer SET name = CASE id WHEN 1 THEN 'Kundin 2' WHEN 2 THEN 'Kundin 1' WHEN 3 THEN 'hidden' ELSE 'Four' END",
			"DELETE FROM invoice WHERE customer = 3")
		l.catchUp(t, nil)
		l.expect(t, "SELECT code FROM people ORDER BY code", "C4-four", "C8-kundin 1", "C8-kundin 2")
		l.expect(t, "SELECT concat(no, ' ', person) FROM bills ORDER BY no", "R-001 C8-kundin 2", "R-002 C8-kundin 1", "R-004 C4-four")
		l.expect(t, "SELECT concat(source_key, target_id) FROM stint_ids WHERE entity = 'people' ORDER BY 1", `["1"]C8-kundin 2`, `["2"]C8-kundin 1`, `["4"]C4-four`)
		if got, _ := l.catchUp(t, nil); got.Written != 0 {
			t.Errorf("the next round counted %+v, want nothing", got)
		}
	})
}

func TestARowThatWasSetAsideLeavesTheQuarantineWhenItIsMended(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "", dirty)
	inEach(t, func(t *testing.T, to string) {
		w := &world{from: w.from, to: to}
		w = newWorld(t, to, dirty)
		p := w.asTheyAre(t, keyed...)
		l := begin(t, w, p)
		aside := l.texts(t, "SELECT row_key FROM stint_quarantine WHERE job = '"+l.first.ID+"' ORDER BY row_key")
		run(t, l.path, "UPDATE customer SET since = '2020-02-02' WHERE id = 7", "UPDATE customer SET since = '0000-00-00', name = 'bad now' WHERE id = 8",
			"DELETE FROM line WHERE invoice = 'R-003' AND pos = 2")
		l.catchUp(t, nil)
		if l.open(t, to).Dialect == sqldb.Postgres {
			if len(aside) != 2 {
				t.Errorf("set aside at first: %v", aside)
			}
			l.expect(t, "SELECT row_key FROM stint_quarantine", "[8]")
			l.expect(t, "SELECT name FROM customer WHERE id IN (7, 8) ORDER BY id", "Kundin 7", "Kundin 8") // the old 8 stays until it is mended
		}
		run(t, l.path, "UPDATE customer SET since = NULL WHERE id = 8")
		l.catchUp(t, nil)
		l.expect(t, "SELECT row_key FROM stint_quarantine")
		l.equal(t)
	})
}

func TestByAColumnThatGrowsARoundReadsOnlyWhatHasChangedAndAFullOneFindsTheRest(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to, "ALTER TABLE customer ADD COLUMN version INTEGER", "UPDATE customer SET version = id")
		p := w.asTheyAre(t, "customer")
		p.Stages[0].From.Changed = "version"
		l := begin(t, w, p)
		soon := func(s *migration.CatchUpSpec) { s.OverlapSeconds = 1 }
		l.catchUp(t, soon) // takes the first mark
		later := func(s *migration.CatchUpSpec) { s.OverlapSeconds = 1 }
		run(t, l.path, "UPDATE customer SET name = 'told', version = 1000 WHERE id = 1", "UPDATE customer SET name = 'untold' WHERE id = 2", "DELETE FROM customer WHERE id = 5",
			"UPDATE customer SET name = 'unknown', version = NULL WHERE id = 4")
		job := l.next(t, later)
		job.CreatedAt = time.Now().Add(time.Hour) // so the mark is old enough
		drive(t, migration.NewCatchUp(l.dbs), job)
		l.expect(t, "SELECT name FROM customer WHERE id < 7 ORDER BY id", "told", "Kundin 2", "Kundin 3", "unknown", "Kundin 6")
		got, _ := l.catchUp(t, func(s *migration.CatchUpSpec) { s.Full = true })
		if got.Written != 1 {
			t.Errorf("the full round counted %+v, want the one row that nobody had told of", got)
		}
		l.equal(t)
	})
}

func TestRowsThatWereDeletedInTheSourceStayWhereThePlanSaysSo(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		p := w.asTheyAre(t, keyed...)
		p.Policy.OnDelete = plan.OnDeleteKeep
		l := begin(t, w, p)
		run(t, l.path, "DELETE FROM line WHERE pos = 3", "UPDATE line SET text = 'changed' WHERE pos = 1")
		if got, _ := l.catchUp(t, nil); got.Written != 40 {
			t.Errorf("the round counted %+v, want 40 rows", got)
		}
		l.expect(t, "SELECT concat(count(*), '') FROM line WHERE pos = 3", "40")
	})
}

func TestRowsThatTheTargetRefusesAmongOthersAreSetAsideAndTheOthersComeOnce(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		w.inTarget(t, "CREATE TABLE people (id bigint PRIMARY KEY, name text, CHECK (id NOT IN (7, 15, 16, 31)))")
		p := &plan.Plan{Name: "refused", Stages: []plan.Stage{{Name: "people", From: plan.From{Table: "customer"}, Map: plan.Map{{Column: "id", Expr: "id"}, {Column: "name", Expr: "name"}},
			To: plan.To{Table: "people", Mode: plan.ModeUpsert, Key: []string{"id"}}}}}
		l := &live{world: w, path: strings.TrimPrefix(w.from, "sqlite:"), spec: migration.Spec{Source: "old", Target: "new", Plan: p, KeepRows: true}}
		l.first = w.job(t, migration.Kind, l.spec)
		got, _ := drive(t, migration.New(w.dbs), l.first)
		if got.Written != 36 || got.Quarantined != 4 {
			t.Errorf("counted %+v, want 36 rows and 4 set aside", got)
		}
		l.expect(t, "SELECT concat(count(*), '') FROM people", "36")
		run(t, l.path, "UPDATE customer SET name = 'new ' || id")
		if got, _ := l.catchUp(t, nil); got.Written != 36 {
			t.Errorf("the round counted %+v, want 36 rows", got)
		}
		l.expect(t, "SELECT concat(count(*), '') FROM people WHERE name LIKE 'new %'", "36")
		l.expect(t, "SELECT concat(count(*), '') FROM stint_quarantine", "4")
	})
}
