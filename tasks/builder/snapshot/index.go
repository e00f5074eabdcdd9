package snapshot

import (
	"context"
	"io/fs"
	"path/filepath"
	"slices"
	"time"
)

// stat is what tells whether a file has been touched: git's index goes by the same.
type stat struct {
	size, mtime, ctime int64 // bytes; nanoseconds; ctime is 0 where a system has none
	inode              uint64
}

func statOf(info fs.FileInfo) stat {
	ctime, inode := changed(info)
	return stat{size: info.Size(), mtime: info.ModTime().UnixNano(), ctime: ctime, inode: inode}
}

// How close to a file's time it may have been written to again without any sign of it. Kernels stamp files with a clock that ticks each
// 10 ms or more often; some file systems keep whole seconds, FAT even ones.
const (
	tick       = 20 * time.Millisecond
	coarseTick = 2 * time.Second
)

// settled reports whether who writes to the file after a moment gives it another time than it has.
func (s stat) settled(at time.Time) bool {
	window := tick
	if s.mtime%int64(time.Second) == 0 && s.ctime%int64(time.Second) == 0 {
		window = coarseTick
	}
	return max(s.mtime, s.ctime) < at.Add(-window).UnixNano()
}

// index is what a folder held when it was last captured or restored.
type index struct {
	manifest *Manifest
	stats    []stat // of the entries; the zero stat is of one that has to be read
}

// maxIndexes is of how many folders there is an index.
const maxIndexes = 32

func place(dir string) string {
	if absolute, err := filepath.Abs(dir); err == nil {
		return absolute
	}
	return dir
}

// indexOf returns what is known about a folder; nil is nothing.
func (s *Store) indexOf(dir string) *index {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.indexes[place(dir)]
}

func (s *Store) keepIndex(dir string, x *index) {
	dir = place(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(slices.DeleteFunc(s.order, func(d string) bool { return d == dir }), dir)
	s.indexes[dir] = x
	if len(s.order) > maxIndexes {
		delete(s.indexes, s.order[0])
		s.order = s.order[1:]
	}
}

// Forget drops what is known about a folder: all of it is read at the next Capture. Without it that of the last 32 folders is kept.
func (s *Store) Forget(dir string) {
	dir = place(dir)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.indexes, dir)
	s.order = slices.DeleteFunc(s.order, func(d string) bool { return d == dir })
}

// known returns a manifest that a folder was captured to or restored from; nil when there is none.
func (s *Store) known(id ID) *Manifest {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.indexes {
		if x.manifest.id == id {
			return x.manifest
		}
	}
	return nil
}

// settle waits until files that have just been written would show that they are written again, when reading them instead would cost
// more than the wait.
func (x *index) settle(ctx context.Context) error {
	const cheap = 4 << 20
	now := time.Now()
	var fresh int64
	var wait time.Duration
	for _, s := range x.stats {
		if s != (stat{}) && !s.settled(now) {
			fresh += s.size + 4096
			if until := time.Unix(0, max(s.mtime, s.ctime)).Add(tick + time.Millisecond).Sub(now); until <= tick*2 {
				wait = max(wait, until)
			}
		}
	}
	if fresh > cheap && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		now = time.Now()
	}
	for i, s := range x.stats {
		if !s.settled(now) {
			x.stats[i] = stat{}
		}
	}
	return nil
}
