// Command stub is the program of a self-extracting package for Windows: it reads the zip that stands behind itself, unpacks it, and
// starts what the package says. It is built by `go generate ../` and imports the standard library alone, so that the same version of
// Go makes the same bytes of it anywhere.
//
// Nothing is written outside of the folder that it unpacks into: names that lead out, entries that are no regular files and names
// with \ or : are refused, and each path is opened below an os.Root.
package main

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

const usage = `usage: FILE [--target DIR] [--no-run] [--] [ARGUMENTS]
       FILE --list | --check | --help

  --target DIR  unpack into DIR and leave it there
  --no-run      unpack only
  --list        say what is in it
  --check       say whether it is whole
  ARGUMENTS     are for the program that is started when it has unpacked itself

Without --target it unpacks into a temporary folder where it starts a program, and removes that folder
afterwards; else into a folder of its own name.
`

func main() {
	code, err := start(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		if code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

// options are what the command line says.
type options struct {
	action string // unpack, list, check or help
	target string
	noRun  bool
	args   []string
}

var errUsage = errors.New("see --help")

func parse(args []string) (options, error) {
	o := options{action: "unpack"}
	for len(args) > 0 {
		arg := args[0]
		switch {
		case arg == "--help", arg == "--list", arg == "--check":
			o.action = arg[2:]
		case arg == "--no-run":
			o.noRun = true
		case arg == "--target":
			if len(args) < 2 || args[1] == "" {
				return o, fmt.Errorf("say where: --target DIR (%w)", errUsage)
			}
			o.target, args = args[1], args[1:]
		case strings.HasPrefix(arg, "--target=") && len(arg) > len("--target="):
			o.target = arg[len("--target="):]
		case arg == "--":
			o.args = args[1:]
			return o, nil
		case strings.HasPrefix(arg, "-"):
			return o, fmt.Errorf("unknown option %s (%w)", arg, errUsage)
		default:
			o.args = args
			return o, nil
		}
		args = args[1:]
	}
	return o, nil
}

// about is what the package says of itself.
type about struct {
	Package string   `json:"package"`
	Run     []string `json:"run"`
}

func start(args []string) (code int, err error) {
	o, err := parse(args)
	if err != nil {
		return 2, err
	}
	if o.action == "help" {
		fmt.Print(usage)
		return 0, nil
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	z, err := zip.OpenReader(self)
	if err != nil {
		return 1, fmt.Errorf("it is not whole: %w", err)
	}
	defer z.Close()
	var a about
	if err := json.Unmarshal([]byte(z.Comment), &a); err != nil || a.Package == "" {
		return 1, errors.New("it is damaged: it does not say what it is")
	}
	if (o.action != "unpack" || o.noRun || len(a.Run) == 0) && len(o.args) > 0 {
		return 2, fmt.Errorf("%s is for nobody: no program is started (%w)", o.args[0], errUsage)
	}
	for _, f := range z.File {
		if err := allowed(f); err != nil {
			return 1, err
		}
	}
	switch o.action {
	case "list":
		for _, f := range z.File {
			fmt.Println(f.Name)
		}
		return 0, nil
	case "check":
		for _, f := range z.File {
			if err := content(f, io.Discard); err != nil {
				return 1, err
			}
		}
		fmt.Println(a.Package, "is whole")
		return 0, nil
	}
	return unpack(&z.Reader, a, o)
}

// allowed refuses what would not stay in the folder.
func allowed(f *zip.File) error {
	if !filepath.IsLocal(filepath.FromSlash(f.Name)) || path.Clean(f.Name) != f.Name || strings.ContainsAny(f.Name, "\\:\x00") {
		return fmt.Errorf("it is refused: the name %q leads out of the folder", f.Name)
	}
	if !f.Mode().IsRegular() {
		return fmt.Errorf("it is refused: %q is no regular file", f.Name)
	}
	return nil
}

// content writes what is in an entry, and no more of it than it says; the reader compares the checksum.
func content(f *zip.File, w io.Writer) error {
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	defer r.Close()
	if n, err := io.Copy(w, io.LimitReader(r, int64(f.UncompressedSize64)+1)); err != nil {
		return fmt.Errorf("it is damaged: %s: %w", f.Name, err)
	} else if n != int64(f.UncompressedSize64) {
		return fmt.Errorf("it is damaged: %s has %d bytes", f.Name, n)
	}
	return nil
}

func unpack(z *zip.Reader, a about, o options) (code int, err error) {
	run := len(a.Run) > 0 && !o.noRun
	dir := o.target
	switch {
	case dir == "" && run:
		if dir, err = os.MkdirTemp("", "package-"); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	case dir == "":
		if dir = a.Package; !filepath.IsLocal(dir) {
			return 1, errors.New("it is damaged: its name is none")
		}
		fallthrough
	default:
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return 1, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return 1, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 1, err
	}
	for _, f := range z.File {
		if err := write(root, f); err != nil {
			_ = root.Close() // the error before says more
			return 1, err
		}
	}
	if err := root.Close(); err != nil { // Windows removes no folder that somebody holds
		return 1, err
	}
	if !run {
		fmt.Println("unpacked into", dir)
		return 0, nil
	}
	return execute(dir, a.Run, o.args)
}

func write(root *os.Root, f *zip.File) error {
	if err := root.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
		return err
	}
	file, err := root.OpenFile(f.Name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, f.Mode().Perm())
	if err != nil {
		return err
	}
	err = content(f, file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil && !f.Modified.IsZero() {
		err = root.Chtimes(f.Name, f.Modified, f.Modified)
	}
	return err
}

// execute starts the package's program in its folder. Its exit code is ours.
func execute(dir string, run, args []string) (int, error) {
	name := run[0]
	if inside, ok := strings.CutPrefix(name, "./"); ok {
		name = filepath.Join(dir, filepath.FromSlash(inside))
	}
	cmd := exec.Command(name, append(run[1:len(run):len(run)], args...)...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return max(failed.ExitCode(), 1), nil
	}
	return 0, err
}
