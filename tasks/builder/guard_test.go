package builder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

func TestASecretIsInNoLogAndInNoPackage(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "stint.build.yaml": `name: leaky
steps:
  - name: publish-it
    secrets: [FEED_KEY]
    script: |
      printf '%s' "$FEED_KEY" | sed 's/./&\n/g' | tr -d '\n'; echo
      printf '%s' "$FEED_KEY" | base64
      echo "key=$FEED_KEY" >&2
      echo "key=$FEED_KEY" > out.txt
packages:
  - {name: leaky, format: zip, files: [{from: out.txt}]}
`})
	f := l.agent("a", nil)
	err := l.carryOut(f, l.job(Spec{}))
	if !tasks.IsPermanent(err) || !strings.Contains(tasks.HintOf(err), "builds.secrets") {
		t.Errorf("a secret that nobody has: %v", err)
	}
	l.secrets["FEED_KEY"] = "s3cr3t-of-the-feed"
	job := l.job(Spec{})
	err = l.carryOut(f, job)
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "FEED_KEY") || strings.Contains(err.Error(), l.secrets["FEED_KEY"]) {
		t.Errorf("a package with a secret: %v", err)
	}
	logs := l.logs(f, job)
	if strings.Contains(logs, l.secrets["FEED_KEY"]) || strings.Contains(logs, "czNjcjN0LW9mLXRoZS1mZWVk") || strings.Count(logs, "***") < 3 {
		t.Errorf("the log is %s", logs)
	}
	if b := l.open(f, job); b != nil {
		if r, err := b.result(t.Context(), "publish-it"); err != nil || r.Key != "" {
			t.Errorf("its result can be found by others: %+v %v", r, err)
		}
	}
}

func TestAStepGoesToAnAgentThatHasWhatItRequires(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "stint.build.yaml": `name: picky
capabilities:
  - {name: delphi7, run: [cat, delphi-version], match: '^15\.'}
steps:
  - {name: compile, requires: [delphi7], run: 'true'}
`})
	plain, able := l.agent("plain", nil), l.agent("able", map[string]string{"delphi7": "true"})
	job := l.job(Spec{})
	if _, err := plain.Plan(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	if _, err := l.attempt(t.Context(), plain, job, "checkout", make(chan struct{})); err != nil {
		t.Fatal(err)
	}
	refused := func(f *Family, want string) {
		t.Helper()
		_, err := l.attempt(t.Context(), f, job, "compile", make(chan struct{}))
		if _, patience := tasks.RetryAfterOf(err); !patience || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	refused(plain, "no living agent has delphi7")
	l.agents = []Agent{{ID: "able", Labels: map[string]string{"delphi7": "true"}}}
	refused(plain, "it waits for able")
	refused(able, "cannot prove it") // an agent that lies about its labels
}

func TestACacheEntryWithWrongBytesIsNotBelieved(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	releases(t, l)
	f := l.agent("a", nil)
	l.built(f, Spec{})
	spoil := func(match string) {
		t.Helper()
		n := 0
		err := filepath.WalkDir(filepath.Join(l.dir, "artifacts", "builds"), func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.Contains(path, match) && !strings.Contains(path, "jobs") {
				n++
				return os.WriteFile(path, []byte("other bytes"), 0o600)
			}
			return err
		})
		if err != nil || n == 0 {
			t.Fatal(n, err)
		}
	}
	spoil("/cache/")
	l.built(f, Spec{})
	if n := l.times("compile"); n != 2 {
		t.Errorf("with a record of other bytes it ran %d times", n)
	}
	before := l.times("compile")
	spoil("layer")
	job := l.job(Spec{})
	if err := l.carryOut(f, job); err != nil { // the files of the commit are put anew, as are those that the steps make of them
		t.Fatalf("%v\n%s", err, l.logs(f, job))
	}
	if n := l.times("compile"); n != before+1 {
		t.Errorf("with layers of other bytes it ran %d times, before them %d", n, before)
	}
	if got := inZip(t, l.output(f, job, "hello-1.5.1.zip"), "bin/out.txt"); !strings.HasPrefix(got, "version = 1.5.1\nhello\n") {
		t.Errorf("the package has %q", got)
	}
}

