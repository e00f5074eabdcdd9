package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/s3test"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// folder returns an empty store of artifacts in a folder, and the folder.
func folder(t testing.TB) (artifact.Store, string) {
	t.Helper()
	dir := t.TempDir()
	files, err := artifact.NewFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	return files, dir
}

func newStore(t testing.TB) *snapshot.Store {
	t.Helper()
	files, _ := folder(t)
	return snapshot.New(files, snapshot.Options{Prefix: "builds"})
}

// tree writes files: a name with / at its end is a folder, a text that begins with -> a link.
func tree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		target, isLink := strings.CutPrefix(text, "->")
		switch {
		case err != nil:
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(at, 0o755)
		case isLink:
			err = os.Symlink(target, at)
		default:
			err = os.WriteFile(at, []byte(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// noise returns bytes that do not compress.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return string(b)
}

// listing describes all that Restore has to bring back; times of links and folders are left out.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || at == dir {
			return err
		}
		name, _ := filepath.Rel(dir, at)
		if filepath.Base(name) == ".git" {
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			fmt.Fprintf(&b, "%q %v\n", name, info.Mode())
		case d.Type().IsRegular():
			content, err := os.ReadFile(at)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%q %v %v %s\n", name, info.Mode(), info.ModTime().UnixNano(), artifact.DigestOf(content))
		default:
			target, err := os.Readlink(at)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%q %v %q\n", name, info.Mode(), target)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func capture(t testing.TB, s *snapshot.Store, dir string, o snapshot.CaptureOptions) (snapshot.ID, snapshot.Stats) {
	t.Helper()
	id, stats, err := s.Capture(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return id, stats
}

// restored returns a new folder with a snapshot in it.
func restored(t testing.TB, s *snapshot.Store, id snapshot.ID) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "workspace")
	if _, err := s.Restore(t.Context(), id, dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = snapshot.Remove(dir) })
	return dir
}

// sample has a bit of everything.
func sample(t testing.TB) string {
	dir := t.TempDir()
	tree(t, dir, map[string]string{
		"main.go": "package main\n", "empty": "", "a/b/c/deep": "deep", "a-b": "sorts between", "void/": "", "a/void/": "",
		"large": noise(1, 9<<20+17), "twin": noise(1, 9<<20+17), "zeros": strings.Repeat("\x00", 30<<20), "exactly": noise(2, 4<<20),
		"link": "->a/b/c/deep", "a/up": "->../main.go", "dangling": "->nowhere", "to-folder": "->a/b", "circle": "->circle",
		".git/config": "[core]", "a/.GIT": "gitdir: elsewhere",
		"with\nnewline": "n", "esc\x1b[31m": "e", "not\xffutf8": "u", "per%20cent and blank": "p", "übung": "ü",
	})
	for name, mode := range map[string]fs.FileMode{"main.go": 0o755, "a-b": 0o400, "void": 0o700, "a/b": 0o555} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "a/b"), 0o755) })
	at := time.Unix(1_500_000_000, 123_456_789)
	if err := os.Chtimes(filepath.Join(dir, "main.go"), at, at); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAWorkspaceComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			files, _ := folder(t)
			if kind == "s3" {
				server, bucket := s3test.New(t)
				var err error
				files, err = artifact.NewS3(artifact.S3Options{Bucket: bucket, Endpoint: server.Endpoint, PathStyle: true, AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = files.Close() })
			}
			s := snapshot.New(files, snapshot.Options{Prefix: "builds", Workers: 3})
			dir := sample(t)
			want := strings.ReplaceAll(listing(t, dir), "\"a/.GIT\"", "")
			id, stats := capture(t, s, dir, snapshot.CaptureOptions{})
			if stats.NewFiles == 0 || stats.NewBytes < 50<<20 || stats.Stored < 20<<20 || stats.Layers != 1 {
				t.Errorf("%+v", stats)
			}
			other := snapshot.New(files, snapshot.Options{Prefix: "builds"}) // another agent: it knows nothing
			back := restored(t, other, id)
			got := listing(t, back)
			for line := range strings.Lines(got) {
				if !strings.Contains(want, line) {
					t.Errorf("has %s", line)
				}
			}
			if n, m := strings.Count(got, "\n"), strings.Count(want, "\n")-1; n != m {
				t.Errorf("%d entries, want %d", n, m)
			}
			again, stats := capture(t, other, back, snapshot.CaptureOptions{Parent: id})
			if again != id || stats.Stored != 0 || stats.NewFiles != 0 {
				t.Errorf("%s, want %s: %+v", again, id, stats)
			}
			elsewhere, _ := capture(t, snapshot.New(files, snapshot.Options{Prefix: "builds"}), back, snapshot.CaptureOptions{})
			if elsewhere != id {
				t.Errorf("read anew it is %s", elsewhere)
			}
			r, e, err := s.Open(t.Context(), id, "twin")
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err = firstError(err, r.Close()); err != nil || string(b) != noise(1, 9<<20+17) || e.Size != int64(len(b)) {
				t.Errorf("%d bytes, %v", len(b), err)
			}
		})
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestTheEmptyTreeNeedsNoStore(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	id, stats := capture(t, s, t.TempDir(), snapshot.CaptureOptions{})
	if id != "" || stats != (snapshot.Stats{}) {
		t.Errorf("%q, %+v", id, stats)
	}
	if got := listing(t, restored(t, s, "")); got != "" {
		t.Errorf("it has %s", got)
	}
}

