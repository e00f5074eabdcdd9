package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// lookUp finds the program of a command, by the command's PATH and never by ours. An empty place in PATH is not the current folder,
// as it is for a shell: what a repository calls "make" is not to be taken for make.
func lookUp(name, dir string, env []string) (string, error) {
	if strings.ContainsRune(name, '/') || filepath.Base(name) != name {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		found, err := executable(path, env)
		if err != nil {
			return "", tasks.WithHint(err, "a program with a slash in its name is looked for in the folder of the command", "there is no program %s", path)
		}
		return found, nil
	}
	path := variable(env, "PATH")
	var denied error
	for _, folder := range filepath.SplitList(path) {
		if folder == "" {
			continue
		}
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(dir, folder)
		}
		found, err := executable(filepath.Join(folder, name), env)
		if err == nil {
			return found, nil
		}
		if os.IsPermission(err) && denied == nil {
			denied = err
		}
	}
	if path == "" {
		path = "(empty)"
	}
	return "", tasks.WithHint(denied, "install it on the agent, or name it under tools", "there is no program %q in PATH: %s", name, path)
}

// executable returns the path of a program, with the extension that Windows wants.
func executable(path string, env []string) (string, error) {
	if runtime.GOOS == "windows" {
		return withExtension(path, env)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case info.IsDir():
		return "", &fs.PathError{Op: "run", Path: path, Err: fs.ErrNotExist}
	case info.Mode()&0o111 == 0:
		return "", &fs.PathError{Op: "run", Path: path, Err: fs.ErrPermission}
	}
	return path, nil
}

func withExtension(path string, env []string) (string, error) {
	extensions := variable(env, "PATHEXT")
	if extensions == "" {
		extensions = ".COM;.EXE;.BAT;.CMD"
	}
	for e := range strings.SplitSeq(";"+extensions, ";") {
		if e == "" && filepath.Ext(path) == "" {
			continue
		}
		if info, err := os.Stat(path + e); err == nil && !info.IsDir() {
			return path + e, nil
		}
	}
	return "", &fs.PathError{Op: "run", Path: path, Err: fs.ErrNotExist}
}
