// Package stamp writes the version of a build into files before they are compiled, and puts the files back after.
//
// Nothing of a file is lost, whatever dies and whenever. The folder .stint-stamp at the root of the tree holds the originals
// while they are out of their places: the very files, by a second link, not copies, so that they come back with their times
// and owners, too. A journal beside them is written, and on the disk, before the first file is changed:
//
//	lock, originals, stamped texts, journal │ stamped files take their places │ the command │ originals take theirs back │ journal gone
//	             nothing has changed yet    │        ← the journal says what has to come back, also after a crash →       │
//
// A file is exchanged by a rename, so that who reads it sees the one or the other, and never half of it. All paths are
// followed inside of the tree: a link that leads out of it leads nowhere.
package stamp

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/glob"
)

// Folder is where the originals are while they are out of their places. git is told to ignore it.
const Folder = ".stint-stamp"

// ErrBusy is that another process has stamped the tree, and lives.
var ErrBusy = errors.New("the tree is stamped by another process")

// Stamped are files that have a version in them. It is not safe for concurrent use.
type Stamped struct {
	// Files are the paths of those files, from the root of the tree, with slashes, in order.
	Files   []string
	tree    *tree
	entries []entry
}

// entry is one file in the journal.
type entry struct {
	Path     string `json:"path"`
	Original string `json:"original"` // SHA-256 of what it was
	Stamped  string `json:"stamped"`  // SHA-256 of what it is
	// The file itself, for a command that clears all away that git does not know, the originals among it.
	content []byte
	info    fs.FileInfo
}

// Files stamps files of a tree. The paths of the targets begin in dir, a folder of the tree; root is the tree's. A file in
// which nothing was found to stamp is an error, and so is a path without a file; then nothing has been changed. What an earlier
// process left stamped when it died is put back first. ErrBusy is returned while another one is at it.
func Files(root, dir string, targets []Target, v Values) (*Stamped, error) {
	t, err := open(root)
	if err != nil {
		return nil, err
	}
	s := &Stamped{tree: t}
	if err := s.stamp(dir, targets, v); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return s, nil
}

func (s *Stamped) stamp(dir string, targets []Target, v Values) error {
	if _, err := s.tree.recover(); err != nil {
		return err
	}
	kinds, err := s.tree.choose(dir, targets)
	if err != nil {
		return err
	}
	for name := range kinds {
		s.Files = append(s.Files, name)
	}
	slices.Sort(s.Files)
	for i, name := range s.Files {
		e, err := s.tree.prepare(i, name, kinds[name], v)
		if err != nil {
			return err
		}
		s.entries = append(s.entries, e)
	}
	if err := s.tree.write(s.entries); err != nil {
		return err
	}
	for i, e := range s.entries {
		if err := s.tree.root.Rename(inFolder(i, "stamped"), e.Path); err != nil {
			_, back := s.tree.restore(s.entries, false)
			return errors.Join(tasks.WithHint(err, "another program may hold it", "%s cannot be stamped", e.Path), back)
		}
	}
	return nil
}

// Restore puts the files back, byte for byte, and names those that somebody has changed in the meantime; the changes are gone.
// Where one cannot be put back, the error says which; its original and the journal stay, for another Restore or for Recover.
func (s *Stamped) Restore() (changed []string, err error) {
	changed, err = s.tree.restore(s.entries, false)
	return changed, errors.Join(err, s.tree.close())
}

// Recover puts back what a process left stamped when it died, and names it. A file that has been changed since then comes
// back as well, and what it was changed to is kept beside it, with KeptSuffix. ErrBusy is returned while the process lives.
func Recover(root string) (files []string, err error) {
	if _, err := os.Lstat(filepath.Join(root, Folder)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // nothing is written into a tree that nobody has stamped
	}
	t, err := open(root)
	if err != nil {
		return nil, err
	}
	files, err = t.recover()
	return files, errors.Join(err, t.close())
}

// choose finds the files of the targets. A file that two of them name is stamped by both.
func (t *tree) choose(dir string, targets []Target) (map[string][]kind, error) {
	found := map[string][]kind{}
	for _, target := range targets {
		if path.IsAbs(target.Path) || filepath.IsAbs(target.Path) {
			return nil, tasks.WithHint(nil, "write the path from the folder that is built", "%q leads out of the tree", target.Path)
		}
		names, err := t.match(path.Join(dir, path.Clean(filepath.ToSlash(target.Path))))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			k := target.kind
			if k == nil {
				if k = kindOf(name); k == nil {
					return nil, tasks.WithHint(nil, "give a pattern after the path: "+name+`=VERSION "(.*)"`, "nothing is known about where the version stands in %s", name)
				}
			}
			found[name] = append(found[name], k)
		}
	}
	return found, nil
}

