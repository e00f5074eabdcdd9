package snapshot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/snapshot"
)

// The child does one thing, and is killed at some moment of it.
const childTask = "SNAPSHOT_TEST_CHILD"

func TestMain(m *testing.M) {
	if task := os.Getenv(childTask); task != "" {
		w := strings.Split(task, "|")
		files, err := artifact.NewFolder(w[1])
		if err == nil {
			s := snapshot.New(files, snapshot.Options{})
			switch w[0] {
			case "capture":
				_, _, err = s.Capture(context.Background(), w[2], snapshot.CaptureOptions{Parent: snapshot.ID(w[3])})
			case "restore":
				_, err = s.Restore(context.Background(), snapshot.ID(w[3]), w[2])
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// killed runs the child with longer and longer lives, until one comes to its end, and calls check after each. It returns the kills.
func killed(t *testing.T, check func(done bool), task ...string) int {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for life := 15 * time.Millisecond; ; life += life / 5 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childTask+"="+strings.Join(task, "|"))
		var output bytes.Buffer
		cmd.Stderr = &output
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
		err := cmd.Wait()
		kill.Stop()
		if err != nil && cmd.ProcessState.ExitCode() >= 0 {
			t.Fatalf("%v: %s", err, &output)
		}
		check(err == nil)
		if err == nil {
			return kills
		}
		kills++
	}
}

func crashTree(t *testing.T) string {
	dir := t.TempDir()
	files := map[string]string{"large": noise(1, 40<<20)}
	for i := range 200 {
		files[fmt.Sprintf("d%d/f%d", i%9, i)] = noise(uint64(i), 5000)
	}
	tree(t, dir, files)
	return dir
}

func TestACaptureThatIsKilledLeavesOnlyWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	files, place := folder(t)
	dir := crashTree(t)
	s := snapshot.New(files, snapshot.Options{})
	kills := killed(t, func(done bool) {
		list, err := files.List(t.Context(), "", "", 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range list {
			if strings.HasPrefix(info.Key, "snapshots/") { // then it is whole
				id := snapshot.ID("sha256:" + strings.TrimSuffix(filepath.Base(info.Key), ".zst"))
				if got, want := listing(t, restored(t, snapshot.New(files, snapshot.Options{}), id)), listing(t, dir); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			}
		}
		if len(list) > 3 {
			t.Errorf("%d objects: attempts do not make the same ones", len(list))
		}
	}, "capture", place, dir, "")
	id, stats := capture(t, s, dir, snapshot.CaptureOptions{})
	if kills == 0 || stats.Stored != 0 {
		t.Errorf("%d kills, %+v", kills, stats)
	}
	t.Logf("%d kills", kills)
	if removed, _ := sweep(t, files, place, s, id); removed != 0 {
		t.Errorf("%d objects were needed by nobody", removed)
	}
}

func TestARestoreThatIsKilledIsMadeAnew(t *testing.T) {
	t.Parallel()
	files, place := folder(t)
	dir := crashTree(t)
	if err := os.Chmod(filepath.Join(dir, "d1"), 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "d1"), 0o700) })
	id, _ := capture(t, snapshot.New(files, snapshot.Options{}), dir, snapshot.CaptureOptions{})
	to := filepath.Join(t.TempDir(), "ws")
	t.Cleanup(func() { _ = snapshot.Remove(to) })
	halves := 0
	kills := killed(t, func(done bool) {
		_, err := os.Lstat(to)
		if there := err == nil; !there {
			if _, err := os.Lstat(to + ".stint-half"); err == nil {
				halves++
			}
			return
		}
		// Whatever bears the name is whole; it is removed so that the next child has an empty place.
		if got, want := listing(t, to), listing(t, dir); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if !done {
			if err := snapshot.Remove(to); err != nil {
				t.Fatal(err)
			}
		}
	}, "restore", place, to, string(id))
	if _, err := os.Lstat(to + ".stint-half"); !errors.Is(err, fs.ErrNotExist) || kills == 0 {
		t.Errorf("%d kills, a half is left: %v", kills, err)
	}
	t.Logf("%d kills, %d of them left a half", kills, halves)
}

// interfering is a store that does something at the first Put.
type interfering struct {
	artifact.Store
	once sync.Once
	do   func()
}

// Put implements artifact.Store.
func (i *interfering) Put(ctx context.Context, key string, r io.Reader, o artifact.PutOptions) (artifact.Info, error) {
	i.once.Do(i.do)
	return i.Store.Put(ctx, key, r, o)
}

