package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

var told = flag.String("told", "", "a file of -tell, from which the table in docs/under-fire.md is made anew")

// The table in docs/under-fire.md has each scenario, and nothing else. It is made from the lines that runs have left:
//
//	go test ./cmd/stint -run UnderFire -told fire.tsv
func TestTheTableUnderFireIsThatOfTheScenarios(t *testing.T) {
	t.Parallel()
	const page, begin, end = "../../docs/under-fire.md", "<!-- scenarios -->\n", "<!-- /scenarios -->\n"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	table, after, too := strings.Cut(rest, end)
	if !ok || !too {
		t.Fatalf("%s has no place for the table", page)
	}
	if *told != "" {
		table = firedTable(t, *told)
		if err := os.WriteFile(page, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range scenarios() {
		if strings.Count(table, "| "+s.name+" | ") != 1 {
			t.Errorf("%s does not have the scenario %q once", page, s.name)
		}
	}
	if n := strings.Count(table, "\n") - 2; n != len(scenarios()) {
		t.Errorf("%s has %d scenarios, want %d", page, n, len(scenarios()))
	}
}

// firedTable adds up what runs have left.
func firedTable(t *testing.T, file string) string {
	t.Helper()
	lines, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type sum struct{ runs, kept, faults, slowest int }
	sums := map[string]*sum{}
	for line := range strings.Lines(string(lines)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 5 {
			t.Fatalf("%s: %q", file, line)
		}
		s := cmp.Or(sums[f[0]], &sum{})
		sums[f[0]] = s
		faults, err := strconv.Atoi(f[3])
		ms, err2 := strconv.Atoi(f[4])
		if err := cmp.Or(err, err2); err != nil {
			t.Fatal(err)
		}
		s.runs, s.faults, s.slowest = s.runs+1, s.faults+faults, max(s.slowest, ms)
		if f[2] == "kept" {
			s.kept++
		}
	}
	var b strings.Builder
	b.WriteString("| scenario | kept | faults that hit | slowest |\n|---|---|---|---|\n")
	for _, sc := range scenarios() {
		s := cmp.Or(sums[sc.name], &sum{})
		fmt.Fprintf(&b, "| %s | %d of %d | %d | %.1f s |\n", sc.name, s.kept, s.runs, s.faults, float64(s.slowest)/1000)
	}
	return b.String()
}