// prepare keeps the original of a file, and writes what it will be.
func (t *tree) prepare(i int, name string, kinds []kind, v Values) (entry, error) {
	info, err := t.root.Lstat(name)
	if err != nil {
		return entry{}, err
	}
	if err := t.keep(i, name, info); err != nil {
		return entry{}, fmt.Errorf("keep the original of %s: %w", name, err)
	}
	original, err := t.root.ReadFile(inFolder(i, "original"))
	if err != nil {
		return entry{}, err
	}
	stamped, err := stampText(original, kinds, v)
	if err != nil {
		return entry{}, tasks.WithHint(err, "see that it has a place for the version, and that the pattern, if one was given, fits it", "%s cannot be stamped", name)
	}
	if err := t.create(inFolder(i, "stamped"), stamped, info.Mode().Perm()); err != nil {
		return entry{}, err
	}
	return entry{Path: name, Original: digest(original), Stamped: digest(stamped), content: original, info: info}, nil
}

func stampText(original []byte, kinds []kind, v Values) ([]byte, error) {
	text, e, err := decode(original)
	if err != nil {
		return nil, err
	}
	for _, find := range kinds {
		edits, err := find(text, v)
		if err != nil {
			return nil, err
		}
		if len(edits) == 0 {
			return nil, errors.New("no version stands in it")
		}
		if text, err = apply(text, edits); err != nil {
			return nil, err
		}
	}
	return e.encode(text), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// largest is more than any file has that a person writes a version into, in bytes.
const largest = 64 << 20

// keep makes the original's second link; where a file system has none, a copy with the same times.
func (t *tree) keep(i int, name string, info fs.FileInfo) error {
	to := inFolder(i, "original")
	if t.root.Link(name, to) == nil {
		return nil
	}
	from, err := t.root.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	b, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if err := t.create(to, b, info.Mode().Perm()); err != nil {
		return err
	}
	return t.root.Chtimes(to, info.ModTime(), info.ModTime())
}

// match finds the files of a path or a glob.
func (t *tree) match(pattern string) ([]string, error) {
	if err := t.own(pattern); err != nil {
		return nil, err
	}
	if _, err := t.root.Lstat(pattern); err == nil {
		return []string{pattern}, t.stampable(pattern)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, outside(pattern, err)
	}
	if err := glob.Check(pattern); err != nil {
		return nil, tasks.WithHint(err, "*, ?, [a-z] and {a,b} within a name, ** for folders", "%q is no pattern", pattern)
	}
	var names []string
	err := fs.WalkDir(t.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.EqualFold(d.Name(), ".git") || d.Name() == Folder):
			return fs.SkipDir
		case !d.Type().IsRegular() || !glob.Match(pattern, name):
			return nil
		}
		names = append(names, name)
		return t.stampable(name)
	})
	if err == nil && len(names) == 0 {
		err = tasks.WithHint(nil, "paths begin in the folder that is built", "there is no file %s to stamp", pattern)
	}
	return names, err
}

// stampable says why a file must not be stamped.
func (t *tree) stampable(name string) error {
	if err := t.own(name); err != nil {
		return err
	}
	info, err := t.root.Lstat(name)
	switch {
	case err != nil:
		return outside(name, err)
	case info.Mode()&fs.ModeSymlink != 0:
		return tasks.WithHint(nil, "name the file that it points to, if it is in the repository", "%s is a symbolic link", name)
	case !info.Mode().IsRegular():
		return tasks.WithHint(nil, "name a file", "%s is no regular file", name)
	case info.Size() > largest:
		return tasks.WithHint(nil, "stamp the source that it is made from", "%s is too large, with more than %d bytes", name, largest)
	}
	return nil
}

// own says why a path is none of the product's own: git's files and ours are not, and links may lead to them, or out of the tree.
func (t *tree) own(name string) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
		return tasks.WithHint(nil, "only files of the repository are stamped", "%q leads out of the tree", name)
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if strings.EqualFold(part, ".git") || strings.EqualFold(part, Folder) {
			return tasks.WithHint(nil, "stamp files of the product", "%s is not the product's", name)
		}
		info, err := t.root.Lstat(path.Join(parts[:i]...))
		if i > 0 && err == nil && info.Mode()&fs.ModeSymlink != 0 {
			return tasks.WithHint(nil, "name the file by its real path, if it is in the repository", "%s leads through a symbolic link", name)
		}
	}
	return nil
}

// outside says in our words that a link on the way leads out of the tree.
func outside(name string, err error) error {
	return tasks.WithHint(err, "only files of the repository are stamped, and links that lead out of it are not followed", "%s cannot be stamped", name)
}
