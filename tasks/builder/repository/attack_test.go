package repository_test

import (
	"errors"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/builder/repository"
)

// trap is a program that leaves a file where it is run.
func trap(t *testing.T) (program, sprung string) {
	t.Helper()
	dir := t.TempDir()
	program, sprung = filepath.Join(dir, "trap"), filepath.Join(dir, "sprung")
	if err := os.WriteFile(program, []byte("#!/bin/sh\ntouch '"+sprung+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return program, sprung
}

func quiet(t *testing.T, sprung string) {
	t.Helper()
	if _, err := os.Lstat(sprung); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was run: %v", err)
	}
}

func TestWhatAShellWouldRunIsANameOfABranchOrATag(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	sha := o.git("rev-parse", "HEAD")
	r := o.agent()
	_, sprung := trap(t)
	for _, name := range []string{"$(touch${IFS}" + sprung + ")", "`touch${IFS}" + sprung + "`", "a;touch${IFS}" + sprung, "a&&touch${IFS}" + sprung, "a|id", "a'b", `a"b`, "x--upload-pack=y", "ünï"} {
		o.in(o.bare, "update-ref", "refs/heads/"+name, sha)
		o.in(o.bare, "update-ref", "refs/tags/t"+name, sha)
		if c := o.resolve(r, name); c.SHA != sha || c.Ref != "refs/heads/"+name {
			t.Errorf("%q: %+v", name, c)
		}
		if c := o.resolve(r, "refs/tags/t"+name); c.SHA != sha {
			t.Errorf("%q: %+v", name, c)
		}
		if already, err := r.Tag(t.Context(), o.url, sha, "new-"+name, name, time.Unix(1, 0)); already || err != nil {
			t.Errorf("%q: %v, %v", name, already, err)
		}
	}
	quiet(t, sprung)
}

func TestAnOptionOrALineBreakIsNoName(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	r := o.agent()
	sha := o.resolve(r, "").SHA
	_, sprung := trap(t)
	for _, bad := range []string{"-", "--upload-pack=touch " + sprung, "--upload-pack=touch${IFS}" + sprung, "-x", "a\nb", "a\x00b", "a b", "a..b", "a~1", "a^", "a:b", "a?", "a*", "[a]", `a\b`, "@", "a@{1}", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.", strings.Repeat("a", 2000)} {
		_, err := r.Resolve(t.Context(), o.url, bad)
		hinted(t, err)
		_, err = r.ResolveAt(t.Context(), o.url, bad, sha)
		hinted(t, err)
		_, err = r.Tag(t.Context(), o.url, sha, bad, "x", time.Unix(1, 0))
		hinted(t, err)
	}
	for _, bad := range []string{"--upload-pack=touch " + sprung, "main", "HEAD", sha[:39], sha + "^", strings.ToUpper(sha), sha + "\n"} {
		_, err := o.exported(r, bad, repository.ExportOptions{})
		hinted(t, err)
		_, err = r.ReadFile(t.Context(), o.url, bad, "VERSION")
		hinted(t, err)
		_, err = r.Tag(t.Context(), o.url, bad, "v1", "x", time.Unix(1, 0))
		hinted(t, err)
	}
	quiet(t, sprung)
}

func TestARepositoryOutsideOfTheListIsRefusedEverywhere(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	_, sprung := trap(t)
	r := o.agent("https://git.example.com/products/*")
	sha := strings.Repeat("ab", 20)
	for _, bad := range []string{
		"ext::sh -c touch% " + sprung, "ext::" + sprung, "--upload-pack=" + sprung, o.bare, "file://" + o.tree, o.url + "/../../tree", o.url + "/..", "file://localhost" + o.bare,
		"https://git.example.com@evil.example/products/a", "https://git.example.com:x@evil.example/products/a", "https://user:s3cret@git.example.com/products/a",
		"https://git.example.com/products/../other/a", "https://git.example.com/products/%2e%2e/a", "https://git.example.com/products%2fa", "https://git.example.com/products/a%2f..%2fb",
		"https://git.example.com./products/a", "https://git.example.com.evil.example/products/a", "https://git.example.com:8443/products/a", "https://git.example.com/Products/a",
		"http://git.example.com/products/a", "ssh://git@git.example.com/products/a", "git@git.example.com:products/a", "https://git.example.com\\@evil.example/products/a", "",
	} {
		calls := []error{r.Check(bad), r.Export(t.Context(), bad, sha, t.TempDir(), repository.ExportOptions{})}
		_, err := r.Resolve(t.Context(), bad, "main")
		calls = append(calls, err)
		_, err = r.ResolveAt(t.Context(), bad, "main", sha)
		calls = append(calls, err)
		_, err = r.ReadFile(t.Context(), bad, sha, "VERSION")
		calls = append(calls, err)
		_, err = r.Tag(t.Context(), bad, sha, "v1", "x", time.Unix(1, 0))
		for _, err := range append(calls, err) {
			hinted(t, err)
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Error(err)
			}
		}
	}
	if r := repository.New(repository.Options{Dir: t.TempDir(), Lookup: lookup}); r.Check(o.url) == nil {
		t.Error("no list allows something")
	}
	if r := repository.New(repository.Options{Dir: t.TempDir(), Lookup: lookup, Allowed: []string{"file:///**", "https://*"}}); r.Check(o.url) == nil {
		t.Error("a list that cannot be read allows something")
	}
	quiet(t, sprung)
}

