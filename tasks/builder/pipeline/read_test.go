package pipeline_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// hello is a short pipeline, as people write one.
const hello = `name: hello
steps:
  - name: test
    run: go test ./...
  - name: compile
    run: [[go, build, -trimpath, -o, out/hello, .]]
    stamp: ['main.go=var version = "(.*)"']
    produces: [out/hello]
packages:
  - {name: hello, format: tar.zst, files: [{from: out/hello, to: bin/}]}
tag: v{version}
`

// full has every entry.
const full = `name: full
version_file: versions/VERSION
environment: {LANG: C.UTF-8, CGO_ENABLED: 0, DEBUG: on}
exclude: [node_modules/**, '**/*.o']
submodules: true
tools:
  - name: go
    version: 1.26
    url: https://example.com/go{version}.{os}-{arch}.tar.gz
    sha256: {linux/amd64: "0000000000000000000000000000000000000000000000000000000000000001"}
    strip: 1
    path: [bin]
  - {name: one, version: 010, url: 'http://127.0.0.1:8080/one', sha256: "0000000000000000000000000000000000000000000000000000000000000002", path: .}
capabilities:
  - {name: cc, run: cc --version, match: '(?i)gcc|clang'}
  - {name: make, run: [make, --version]}
steps:
  - name: prepare
    script: |
      set -u
      echo "$HOME" > out/home
    produces: ./out/home
  - name: test
    run:
      - go vet ./...
      - [go, test, -json, ./...]
      - script: echo done
    requires: [windows, go=1.26, cc=true]
    dir: ./src/
    environment: {NAME: 'v{version} of {"a": 1}', EMPTY: ""}
    secrets: [TOKEN]
    tools: [go, one]
    version: true
    timeout: 1h30m
    junit: out/*.xml
    cache: {inputs: ['src/**', go.mod], key: 2}
    limits: {memory: 2GiB, cpu: 30m, disk: 500MB, processes: 100, log: 10 MiB}
    retries: 2
  - {name: lint, needs: [], run: make lint, cache: off}
  - {name: sign, needs: [lint, test], run: make sign}
packages:
  - {name: full, format: sfx-unix, files: [README.md, {from: 'out/**'}], run: ./setup --quiet, after: [sign, test]}
  - {name: Full, format: nupkg, files: out/full.exe, metadata: {id: Full, authors: me, description: all of it}}
publish:
  - {to: feed, packages: [Full], channels: [local, branch, release]}
  - folder
tag: {name: 'full/v{version}', channels: [branch, release], message: 'Build {number}'}
keep: {builds: 10, for: 90d}
`

const anchors = `name: anchors
x-go: &go
  requires: go
  environment: {CGO_ENABLED: 0}
steps:
  - {<<: *go, name: test, run: go test ./...}
  - {<<: [*go], name: build, requires: [go, windows], run: go build}
`

// valid are pipelines without a mistake: those here, and those of the documents.
func valid(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{"hello": hello, "full": full, "anchors": anchors}
	for _, pattern := range []string{"*/" + pipeline.FileName, "*.yaml"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "..", "docs", "examples", "builds", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out[name] = string(content)
		}
	}
	return out
}

