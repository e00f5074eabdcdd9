package migration_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// follow makes the first pass of a plan into tables that are there.
func follow(t *testing.T, w *world, stages ...plan.Stage) *live {
	t.Helper()
	l := &live{world: w, path: strings.TrimPrefix(w.from, "sqlite:")}
	l.spec = migration.Spec{Source: "old", Target: "new", Plan: &plan.Plan{Name: "there", Stages: stages}, KeepRows: true, ChunkRows: 9, BatchRows: 4}
	l.first = w.job(t, migration.Kind, l.spec)
	drive(t, migration.New(w.dbs), l.first)
	return l
}

// upserted is a stage that moves columns by their names.
func upserted(from, to, key string, columns ...string) plan.Stage {
	s := plan.Stage{Name: to, From: plan.From{Table: from}, To: plan.To{Table: to, Mode: plan.ModeUpsert, Key: strings.Split(key, " ")}}
	for _, c := range columns {
		s.Map = append(s.Map, plan.Assignment{Column: c, Expr: c})
	}
	return s
}

func TestRowsThatOthersReferToInTheTargetGoWhenTheseAreGone(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		if strings.HasPrefix(to, "sqlite:") {
			t.Skip("SQLite does not look at foreign keys unless a session asks for it")
		}
		w.inTarget(t, "CREATE TABLE client (id bigint PRIMARY KEY, name varchar(50), boss bigint, FOREIGN KEY (boss) REFERENCES client (id))",
			"CREATE TABLE bill (no varchar(20) PRIMARY KEY, customer bigint NOT NULL, FOREIGN KEY (customer) REFERENCES client (id))",
			"CREATE TABLE note (id bigint PRIMARY KEY, client bigint NOT NULL, FOREIGN KEY (client) REFERENCES client (id))")
		l := follow(t, w, upserted("customer", "client", "id", "id", "name", "boss"), upserted("invoice", "bill", "no", "no", "customer"))
		l.expect(t, "SELECT concat(count(*), '') FROM client", "40")
		l.expect(t, "SELECT concat(count(*), '') FROM bill", "40")
		// Somebody has written in the target already: their note keeps customer 40 there. 39 goes with its bill, and 36 was the boss of 38.
		w.inTarget(t, "INSERT INTO note VALUES (1, 40)")
		run(t, l.path, "DELETE FROM line", "UPDATE customer SET boss = 36 WHERE id = 38")
		l.catchUp(t, nil)
		run(t, l.path, "DELETE FROM invoice WHERE customer IN (36, 38, 39, 40)", "DELETE FROM customer WHERE id IN (36, 38, 39, 40)")
		got, found := l.catchUp(t, nil)
		if got.Written != 4+3 {
			t.Errorf("the round counted %+v, want 4 bills and 3 clients", got)
		}
		stays := false
		for _, f := range found {
			stays = stays || f.Subject == "client" && strings.HasPrefix(f.Message, "1 rows of the target should go")
		}
		if !stays {
			t.Errorf("the round does not say that a row stays: %+v", found)
		}
		l.expect(t, "SELECT concat(id, '') FROM client WHERE id > 35 ORDER BY id", "37", "40")
		w.inTarget(t, "DELETE FROM note")
		if got, _ := l.catchUp(t, nil); got.Written != 1 {
			t.Errorf("the round counted %+v, want the client that nothing refers to any more", got)
		}
		l.expect(t, "SELECT concat(id, '') FROM client WHERE id > 35 ORDER BY id", "37")
		// New ones that name each other come, in whatever order they are read.
		run(t, l.path, "INSERT INTO customer VALUES (50, 'a', 60, NULL), (60, 'b', 70, NULL), (70, 'c', 50, NULL)", "UPDATE customer SET boss = NULL WHERE id = 70")
		l.catchUp(t, nil)
		l.expect(t, "SELECT concat(id, '/', coalesce(boss, 0)) FROM client WHERE id > 40 ORDER BY id", "50/60", "60/70", "70/0")
		l.expect(t, "SELECT row_key FROM stint_quarantine")
	})
}

func TestARowThatMeetsAnotherByASecondUniqueKeyIsSetAsideAndTheOtherStays(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		w.inTarget(t, "CREATE TABLE client (id bigint PRIMARY KEY, name varchar(50) UNIQUE)")
		l := follow(t, w, upserted("customer", "client", "id", "id", "name"))
		run(t, l.path, "UPDATE customer SET name = 'Kundin 2' WHERE id = 1", "INSERT INTO customer VALUES (100, 'Kundin 3', NULL, NULL)")
		l.catchUp(t, nil)
		l.expect(t, "SELECT concat(id, ' ', name) FROM client WHERE id < 4 OR id > 40 ORDER BY id", "1 Kundin 1", "2 Kundin 2", "3 Kundin 3")
		l.expect(t, "SELECT row_key FROM stint_quarantine ORDER BY row_key", "[100]", "[1]")
		run(t, l.path, "UPDATE customer SET name = 'Zweite' WHERE id = 2", "DELETE FROM customer WHERE id = 3")
		l.catchUp(t, nil)
		l.expect(t, "SELECT concat(id, ' ', name) FROM client WHERE id < 4 OR id > 40 ORDER BY id", "1 Kundin 2", "2 Zweite", "100 Kundin 3")
		l.expect(t, "SELECT row_key FROM stint_quarantine")
	})
}

