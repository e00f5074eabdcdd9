package store

import (
	"io/fs"
	"slices"
	"strings"
	"testing"
)

func TestAScriptHasWhatItUsesOfTheLibraryAndNoMore(t *testing.T) {
	t.Parallel()
	lib := mustRead("lib")
	all := parts(lib)
	owner := map[string]int{}
	for i, p := range all {
		for _, name := range p.names {
			if before, ok := owner[name]; ok {
				t.Errorf("lib.lua declares %s twice, in statements %d and %d", name, before, i)
			}
			owner[name] = i
		}
		for _, name := range names(p.text) {
			if at, ok := owner[name]; ok && at > i {
				t.Errorf("lib.lua uses %s above its declaration", name)
			}
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d statements were found in lib.lua", len(all))
	}
	files, err := fs.Glob(scriptFiles, "scripts/*.lua")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "scripts/"), ".lua")
		own := mustRead(name)
		if name == "lib" || !slices.Contains(names(own), "JOB") { // of the fleet
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := assemble(lib, own)
			front, ok := strings.CutSuffix(text, own)
			if !ok {
				t.Fatal("the script itself does not stand at the end")
			}
			have := map[string]bool{}
			for _, p := range parts(front) {
				for _, n := range p.names {
					have[n] = true
				}
			}
			for _, n := range names(text) {
				if _, ok := owner[n]; ok && !have[n] {
					t.Errorf("%s is used and not there", n)
				}
			}
			for _, p := range parts(front) { // each is there for something that stands below it
				_, below, _ := strings.Cut(text, p.text)
				used := names(below)
				if !slices.ContainsFunc(p.names, func(n string) bool { return slices.Contains(used, n) }) {
					t.Errorf("%v is there for nothing", p.names)
				}
			}
		})
	}
}

func TestASmallScriptIsSmall(t *testing.T) {
	t.Parallel()
	got := assemble("local a = 1\n\n-- b: told\nlocal function b()\n  return a -- d\nend\nlocal c, d = 2, 3\nlocal e = 'b'\n", "-- uses d, in words\nreturn b() .. 'c'\n")
	if want := "local a = 1\nlocal function b()\n  return a\nend\n-- uses d, in words\nreturn b() .. 'c'\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
