package redisproc

import (
	"os"
	"syscall"
)

var terminate os.Signal = syscall.SIGTERM

// attributes ties the child's life to the parent's, and takes it out of the terminal's foreground group.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
