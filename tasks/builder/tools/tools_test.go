package tools_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// file is an entry of an archive.
type file struct {
	name, text string
	mode       int64
	kind       byte // of tar; 0 is a file
	link       string
}

var hello = []file{{name: "go/", kind: tar.TypeDir, mode: 0o755}, {name: "go/bin/hello", text: "#!/bin/sh\necho hello\n", mode: 0o755}}

func tarred(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text)), Typeflag: f.kind, Linkname: f.link, ModTime: time.Unix(1700000000, 0)}
		if f.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zipped(t testing.TB, files ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.name, Method: zip.Deflate}
		h.SetMode(fs.FileMode(f.mode))
		if f.kind == tar.TypeSymlink {
			h.SetMode(fs.ModeSymlink | 0o777)
			f.text = f.link
		}
		e, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(e, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func packed(t testing.TB, open func(io.Writer) (io.WriteCloser, error), data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := open(&out)
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	return packed(t, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }, data)
}

// bzip2Hello is hello, packed by bzip2.
const bzip2Hello = "QlpoOTFBWSZTWZA9vAAAALL7hMqwAEBoAPOABCJ65Z4AAACACCAAlIbVNU2SYgNBtT9UyNH6oEVQaCaYnqMgMg09JbP28wiUsEAurEBhEqbRuJ5mlgODMiJkiWGjFh8GLMf33YdWVu+8QKrvgBVTSlR02VyxJzKPbtEsip7r3T9lFOOupcoUElfBojNEMXZvkwHFk1IhuLuSKcKEhIHt4AA="

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// site is a server of archives.
type site struct {
	*httptest.Server
	asked atomic.Int64
}

func serve(t *testing.T, files map[string][]byte) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.asked.Add(1)
		data, ok := files[req.URL.Path]
		if !ok {
			http.NotFound(w, req)
			return
		}
		http.ServeContent(w, req, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(s.Close)
	return s
}

func pinned(url string, data []byte) pipeline.Tool {
	return pipeline.Tool{Name: "hello", Version: "1.2", URL: url, SHA256: map[string]string{"any": digest(data)}}
}

func store(t *testing.T, dir string) *tools.Store {
	t.Helper()
	s := tools.New(tools.Options{Dir: dir, OS: "linux", Arch: "amd64"})
	s.Waits(func(time.Duration) {})
	t.Cleanup(func() { unlocked(t, dir) })
	return s
}

// unlocked lets the test's folder be removed, which has read-only folders in it.
func unlocked(t *testing.T, dir string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(name string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(name, 0o755)
		}
		return nil
	})
}

func ensure(t *testing.T, s *tools.Store, tool pipeline.Tool) string {
	t.Helper()
	ready, err := s.Ensure(t.Context(), []pipeline.Tool{tool}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if len(ready.Path) != 1 || !filepath.IsAbs(ready.Path[0]) {
		t.Fatal(ready)
	}
	return ready.Path[0]
}

func refused(t *testing.T, s *tools.Store, tool pipeline.Tool, words ...string) error {
	t.Helper()
	_, err := s.Ensure(t.Context(), []pipeline.Tool{tool}, t.Logf)
	if err == nil {
		t.Fatalf("%s: no error", tool.URL)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v: says nothing of %q", err, w)
		}
	}
	if tasks.HintOf(err) == "" {
		t.Errorf("%v: has no hint", err)
	}
	return err
}

func TestEachFormatIsUnpackedOnce(t *testing.T) {
	t.Parallel()
	bz, err := base64.StdEncoding.DecodeString(bzip2Hello)
	if err != nil {
		t.Fatal(err)
	}
	data := tarred(t, hello...)
	files := map[string][]byte{
		"/a.tar.gz": gzipped(t, data), "/a.tgz": gzipped(t, data), "/a.tar": data, "/a.tar.bz2": bz, "/a.zip": zipped(t, hello...),
		"/a.tar.xz":  packed(t, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }, data),
		"/a.tar.zst": packed(t, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }, data),
	}
	server := serve(t, files)
	for name, archive := range files {
		server.asked.Store(0)
		dir := t.TempDir()
		tool := pinned(server.URL+name+"?token=x", archive)
		tool.Strip, tool.Path = 1, []string{"bin"}
		first := store(t, dir)
		for range 2 {
			at := ensure(t, first, tool)
			info, err := os.Stat(filepath.Join(at, "hello"))
			if err != nil || info.Mode().Perm() != 0o555 {
				t.Fatalf("%s: %v, %v", name, info, err)
			}
		}
		ensure(t, store(t, dir), tool) // another process
		if got := server.asked.Load(); got != 1 {
			t.Errorf("%s was fetched %d times", name, got)
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) != 0 {
			t.Error(left)
		}
	}
}

