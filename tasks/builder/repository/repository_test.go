package repository_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/repository"
)

// origin is a bare repository that a test builds from, and a working tree to fill it.
type origin struct {
	t          *testing.T
	bare, tree string
	url        string
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{t: t, bare: filepath.Join(dir, "git", "a.git"), tree: filepath.Join(dir, "tree")}
	o.url = "file://" + filepath.ToSlash(o.bare)
	for _, d := range []string{o.bare, o.tree} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	o.in(o.bare, "init", "--quiet", "--bare", "--initial-branch=main")
	o.git("init", "--quiet", "--initial-branch=main")
	o.git("remote", "add", "origin", o.bare)
	o.write("stint.build.yaml", "name: a\n")
	o.write("src/main.c", "int main(void) { return 0; }\n")
	o.commit("first")
	return o
}

func (o *origin) git(args ...string) string { o.t.Helper(); return o.in(o.tree, args...) }

func (o *origin) in(dir string, args ...string) string {
	o.t.Helper()
	return o.feed("", dir, args...)
}

func (o *origin) feed(in, dir string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	path, _ := os.LookupEnv("PATH")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(in)
	cmd.Env = []string{"HOME=" + o.t.TempDir(), "PATH=" + path, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z", "GIT_ALLOW_PROTOCOL=file"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (o *origin) write(name, text string) {
	o.t.Helper()
	path := filepath.Join(o.tree, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		o.t.Fatal(err)
	}
}

// commit commits all there is, and pushes the branch.
func (o *origin) commit(message string) string {
	o.t.Helper()
	o.git("add", "--all", "--force")
	o.git("commit", "--quiet", "--allow-empty", "-m", message)
	o.git("push", "--quiet", "--force", "origin", "HEAD")
	return o.git("rev-parse", "HEAD")
}

// crafted makes a commit of a tree that git itself would not make: lines as git mktree takes them.
func (o *origin) crafted(lines string) string {
	o.t.Helper()
	tree := o.feed(lines, o.bare, "mktree")
	sha := o.in(o.bare, "commit-tree", "-m", "x", tree)
	o.in(o.bare, "update-ref", "refs/heads/crafted", sha)
	return sha
}

func (o *origin) blob(text string) string {
	o.t.Helper()
	return o.feed(text, o.bare, "hash-object", "-w", "--stdin")
}

func lookup(name string) (string, bool) {
	switch name {
	case "PATH", "TMPDIR":
		return os.LookupEnv(name)
	case "GIT_DIR", "HOME", "GIT_CONFIG_GLOBAL", "GIT_ASKPASS":
		return "/nowhere", true // must not reach git
	}
	return "", false
}

// agent makes the repositories of an agent that may build all that lies beside the origin.
func (o *origin) agent(more ...string) *repository.Repositories {
	return repository.New(repository.Options{Dir: o.t.TempDir(), Lookup: lookup,
		Allowed: append(more, "file://"+filepath.ToSlash(filepath.Dir(o.bare))+"/*")})
}

func (o *origin) resolve(r *repository.Repositories, ref string) repository.Commit {
	o.t.Helper()
	c, err := r.Resolve(o.t.Context(), o.url, ref)
	if err != nil {
		o.t.Fatal(err)
	}
	return c
}

// exported writes a commit out, and gives the folder.
func (o *origin) exported(r *repository.Repositories, sha string, options repository.ExportOptions) (string, error) {
	dir := filepath.Join(o.t.TempDir(), "out")
	return dir, r.Export(o.t.Context(), o.url, sha, dir, options)
}

// hinted fails where an error is none, or tells a person nothing.
func hinted(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: says nothing of %q", err, w)
		}
	}
	if tasks.HintOf(err) == "" {
		t.Errorf("%v: has no hint", err)
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestANameIsResolvedByTheRemote(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := o.git("rev-parse", "HEAD")
	second := o.commit("second")
	o.git("tag", "v1", first)
	o.git("tag", "-a", "-m", "x", "nested", "HEAD")
	o.git("tag", "-a", "-m", "x", "annotated", "nested")
	o.git("push", "--quiet", "origin", "--tags", "HEAD:refs/heads/feature/x", first+":refs/pull/42/head")
	r := o.agent()
	for ref, want := range map[string]repository.Commit{
		"":                     {SHA: second, Ref: "refs/heads/main", Height: 2, Tags: []string{"annotated", "nested"}},
		"HEAD":                 {SHA: second, Ref: "refs/heads/main", Height: 2, Tags: []string{"annotated", "nested"}},
		"main":                 {SHA: second, Ref: "refs/heads/main", Height: 2, Tags: []string{"annotated", "nested"}},
		"feature/x":            {SHA: second, Ref: "refs/heads/feature/x", Height: 2, Tags: []string{"annotated", "nested"}},
		"refs/heads/feature/x": {SHA: second, Ref: "refs/heads/feature/x", Height: 2, Tags: []string{"annotated", "nested"}},
		"v1":                   {SHA: first, Ref: "refs/tags/v1", Height: 1, Tags: []string{"v1"}},
		"refs/tags/annotated":  {SHA: second, Ref: "refs/tags/annotated", Height: 2, Tags: []string{"annotated", "nested"}},
		"refs/pull/42/head":    {SHA: first, Ref: "refs/pull/42/head", Height: 1, Tags: []string{"v1"}},
		first:                  {SHA: first, Height: 1, Tags: []string{"v1"}},
	} {
		got := o.resolve(r, ref)
		if got.SHA != want.SHA || got.Ref != want.Ref || got.Height != want.Height || got.Default != "main" || !slices.Equal(got.Tags, want.Tags) || !got.Time.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
			t.Errorf("%q: %+v", ref, got)
		}
	}
}

