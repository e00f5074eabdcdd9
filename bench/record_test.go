package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

var (
	recordInto = flag.String("record", "", "keep what the last benchmarks have measured in results/<record>.json, such as 2026-11")
	update     = flag.Bool("update", false, "write docs/benchmarks-table.md and docs/pictures from the newest results")
)

// taken is what was measured for one aim.
type taken struct {
	Figure   float64 `json:"figure"`            // what is held against the aim: a ratio to the peer where the aim is one
	Least    float64 `json:"least,omitzero"`    // of the figure, over all runs
	Most     float64 `json:"most,omitzero"`     // of the figure, over all runs
	Runs     int     `json:"runs,omitzero"`     // that the figure is the median, or the percentile, of
	Measured string  `json:"measured"`          // in words and units
	Peer     string  `json:"peer,omitempty"`    // what the peer has reached, in words and units
	Size     string  `json:"size,omitempty"`    // at which size
	Note     string  `json:"note,omitempty"`    // what else one has to know to read it
	Date     string  `json:"date"`              // YYYY-MM-DD
	Missing  string  `json:"missing,omitempty"` // why there is no figure
}

// bar is one bar of a picture.
type bar struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Text  string  `json:"text"`
	Ours  bool    `json:"ours,omitempty"`
}

// kept is all that was measured, by id of the aim and of the picture.
type kept struct {
	Measures map[string]taken   `json:"measures"`
	Bars     map[string][]bar   `json:"bars"`
	Aims     map[string]float64 `json:"aims,omitempty"` // where the line of a picture is, when that was measured, too
}

func newKept() kept {
	return kept{Measures: map[string]taken{}, Bars: map[string][]bar{}, Aims: map[string]float64{}}
}

func (r *kept) add(o kept) {
	maps.Copy(r.Measures, o.Measures)
	maps.Copy(r.Bars, o.Bars)
	maps.Copy(r.Aims, o.Aims)
}

func readKept(path string) (kept, error) {
	r := newKept()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

func writeKept(path string, r kept) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

// take keeps a figure of a benchmark.
func (r *results) take(id string, t taken) {
	if r.kept.Measures == nil {
		r.kept = newKept()
	}
	t.Date = time.Now().UTC().Format(time.DateOnly)
	r.kept.Measures[id] = t
}

// draw keeps the bars of a picture.
func (r *results) draw(id string, aim float64, bars ...bar) {
	if r.kept.Measures == nil {
		r.kept = newKept()
	}
	r.kept.Bars[id] = bars
	if aim > 0 {
		r.kept.Aims[id] = aim
	}
}

// ratioOf makes a figure of runs in turn.
func ratioOf(ours, theirs []float64, unit string) taken {
	p := pairs(ours, theirs)
	return taken{Figure: median(p), Least: slices.Min(p), Most: slices.Max(p), Runs: len(p), Measured: thousands(median(ours)) + " " + unit, Peer: thousands(median(theirs)) + " " + unit}
}

// durationOf makes a figure of a percentile, in seconds.
func durationOf(took []time.Duration, p float64) taken {
	return taken{Figure: secs(percentile(took, p)), Runs: len(took), Measured: fmt.Sprintf("%.2f s; p50 %.2f s, longest %.2f s", secs(percentile(took, p)), secs(percentile(took, .5)), secs(percentile(took, 1)))}
}

// thousands writes a number with commas.
func thousands(x float64) string {
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// newest is the path of the newest results that are kept.
func newest(t *testing.T) string {
	all, err := filepath.Glob("results/20??-??.json")
	if err != nil || len(all) == 0 {
		t.Fatalf("no results are kept in bench/results: %v", err)
	}
	return slices.Max(all)
}

// TestTheDocumentsSayWhatWasMeasured holds the page and the pictures against the results. `go test ./bench -run Documents -record 2026-11
// -update` after `make bench` takes the new figures over.
func TestTheDocumentsSayWhatWasMeasured(t *testing.T) {
	if *recordInto != "" {
		keepResults(t, filepath.Join("results", *recordInto+".json"))
	}
	path := newest(t)
	r, err := readKept(path)
	if err != nil {
		t.Fatal(err)
	}
	for id := range r.Measures {
		if !slices.ContainsFunc(aims, func(a aim) bool { return a.id == id }) {
			t.Errorf("%s has %q, which is no measure", path, id)
		}
	}
	want := map[string]string{"../docs/benchmarks-table.md": page(r, path)}
	for _, p := range pictures {
		if len(r.Bars[p.id]) > 0 {
			want["../docs/pictures/bench-"+p.id+".svg"] = p.svg(r)
		}
	}
	there, _ := filepath.Glob("../docs/pictures/bench-*.svg")
	for _, path := range there {
		if _, ok := want[path]; !ok {
			t.Errorf("%s is of nothing that was measured", path)
		}
	}
	for path, text := range want {
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("%s is not what was measured (%v): `go test ./bench -run Documents -update` writes it anew", path, err)
		}
	}
}

// keepResults takes over what the benchmarks have left since.
func keepResults(t *testing.T, path string) {
	all := newKept()
	if r, err := readKept(path); err == nil {
		all = r
	}
	files, err := filepath.Glob("results/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasPrefix(filepath.Base(f), "20") {
			continue
		}
		r, err := readKept(f)
		if err != nil {
			t.Fatal(err)
		}
		all.add(r)
	}
	if err := writeKept(path, all); err != nil {
		t.Fatal(err)
	}
}

