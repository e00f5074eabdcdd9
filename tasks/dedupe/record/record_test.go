package record_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/decide"
	"github.com/stint-run/stint/tasks/dedupe/record"
)

var update = flag.Bool("update", false, "write testdata anew")

var now = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

func header() record.Header {
	rules := decide.Defaults()
	rules.Now, rules.Exempt = now, []string{"900"}
	return record.Header{
		Job: "ded-4f0h2n", At: now, Store: "postgres://sync@db.example.com/sync", Entity: "row", Tables: []string{"row_blob", "row"},
		Layout: datasets.Layout{
			Registry: datasets.Registry{Table: "data_set", Customer: "customer_id", Database: "database_id", LastSync: "last_synced_at"},
			Tables:   []datasets.Table{{Table: "row_blob", Customer: "customer_id", Database: "database_id"}, {Table: "row", Customer: "customer_id", Database: "database_id", GUID: "guid"}},
		},
		Rules: rules, Stint: "1.4.0",
		Templates: record.Templates{Customers: 200, GUIDs: 2, List: []string{guid(1 << 40), guid(1<<40 + 1)}, How: "A GUID that 3 customers or more have is one."},
		Notes:     []string{"the registry has no column that says whether a first upload has ended: every data set is taken to be whole"},
	}
}

func guid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

func at(days int) *time.Time {
	t := now.AddDate(0, 0, -days)
	return &t
}

// customers are a copy that goes, a fork that is held, a data set that stands alone, and one nobody knows the age of.
func customers() []decide.Customer {
	set := func(id string, sync *time.Time, guids int64) decide.Set {
		return decide.Set{Database: id, LastSync: sync, Complete: true, Rows: guids + 2, GUIDs: guids, Templates: 2, Fingerprint: fmt.Sprintf("%016x", guids)}
	}
	return []decide.Customer{
		{
			ID: "17", Sets: []decide.Set{set("1001", at(120), 3020), set("1002", at(40), 3050), set("1003", at(1), 3100)},
			Signatures: []decide.Signature{
				{Sets: []int{0}, GUIDs: 20, Samples: []string{guid(1), guid(2)}}, {Sets: []int{0, 1, 2}, GUIDs: 3000}, {Sets: []int{1, 2}, GUIDs: 50}, {Sets: []int{2}, GUIDs: 50},
			},
		},
		{ID: "18, \"the shop\"", Sets: []decide.Set{set("=2001", at(60), 1000), set("2002", at(0), 1200)}, Signatures: []decide.Signature{{Sets: []int{0}, GUIDs: 600, Samples: []string{guid(9)}}, {Sets: []int{0, 1}, GUIDs: 400}, {Sets: []int{1}, GUIDs: 800}}},
		{ID: "19", Sets: []decide.Set{{Database: "3001", LastSync: at(400), Complete: true, Rows: 250_000}}},
		{ID: "20", Sets: []decide.Set{set("4001", nil, 100), set("4002", at(2), 100)}, Signatures: []decide.Signature{{Sets: []int{0, 1}, GUIDs: 100}}},
	}
}

// analysis writes one of these customers.
func analysis(t *testing.T, h record.Header, all ...decide.Customer) (text []byte, totals decide.Totals, digest string) {
	t.Helper()
	var b bytes.Buffer
	w := record.NewWriter(&b, h)
	for _, c := range all {
		if err := w.Add(c, decide.Decide(c, h.Rules)); err != nil {
			t.Fatal(err)
		}
	}
	totals, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), totals, w.Digest()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is written; if that is meant: go test ./tasks/dedupe/record -update\n%s", path, got)
	}
}

func TestAnalysesAndTheirFormsAreThoseOfTheSamples(t *testing.T) {
	t.Parallel()
	text, totals, _ := analysis(t, header(), customers()...)
	golden(t, "analysis.jsonl", text)
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var table, summary bytes.Buffer
	if err := record.WriteCSV(&table, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "analysis.csv", table.Bytes())
	_, before, _ := analysis(t, header(), customers()[1:]...)
	if err := record.Summary(&summary, header(), totals, &before); err != nil {
		t.Fatal(err)
	}
	golden(t, "analysis.txt", summary.Bytes())
}

func TestAnAnalysisIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	text, totals, digest := analysis(t, header(), customers()...)
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := header()
	want.Type, want.Version = "analysis", record.Version
	if !reflect.DeepEqual(r.Header, want) {
		t.Errorf("header %+v, want %+v", r.Header, want)
	}
	for _, c := range customers() {
		v := decide.Decide(c, want.Rules)
		sets := map[string]decide.Set{}
		for _, s := range c.Sets {
			sets[s.Database] = s
		}
		for _, d := range v.Sets {
			line := next(t, r)
			if w := (record.Set{Customer: c.ID, Set: sets[d.Database], Decision: d}); !reflect.DeepEqual(*line.Set, w) {
				t.Errorf("line %d: %+v, want %+v", line.Number, *line.Set, w)
			}
		}
		for _, p := range v.Pairs {
			if line := next(t, r); *line.Pair != (record.Pair{Customer: c.ID, Pair: p}) {
				t.Errorf("line %d: %+v, want %+v", line.Number, *line.Pair, p)
			}
		}
	}
	if r.End() != nil || r.Digest() != "" {
		t.Error("the end is known before it has been read")
	}
	if line := next(t, r); !reflect.DeepEqual(line.End.Totals, totals) || line.End.Stop != "" || line.Number != line.End.Lines+1 {
		t.Errorf("%+v, want %+v", line.End, totals)
	}
	for range 2 {
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("behind the end: %v", err)
		}
	}
	if r.Digest() != digest || digest == "" {
		t.Errorf("digest %s, want %s", r.Digest(), digest)
	}
}

func next(t *testing.T, r *record.Reader) record.Line {
	t.Helper()
	line, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// readAll reads an analysis to its end.
func readAll(text []byte) (digest string, err error) {
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		return "", err
	}
	for {
		if _, err := r.Next(); err == io.EOF {
			return r.Digest(), nil
		} else if err != nil {
			return "", err
		}
	}
}

func TestAFileThatIsCutOffAnywhereIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	text, _, _ := analysis(t, header(), customers()[2:]...)
	for n := range text {
		if _, err := readAll(text[:n]); !errors.Is(err, record.ErrCutOff) {
			t.Fatalf("cut off at byte %d of %d: %v", n, len(text), err)
		}
	}
}

func TestAFileOfWhichAnyByteWasChangedIsFoundByItsDigests(t *testing.T) {
	t.Parallel()
	text, _, digest := analysis(t, header(), customers()[2:]...)
	last := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	for n := 0; n < len(text); n += 3 { // a third of them is plenty
		changed := bytes.Clone(text)
		changed[n] ^= 1
		got, err := readAll(changed)
		if n < last && err == nil {
			t.Fatalf("byte %d before the last line was changed, and nothing is said", n)
		}
		// What the last line says is under the digest by which the file was approved.
		if err == nil && got == digest {
			t.Fatalf("byte %d was changed, and the digest is the same", n)
		}
	}
}

