package migration_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/firebirdtest"
	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// An awkward case is something that migrations trip over. docs/awkward-cases.md tells people of each, under the same name.
type awkward struct {
	name string
	runs []passage
}

// A passage is one way for a case: from a source into each of some targets. What it does not expect must not happen: a row set
// aside, a difference, an error.
type passage struct {
	from   string            // sqlite, postgres, mariadb, firebird, csv, ndjson or dbf, and parameters of the URL behind a ?
	setup  string            // statements in the source, each ended by ; and a new line
	files  map[string]string // of the source's folder
	to     string            // targets, separated by blanks: sqlite, postgres, mariadb
	before string            // statements in the target
	during string            // statements in the source, after the first step that has loaded rows
	plan   string            // YAML; "" moves tables as they are
	rows   int               // of a chunk; 0 means 7
	aside  []setAside
	fails  []string // words of the error and its hint
	notes  []string // words of findings
	differ []string // what verification finds: subject, key, field and the beginning of its words
	proof  string   // a query of the target
	want   string   // its answer: cells separated by |, rows by new lines
	after  string   // a statement in the target afterwards
	then   string   // another query, behind that
	is     string   // its answer
}

// A row that is set aside.
type setAside struct{ table, key, column, code, reason string } // an empty key or code is any; the reason is a part of what is said

// awkwardCases are all cases, in the order of the page.
func awkwardCases() []awkward {
	return slices.Concat(awkwardText, awkwardNumbers, awkwardTimes, awkwardKeys, awkwardNames, awkwardShapes, awkwardTargets, awkwardFiles)
}

func TestAnAwkwardCase(t *testing.T) {
	t.Parallel()
	for _, c := range awkwardCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for i, p := range c.runs {
				for to := range strings.FieldsSeq(p.to) {
					from, _, _ := strings.Cut(p.from, "?")
					t.Run(fmt.Sprintf("%d %s to %s", i+1, from, to), func(t *testing.T) { p.run(t, to) })
				}
			}
		})
	}
}