// page is the page of all measures.
func page(r kept, path string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# All measures\n\nWhat each measure is to reach, and what it has reached. This page and its pictures are made from `bench/%s`;\n[benchmarks.md](benchmarks.md) says how each is taken, and what it means. `go test ./bench -run '^$' -bench NAME -benchtime 1x` repeats a\nline; NAME stands in its last column.\n", path)
	area := ""
	met, missed, gaps := 0, 0, 0
	for _, a := range aims {
		if a.area != area {
			area = a.area
			fmt.Fprintf(&b, "\n## %s\n\n", area)
			for _, p := range pictures {
				if p.area == area && len(r.Bars[p.id]) > 0 {
					fmt.Fprintf(&b, "![%s](pictures/bench-%s.svg)\n\n", p.alt(r), p.id)
				}
			}
			b.WriteString("| measure | peer | aim | measured | peer's | figure | | when, size | repeat |\n|---|---|---|---|---|---|---|---|---|\n")
		}
		m, ok := r.Measures[a.id]
		repeat := "`" + a.repeat + "`"
		switch a.repeat {
		case "":
			repeat = ""
		case "-":
			repeat = "`make soak`"
		}
		if !ok || m.Missing != "" {
			why := "not measured"
			if m.Missing != "" {
				why = m.Missing
			}
			gaps++
			fmt.Fprintf(&b, "| %s | %s | %s | %s | | | **gap** | %s | %s |\n", a.measure, a.peer, a.want, why, m.Date, repeat)
			continue
		}
		verdict := ""
		if a.want != "" {
			verdict = "met"
			if !a.met(m.Figure) {
				verdict = "**missed**"
				missed++
			} else {
				met++
			}
		}
		figure := short(m.Figure)
		if m.Most > 0 {
			figure += fmt.Sprintf(" (%s-%s)", short(m.Least), short(m.Most))
		}
		when := m.Date
		for _, more := range []string{m.Size, runsOf(m.Runs), m.Note} {
			if more != "" {
				when += "; " + more
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", a.measure, a.peer, a.want, m.Measured, m.Peer, figure, verdict, when, repeat)
	}
	fmt.Fprintf(&b, "\nOf %d measures with an aim %d are met and %d missed; %d are gaps.\n", met+missed, met, missed, gaps)
	return b.String()
}

func runsOf(n int) string {
	if n == 0 {
		return ""
	}
	if n == 1 {
		return "1 run"
	}
	return fmt.Sprint(n, " runs")
}

// short writes a figure with three digits.
func short(x float64) string {
	if x >= 1000 {
		return thousands(x)
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}
