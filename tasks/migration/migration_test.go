package migration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite"

	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/taskstest"
)

// legacy is a small database with what migrations trip over: a self reference, a composite key, a table without any key, a text
// key, NULLs, money, an index, a view, and two rows that PostgreSQL cannot hold.
const legacy = `
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, boss INTEGER REFERENCES customer(id), since DATETIME);
CREATE TABLE invoice (no TEXT PRIMARY KEY NOT NULL, customer INTEGER NOT NULL REFERENCES customer(id), total DECIMAL(10,2));
CREATE TABLE line (invoice TEXT NOT NULL REFERENCES invoice(no), pos INTEGER NOT NULL, text TEXT, PRIMARY KEY (invoice, pos));
CREATE TABLE log (at TEXT, what TEXT);
CREATE INDEX invoice_customer ON invoice(customer);
CREATE VIEW big AS SELECT * FROM invoice WHERE total > 100;
INSERT INTO customer WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 40)
  SELECT i, 'Kundin ' || i, CASE WHEN i > 3 THEN i % 3 + 1 END, '2001-02-' || printf('%02d', i % 28 + 1) FROM n;
INSERT INTO invoice SELECT 'R-' || printf('%03d', id), id, id * 1.25 FROM customer;
INSERT INTO line SELECT no, p, 'pos ' || p FROM invoice, (SELECT 1 AS p UNION SELECT 2 UNION SELECT 3);
INSERT INTO log SELECT '2020-01-01', 'same' FROM customer;
INSERT INTO log SELECT '2020-01-02', 'row ' || id FROM customer;`

const dirty = `
UPDATE customer SET since = '0000-00-00' WHERE id = 7;
UPDATE line SET text = 'a' || char(0) || 'b' WHERE invoice = 'R-003' AND pos = 2;`

func run(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
}

// world is a source, a target, and the families between them.
type world struct {
	dbs      *migration.Databases
	from, to string
}

func newWorld(t *testing.T, to string, statements ...string) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "legacy.db")
	run(t, path, append([]string{legacy}, statements...)...)
	w := &world{from: "sqlite:" + path, to: to}
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

var jobs atomic.Int64

func (w *world) job(t *testing.T, kind string, spec any) tasks.Job {
	t.Helper()
	body, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tasks.Job{ID: fmt.Sprintf("job-%d", jobs.Add(1)), Kind: kind, Spec: body}
}

// differences verifies a migration with the family itself, in a world of plain function calls.
func (w *world) differences(t *testing.T, job string) []tasks.Finding {
	t.Helper()
	v := migration.NewVerifier(w.dbs)
	_, found := drive(t, v, w.job(t, migration.VerifyKind, migration.VerifySpec{Source: "old", Target: "new", Job: job, ChunkRows: 10}))
	var differ []tasks.Finding
	for _, f := range found {
		if f.Level == tasks.LevelDifference {
			differ = append(differ, f)
		}
	}
	return differ
}

type nowhere struct{}

func (nowhere) Save(context.Context, tasks.Cursor, tasks.Counters) error { return nil }

// drive runs a whole job, step by step, and returns what it counted and found.
func drive(t *testing.T, f tasks.Family, job tasks.Job) (tasks.Counters, []tasks.Finding) {
	t.Helper()
	total, found, err := try(t, f, job)
	if err != nil {
		t.Fatal(err)
	}
	return total, found
}

func try(t *testing.T, f tasks.Family, job tasks.Job) (total tasks.Counters, found []tasks.Finding, err error) {
	t.Helper()
	stages, err := f.Plan(t.Context(), job)
	if err != nil {
		return total, found, err
	}
	for _, st := range stages {
		for cursor := tasks.Cursor(nil); ; {
			steps, next, err := f.Split(t.Context(), job, st, cursor, 4)
			if err != nil {
				return total, found, err
			}
			for _, step := range steps {
				a := tasks.NewAttempt(&tasks.Attempt{ID: "a" + step.ID, Job: job, Stage: st, Step: step, Worker: "w", Draining: make(chan struct{})}, nowhere{}, nil, tasks.Counters{})
				if err := f.Run(t.Context(), a); err != nil {
					return total, found, err
				}
				total, found = total.Add(a.Counters()), append(found, a.Findings()...)
			}
			if next == nil {
				break
			}
			cursor = next
		}
	}
	return total, found, nil
}

func TestAMigrationIntoPostgreSQLKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject { return subject(t, newWorld(t, pgtest.New(t), dirty), 2) })
}

func TestAMigrationIntoSQLiteKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		return subject(t, newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db")), 0)
	})
}

