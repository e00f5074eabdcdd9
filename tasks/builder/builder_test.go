package builder

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/publish"
)

// hello is a product whose commands are shell scripts.
var hello = map[string]string{
	"VERSION":  "1.5\n",
	"main.txt": "version = 0.0.0\nhello\n",
	"stint.build.yaml": `name: hello
steps:
  - name: test
    script: |
      echo test >> "$RAN"
      grep -q hello main.txt
      echo tested > tested.txt
  - name: compile
    script: |
      echo compile >> "$RAN"
      cp main.txt out.txt
      echo "$BUILD_VERSION of $BUILD_CHANNEL" >> out.txt
    stamp: ['main.txt=version = (.*)']
    produces: [out.txt]
packages:
  - {name: hello, format: zip, files: [{from: out.txt, to: bin/}, {from: tested.txt}]}
publish:
  - {to: releases, channels: [release]}
tag: v{version}
`,
}

func releases(t *testing.T, l *lab) *artifact.Folder {
	t.Helper()
	folder, err := artifact.NewFolder(filepath.Join(l.dir, "releases"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = folder.Close() })
	l.targets["releases"] = publish.NewStore(folder)
	return folder
}

func inZip(t *testing.T, text []byte, name string) string {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	f, err := z.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestACommitBecomesAPackageWithAVersionThatIsPublishedAndTagged(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	to := releases(t, l)
	f := l.agent("a", nil)
	b := l.built(f, Spec{})
	if v := b.start.Version; v.Version != "1.5.1" || v.File != "1.5.1.0" || v.Channel != "release" {
		t.Errorf("the version is %+v", v)
	}
	job := tasks.Job{ID: b.job, Kind: Kind, Spec: l.job(Spec{}).Spec}
	text := l.output(f, job, "hello-1.5.1.zip")
	if got := inZip(t, text, "bin/out.txt"); got != "version = 1.5.1\nhello\n1.5.1 of release\n" {
		t.Errorf("the package has %q", got)
	}
	if sum := inZip(t, text, "tested.txt"); sum != "tested\n" {
		t.Errorf("what the first step made is %q", sum)
	}
	if at := l.git(l.work, "ls-remote", "origin", "refs/tags/v1.5.1^{}"); !strings.HasPrefix(at, b.start.Commit.SHA) {
		t.Errorf("the tag is on %q", at)
	}
	info, err := to.Stat(t.Context(), "hello/1.5.1/hello-1.5.1.zip")
	if err != nil || info.Size != int64(len(text)) {
		t.Errorf("published is %+v: %v", info, err)
	}
	files, err := f.Outputs(t.Context(), job)
	if err != nil || len(files) != 4 {
		t.Errorf("%v: %v", files, err)
	}
	if r, err := b.result(t.Context(), "compile"); err != nil || r.Stats.NewFiles != 1 {
		t.Errorf("the files that the step has changed: %+v, %v", r, err) // not the one that was stamped
	}
	again := l.built(l.agent("b", nil), Spec{})
	if again.start.Version.Version != "1.5.1" || l.times("test") != 1 || l.times("compile") != 1 {
		t.Errorf("the same commit again is %s; the steps ran %d and %d times", again.start.Version.Version, l.times("test"), l.times("compile"))
	}
	l.commit("main", map[string]string{"other.txt": "x"})
	if next := l.built(f, Spec{}); next.start.Version.Version != "1.5.2" {
		t.Errorf("the next commit is %s", next.start.Version.Version)
	}
	report, err := f.Report(t.Context(), job)
	if err != nil || len(report.Sections) < 4 {
		t.Errorf("the report is %+v: %v", report, err)
	}
}

func TestAStepStartsAgainFromItsCleanFilesAndNeverRunsAgainOnceItHasEnded(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "stint.build.yaml": `name: slow
steps:
  - name: first
    script: |
      echo first >> "$RAN"
      echo 1 > made.txt
  - name: second
    script: |
      test ! -e half.txt
      echo x > half.txt
      echo more >> made.txt
      echo second >> "$RAN"
      test -e "$RAN.go" || sleep 60
`})
	f := l.agent("a", nil)
	job := l.job(Spec{})
	if _, err := f.Plan(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	for _, stage := range []string{"checkout", "first"} {
		if _, err := l.attempt(t.Context(), f, job, stage, make(chan struct{})); err != nil {
			t.Fatal(err)
		}
	}
	draining := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		_, err := l.attempt(t.Context(), f, job, "second", draining)
		ended <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for l.times("second") == 0 {
		<-tick.C
	}
	close(draining)
	if err := <-ended; !errors.Is(err, tasks.ErrDrained) {
		t.Fatalf("a drained step ends with %v", err)
	}
	if err := os.WriteFile(l.ran+".go", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	other := l.agent("b", nil)
	if err := l.carryOut(other, job); err != nil {
		t.Fatalf("%v\n%s", err, l.logs(other, job))
	}
	if l.times("first") != 1 || l.times("second") != 2 {
		t.Errorf("the steps ran %d and %d times", l.times("first"), l.times("second"))
	}
	b := l.open(other, job)
	r, err := b.result(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	file, _, err := b.trees.Open(t.Context(), r.Out, "made.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if text, err := io.ReadAll(file); err != nil || string(text) != "1\nmore\n" {
		t.Errorf("the files have %q: %v", text, err)
	}
}

func TestOfAHundredEqualBuildsOneExecutes(t *testing.T) {
	t.Parallel()
	tree := map[string]string{"VERSION": "1.0\n", "stint.build.yaml": `name: equal
steps:
  - name: compile
    version: true
    script: |
      echo compile >> "$RAN"
      sleep 0.2
      echo "$BUILD_VERSION" > out.txt
packages:
  - {name: equal, format: file, files: [{from: out.txt}]}
`}
	l := newLab(t, tree)
	var wg sync.WaitGroup
	agents := []*Family{l.agent("a", nil), l.agent("b", nil), l.agent("c", nil)}
	digests := make([]string, 100)
	limit := make(chan struct{}, 8)
	for i := range digests {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			f, job := agents[i%3], l.job(Spec{})
			if err := l.carryOut(f, job); err != nil {
				t.Error(err)
				return
			}
			list, err := f.Outputs(t.Context(), job)
			if err != nil || len(list) == 0 {
				t.Error(list, err)
				return
			}
			digests[i] = list[0].Name + " " + list[0].Digest
		})
	}
	wg.Wait()
	for i := range digests {
		if digests[i] != digests[0] {
			t.Errorf("build %d left %s, the first %s", i, digests[i], digests[0])
		}
	}
	if n := l.times("compile"); n != 1 {
		t.Errorf("%d of them executed", n)
	}
}

