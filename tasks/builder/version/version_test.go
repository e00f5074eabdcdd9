package version_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/version"
)

const sha = "0123456789abcdef0123456789abcdef01234567"

func release() version.In {
	return version.In{Base: "1.5\n", CI: true, Counter: 57, Ref: "refs/heads/main", Default: "main", SHA: sha, Height: 312}
}

// held checks all rows of a file.
func held(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := version.ReadTable(text)
	if err != nil {
		t.Fatal(err)
	}
	results := table.Check()
	if len(results) == 0 {
		t.Fatal("no rows")
	}
	for _, r := range results {
		if !r.Equal || len(r.Ignored) > 0 {
			t.Errorf("%s: %s; ignored: %q", r.Name, strings.Join(r.Differences, "; "), r.Ignored)
		}
	}
}

func TestTheRuleGivesWhatItsRowsSay(t *testing.T) {
	t.Parallel()
	held(t, filepath.Join("testdata", "versions.json"))
}

// The vectors that are shared with other implementations stand beside the repository, where they stand at all.
func TestTheSharedVectorsAreEqual(t *testing.T) {
	t.Parallel()
	dir := vectors(t)
	for _, name := range []string{"versions.json", "semver.json"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			held(t, filepath.Join(dir, name))
		})
	}
}

