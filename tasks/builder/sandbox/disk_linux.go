package sandbox

import (
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// folder is one whose growth is watched.
type folder struct {
	path    string
	root    *os.Root
	before  int64 // bytes in it at first
	largest int64 // of its files at first, in bytes
}

// least is what a file counts for at least, in bytes: millions of empty files fill a disk too.
const least = 4 << 10

func openFolder(path string) (*folder, error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(real)
	if err != nil {
		return nil, err
	}
	f := &folder{path: real, root: root}
	f.before, f.largest = f.measure()
	return f, nil
}

// measure adds up what all files take on the disk; hard links count once, and what cannot be read not at all. The tree changes
// meanwhile, and may be made by an enemy: all names are followed within the folder only, and no more than one batch of them is kept.
func (f *folder) measure() (sum, largest int64) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	for dirs := []string{"."}; len(dirs) > 0; {
		dir := dirs[len(dirs)-1]
		dirs = dirs[:len(dirs)-1]
		d, err := f.root.Open(dir)
		if err != nil {
			continue
		}
		for {
			entries, err := d.ReadDir(512)
			for _, e := range entries {
				if e.IsDir() {
					dirs = append(dirs, filepath.Join(dir, e.Name()))
				}
				var st unix.Stat_t
				if unix.Fstatat(int(d.Fd()), e.Name(), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
					continue
				}
				if key := (inode{st.Dev, st.Ino}); st.Nlink > 1 && !e.IsDir() {
					if seen[key] {
						continue
					}
					seen[key] = true
				}
				sum += max(st.Blocks*512, least)
				if st.Mode&unix.S_IFMT == unix.S_IFREG {
					largest = max(largest, st.Size)
				}
			}
			if err != nil { // its end, or it cannot be read any further
				break
			}
		}
		_ = d.Close()
	}
	return sum, largest
}

// grown is by how many bytes the folder is larger than at first, with what processes hold open of deleted files.
func (f *folder) grown(ps []process) int64 {
	now, _ := f.measure()
	return now - f.before + deletedBytes(ps, f.path)
}

// used is how many bytes of the whole disk are; cheap, and of all that write to it.
func (f *folder) used() int64 {
	var st unix.Statfs_t
	if unix.Statfs(f.path, &st) != nil {
		return 0
	}
	return int64(st.Blocks-st.Bfree) * st.Bsize
}

// watchDisk measures the folder each second, and sooner when the disk has filled by half of what is left to the command.
func (s *supervisor) watchDisk(f *folder) {
	const each, glance = time.Second, 20 * time.Millisecond
	left := s.spec.Limits.Disk
	used, measured := f.used(), time.Now()
	pace := time.NewTicker(glance)
	defer pace.Stop()
	for range pace.C {
		if now := f.used(); now-used < left/2 && time.Since(measured) < each {
			continue
		}
		used = f.used()
		began := time.Now()
		grown := f.grown(s.processes())
		if grown > s.spec.Limits.Disk {
			s.over <- Disk
			return
		}
		left, measured = s.spec.Limits.Disk-grown, time.Now()
		if took := measured.Sub(began); took > each/4 { // a huge tree must not have a processor for its own
			pace.Reset(min(took, each))
		}
	}
}
