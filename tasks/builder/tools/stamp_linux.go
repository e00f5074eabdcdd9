package tools

import (
	"io/fs"
	"syscall"
)

// stamps says that a file has a time of change that no program can set.
const stamps = true

// stamp is all of a file that a change of it changes.
type stamp struct {
	mode            fs.FileMode
	size, mtime     int64
	changed         syscall.Timespec
	number, devices uint64
}

func stampOf(info fs.FileInfo) stamp {
	out := stamp{mode: info.Mode(), size: info.Size(), mtime: info.ModTime().UnixNano()}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		out.changed, out.number, out.devices = s.Ctim, s.Ino, s.Dev
	}
	return out
}
