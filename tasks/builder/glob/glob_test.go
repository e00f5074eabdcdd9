package glob_test

import (
	"path"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/tasks/builder/glob"
)

func TestAPatternMeansTheseFilesAndNoOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, is, not string }{
		{"out/hello", "out/hello", "out/hello.exe Out/hello out out/hello/x"},
		{"*.go", "main.go .go", "cmd/main.go main.goo"},
		{"out/*", "out/a out/.hidden", "out out/a/b"},
		{"**", "a a/b a/b/c", ""},
		{"**/*.go", "main.go a/main.go a/b/main.go", "a/main.c"},
		{"out/**", "out out/a out/a/b", "outer/a"},
		{"**/testdata/**", "testdata/x a/testdata/x/y", "a/testdatas/x"},
		{"a/**/b/**/c", "a/b/c a/x/b/c a/x/b/y/z/c a/b/b/c", "a/c a/b/x"},
		{"part-?.bin", "part-1.bin part-é.bin", "part-.bin part-10.bin"},
		{"lib[0-9].so", "lib0.so lib9.so", "liba.so lib10.so"},
		{"lib[!0-9].so", "liba.so", "lib0.so"},
		{"lib[^0-9].so", "liba.so", "lib0.so"},
		{"[]a].x", "].x a.x", "b.x"},
		{"[a-].x", "a.x -.x", "b.x"},
		{"[*].x", "*.x", "a.x"},
		{"[{]a[}]", "{a}", "a"},
		{"*.{c,h}", "a.c a.h", "a.cc a."},
		{"{src,test}/**/*.{js,ts}", "src/a.js test/x/y.ts", "lib/a.js"},
		{"a{,.exe}", "a a.exe", "ab"},
		{"{a/b,c}/d", "a/b/d c/d", "a/d"},
		{"*a*b*", "ab xaxbx aab", "ba a"},
		{"a*/*b", "a/b axx/xxb", "a/b/b"},
	} {
		if err := glob.Check(c.pattern); err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		for _, name := range strings.Fields(c.is) {
			if !glob.Match(c.pattern, name) {
				t.Errorf("%s does not mean %s", c.pattern, name)
			}
		}
		for _, name := range strings.Fields(c.not) {
			if glob.Match(c.pattern, name) {
				t.Errorf("%s means %s", c.pattern, name)
			}
		}
	}
}

func TestAPatternThatCannotBeReadIsRefusedAndMeansNothing(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"a[":                       "not closed",
		"a[]":                      "not closed",
		"a[!]":                     "not closed",
		"[z-a]":                    "backwards",
		"[a/b]":                    "a / stands in brackets",
		"{a":                       "a { is not closed",
		"a}":                       "closes nothing",
		"{a}":                      "one thing",
		"{a,{b,c}}":                "braces stand in braces",
		"a**b":                     "** stands for folders",
		"src/**.go":                "** stands for folders",
		"{a,b[}":                   "not closed",
		"\xff*":                    "no UTF-8",
		strings.Repeat("{a,b}", 9): "too many patterns",
	} {
		err := glob.Check(pattern)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", pattern, err)
		}
		if glob.Match(pattern, "ab") {
			t.Errorf("%q means something", pattern)
		}
	}
}

func TestNoPatternTakesLong(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	name := strings.Repeat("a", 2000)
	if glob.Match(strings.Repeat("*a", 1000)+"*b", name) || glob.Match(strings.Repeat("**/a/", 200)+"b", strings.Repeat("a/", 1000)) {
		t.Error("something that is not there was found")
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestWithinANameItAgreesWithTheStandardLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`([ab*?]|\[[ab]\]|\[\^a\]){0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[abc]{0,8}`).Draw(t, "name")
		if strings.Contains(pattern, "**") {
			t.Skip("is folders here")
		}
		want, err := path.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := glob.Match(pattern, name); got != want {
			t.Errorf("%q, %q: got %t", pattern, name, got)
		}
	})
}

func FuzzNoPatternPanics(f *testing.F) {
	f.Add("a[!x-z]{b,c}/**/?", "ab/c")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if glob.Match(pattern, name) && glob.Check(pattern) != nil {
			t.Errorf("%q cannot be read, and means %q", pattern, name)
		}
	})
}
