package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
)

// halfSuffix is of the folder beside the workspace in which Restore works.
const halfSuffix = ".stint-half"

// Restore makes a folder of a snapshot. dir is new or empty. It is filled under another name, dir.stint-half, and gets its own when all
// is there and verified: so a workspace that is there is whole, and what a process left that was killed is removed by the next Restore
// to the same place. Two at once to the same place are not allowed. Modes and times are those of the snapshot; owners are not.
func (s *Store) Restore(ctx context.Context, id ID, dir string) (Stats, error) {
	m, n, err := s.load(ctx, id)
	if err != nil {
		return Stats{}, err
	}
	dir = filepath.Clean(dir)
	mode, err := vacant(dir)
	if err != nil {
		return Stats{}, err
	}
	half := dir + halfSuffix
	if err := Remove(half); err != nil {
		return Stats{}, err
	}
	if err := os.MkdirAll(half, 0o755); err != nil {
		return Stats{}, unwritable(err, half)
	}
	x, stats, err := s.fill(ctx, m, half)
	if err == nil {
		err = os.Chmod(half, mode)
	}
	if err == nil {
		if err = os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = os.Rename(half, dir)
		}
	}
	if err != nil {
		return Stats{}, errors.Join(err, Remove(half))
	}
	stats.Stored += n
	if err := x.settle(ctx); err != nil {
		return Stats{}, err
	}
	s.keepIndex(dir, x)
	return stats, nil
}

// vacant returns the mode that a workspace gets: that of the empty folder which is there already.
func vacant(dir string) (fs.FileMode, error) {
	info, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0o755, nil
	}
	if err != nil {
		return 0, unwritable(err, dir)
	}
	list, err := os.ReadDir(dir)
	if !info.IsDir() || err != nil || len(list) > 0 {
		return 0, tasks.WithHint(errors.Join(fs.ErrExist, err), "restore to a new folder, or remove this one", "%s is there already, and is no empty folder", dir)
	}
	return info.Mode().Perm(), nil
}

// Remove deletes a workspace, where folders in it may not be written to, too. One that is not there is removed already.
func Remove(dir string) error {
	err := os.RemoveAll(dir)
	if err == nil {
		return nil
	}
	root, oerr := os.OpenRoot(dir)
	if oerr != nil {
		return errors.Join(err, oerr)
	}
	_ = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = root.Chmod(filepath.FromSlash(p), 0o700)
		}
		return nil
	})
	// A folder that could not be listed has been passed over: it can be now.
	_ = fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = root.Chmod(filepath.FromSlash(p), 0o700)
		}
		return nil
	})
	_ = root.Close()
	return os.RemoveAll(dir)
}

// unwritable gives an error of the place of a workspace a hint.
func unwritable(err error, p string) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrExist):
		hint = "the file system takes names for the same that differ in capital letters or in the form of accents only: build on another one"
	case errors.Is(err, fs.ErrPermission):
		hint = "give the user of this process the right to write there"
	}
	return tasks.WithHint(err, hint, "%q cannot be written", p)
}

// content is what one or more files have in them.
type content struct {
	entries []int
	frames  int
}

// restoring is one Restore.
type restoring struct {
	s     *Store
	m     *Manifest
	root  *os.Root
	begin map[int][]content // by the frame that they begin in
	stats []stat
	files atomic.Int64
	bytes atomic.Int64
}

// fill writes a snapshot into an empty folder.
func (s *Store) fill(ctx context.Context, m *Manifest, dir string) (*index, Stats, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, Stats{}, unwritable(err, dir)
	}
	defer root.Close()
	r := &restoring{s: s, m: m, root: root, stats: make([]stat, len(m.Entries))}
	if err := r.folders(); err != nil {
		return nil, Stats{}, err
	}
	if err := r.empty(); err != nil {
		return nil, Stats{}, err
	}
	r.sort()
	n, err := r.contents(ctx)
	if err == nil {
		err = r.copies(ctx)
	}
	if err == nil {
		err = r.links() // after all files: none is written through a link
	}
	if err == nil {
		err = r.finish()
	}
	if err != nil {
		return nil, Stats{}, err
	}
	stats := Stats{NewFiles: r.files.Load(), NewBytes: r.bytes.Load(), Stored: n, Layers: len(m.objects)}
	for i := range m.Entries {
		if m.Entries[i].Kind != Folder {
			stats.Files++
		}
		stats.Bytes += m.Entries[i].Size
	}
	if stats.NewFiles != stats.Files {
		return nil, Stats{}, damaged(nil, "of %d files the manifest of %s leads to %d", stats.Files, m.id, stats.NewFiles)
	}
	return &index{manifest: m, stats: r.stats}, stats, nil
}

