package version_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/version"
)

// home is a person's folder: git reads no configuration but what a test writes into it.
type home string

func (h home) lookup(name string) (string, bool) {
	switch name {
	case "HOME", "XDG_CONFIG_HOME":
		return string(h), true
	case "PATH":
		return os.LookupEnv("PATH")
	case "GIT_CONFIG_NOSYSTEM":
		return "1", true
	case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE":
		return "/nowhere", true // must not reach git
	}
	return "", false
}

// repo is a repository of a test.
type repo struct {
	t    *testing.T
	dir  string
	home home
}

// newRepo makes a repository with one commit on main.
func newRepo(t *testing.T) *repo {
	t.Helper()
	r := emptyRepo(t)
	r.write("VERSION", "1.5\n")
	r.write("main.c", "int main(void) { return 0; }\n")
	r.write(".gitignore", "*.o\n")
	r.commit("first")
	return r
}

func emptyRepo(t *testing.T) *repo {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r := &repo{t, dir, home(t.TempDir())}
	r.git("init", "--quiet", "--initial-branch=main")
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	path, _ := os.LookupEnv("PATH")
	cmd.Dir = r.dir
	cmd.Env = []string{"HOME=" + string(r.home), "PATH=" + path, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_ALLOW_PROTOCOL=file"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repo) write(name, text string) {
	r.t.Helper()
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *repo) commit(message string) {
	r.t.Helper()
	r.git("add", "--all")
	r.git("commit", "--quiet", "--allow-empty", "-m", message)
}

func (r *repo) read(change ...func(*version.Repository)) (version.Facts, error) {
	where := version.Repository{Dir: r.dir, Lookup: r.home.lookup}
	for _, c := range change {
		c(&where)
	}
	return where.Read(r.t.Context())
}

func (r *repo) facts(change ...func(*version.Repository)) version.Facts {
	r.t.Helper()
	f, err := r.read(change...)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func TestARepositorySaysWhatIsBuilt(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("second")
	r.git("tag", "v1.5.3")
	r.git("tag", "-a", "-m", "x", "nightly")
	f := r.facts()
	if f.Base != "1.5\n" || f.Ref != "refs/heads/main" || f.SHA != r.git("rev-parse", "HEAD") || f.Height != 2 || f.Dirty || f.Shallow || f.Default != "" || f.CI || f.Counter != 0 {
		t.Errorf("%+v", f)
	}
	if strings.Join(f.Tags, ",") != "nightly,v1.5.3" || f.Root != r.dir || f.File != "VERSION" {
		t.Errorf("%+v", f)
	}
	out, err := version.Compute(f.In)
	if err != nil || out.Version != "1.5.0-local.2.g"+f.SHA[:8] {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestTheDefaultBranchIsTheRemotes(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	clone := &repo{t, filepath.Join(t.TempDir(), "clone"), r.home}
	r.git("clone", "--quiet", r.dir, clone.dir)
	clone.git("checkout", "--quiet", "-b", "feature/x")
	if f := clone.facts(); f.Default != "main" || f.Ref != "refs/heads/feature/x" {
		t.Errorf("%+v", f)
	}
}

func TestADetachedHeadHasNoRef(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.git("checkout", "--quiet", "--detach")
	if f := r.facts(); f.Ref != "" || f.Height != 1 {
		t.Errorf("%+v", f)
	}
}

func TestAShallowCloneIsNoError(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.commit("second")
	clone := &repo{t, filepath.Join(t.TempDir(), "clone"), r.home}
	r.git("clone", "--quiet", "--depth=1", "file://"+r.dir, clone.dir)
	f := clone.facts()
	out, err := version.Compute(f.In)
	if !f.Shallow || err != nil || !strings.HasPrefix(out.Version, "1.5.0-local.0.g") {
		t.Errorf("%+v: %+v, %v", f, out, err)
	}
}

func TestAWorktreeHasABranchOfItsOwn(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	other := &repo{t, filepath.Join(t.TempDir(), "other"), r.home}
	r.git("worktree", "add", "--quiet", "-b", "topic", other.dir)
	other.write("VERSION", "1.6\n")
	if f := other.facts(); f.Ref != "refs/heads/topic" || !f.Dirty || f.Base != "1.6\n" {
		t.Errorf("%+v", f)
	}
	if f := r.facts(); f.Ref != "refs/heads/main" || f.Dirty {
		t.Errorf("%+v", f)
	}
}

func TestFilesThatAreNotTheCommitsMakeItDirty(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(r *repo)
		dirty  bool
	}{
		"nothing":              {func(*repo) {}, false},
		"the same again":       {func(r *repo) { r.write("main.c", "int main(void) { return 0; }\n") }, false},
		"changed":              {func(r *repo) { r.write("main.c", "x") }, true},
		"another version":      {func(r *repo) { r.write("VERSION", "1.6\n") }, true},
		"staged":               {func(r *repo) { r.write("main.c", "x"); r.git("add", "main.c") }, true},
		"gone":                 {func(r *repo) { r.git("rm", "--quiet", "--cached", "main.c") }, true},
		"a file git not knows": {func(r *repo) { r.write("new.c", "x") }, true},
		"an ignored file":      {func(r *repo) { r.write("main.o", "x") }, false},
		"ignored by the person": {func(r *repo) {
			if err := os.MkdirAll(filepath.Join(string(r.home), "git"), 0o755); err != nil {
				r.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(string(r.home), "git", "ignore"), []byte("*.swp\n"), 0o644); err != nil {
				r.t.Fatal(err)
			}
			r.write("a.swp", "x")
		}, false},
		"told not to look": {func(r *repo) {
			r.git("config", "status.showUntrackedFiles", "no")
			r.write("new.c", "x")
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			c.change(r)
			if f := r.facts(); f.Dirty != c.dirty {
				t.Errorf("dirty is %v", f.Dirty)
			}
		})
	}
}

func TestAVersionFileThatIsInNoCommitMakesItDirty(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.git("rm", "--quiet", "VERSION")
	r.write(".gitignore", "VERSION\n")
	r.commit("ignored")
	r.write("VERSION", "9.9\n")
	if f := r.facts(); !f.Dirty || f.Base != "9.9\n" {
		t.Errorf("%+v", f)
	}
}

func TestASubmodulesFilesCount(t *testing.T) {
	t.Parallel()
	inner, r := newRepo(t), newRepo(t)
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.dir, "lib")
	r.git("config", "-f", ".gitmodules", "submodule.lib.ignore", "all")
	r.commit("lib")
	if f := r.facts(); f.Dirty {
		t.Error("is dirty before anything was changed")
	}
	r.write("lib/main.c", "changed")
	if f := r.facts(); !f.Dirty {
		t.Error("a change in a submodule is not seen")
	}
	r.write("lib/main.c", "int main(void) { return 0; }\n")
	sub := &repo{t, filepath.Join(r.dir, "lib"), r.home}
	sub.commit("of its own")
	if f := r.facts(); !f.Dirty {
		t.Error("another commit of a submodule is not seen")
	}
}

func TestTheNearestVersionFileCounts(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write("products/a/VERSION", "2.0\n")
	r.write("products/a/src/main.c", "")
	r.write("products/b/main.c", "")
	r.write("products/b/version.txt", "3.1\n")
	r.commit("products")
	for _, c := range []struct{ dir, file, want, base string }{
		{"", "", "VERSION", "1.5\n"},
		{"products/a", "", "products/a/VERSION", "2.0\n"},
		{"products/a/src", "", "products/a/VERSION", "2.0\n"},
		{"products/b", "", "VERSION", "1.5\n"},
		{"products/b", "version.txt", "products/b/version.txt", "3.1\n"},
		{"products/b", "../a/VERSION", "products/a/VERSION", "2.0\n"},
		{"products/b", filepath.Join(r.dir, "VERSION"), "VERSION", "1.5\n"},
	} {
		f := r.facts(func(w *version.Repository) { w.Dir, w.File = filepath.Join(r.dir, c.dir), c.file })
		if f.File != c.want || f.Base != c.base || f.Dirty {
			t.Errorf("%+v: %+v", c, f)
		}
	}
}

func TestWhatCannotBeReadHasAReasonAndAHint(t *testing.T) {
	t.Parallel()
	in := func(dir string) func(*version.Repository) { return func(w *version.Repository) { w.Dir = dir } }
	named := func(file string) func(*version.Repository) { return func(w *version.Repository) { w.File = file } }
	none := func(*version.Repository) {}
	for want, c := range map[string]func(r *repo) func(*version.Repository){
		"is in no git repository":        func(*repo) func(*version.Repository) { return in(t.TempDir()) },
		"there is no /nowhere":           func(*repo) func(*version.Repository) { return in("/nowhere/x") },
		"is no folder":                   func(r *repo) func(*version.Repository) { return in(filepath.Join(r.dir, "VERSION")) },
		"not among its files":            func(r *repo) func(*version.Repository) { return in(filepath.Join(r.dir, ".git")) },
		"there is no file VERSION":       func(r *repo) func(*version.Repository) { r.git("rm", "--quiet", "VERSION"); return none },
		"there is no version file other": func(*repo) func(*version.Repository) { return named("other") },
		"is not in the repository":       func(*repo) func(*version.Repository) { return named("../VERSION") },
		"it has more than 4096 bytes":    func(r *repo) func(*version.Repository) { r.write("VERSION", strings.Repeat("1", 5000)); return none },
		"it is no regular file": func(r *repo) func(*version.Repository) {
			r.write("dir/x", "")
			return named("dir")
		},
		"the repository of": func(r *repo) func(*version.Repository) { r.write(".git/config", "[core\n"); return none },
		"cannot be read: ": func(r *repo) func(*version.Repository) { // a link that leads out
			outside := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(outside, []byte("7.7\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(outside, filepath.Join(r.dir, "linked")); err != nil {
				t.Fatal(err)
			}
			return named("linked")
		},
		"is in a repository, and not": func(r *repo) func(*version.Repository) {
			r.git("config", "core.worktree", filepath.Join(r.dir, "dir", "deeper"))
			r.write("dir/deeper/x", "")
			return none
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			_, err := r.read(c(r))
			if err == nil || !strings.Contains(err.Error(), want) || tasks.HintOf(err) == "" {
				t.Errorf("%v, hint %q", err, tasks.HintOf(err))
			}
		})
	}
}

func TestARepositoryWithoutACommitHasACode(t *testing.T) {
	t.Parallel()
	r := emptyRepo(t)
	r.write("VERSION", "1.5\n")
	_, err := r.read()
	var e *version.Error
	if !errors.As(err, &e) || e.Code != version.SHAMissing {
		t.Errorf("%v", err)
	}
}

func TestAnInterruptionEndsGit(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	reason := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	_, err := version.Repository{Dir: r.dir, Lookup: r.home.lookup}.Read(ctx)
	if !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
}

// Each of these runs a program of the repository's choice when git is asked without care.
func TestARepositoryRunsNothing(t *testing.T) {
	t.Parallel()
	for name, attack := range map[string]func(r *repo, touch string){
		"a filter": func(r *repo, touch string) {
			r.write(".gitattributes", "* filter=x\n")
			r.commit("attributes")
			r.git("config", "filter.x.clean", touch+"; cat")
			r.git("config", "filter.x.process", touch)
			r.git("config", "filter.x.required", "true")
		},
		"a filter with a strange name": func(r *repo, touch string) {
			r.write(".gitattributes", "* filter=a=b.c\n")
			r.commit("attributes")
			r.git("config", "filter.a=b.c.clean", touch+"; cat")
		},
		"a filter of an included file": func(r *repo, touch string) {
			r.write(".gitattributes", "* filter=x\n")
			r.write("config.inc", "[filter \"x\"]\n\tclean = \""+touch+"; cat\"\n")
			r.commit("attributes")
			r.git("config", "include.path", "../config.inc")
		},
		"a file system monitor": func(r *repo, touch string) { r.git("config", "core.fsmonitor", touch) },
		"hooks": func(r *repo, touch string) {
			for _, hook := range []string{"post-index-change", "reference-transaction", "post-checkout"} {
				r.hook(".git/hooks/"+hook, touch)
			}
		},
		"hooks elsewhere": func(r *repo, touch string) {
			r.hook("hooks/post-index-change", touch)
			r.commit("hooks")
			r.git("config", "core.hooksPath", "hooks")
		},
		"a pager and a difference": func(r *repo, touch string) {
			r.git("config", "core.pager", touch)
			r.git("config", "diff.external", touch)
			r.git("config", "pager.status", touch)
		},
		"an alias": func(r *repo, touch string) {
			r.git("config", "alias.status", "!"+touch)
		},
		"an object that a remote should give": func(r *repo, touch string) {
			r.git("config", "core.repositoryformatversion", "1")
			r.git("config", "extensions.partialClone", "origin")
			r.git("config", "remote.origin.url", "ext::sh -c "+strings.ReplaceAll(touch, " ", "% "))
			r.git("config", "remote.origin.promisor", "true")
			r.git("config", "protocol.ext.allow", "always")
			tree := r.git("rev-parse", "HEAD^{tree}")
			if err := os.Remove(filepath.Join(r.dir, ".git", "objects", tree[:2], tree[2:])); err != nil {
				r.t.Fatal(err)
			}
		},
		"a submodule's monitor and filter": func(r *repo, touch string) {
			inner := newRepo(r.t)
			inner.write(".gitattributes", "* filter=x\n")
			inner.commit("attributes")
			r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.dir, "lib")
			r.commit("lib")
			sub := &repo{r.t, filepath.Join(r.dir, "lib"), r.home}
			sub.git("config", "core.fsmonitor", touch)
			sub.git("config", "filter.x.clean", touch+"; cat")
			sub.write("main.c", "int main(void) { return 0; }\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			mark := filepath.Join(t.TempDir(), "mark")
			attack(r, "touch "+mark)
			r.write("main.c", "int main(void) { return 0; }\n") // the same, but git has to look
			_, err := r.read()
			if _, stat := os.Stat(mark); stat == nil {
				t.Errorf("the repository's program has run (%v)", err)
			}
		})
	}
}

func (r *repo) hook(name, command string) {
	r.write(name, "#!/bin/sh\n"+command+"\n")
	if err := os.Chmod(filepath.Join(r.dir, filepath.FromSlash(name)), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// What the person has set up is the person's: large files are told apart by a filter of theirs.
func TestThePersonsFilterIsKept(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	r.write(".gitattributes", "*.big filter=big\n")
	r.git("config", "--global", "filter.big.clean", "tr a-z A-Z")
	r.git("config", "filter.big.clean", "touch "+filepath.Join(t.TempDir(), "mark")+"; cat")
	r.git("config", "--unset", "filter.big.clean")
	r.write("x.big", "abc\n")
	r.commit("big")
	r.write("x.big", "abc\n")
	if f := r.facts(); f.Dirty {
		t.Error("is dirty without the filter")
	}
	r.git("config", "filter.big.clean", "false")
	r.write("x.big", "abc\n")
	if f := r.facts(); f.Dirty {
		t.Error("the repository's filter stands before the person's")
	}
}

func TestBranchNamesAreNothingButNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"$(touch${IFS}mark)", "`touch${IFS}mark`", "a;touch${IFS}mark", "a|b&c'd\"e", "--help", "-x", "été/日本", strings.Repeat("x/", 100) + "y", "a\u202eb"} {
		r := newRepo(t)
		r.git("update-ref", "--", "refs/heads/"+name, "HEAD")
		r.git("symbolic-ref", "HEAD", "refs/heads/"+name)
		f := r.facts()
		if f.Ref != "refs/heads/"+name || f.Dirty {
			t.Errorf("%q: %+v", name, f)
		}
		f.CI, f.Counter = true, 1
		if out, err := version.Compute(f.In); err != nil || !version.Valid(out.Version) {
			t.Errorf("%q: %+v, %v", name, out, err)
		}
	}
}
