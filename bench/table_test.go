package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// rounds is how often each of two things is run, in turn.
const rounds = 5

func median(x []float64) float64 {
	s := slices.Clone(x)
	slices.Sort(s)
	if len(s) == 0 {
		return 0
	}
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func percentile(x []time.Duration, p float64) time.Duration {
	s := slices.Clone(x)
	slices.Sort(s)
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, int(float64(len(s))*p))]
}

// results collects lines of one benchmark, prints them, and keeps them in results/<name>.txt; what is held against the aims it keeps in
// results/<name>.json.
type results struct {
	name  string
	lines []string
	kept  kept // what of it is held against the aims
}

func (r *results) add(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.lines = append(r.lines, line)
	fmt.Println(line)
}

func (r *results) write(b *testing.B) {
	if err := os.MkdirAll("results", 0o755); err != nil {
		b.Fatal(err)
	}
	text := strings.Join(r.lines, "\n") + "\n"
	if err := os.WriteFile(filepath.Join("results", r.name+".txt"), []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
	if len(r.kept.Measures)+len(r.kept.Bars) > 0 {
		if err := writeKept(filepath.Join("results", r.name+".json"), r.kept); err != nil {
			b.Fatal(err)
		}
	}
}

// ratio prints how two rates compare, pair by pair.
func (r *results) ratio(what string, ours, theirs []float64, unit string) {
	var pairs []float64
	for i := range ours {
		pairs = append(pairs, ours[i]/theirs[i])
	}
	r.add("%-44s ours %10.0f %s  theirs %10.0f %s  ratio %.2f (%.2f-%.2f)", what, median(ours), unit, median(theirs), unit, median(pairs), slices.Min(pairs), slices.Max(pairs))
}