func TestStepsSideBySideAreMergedAndConflictsAreNamed(t *testing.T) {
	t.Parallel()
	text := `name: wide
steps:
  - {name: a, needs: [], script: 'echo a > a.txt'}
  - {name: b, needs: [], script: 'echo b > %s'}
  - {name: both, needs: [a, b], script: 'cat a.txt b.txt > both.txt'}
`
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "stint.build.yaml": fmt.Sprintf(text, "b.txt")})
	f := l.agent("a", nil)
	l.built(f, Spec{})
	l.commit("main", map[string]string{"stint.build.yaml": fmt.Sprintf(text, "a.txt")})
	err := l.carryOut(f, l.job(Spec{}))
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "a.txt") {
		t.Errorf("two that write the same file: %v", err)
	}
}

func TestAPublishedVersionIsNeverOverwrittenAndATagNeverMoved(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	to := releases(t, l)
	if _, err := to.Put(t.Context(), "hello/1.5.1/hello-1.5.1.zip", strings.NewReader("somebody else's"), artifact.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	f := l.agent("a", nil)
	err := l.carryOut(f, l.job(Spec{}))
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "publish") {
		t.Errorf("a version that is published already, of other bytes: %v", err)
	}
	if err := to.Delete(t.Context(), "hello/1.5.1/hello-1.5.1.zip"); err != nil {
		t.Fatal(err)
	}
	l.git(l.work, "tag", "v1.5.1", l.commit("other", nil))
	l.git(l.work, "push", "-q", "origin", "v1.5.1")
	err = l.carryOut(f, l.job(Spec{}))
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "v1.5.1") {
		t.Errorf("a tag that is on another commit: %v", err)
	}
}

