package main

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEachTargetIsInTheTableOfThePageAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	all, err := targets("../..")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, target := range all {
		want = append(want, target.String())
	}
	page, err := os.ReadFile("../../docs/fuzzing.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` `(Fuzz\\w+)` \\| [^|]{5,} \\| [^|]{10,} \\|$").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1]+"."+m[2])
	}
	slices.Sort(got)
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s has no line in docs/fuzzing.md: what it reads, and what must hold", name)
		}
	}
	for i, name := range got {
		if !slices.Contains(want, name) || i > 0 && got[i-1] == name {
			t.Errorf("docs/fuzzing.md has %s, which is no target, or twice", name)
		}
	}
	if len(all) < 40 {
		t.Errorf("%d targets were found", len(all))
	}
}

// A module of two targets, one of which finds something at once.
func TestAllTargetsRunWhateverOneOfThemFinds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module x\n\ngo 1.26\n", "a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc FuzzBad(f *testing.F) {\n\tf.Fuzz(func(t *testing.T, b byte) {\n\t\tif b != 'a' {\n\t\t\tt.Error(\"found\")\n\t\t}\n\t})\n}\n",
		"b/b_test.go": "package b\n\nimport \"testing\"\n\nfunc FuzzGood(f *testing.F) {\n\tf.Add(1)\n\tf.Fuzz(func(*testing.T, int) {})\n}\n"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	found, err := do(context.Background(), options{time: time.Second, parallel: 1, dir: dir, goTool: "go", out: &out}, "", false)
	if err != nil || found != 1 {
		t.Fatalf("%d findings, %v:\n%s", found, err, &out)
	}
	if !regexp.MustCompile(`(?m)^a\.FuzzBad .*\ba/testdata/fuzz/FuzzBad/\w+$`).MatchString(out.String()) || !regexp.MustCompile(`(?m)^b\.FuzzGood +\S+ +\d+ +\d+ +-$`).MatchString(out.String()) {
		t.Errorf("it says\n%s", &out)
	}
	if _, err := do(context.Background(), options{dir: dir, out: &out}, "nothing", false); err == nil {
		t.Error("a pattern that fits nothing is no error")
	}
}
