package pack_test

import (
	"archive/zip"
	"bytes"
	"debug/buildinfo"
	"debug/pe"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/builder/pipeline"
)

// onUnix writes a package as a program into a folder of its own and returns its path.
func onUnix(t *testing.T, name string, content []byte) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs Unix")
	}
	file := filepath.Join(t.TempDir(), name)
	// Nobody forks meanwhile: a child that holds it, open for writing, on its way to another program would make it busy.
	syscall.ForkLock.RLock()
	err := os.WriteFile(file, content, 0o755)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// run runs a command in a folder and returns what it prints and its exit code.
func run(t *testing.T, dir string, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	out, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

const installer = "#!/bin/sh\nprintf '%s|' \"$PWD\" \"$@\"\ncat data.txt\nexit 7\n"

var awkward = []string{"a b", "it's", `"$(id)"`, "`id`", "-x", ""}

// unpacking are the tests that packages for both worlds pass.
func unpacking(t *testing.T, make func(t *testing.T, s pack.Spec) string) {
	files := []pack.File{file("install.sh", installer, 0o755), file("data.txt", "data", 0o644), file("sub dir/it's", "x", 0o644)}
	s := spec(pipeline.SFXUnix, files...)
	silent := make(t, s)
	s.Package.Run = []string{"install.sh", "--first", "it's $HOME"}
	running := make(t, s)

	t.Run("it lists and checks itself", func(t *testing.T) {
		t.Parallel()
		if out, code := run(t, t.TempDir(), silent, "--list"); code != 0 || out != "data.txt\ninstall.sh\nsub dir/it's\n" {
			t.Errorf("%d %s", code, out)
		}
		if out, code := run(t, t.TempDir(), silent, "--check"); code != 0 || !strings.Contains(out, "widgets-1.5.57 is whole") {
			t.Errorf("%d %s", code, out)
		}
		if out, code := run(t, t.TempDir(), silent, "--help"); code != 0 || !strings.Contains(out, "--target DIR") {
			t.Errorf("%d %s", code, out)
		}
		for _, args := range [][]string{{"--wrong"}, {"--target"}, {"argument"}, {"--list", "--", "x"}} {
			if out, code := run(t, t.TempDir(), append([]string{silent}, args...)...); code != 2 {
				t.Errorf("%v: %d %s", args, code, out)
			}
		}
	})
	t.Run("without a program it unpacks into a folder of its name", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		if out, code := run(t, dir, silent); code != 0 {
			t.Fatalf("%d %s", code, out)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "widgets-1.5.57", "sub dir", "it's")); err != nil || string(b) != "x" {
			t.Errorf("%q, %v", b, err)
		}
		if i, err := os.Stat(filepath.Join(dir, "widgets-1.5.57", "install.sh")); err != nil || i.Mode().Perm()&0o100 == 0 || !i.ModTime().Equal(commitTime.Truncate(1e9)) {
			t.Errorf("%v, %v", i, err)
		}
	})
	t.Run("a program gets its arguments, and its exit code goes on", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		out, code := run(t, dir, append([]string{running, "--"}, awkward...)...)
		_, words, _ := strings.Cut(out, "|")
		if want := "--first|it's $HOME|" + strings.Join(awkward, "|") + "|data"; code != 7 || words != want {
			t.Errorf("%d %q", code, out)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("there is left %v, %v", left, err)
		}
	})
	t.Run("a target is kept, whatever it is called", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		target := "-o it's \"$(touch bad)\""
		if out, code := run(t, dir, running, "--target", target); code != 7 || !strings.HasPrefix(out, filepath.Join(dir, target)) {
			t.Errorf("%d %s", code, out)
		}
		if out, code := run(t, dir, running, "--target="+target, "--no-run"); code != 0 { // once more over it
			t.Errorf("%d %s", code, out)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("there is %v, %v", left, err)
		}
	})
}

func TestAPackageForUnixUnpacksItself(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"sh", "bash", "busybox"} {
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			unpacking(t, func(t *testing.T, s pack.Spec) string {
				b := write(t, s)
				name := "it's a $(package).sh"
				if shell != "sh" { // its first line names the shell
					line := "#!" + path
					if shell == "busybox" {
						line += " sh"
					}
					b = withShell(b, line)
				}
				return onUnix(t, name, b)
			})
		})
	}
}

// withShell gives a package another first line, and leaves its length as it is by a shorter second one.
func withShell(b []byte, line string) []byte {
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	return append([]byte(line+"\n#"), rest[len(line)-len(first)+1:]...)
}