func TestABareFileIsMadeAProgram(t *testing.T) {
	t.Parallel()
	data := []byte("#!/bin/sh\n")
	server := serve(t, map[string][]byte{"/1.2/linux-amd64/hello-x": data})
	at := ensure(t, store(t, t.TempDir()), pinned(server.URL+"/{version}/{os}-{arch}/hello-x", data))
	if info, err := os.Stat(filepath.Join(at, "hello")); err != nil || info.Mode().Perm() != 0o555 {
		t.Error(info, err)
	}
	windows := tools.New(tools.Options{Dir: t.TempDir(), OS: "windows", Arch: "amd64"})
	server = serve(t, map[string][]byte{"/x": data})
	ready, err := windows.Ensure(t.Context(), []pipeline.Tool{pinned(server.URL+"/x", data)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(ready.Path[0], "hello.exe")); err != nil {
		t.Error(err)
	}
	unlocked(t, ready.Path[0])
}

func TestLinksThatStayInsideAreKept(t *testing.T) {
	t.Parallel()
	data := gzipped(t, tarred(t, append(slices.Clone(hello), file{name: "go/bin/hi", kind: tar.TypeSymlink, link: "../bin/hello"}, file{name: "go/again", kind: tar.TypeLink, link: "go/bin/hello", mode: 0o755})...))
	server := serve(t, map[string][]byte{"/a.tar.gz": data})
	dir := t.TempDir()
	tool := pinned(server.URL+"/a.tar.gz", data)
	at := ensure(t, store(t, dir), tool)
	ensure(t, store(t, dir), tool)
	for _, name := range []string{"go/bin/hi", "go/again"} {
		if got, err := os.ReadFile(filepath.Join(at, name)); err != nil || string(got) != hello[1].text {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestAToolIsPinnedForItsPlatform(t *testing.T) {
	t.Parallel()
	data := []byte("x")
	server := serve(t, map[string][]byte{"/x": data})
	tool := pinned(server.URL+"/x", data)
	tool.SHA256 = map[string]string{"linux/amd64": digest(data)}
	ensure(t, store(t, t.TempDir()), tool)
	tool.SHA256 = map[string]string{"darwin/arm64": digest(data)}
	err := refused(t, store(t, t.TempDir()), tool, "linux/amd64", "hello 1.2")
	if !strings.Contains(tasks.HintOf(err), "darwin/arm64") {
		t.Error(tasks.HintOf(err))
	}
	tool.SHA256 = map[string]string{"any": "../../etc"}
	refused(t, store(t, t.TempDir()), tool)
	tool = pinned(server.URL+"/x", data)
	tool.Name = "../x"
	refused(t, store(t, t.TempDir()), tool, "name")
	tool = pinned(server.URL+"/x", data)
	tool.Path = []string{"../.."}
	refused(t, store(t, t.TempDir()), tool, "no folder")
}

func TestOtherBytesThanThePinnedOnesAreRefusedBeforeTheyAreUnpacked(t *testing.T) {
	t.Parallel()
	good, evil := gzipped(t, tarred(t, hello...)), gzipped(t, tarred(t, file{name: "evil", text: "x", mode: 0o755}))
	server := serve(t, map[string][]byte{"/a.tar.gz": evil})
	dir := t.TempDir()
	err := refused(t, store(t, dir), pinned(server.URL+"/a.tar.gz?sig=s3cret", good), digest(good), digest(evil), "/a.tar.gz")
	if strings.Contains(err.Error()+tasks.HintOf(err), "s3cret") || !tasks.IsPermanent(err) {
		t.Error(err)
	}
	if found, _ := os.ReadDir(dir); len(found) != 1 || !strings.HasSuffix(found[0].Name(), ".lock") {
		t.Error(found)
	}
}

func TestAnArchiveThatLeadsOutIsRefused(t *testing.T) {
	t.Parallel()
	x := func(name string) file { return file{name: name, text: "x", mode: 0o644} }
	link := func(name, to string) file { return file{name: name, kind: tar.TypeSymlink, link: to} }
	for name, files := range map[string][]file{
		"upwards":                     {x("../escaped")},
		"upwards in the middle":       {x("a/../../escaped")},
		"absolute":                    {x("/tmp/escaped")},
		"a backslash":                 {x(`..\escaped`)},
		"an absolute link":            {link("a", "/etc/passwd")},
		"a link upwards":              {link("a/b", "../../x")},
		"by way of another":           {link("a/up", ".."), link("b", "a/up/..")},
		"through a link":              {link("a", ".."), x("a/escaped")},
		"over a link":                 {link("a", "../escaped"), x("a")},
		"twice":                       {x("a"), x("a")},
		"a file that is a folder":     {x("a"), x("a/b")},
		"a hard link out":             {{name: "a", kind: tar.TypeLink, link: "../../etc/passwd"}},
		"a hard link to a link":       {link("a", "b"), {name: "c", kind: tar.TypeLink, link: "a"}},
		"a device":                    {{name: "a", kind: tar.TypeChar}},
		"a pipe":                      {{name: "a", kind: tar.TypeFifo}},
		"nothing":                     {},
		"nothing that strip leaves":   {x("a")},
		"a link without a target":     {link("a", "")},
		"a name of two dots at strip": {x("a/..")},
	} {
		data := gzipped(t, tarred(t, files...))
		archives := map[string][]byte{"/a.tar.gz": data}
		zips := !slices.ContainsFunc(files, func(f file) bool { return f.kind == tar.TypeLink || f.kind == tar.TypeChar || f.kind == tar.TypeFifo })
		if zips {
			archives["/a.zip"] = zipped(t, files...)
		}
		server := serve(t, archives)
		for at, data := range archives {
			dir := filepath.Join(t.TempDir(), "in", "cache")
			tool := pinned(server.URL+at, data)
			if name == "nothing that strip leaves" {
				tool.Strip = 1
			}
			if err := refused(t, store(t, dir), tool, "not usable"); !tasks.IsPermanent(err) {
				t.Errorf("%s: %v", name, err)
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "hello*")); len(found) != 0 {
				t.Errorf("%s: %v", name, found)
			}
			if found, _ := filepath.Glob(filepath.Join(dir, "..", "..", "*")); len(found) != 1 {
				t.Errorf("%s: %v", name, found)
			}
		}
	}
}

func TestABombEndsAtItsLimit(t *testing.T) {
	t.Parallel()
	big := file{name: "a", text: strings.Repeat("0", 4<<20), mode: 0o644}
	many := make([]file, 200)
	for i := range many {
		many[i] = file{name: strings.Repeat("a", i+1), mode: 0o644}
	}
	lied := packed(t, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }, tarred(t, hello...))
	at := bytes.Index(lied, []byte{0x21, 1})
	lied[at+2] = 40 // 4 GiB of memory
	for name, c := range map[string]struct {
		file string
		data []byte
	}{
		"gzip":              {"/a.tar.gz", gzipped(t, tarred(t, big))},
		"zstd":              {"/a.tar.zst", packed(t, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }, tarred(t, big))},
		"xz":                {"/a.tar.xz", packed(t, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }, tarred(t, big))},
		"zip":               {"/a.zip", zipped(t, big)},
		"many files":        {"/a.tar.gz", gzipped(t, tarred(t, many...))},
		"many files in zip": {"/a.zip", zipped(t, many...)},
		"memory for xz":     {"/a.tar.xz", lied},
	} {
		server := serve(t, map[string][]byte{c.file: c.data})
		dir := t.TempDir()
		s := store(t, dir)
		s.Limit(10<<20, 20<<20, 100, 10, 1<<20)
		refused(t, s, pinned(server.URL+c.file, c.data), "not usable")
		if found, _ := filepath.Glob(filepath.Join(dir, "hello*")); len(found) != 0 {
			t.Errorf("%s: %v", name, found)
		}
	}
	data := bytes.Repeat([]byte("x"), 2000)
	server := serve(t, map[string][]byte{"/a": data})
	s := store(t, t.TempDir())
	s.Limit(1000, 20<<20, 100, 10, 1<<20)
	refused(t, s, pinned(server.URL+"/a", data), "more bytes than a tool has")
}