// In a collation without case, and in one that pads, two rows of the source can be one key of the target.
func TestKeysThatTheTargetTakesForEqualNeverOverwriteOrDeleteEachOther(t *testing.T) {
	t.Parallel()
	const set = "CREATE TABLE tag (code TEXT PRIMARY KEY NOT NULL, n INTEGER); INSERT INTO tag VALUES ('a', 1), ('A', 2), ('b', 3), ('c', 4), ('C ', 5), ('D', 6)"
	w := newWorld(t, mariadbtest.New(t), set)
	w.inTarget(t, "CREATE TABLE tag (code varchar(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci PRIMARY KEY, n int)")
	l := follow(t, w, upserted("tag", "tag", "code", "code", "n"))
	const all = "SELECT concat(code, '=', n) FROM tag ORDER BY n"
	l.expect(t, all, "A=2", "b=3", "C =5", "D=6") // as the source is walked: A before a, and C before c
	run(t, l.path, "UPDATE tag SET n = 10 WHERE code = 'a'", "UPDATE tag SET n = 30 WHERE code = 'b'", "UPDATE tag SET code = 'd' WHERE code = 'D'")
	l.catchUp(t, nil)
	l.expect(t, all, "A=2", "C =5", "d=6", "b=30")
	run(t, l.path, "DELETE FROM tag WHERE code = 'c'", "DELETE FROM tag WHERE code = 'A'")
	l.catchUp(t, nil)
	l.expect(t, all, "C =5", "d=6", "a=10", "b=30")
	l.expect(t, "SELECT row_key FROM stint_quarantine")
	if got, _ := l.catchUp(t, nil); got.Written != 0 {
		t.Errorf("the next round counted %+v, want nothing", got)
	}
}

func TestKeysThatAreLongerThanAnIndexHoldsAreKeptApart(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		const n = 1_500 // more than a round looks for at a time
		head := strings.Repeat("ü", 240)
		w := newWorld(t, to, fmt.Sprintf("CREATE TABLE page (url TEXT PRIMARY KEY NOT NULL, hits INTEGER); INSERT INTO page WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) "+
			"SELECT '%s' || i, i FROM n", n, head))
		l := &live{world: w, path: strings.TrimPrefix(w.from, "sqlite:"), spec: migration.Spec{Source: "old", Target: "new", Plan: w.asTheyAre(t, "page"), KeepRows: true}}
		l.first = w.job(t, migration.Kind, l.spec)
		drive(t, migration.New(w.dbs), l.first)
		run(t, l.path, "DELETE FROM page WHERE hits % 3 = 0", "UPDATE page SET hits = hits + 10000 WHERE hits % 3 = 1")
		if got, _ := l.catchUp(t, nil); got.Written != n/3*2 {
			t.Errorf("the round counted %+v, want %d rows", got, n/3*2)
		}
		l.equal(t)
		if got, _ := l.catchUp(t, nil); got.Written != 0 {
			t.Errorf("the next round counted %+v, want nothing", got)
		}
	})
}

