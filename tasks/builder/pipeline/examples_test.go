package pipeline_test

import (
	"bytes"
	"encoding/xml"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/stamp"
)

var examples = filepath.Join("..", "..", "..", "docs", "examples", "builds")

// products are the example products, with what says their version when they are built.
var products = map[string][]string{
	"hello-go":  {"out/hello", "--version"},
	"greet-c":   {"out/greet", "--version"},
	"colors-js": {"node", "out/colors/lib/colors.js", "--version"},
}

// product is a copy of an example that is built by hand: one command after the other, as they stand in its pipeline.
type product struct {
	t        *testing.T
	dir      string
	pipeline *pipeline.Pipeline
	facts    pipeline.Facts
}

func newProduct(t *testing.T, name, below string) *product {
	t.Helper()
	p := &product{t: t, dir: filepath.Join(t.TempDir(), below), facts: pipeline.Facts{Version: "1.0.57", FileVersion: "1.0.57.0", Channel: "release", Number: 57}}
	if err := os.MkdirAll(filepath.Dir(p.dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(p.dir, os.DirFS(filepath.Join(examples, name))); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(p.dir, pipeline.FileName))
	if err != nil {
		t.Fatal(err)
	}
	p.pipeline = read(t, string(content))
	return p
}

// run runs a command, with the caches of whoever runs the tests: that of Go makes the difference of a minute.
func (p *product) run(s *pipeline.Step, c pipeline.Command) string {
	p.t.Helper()
	args := c.Args
	if c.Script != "" {
		args = []string{"sh", "-e"}
	}
	name := args[0]
	if strings.Contains(name, "/") {
		name = filepath.Join(p.dir, name)
	}
	cmd := exec.CommandContext(p.t.Context(), name, args[1:]...)
	cmd.Dir, cmd.Stdin = p.dir, strings.NewReader(c.Script)
	cmd.Env = os.Environ()
	for _, variables := range []map[string]string{p.pipeline.Environment, s.Environment} {
		for name, value := range variables {
			cmd.Env = append(cmd.Env, name+"="+p.facts.Fill(value))
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s: %q: %v\n%s", s.Name, args, err, out)
	}
	return string(out)
}

// prove runs the proofs of the capabilities that its steps require: what builds these products has to be there.
func (p *product) prove() {
	p.t.Helper()
	for _, c := range p.pipeline.Capabilities {
		p.run(&pipeline.Step{Name: "capability " + c.Name}, pipeline.Command{Args: c.Run})
	}
	for _, s := range p.pipeline.Steps {
		for _, label := range s.Requires {
			if !slices.ContainsFunc(p.pipeline.Capabilities, func(c pipeline.Capability) bool { return c.Name == label }) {
				p.t.Errorf("%s requires %s, and nothing proves it", s.Name, label)
			}
		}
	}
}

// build runs all steps.
func (p *product) build() {
	p.t.Helper()
	for _, s := range p.pipeline.Stages() {
		var targets []stamp.Target
		for _, text := range s.Stamp {
			target, err := stamp.Parse(text)
			if err != nil {
				p.t.Fatal(err)
			}
			targets = append(targets, target)
		}
		stamped, err := stamp.Files(p.dir, "", targets, stamp.Values{Version: p.facts.Version, File: [4]int{1, 0, 57, 0}})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, c := range s.Commands {
			p.run(s, c)
		}
		if _, err := stamped.Restore(); err != nil {
			p.t.Fatal(err)
		}
		for _, g := range s.Produces {
			if len(p.files(g)) == 0 {
				p.t.Errorf("%s: there is no file %s", s.Name, g)
			}
		}
		for _, g := range s.JUnit {
			for _, content := range p.files(g) {
				if n := p.testCases(content); n == 0 {
					p.t.Errorf("%s: no test in %s", s.Name, g)
				}
			}
		}
	}
}

// files returns the contents of the files of a pattern, by their paths.
func (p *product) files(g string) map[string][]byte {
	p.t.Helper()
	out := map[string][]byte{}
	root := os.DirFS(p.dir)
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !pipeline.Match(g, name) {
			return err
		}
		out[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *product) testCases(junit []byte) int {
	p.t.Helper()
	n := 0
	for d := xml.NewDecoder(bytes.NewReader(junit)); ; {
		token, err := d.Token()
		if token == nil {
			return n
		}
		if err != nil {
			p.t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "testcase" {
			n++
		}
	}
}

func TestEachExampleIsBuiltByItsCommandsAndGivesTheSameBytesInEachFolder(t *testing.T) {
	t.Parallel()
	for name, says := range products {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var packed []map[string][]byte
			for _, below := range []string{"one", "another/folder with a blank"} {
				p := newProduct(t, name, below)
				p.prove()
				sources := p.files("**")
				p.build()
				if got := strings.TrimSpace(p.run(&pipeline.Step{Name: "version"}, pipeline.Command{Args: says})); got != p.facts.Version {
					t.Errorf("it says that it is %q", got)
				}
				now := p.files("**")
				for path, content := range sources {
					if !bytes.Equal(now[path], content) {
						t.Errorf("%s is another one after the build", path)
					}
				}
				files := map[string][]byte{}
				for _, k := range p.pipeline.Packages {
					for _, f := range k.Files {
						for path, content := range p.files(f.From) {
							place, _ := f.Place(path)
							files[place] = content
						}
					}
				}
				packed = append(packed, files)
			}
			if len(packed[0]) < 2 || len(packed[0]) != len(packed[1]) {
				t.Errorf("%d and %d files", len(packed[0]), len(packed[1]))
			}
			for path, content := range packed[0] {
				if !bytes.Equal(content, packed[1][path]) {
					t.Errorf("%s is another one in another folder", path)
				}
			}
		})
	}
}