func TestABuildCannotPoisonAToolForTheNextOne(t *testing.T) {
	t.Parallel()
	data := gzipped(t, tarred(t, append(slices.Clone(hello), file{name: "go/lib", kind: tar.TypeSymlink, link: "bin"})...))
	for name, poison := range map[string]func(top string) error{
		"other bytes of the same size and time": func(top string) error {
			path := filepath.Join(top, "go/bin/hello")
			info, err := os.Stat(path)
			return errors.Join(err, os.Chmod(path, 0o755), os.WriteFile(path, []byte("#!/bin/sh\necho evil!\n"), 0), os.Chmod(path, 0o555), os.Chtimes(path, info.ModTime(), info.ModTime()))
		},
		"another file in its place": func(top string) error {
			path := filepath.Join(top, "go/bin/hello")
			return errors.Join(os.Chmod(filepath.Dir(path), 0o755), os.Remove(path), os.WriteFile(path, []byte("#!/bin/sh\necho evil!\n"), 0o555), os.Chmod(filepath.Dir(path), 0o555))
		},
		"one file more": func(top string) error {
			return errors.Join(os.Chmod(filepath.Join(top, "go/bin"), 0o755), os.WriteFile(filepath.Join(top, "go/bin/ls"), nil, 0o755))
		},
		"one file less": func(top string) error {
			return errors.Join(os.Chmod(filepath.Join(top, "go/bin"), 0o755), os.Remove(filepath.Join(top, "go/bin/hello")))
		},
		"another link": func(top string) error {
			return errors.Join(os.Chmod(filepath.Join(top, "go"), 0o755), os.Remove(filepath.Join(top, "go/lib")), os.Symlink("/tmp", filepath.Join(top, "go/lib")))
		},
		"another mode": func(top string) error { return os.Chmod(filepath.Join(top, "go/bin/hello"), 0o777) },
		"another archive": func(top string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(top), "archive"), []byte("x"), 0o600)
		},
		"all of it gone": func(top string) error { unlockTree(top); return os.RemoveAll(filepath.Dir(top)) },
	} {
		server := serve(t, map[string][]byte{"/a.tar.gz": data})
		dir := t.TempDir()
		tool := pinned(server.URL+"/a.tar.gz", data)
		running := store(t, dir)
		for _, next := range []*tools.Store{running, store(t, dir)} { // the same process, and one that begins later
			top := ensure(t, running, tool)
			if err := poison(top); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			top = ensure(t, next, tool)
			if got, err := os.ReadFile(filepath.Join(top, "go/bin/hello")); err != nil || string(got) != hello[1].text {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			if all, err := os.ReadDir(filepath.Join(top, "go/bin")); err != nil || len(all) != 1 {
				t.Errorf("%s: %v, %v", name, all, err)
			}
			if to, err := os.Readlink(filepath.Join(top, "go/lib")); err != nil || to != "bin" {
				t.Errorf("%s: %v, %v", name, to, err)
			}
		}
	}
}