// subject is a migration in chunks of 9 and batches of 4 rows, so that every border is somewhere in it.
func subject(t *testing.T, w *world, quarantined int64) taskstest.Subject {
	job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 9, BatchRows: 4})
	return taskstest.Subject{Family: migration.New(w.dbs), Job: job, Check: func(t *testing.T) {
		if d := w.differences(t, job.ID); len(d) > 0 {
			t.Errorf("%d differences, the first: %+v", len(d), d[0])
		}
		at, err := sqldb.ParseURL(w.to)
		if err != nil {
			t.Fatal(err)
		}
		dst, err := sqldb.Open(t.Context(), at, sqldb.Options{ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		defer dst.Close()
		if n, err := sqldb.QuarantineCount(t.Context(), dst, job.ID, ""); err != nil || n != quarantined {
			t.Errorf("%d rows in quarantine, want %d: %v", n, quarantined, err)
		}
	}}
}

func TestAVerificationKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
		drive(t, migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}))
		return taskstest.Subject{Family: migration.NewVerifier(w.dbs), Job: w.job(t, migration.VerifyKind, migration.VerifySpec{Source: "old", Target: "new", ChunkRows: 9}),
			Check: func(t *testing.T) {
				if d := w.differences(t, ""); len(d) > 0 {
					t.Errorf("a verification has changed something: %+v", d)
				}
			}}
	})
}

func TestRowsThatTheTargetCannotHoldAreSetAsideWithTheirReasonAndTheRestArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, pgtest.New(t), dirty)
	job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 9})
	total, found := drive(t, migration.New(w.dbs), job)
	if total.Read != 40+40+120+80 || total.Quarantined != 2 || total.Written != total.Read-2 {
		t.Errorf("counted %+v", total)
	}
	var view bool
	for _, f := range found {
		view = view || strings.Contains(f.Subject+f.Message, "big") && strings.Contains(f.Message, "view")
	}
	if !view {
		t.Errorf("the view that was left out is not in the report: %+v", found)
	}
	at, _ := sqldb.ParseURL(w.to)
	dst, err := sqldb.Open(t.Context(), at, sqldb.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	bad, err := sqldb.Quarantine(t.Context(), dst, job.ID, "", 0, 10)
	if err != nil || len(bad) != 2 || bad[0].Table != "customer" || bad[0].Column != "since" || bad[1].Column != "text" || bad[1].Reason == "" {
		t.Errorf("quarantine: %+v, %v", bad, err)
	}
	conn, err := pgx.Connect(t.Context(), w.to)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	var next, constraints int
	if err := conn.QueryRow(t.Context(), "INSERT INTO customer (name) VALUES ('new') RETURNING id").Scan(&next); err != nil || next != 41 {
		t.Errorf("the next customer gets id %d, want 41: %v", next, err)
	}
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_constraint WHERE contype = 'f'").Scan(&constraints); err != nil || constraints != 3 {
		t.Errorf("%d foreign keys, want 3: %v", constraints, err)
	}
}

func TestADifferenceInOneCellIsNamedByTableKeyAndColumn(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "new.db")
	w := newWorld(t, "sqlite:"+target)
	drive(t, migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}))
	run(t, target, "UPDATE line SET text = 'other' WHERE invoice = 'R-011' AND pos = 2", "DELETE FROM customer WHERE id = 5",
		"INSERT INTO invoice (no, customer) VALUES ('R-999', 1)", "INSERT INTO log VALUES ('x', 'y')")
	got := map[string]bool{}
	for _, d := range w.differences(t, "") {
		got[d.Subject+" "+d.Key+" "+d.Field+": "+d.Message] = true
	}
	for _, want := range []string{`line ["R-011",2] text: source has "pos 2", target has "other"`, "customer [5] : " + migration.MissingRow, `invoice ["R-999"] : ` + migration.ExtraRow} {
		if !got[want] {
			t.Errorf("not found: %s\nfound: %v", want, got)
		}
	}
	if len(got) != 4 {
		t.Errorf("%d differences, want 4: %v", len(got), got)
	}
}

func TestATableThatHoldsRowsOfSomebodyElseIsLeftAlone(t *testing.T) {
	t.Parallel()
	target := filepath.Join(t.TempDir(), "new.db")
	run(t, target, "CREATE TABLE log (at TEXT, what TEXT)", "INSERT INTO log VALUES ('mine', 'mine')")
	w := newWorld(t, "sqlite:"+target)
	_, _, err := try(t, migration.New(w.dbs), w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new"}))
	if err == nil || !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "log") || tasks.HintOf(err) == "" {
		t.Errorf("want a permanent error that names the table and says what to do, got %v", err)
	}
}

func TestASecondMigrationOfTheSameJobReadsNothingAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "new.db"))
	job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 9})
	first, _ := drive(t, migration.New(w.dbs), job)
	path := strings.TrimPrefix(w.from, "sqlite:")
	run(t, path, "UPDATE customer SET name = 'changed'") // what is read again would show
	second, _ := drive(t, migration.New(w.dbs), job)
	if first != second {
		t.Errorf("the ledger counts %+v, the first run counted %+v", second, first)
	}
	if d := w.differences(t, job.ID); len(d) != 40 {
		t.Errorf("%d differences, want the 40 names that were changed in the source alone", len(d))
	}
}
