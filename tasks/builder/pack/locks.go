package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/stint-run/stint/tasks"
)

// maxLock is what a lock file may have in bytes. The largest of npm's that are known have some 10 MB.
const maxLock = 64 << 20

// lockReaders read lock files by their names. companion opens a file beside it, for go.sum.
var lockReaders = map[string]func(content []byte, companion func(name string) ([]byte, error)) ([]Dependency, error){
	"go.mod": goModules, "package-lock.json": npmLock, "npm-shrinkwrap.json": npmLock, "packages.lock.json": nugetLock, "Cargo.lock": cargoLock,
	"requirements.txt": pythonRequirements, "composer.lock": composerLock,
}

// notWalked are folders with the files of others.
var notWalked = []string{".git", "node_modules", "vendor", "testdata", "target", ".venv"}

// FindLocks reads the lock files of a tree: go.mod with go.sum, package-lock.json, packages.lock.json, Cargo.lock, requirements.txt and
// composer.lock, in any folder but those of fetched packages, test data and git's own. A file that is named as a lock file and cannot be
// read as one is an error that names it. The tree is one that a build has left, so give it as that of an os.Root.
func FindLocks(ctx context.Context, tree fs.FS) ([]Dependency, error) {
	var found []Dependency
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case e.IsDir() && slices.Contains(notWalked, e.Name()):
			return fs.SkipDir
		}
		read, ok := lockReaders[e.Name()]
		if !ok || !e.Type().IsRegular() {
			return nil
		}
		content, err := readLock(tree, name)
		if err != nil {
			return err
		}
		list, err := read(content, func(beside string) ([]byte, error) { return readLock(tree, path.Join(path.Dir(name), beside)) })
		if err != nil {
			return tasks.WithHint(err, "make it anew with the tool that it belongs to", "%s cannot be read for the bill of materials", name)
		}
		for _, d := range list {
			d.From = []string{name}
			found = append(found, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find lock files: %w", err)
	}
	return merged(found), nil
}

// readLock reads a file, or a nil text where there is none.
func readLock(tree fs.FS, name string) ([]byte, error) {
	f, err := tree.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxLock+1))
	if err == nil && len(b) > maxLock {
		err = tasks.WithHint(nil, "leave it out of the tree", "%s has more than %d bytes", name, maxLock)
	}
	return b, err
}
