package pipeline_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/builder/pipeline"
)

var update = flag.Bool("update", false, "write testdata/mistakes.txt and docs/pipeline.schema.json anew")

var mistakesFile = filepath.Join("testdata", "mistakes.txt")

// mistake is a pipeline with something wrong in it, and what is said of it.
type mistake struct{ name, text, said string }

const schemaSees = "(the schema sees it, too)"

// mistakes reads testdata/mistakes.txt: ### NAME, a file, ===, what is said, one line for each problem.
func mistakes(t *testing.T) []mistake {
	t.Helper()
	content, err := os.ReadFile(mistakesFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []mistake
	for block := range strings.SplitSeq(string(content), "### ") {
		if block == "" {
			continue
		}
		name, rest, _ := strings.Cut(block, "\n")
		text, said, found := strings.Cut(rest, "===")
		if !found {
			t.Fatalf("%s: no ===", name)
		}
		out = append(out, mistake{name, text, strings.TrimSpace(said)})
	}
	return out
}

func TestEachMistakeIsSaidWithItsPlaceAndWhatToDo(t *testing.T) {
	t.Parallel()
	all := mistakes(t)
	if len(all) < 70 {
		t.Errorf("only %d kinds of mistakes", len(all))
	}
	schema := compiled(t)
	var anew strings.Builder
	for _, m := range all {
		p, problems, err := pipeline.Read("f", []byte(m.text))
		if err == nil || len(problems) == 0 || p != nil {
			t.Errorf("%s: nothing is said", m.name)
			continue
		}
		said := err.Error()
		if validate(schema, m.text) != nil {
			said += "\n" + schemaSees
		}
		for _, problem := range problems {
			if problem.Line == 0 || problem.Column == 0 || problem.Message == "" {
				t.Errorf("%s: %+v has no place, or no message", m.name, problem)
			}
		}
		anew.WriteString("### " + m.name + "\n" + m.text + "===\n" + said + "\n\n")
		if said != m.said && !*update {
			t.Errorf("%s:\n%s\nsaid\n%s\nwant\n%s", m.name, m.text, said, m.said)
		}
	}
	if *update {
		if err := os.WriteFile(mistakesFile, []byte(anew.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzNoFilePanics(f *testing.F) {
	content, err := os.ReadFile(mistakesFile)
	if err != nil {
		f.Fatal(err)
	}
	for block := range strings.SplitSeq(string(content), "### ") {
		text, _, _ := strings.Cut(block, "===")
		if _, text, found := strings.Cut(text, "\n"); found {
			f.Add(text)
		}
	}
	f.Add(hello)
	f.Fuzz(func(t *testing.T, text string) {
		p, problems, err := pipeline.Read("f", []byte(text))
		if (err == nil) != (p != nil) || (err == nil) != (len(problems) == 0) {
			t.Fatalf("a pipeline %v, problems %v and an error %v", p, problems, err)
		}
		if p == nil {
			return
		}
		again, err := pipeline.Decode(p.Canonical())
		if err != nil {
			t.Fatalf("what was read is refused: %v\n%s", err, p.Canonical())
		}
		if string(again.Canonical()) != string(p.Canonical()) {
			t.Fatalf("another pipeline came back:\n%s\n%s", p.Canonical(), again.Canonical())
		}
		if len(p.Stages()) != len(p.Steps) {
			t.Fatal("a step has no place in the order")
		}
	})
}
