package flatfile_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// folder writes files, by name, into a new folder.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func open(t testing.TB, url string) sqldb.Tabular {
	t.Helper()
	f, err := tryOpen(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func tryOpen(url string) (sqldb.Tabular, error) {
	at, err := sqldb.ParseURL(url)
	if err != nil {
		return nil, err
	}
	return flatfile.Open(at, flatfile.Options{})
}

func schema(t testing.TB, f sqldb.Tabular) *sqldb.Schema {
	t.Helper()
	s, err := f.Schema(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func table(t testing.TB, f sqldb.Tabular, name string) *sqldb.Table {
	t.Helper()
	s := schema(t, f)
	for i := range s.Tables {
		if s.Tables[i].Name == name {
			return &s.Tables[i]
		}
	}
	t.Fatalf("no table %s, but %v", name, s.Tables)
	return nil
}

// row is one row as it came out: its key, and its values or what is wrong with it.
type row struct {
	key    sqldb.RowKey
	values []any
	bad    *sqldb.UnreadableRow
}

// String shows a row without its key, for tests that compare.
func (r row) String() string {
	if r.bad != nil {
		return "!" + r.bad.Reason
	}
	parts := make([]string, len(r.values))
	for i, v := range r.values {
		switch x := v.(type) {
		case nil:
			parts[i] = "NULL"
		case string:
			parts[i] = fmt.Sprintf("%q", x)
		case []byte:
			parts[i] = fmt.Sprintf("x%x", x)
		default:
			parts[i] = fmt.Sprint(x)
		}
	}
	return strings.Join(parts, " ")
}

// read returns the rows of a range, all columns.
func read(f sqldb.Tabular, t *sqldb.Table, from, to sqldb.RowKey) (rows []row, err error) {
	columns := make([]int, len(t.Columns))
	for i := range columns {
		columns[i] = i
	}
	r, err := f.Read(context.Background(), t, columns, from, to)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	cells := make([]sqldb.Cell, len(columns)+2)
	for {
		ok, err := r.Next(cells)
		var bad *sqldb.UnreadableRow
		if err != nil && !errors.As(err, &bad) {
			return rows, err
		}
		if err == nil && !ok {
			return rows, nil
		}
		n := len(columns)
		out := row{key: sqldb.RowKey{cells[n].Value(), cells[n+1].Value()}, bad: bad}
		for i := 0; bad == nil && i < n; i++ {
			out.values = append(out.values, cells[i].Value())
		}
		rows = append(rows, out)
	}
}

func readAll(t testing.TB, f sqldb.Tabular, tab *sqldb.Table) []row {
	t.Helper()
	rows, err := read(f, tab, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// show returns rows a line each.
func show(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

// wantRows compares all rows of a table with lines.
func wantRows(t testing.TB, f sqldb.Tabular, tab *sqldb.Table, want ...string) []row {
	t.Helper()
	rows := readAll(t, f, tab)
	got := strings.Split(strings.TrimSuffix(show(rows), "\n"), "\n")
	if len(rows) == 0 {
		got = nil
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s holds\n  %s\nwant\n  %s", tab.Name, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return rows
}

// borders returns all borders of a table, asked for a page at a time.
func borders(f sqldb.Tabular, tab *sqldb.Table, rows, limit int) ([]sqldb.RowKey, error) {
	var all []sqldb.RowKey
	var after sqldb.RowKey
	for {
		page, err := f.Boundaries(context.Background(), tab, after, rows, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, nil
		}
		after = page[len(page)-1]
	}
}

// checkChunks proves that the rows read chunk by chunk are those read in one go, and that a read may begin at any row.
func checkChunks(f sqldb.Tabular, tab *sqldb.Table, rows, limit int) error {
	whole, err := read(f, tab, nil, nil)
	if err != nil {
		return err
	}
	keys, err := borders(f, tab, rows, limit)
	if err != nil {
		return err
	}
	var parts []row
	var from sqldb.RowKey
	for i := range len(keys) + 1 {
		var to sqldb.RowKey
		if i < len(keys) {
			to = keys[i]
		}
		chunk, err := read(f, tab, from, to)
		if err != nil {
			return fmt.Errorf("read [%s, %s): %w", from, to, err)
		}
		parts = append(parts, chunk...)
		from = to
	}
	if !reflect.DeepEqual(whole, parts) {
		return fmt.Errorf("in one go:\n%s\nin the chunks %v:\n%s", show(whole), keys, show(parts))
	}
	for i := range whole {
		if i > 0 && i%7 != 3 {
			continue
		}
		rest, err := read(f, tab, whole[i].key, nil)
		if err != nil {
			return fmt.Errorf("read from %s: %w", whole[i].key, err)
		}
		if !reflect.DeepEqual(whole[i:], rest) {
			return fmt.Errorf("from %s:\n%s\nwant\n%s", whole[i].key, show(rest), show(whole[i:]))
		}
	}
	return nil
}

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstandard(t testing.TB, s string) string {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return string(e.EncodeAll([]byte(s), nil))
}

// wantError compares an error and its hint by parts of them.
func wantError(t testing.TB, err error, message, hint string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", message)
		return
	}
	if !strings.Contains(err.Error(), message) || !strings.Contains(tasks.HintOf(err), hint) {
		t.Errorf("got the error %q with the hint %q\nwant %q and %q", err, tasks.HintOf(err), message, hint)
	}
}
