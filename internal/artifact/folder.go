package artifact

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stint-run/stint/tasks"
)

// tempFolder holds what is being written. No key begins with a dot.
const tempFolder = ".tmp"

// Others than the owner's group have no business with a customer's rows.
const (
	folderMode = 0o750
	fileMode   = 0o640
)

// Folder is a Store in a folder of a file system that knows hard links. It is made by the first Put. Several processes may
// share it, over NFS too; nothing is kept beside the files themselves, so they may be read by anybody and anything.
//
//	put: .tmp/X  --write, fsync-->  .tmp/X  --rename, or link and unlink (IfAbsent)-->  KEY  --fsync of the folders-->  done
//
// A crash leaves at most .tmp/X.
type Folder struct {
	dir  string
	mu   sync.Mutex
	root *os.Root // keeps symbolic links from leading out; nil until it is needed
}

// NewFolder returns the store in a folder, which need not exist yet.
func NewFolder(dir string) (*Folder, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder of artifacts: %w", err)
	}
	return &Folder{dir: absolute}, nil
}

// String returns the folder's path.
func (f *Folder) String() string { return f.dir }

// Close lets go of the folder.
func (f *Folder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root == nil {
		return nil
	}
	err := f.root.Close()
	f.root = nil
	return err
}

// open returns the folder, and makes it if asked to; fs.ErrNotExist when it is not there.
func (f *Folder) open(create bool) (*os.Root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root != nil {
		return f.root, nil
	}
	if create {
		if err := os.MkdirAll(f.dir, folderMode); err != nil {
			return nil, f.wrap(err, "make the folder")
		}
	}
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, f.wrap(err, "open the folder")
	}
	f.root = root
	return root, nil
}

// Put implements Store.
func (f *Folder) Put(ctx context.Context, key string, r io.Reader, o PutOptions) (Info, error) {
	if err := CheckKey(key); err != nil {
		return Info{}, err
	}
	root, err := f.open(true)
	if err != nil {
		return Info{}, err
	}
	if err := root.MkdirAll(tempFolder, folderMode); err != nil {
		return Info{}, f.wrap(err, "make a temporary file")
	}
	temp := tempFolder + "/" + strings.ToLower(rand.Text())
	defer func() { _ = root.Remove(temp) }() // it is gone when it was renamed; Clean is the second net
	in := newIntake(ctx, key, r, o.MaxBytes)
	if err := f.write(root, temp, in); err != nil {
		return Info{}, err
	}
	info := in.info(o)
	if err := in.keeps(o); err != nil {
		return info, err
	}
	if err := f.publish(root, temp, key, o.IfAbsent); err != nil {
		return info, err
	}
	return info, nil
}

// write fills a new file and makes it safe from a power cut.
func (f *Folder) write(root *os.Root, name string, in *intake) error {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode)
	if err != nil {
		return f.wrap(err, "make a temporary file")
	}
	source := &sourceError{r: in}
	// The file's own ReadFrom would hand the reader on, and its errors with it.
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, source, make([]byte, 256<<10))
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	switch {
	case source.err != nil: // not the folder's fault
		return fmt.Errorf("read what is to be artifact %s: %w", in.key, source.err)
	case err != nil:
		return f.wrap(err, "write "+in.key)
	}
	return nil
}

// sourceError remembers how its reader failed.
type sourceError struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *sourceError) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// publish gives a finished file its name.
func (f *Folder) publish(root *os.Root, temp, key string, ifAbsent bool) error {
	var err error
	for range 10 { // a Delete beside us may remove the folder as soon as it is made
		if err = root.MkdirAll(path.Dir(key), folderMode); err != nil {
			break
		}
		if ifAbsent {
			err = root.Link(temp, key)
		} else {
			err = root.Rename(temp, key)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if ifAbsent && errors.Is(err, fs.ErrExist) {
		if there, serr := root.Stat(key); serr == nil && there.Mode().IsRegular() {
			return exists(key)
		}
	}
	switch {
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		return tasks.WithHint(err, "no key may be a folder of another: choose another name", "an artifact beside %s is in its way", key)
	case ifAbsent && (errors.Is(err, syscall.EPERM) || errors.Is(err, errors.ErrUnsupported)):
		return tasks.WithHint(err, "choose a folder on another file system, or a bucket, in artifacts.url", "the file system of %s has no hard links", f.dir)
	case err != nil:
		return f.wrap(err, "name "+key)
	}
	return f.syncUp(root, path.Dir(key))
}

// syncUp makes the names in a folder, and those of the folders above it, safe from a power cut. Those that have not changed
// cost nothing; which of them another process has made and not yet synced cannot be known.
func (f *Folder) syncUp(root *os.Root, dir string) error {
	if runtime.GOOS == "windows" { // it syncs no folders: NTFS keeps names in its journal
		return nil
	}
	for ; ; dir = path.Dir(dir) {
		d, err := root.Open(dir)
		if err == nil {
			err = d.Sync()
			_ = d.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f.wrap(err, "sync "+dir)
		}
		if dir == "." {
			return nil
		}
	}
}

// Get implements Store.
func (f *Folder) Get(ctx context.Context, key string, offset int64) (io.ReadCloser, Info, error) {
	root, err := f.at(ctx, key)
	if err != nil {
		return nil, Info{}, err
	}
	file, err := root.Open(key)
	if err != nil {
		return nil, Info{}, f.missing(err, key)
	}
	info, err := f.info(file.Stat, key)
	if err == nil && (offset < 0 || offset > info.Size) {
		err = badOffset(key, offset, info.Size)
	}
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, Info{}, err
	}
	return file, info, nil
}

func badOffset(key string, offset, size int64) error {
	return tasks.WithHint(nil, "has it been replaced by a shorter one? Begin at 0", "artifact %s has %d bytes, and was to be read from %d", key, size, offset)
}

// Stat implements Store.
func (f *Folder) Stat(ctx context.Context, key string) (Info, error) {
	root, err := f.at(ctx, key)
	if err != nil {
		return Info{}, err
	}
	return f.info(func() (fs.FileInfo, error) { return root.Stat(key) }, key)
}

// at returns the folder for a question about a key.
func (f *Folder) at(ctx context.Context, key string) (*os.Root, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	root, err := f.open(false)
	if err != nil {
		return nil, f.missing(err, key)
	}
	return root, nil
}

func (f *Folder) info(stat func() (fs.FileInfo, error), key string) (Info, error) {
	s, err := stat()
	if err != nil {
		return Info{}, f.missing(err, key)
	}
	if !s.Mode().IsRegular() {
		return Info{}, notFound(key, nil)
	}
	return Info{Key: key, Size: s.Size(), Modified: s.ModTime()}, nil
}

// missing tells "not there" from other errors.
func (f *Folder) missing(err error, key string) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return notFound(key, err)
	}
	return f.wrap(err, "open "+key)
}

