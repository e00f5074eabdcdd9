//go:build linux || darwin || freebsd

package doctor

import (
	"math"

	"golang.org/x/sys/unix"
)

// freeSpace is how many bytes this user may still write below a folder, and whether that is known.
func freeSpace(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	free := float64(s.Bavail) * float64(s.Bsize) // the fields' types differ from system to system
	return int64(min(max(free, 0), math.MaxInt64/2)), true
}
