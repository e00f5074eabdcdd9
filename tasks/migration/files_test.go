package migration_test

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/filesink"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
	"github.com/stint-run/stint/tasks/taskstest"
)

// filesWorld is a source, and a folder of artifacts besides the database that keeps the ledger.
type filesWorld struct {
	*world
	store artifact.Store
	cut   *cutting
}

func newFilesWorld(t *testing.T, statements ...string) *filesWorld {
	t.Helper()
	store, err := artifact.NewFolder(filepath.Join(t.TempDir(), "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	w := &filesWorld{store: store, cut: &cutting{Store: store}}
	path := filepath.Join(t.TempDir(), "legacy.db")
	run(t, path, append([]string{legacy}, statements...)...)
	w.world = &world{from: "sqlite:" + path, to: "sqlite:" + filepath.Join(t.TempDir(), "state.db")}
	w.dbs = migration.NewDatabases(func(name string) (sqldb.Location, error) {
		if name == plan.Artifacts {
			return sqldb.ArtifactStore("test"), nil
		}
		return sqldb.ParseURL(map[string]string{"old": w.from, "new": w.to}[name])
	}, 3)
	w.dbs.WriteFilesTo(func() (artifact.Store, error) { return w.cut, nil })
	t.Cleanup(func() {
		if err := w.dbs.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// cutting is a store that fails once so many puts are done: before the next, or after it.
type cutting struct {
	artifact.Store
	left  atomic.Int64 // puts until then; 0 never fails
	after bool
}

var errCut = errors.New("cut")

func (c *cutting) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	if c.left.Load() == 0 || c.left.Add(-1) > 0 {
		return c.Store.Put(ctx, key, r, o)
	}
	if c.after {
		if _, err := c.Store.Put(ctx, key, r, o); err != nil {
			return artifact.Info{}, err
		}
	}
	return artifact.Info{}, errCut
}

func (c *cutting) Close() error { return nil } // the test reads on

func parsePlan(t *testing.T, text string) *plan.Plan {
	t.Helper()
	p, _, err := plan.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const filesPlan = `
name: export
stages:
  - name: lines
    from: {table: line}
    filter: pos < 3
    map: {invoice: invoice, pos: pos, text: upper(text)}
    to: {file: {format: csv, compress: gzip, single: true, name: all-lines}}
  - name: customers
    from: {table: customer}
    map: {id: id, name: name}
    to: {file: {format: ndjson}}
`

// rows reads what the manifest of a stage names.
func (w *filesWorld) rows(t *testing.T, job, stage string, f plan.File, columns ...string) []string {
	t.Helper()
	sink, err := filesink.New(w.store, f.FolderOf(job, stage), f.Name, f.FormatOf(columns))
	if err != nil {
		t.Fatal(err)
	}
	m, err := sink.Manifest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Verify(t.Context(), m); err != nil {
		t.Error(err)
	}
	keys := []string{}
	for _, p := range m.Parts {
		keys = append(keys, p.Key)
	}
	if m.File != nil {
		keys = []string{m.File.Key}
	}
	var out []string
	for _, key := range keys {
		r, _, err := w.store.Get(t.Context(), f.FolderOf(job, stage)+"/"+key, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, decodeRows(t, r, f)...)
		r.Close()
	}
	if int64(len(out)) != m.Rows {
		t.Errorf("the manifest of %s says %d rows, its files have %d", stage, m.Rows, len(out))
	}
	slices.Sort(out)
	return out
}

func decodeRows(t *testing.T, r io.Reader, f plan.File) (out []string) {
	t.Helper()
	if f.Compress == "gzip" {
		r = unzipped(t, r)
	}
	if f.Format == "ndjson" {
		d := json.NewDecoder(r)
		for d.More() {
			var row json.RawMessage
			if err := d.Decode(&row); err != nil {
				t.Fatal(err)
			}
			out = append(out, string(row))
		}
		return out
	}
	records, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records[1:] {
		out = append(out, strings.Join(rec, "|"))
	}
	return out
}

func (w *filesWorld) check(t *testing.T, job string) {
	t.Helper()
	var lines, customers []string
	for i := 1; i <= 40; i++ {
		customers = append(customers, fmt.Sprintf(`{"id":%d,"name":"Kundin %d"}`, i, i))
		for pos := 1; pos < 3; pos++ {
			lines = append(lines, fmt.Sprintf("R-%03d|%d|POS %d", i, pos, pos))
		}
	}
	slices.Sort(customers)
	if got := w.rows(t, job, "lines", plan.File{Compress: "gzip", Single: true, Name: "all-lines"}, "invoice", "pos", "text"); !slices.Equal(got, lines) {
		t.Errorf("lines: got %d rows, want %d: %v", len(got), len(lines), got)
	}
	if got := w.rows(t, job, "customers", plan.File{Format: "ndjson"}, "id", "name"); !slices.Equal(got, customers) {
		t.Errorf("customers: got %d rows, want %d: %v", len(got), len(customers), got)
	}
}

func (w *filesWorld) filesJob(t *testing.T, text string) tasks.Job {
	t.Helper()
	return w.job(t, migration.Kind, migration.Spec{Source: "old", Target: plan.Artifacts, State: "new", ChunkRows: 9, BatchRows: 4, Plan: parsePlan(t, text)})
}

func TestAMigrationIntoFilesKeepsThePromises(t *testing.T) {
	t.Parallel()
	taskstest.Run(t, func(t *testing.T) taskstest.Subject {
		w := newFilesWorld(t)
		job := w.filesJob(t, filesPlan)
		return taskstest.Subject{Family: migration.New(w.dbs), Job: job, Check: func(t *testing.T) { w.check(t, job.ID) }}
	})
}

func TestAWorkerThatDiesAtAnyWriteOfAFileLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		for n := int64(1); ; n += 17 {
			w := newFilesWorld(t)
			job := w.filesJob(t, filesPlan)
			w.cut.after = after
			w.cut.left.Store(n)
			_, _, err := try(t, migration.New(w.dbs), job)
			if err != nil && !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			whole := w.cut.left.Load() > 0
			w.cut.left.Store(0)
			// The next attempt cuts its batches elsewhere.
			var spec migration.Spec
			if err := json.Unmarshal(job.Spec, &spec); err != nil {
				t.Fatal(err)
			}
			spec.BatchRows = 5
			if job.Spec, err = json.Marshal(spec); err != nil {
				t.Fatal(err)
			}
			drive(t, migration.New(w.dbs), job)
			w.check(t, job.ID)
			if whole {
				break
			}
		}
	}
}

func TestRowsThatWaitForOthersAreInTheFilesOnce(t *testing.T) {
	t.Parallel()
	const text = `
name: forward
stages:
  - name: invoices
    from: {table: invoice, key: [no]}
    map: {no: no, customer: 'ref("customers", customer)'}
    to: {file: {format: ndjson}}
  - name: customers
    from: {table: customer, key: [id]}
    map: {id: id + 1000, name: name}
    to: {table: customer, key: [id]}
`
	var want []string
	for i := 1; i <= 40; i++ {
		want = append(want, fmt.Sprintf(`{"no":"R-%03d","customer":%d}`, i, i+1000))
	}
	for _, after := range []bool{false, true} {
		for n := int64(1); ; n++ {
			w := newFilesWorld(t)
			job := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: "new", ChunkRows: 20, Plan: parsePlan(t, text)})
			w.cut.after = after
			w.cut.left.Store(n)
			_, _, err := try(t, inOrder{migration.New(w.dbs)}, job)
			if err != nil && !errors.Is(err, errCut) {
				t.Fatal(err)
			}
			whole := w.cut.left.Load() > 0
			w.cut.left.Store(0)
			drive(t, inOrder{migration.New(w.dbs)}, job)
			if got := w.rows(t, job.ID, "invoices", plan.File{Format: "ndjson"}, "no", "customer"); !slices.Equal(got, want) {
				t.Errorf("cut at %d: got %d rows, want %d: %v", n, len(got), len(want), got)
			}
			if whole {
				break
			}
		}
	}
}

func TestARowThatAFileCannotHoldIsSetAsideAndTriedAgainInAJobOfItsOwn(t *testing.T) {
	t.Parallel()
	w := newFilesWorld(t, "UPDATE customer SET name = 'Ωmega' WHERE id = 7")
	text := "name: x\nstages:\n  - name: c\n    from: {table: customer}\n    map: {id: id, name: name}\n    to: {file: {encoding: windows-1252}}\n"
	job := w.filesJob(t, text)
	total, found := drive(t, migration.New(w.dbs), job)
	if total.Read != 40 || total.Written != 39 || total.Quarantined != 1 {
		t.Errorf("counted %+v", total)
	}
	if len(found) != 1 || !strings.Contains(found[0].Message, "39 rows in ") || !strings.Contains(found[0].Message, "exports/"+job.ID+"/c/manifest.json") {
		t.Errorf("the report says %+v", found)
	}
	bad, err := sqldb.Quarantine(t.Context(), w.open(t, w.to), job.ID, "", 0, 10)
	if err != nil || len(bad) != 1 || bad[0].Key.String() != "[7]" || bad[0].Column != "name" || !strings.Contains(bad[0].Row, "Ωmega") {
		t.Fatalf("set aside: %+v, %v", bad, err)
	}
	mended := parsePlan(t, strings.Replace(text, "name: name}", `name: 'replace(name, "Ω", "O")'}`, 1))
	again := w.job(t, migration.Kind, migration.Spec{Source: "old", Target: plan.Artifacts, State: "new", Plan: mended, Again: job.ID})
	if total, _ := drive(t, migration.New(w.dbs), again); total.Written != 1 {
		t.Errorf("counted %+v", total)
	}
	if got := w.rows(t, again.ID, "c", plan.File{Encoding: "windows-1252"}, "id", "name"); !slices.Equal(got, []string{"7|Omega"}) {
		t.Errorf("the second export has %v", got)
	}
	if n, err := sqldb.RejectCount(t.Context(), w.open(t, w.to), job.ID); err != nil || n != 0 {
		t.Errorf("%d rows are set aside still: %v", n, err)
	}
}

func TestAPlanSaysWhatIsWrongWithItsFiles(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{
		"{format: xml}":                       `stages[0].to.file.format: must be csv or ndjson, not "xml"`,
		"{format: ndjson, header: true}":      "stages[0].to.file: the format of the file: header is for csv (remove it)",
		"{folder: ../up}":                     "stages[0].to.file.folder: ",
		"{name: x}":                           "stages[0].to.file.name: parts have names of their own (set single: true, or leave the name away)",
		"{single: true, name: a/b}":           `stages[0].to.file.name: "a/b" is no name for a file`,
		"{compres: gzip}":                     "there is no such entry",
		"{delimiter: ab}":                     `"ab" is no delimiter`,
		"{bytes: hex, compress: zstd}":        "",
		"{single: true, name: x, quote: all}": "",
	} {
		text := "name: x\nstages:\n  - name: c\n    from: {table: t}\n    map: {a: a, b: b}\n    to: {file: " + file + "}\n"
		_, _, err := plan.Parse("p.yaml", []byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", file, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "p.yaml:6:")):
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
}

func TestRequestsNeedAnAPIAsTheirTarget(t *testing.T) {
	t.Parallel()
	w := newFilesWorld(t)
	job := w.filesJob(t, "name: x\nstages:\n  - name: c\n    from: {table: customer}\n    map: {a: id}\n    to: {http: {path: /c}}\n")
	_, _, err := try(t, migration.New(w.dbs), job)
	refused(t, err, "stages[0].to.http: the target is no API")
}

func unzipped(t *testing.T, r io.Reader) io.Reader {
	t.Helper()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// inOrder is a family whose stages come in an order in which none waits for a later one.
type inOrder struct{ tasks.Family }

func (f inOrder) Plan(ctx context.Context, job tasks.Job) ([]tasks.Stage, error) {
	stages, err := f.Family.Plan(ctx, job)
	var sorted []tasks.Stage
	done := map[string]bool{}
	for len(sorted) < len(stages) && err == nil {
		before := len(sorted)
		for _, st := range stages {
			if !done[st.Name] && !slices.ContainsFunc(st.After, func(name string) bool { return !done[name] }) {
				done[st.Name] = true
				sorted = append(sorted, st)
			}
		}
		if len(sorted) == before {
			err = errors.New("stages wait for each other")
		}
	}
	return sorted, err
}
