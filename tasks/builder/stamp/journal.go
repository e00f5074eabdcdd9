package stamp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"

	"github.com/stint-run/stint/internal/filelock"
	"github.com/stint-run/stint/tasks"
)

// tree is a folder of files with the lock on it.
type tree struct {
	root *os.Root
	lock *os.File
	// kept: the originals are still needed, and the folder stays.
	kept bool
}

const (
	journalName = Folder + "/journal.json"
	lockName    = Folder + "/lock"
)

// KeptSuffix is what the name of a file ends in that was changed after its process had died, beside the original.
const KeptSuffix = ".changed-while-stamped"

func inFolder(i int, what string) string { return path.Join(Folder, strconv.Itoa(i)+"."+what) }

// open locks a tree.
func open(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	const attempts = 100 // the folder is gone in between only where others come and go
	for range attempts {
		lock, gone, err := openLock(root)
		if err != nil {
			return nil, errors.Join(err, root.Close())
		}
		if !gone {
			return &tree{root: root, lock: lock}, nil
		}
	}
	return nil, errors.Join(ErrBusy, root.Close())
}

// openLock takes the lock. It can be gone again: the last owner removes the folder, and who has waited holds a file without a name.
func openLock(root *os.Root) (lock *os.File, gone bool, err error) {
	if err := root.Mkdir(Folder, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, err
	}
	if info, err := root.Lstat(Folder); err == nil && !info.IsDir() {
		return nil, false, tasks.WithHint(nil, "move it away", "%s is no folder", Folder)
	}
	lock, err = root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	locked, err := filelock.Try(lock)
	if err == nil && !locked {
		err = tasks.WithHint(ErrBusy, "wait for it to end", "wait for the other build")
	}
	if err != nil {
		return nil, false, errors.Join(err, lock.Close())
	}
	mine, err := lock.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = root.Lstat(lockName); err == nil && os.SameFile(mine, there) {
			return lock, false, nil
		}
	}
	return nil, true, lock.Close()
}

// close gives the tree free. What lies in the folder goes with it, unless an original has not come back.
func (t *tree) close() error {
	var err error
	switch {
	case t.kept:
	case runtime.GOOS == "windows": // a file that is open, the lock, has to stay
		err = t.clear()
	default:
		err = t.root.RemoveAll(Folder)
	}
	return errors.Join(err, t.lock.Close(), t.root.Close())
}

// create writes a new file, and has it on the disk.
func (t *tree) create(name string, b []byte, mode fs.FileMode) error {
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode) // whatever the umask took away
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// write makes the journal. With it, what has to come back is on the disk.
func (t *tree) write(entries []entry) error {
	b, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		return err
	}
	const unnamed = journalName + ".new"
	if err := t.create(unnamed, b, 0o600); err != nil {
		return err
	}
	t.sync(Folder) // the names of the originals
	if err := t.root.Rename(unnamed, journalName); err != nil {
		return err
	}
	t.kept = true
	t.sync(Folder)
	t.sync(".")
	return nil
}

// sync has the names of a folder on the disk, where a system can do that for folders.
func (t *tree) sync(folder string) {
	if f, err := t.root.Open(folder); err == nil {
		_ = f.Sync()
		_ = f.Close()
	}
}

// recover puts back what a process left that died. Without a journal it had changed nothing yet. The folder is as new then.
func (t *tree) recover() ([]string, error) {
	var entries []entry
	b, err := t.root.ReadFile(journalName)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		t.kept = true
		return nil, err
	default:
		t.kept = true
		if err := json.Unmarshal(b, &entries); err != nil {
			return nil, tasks.WithHint(err, "the originals lie beside it, as N.original, in the order of its list", "the journal %s cannot be read", journalName)
		}
	}
	if _, err := t.restore(entries, true); err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		files = append(files, e.Path)
	}
	return files, t.clear()
}

// clear empties the folder, the lock left out, and has git ignore it.
func (t *tree) clear() error {
	list, err := fs.ReadDir(t.root.FS(), Folder)
	if err != nil {
		return err
	}
	for _, d := range list {
		if name := path.Join(Folder, d.Name()); name != lockName {
			if err := t.root.RemoveAll(name); err != nil {
				return err
			}
		}
	}
	return t.create(Folder+"/.gitignore", []byte("*\n"), 0o600)
}

// restore puts the originals back. The journal goes when all of them are there, and is what a later try goes by until then.
func (t *tree) restore(entries []entry, keepChanges bool) (changed []string, err error) {
	var failures []error
	for i, e := range entries {
		was, err := t.restoreOne(i, e, keepChanges)
		if err != nil {
			failures = append(failures, fmt.Errorf("put back %s: %w", e.Path, err))
		} else if was {
			changed = append(changed, e.Path)
		}
	}
	if len(failures) > 0 {
		return changed, tasks.WithHint(errors.Join(failures...), "the originals are in "+Folder+"; stint build version --restore tries again", "not all files could be put back")
	}
	for _, e := range entries {
		t.sync(path.Dir(e.Path))
	}
	if err := t.root.Remove(journalName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changed, err
	}
	t.sync(Folder)
	t.kept = false
	return changed, nil
}

// restoreOne puts one original back, and reports whether somebody has changed the stamped file. Doing it twice does it once.
func (t *tree) restoreOne(i int, e entry, keepChanges bool) (changed bool, err error) {
	if err := t.own(e.Path); err != nil { // a journal may have come with the repository
		return false, err
	}
	original, there := inFolder(i, "original"), false
	kept, err := t.root.Lstat(original)
	if errors.Is(err, fs.ErrNotExist) {
		return false, t.again(e)
	}
	if err != nil {
		return false, err
	}
	if b, err := t.root.ReadFile(original); err != nil || digest(b) != e.Original {
		return false, errors.Join(errors.New("its original is another one than the journal says"), err)
	}
	if info, err := t.root.Lstat(e.Path); err == nil {
		if os.SameFile(kept, info) {
			return false, t.root.Remove(original) // it never left its place
		}
		there = info.Mode().IsRegular()
		changed = !there
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if there {
		now, err := t.root.ReadFile(e.Path)
		if err != nil {
			return false, err
		}
		sum := digest(now)
		changed = sum != e.Stamped && sum != e.Original
		if changed && keepChanges {
			if err := t.root.Rename(e.Path, e.Path+KeptSuffix); err != nil {
				return false, err
			}
		}
	}
	if err := t.root.MkdirAll(path.Dir(e.Path), 0o755); err != nil {
		return false, err
	}
	return changed, t.root.Rename(original, e.Path)
}

// again is for an original that is not in the folder any more: it has come back before, or it is written anew.
func (t *tree) again(e entry) error {
	now, err := t.root.ReadFile(e.Path)
	if err == nil && digest(now) == e.Original {
		return nil
	}
	if e.info == nil {
		return errors.Join(errors.New("its original is gone"), err)
	}
	fresh := e.Path + ".stint-original"
	if err := t.root.MkdirAll(path.Dir(e.Path), 0o755); err != nil {
		return err
	}
	if err := t.create(fresh, e.content, e.info.Mode().Perm()); err != nil {
		return err
	}
	if err := t.root.Chtimes(fresh, e.info.ModTime(), e.info.ModTime()); err != nil {
		return err
	}
	return t.root.Rename(fresh, e.Path)
}
