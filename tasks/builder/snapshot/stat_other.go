//go:build !linux

package snapshot

import "io/fs"

// changed returns nothing: times of writing alone tell here whether a file was touched.
func changed(fs.FileInfo) (ctime int64, inode uint64) { return 0, 0 }
