package dedupe

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// lab is a store of data sets, a store of artifacts and the families on them, without queue and workers.
type lab struct {
	t     testing.TB
	db    *sqldb.DB
	sql   *sql.DB // the same, for statements of the test
	files *watched
	kinds map[string]tasks.Family
	jobs  int
	late  []statement
	// between is called each time that an attempt was given back, before the next one; nil does nothing.
	between func()
}

// watched is a folder of artifacts that tells of each part of an archive that is put.
type watched struct {
	artifact.Store
	mu  sync.Mutex
	put func(key string) // nil does nothing
}

// Put puts and tells.
func (w *watched) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	info, err := w.Store.Put(ctx, key, r, o)
	w.mu.Lock()
	put := w.put
	w.mu.Unlock()
	if put != nil && strings.Contains(key, "/"+folderArchive+"/") {
		put(key)
	}
	return info, err
}

func (w *watched) tell(put func(key string)) {
	w.mu.Lock()
	w.put = put
	w.mu.Unlock()
}

// newLab makes the families on a database, SQLite in a file of its own when db is nil.
func newLab(t testing.TB, db *sqldb.DB) *lab {
	t.Helper()
	if db == nil {
		at, err := sqldb.ParseURL("sqlite:" + filepath.Join(quickDir(t), "store.db"))
		if err != nil {
			t.Fatal(err)
		}
		if db, err = sqldb.Open(t.Context(), at, sqldb.Options{}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
	}
	folder, err := artifact.NewFolder(quickDir(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	plain := db.SQL
	if plain == nil {
		plain = stdlib.OpenDBFromPool(db.Pool)
		t.Cleanup(func() { _ = plain.Close() })
	}
	l := &lab{t: t, db: db, sql: plain, files: &watched{Store: folder}, kinds: map[string]tasks.Family{}}
	for _, f := range Families(Options{
		Open:      func(context.Context, string, bool) (*sqldb.DB, error) { return l.db, nil },
		Artifacts: func() (artifact.Store, error) { return l.files, nil },
		Version:   "test",
	}) {
		l.kinds[f.Kind()] = f
	}
	return l
}

// opened is a lab on the database at a URL.
func opened(t testing.TB, url string) *lab {
	t.Helper()
	at, err := sqldb.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sqldb.Open(t.Context(), at, sqldb.Options{MaxConns: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return newLab(t, db)
}

// quickDir is a folder in memory where there is one: thousands of small transactions wait for a disk most of their time.
func quickDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "stint-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// exec puts a statement off until somebody reads or a job runs: then all of them are one transaction of a store in SQLite.
func (l *lab) exec(query string, args ...any) { l.late = append(l.late, statement{query, args}) }

type statement struct {
	query string
	args  []any
}

// flush runs what was put off.
func (l *lab) flush() {
	l.t.Helper()
	if len(l.late) == 0 {
		return
	}
	tx, err := l.sql.BeginTx(l.t.Context(), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	prepared := map[string]*sql.Stmt{}
	for _, st := range l.late {
		p := prepared[st.query]
		if p == nil {
			if p, err = tx.PrepareContext(l.t.Context(), st.query); err != nil {
				l.t.Fatalf("%s: %v", st.query, err)
			}
			prepared[st.query] = p
		}
		if _, err := p.ExecContext(l.t.Context(), st.args...); err != nil {
			l.t.Fatalf("%s: %v", st.query, err)
		}
	}
	if err := tx.Commit(); err != nil {
		l.t.Fatal(err)
	}
	l.late = nil
}

func (l *lab) query(query string, each func(scan func(...any) error) error) {
	l.t.Helper()
	l.flush()
	rows, err := l.sql.QueryContext(l.t.Context(), query)
	if err != nil {
		l.t.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		l.t.Fatal(err)
	}
}

// job makes a job of a spec.
func (l *lab) job(kind string, spec any) tasks.Job {
	l.t.Helper()
	body, err := json.Marshal(spec)
	if err != nil {
		l.t.Fatal(err)
	}
	l.jobs++
	return tasks.Job{ID: fmt.Sprintf("%s-%d", kind, l.jobs), Kind: kind, Spec: body}
}

// run carries a job out, step by step, and returns the findings. An attempt that gives its step back is followed by another.
func (l *lab) run(job tasks.Job) ([]tasks.Finding, error) {
	l.t.Helper()
	l.flush()
	f := l.kinds[job.Kind]
	if c, ok := f.(tasks.Checker); ok {
		if err := c.Check(job.Spec); err != nil {
			return nil, err
		}
	}
	stages, err := f.Plan(l.t.Context(), job)
	if err != nil {
		return nil, err
	}
	var findings []tasks.Finding
	for _, st := range stages {
		for cursor, first := tasks.Cursor(nil), true; first || cursor != nil; first = false {
			steps, next, err := f.Split(l.t.Context(), job, st, cursor, 3)
			if err != nil {
				return findings, fmt.Errorf("split %s: %w", st.Name, err)
			}
			for _, step := range steps {
				found, err := l.step(f, job, st, step)
				findings = append(findings, found...)
				if err != nil {
					return findings, fmt.Errorf("step %s/%s: %w", st.Name, step.ID, err)
				}
			}
			cursor = next
		}
	}
	return findings, nil
}

// step runs attempts until one ends. Where l.between is set, an attempt is asked to give back after each part of an archive.
func (l *lab) step(f tasks.Family, job tasks.Job, st tasks.Stage, step tasks.Step) ([]tasks.Finding, error) {
	saved := &kept{}
	for n := 0; ; n++ {
		draining := make(chan struct{})
		if l.between != nil {
			var once sync.Once
			l.files.tell(func(string) { once.Do(func() { close(draining) }) })
		}
		a := tasks.NewAttempt(&tasks.Attempt{ID: fmt.Sprint(n), Job: job, Stage: st, Step: step, Worker: "lab", Resumed: n > 0, Draining: draining}, saved, saved.cursor, saved.counters)
		err := f.Run(l.t.Context(), a)
		l.files.tell(nil)
		if errors.Is(err, tasks.ErrDrained) && l.between != nil {
			l.between()
			l.flush()
			continue
		}
		return a.Findings(), err
	}
}

// kept keeps the progress of a step.
type kept struct {
	cursor   tasks.Cursor
	counters tasks.Counters
}

// Save keeps a checkpoint.
func (k *kept) Save(_ context.Context, cursor tasks.Cursor, c tasks.Counters) error {
	k.cursor, k.counters = cursor, c
	return nil
}

// output reads a job's file.
func (l *lab) output(job tasks.Job, name string) string {
	l.t.Helper()
	body, _, err := l.kinds[job.Kind].(tasks.Outputter).OpenOutput(l.t.Context(), job, name)
	if err != nil {
		l.t.Fatalf("%s of %s: %v", name, job.ID, err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

// dump returns all rows of the tables, in order.
func (l *lab) dump(tables ...string) string {
	l.t.Helper()
	l.flush()
	var b strings.Builder
	for _, table := range tables {
		rows, err := l.sql.QueryContext(l.t.Context(), "SELECT * FROM "+table+" ORDER BY 1, 2, 3")
		if err != nil {
			l.t.Fatal(err)
		}
		cols, err := rows.Columns()
		if err != nil {
			l.t.Fatal(err)
		}
		for rows.Next() {
			cells := make([]sql.RawBytes, len(cols))
			into := make([]any, len(cols))
			for i := range cells {
				into[i] = &cells[i]
			}
			if err := rows.Scan(into...); err != nil {
				l.t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s %q\n", table, cells)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			l.t.Fatal(err)
		}
	}
	return b.String()
}