func TestARepositoryOutsideOfTheListIsNotBuilt(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	f := l.agent("a", nil)
	for _, url := range []string{"file:///etc", "https://example.com/x", "ext::sh -c id", "--upload-pack=id", l.url + "/../../x"} {
		job := l.job(Spec{Repository: url})
		if err := f.Check(job.Spec); err == nil {
			t.Errorf("%s is let in", url)
		}
		if err := l.carryOut(f, job); !tasks.IsPermanent(err) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAStepThatIgnoresItsEndIsEndedAllTheSame(t *testing.T) {
	t.Parallel()
	l := newLab(t, map[string]string{"VERSION": "1.0\n", "stint.build.yaml": `name: stubborn
steps:
  - name: wait
    timeout: 300ms
    script: |
      trap '' TERM
      sleep 300
`})
	began := time.Now()
	err := l.carryOut(l.agent("a", nil), l.job(Spec{}))
	if !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "timeout") || time.Since(began) > 30*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

func TestPromotionGoesByChannelAndByTheEnvironmentBefore(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	releases(t, l)
	f := l.agent("a", nil)
	release, branch := l.job(Spec{}), l.job(Spec{Ref: "feature"})
	l.commit("feature", nil)
	for _, job := range []tasks.Job{release, branch} {
		if err := l.carryOut(f, job); err != nil {
			t.Fatal(err)
		}
	}
	promote := func(job tasks.Job, to string) error {
		_, err := f.Promote(context.Background(), job, to, "ann")
		return err
	}
	if err := promote(release, "production"); !errors.Is(err, tasks.ErrGate) {
		t.Errorf("past ci: %v", err)
	}
	for _, job := range []tasks.Job{branch, release} {
		if err := promote(job, "ci"); err != nil {
			t.Errorf("into ci: %v", err)
		}
	}
	if err := promote(branch, "production"); !errors.Is(err, tasks.ErrGate) {
		t.Errorf("a branch: %v", err)
	}
	if err := promote(release, "production"); err != nil {
		t.Errorf("into production: %v", err)
	}
	list, err := f.Promoted(t.Context(), "", "")
	if err != nil || len(list) != 2 || list[1].Environment != "production" || list[1].Version != "1.5.1" || list[1].By != "ann" {
		t.Errorf("%+v: %v", list, err)
	}
}

func TestAFleetBuildsNoFilesOfAWorkingCopy(t *testing.T) {
	t.Parallel()
	l := newLab(t, hello)
	releases(t, l)
	f := l.agent("a", nil)
	others := l.built(f, Spec{})
	r, err := others.result(t.Context(), stageCheckout)
	if err != nil {
		t.Fatal(err)
	}
	job := l.job(Spec{Local: &Local{Files: r.Out, Pipeline: others.start.Pipeline, Facts: others.start.Facts}})
	if err := f.Check(job.Spec); err == nil {
		t.Error("whoever knows the name of somebody's files has them built")
	}
	if _, err := f.Plan(t.Context(), job); err == nil {
		t.Error("an agent builds them")
	}
	f.o.Fleet = false // the command's own engine
	if err := l.carryOut(f, job); err != nil {
		t.Errorf("a command does not build its own files: %v", err)
	}
	if b := l.open(f, job); b.start.Version.Channel != "local" || b.tagName() != "" {
		t.Errorf("their build is %+v", b.start.Version)
	}
}

// Steps that begin with what another one has made are merged by what they have made of that.
func TestStepsThatFollowACommonOneAreMergedByWhatTheyMadeOfIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steps string
		want  map[string]string
	}{
		"what only one has changed": {`
  - {name: prepare, needs: [], script: 'echo 1 > gen.txt'}
  - {name: b, needs: [prepare], script: 'echo 2 > gen.txt'}
  - {name: c, needs: [prepare], script: 'echo c > c.txt'}
  - {name: both, needs: [b, c], script: 'cp gen.txt seen.txt'}`, map[string]string{"gen.txt": "2\n", "c.txt": "c\n", "seen.txt": "2\n"}},
		"what one takes back": {`
  - {name: prepare, needs: [], script: 'echo secret > debug.txt; echo patched > f.txt'}
  - {name: b, needs: [prepare], script: 'rm debug.txt; echo original > f.txt'}
  - {name: c, needs: [prepare], script: 'echo c > c.txt'}
  - {name: both, needs: [b, c], script: 'echo *.txt > left.txt'}`, map[string]string{"f.txt": "original\n", "c.txt": "c\n", "left.txt": "c.txt f.txt\n"}},
		"one that needs the other": {`
  - {name: a, needs: [], script: 'echo 1 > gen.txt'}
  - {name: b, needs: [a], script: 'echo 2 > gen.txt'}
  - {name: both, needs: [a, b], script: 'cp gen.txt seen.txt'}
  - {name: turned, needs: [b, a], script: 'cp gen.txt turned.txt'}`, map[string]string{"gen.txt": "2\n", "seen.txt": "2\n", "turned.txt": "2\n"}},
		"two common ones": {`
  - {name: a, needs: [], script: 'echo 1 > a.txt'}
  - {name: b, needs: [], script: 'echo 1 > b.txt'}
  - {name: c, needs: [a, b], script: 'echo 2 > a.txt'}
  - {name: d, needs: [a, b], script: 'echo 2 > b.txt'}
  - {name: e, needs: [c], script: 'echo 3 > a.txt'}
  - {name: all, needs: [e, d, c], script: 'cat a.txt b.txt > seen.txt'}`, map[string]string{"a.txt": "3\n", "b.txt": "2\n", "seen.txt": "3\n2\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := "name: wide\nsteps:" + c.steps + "\npackages:\n  - {name: wide, format: zip, files: [{from: '*.txt'}]}\n"
			l := newLab(t, map[string]string{"VERSION": "1.0\n", "f.txt": "original\n", "stint.build.yaml": text})
			f := l.agent("a", nil)
			job := l.job(Spec{})
			if err := l.carryOut(f, job); err != nil {
				t.Fatal(err)
			}
			zip := l.output(f, job, "wide-1.0.1.zip")
			for file, want := range c.want {
				if got := inZip(t, zip, file); got != want {
					t.Errorf("%s has %q, want %q", file, got, want)
				}
			}
		})
	}
}