func TestErrorsSayWhichLineAndWhatIsWrong(t *testing.T) {
	t.Parallel()
	text, _, _ := analysis(t, header(), customers()...)
	lines := strings.SplitAfter(string(text), "\n")
	lines = lines[:len(lines)-1]
	join := func(change func(l []string) []string) string {
		return strings.Join(change(append([]string(nil), lines...)), "")
	}
	for name, c := range map[string]struct {
		text string
		is   error
		want string
	}{
		"a line is gone":      {join(func(l []string) []string { return append(l[:2], l[3:]...) }), record.ErrChanged, fmt.Sprintf("line %d of the analysis: the lines before it have the digest", len(lines)-1)},
		"a line is no JSON":   {join(func(l []string) []string { l[3] = "{\n"; return l }), record.ErrForm, "line 4 of the analysis: unexpected end of JSON input"},
		"a line is unknown":   {join(func(l []string) []string { l[3] = "{\"type\":\"row\"}\n"; return l }), record.ErrForm, "line 4 of the analysis: its type is \"row\""},
		"another decision":    {join(func(l []string) []string { l[1] = strings.Replace(l[1], `"keep"`, `"delete"`, 1); return l }), record.ErrForm, `line 2 of the analysis: data set "1003" has the decision "delete" for the reason "newest"`},
		"another version":     {join(func(l []string) []string { l[0] = strings.Replace(l[0], `"version":1`, `"version":2`, 1); return l }), record.ErrVersion, "the analysis has version 2, and this stint reads 1"},
		"another file":        {"{\"type\":\"deletions\",\"version\":1}\n", record.ErrForm, `line 1 of the analysis: it begins with "deletions", where "analysis" is wanted`},
		"an empty file":       {"", record.ErrCutOff, "line 1 of the analysis"},
		"more behind the end": {string(text) + "\n", record.ErrChanged, fmt.Sprintf("line %d of the analysis: something stands behind the end", len(lines)+1)},
		"another count": {join(func(l []string) []string {
			l[len(l)-1] = strings.Replace(l[len(l)-1], `"customers":4,"all":{"sets":8`, `"customers":4,"all":{"sets":9`, 1)
			return l
		}), record.ErrChanged, "8 data sets are before it of which 2 go, and it says 9 and 2"},
		"no stop any more": {join(func(l []string) []string {
			l[len(l)-1] = strings.Replace(l[len(l)-1], `"stop":""`, `"stop":"whatever"`, 1)
			return l
		}), record.ErrChanged, "is not what follows from its totals and rules"},
		"a long line": {"{\"type\":\"" + strings.Repeat("a", record.MaxLine) + "\"}\n", record.ErrForm, "it is longer than 16 MiB"},
	} {
		_, err := readAll([]byte(c.text))
		if !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.want) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestAnErrorOfTheOutputIsKeptAndNoEndIsWritten(t *testing.T) {
	t.Parallel()
	full := errors.New("no room")
	w := record.NewWriter(writerFunc(func([]byte) (int, error) { return 0, full }), header())
	for _, c := range customers() {
		_ = w.Add(c, decide.Decide(c, header().Rules)) // what is buffered has no error yet
	}
	if _, err := w.Close(); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if w.Digest() != "" {
		t.Error("it has a digest")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAVerdictOfAnotherCustomerAndNamesThatAreNoTextAreRefused(t *testing.T) {
	t.Parallel()
	all := customers()
	for name, add := range map[string]func(w *record.Writer) error{
		"another customer's": func(w *record.Writer) error { return w.Add(all[1], decide.Decide(all[3], header().Rules)) },
		"too few":            func(w *record.Writer) error { return w.Add(all[0], decide.Verdict{}) },
		"no text": func(w *record.Writer) error {
			c := decide.Customer{ID: "1", Sets: []decide.Set{{Database: "a\xff"}}}
			return w.Add(c, decide.Decide(c, header().Rules))
		},
	} {
		w := record.NewWriter(io.Discard, header())
		if err := add(w); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := w.Close(); err == nil {
			t.Errorf("%s: it has been closed as if it were whole", name)
		}
	}
}

func TestAnAnalysisIsActedByForSoLongAndNotBeforeItsTime(t *testing.T) {
	t.Parallel()
	h := header()
	for age, want := range map[time.Duration]bool{0: true, 24 * time.Hour: true, 24*time.Hour + 1: false, -decide.Skew: true, -time.Hour: false} {
		if err := h.Fresh(now.Add(age), 24*time.Hour); (err == nil) != want || err != nil && (!errors.Is(err, record.ErrStale) || tasks.HintOf(err) == "") {
			t.Errorf("%s later: %v", age, err)
		}
	}
}

func TestTheCSVHasALineForEachDataSet(t *testing.T) {
	t.Parallel()
	text, _, _ := analysis(t, header(), customers()...)
	r, err := record.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := record.WriteCSV(&b, r); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&b).ReadAll()
	if err != nil || len(rows) != 9 {
		t.Fatalf("%d lines, %v", len(rows), err)
	}
	if rows[4][0] != "18, \"the shop\"" || rows[5][1] != "'=2001" {
		t.Errorf("%q %q", rows[4], rows[5])
	}
	r, err = record.NewReader(bytes.NewReader(text[:len(text)-10]))
	if err != nil {
		t.Fatal(err)
	}
	if err := record.WriteCSV(io.Discard, r); !errors.Is(err, record.ErrCutOff) {
		t.Errorf("of a file that is cut off: %v", err)
	}
}

func TestASummaryShowsNoControlCharactersOfNames(t *testing.T) {
	t.Parallel()
	h := header()
	h.Job, h.Notes = "a\x1b[2Jb", []string{"one\ntwo"}
	var b bytes.Buffer
	if err := record.Summary(&b, h, decide.Totals{}, nil); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Contains(s, "\x1b") || strings.Contains(s, "one\n") || !strings.Contains(s, "No data set is a copy that may go.") {
		t.Errorf("%s", s)
	}
}

func FuzzAnythingIsReadWithoutPanic(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "analysis.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	deletions, err := os.ReadFile(filepath.Join("testdata", "deletions.jsonl"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(deletions)
	f.Add([]byte("{\"type\":\"analysis\",\"version\":1}\n{\"type\":\"end\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if r, err := record.NewReader(bytes.NewReader(text)); err == nil {
			if first, over, err := record.Orders(r, 1); err != nil && (first != nil || over != nil) {
				t.Error("orders of a file that is not whole")
			}
		}
		r, err := record.NewDeletionReader(bytes.NewReader(text))
		for err == nil {
			_, err = r.Next()
		}
	})
}
