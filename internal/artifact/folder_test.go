package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/s3test"
	"github.com/stint-run/stint/tasks"
)

func TestAFolderIsMadeWhenItIsNeededAndHoldsPlainFiles(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	f := folder(t, dir)
	if got := list(t, f, "", "", 1); len(got) != 0 {
		t.Errorf("lists %v", got)
	}
	if n, err := f.Clean(t.Context(), 0); n != 0 || err != nil {
		t.Errorf("clean: %d, %v", n, err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("it is there before it is needed: %v", err)
	}
	put(t, f, "x/y.csv", "hello")
	if b, err := os.ReadFile(filepath.Join(dir, "x", "y.csv")); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if s, err := os.Stat(filepath.Join(dir, "x", "y.csv")); err != nil || s.Mode().Perm()&0o007 != 0 {
		t.Errorf("others may read it: %v, %v", s.Mode(), err)
	}
	for _, foreign := range []string{"README.md", ".hidden", "X"} { // somebody else's files are no artifacts
		if err := os.WriteFile(filepath.Join(dir, foreign), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := list(t, f, "", "", 10); len(got) != 1 || got[0] != "x/y.csv" {
		t.Errorf("lists %v", got)
	}
	if err := f.Delete(t.Context(), "x/y.csv"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !os.IsNotExist(err) {
		t.Errorf("the empty folder stays: %v", err)
	}
}

func TestNoLinkLeadsOutOfTheFolder(t *testing.T) {
	t.Parallel()
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := folder(t, t.TempDir())
	put(t, f, "a/b", "x")
	for name, target := range map[string]string{"out": outside, "file": filepath.Join(outside, "secret")} {
		if err := os.Symlink(target, filepath.Join(f.String(), name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"out/secret", "file"} {
		if r, _, err := f.Get(t.Context(), key, 0); err == nil {
			t.Errorf("%s can be read", key)
			_ = r.Close()
		}
	}
	if _, err := f.Put(t.Context(), "out/new", strings.NewReader("x"), artifact.PutOptions{}); err == nil {
		t.Error("a file can be put outside")
	}
	put(t, f, "file", "mine") // takes the place of the link
	if b, err := os.ReadFile(filepath.Join(outside, "secret")); err != nil || string(b) != "s" {
		t.Errorf("the file behind the link has %q, %v", b, err)
	}
	if entries, _ := os.ReadDir(outside); len(entries) != 1 {
		t.Errorf("outside there is %v", entries)
	}
}

func TestAKeyThatIsAFolderOfAnotherIsRefused(t *testing.T) {
	t.Parallel()
	f := folder(t, t.TempDir())
	put(t, f, "a/b", "x")
	for _, key := range []string{"a", "a/b/c"} {
		for _, once := range []bool{false, true} {
			if _, err := f.Put(t.Context(), key, strings.NewReader("x"), artifact.PutOptions{IfAbsent: once}); err == nil || errors.Is(err, artifact.ErrExists) || tasks.HintOf(err) == "" {
				t.Errorf("%s, if absent %v: %v (%s)", key, once, err, tasks.HintOf(err))
			}
		}
	}
	if get(t, f, "a/b", 0) != "x" {
		t.Error("what was there is gone")
	}
}

func TestAFileInTheWayOfTheFolderIsSaid(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{path, filepath.Join(path, "below")} {
		if _, err := folder(t, dir).Put(t.Context(), "k", strings.NewReader("x"), artifact.PutOptions{}); err == nil || !strings.Contains(tasks.HintOf(err), "in the way") {
			t.Errorf("%s: %v (%s)", dir, err, tasks.HintOf(err))
		}
	}
}

func TestEscapeMakesDifferentWordsOfDifferentTexts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"customers": "customers", "Kunde": "~4bunde", "a b": "a~20b", "..": "~2e~2e", "": "~", "~": "~7e",
		"nul": "~6eul", "con.txt": "~63on.txt", "dbo.Größe": "dbo.~47r~c3~b6~c3~9fe"} {
		if got := artifact.Escape(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	words := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z.~]{0,4}`), rapid.StringMatching(`(con|NUL|com1|x)(\.[a-z]{0,2})?`), rapid.StringN(60, 200, -1))
	rapid.Check(t, func(rt *rapid.T) {
		a, b := words.Draw(rt, "a"), words.Draw(rt, "b")
		x, y := artifact.Escape(a), artifact.Escape(b)
		if (a == b) != (x == y) {
			rt.Fatalf("%q is %q and %q is %q", a, x, b, y)
		}
		if err := artifact.CheckKey("k/" + x + "/" + y + "-000001.csv.gz"); err != nil {
			rt.Fatalf("%q: %v", a, err)
		}
	})
}

// The child puts large artifacts one after the other, as often as it is killed.
const (
	childPlace = "ARTIFACT_TEST_CHILD"
	large      = 12 << 20
	artifacts  = 4
)

func TestMain(m *testing.M) {
	if place := os.Getenv(childPlace); place != "" {
		if err := putAll(place); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func place(address string) (artifact.Store, error) {
	if endpoint, bucket, ok := strings.Cut(address, "|"); ok {
		return artifact.NewS3(artifact.S3Options{Bucket: bucket, Endpoint: endpoint, PathStyle: true,
			AccessKey: s3test.AccessKey, SecretKey: s3test.SecretKey, PartSize: 5 << 20})
	}
	return artifact.NewFolder(address)
}

func content(i int) []byte { return bytes.Repeat([]byte{byte('a' + i)}, large) }

func putAll(address string) error {
	s, err := place(address)
	if err != nil {
		return err
	}
	for i := range artifacts {
		if _, err := artifact.PutOnce(context.Background(), s, fmt.Sprintf("big/%d", i), bytes.NewReader(content(i)), artifact.PutOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func TestAKilledPutIsWholeOrNotThere(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"folder", "s3"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			address := t.TempDir()
			if kind == "s3" {
				server, bucket := s3test.New(t)
				address = server.Endpoint + "|" + bucket
			}
			s, err := place(address)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			kills, done := 0, false
			for life := 20 * time.Millisecond; !done; life += life / 4 { // so that one comes to the end, on a busy machine too
				cmd := exec.CommandContext(t.Context(), program)
				cmd.Env = append(os.Environ(), childPlace+"="+address)
				var output bytes.Buffer
				cmd.Stderr = &output
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				kill := time.AfterFunc(life, func() { _ = cmd.Process.Kill() })
				err := cmd.Wait()
				kill.Stop()
				if done = err == nil; !done && cmd.ProcessState.ExitCode() >= 0 {
					t.Fatalf("%v: %s", err, &output)
				}
				if !done {
					kills++
				}
				for i, key := range list(t, s, "", "", 100) {
					if want := content(i); key != fmt.Sprintf("big/%d", i) {
						t.Fatalf("there is %s", key)
					} else if err := artifact.Verify(t.Context(), s, key, artifact.DigestOf(want), large); err != nil {
						t.Fatal(err)
					}
				}
			}
			removed, err := s.Clean(t.Context(), 0)
			if err != nil || kills == 0 {
				t.Errorf("%d kills, %v", kills, err)
			}
			t.Logf("%d kills left %d remains", kills, removed)
			if again, err := s.Clean(t.Context(), 0); again != 0 || err != nil {
				t.Errorf("%d remains stay, %v", again, err)
			}
			if got := list(t, s, "", "", 100); len(got) != artifacts {
				t.Errorf("there are %v", got)
			}
		})
	}
}