func vectors(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if found := filepath.Join(dir, "shared", "vectors"); exists(found) {
			return found
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no folder with shared vectors")
		}
		dir = filepath.Dir(dir)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestEveryVersionIsSemVer(t *testing.T) {
	t.Parallel()
	for _, ci := range []bool{true, false} {
		for _, ref := range []string{"", "refs/heads/main", "refs/heads/007", "refs/heads/é", "refs/heads/---", "refs/heads/\xff\xfe", "refs/tags/0", "refs/pull/9/merge", "refs/heads/" + strings.Repeat("-0", 100)} {
			in := release()
			in.CI, in.Ref = ci, ref
			out, err := version.Compute(in)
			if err != nil || !version.Valid(out.Version) {
				t.Errorf("%q: %q, %v", ref, out.Version, err)
			}
			if len(out.Version) > 80 {
				t.Errorf("%q: a version of %d characters: %s", ref, len(out.Version), out.Version)
			}
		}
	}
}

func TestALocalBuildComesBeforeAllThatAgentsBuild(t *testing.T) {
	t.Parallel()
	in := release()
	in.Counter = 1
	in.Ref = "refs/heads/a"
	first := computed(t, in)
	in.CI = false
	if local := computed(t, in); local.Compare(first) >= 0 {
		t.Errorf("%s comes after %s", local, first)
	}
}

// The trap that promotion by channel avoids.
func TestABranchsBuildCanComeAfterTheLastRelease(t *testing.T) {
	t.Parallel()
	in := release()
	last := computed(t, in)
	in.Counter, in.Ref = 58, "refs/heads/x"
	branch := computed(t, in)
	in.Ref = "refs/heads/main"
	in.Counter = 58
	next := computed(t, in)
	if last.Compare(branch) >= 0 || branch.Compare(next) >= 0 {
		t.Errorf("want %s < %s < %s", last, branch, next)
	}
}

func computed(t *testing.T, in version.In) version.SemVer {
	t.Helper()
	out, err := version.Compute(in)
	if err != nil {
		t.Fatal(err)
	}
	v, err := version.Parse(out.Version)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWhatIsWrongHasACodeAndAHint(t *testing.T) {
	t.Parallel()
	for _, change := range []func(*version.In){
		func(in *version.In) { in.Base = "v1.5" },
		func(in *version.In) { in.Base = "" },
		func(in *version.In) { in.Base = "\ufeff1.5" },
		func(in *version.In) { in.Base = "1.65535" },
		func(in *version.In) { in.Dirty = true },
		func(in *version.In) { in.Counter = 0 },
		func(in *version.In) { in.Counter = 65535 },
		func(in *version.In) { in.SHA = "" },
		func(in *version.In) { in.SHA = "main" },
		func(in *version.In) { in.CI, in.Height = false, -1 },
	} {
		in := release()
		change(&in)
		_, err := version.Compute(in)
		var e *version.Error
		if !errors.As(err, &e) || tasks.HintOf(err) == "" || !strings.HasSuffix(err.Error(), "("+string(e.Code)+")") {
			t.Errorf("%+v: %v, hint %q", in, err, tasks.HintOf(err))
		}
	}
}

func TestTheExplanationNamesWhatLedToTheVersion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		change func(*version.In)
		want   []string
	}{
		{func(*version.In) {}, []string{"1.5.57 (release, file version 1.5.57.0)", "The version file says 1.5.", "its number for 1.5 is 57", `"main" is the default branch`}},
		{func(in *version.In) { in.Ref = "refs/heads/x" }, []string{`"x" is not the default branch, which is "main"`, "g01234567 names commit 01234567"}},
		{func(in *version.In) { in.Default = "" }, []string{"Which branch is the default one is not known"}},
		{func(in *version.In) { in.Ref = "refs/pull/42/merge" }, []string{"It is pull request 42"}},
		{func(in *version.In) { in.Ref = "refs/tags/v1" }, []string{`It is the tag "v1"`}},
		{func(in *version.In) { in.Ref = "" }, []string{"No branch is checked out"}},
		{func(in *version.In) { in.Ref = "refs/pull/042" }, []string{`"refs/pull/042" is no branch, no pull request and no tag`}},
		{func(in *version.In) { in.CI = false; in.Dirty = true }, []string{"No agent builds it", "312 commits lead to commit 01234567", "it is dirty"}},
		{func(in *version.In) { in.CI = false; in.Height = 1 }, []string{"1 commit leads to"}},
		{func(in *version.In) { in.CI = false; in.Shallow = true }, []string{"The clone is shallow"}},
		{func(in *version.In) { in.Tags = []string{"v1.5.12"} }, []string{`The commit has the tag "v1.5.12"; tags are never asked`}},
		{func(in *version.In) { in.Tags = strings.Fields("a b c d e f g") }, []string{`the tags "a", "b", "c", "d", "e", and 2 more;`}},
	} {
		in := release()
		c.change(&in)
		out, err := version.Compute(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range c.want {
			if !strings.Contains(out.Explain(), want) {
				t.Errorf("%+v:\n%s\nlacks %q", in, out.Explain(), want)
			}
		}
	}
}

func TestForeignNamesReachNoTerminal(t *testing.T) {
	t.Parallel()
	in := release()
	in.Ref, in.Tags = "refs/heads/a\x1b[31m\u202eb", []string{"\x1b]0;x\a"}
	out, err := version.Compute(in)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.Explain(), "\x1b\a\u202e") {
		t.Errorf("%q", out.Explain())
	}
	in.Base = "\x1b[31m" + strings.Repeat("x", 1<<20)
	if _, err = version.Compute(in); err == nil || strings.Contains(err.Error(), "\x1b") || len(err.Error()) > 200 {
		t.Errorf("%v", err)
	}
}

func FuzzAnyFactsGiveAVersionOrACode(f *testing.F) {
	f.Add("1.5\n", true, int64(57), "refs/heads/main", "main", sha, int64(1), false, false)
	f.Add("0.0", false, int64(-1), "refs/tags/\xff", "", strings.Repeat("a", 64), int64(0), true, true)
	f.Fuzz(func(t *testing.T, base string, ci bool, n int64, ref, main, commit string, height int64, dirty, shallow bool) {
		out, err := version.Compute(version.In{Base: base, CI: ci, Counter: n, Ref: ref, Default: main, SHA: commit, Height: height, Dirty: dirty, Shallow: shallow})
		var e *version.Error
		switch {
		case err == nil && !version.Valid(out.Version):
			t.Errorf("%q", out.Version)
		case err != nil && !errors.As(err, &e):
			t.Errorf("%v has no code", err)
		case err == nil && out.Channel == version.Release && (!ci || dirty || main == ""):
			t.Errorf("%s is a release", out.Version)
		}
	})
}
