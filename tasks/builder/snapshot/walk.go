package snapshot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/stint-run/stint/tasks"
)

// found is one thing of a workspace, as it is on its way into a manifest.
type found struct {
	Entry
	stat stat
	gone bool // it vanished before it could be read
}

// walker lists a workspace.
type walker struct {
	ctx     context.Context
	root    *os.Root
	exclude globs
	most    int64
	others  chan struct{} // one for each goroutine that lists beside the first
	running sync.WaitGroup

	mu    sync.Mutex
	found []found
	err   error // the first of a goroutine
}

func (w *walker) add(p string, info fs.FileInfo) error {
	if why := pathFault(p); why != "" {
		return refused("give it another name, or exclude it", "%q cannot travel: %s", p, why)
	}
	f := found{Entry: Entry{Path: p, Mode: info.Mode().Perm(), ModTime: info.ModTime()}, stat: statOf(info)}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		f.Kind, f.Size = File, info.Size()
	case mode.IsDir():
		f.Kind = Folder
	case mode&fs.ModeSymlink != 0:
		target, err := w.root.Readlink(filepath.FromSlash(p))
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) {
			return nil
		}
		if err != nil {
			return unreadable(err, p)
		}
		f.Kind, f.Target, f.Mode, f.ModTime = Link, filepath.ToSlash(target), 0, Entry{}.ModTime
	default:
		return refused("remove it at the end of the step, or exclude it", "%q is no file, folder or link (%s)", p, mode.Type())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if int64(len(w.found)) >= w.most {
		return tooLarge("exclude what can be made anew", "the workspace has more than %d files", w.most)
	}
	w.found = append(w.found, f)
	return w.err
}

// folder lists a folder and what is in it. dir is opened at p, "" for the workspace.
func (w *walker) folder(dir *os.Root, p string) error {
	if err := context.Cause(w.ctx); err != nil {
		return err
	}
	list, err := readFolder(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return unreadable(err, p)
	}
	for _, d := range list {
		name := d.Name()
		if isGit(name) {
			continue
		}
		below := name
		if p != "" {
			below = p + "/" + name
		}
		if w.exclude.fits(below) {
			continue
		}
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return unreadable(err, below)
		}
		if err := w.add(below, info); err != nil {
			return err
		}
		if !info.IsDir() {
			continue
		}
		sub, err := dir.OpenRoot(name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return unreadable(err, below)
		}
		if err := w.inside(sub, below); err != nil {
			return err
		}
	}
	return nil
}

// inside lists a folder: in a goroutine of its own where there is room for one. It closes the folder.
func (w *walker) inside(sub *os.Root, p string) error {
	select {
	case w.others <- struct{}{}:
	default:
		err := w.folder(sub, p)
		_ = sub.Close()
		return err
	}
	w.running.Go(func() {
		defer func() { <-w.others }()
		err := w.folder(sub, p)
		_ = sub.Close()
		if err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.err = cmp.Or(w.err, err)
		}
	})
	return nil
}

func readFolder(dir *os.Root) ([]fs.DirEntry, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

// paths lists what the caller has named, and the folders on the way there.
func (w *walker) paths(paths []string) error {
	folders := map[string]bool{"": true} // whether it is one: nothing is followed through a link
	var isFolder func(p string) (bool, error)
	isFolder = func(p string) (bool, error) {
		if is, known := folders[p]; known {
			return is, nil
		}
		is, err := isFolder(parent(p))
		if err != nil || !is {
			folders[p] = false
			return false, err
		}
		info, err := w.root.Lstat(filepath.FromSlash(p))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, unreadable(err, p)
		}
		folders[p] = err == nil && info.IsDir()
		if folders[p] {
			err = w.add(p, info)
		} else {
			err = nil
		}
		return folders[p], err
	}
	sorted := slices.Clone(paths)
	slices.Sort(sorted)
	for _, p := range slices.Compact(sorted) {
		if err := context.Cause(w.ctx); err != nil {
			return err
		}
		if p = strings.TrimSuffix(p, "/"); slices.ContainsFunc(strings.Split(p, "/"), isGit) || w.exclude.covers(p) {
			continue
		}
		if why := pathFault(p); why != "" {
			return refused("name files from the root of the workspace", "%q cannot be captured: %s", p, why)
		}
		if is, err := isFolder(parent(p)); err != nil {
			return err
		} else if !is {
			continue
		}
		info, err := w.root.Lstat(filepath.FromSlash(p))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return unreadable(err, p)
		case info.IsDir():
			_, err = isFolder(p)
		default:
			err = w.add(p, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list returns what is in a workspace, in the order of paths.
func (s *Store) list(ctx context.Context, root *os.Root, o CaptureOptions) ([]found, error) {
	exclude, err := readGlobs(o.Exclude)
	if err != nil {
		return nil, err
	}
	w := &walker{ctx: ctx, root: root, exclude: exclude, most: s.o.MaxFiles, others: make(chan struct{}, s.o.Workers-1)}
	if o.Paths != nil {
		err = w.paths(o.Paths)
	} else {
		err = w.folder(root, "")
		w.running.Wait()
		err = cmp.Or(err, w.err)
	}
	if err != nil {
		return nil, err
	}
	slices.SortFunc(w.found, func(a, b found) int { return cmp.Compare(a.Path, b.Path) })
	links := map[string]string{}
	var total int64
	for i := range w.found {
		f := &w.found[i]
		if total += f.Size; total > s.o.MaxBytes {
			return nil, tooLarge("exclude what can be made anew", "the files have more than %d bytes", s.o.MaxBytes)
		}
		if f.Kind == Link {
			links[f.Path] = f.Target
		}
	}
	for i := range w.found {
		if f := &w.found[i]; f.Kind == Link && leadsOut(f.Path, links) {
			return nil, refused("link to a file of the workspace, by a relative path, or exclude it", "the link %q to %q leads out of the workspace", f.Path, f.Target)
		}
	}
	return w.found, nil
}

// unreadable gives an error of the workspace its path and a hint.
func unreadable(err error, p string) error {
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "let the step end with files that its user may read, or exclude it"
	}
	return tasks.WithHint(err, hint, "%q cannot be read", p)
}

// open opens a workspace.
func open(dir string) (*os.Root, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the workspace: %w", err)
	}
	return root, nil
}
