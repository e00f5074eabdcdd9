package migration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
)

// inTarget runs statements in the target of a world.
func (w *world) inTarget(t *testing.T, statements ...string) {
	t.Helper()
	db := w.open(t, w.to)
	for _, s := range statements {
		var err error
		if db.Pool != nil {
			_, err = db.Pool.Exec(t.Context(), s)
		} else {
			_, err = db.SQL.ExecContext(t.Context(), s)
		}
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func (w *world) open(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	at, err := sqldb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), at, sqldb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// inEach runs a test with a target of each dialect.
func inEach(t *testing.T, test func(t *testing.T, to string)) {
	t.Run("mysql", func(t *testing.T) { t.Parallel(); test(t, mariadbtest.New(t)) })
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, pgtest.New(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db")) })
}

func refused(t *testing.T, err error, words ...string) {
	t.Helper()
	if !tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
		t.Fatalf("want a permanent error with a hint, got %v", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error()+tasks.HintOf(err), word) {
			t.Errorf("%q is not in %v (%s)", word, err, tasks.HintOf(err))
		}
	}
}

func TestATableThatWasDroppedOrEmptiedAfterItsLoadIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, damage := range []string{"DROP TABLE log", "DELETE FROM log"} {
		t.Run(damage, func(t *testing.T) {
			inEach(t, func(t *testing.T, to string) {
				w := newWorld(t, to)
				job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 9})
				drive(t, migration.New(w.dbs), job)
				w.inTarget(t, damage)
				_, _, err := try(t, migration.New(w.dbs), job)
				refused(t, err, "80 rows", "log", "is empty", "DELETE FROM stint_ledger WHERE job = '"+job.ID+"' AND stage = 'load:log';", "DELETE FROM stint_chunks WHERE")
				_, sql, _ := strings.Cut(tasks.HintOf(err), "again: ")
				for s := range strings.SplitSeq(strings.TrimSuffix(sql, ";"), ";") {
					w.inTarget(t, s) // what the hint says helps
				}
				drive(t, migration.New(w.dbs), job)
				if d := w.differences(t, job.ID); len(d) > 0 {
					t.Errorf("%d differences, the first: %+v", len(d), d[0])
				}
			})
		})
	}
}

func TestATableThatIsEmptiedDuringTheMigrationIsNoSuccess(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		f, job := migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"})
		stages := runStages(t, f, job, "schema", "load:")
		w.inTarget(t, "DELETE FROM line")
		for _, st := range stages {
			if st.Name == "indexes" {
				_, _, err := f.Split(t.Context(), job, st, nil, 10)
				refused(t, err, "line", "120 rows", "is empty")
			}
		}
	})
}

// runStages runs the stages of a job whose names begin with one of the words, and returns all stages.
func runStages(t *testing.T, f tasks.Family, job tasks.Job, words ...string) []tasks.Stage {
	t.Helper()
	stages, err := f.Plan(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range words {
		for _, st := range stages {
			if !strings.HasPrefix(st.Name, word) {
				continue
			}
			if err := runStage(t, f, job, st); err != nil {
				t.Fatal(err)
			}
		}
	}
	return stages
}

func runStage(t *testing.T, f tasks.Family, job tasks.Job, st tasks.Stage) error {
	t.Helper()
	steps, next, err := f.Split(t.Context(), job, st, nil, 1000)
	if err != nil {
		return err
	}
	if next != nil {
		t.Fatalf("stage %s has too many steps for this test", st.Name)
	}
	for _, step := range steps {
		if err := f.Run(t.Context(), attemptAt(job, st, step, make(chan struct{}))); err != nil {
			return err
		}
	}
	return nil
}

func attemptAt(job tasks.Job, st tasks.Stage, step tasks.Step, draining <-chan struct{}) *tasks.Attempt {
	return tasks.NewAttempt(&tasks.Attempt{ID: "a" + step.ID, Job: job, Stage: st, Step: step, Worker: "w", Draining: draining}, nowhere{}, nil, tasks.Counters{})
}

func TestALedgerThatEndsElsewhereThanItsChunkIsNoSuccess(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 9})
		drive(t, migration.New(w.dbs), job)
		w.inTarget(t, "UPDATE stint_ledger SET to_key = '[5]' WHERE stage = 'load:customer' AND step = '0'")
		_, _, err := try(t, migration.New(w.dbs), job)
		refused(t, err, "step 0 of stage load:customer", `"[5]"`, `"[10]"`)
	})
}

func TestTwoMigrationsThatShareATableDoNotBothLoadIt(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := newWorld(t, to)
		f := migration.New(w.dbs)
		all, some := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Tables: []string{"log"}})
		// Both find the table empty before either loads.
		runStages(t, f, all, "schema")
		stages := runStages(t, f, some, "schema", "load:")
		for _, st := range runStages(t, f, all, "load:c", "load:i", "load:line") {
			if st.Name == "load:log" {
				refused(t, runStage(t, f, all, st), "job "+some.ID, "log", "DELETE FROM stint_tables WHERE table_name = 'log' AND job = '"+some.ID+"';")
			}
		}
		for _, st := range stages[2:] {
			if err := runStage(t, f, some, st); err != nil {
				t.Fatal(err)
			}
		}
		v := migration.NewVerifier(w.dbs)
		if _, found := drive(t, v, w.job(t, migration.VerifyKind, migration.VerifySpec{Source: "old", Target: "new", Tables: []string{"log"}})); len(found) > 0 {
			t.Errorf("%+v", found)
		}
	})
}