// Files of 33 MB fill an object, so that its Put happens when those behind them have not been read to their end.
func TestAFileThatChangesWhileItIsReadIsAnError(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(at string) error{
		"longer":  func(at string) error { return os.Truncate(at, 70<<20) },
		"shorter": func(at string) error { return os.Truncate(at, 1) },
		"another": func(at string) error { return errors.Join(os.Rename(at, at+"2"), os.WriteFile(at, nil, 0o600)) },
		"touched": func(at string) error { return os.Chtimes(at, time.Time{}, time.Unix(1, 0)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, _ := folder(t)
			dir := t.TempDir()
			tree(t, dir, map[string]string{"a": noise(1, 33<<20), "b": noise(2, 60<<20), "c": "small"})
			store := &interfering{Store: files, do: func() {
				file := "b"
				if name == "another" {
					file = "c"
				}
				if err := change(filepath.Join(dir, file)); err != nil {
					t.Error(err)
				}
			}}
			s := snapshot.New(store, snapshot.Options{Workers: 1})
			if _, _, err := s.Capture(t.Context(), dir, snapshot.CaptureOptions{}); !errors.Is(err, snapshot.ErrChanging) || tasks.IsPermanent(err) || tasks.HintOf(err) == "" {
				t.Fatalf("%v", err)
			}
			id, _ := capture(t, s, dir, snapshot.CaptureOptions{})
			if got, want := listing(t, restored(t, s, id)), listing(t, dir); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestAFileThatVanishesIsLeftOut(t *testing.T) {
	t.Parallel()
	files, _ := folder(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"a": noise(1, 33<<20), "b": noise(2, 60<<20), "c": "small", "d": noise(3, 5<<20), "e": "stays"})
	s := snapshot.New(&interfering{Store: files, do: func() {
		if err := errors.Join(os.Remove(filepath.Join(dir, "c")), os.Remove(filepath.Join(dir, "d"))); err != nil {
			t.Error(err)
		}
	}}, snapshot.Options{Workers: 1})
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{})
	if got, want := listing(t, restored(t, s, id)), listing(t, dir); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Writing again to a file at once, with as many bytes, is what stat alone cannot see on each system.
func TestAFileThatIsWrittenRightAfterACaptureIsSeen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	dir := t.TempDir()
	tree(t, dir, map[string]string{"f": "0000"})
	at := filepath.Join(dir, "f")
	info, err := os.Stat(at)
	if err != nil {
		t.Fatal(err)
	}
	last := snapshot.ID("")
	for i := range 200 {
		tree(t, dir, map[string]string{"f": fmt.Sprintf("%04d", i)})
		if err := os.Chtimes(at, info.ModTime(), info.ModTime()); err != nil { // as tools do that unpack
			t.Fatal(err)
		}
		id, _ := capture(t, s, dir, snapshot.CaptureOptions{Parent: last})
		if id == last {
			t.Fatalf("the change %d is not seen", i)
		}
		last = id
	}
}

func TestAContextThatEndsEndsTheWork(t *testing.T) {
	t.Parallel()
	files, _ := folder(t)
	dir := crashTree(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the agent has to go")
	s := snapshot.New(&interfering{Store: files, do: func() { cancel(gone) }}, snapshot.Options{})
	if _, _, err := s.Capture(ctx, dir, snapshot.CaptureOptions{}); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	id, _ := capture(t, s, dir, snapshot.CaptureOptions{})
	to := filepath.Join(t.TempDir(), "ws")
	if _, err := snapshot.New(files, snapshot.Options{}).Restore(ctx, id, to); !errors.Is(err, gone) && !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if list, _ := filepath.Glob(to + "*"); len(list) > 0 {
		t.Errorf("left: %q", list)
	}
}

func TestRestoreTakesNoFolderThatHasSomethingInIt(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	id := after(t, s, "", map[string]string{"a": "a"})
	dir := t.TempDir()
	if _, err := s.Restore(t.Context(), id, dir); err != nil { // empty
		t.Fatal(err)
	}
	if _, err := s.Restore(t.Context(), id, dir); !errors.Is(err, fs.ErrExist) || tasks.HintOf(err) == "" {
		t.Errorf("%v", err)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "a")); err != nil || string(b) != "a" {
		t.Errorf("%q, %v", b, err)
	}
}