// List implements Store. It reads a folder of the file system at a time.
func (f *Folder) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	root, err := f.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l := &listing{fsys: root.FS(), prefix: prefix, after: after, limit: limit}
	if err := l.walk(ctx, "."); err != nil {
		return nil, f.wrap(err, "list "+prefix)
	}
	return l.found, nil
}

type listing struct {
	fsys          fs.FS
	prefix, after string
	limit         int
	found         []Info
}

// walk goes through a folder in the order of whole keys: a-b stands before a/b, as - does before /.
func (l *listing) walk(ctx context.Context, dir string) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a Delete may be faster
		return err
	}
	slashed := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(slashed(a), slashed(b)) })
	for _, e := range entries {
		key := path.Join(dir, e.Name())
		switch {
		case len(l.found) >= l.limit:
			return nil
		case segmentFault(e.Name()) != "": // the temporary files, and what is not ours
		case e.IsDir():
			below := key + "/"
			wanted := strings.HasPrefix(below, l.prefix) || strings.HasPrefix(l.prefix, below)
			if passed := l.after >= below && !strings.HasPrefix(l.after, below); !wanted || passed {
				continue
			}
			if err := l.walk(ctx, key); err != nil {
				return err
			}
		case e.Type().IsRegular() && strings.HasPrefix(key, l.prefix) && key > l.after:
			s, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			l.found = append(l.found, Info{Key: key, Size: s.Size(), Modified: s.ModTime()})
		}
	}
	return nil
}

// Delete implements Store. Folders that it leaves empty go too.
func (f *Folder) Delete(ctx context.Context, key string) error {
	root, err := f.at(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if s, err := root.Lstat(key); err != nil || s.IsDir() {
		if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		return f.wrap(err, "delete "+key)
	}
	if err := root.Remove(key); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return f.wrap(err, "delete "+key)
	}
	dir := path.Dir(key)
	for dir != "." && root.Remove(dir) == nil { // fails where something is left in it
		dir = path.Dir(dir)
	}
	return f.syncUp(root, dir)
}

// Clean implements Store.
func (f *Folder) Clean(ctx context.Context, age time.Duration) (int, error) {
	root, err := f.open(false)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	entries, err := fs.ReadDir(root.FS(), tempFolder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, f.wrap(err, "list temporary files")
	}
	removed := 0
	for _, e := range entries {
		if err := context.Cause(ctx); err != nil {
			return removed, err
		}
		s, err := e.Info()
		if err != nil || time.Since(s.ModTime()) < age {
			continue
		}
		if err := root.Remove(tempFolder + "/" + e.Name()); err == nil {
			removed++
		} else if !errors.Is(err, fs.ErrNotExist) {
			return removed, f.wrap(err, "remove a temporary file")
		}
	}
	return removed, nil
}

// diskFull is what Windows says for ENOSPC.
const diskFull = syscall.Errno(112)

// wrap gives an error of the file system its hint.
func (f *Folder) wrap(err error, doing string) error {
	hint := ""
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, syscall.ENOSPC), runtime.GOOS == "windows" && errors.Is(err, diskFull):
		hint = "the disk is full: make room, or choose another place in artifacts.url"
	case errors.Is(err, fs.ErrPermission):
		hint = "give the user of this process the right to write there, or choose another place in artifacts.url"
	case errors.Is(err, syscall.EROFS):
		hint = "the file system is read-only: choose another place in artifacts.url"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EEXIST):
		hint = "a file is in the way of the folder: remove it, or choose another place in artifacts.url"
	}
	return tasks.WithHint(err, hint, "folder of artifacts %s: cannot %s", f.dir, doing)
}