func read(t *testing.T, text string) *pipeline.Pipeline {
	t.Helper()
	p, _, err := pipeline.Read("f", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAShortFileIsAWholePipeline(t *testing.T) {
	t.Parallel()
	got := read(t, hello)
	want := &pipeline.Pipeline{
		Name: "hello",
		Steps: []pipeline.Step{
			{Name: "test", Commands: []pipeline.Command{{Args: []string{"go", "test", "./..."}}}, Timeout: time.Hour},
			{Name: "compile", Needs: []string{"test"}, Commands: []pipeline.Command{{Args: []string{"go", "build", "-trimpath", "-o", "out/hello", "."}}},
				Version: true, Stamp: []string{`main.go=var version = "(.*)"`}, Produces: []string{"out/hello"}, Timeout: time.Hour},
		},
		Packages: []pipeline.Package{{Name: "hello", Format: "tar.zst", Files: []pipeline.Files{{From: "out/hello", To: "bin/"}}}},
		Tag:      &pipeline.Tag{Name: "v{version}", Channels: []string{"release"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got.Canonical(), want.Canonical())
	}
}

func TestEveryEntryIsRead(t *testing.T) {
	t.Parallel()
	p := read(t, full)
	indented, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "full.json")
	if *update {
		if err := os.WriteFile(golden, append(indented, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(indented)+"\n" != string(want) {
		t.Errorf("got %s", indented)
	}
}

func TestTextsAreTakenAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"no", "on", "yes", "1.10", "010", "0x1F", "1_000", "12:30", "2026-11-26", "true", "False", ".inf", "1e3"} {
		p := read(t, "name: x\nsteps:\n  - {name: a, run: make, environment: {V: "+word+"}}\n")
		if got := p.Steps[0].Environment["V"]; got != word {
			t.Errorf("%s became %s", word, got)
		}
	}
}

func TestTwoFilesThatMeanTheSameHaveTheSameBytes(t *testing.T) {
	t.Parallel()
	for name, pair := range map[string][2]string{
		"hello": {hello, "tag: {channels: release, name: 'v{version}'}\npackages: [{files: [{to: ./bin/, from: ./out//hello}], format: tar.zst, name: hello}]\nsteps:\n" +
			"  - {run: [go test ./...], name: 'test', timeout: 60m, needs: []}\n" +
			"  - {name: compile, needs: test, run: \"go build -trimpath -o out/hello '.'\", version: true, stamp: 'main.go=var version = \"(.*)\"', produces: ./out/hello}\nname: hello\n"},
		"anchors": {anchors, "name: anchors\nsteps:\n  - {name: test, requires: go=true, environment: {CGO_ENABLED: '0'}, run: go test ./...}\n" +
			"  - {name: build, requires: [windows, go], environment: {CGO_ENABLED: \"0\"}, run: [[go, build]]}\n"},
	} {
		a, b := read(t, pair[0]).Canonical(), read(t, pair[1]).Canonical()
		if string(a) != string(b) {
			t.Errorf("%s:\n%s\n%s", name, a, b)
		}
	}
}

func TestWhatIsFrozenComesBackTheSame(t *testing.T) {
	t.Parallel()
	for name, text := range valid(t) {
		p := read(t, text)
		again, err := pipeline.Decode(p.Canonical())
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(p, again) {
			t.Errorf("%s: another one came back: %s", name, again.Canonical())
		}
	}
}

func TestWhatNobodyCouldHaveFrozenIsRefused(t *testing.T) {
	t.Parallel()
	body := string(read(t, full).Canonical())
	for was, is := range map[string]string{
		`"name":"full"`:              `"name":"full","colour":"blue"`,
		`"out/home"`:                 `"../../home"`,
		`"timeout":3600000000000`:    `"timeout":0`,
		`"retries":2`:                `"retries":2000`,
		`"memory":2147483648`:        `"memory":-1`,
		`"name":"lint"`:              `"name":"publish"`,
		`"channels":["release"]`:     `"channels":[]`,
		`{"args":["make","lint"]}`:   `{}`,
		`{"args":["make","sign"]}`:   `{"args":["make"],"script":"make"}`,
		`"keep":{"builds":10`:        `"keep":{"builds":-10`,
		`"strip":1`:                  `"strip":-1`,
		`"for":7776000000000000}}`:   `"for":7776000000000000}} {}`,
		`"needs":["prepare"]`:        `"needs":["sign"]`,
		`"url":"http://127.0.0.1:80`: `"url":"http://example.com:80`,
	} {
		changed := strings.Replace(body, was, is, 1)
		if changed == body {
			t.Errorf("%s is not there", was)
		}
		if _, err := pipeline.Decode([]byte(changed)); err == nil {
			t.Errorf("%s is accepted", is)
		}
	}
	if _, err := pipeline.Decode([]byte(strings.Repeat(" ", 3<<20))); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("three megabytes: got %v", err)
	}
}

func TestALargeFileIsRefused(t *testing.T) {
	t.Parallel()
	_, problems, err := pipeline.Read("f", []byte(hello+"#"+strings.Repeat("x", pipeline.MaxSize)))
	if err == nil || !strings.Contains(problems[0].Message, "too large") {
		t.Errorf("got %v", err)
	}
}

func TestWhatIsNoUTF8IsFound(t *testing.T) {
	t.Parallel()
	_, _, err := pipeline.Read("f", []byte("name: x\n# caf\xe9\n"))
	if err == nil || !strings.HasPrefix(err.Error(), "f:2:6: ") {
		t.Errorf("got %v", err)
	}
}

func TestTooManyStepsAreOneMistake(t *testing.T) {
	t.Parallel()
	_, problems, _ := pipeline.Read("f", []byte("name: x\nsteps:\n"+strings.Repeat("  - {}\n", 1000)))
	if len(problems) != 1 || !strings.Contains(problems[0].Message, "1000 steps") {
		t.Errorf("got %v", problems)
	}
}

func TestACommandIsSplitAsAShellDoes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`go test ./...`:             `go|test|./...`,
		`  make   all  `:            `make|all`,
		`echo 'a b' "c d"`:          `echo|a b|c d`,
		`echo a'b'"c"d`:             `echo|abcd`,
		`echo ''`:                   `echo|`,
		`echo '$HOME *;|&~#\'`:      `echo|$HOME *;|&~#\`,
		`echo "a \"b\" \\ c:\d"`:    `echo|a "b" \ c:\d`,
		`go build -ldflags='-s -w'`: `go|build|-ldflags=-s -w`,
		`make CC=clang a#b a~b`:     `make|CC=clang|a#b|a~b`,
		`echo ü -- -x`:              `echo|ü|--|-x`,
	} {
		p := read(t, "name: x\nsteps:\n  - name: a\n    run: >-\n      "+strings.TrimSpace(text)+"\n")
		if got := strings.Join(p.Steps[0].Commands[0].Args, "|"); got != want {
			t.Errorf("%s: got %s", text, got)
		}
	}
}