// folders makes all folders; they get their modes and times when nothing is written into them any more.
func (r *restoring) folders() error {
	at := &folders{root: r.root}
	defer at.close()
	for i := range r.m.Entries {
		e := &r.m.Entries[i]
		if e.Kind != Folder {
			continue
		}
		dir, name, err := at.at(e.Path)
		if err == nil {
			err = dir.Mkdir(name, 0o700)
		}
		if err != nil {
			return unwritable(err, e.Path)
		}
	}
	return nil
}

// empty writes the files without content.
func (r *restoring) empty() error {
	at := &folders{root: r.root}
	defer at.close()
	for i := range r.m.Entries {
		if e := &r.m.Entries[i]; e.Kind == File && e.Size == 0 {
			if e.Digest != artifact.DigestOf(nil) {
				return damaged(nil, "%q has no bytes and the digest of some", e.Path)
			}
			if err := r.write(at, i, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// sort finds out which contents lie in which frame.
func (r *restoring) sort() {
	type place struct {
		frame    int
		at, size int64
		digest   artifact.Digest
	}
	r.begin = map[int][]content{}
	number := make(map[place]int, len(r.m.Entries))
	for i := range r.m.Entries {
		e := &r.m.Entries[i]
		if e.Kind != File || e.Size == 0 {
			continue
		}
		key := place{e.frame, e.at, e.Size, e.Digest}
		n, known := number[key]
		if !known {
			n = len(r.begin[e.frame])
			number[key] = n
			r.begin[e.frame] = append(r.begin[e.frame], content{frames: r.m.span(e)})
		}
		c := &r.begin[e.frame][n]
		c.entries = append(c.entries, i)
	}
}

// create makes a new file; nothing that is there already is opened.
func (r *restoring) create(at *folders, e *Entry) (*os.File, error) {
	dir, name, err := at.at(e.Path)
	if err != nil {
		return nil, unwritable(err, e.Path)
	}
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, e.Mode)
	if err != nil {
		return nil, unwritable(err, e.Path)
	}
	return f, nil
}

// write writes a file that is whole in memory, and has been verified.
func (r *restoring) write(at *folders, i int, b []byte) error {
	e := &r.m.Entries[i]
	f, err := r.create(at, e)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return r.complete(at, f, i, err)
}

// complete gives a file its mode and its time, and notes its attributes.
func (r *restoring) complete(at *folders, f *os.File, i int, err error) error {
	e := &r.m.Entries[i]
	if closed := f.Close(); err == nil {
		err = closed
	}
	var dir *os.Root
	var name string
	if err == nil {
		dir, name, err = at.at(e.Path)
	}
	if err == nil {
		err = dir.Chtimes(name, e.ModTime, e.ModTime)
	}
	var info fs.FileInfo
	if err == nil {
		info, err = dir.Lstat(name)
	}
	if err == nil && info.Mode().Perm() != e.Mode { // the umask has taken something away
		if err = dir.Chmod(name, e.Mode); err == nil {
			info, err = dir.Lstat(name)
		}
	}
	if err != nil {
		return unwritable(err, e.Path)
	}
	r.stats[i] = statOf(info)
	r.files.Add(1)
	r.bytes.Add(e.Size)
	return nil
}

// copies writes the files that have a large content which another one has, too.
func (r *restoring) copies(ctx context.Context) error {
	at := &folders{root: r.root}
	defer at.close()
	for _, list := range r.begin {
		for _, c := range list {
			if c.frames == 1 {
				continue
			}
			for _, i := range c.entries[1:] {
				from, err := r.root.Open(filepath.FromSlash(r.m.Entries[c.entries[0]].Path))
				if err != nil {
					return unwritable(err, r.m.Entries[i].Path)
				}
				to, err := r.create(at, &r.m.Entries[i])
				if err == nil {
					_, err = io.Copy(to, &ended{ctx, from})
					err = r.complete(at, to, i, err)
				}
				_ = from.Close()
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (r *restoring) links() error {
	at := &folders{root: r.root}
	defer at.close()
	for i := range r.m.Entries {
		e := &r.m.Entries[i]
		if e.Kind != Link {
			continue
		}
		dir, name, err := at.at(e.Path)
		if err == nil {
			err = dir.Symlink(filepath.FromSlash(e.Target), name)
		}
		if err != nil {
			return unwritable(err, e.Path)
		}
		r.files.Add(1)
	}
	return nil
}

// finish gives folders their modes and times, the inner ones first.
func (r *restoring) finish() error {
	for i := range slices.Backward(r.m.Entries) {
		e := &r.m.Entries[i]
		if e.Kind != Folder {
			continue
		}
		name := filepath.FromSlash(e.Path)
		err := r.root.Chtimes(name, e.ModTime, e.ModTime)
		if err == nil {
			err = r.root.Chmod(name, e.Mode)
		}
		if err != nil {
			return unwritable(err, e.Path)
		}
	}
	return nil
}

// streamed is a content of several frames on its way into a file. Each piece waits for the one before.
type streamed struct {
	entry int
	file  *os.File
	hash  hash.Hash
	left  int64
	turn  chan struct{} // closed when the piece before has been written
}

// piece is a frame's part in a streamed content.
type piece struct {
	*streamed
	mine, next chan struct{}
}

// write takes the next bytes of a content, after those before it.
func (p *piece) write(ctx context.Context, r *restoring, at *folders, b []byte, key string) error {
	select {
	case <-p.mine:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	e := &r.m.Entries[p.entry]
	if p.file == nil {
		f, err := r.create(at, e)
		if err != nil {
			return err
		}
		p.file, p.hash, p.left = f, sha256.New(), e.Size
	}
	b = b[:min(int64(len(b)), p.left)]
	p.hash.Write(b)
	_, err := p.file.Write(b)
	if err != nil {
		return unwritable(errors.Join(err, p.file.Close()), e.Path)
	}
	if p.left -= int64(len(b)); p.left > 0 {
		close(p.next)
		return nil
	}
	if digest := artifact.Digest(idScheme + hex.EncodeToString(p.hash.Sum(nil))); digest != e.Digest {
		_ = p.file.Close()
		return wrongContent(e.Path, key)
	}
	return r.complete(at, p.file, p.entry, nil)
}

// contents reads all frames, unpacks them with several workers, and writes what lies in them. It returns how many bytes were read.
func (r *restoring) contents(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type work struct {
		frame  int
		packed []byte
		piece  *piece
		key    string
	}
	frames := make(chan work)
	var workers sync.WaitGroup
	for range r.s.o.Workers {
		workers.Go(func() {
			at := &folders{root: r.root}
			defer at.close()
			buffer := make([]byte, 0, frameSize)
			for w := range frames {
				if ctx.Err() != nil {
					continue
				}
				b, err := r.s.unpack(w.packed, r.m.frames[w.frame], w.key, buffer)
				switch {
				case err != nil:
				case w.piece != nil:
					err = w.piece.write(ctx, r, at, b, w.key)
				default:
					err = r.small(ctx, at, w.frame, b, w.key)
				}
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	var read int64
	var current *streamed
	var left int // frames of current
	var all []*streamed
	for f := range r.fetch(ctx, &read) {
		if f.err != nil {
			cancel(f.err)
			break
		}
		w := work{frame: f.frame, packed: f.packed, key: f.key}
		if left == 0 {
			if c := r.begin[f.frame]; len(c) > 0 && c[0].frames > 1 {
				current, left = &streamed{entry: c[0].entries[0], turn: make(chan struct{})}, c[0].frames
				all = append(all, current)
				close(current.turn)
			}
		}
		if left > 0 {
			p := &piece{streamed: current, mine: current.turn, next: make(chan struct{})}
			current.turn = p.next
			w.piece = p
			left--
		}
		frames <- w
	}
	close(frames)
	workers.Wait()
	for _, c := range all {
		if c.file != nil {
			_ = c.file.Close() // of those that were not completed; the others are closed
		}
	}
	return read, context.Cause(ctx)
}

// small writes the files of a frame that are not longer than it.
func (r *restoring) small(ctx context.Context, at *folders, frame int, b []byte, key string) error {
	for _, c := range r.begin[frame] {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		e := &r.m.Entries[c.entries[0]]
		body := b[e.at : e.at+e.Size]
		if artifact.DigestOf(body) != e.Digest {
			return wrongContent(e.Path, key)
		}
		for _, i := range c.entries {
			if err := r.write(at, i, body); err != nil {
				return err
			}
		}
	}
	return nil
}
