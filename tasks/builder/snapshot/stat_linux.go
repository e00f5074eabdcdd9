package snapshot

import (
	"io/fs"
	"syscall"
)

// changed returns when the file, its mode or its links were last changed, in nanoseconds, and its number.
func changed(info fs.FileInfo) (ctime int64, inode uint64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ctim.Nano(), s.Ino
	}
	return 0, 0
}
