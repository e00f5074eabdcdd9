package pipeline_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/builder/pipeline"
)

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "builds-pipeline.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// objects are the sections of the page with the entries of an object, and the way to it in the schema.
var objects = map[string][]string{
	"The file": {}, "tools": {"tools"}, "capabilities": {"capabilities"}, "steps": {"steps"}, "cache": {"steps", "cache"}, "limits": {"steps", "limits"},
	"packages": {"packages"}, "files of a package": {"packages", "files"}, "publish": {"publish"}, "tag": {"tag"}, "keep": {"keep"},
}

// properties finds the entries of an object in a schema, through lists and other ways to write it.
func properties(s map[string]any) map[string]any {
	if p, ok := s["properties"].(map[string]any); ok {
		return p
	}
	if items, ok := s["items"].(map[string]any); ok {
		return properties(items)
	}
	ways, _ := s["anyOf"].([]any)
	for _, way := range ways {
		if p := properties(way.(map[string]any)); p != nil {
			return p
		}
	}
	return nil
}

var rowName = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|.*\\|.*\\| *([^|]*?) *\\|$")

func TestEachEntryIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	var root map[string]any
	if err := json.Unmarshal(pipeline.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	_, reference, found := strings.Cut(page(t), "\n## All entries\n")
	if !found {
		t.Fatal("there is no reference")
	}
	sections := map[string][]string{}
	for section := range strings.SplitSeq(reference, "\n### ") {
		title, text, _ := strings.Cut(section, "\n")
		for _, m := range rowName.FindAllStringSubmatch(text, -1) {
			sections[title] = append(sections[title], m[1])
		}
	}
	for title, way := range objects {
		here := root
		for _, name := range way {
			here = properties(here)[name].(map[string]any)
		}
		want, got := slices.Sorted(maps.Keys(properties(here))), slices.Sorted(slices.Values(sections[title]))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the page has\n%q\nthe schema\n%q", title, got, want)
		}
		delete(sections, title)
	}
	if len(sections) > 0 {
		t.Errorf("the page has sections that are no objects: %v", sections)
	}
}

func TestThePipelinesOfThePageAreRead(t *testing.T) {
	t.Parallel()
	n := 0
	for i, block := range strings.Split(page(t), "```") {
		if text, ok := strings.CutPrefix(block, "yaml\n"); ok && i%2 == 1 && strings.HasPrefix(text, "name:") {
			n++
			read(t, text)
		}
	}
	if n < 3 {
		t.Errorf("only %d pipelines", n)
	}
	// The parts of the tutorial make one, put together.
	var parts []string
	for i, block := range strings.Split(page(t), "```") {
		if text, ok := strings.CutPrefix(block, "yaml\n"); ok && i%2 == 1 {
			parts = append(parts, text)
		}
	}
	p := read(t, parts[0]+parts[1]+parts[3]+parts[2])
	if len(p.Steps) != 2 || !p.Steps[1].Version || p.Tag == nil || len(p.Capabilities) != 1 {
		t.Errorf("the tutorial ends with %s", p.Canonical())
	}
}

func TestWhatThePageSaysOfCommandsIsSo(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"echo $HOME", "rm *.o", "a && b", "a | b", "a > file", "ls ~", "a # b", "echo {a,b}", `a\b`, "NAME=value make"} {
		if _, _, err := pipeline.Read("f", []byte("name: x\nsteps:\n  - name: a\n    run: '"+text+"'\n")); err == nil {
			t.Errorf("%s is read", text)
		}
	}
	_, _, err := pipeline.Read("f", []byte("name: x\nsteps: [{name: a, run: [make, test]}]\n"))
	if err == nil {
		t.Error("one command or two is read")
	}
}