func TestFactsAreFilledInOnceAndOnlyTheirOwnWords(t *testing.T) {
	t.Parallel()
	f := pipeline.Facts{Version: "1.5.57-{commit}", FileVersion: "1.5.57.0", Channel: "release", Commit: "abc", Number: 57}
	if got := f.Fill(`v{version} {file_version} {channel} {commit} {number} {other} {"a": 1} {VERSION}`); got != `v1.5.57-{commit} 1.5.57.0 release abc 57 {other} {"a": 1} {VERSION}` {
		t.Errorf("got %s", got)
	}
}

func TestStepsComeAfterWhatTheyNeed(t *testing.T) {
	t.Parallel()
	p := read(t, `name: x
steps:
  - {name: last, needs: [left, right], run: make}
  - {name: left, needs: first, run: make}
  - {name: right, needs: first, run: make}
  - {name: first, needs: [], run: make}
  - {name: alone, needs: [], run: make}
packages:
  - {name: a, format: zip, files: a}
  - {name: b, format: zip, files: b, after: left}
`)
	var order []string
	for _, s := range p.Stages() {
		order = append(order, s.Name)
	}
	for _, c := range []struct{ got, want []string }{
		{order, []string{"first", "left", "right", "last", "alone"}},
		{p.Before("last"), []string{"first", "left", "right"}},
		{p.Before("left", "right"), []string{"first"}},
		{p.Before("first"), nil},
		{p.Last(), []string{"last", "alone"}},
		{p.MadeOf(&p.Packages[0]), []string{"last", "alone"}},
		{p.MadeOf(&p.Packages[1]), []string{"left"}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	if p.Step("left").Name != "left" || p.Step("none") != nil {
		t.Error("a step is not found by its name")
	}
}

func TestALabelHasAValue(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{"windows": {"windows", "true"}, "go=1.26": {"go", "1.26"}} {
		if name, value := pipeline.Label(text); name != want[0] || value != want[1] {
			t.Errorf("%s: got %s=%s", text, name, value)
		}
	}
}

func TestAFileHasItsPlaceInThePackage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, name, place string }{
		{"out/hello", "bin/", "out/hello", "bin/hello"},
		{"out/hello", "bin/hi", "out/hello", "bin/hi"},
		{"out/hello", "", "out/hello", "out/hello"},
		{"out/**", "", "out/a/b", "out/a/b"},
		{"out/**", "lib/", "out/a/b", "lib/a/b"},
		{"out/**", "./", "out/a/b", "a/b"},
		{"out/a*/**", "./", "out/a/b", "a/b"},
		{"*.md", "doc/", "README.md", "doc/README.md"},
		{"out/{a,b}/x", "./", "out/b/x", "b/x"},
		{"out/hello", "bin/", "out/other", ""},
	} {
		place, ok := pipeline.Files{From: c.from, To: c.to}.Place(c.name)
		if place != c.place || ok != (c.place != "") {
			t.Errorf("%s to %q: %s is at %q", c.from, c.to, c.name, place)
		}
	}
}

