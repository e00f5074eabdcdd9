package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/tree"
)

// What an export may have where nothing else is said.
const (
	DefaultMaxBytes = 20 << 30
	DefaultMaxFiles = 1_000_000
)

// ExportOptions say what is exported.
type ExportOptions struct {
	// Submodules: those of the commit, too, and theirs, from addresses that are allowed. Without it their folders are empty.
	Submodules bool
	// MaxBytes and MaxFiles are limits for all of it; folders count as files. 0 is DefaultMaxBytes and DefaultMaxFiles.
	MaxBytes int64
	MaxFiles int64
}

// Export writes the files of a commit into a folder, which must be empty or not there yet, and is there whole or not at all, also after
// a kill. The remote is asked only when the commit is not in the mirror.
//
// The files are those of the commit, byte for byte: no filter, no attribute and no hook changes them, and a pointer of git LFS stays
// one. There is no .git. All times are the commit's. A link that leads out of the folder is an error that names it.
func (r *Repositories) Export(ctx context.Context, url, sha, dir string, o ExportOptions) error {
	if err := r.Check(url); err != nil {
		return err
	}
	if err := full(sha); err != nil {
		return err
	}
	m, err := r.open(ctx, url)
	if err != nil {
		return err
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	if o.MaxFiles == 0 {
		o.MaxFiles = DefaultMaxFiles
	}
	dir = filepath.Clean(dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tasks.WithHint(err, "give an empty folder, or one that is not there yet", "the files of a commit cannot be written to %s", dir)
	}
	half := dir + ".part"
	defer func() { _ = os.RemoveAll(half) }()
	return m.with(ctx, sha, "", func(ctx context.Context) error {
		if err := os.RemoveAll(half); err != nil {
			return err
		}
		if err := os.Mkdir(half, 0o755); err != nil {
			return err
		}
		if err := r.write(ctx, m, sha, half, o); err != nil {
			return err
		}
		return os.Rename(half, dir)
	})
}

// export is one export on its way.
type export struct {
	repositories *Repositories
	root         *os.Root
	options      ExportOptions
	links        tree.Links
	folders      []string
	when         time.Time
	bytes, files int64
}

// write fills a folder.
func (r *Repositories) write(ctx context.Context, m *mirror, sha, dir string, o ExportOptions) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	e := &export{repositories: r, root: root, options: o}
	if err := e.module(ctx, m, sha, "", 0); err != nil {
		return err
	}
	// Links come last: until then there is none that a file could be written through.
	if err := e.links.Check(); err != nil {
		return tasks.Permanent(tasks.WithHint(err, "make it lead to something in the repository", "the commit %s of %s has a link that leads out of it", sha, m.address))
	}
	for name, target := range e.links.All {
		if err := root.Symlink(filepath.FromSlash(target), filepath.FromSlash(name)); err != nil {
			return wrote(name, err)
		}
	}
	slices.Reverse(e.folders)
	for _, name := range append(e.folders, ".") {
		if err := root.Chtimes(filepath.FromSlash(name), e.when, e.when); err != nil {
			return wrote(name, err)
		}
	}
	return nil
}

// wrote says which name could not be written. Two names that are one here are the tree's mistake.
func wrote(name string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return tasks.Permanent(tasks.WithHint(err, "a name that differs in capital letters only is the same name to some systems", "%q is in the commit twice", name))
	}
	return fmt.Errorf("write %q: %w", name, err)
}

// module writes a commit below a folder of the export.
func (e *export) module(ctx context.Context, m *mirror, sha, at string, nested int) error {
	o := m.read(ctx)
	defer o.Close()
	top, seconds, err := o.commit(sha)
	if err != nil {
		return err
	}
	if nested == 0 {
		e.when = time.Unix(seconds, 0)
	}
	var inner []place
	if err := e.folder(ctx, o, top, at, at, &inner); err != nil {
		return err
	}
	if !e.options.Submodules || len(inner) == 0 {
		return nil
	}
	return e.submodules(ctx, m, o, top, inner, at, nested)
}

// place is where another repository's commit belongs.
type place struct {
	path string // from the export's root
	sha  string
}