func TestANameThatIsNotThereOrTwiceIsSaidSo(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.git("tag", "both")
	o.git("push", "--quiet", "origin", "refs/tags/both", "HEAD:refs/heads/both")
	r := o.agent()
	_, err := r.Resolve(t.Context(), o.url, "missing")
	hinted(t, err, "missing")
	if !errors.Is(err, repository.ErrNotFound) {
		t.Error(err)
	}
	_, err = r.Resolve(t.Context(), o.url, "both")
	hinted(t, err, "branch and a tag")
	_, err = r.Resolve(t.Context(), o.url, strings.Repeat("ab", 20))
	hinted(t, err, "no commit")
	_, err = r.Resolve(t.Context(), o.url+"x", "main")
	hinted(t, err, "no repository")
}

func TestABranchCalledLikeACommitIsNotTheCommit(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := o.git("rev-parse", "HEAD")
	o.commit("second")
	o.git("push", "--quiet", "origin", "HEAD:refs/heads/"+first)
	if c := o.resolve(o.agent(), first); c.SHA != first || c.Ref != "" {
		t.Errorf("%+v", c)
	}
}

func TestACommitOfABranchMustBeOnIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := o.git("rev-parse", "HEAD")
	o.commit("second")
	r := o.agent()
	c, err := r.ResolveAt(t.Context(), o.url, "main", first)
	if err != nil || c.SHA != first || c.Ref != "refs/heads/main" || c.Height != 1 {
		t.Errorf("%+v, %v", c, err)
	}
	o.git("checkout", "--quiet", "-b", "evil")
	evil := o.commit("evil")
	for _, known := range []bool{false, true} { // whether the mirror has it or not
		_, err = r.ResolveAt(t.Context(), o.url, "main", evil)
		hinted(t, err, "is not on refs/heads/main")
		if !known {
			o.resolve(r, "evil")
		}
	}
}

