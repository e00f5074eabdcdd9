//go:build unix

package sandbox

import (
	"errors"
	"syscall"
)

func isNoFormat(err error) bool { return errors.Is(err, syscall.ENOEXEC) }