// run takes the passage into one target.
func (p passage) run(t *testing.T, to string) {
	w := &world{from: p.source(t), to: awkwardTarget(t, to)}
	w.dbs = migration.NewDatabases(func(name string) (sqldb.Location, error) {
		return sqldb.ParseURL(map[string]string{"old": w.from, "new": w.to}[name])
	}, 3)
	w.dbs.Besides(func(at sqldb.Location) (sqldb.Tabular, error) { return flatfile.Open(at, flatfile.Options{}) }, nil)
	t.Cleanup(func() {
		if err := w.dbs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	w.inTarget(t, statements(p.before)...)
	spec := migration.Spec{Source: "old", Target: "new", ChunkRows: p.rows, BatchRows: 3}
	if p.rows == 0 {
		spec.ChunkRows = 7
	}
	if p.plan != "" {
		var err error
		if spec.Plan, _, err = plan.Parse("plan.yaml", []byte(p.plan)); err != nil {
			t.Fatal(err)
		}
	}
	job := w.job(t, migration.Kind, spec)
	family := tasks.Family(migration.New(w.dbs))
	if p.during != "" {
		family = &meddled{Family: family, meddle: func() { p.inSource(t, w.from, p.during) }}
	}
	total, found, err := try(t, family, job)
	if len(p.fails) > 0 {
		refused(t, err, p.fails...)
		return
	}
	if err != nil {
		t.Fatalf("%v (%s)", err, tasks.HintOf(err))
	}
	p.checkAside(t, w, job, total)
	p.checkNotes(t, found)
	p.checkProof(t, w, p.proof, p.want)
	if p.after != "" {
		defer func() {
			w.inTarget(t, statements(p.after)...)
			p.checkProof(t, w, p.then, p.is)
		}()
	}
	if p.plan != "" {
		return // the proof is its verification: what rows become is the plan's own
	}
	var differ []string
	for _, d := range w.differences(t, job.ID) {
		differ = append(differ, strings.Join(strings.Fields(d.Subject+" "+d.Key+" "+d.Field+": "+d.Message), " "))
	}
	expect(t, "differences", p.differ, differ)
}

// meddled is a family during whose work somebody changes the source.
type meddled struct {
	tasks.Family
	once   sync.Once
	meddle func()
}

func (m *meddled) Run(ctx context.Context, a *tasks.Attempt) error {
	err := m.Family.Run(ctx, a)
	if strings.HasPrefix(a.Stage.Name, "load:") {
		m.once.Do(m.meddle)
	}
	return err
}

func statements(script string) (all []string) {
	for s := range strings.SplitSeq(script, ";\n") {
		if s = strings.TrimSuffix(strings.TrimSpace(s), ";"); s != "" {
			all = append(all, s)
		}
	}
	return all
}

// source makes the source and returns its URL.
func (p *passage) source(t *testing.T) string {
	t.Helper()
	kind, options, _ := strings.Cut(p.from, "?")
	switch kind {
	case "sqlite", "postgres", "mariadb":
		from := awkwardTarget(t, kind)
		p.inSource(t, from, p.setup)
		return from
	case "firebird":
		from := firebirdtest.New(t, options)
		firebirdtest.Script(t, from, p.setup)
		return from
	}
	dir := t.TempDir()
	for name, content := range p.files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if options != "" {
		options = "?" + options
	}
	return kind + ":" + dir + options
}

func (p *passage) inSource(t *testing.T, from, script string) {
	t.Helper()
	(&world{to: from}).inTarget(t, statements(script)...)
}

// awkwardTarget returns the URL of an empty database.
func awkwardTarget(t *testing.T, kind string) string {
	t.Helper()
	switch kind {
	case "postgres":
		return pgtest.New(t)
	case "mariadb":
		return mariadbtest.New(t)
	case "sqlite":
		return "sqlite:" + (&url.URL{Path: filepath.Join(t.TempDir(), "new.db")}).EscapedPath()
	}
	t.Fatalf("no database is called %q", kind)
	return ""
}

func (p *passage) checkAside(t *testing.T, w *world, job tasks.Job, total tasks.Counters) {
	t.Helper()
	bad, err := sqldb.Quarantine(t.Context(), w.open(t, w.to), job.ID, "", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, q := range bad {
		got := setAside{q.Table, q.Key.String(), q.Column, q.Code, q.Reason}
		at := slices.IndexFunc(p.aside, func(a setAside) bool {
			return a.table == got.table && (a.key == "" || a.key == got.key) && a.column == got.column && (a.code == "" || a.code == got.code) && strings.Contains(got.reason, a.reason)
		})
		if at < 0 {
			t.Errorf("row %d set aside was not expected: %+v", i, got)
			continue
		}
		p.aside = slices.Delete(slices.Clone(p.aside), at, at+1)
	}
	for _, a := range p.aside {
		t.Errorf("not set aside: %+v", a)
	}
	if total.Read != total.Written+total.Quarantined+total.Skipped || total.Quarantined != int64(len(bad)) {
		t.Errorf("the count does not add up: %+v, and %d rows are set aside", total, len(bad))
	}
}

func (p *passage) checkNotes(t *testing.T, found []tasks.Finding) {
	t.Helper()
	var all strings.Builder
	for _, f := range found {
		all.WriteString(f.Subject + " " + f.Message + "\n")
	}
	for _, want := range p.notes {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the report does not say %q:\n%s", want, all.String())
		}
	}
}

func (p *passage) checkProof(t *testing.T, w *world, query, want string) {
	t.Helper()
	if query == "" {
		return
	}
	if strings.HasPrefix(w.to, "mysql:") {
		query = strings.ReplaceAll(query, `"`, "`")
	}
	if got := w.answer(t, query); got != want {
		t.Errorf("%s\n%s\nwant\n%s", query, got, want)
	}
}

// answer asks the target, past all of stint's reading.
func (w *world) answer(t *testing.T, query string) string {
	t.Helper()
	db := w.open(t, w.to)
	var lines []string
	line := func(cells []any) {
		var words []string
		for _, c := range cells {
			switch c := c.(type) {
			case nil:
				words = append(words, "NULL")
			case []byte:
				words = append(words, string(c))
			default:
				words = append(words, fmt.Sprint(c))
			}
		}
		lines = append(lines, strings.Join(words, "|"))
	}
	if db.Pool != nil {
		rows, err := db.Pool.Query(t.Context(), query)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			cells, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			line(cells)
		}
		if err := rows.Err(); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return strings.Join(lines, "\n")
	}
	rows, err := db.SQL.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	for rows.Next() {
		cells, at := make([]any, len(columns)), make([]any, len(columns))
		for i := range cells {
			at[i] = &cells[i]
		}
		if err := rows.Scan(at...); err != nil {
			t.Fatal(err)
		}
		line(cells)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

// expect compares what is found with the beginnings of what is wanted, in any order.
func expect(t *testing.T, what string, want, got []string) {
	t.Helper()
	got = slices.Clone(got)
	for _, w := range want {
		at := slices.IndexFunc(got, func(g string) bool { return strings.HasPrefix(g, w) })
		if at < 0 {
			t.Errorf("%s: %q is missing in %q", what, w, got)
			continue
		}
		got = slices.Delete(got, at, at+1)
	}
	for _, g := range got {
		t.Errorf("%s: %q was not expected", what, g)
	}
}

func TestThePageOfAwkwardCasesNamesEachOfThem(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/awkward-cases.md")
	if err != nil {
		t.Fatal(err)
	}
	var names, rows []string
	for _, c := range awkwardCases() {
		names = append(names, c.name)
	}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && !strings.HasPrefix(strings.TrimSpace(cells[1]), "---") && strings.TrimSpace(cells[1]) != "case" {
			rows = append(rows, strings.TrimSpace(cells[1]))
		}
	}
	if !slices.Equal(names, rows) {
		t.Errorf("the page has\n%s\nand the table\n%s", strings.Join(rows, "\n"), strings.Join(names, "\n"))
	}
}