func TestNothingRunsThatARepositoryNames(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	program, sprung := trap(t)
	o.write(".gitattributes", "* filter=x diff=x merge=x text\n*.c ident export-subst\n")
	o.write(".gitconfig", "[core]\n\tfsmonitor = "+program+"\n")
	sha := o.commit("attributes")
	for key, value := range map[string]string{"core.fsmonitor": program, "core.hooksPath": filepath.Join(o.bare, "hooks"), "core.alternateRefsCommand": program, "core.sshCommand": program, "core.pager": program, "core.editor": program,
		"filter.x.clean": program, "filter.x.smudge": program, "filter.x.process": program, "filter.x.required": "true", "diff.x.textconv": program, "diff.external": program,
		"uploadpack.packObjectsHook": program, "credential.helper": "!" + program, "core.askPass": program, "gc.recentObjectsHook": program, "core.gitProxy": program, "receive.procReceiveRefs": "refs/", "gc.auto": "1", "gpg.program": program} {
		o.in(o.bare, "config", key, value)
	}
	other := newOrigin(t)
	if err := os.MkdirAll(filepath.Join(o.bare, "objects", "info"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(o.bare, "objects", "info", "alternates"), []byte(filepath.Join(other.bare, "objects")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(o.bare, "hooks"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, hook := range []string{"pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive", "pre-push", "post-checkout", "pre-auto-gc", "fsmonitor-watchman", "post-index-change"} {
		if err := os.WriteFile(filepath.Join(o.bare, "hooks", hook), []byte(read(t, program)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := o.agent()
	c := o.resolve(r, "main")
	if _, err := o.exported(r, sha, repository.ExportOptions{Submodules: true}); err != nil {
		t.Error(err)
	}
	// proc-receive is asked for by the configuration: without it the tag is refused, and nothing is run.
	if _, err := r.Tag(t.Context(), o.url, c.SHA, "v1", "x", c.Time); err == nil {
		t.Error("tagged")
	}
	o.in(o.bare, "config", "--unset", "receive.procReceiveRefs")
	if _, err := r.Tag(t.Context(), o.url, c.SHA, "v1", "x", c.Time); err != nil {
		t.Error(err)
	}
	quiet(t, sprung)
}

func TestALinkThatLeadsOutOfTheRepositoryIsNamed(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]string{"absolute": "/etc/passwd", "up": "../../x", "sly": "src/back/.."} {
		o := newOrigin(t)
		if err := os.Symlink("..", filepath.Join(o.tree, "src", "back")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(o.tree, name)); err != nil {
			t.Fatal(err)
		}
		dir, err := o.exported(o.agent(), o.commit("link"), repository.ExportOptions{})
		hinted(t, err, name, target, "out of")
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
			t.Errorf("%s: %v", name, left)
		}
	}
}

func TestATreeThatGitWouldNotMakeIsNotWritten(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	blob, up := o.blob("x"), o.blob("..")
	out := o.blob("../outside")
	inner := o.feed("100644 blob "+blob+"\tescaped\n", o.bare, "mktree")
	for name, lines := range map[string]string{
		"a folder .git":          "040000 tree " + inner + "\t.git\n",
		"in capital letters":     "040000 tree " + inner + "\t.GIT\n",
		"for Windows":            "040000 tree " + inner + "\tgit~1\n",
		"for Windows, with dots": "040000 tree " + inner + "\t.git. .\n",
		"for macOS":              "040000 tree " + inner + "\t.g\u200cit\n",
		"upwards":                "040000 tree " + inner + "\t..\n",
		"here":                   "100644 blob " + blob + "\t.\n",
		"a file twice":           "100644 blob " + blob + "\ta\n100644 blob " + blob + "\ta\n",
		"a link and a folder":    "120000 blob " + up + "\ta\n040000 tree " + inner + "\ta\n",
		"a link and a file":      "120000 blob " + out + "\ta\n100644 blob " + blob + "\ta\n",
	} {
		sha := o.crafted(lines)
		dir, err := o.exported(o.agent(), sha, repository.ExportOptions{})
		if err == nil {
			t.Errorf("%s: written", name)
		}
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
			t.Errorf("%s: %v", name, left)
		}
	}
}

func TestATreeBombEndsAtTheLimit(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	tree := o.feed("", o.bare, "mktree")
	for range 8 { // ten to the eighth folders
		var lines strings.Builder
		for i := range 10 {
			lines.WriteString("040000 tree " + tree + "\t" + string(rune('a'+i)) + "\n")
		}
		tree = o.feed(lines.String(), o.bare, "mktree")
	}
	_, err := o.exported(o.agent(), o.crafted("040000 tree "+tree+"\tx\n"), repository.ExportOptions{MaxFiles: 500})
	hinted(t, err, "more than 500 files")
}

// withModule commits a submodule without fetching it.
func (o *origin) withModule(modules, path, sha string) string {
	o.t.Helper()
	o.write(".gitmodules", modules)
	o.git("add", ".gitmodules")
	o.git("update-index", "--add", "--cacheinfo", "160000,"+sha+","+path)
	o.git("commit", "--quiet", "-m", "module")
	o.git("push", "--quiet", "--force", "origin", "HEAD")
	return o.git("rev-parse", "HEAD")
}

// beside makes a second origin a neighbour of the first.
func (o *origin) beside(other *origin, name string) {
	o.t.Helper()
	if err := os.Rename(other.bare, filepath.Join(filepath.Dir(o.bare), name)); err != nil {
		o.t.Fatal(err)
	}
}

func TestSubmodulesAreWrittenWhereTheyAreAllowed(t *testing.T) {
	t.Parallel()
	o, lib := newOrigin(t), newOrigin(t)
	lib.write("lib.h", "#define LIB\n")
	inner := lib.commit("lib")
	o.beside(lib, "lib.git")
	sha := o.withModule("[submodule \"../../evil\"]\n\tpath = third/lib\n\turl = ../lib.git\n\tupdate = !touch pwned\n", "third/lib", inner)
	r := o.agent()
	dir, err := o.exported(r, sha, repository.ExportOptions{Submodules: true})
	if err != nil || read(t, dir, "third", "lib", "lib.h") != "#define LIB\n" {
		t.Fatal(err)
	}
	dir, err = o.exported(r, sha, repository.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "third", "lib")); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

func TestASubmoduleFromElsewhereIsRefused(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	_, sprung := trap(t)
	some := strings.Repeat("ab", 20)
	for name, url := range map[string]string{
		"a folder of the agent":      "file:///etc",
		"a path of the agent":        "/etc",
		"outside of the list":        "https://evil.example/a",
		"a command":                  "ext::sh -c touch% " + sprung,
		"an option":                  "--upload-pack=touch " + sprung,
		"a relative one that climbs": "../../../../../../../../../../../../etc",
		"beside the list":            "../../other.git",
		"with a line break":          "\"https://a\\nb\"",
		"with a password":            "https://user:s3cret@git.example.com/a",
		"over ssh":                   "git@evil.example:a/b",
		"no address":                 "\"\"",
	} {
		sha := o.withModule("[submodule \"x\"]\n\tpath = x\n\turl = "+url+"\n", "x", some)
		dir, err := o.exported(o.agent(), sha, repository.ExportOptions{Submodules: true})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
			t.Errorf("%s: %v", name, left)
		}
	}
	quiet(t, sprung)
}

func TestASubmoduleBehindALinkIsNotWrittenThroughIt(t *testing.T) {
	t.Parallel()
	o, lib := newOrigin(t), newOrigin(t)
	sha := lib.git("rev-parse", "HEAD")
	o.beside(lib, "lib.git")
	modules := o.blob("[submodule \"x\"]\n\tpath = a/x\n\turl = ../lib.git\n")
	up := o.blob("..")
	inner := o.feed("160000 commit "+sha+"\tx\n", o.bare, "mktree", "--missing")
	crafted := o.crafted("100644 blob " + modules + "\t.gitmodules\n120000 blob " + up + "\ta\n040000 tree " + inner + "\ta\n")
	dir, err := o.exported(o.agent(), crafted, repository.ExportOptions{Submodules: true})
	if err == nil {
		t.Error("written")
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
		t.Error(left)
	}
}

func TestATagIsTheSameObjectWhoeverSetsIt(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	agents := []*repository.Repositories{o.agent(), o.agent(), o.agent()}
	c := o.resolve(agents[0], "main")
	var all sync.WaitGroup
	for _, r := range agents {
		all.Go(func() {
			if _, err := r.Tag(t.Context(), o.url, c.SHA, "v1.5.1", "stint build 1.5.1", c.Time); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	want := "object " + c.SHA + "\ntype commit\ntag v1.5.1\ntagger stint <stint@localhost> 1767323045 +0000\n\nstint build 1.5.1"
	if got := o.in(o.bare, "cat-file", "tag", "v1.5.1"); got != want {
		t.Errorf("%q", got)
	}
	if c := o.resolve(agents[0], "v1.5.1"); len(c.Tags) != 1 || c.Tags[0] != "v1.5.1" {
		t.Errorf("%+v", c)
	}
}

func TestATagThatSomebodyElseSetsInTheSameMomentStays(t *testing.T) {
	t.Parallel()
	for _, moment := range []string{"GET", "POST"} { // before the agent hears which tags there are, and after it
		for _, same := range []bool{true, false} {
			o := newOrigin(t)
			first := o.git("rev-parse", "HEAD")
			second := o.commit("second")
			theirs := first
			if same {
				theirs = second
			}
			to, err := url.Parse(o.serve().URL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := httputil.NewSingleHostReverseProxy(to)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == moment && strings.Contains(req.URL.String(), "git-receive-pack") {
					if there, _ := filepath.Glob(filepath.Join(o.bare, "refs", "tags", "v1")); len(there) == 0 {
						o.in(o.bare, "update-ref", "refs/tags/v1", theirs)
					}
				}
				proxy.ServeHTTP(w, req)
			}))
			t.Cleanup(front.Close)
			r := repository.New(repository.Options{Dir: t.TempDir(), Allowed: []string{front.URL + "/*"}, Lookup: lookup, Credentials: credentials("s3cret")})
			already, err := r.Tag(t.Context(), front.URL+"/a.git", second, "v1", "x", time.Unix(1, 0))
			var moved *repository.Moved
			if same && (!already || err != nil) || !same && !errors.As(err, &moved) {
				t.Errorf("%s, %v: %v, %v", moment, same, already, err)
			}
			if got := o.in(o.bare, "rev-parse", "v1"); got != theirs {
				t.Errorf("%s, %v: it was moved to %s", moment, same, got)
			}
		}
	}
}

func TestATagOnAnotherCommitStaysThere(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := o.git("rev-parse", "HEAD")
	second := o.commit("second")
	o.in(o.bare, "tag", "plain", first)
	o.in(o.bare, "tag", "-a", "-m", "x", "annotated", first)
	r := o.agent()
	for _, name := range []string{"plain", "annotated"} {
		if already, err := r.Tag(t.Context(), o.url, first, name, "x", time.Unix(1, 0)); !already || err != nil {
			t.Errorf("%s: %v, %v", name, already, err)
		}
		_, err := r.Tag(t.Context(), o.url, second, name, "x", time.Unix(1, 0))
		hinted(t, err, first, second, name)
		var moved *repository.Moved
		if !errors.As(err, &moved) || moved.Has != first || moved.Want != second || moved.Name != name {
			t.Errorf("%s: %v", name, err)
		}
		if got := o.in(o.bare, "rev-parse", name+"^{commit}"); got != first {
			t.Errorf("%s was moved to %s", name, got)
		}
	}
}

func TestATagThatIsMovedMeanwhileChangesNoExport(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	o.in(o.bare, "tag", "v1", "main")
	r := o.agent()
	c := o.resolve(r, "v1")
	o.write("stint.build.yaml", "name: evil\n")
	o.in(o.bare, "tag", "--force", "v1", o.commit("evil"))
	for _, agent := range []*repository.Repositories{r, o.agent()} {
		if dir, err := o.exported(agent, c.SHA, repository.ExportOptions{}); err != nil || read(t, dir, "stint.build.yaml") != "name: a\n" {
			t.Error(err)
		}
	}
}