func unlockTree(top string) {
	_ = filepath.WalkDir(top, func(name string, d fs.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(name, 0o755)
		}
		return nil
	})
}

func TestTwoAgentsFetchAToolOnce(t *testing.T) {
	t.Parallel()
	data := gzipped(t, tarred(t, hello...))
	server := serve(t, map[string][]byte{"/a.tar.gz": data})
	dir := t.TempDir()
	var all sync.WaitGroup
	for range 6 {
		s := store(t, dir)
		all.Go(func() {
			if _, err := s.Ensure(t.Context(), []pipeline.Tool{pinned(server.URL+"/a.tar.gz", data)}, nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := server.asked.Load(); got != 1 {
		t.Errorf("fetched %d times", got)
	}
}

func TestProveSaysWhichLabelIsALie(t *testing.T) {
	t.Parallel()
	c := pipeline.Capability{Name: "go1.26", Run: []string{"go", "version"}, Match: `go1\.26`}
	prove := func(output string, exit int, err error) error {
		return tools.Prove(t.Context(), c, []string{"A=b"}, func(_ context.Context, args, env []string) (string, int, error) {
			if !slices.Equal(args, c.Run) || !slices.Equal(env, []string{"A=b"}) {
				t.Error(args, env)
			}
			return output, exit, err
		})
	}
	if err := prove("go version go1.26.1 linux/amd64\n", 0, nil); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"go1.25": prove("go version go1.25.1\x1b[2J", 0, nil), "exit code 3": prove("go1.26", 3, nil), "could not be run": prove("", -1, errors.New("no such file")),
	} {
		if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "go1.26 is a lie") || !strings.Contains(err.Error(), "go version") || strings.Contains(err.Error(), "\x1b") || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	c.Match = "("
	if err := prove("", 0, nil); !tasks.IsPermanent(err) {
		t.Error(err)
	}
	c.Run = nil
	if err := prove("", 0, nil); !tasks.IsPermanent(err) {
		t.Error(err)
	}
}
