//go:build unix && !linux

package redisproc

import (
	"os"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

// attributes takes the child out of the terminal's foreground group. These systems have no parent-death signal: after a
// SIGKILL of the parent the server runs on until the next owner of its folder ends it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
