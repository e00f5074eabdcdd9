package repository_test

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stint-run/stint/tasks/builder/repository"
)

// server is git over http with a password.
type server struct {
	*httptest.Server
	asked atomic.Int64
}

func (o *origin) serve() *server {
	o.t.Helper()
	o.in(o.bare, "config", "http.receivepack", "true")
	program, err := exec.LookPath("git")
	if err != nil {
		o.t.Fatal(err)
	}
	path, _ := os.LookupEnv("PATH")
	backend := &cgi.Handler{Path: program, Args: []string{"http-backend"}, Env: []string{"PATH=" + path, "GIT_PROJECT_ROOT=" + filepath.Dir(o.bare), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_NOSYSTEM=1", "HOME=" + o.t.TempDir()}}
	s := &server{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.asked.Add(1)
		if user, password, _ := req.BasicAuth(); user != "agent" || password != "s3cret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, req)
	}))
	o.t.Cleanup(s.Close)
	return s
}

func credentials(password string) func(string) (string, string, bool) {
	return func(string) (string, string, bool) { return "agent", password, true }
}

func TestAServerWithAPasswordIsFetchedFromAndTagged(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := o.serve()
	o.url = s.URL + "/a.git"
	dir := t.TempDir()
	options := repository.Options{Dir: dir, Allowed: []string{s.URL + "/*"}, Lookup: lookup, Credentials: credentials("s3cret")}
	r := repository.New(options)
	c := o.resolve(r, "main")
	if _, err := o.exported(r, c.SHA, repository.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	if already, err := r.Tag(t.Context(), o.url, c.SHA, "v1.5.1", "x", c.Time); already || err != nil {
		t.Fatal(already, err)
	}
	if already, err := r.Tag(t.Context(), o.url, c.SHA, "v1.5.1", "x", c.Time); !already || err != nil {
		t.Fatal(already, err)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(read(t, path), "s3cret") {
			t.Errorf("the password is in %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	options.Dir, options.Credentials = t.TempDir(), credentials("wrong")
	_, err = repository.New(options).Resolve(t.Context(), o.url, "main")
	hinted(t, err, "does not let the agent in")
	if strings.Contains(err.Error(), "wrong") {
		t.Error(err)
	}
	options.Credentials = nil
	_, err = repository.New(options).Resolve(t.Context(), o.url, "main")
	hinted(t, err, "does not let the agent in")
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	s := o.serve()
	away := httptest.NewServer(http.RedirectHandler(s.URL+"/a.git/info/refs?service=git-upload-pack", http.StatusMovedPermanently))
	t.Cleanup(away.Close)
	r := repository.New(repository.Options{Dir: t.TempDir(), Allowed: []string{away.URL + "/*"}, Lookup: lookup, Credentials: credentials("s3cret")})
	_, err := r.Resolve(t.Context(), away.URL+"/a.git", "main")
	hinted(t, err, "another address")
	if s.asked.Load() != 0 {
		t.Error("it was followed")
	}
}

func TestACancelledFetchEndsAtOnceAndTheNextOneBeginsAnew(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	asked := make(chan struct{}, 10)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		asked <- struct{}{}
		<-req.Context().Done()
	}))
	t.Cleanup(silent.Close)
	r := o.agent(silent.URL + "/*")
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("drained")
	go func() { <-asked; cancel(stop) }()
	if _, err := r.Resolve(ctx, silent.URL+"/a.git", "main"); !errors.Is(err, stop) {
		t.Error(err)
	}
	o.resolve(r, "main")
}

func TestOverSSHNobodyIsAskedAndTheServerGetsOnePath(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	dir := t.TempDir()
	said := filepath.Join(dir, "said")
	// What stands in for ssh takes the last argument, as the shell of a server would.
	ssh := filepath.Join(dir, "ssh")
	if err := os.WriteFile(ssh, []byte("#!/bin/sh\necho \"$@\" >>'"+said+"'\nfor last; do :; done\nexec sh -c \"$last\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	address := "ssh://git@git.example.com:2222" + filepath.ToSlash(o.bare)
	r := repository.New(repository.Options{Dir: t.TempDir(), Allowed: []string{address}, Lookup: func(name string) (string, bool) {
		if name == "GIT_SSH_COMMAND" {
			return ssh, true
		}
		return lookup(name)
	}})
	o.url = address
	c := o.resolve(r, "main")
	if already, err := r.Tag(t.Context(), address, c.SHA, "v1", "", c.Time); already || err != nil {
		t.Error(already, err)
	}
	for line := range strings.Lines(read(t, said)) {
		if !strings.Contains(line, "-p 2222 git@git.example.com git-") || !strings.HasSuffix(line, " '"+o.bare+"'\n") {
			t.Errorf("%q", line)
		}
	}
}