func TestAMigrationThatWasRefusedBeforeItLoadedIsInNobodysWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t))
	w.inTarget(t, "CREATE TABLE log (at text, what text)", "INSERT INTO log VALUES ('mine', 'mine')")
	_, _, err := try(t, migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}))
	refused(t, err, "log")
	drive(t, migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", Tables: []string{"customer", "invoice"}}))
}

// fromPostgres is a world whose source is a PostgreSQL database.
func fromPostgres(t *testing.T, to string, statements ...string) *world {
	t.Helper()
	w := newWorld(t, to)
	w.from = pgtest.New(t)
	db := w.open(t, w.from)
	for _, s := range statements {
		if _, err := db.Pool.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	return w
}

func TestRowsOfATableThatInheritsArriveOnce(t *testing.T) {
	t.Parallel()
	inEach(t, func(t *testing.T, to string) {
		w := fromPostgres(t, to, "CREATE TABLE animal (id int PRIMARY KEY, name text)", "CREATE TABLE cat (lives int) INHERITS (animal)", "ALTER TABLE cat ADD PRIMARY KEY (id)",
			"INSERT INTO animal SELECT i, 'a' FROM generate_series(1, 30) i", "INSERT INTO cat SELECT i, 'c', 9 FROM generate_series(11, 55) i",
			"CREATE TABLE note (t text)", "CREATE TABLE loud () INHERITS (note)", "INSERT INTO note SELECT 'n'||i FROM generate_series(1, 20) i", "INSERT INTO loud SELECT 'l'||i FROM generate_series(1, 15) i",
			"CREATE TABLE year (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE y1 PARTITION OF year FOR VALUES FROM (0) TO (10)",
			"CREATE TABLE y2 PARTITION OF year FOR VALUES FROM (10) TO (100)", "INSERT INTO year SELECT generate_series(1, 40)")
		job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 9, BatchRows: 4})
		total, _ := drive(t, migration.New(w.dbs), job)
		if total.Written != 30+45+20+15+40 || total.Quarantined != 0 {
			t.Errorf("%+v", total)
		}
		if d := w.differences(t, job.ID); len(d) > 0 {
			t.Errorf("%d differences, the first: %+v", len(d), d[0])
		}
		drive(t, migration.New(w.dbs), job)
		w.inTarget(t, "INSERT INTO animal VALUES (31, 'c')") // a row of the child is not one of the parent
		if d := w.differences(t, job.ID); len(d) != 1 || d[0].Subject != "animal" || d[0].Message != migration.ExtraRow {
			t.Errorf("%+v", d)
		}
	})
}

func TestATargetMayBePartitionedOrInherit(t *testing.T) {
	t.Parallel()
	parts := []string{"CREATE TABLE year (id int PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE y1 PARTITION OF year FOR VALUES FROM (0) TO (100)",
		"CREATE TABLE animal (id int PRIMARY KEY, name text)", "CREATE TABLE cat (lives int, PRIMARY KEY (id)) INHERITS (animal)"}
	w := fromPostgres(t, pgtest.New(t), "CREATE TABLE year (id int PRIMARY KEY)", "INSERT INTO year SELECT generate_series(1, 40)", parts[2], parts[3],
		"INSERT INTO animal VALUES (1, 'a')", "INSERT INTO cat VALUES (1, 'c', 9), (2, 'c', 9)")
	w.inTarget(t, parts...)
	job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"})
	for range 2 {
		if total, _ := drive(t, migration.New(w.dbs), job); total.Written != 43 {
			t.Errorf("%+v", total)
		}
		if d := w.differences(t, job.ID); len(d) > 0 {
			t.Errorf("%d differences, the first: %+v", len(d), d[0])
		}
	}
}

func TestATableWithForeignKeysOrTriggersIsNotLoaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t))
	w.inTarget(t, "CREATE TABLE customer (id bigint PRIMARY KEY, name text, boss bigint REFERENCES customer, since timestamp)",
		"CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'", "CREATE TRIGGER off BEFORE INSERT ON customer EXECUTE FUNCTION drops()",
		`CREATE TRIGGER "on it" BEFORE INSERT ON customer EXECUTE FUNCTION drops()`, "ALTER TABLE customer DISABLE TRIGGER off")
	job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"})
	_, _, err := try(t, migration.New(w.dbs), job)
	refused(t, err, "table customer", "has foreign key customer_boss_fkey, trigger on it")
	_, sql, _ := strings.Cut(tasks.HintOf(err), "load: ")
	sql, _, _ = strings.Cut(sql, " The foreign keys")
	w.inTarget(t, sql) // what the hint says helps
	for range 2 {      // and the keys that were added by then are no hindrance
		if total, _ := drive(t, migration.New(w.dbs), job); total.Quarantined != 0 || total.Written != 40+40+120+80 {
			t.Errorf("%+v", total)
		}
	}
	if d := w.differences(t, job.ID); len(d) > 0 {
		t.Errorf("%d differences, the first: %+v", len(d), d[0])
	}
}

// inBoth runs a test with targets that understand the same SQL.
func inBoth(t *testing.T, test func(t *testing.T, to string)) {
	t.Run("postgres", func(t *testing.T) { t.Parallel(); test(t, pgtest.New(t)) })
	t.Run("sqlite", func(t *testing.T) { t.Parallel(); test(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db")) })
}