func TestAHundredBuildsAtOnceHaveNumbersWithoutAGap(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "stint.build.yaml": "name: many\nsteps:\n  - {name: compile, run: 'true'}\n"})
	commits := make([]string, 100)
	for i := range commits {
		l.git(l.work, "commit", "-q", "--allow-empty", "-m", fmt.Sprint(i))
		commits[i] = l.git(l.work, "rev-parse", "HEAD")
	}
	l.git(l.work, "push", "-q", "origin", "HEAD:refs/heads/main")
	f := l.agent("a", nil)
	numbers := make([]int64, 100)
	var wg sync.WaitGroup
	limit := make(chan struct{}, 8)
	for i := range commits {
		wg.Go(func() {
			limit <- struct{}{}
			defer func() { <-limit }()
			b, err := f.begin(t.Context(), l.job(Spec{Ref: "main", Commit: commits[i]}))
			if err != nil {
				t.Error(err)
				return
			}
			numbers[i] = b.start.Number
		})
	}
	wg.Wait()
	seen := map[int64]bool{}
	for _, n := range numbers {
		seen[n] = true
	}
	for n := range int64(100) {
		if !seen[n+1] {
			t.Errorf("no build has the number %d", n+1)
		}
	}
	l.fleet.last, l.fleet.given = map[string]int64{}, map[string]int64{} // Redis has lost its memory
	l.commit("main", nil)
	b, err := f.begin(t.Context(), l.job(Spec{}))
	if err != nil || b.start.Number != 101 {
		t.Errorf("after that a new commit has %+v: %v", b, err)
	}
}

func TestWhatABranchHasBuiltGoesIntoNoRelease(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	releases(t, l)
	f := l.agent("a", nil)
	l.commit("feature/x", nil)
	if b := l.built(f, Spec{Ref: "feature/x"}); !strings.Contains(b.start.Version.Version, "-br.b-feature-x.") || b.tagName() != "" {
		t.Errorf("a branch's build is %s", b.start.Version.Version)
	}
	l.git(l.work, "push", "-q", "origin", "HEAD:refs/heads/main")
	l.built(f, Spec{Ref: "main"})
	if n := l.times("test"); n != 2 {
		t.Errorf("the test ran %d times", n)
	}
}

func TestTheNameOfABranchRunsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	f := l.agent("a", nil)
	for _, name := range []string{"$(touch${IFS}pwned)", "`touch${IFS}pwned`", "a;touch${IFS}pwned", "a'b|id"} {
		l.commit(name, nil)
		b := l.built(f, Spec{Ref: name})
		for _, id := range []string{stageCheckout, "test", "compile"} {
			r, err := b.result(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			m, err := b.trees.Manifest(t.Context(), r.Out)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range m.Entries {
				if strings.Contains(e.Path, "pwned") {
					t.Errorf("%s: %s is there", name, e.Path)
				}
			}
		}
	}
}

func TestAFailureSaysWhichCommandFailedAndIsNoFailureOfTheAgent(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "results.xml": `<testsuite name="s" tests="2" failures="1"><testcase name="good"/><testcase name="bad"><failure message="was 3"/></testcase></testsuite>`,
		"stint.build.yaml": `name: bad
steps:
  - name: test
    junit: [results.xml]
    run: [[sh, -c, 'echo to the log; exit 3']]
`})
	f := l.agent("a", nil)
	job := l.job(Spec{})
	err := l.carryOut(f, job)
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "exit code 3") || !strings.Contains(tasks.HintOf(err), "stint build log") {
		t.Errorf("%v (%s)", err, tasks.HintOf(err))
	}
	if logs := l.logs(f, job); !strings.Contains(logs, "test o to the log") {
		t.Errorf("the log is %s", logs)
	}
	report, err := f.Report(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(report.Sections)
	if !strings.Contains(text, "failed:") || !strings.Contains(text, "bad") {
		t.Errorf("the report is %s", text)
	}
}
