package repository_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/builder/repository"
)

// TestMain is an agent of its own where a test asks for one that can be killed.
func TestMain(m *testing.M) {
	if dir, ok := os.LookupEnv("STINT_TEST_MIRRORS"); ok {
		address, _ := os.LookupEnv("STINT_TEST_URL")
		r := repository.New(repository.Options{Dir: dir, Allowed: []string{address}, Lookup: lookup, Credentials: credentials("s3cret")})
		if _, err := r.Resolve(context.Background(), address, "main"); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// mirrors gives the one mirror in a folder.
func mirrors(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.git"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

func (o *origin) sharing(dir string) *repository.Repositories {
	return repository.New(repository.Options{Dir: dir, Lookup: lookup, Allowed: []string{o.url}})
}

func TestWhatAKilledGitLeavesBehindIsClearedAway(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	o.resolve(o.sharing(dir), "main")
	m := mirrors(t, dir)
	second := o.commit("second")
	left := []string{"HEAD.lock", "config.lock", "packed-refs.lock", "shallow.lock", "refs/commits/" + second + ".lock", "objects/pack/tmp_pack_abc", "objects/pack/tmp_idx_abc", "objects/pack/pack-1.keep", "objects/ab/tmp_obj_abc"}
	for _, name := range left {
		path := filepath.Join(m, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("half"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(m+".new", 0o755); err != nil {
		t.Fatal(err)
	}
	if c := o.resolve(o.sharing(dir), "main"); c.SHA != second || c.Height != 2 {
		t.Errorf("%+v", c)
	}
	for _, name := range left {
		if _, err := os.Stat(filepath.Join(m, name)); err == nil {
			t.Errorf("%s is still there", name)
		}
	}
}

func TestADamagedMirrorIsFetchedAnew(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(t *testing.T, o *origin, m string){
		"no HEAD":          func(t *testing.T, _ *origin, m string) { remove(t, filepath.Join(m, "HEAD")) },
		"no configuration": func(t *testing.T, _ *origin, m string) { overwrite(t, filepath.Join(m, "config"), "[core\n") },
		"an empty ref": func(t *testing.T, o *origin, m string) {
			overwrite(t, filepath.Join(m, "refs", "commits", o.git("rev-parse", "HEAD")), "")
		},
		"no packs": func(t *testing.T, _ *origin, m string) {
			for _, f := range packs(t, m, "*") {
				remove(t, f)
			}
		},
		"half a pack": func(t *testing.T, _ *origin, m string) {
			for _, f := range packs(t, m, "*.pack") {
				info, err := os.Stat(f)
				if err == nil {
					err = os.Chmod(f, 0o644)
				}
				if err == nil {
					err = os.Truncate(f, info.Size()/2)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		},
		"a file with other bytes": func(t *testing.T, o *origin, m string) {
			// A well-made object of another content, under the name of the one that is asked for.
			pack, err := os.ReadFile(packs(t, m, "*.pack")[0])
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range packs(t, m, "*") {
				remove(t, f)
			}
			o.feed(string(pack), m, "unpack-objects", "-q")
			evil := o.feed("name: evil\n", m, "hash-object", "-w", "--stdin")
			good := o.git("rev-parse", "HEAD:stint.build.yaml")
			object := func(sha string) string { return filepath.Join(m, "objects", sha[:2], sha[2:]) }
			data, err := os.ReadFile(object(evil))
			if err != nil {
				t.Fatal(err)
			}
			remove(t, object(good))
			overwrite(t, object(good), string(data))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t)
			dir := t.TempDir()
			r := o.sharing(dir)
			c := o.resolve(r, "main")
			damage(t, o, mirrors(t, dir))
			if out, err := o.exported(r, c.SHA, repository.ExportOptions{}); err != nil || read(t, out, "stint.build.yaml") != "name: a\n" {
				t.Fatal(err)
			}
			if again := o.resolve(o.sharing(dir), "main"); again.SHA != c.SHA || again.Height != 1 {
				t.Errorf("%+v", again)
			}
		})
	}
}

func packs(t *testing.T, m, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(m, "objects", "pack", pattern))
	if err != nil || len(found) == 0 {
		t.Fatal(found, err)
	}
	return found
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// slow is a server in front of another one that stops in the middle of each pack, says so, and goes on when it is let.
type slow struct {
	*httptest.Server
	begun chan struct{}
	goOn  chan struct{}
}

func slowly(t *testing.T, behind string) *slow {
	t.Helper()
	to, err := url.Parse(behind)
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{begun: make(chan struct{}, 100), goOn: make(chan struct{})}
	proxy := httputil.NewSingleHostReverseProxy(to)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, req)
		for k, v := range answer.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(answer.Code)
		body := answer.Body.Bytes()
		if at := bytes.Index(body, []byte("PACK")); at >= 0 {
			_, _ = w.Write(body[:at+len("PACK")+(len(body)-at)/2])
			_ = http.NewResponseController(w).Flush()
			s.begun <- struct{}{}
			select {
			case <-s.goOn:
			case <-req.Context().Done():
				return
			}
			body = body[at+len("PACK")+(len(body)-at)/2:]
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAnAgentThatIsKilledInTheMiddleOfAFetchHarmsNobody(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the lock is not handed to git there")
	}
	o := newOrigin(t)
	for i := range 20 {
		o.write("file"+strconv.Itoa(i), strings.Repeat(strconv.Itoa(i*i*7919), 3000))
	}
	second := o.commit("much")
	s := slowly(t, o.serve().URL)
	o.url = s.URL + "/a.git"
	dir := t.TempDir()
	for range 3 {
		killed := exec.Command(os.Args[0])
		killed.Env = append(os.Environ(), "STINT_TEST_MIRRORS="+dir, "STINT_TEST_URL="+o.url)
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		<-s.begun
		if err := killed.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = killed.Wait() // killed
		s.CloseClientConnections()
	}
	// Of the next one git lives on, and holds the lock until it has ended: nobody fetches beside it.
	killed := exec.Command(os.Args[0])
	killed.Env = append(os.Environ(), "STINT_TEST_MIRRORS="+dir, "STINT_TEST_URL="+o.url)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	<-s.begun
	if err := killed.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = killed.Wait()
	r := repository.New(repository.Options{Dir: dir, Lookup: lookup, Allowed: []string{o.url}, Credentials: credentials("s3cret")})
	got := make(chan repository.Commit, 1)
	go func() {
		c, err := r.Resolve(t.Context(), o.url, "main")
		if err != nil {
			t.Error(err)
		}
		got <- c
	}()
	select {
	case <-s.begun:
		t.Error("two fetch at once")
	case <-time.After(500 * time.Millisecond):
	}
	close(s.goOn)
	if c := <-got; c.SHA != second || c.Height != 2 {
		t.Errorf("%+v", c)
	}
	if out, err := o.exported(r, second, repository.ExportOptions{}); err != nil || read(t, out, "file3") != strings.Repeat(strconv.Itoa(9*7919), 3000) {
		t.Error(err)
	}
	if half, _ := filepath.Glob(filepath.Join(mirrors(t, dir), "objects", "pack", "tmp_*")); len(half) != 0 {
		t.Error(half)
	}
}

func TestManyAgentsShareAMirror(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 8 {
		r := o.sharing(dir)
		all.Go(func() {
			for range 3 {
				c, err := r.Resolve(t.Context(), o.url, "main")
				if err == nil {
					err = r.Export(t.Context(), o.url, c.SHA, filepath.Join(t.TempDir(), "out"), repository.ExportOptions{})
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func TestAMirrorOfManyFetchesStaysSmall(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	r := o.sharing(dir)
	for i := range 24 {
		o.write("n", strconv.Itoa(i))
		o.commit("next")
		o.resolve(r, "main")
	}
	if found := packs(t, mirrors(t, dir), "*.pack"); len(found) > 22 {
		t.Errorf("%d packs", len(found))
	}
	if c := o.resolve(r, "main"); c.Height != 25 {
		t.Errorf("%+v", c)
	}
}

func TestAServerThatGivesNoCommitByItsNameGivesItsBranches(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	first := o.git("rev-parse", "HEAD")
	second := o.commit("second")
	s := o.serve()
	// Without the header of protocol 2 the server speaks the oldest one, in which only tips of branches are given.
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Header.Del("Git-Protocol")
		proxy.ServeHTTP(w, req)
	}))
	t.Cleanup(old.Close)
	o.url = old.URL + "/a.git"
	agent := func() *repository.Repositories {
		return repository.New(repository.Options{Dir: t.TempDir(), Lookup: lookup, Allowed: []string{o.url}, Credentials: credentials("s3cret")})
	}
	for ref, want := range map[string]string{"main": second, first: first} {
		r := agent()
		if c := o.resolve(r, ref); c.SHA != want {
			t.Errorf("%+v", c)
		}
	}
	if _, err := o.exported(agent(), first, repository.ExportOptions{}); err != nil {
		t.Error(err)
	}
	_, err = o.exported(agent(), strings.Repeat("ab", 20), repository.ExportOptions{})
	hinted(t, err, "no commit")
}