// folder writes a tree. Its own path is there already.
func (e *export) folder(ctx context.Context, o *objects, sha, at, top string, inner *[]place) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	entries, err := o.tree(sha)
	if err != nil {
		return err
	}
	for _, x := range entries {
		name := path.Join(at, x.name)
		if err := e.allow(x.name, name); err != nil {
			return err
		}
		switch x.mode {
		case folder:
			if err := e.mkdir(name); err != nil {
				return err
			}
			err = e.folder(ctx, o, x.sha, name, top, inner)
		case module:
			*inner = append(*inner, place{name, x.sha})
			err = e.mkdir(name)
		case link:
			err = e.link(o, x.sha, name)
		case "100755":
			err = e.file(o, x.sha, name, 0o755)
		case "100644", "100664":
			err = e.file(o, x.sha, name, 0o644)
		default:
			err = tasks.Permanent(fmt.Errorf("%q is neither a file nor a link: its mode is %s", name, shown(x.mode)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mostPath is longer than systems let a path be, in bytes.
const mostPath = 4096

// allow checks one name of a tree. A folder .git would be a repository to the first program that looks, with hooks and all; git itself
// makes no such tree.
func (e *export) allow(name, at string) error {
	if e.files++; e.files > e.options.MaxFiles {
		return tasks.Permanent(tasks.WithHint(nil, "raise the limit, if that is right", "the commit has more than %d files", e.options.MaxFiles))
	}
	if strings.Contains(name, "/") || len(at) > mostPath {
		return tasks.Permanent(fmt.Errorf("%q is no name in a folder", shown(at)))
	}
	if err := tree.Name(at); err != nil {
		return tasks.Permanent(err)
	}
	if isGit(name) {
		return tasks.Permanent(tasks.WithHint(nil, "no git makes such a commit: see who did", "the commit has %q in it, which would be a repository of its own", at))
	}
	return nil
}

// isGit reports whether some system takes a name for .git.
func isGit(name string) bool {
	name, _, _ = strings.Cut(strings.ToLower(name), ":") // NTFS: what follows is a stream
	name = strings.TrimRight(name, ". ")                 // Windows: these do not count at the end
	name = strings.Map(func(r rune) rune {
		switch { // macOS: these do not count anywhere
		case r >= 0x200c && r <= 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x206a && r <= 0x206f, r == 0xfeff:
			return -1
		}
		return r
	}, name)
	return name == ".git" || name == "git~1"
}

func (e *export) mkdir(name string) error {
	if err := e.root.Mkdir(filepath.FromSlash(name), 0o755); err != nil {
		return wrote(name, err)
	}
	e.folders = append(e.folders, name)
	return nil
}

func (e *export) spend(size int64) error {
	if size > e.options.MaxBytes-e.bytes {
		return tasks.Permanent(tasks.WithHint(nil, "raise the limit, if that is right", "the files of the commit have more than %d bytes", e.options.MaxBytes))
	}
	e.bytes += size
	return nil
}

func (e *export) file(o *objects, sha, name string, mode fs.FileMode) error {
	b, err := o.open(sha, "blob")
	if err != nil {
		return err
	}
	if err := e.spend(b.size); err != nil {
		return err
	}
	local := filepath.FromSlash(name)
	file, err := e.root.OpenFile(local, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return wrote(name, err)
	}
	_, err = io.Copy(file, b)
	err = errors.Join(err, file.Chmod(mode), file.Close()) // whatever the umask is
	if err != nil {
		return fmt.Errorf("write %q: %w", name, err)
	}
	if err := b.check(); err != nil {
		return err
	}
	return e.root.Chtimes(local, e.when, e.when)
}

func (e *export) link(o *objects, sha, name string) error {
	target, err := o.whole(sha, "blob", mostPath)
	var large *tooLarge
	if errors.As(err, &large) {
		return tasks.Permanent(fmt.Errorf("the link %q: %w", name, err))
	}
	if err != nil {
		return err
	}
	if err := e.spend(int64(len(target))); err != nil {
		return err
	}
	if err := e.links.Add(name, string(target)); err != nil {
		return tasks.Permanent(err)
	}
	return nil
}
