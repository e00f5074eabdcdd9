package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lockOffset lies beyond what is ever written: a locked range of a file cannot be read by others here.
const lockOffset = 1 << 30

// Try takes an exclusive lock that ends with the process at the latest. It reports false when another has it.
func Try(f *os.File) (bool, error) {
	at := &windows.Overlapped{Offset: lockOffset}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	return err == nil, err
}

// Close closes a file, which ends its lock.
func Close(f *os.File) error { return f.Close() }