func TestOnlyWhatHasChangedIsPut(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := t.TempDir()
	files := map[string]string{"large": noise(3, 10<<20)}
	for i := range 300 {
		files[fmt.Sprintf("src/%d/f%d", i%7, i)] = noise(uint64(i), 1000)
	}
	tree(t, dir, files)
	first, _ := capture(t, s, dir, snapshot.CaptureOptions{})
	tree(t, dir, map[string]string{"src/1/f1": "changed", "new": "new", "src/copy": files["src/2/f2"], "moved": files["large"]})
	for _, gone := range []string{"src/3/f3", "large"} {
		if err := os.Remove(filepath.Join(dir, gone)); err != nil {
			t.Fatal(err)
		}
	}
	second, stats := capture(t, s, dir, snapshot.CaptureOptions{Parent: first})
	if stats.NewFiles != 2 || stats.NewBytes != 10 || stats.Stored > 40<<10 {
		t.Errorf("%+v", stats)
	}
	if got, want := listing(t, restored(t, s, second)), listing(t, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	added, changed, removed, err := s.Diff(t.Context(), first, second)
	if got := names(added) + " | " + names(changed) + " | " + names(removed); err != nil || got != "moved new src/copy | src/1/f1 | large src/3/f3" {
		t.Errorf("%s, %v", got, err)
	}
}

func names(entries []snapshot.Entry) string {
	var out []string
	for _, e := range entries {
		out = append(out, e.Path)
	}
	return strings.Join(out, " ")
}

// An attempt that is killed and made again must not leave a second layer.
func TestTheSameFilesMakeTheSameObjects(t *testing.T) {
	t.Parallel()
	dir := sample(t)
	var keys [2]string
	for i := range keys {
		files, _ := folder(t)
		s := snapshot.New(files, snapshot.Options{Workers: 1 + 3*i})
		capture(t, s, dir, snapshot.CaptureOptions{})
		list, err := files.List(context.Background(), "", "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range list {
			keys[i] += info.Key + "\n"
		}
	}
	if keys[0] != keys[1] {
		t.Errorf("%s\nand\n%s", keys[0], keys[1])
	}
}

func TestALongChainOfStepsStaysShort(t *testing.T) {
	t.Parallel()
	files, place := folder(t)
	s := snapshot.New(files, snapshot.Options{})
	dir := t.TempDir()
	var id snapshot.ID
	for i := range 40 {
		tree(t, dir, map[string]string{fmt.Sprintf("f%d", i): noise(uint64(i), 50_000), "always": noise(uint64(100+i), 200_000)})
		next, stats := capture(t, s, dir, snapshot.CaptureOptions{Parent: id})
		if stats.Layers > 9 {
			t.Fatalf("step %d has %d layers", i, stats.Layers)
		}
		id = next
	}
	if got, want := listing(t, restored(t, s, id)), listing(t, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	removed, freed := sweep(t, files, place, s, id)
	if removed == 0 || freed == 0 {
		t.Errorf("removed %d, %d bytes", removed, freed)
	}
	var left int64
	list, err := files.List(t.Context(), "layers/", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		left += info.Size
	}
	if needed := int64(40*50_000 + 200_000); left > 2*needed+needed/10 {
		t.Errorf("%d bytes are kept for %d", left, needed)
	}
	fresh := snapshot.New(files, snapshot.Options{})
	if got, want := listing(t, restored(t, fresh, id)), listing(t, dir); got != want {
		t.Errorf("after the sweep: got\n%s\nwant\n%s", got, want)
	}
}

// sweep makes all objects two hours old, and removes what is not needed.
func sweep(t *testing.T, files artifact.Store, place string, s *snapshot.Store, keep ...snapshot.ID) (int, int64) {
	t.Helper()
	age(t, files, place)
	removed, freed, err := s.Sweep(t.Context(), func(yield func(snapshot.ID) error) error {
		for _, id := range keep {
			if err := yield(id); err != nil {
				return err
			}
		}
		return nil
	}, snapshot.MinSweepAge)
	if err != nil {
		t.Fatal(err)
	}
	return removed, freed
}

func age(t *testing.T, files artifact.Store, place string) {
	t.Helper()
	list, err := files.List(t.Context(), "", "", 10_000)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * time.Hour)
	for _, info := range list {
		if err := os.Chtimes(filepath.Join(place, filepath.FromSlash(info.Key)), old, old); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPathsLimitWhatIsCaptured(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": "1", "b/c": "2", "b/d": "3", "sub/module/": "", "sub/module/x": "4", "way": "->b", ".git/config": "5", "l": "->a"})
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{Paths: []string{"b/c", "a", "a", "gone", "gone/too", "sub/module", "way/c", ".git/config", "l"}})
	m, err := s.Manifest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(m.Entries); got != "a b b/c l sub sub/module" {
		t.Error(got)
	}
	if id, _ := capture(t, s, dir, snapshot.CaptureOptions{Paths: []string{}}); id != "" {
		t.Errorf("no paths are %s", id)
	}
}

func TestExcludedFilesDoNotTravel(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"keep/a.o.c": "", "keep/x/a.o": "", "a.o": "", "cache/big/file": "", "deep/node_modules/.cache/x": "", "deep/node_modules/y": "", "tmp/1": "", "tmp/keep/": ""})
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{Exclude: []string{"**/*.o", "cache", "**/node_modules/.cache/**", "tmp/?"}})
	m, err := s.Manifest(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(m.Entries); got != "deep deep/node_modules deep/node_modules/y keep keep/a.o.c keep/x tmp tmp/keep" {
		t.Error(got)
	}
	for _, bad := range []string{"[", "", "a//b"} {
		if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{Exclude: []string{bad}}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestAWorkspaceMustNotGrowBeyondItsBounds(t *testing.T) {
	t.Parallel()
	files, _ := folder(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": strings.Repeat("x", 1000)})
	s := snapshot.New(files, snapshot.Options{MaxBytes: 5000, MaxFiles: 3})
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{})
	tree(t, dir, map[string]string{"b": strings.Repeat("y", 1000)})
	if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{Parent: id, MaxGrowth: 999}); !isTooLarge(err) || !strings.Contains(err.Error(), "1000 bytes larger") {
		t.Error(err)
	}
	capture(t, s, dir, snapshot.CaptureOptions{Parent: id, MaxGrowth: 1000})
	tree(t, dir, map[string]string{"b": strings.Repeat("y", 5000)})
	if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{}); !isTooLarge(err) {
		t.Error(err)
	}
	tree(t, dir, map[string]string{"b": "", "c": "", "d": ""})
	if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{}); !isTooLarge(err) {
		t.Error(err)
	}
}