// together drives a job like try, but the steps of a stage at the same time, and does again what failed for a reason that passes.
func together(t *testing.T, f tasks.Family, job tasks.Job) (total tasks.Counters) {
	t.Helper()
	stages, err := f.Plan(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range stages {
		steps, next, err := f.Split(t.Context(), job, st, nil, 1000)
		if err != nil || next != nil {
			t.Fatal(err, next)
		}
		var wg sync.WaitGroup
		attempts := make([]*tasks.Attempt, len(steps))
		for i, step := range steps {
			wg.Go(func() {
				for {
					attempts[i] = attemptAt(job, st, step, make(chan struct{}))
					err := f.Run(t.Context(), attempts[i])
					if _, passes := tasks.RetryAfterOf(err); !passes {
						if err != nil {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		wg.Wait()
		for _, a := range attempts {
			total = total.Add(a.Counters())
		}
	}
	return total
}

func TestRowsThatExchangeTheirNamesInStepsOfTheSameTimeAreAllThere(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		const n = 400
		w := newWorld(t, to, fmt.Sprintf("CREATE TABLE seat (id INTEGER PRIMARY KEY, place INTEGER); INSERT INTO seat WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < %d) SELECT i, i FROM n", n))
		l := &live{world: w, path: strings.TrimPrefix(w.from, "sqlite:")}
		l.spec = migration.Spec{Source: "old", Target: "new", Plan: &plan.Plan{Name: "seats", Stages: []plan.Stage{upserted("seat", "chair", "place", "place", "id")}}, KeepRows: true, ChunkRows: 10, BatchRows: 4}
		l.first = w.job(t, migration.Kind, l.spec)
		drive(t, migration.New(w.dbs), l.first)
		for i, change := range []string{"place = %d - place", "place = CASE place WHEN 1 THEN %d - 1 ELSE place - 1 END", "place = (place * 7 - 1) %% %d"} {
			run(t, l.path, "UPDATE seat SET "+fmt.Sprintf(change, n+1)) // everybody changes places
			together(t, migration.NewCatchUp(l.dbs), l.next(t, nil))
			want := map[string]bool{}
			db, err := sql.Open("sqlite", l.path)
			if err != nil {
				t.Fatal(err)
			}
			rows, err := db.QueryContext(t.Context(), "SELECT place || ':' || id FROM seat")
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var text string
				if err := rows.Scan(&text); err != nil {
					t.Fatal(err)
				}
				want[text] = true
			}
			if err := errors.Join(rows.Err(), rows.Close(), db.Close()); err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, text := range l.texts(t, "SELECT concat(place, ':', id) FROM chair") {
				got[text] = true
			}
			if !maps.Equal(got, want) {
				t.Errorf("change %d: %d rows in the target, %d in the source, or others", i, len(got), len(want))
			}
		}
		if got, _ := l.catchUp(t, nil); got.Written != 0 {
			t.Errorf("the next round counted %+v, want nothing", got)
		}
	})
}

// stubborn drives a job like try, and does again what failed for a reason that passes. At the tenth failure it calls enough. It returns how
// many there were.
func stubborn(t *testing.T, f tasks.Family, job tasks.Job, enough func()) (failed int) {
	t.Helper()
	again := func(do func() error) {
		for {
			err := do()
			if err == nil {
				return
			}
			if _, passes := tasks.RetryAfterOf(err); !passes {
				t.Fatalf("no error that passes: %v", err)
			}
			if failed++; failed == 10 {
				enough()
			}
		}
	}
	var stages []tasks.Stage
	again(func() (err error) { stages, err = f.Plan(t.Context(), job); return err })
	for _, st := range stages {
		for cursor := tasks.Cursor(nil); ; {
			var steps []tasks.Step
			var next tasks.Cursor
			again(func() (err error) { steps, next, err = f.Split(t.Context(), job, st, cursor, 4); return err })
			for _, step := range steps {
				again(func() error { return f.Run(t.Context(), attemptAt(job, st, step, make(chan struct{}))) })
			}
			if cursor = next; next == nil {
				break
			}
		}
	}
	return failed
}

func TestARoundWhoseSessionsAreKilledAtAnyMomentLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, mariadbtest.New(t), "CREATE TABLE many (id INTEGER PRIMARY KEY, v TEXT, of INTEGER REFERENCES many (id)); "+
		"INSERT INTO many WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 6000) SELECT i, 'v' || i, i / 2 FROM n WHERE i > 1")
	l := &live{world: w, path: strings.TrimPrefix(w.from, "sqlite:"), spec: migration.Spec{Source: "old", Target: "new", Plan: w.asTheyAre(t, "many"), KeepRows: true, ChunkRows: 300, BatchRows: 50}}
	l.first = w.job(t, migration.Kind, l.spec)
	drive(t, migration.New(w.dbs), l.first)
	failed, killed := 0, 0
	for i := range 4 {
		run(t, l.path, fmt.Sprintf("DELETE FROM many WHERE id %% 7 = %d", i), fmt.Sprintf("UPDATE many SET v = 'changed %d' WHERE id %% 3 = 0", i),
			fmt.Sprintf("INSERT INTO many SELECT id + %d, v, NULL FROM many WHERE id < 1000", 10000*(i+1)))
		stop := kills(t, w.to)
		stopped := func() {
			killed += stop()
			stop = func() int { return 0 }
		}
		failed += stubborn(t, migration.NewCatchUp(w.dbs), l.next(t, nil), stopped)
		stopped()
	}
	if failed == 0 || killed < 20 {
		t.Errorf("%d sessions were killed, %d attempts failed", killed, failed)
	}
	l.equal(t)
	if got, _ := l.catchUp(t, nil); got.Written != 0 {
		t.Errorf("the next round counted %+v, want nothing", got)
	}
}

func TestWhatIsNoTableIsRefusedBeforeTheFirstPassWithWhatToDoInstead(t *testing.T) {
	t.Parallel()
	stage := func(to plan.To) *plan.Plan {
		return &plan.Plan{Name: "elsewhere", Stages: []plan.Stage{{Name: "people", From: plan.From{Table: "customer"},
			Map: plan.Map{{Column: "id", Expr: "id"}, {Column: "name", Expr: "name"}}, To: to}}}
	}
	for path, p := range map[string]*plan.Plan{"to.http": stage(plan.To{HTTP: &plan.HTTP{Method: "POST", Path: "/people"}}), "to.file": stage(plan.To{File: &plan.File{Format: "ndjson"}})} {
		w := newWorld(t, "https://api.example.com/")
		body, err := migration.New(w.dbs).Draft(t.Context(), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Plan: p, KeepRows: true}))
		if err != nil {
			t.Fatal(err)
		}
		var out migration.DryRun
		if err := json.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		if len(out.Problems) != 1 || out.Problems[0].Path != "stages[0]."+path || !strings.Contains(out.Problems[0].Hint, "from.where") {
			t.Errorf("%s: %+v", path, out.Problems)
		}
	}
}