func TestTheFilesOfACommitAreWrittenAsTheyAre(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.write("a\nb -x $(touch pwned)", "odd\r\n")
	o.write(".gitattributes", "* text=auto eol=crlf\n*.lfs filter=lfs\n*.id ident export-subst export-ignore\n")
	o.write("big.lfs", "version https://git-lfs.github.com/spec/v1\n")
	o.write("x.id", "$Id$ $Format:%H$\n")
	o.write("run.sh", "#!/bin/sh\n")
	if err := os.Chmod(filepath.Join(o.tree, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../src/main.c", filepath.Join(o.tree, "src", "link")); err != nil {
		t.Fatal(err)
	}
	sha := o.commit("all kinds")
	dir, err := o.exported(o.agent(), sha, repository.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	count := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		count++
		info, err := d.Info()
		if info.Mode()&fs.ModeSymlink == 0 && !info.ModTime().Equal(when) {
			t.Errorf("%s is of %s", path, info.ModTime())
		}
		want := fs.FileMode(0o644)
		if d.IsDir() || d.Name() == "run.sh" {
			want = 0o755
		}
		if info.Mode()&fs.ModeSymlink == 0 && info.Mode().Perm() != want {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil || count != 10 {
		t.Errorf("%d, %v", count, err)
	}
	// What stands in the commit, which is not always what was in the tree.
	for name, want := range map[string]string{"x.id": "$Id$ $Format:%H$\n", "big.lfs": "version https://git-lfs.github.com/spec/v1\n", "src/link": "int main(void) { return 0; }\n", "a\nb -x $(touch pwned)": o.git("cat-file", "blob", "HEAD:a\nb -x $(touch pwned)") + "\n"} {
		if got := read(t, dir, filepath.FromSlash(name)); got != want {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func TestAFileIsReadFromTheCommit(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.write("big", strings.Repeat("x", 5<<20))
	sha := o.commit("big")
	r := o.agent()
	data, err := r.ReadFile(t.Context(), o.url, sha, "src/main.c")
	if err != nil || string(data) != "int main(void) { return 0; }\n" {
		t.Errorf("%q, %v", data, err)
	}
	for _, missing := range []string{"missing", "src/missing", "src/main.c/x", "missing/x"} {
		if _, err := r.ReadFile(t.Context(), o.url, sha, missing); !errors.Is(err, repository.ErrNotFound) {
			t.Errorf("%s: %v", missing, err)
		}
	}
	for _, bad := range []string{"big", "src", "../x", "/etc/passwd", "src/../src/main.c", ""} {
		_, err := r.ReadFile(t.Context(), o.url, sha, bad)
		hinted(t, err)
	}
	_, err = r.ReadFile(t.Context(), o.url, "main", "src/main.c")
	hinted(t, err, "full name")
}

func TestAnExportNeedsNoRemoteWhenTheCommitIsThere(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	r := o.agent()
	sha := o.resolve(r, "main").SHA
	if err := os.RemoveAll(o.bare); err != nil {
		t.Fatal(err)
	}
	if dir, err := o.exported(r, sha, repository.ExportOptions{}); err != nil || read(t, dir, "stint.build.yaml") != "name: a\n" {
		t.Error(err)
	}
}

func TestABranchThatVanishesBetweenResolveAndExportIsExported(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.git("checkout", "--quiet", "-b", "short")
	sha := o.commit("short")
	first := o.agent()
	o.resolve(first, "short")
	o.in(o.bare, "update-ref", "-d", "refs/heads/short")
	if _, err := o.exported(first, sha, repository.ExportOptions{}); err != nil {
		t.Error(err)
	}
	o.in(o.bare, "gc", "--quiet", "--prune=now")
	_, err := o.exported(o.agent(), sha, repository.ExportOptions{}) // another agent, which never had it
	hinted(t, err, "no commit "+sha)
}

func TestAnExportIsThereWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	r := o.agent()
	sha := o.resolve(r, "").SHA
	for _, limits := range []repository.ExportOptions{{MaxBytes: 10}, {MaxFiles: 2}} {
		dir, err := o.exported(r, sha, limits)
		hinted(t, err, "more than")
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
			t.Error(left)
		}
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	hinted(t, r.Export(t.Context(), o.url, sha, full, repository.ExportOptions{}), "cannot be written")
	half := filepath.Join(t.TempDir(), "out")
	if err := os.MkdirAll(half+".part/old", 0o755); err != nil { // of one that was killed
		t.Fatal(err)
	}
	if err := r.Export(t.Context(), o.url, sha, half, repository.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(half); len(left) != 2 {
		t.Error(left)
	}
}