func TestNoFileTakesLong(t *testing.T) {
	t.Parallel()
	fill := func(part string) string { return strings.Repeat(part, pipeline.MaxSize/4/len(part)) }
	step := "name: x\nsteps:\n  - name: a\n    run: make\n"
	for name, text := range map[string]string{
		"a bracket that is not closed": "x: [\n" + fill("a\n"),
		"a mistake at the end":         fill("a: 1\n") + "b: [",
		"a thousand levels":            fill("["),
		"needs that are not there":     step + "    needs: [" + fill("step-with-a-long-name, ") + "]\n",
		"braces":                       step + "    produces: '" + fill("{a,b}") + "'\n",
		"patterns":                     step + "    produces: [" + fill("a/b, ")[:120_000] + "]\nexclude: [" + fill("'{a,c}{d,e}/*', ")[:120_000] + "x]\n",
		"stamps":                       step + "    stamp: [" + fill("'a=x"+strings.Repeat("(a*)*", 700)+"', ") + "]\n",
		"proofs":                       step + "capabilities: [" + fill("{name: a, run: a, match: '"+strings.Repeat("(a*)*", 700)+"'}, ") + "]\n",
		"words in braces":              step + "    environment: {A: '" + fill("{verison}") + "'}\n",
		"unknown entries":              step + fill("    enviroment: a\n"),
		"merges":                       "x-a: &a {b: 1}\nx-b: {<<: [" + fill("*a,") + "*a]}\n" + step,
	} {
		begun := time.Now()
		_, problems, err := pipeline.Read("f", []byte(text))
		if took := time.Since(begun); err == nil || len(problems) > 501 || took > 30*time.Second {
			t.Errorf("%s: %d problems after %s", name, len(problems), took)
		}
	}
}

func TestAFileOfWindowsIsReadLikeAnother(t *testing.T) {
	t.Parallel()
	text := "name: x\nsteps:\n  - name: a\n    script: |\n      echo é\n      echo b\n"
	want := string(read(t, text).Canonical())
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	utf16le := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(crlf)) {
		utf16le = append(utf16le, byte(unit), byte(unit>>8))
	}
	for name, content := range map[string]string{"lines that end with CR LF": crlf, "a byte order mark": "\ufeff" + text, "UTF-16": string(utf16le)} {
		if got := string(read(t, content).Canonical()); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}