func TestAFileThatWasTouchedOnlyIsNotPutAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"small": "small", "large": noise(9, 10<<20)})
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{})
	now := time.Now().Add(-time.Minute)
	for _, name := range []string{"small", "large"} {
		if err := os.Chtimes(filepath.Join(dir, name), now, now); err != nil {
			t.Fatal(err)
		}
	}
	if again, stats := capture(t, s, dir, snapshot.CaptureOptions{Parent: id}); again != id || stats.Stored != 0 {
		t.Errorf("%s, %+v", again, stats)
	}
	// One that begins like the old one, has its size, and is another.
	b := []byte(noise(9, 10<<20))
	b[len(b)-1]++
	if err := os.WriteFile(filepath.Join(dir, "large"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	next, stats := capture(t, s, dir, snapshot.CaptureOptions{Parent: id})
	if stats.NewFiles != 1 || stats.NewBytes != 10<<20 {
		t.Errorf("%+v", stats)
	}
	if got, err := os.ReadFile(filepath.Join(restored(t, s, next), "large")); err != nil || !bytes.Equal(got, b) {
		t.Errorf("it is not what it was: %v", err)
	}
}

func isTooLarge(err error) bool {
	return errors.Is(err, snapshot.ErrTooLarge) && tasks.HintOf(err) != "" && tasks.IsPermanent(err)
}
