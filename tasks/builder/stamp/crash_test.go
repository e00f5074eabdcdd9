package stamp_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks/builder/stamp"
)

// TestMain is also the process that dies: it stamps, says so, and waits to be killed.
func TestMain(m *testing.M) {
	if root := os.Getenv("STAMP_AND_WAIT"); root != "" {
		target, err := stamp.Parse("*.rc")
		if err == nil {
			_, err = stamp.Files(root, ".", []stamp.Target{target}, values)
		}
		if err != nil {
			println(err.Error())
			os.Exit(1)
		}
		println("stamped")
		_, _ = os.Stdin.Read(make([]byte, 1)) // until it is killed, or nobody is there any more to do it
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// crashed is a tree whose stamping process was killed.
func crashed(t *testing.T, root string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{"STAMP_AND_WAIT=" + root}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, busy := stamp.Recover(root); !errors.Is(busy, stamp.ErrBusy) {
		t.Errorf("while it lives: %v", busy)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil || line != "stamped\n" {
		t.Fatalf("%q, %v", line, err)
	}
}

func TestAfterAKillAllIsPutBack(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.rc": resource, "b.rc": resource, "c.txt": "x"})
	before := snapshot(t, root)
	crashed(t, root)
	if content(t, root, "a.rc") != resourceAfter {
		t.Fatal("it had not stamped")
	}
	files, err := stamp.Recover(root)
	if err != nil || strings.Join(files, ",") != "a.rc,b.rc" {
		t.Errorf("%q, %v", files, err)
	}
	if after := snapshot(t, root); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
	if files, err := stamp.Recover(root); err != nil || len(files) > 0 {
		t.Errorf("once more: %q, %v", files, err)
	}
}

func TestStampingAfterAKillBeginsWithTheOriginals(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.rc": resource, "b.rc": resource})
	before := snapshot(t, root)
	crashed(t, root)
	s := stamped(t, root, "b.rc")
	if content(t, root, "a.rc") != resource {
		t.Error("a.rc was not put back")
	}
	if _, err := s.Restore(); err != nil {
		t.Fatal(err)
	}
	if after := snapshot(t, root); after != before {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestWorkDoneAfterAKillIsKept(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{"a.rc": resource, "b.rc": resource})
	crashed(t, root)
	if err := os.WriteFile(filepath.Join(root, "a.rc"), []byte("edited"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := stamp.Recover(root); err != nil {
		t.Fatal(err)
	}
	if content(t, root, "a.rc") != resource || content(t, root, "a.rc"+stamp.KeptSuffix) != "edited" {
		t.Error("the edit is lost")
	}
}

// Each moment at which a process can die between the journal and its end is a state of the folder.
func TestEachMomentOfACrashIsRecovered(t *testing.T) {
	t.Parallel()
	for name, moment := range map[string]func(at func(string) string) error{
		"before the journal": func(at func(string) string) error {
			return errors.Join(os.Rename(at("0.original"), at("../a.rc")), os.Rename(at("1.original"), at("../b.rc")), os.Link(at("../a.rc"), at("0.original")), os.Remove(at("journal.json")))
		},
		"while the journal is written": func(at func(string) string) error {
			return errors.Join(os.Rename(at("0.original"), at("../a.rc")), os.Rename(at("1.original"), at("../b.rc")), os.Link(at("../a.rc"), at("0.original")), os.Rename(at("journal.json"), at("journal.json.new")), os.Truncate(at("journal.json.new"), 3))
		},
		"after the journal": func(at func(string) string) error {
			return errors.Join(os.Remove(at("../a.rc")), os.Link(at("0.original"), at("../a.rc")), os.Remove(at("../b.rc")), os.Link(at("1.original"), at("../b.rc")))
		},
		"between two files": func(at func(string) string) error {
			return errors.Join(os.Remove(at("../b.rc")), os.Link(at("1.original"), at("../b.rc")))
		},
		"while the command runs": func(func(string) string) error { return nil },
		"between two originals":  func(at func(string) string) error { return os.Rename(at("0.original"), at("../a.rc")) },
		"after the originals": func(at func(string) string) error {
			return errors.Join(os.Rename(at("0.original"), at("../a.rc")), os.Rename(at("1.original"), at("../b.rc")))
		},
		"after the end of the journal": func(at func(string) string) error {
			return errors.Join(os.Rename(at("0.original"), at("../a.rc")), os.Rename(at("1.original"), at("../b.rc")), os.Remove(at("journal.json")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, map[string]string{"a.rc": resource, "b.rc": resource})
			before := snapshot(t, root)
			crashed(t, root)
			if err := moment(func(file string) string { return filepath.Join(root, stamp.Folder, file) }); err != nil {
				t.Fatal(err)
			}
			if _, err := stamp.Recover(root); err != nil {
				t.Fatal(err)
			}
			if after := snapshot(t, root); after != before {
				t.Errorf("before\n%s\nafter\n%s", before, after)
			}
		})
	}
}

// A journal can come with a repository that somebody else has made.
func TestAForeignJournalWritesNothingOutsideOfTheProduct(t *testing.T) {
	t.Parallel()
	outside := tree(t, map[string]string{"f": "outside"})
	for _, path := range []string{"../f", outside + "/f", ".git/config", ".GIT/config", "linked/config", "out/f", stamp.Folder + "/lock", "a//b", ""} {
		root := tree(t, map[string]string{".git/config": "git's", stamp.Folder + "/0.original": "evil"})
		for from, to := range map[string]string{"linked": ".git", "out": outside} {
			if err := os.Symlink(to, filepath.Join(root, from)); err != nil {
				t.Fatal(err)
			}
		}
		journal, err := json.Marshal([]map[string]string{{"path": path, "original": fmt.Sprintf("%x", sha256.Sum256([]byte("evil"))), "stamped": ""}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, stamp.Folder, "journal.json"), journal, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := stamp.Recover(root); err == nil {
			t.Errorf("%q: no error", path)
		}
		if content(t, root, ".git/config") != "git's" || content(t, outside, "f") != "outside" {
			t.Errorf("%q was written", path)
		}
	}
}

func TestAJournalThatCannotBeReadStays(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{stamp.Folder + "/0.original": "x", stamp.Folder + "/journal.json": "{"})
	for range 2 {
		if _, err := stamp.Recover(root); err == nil || !strings.Contains(err.Error(), "journal.json cannot be read") {
			t.Errorf("%v", err)
		}
	}
	if content(t, root, stamp.Folder+"/0.original") != "x" {
		t.Error("the original is gone")
	}
}