func TestADamagedPackageUnpacksNothing(t *testing.T) {
	t.Parallel()
	whole := write(t, spec(pipeline.SFXUnix, file("a", strings.Repeat("x", 10_000), 0o644)))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-20] ^= 1
	for what, b := range map[string][]byte{"cut": whole[:len(whole)-1], "longer": append(bytes.Clone(whole), 0), "flipped": flipped} {
		name := onUnix(t, "p.sh", b)
		dir := t.TempDir()
		for _, arg := range []string{"--check", "--list", "--target=x"} {
			if out, code := run(t, dir, "sh", name, arg); code != 1 || !strings.Contains(out, "widgets-1.5.57: it is") {
				t.Errorf("%s %s: %d %s", what, arg, code, out)
			}
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: there is %v", what, left)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = bytes.NewReader(whole)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "run it as a file") {
		t.Errorf("through a pipe: %v %s", err, out)
	}
}

// buildStub builds the program of packages for Windows for another system.
func buildStub(goos, goarch, to string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", to, "./stub")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "GOAMD64=v1", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// hereStub is the program, built for this machine.
var hereStub = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "stub")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "stub")
	if err := buildStub(runtime.GOOS, runtime.GOARCH, file); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func TestTheProgramOfPackagesForWindowsUnpacksItself(t *testing.T) {
	t.Parallel()
	stub, err := hereStub()
	if err != nil {
		t.Fatal(err)
	}
	unpacking(t, func(t *testing.T, s pack.Spec) string {
		s.Package.Format = pipeline.SFXWindows
		var b bytes.Buffer
		if err := pack.WriteWithStub(t.Context(), &b, s, stub); err != nil {
			t.Fatal(err)
		}
		return onUnix(t, "setup.exe", b.Bytes())
	})
}

func TestTheProgramWritesNothingOutsideOfItsTarget(t *testing.T) {
	t.Parallel()
	stub, err := hereStub()
	if err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(z *zip.Writer) error{
		"up":        func(z *zip.Writer) error { _, err := z.Create("../outside"); return err },
		"absolute":  func(z *zip.Writer) error { _, err := z.Create("/outside"); return err },
		"backslash": func(z *zip.Writer) error { _, err := z.Create(`..\outside`); return err },
		"drive":     func(z *zip.Writer) error { _, err := z.Create(`C:outside`); return err },
		"link": func(z *zip.Writer) error {
			h := &zip.FileHeader{Name: "l"}
			h.SetMode(os.ModeSymlink | 0o777)
			w, err := z.CreateHeader(h)
			if err == nil {
				_, err = w.Write([]byte(".."))
			}
			return err
		},
		"through a link that is there": func(z *zip.Writer) error { _, err := z.Create("there/outside"); return err },
	} {
		var b bytes.Buffer
		b.Write(stub)
		z := zip.NewWriter(&b)
		z.SetOffset(int64(len(stub)))
		if err := errors.Join(change(z), z.SetComment(`{"package":"p"}`), z.Close()); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "target"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("..", filepath.Join(dir, "target", "there")); err != nil {
			t.Fatal(err)
		}
		out, code := run(t, dir, onUnix(t, "setup.exe", b.Bytes()), "--target", "target")
		if code != 1 {
			t.Errorf("%s: %d %s", what, code, out)
		}
		if left, _ := os.ReadDir(dir); len(left) != 1 {
			t.Errorf("%s: there is %v", what, left)
		}
		if left, _ := os.ReadDir(filepath.Join(dir, "target")); len(left) != 1 {
			t.Errorf("%s: in the target there is %v", what, left)
		}
	}
}

func TestAPackageForWindowsIsAProgramForWindows(t *testing.T) {
	t.Parallel()
	s := spec(pipeline.SFXWindows, file("a.txt", "x", 0o644))
	b := write(t, s)
	p, err := pe.NewFile(bytes.NewReader(b))
	if err != nil || p.Machine != pe.IMAGE_FILE_MACHINE_AMD64 {
		t.Fatalf("%v, %v", p, err)
	}
	if h, ok := p.OptionalHeader.(*pe.OptionalHeader64); !ok || h.Subsystem != pe.IMAGE_SUBSYSTEM_WINDOWS_CUI {
		t.Errorf("%+v", p.OptionalHeader)
	}
	if got := readZip(t, b); got["a.txt"].content != "x" {
		t.Errorf("got %v", got)
	}
}

func TestTheProgramThatIsKeptIsTheOneOfItsSource(t *testing.T) {
	t.Parallel()
	kept, err := pack.Stub()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.Read(bytes.NewReader(kept))
	if err != nil {
		t.Fatal(err)
	}
	if info.GoVersion != runtime.Version() {
		t.Skipf("it was made by %s, and this is %s: run go generate in tasks/builder/pack", info.GoVersion, runtime.Version())
	}
	file := filepath.Join(t.TempDir(), "stub.exe")
	if err := buildStub("windows", "amd64", file); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(file); err != nil || !bytes.Equal(again, kept) {
		t.Errorf("its source has changed: run go generate in tasks/builder/pack (%v)", err)
	}
}
