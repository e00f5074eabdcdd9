//go:build unix && !linux

package firebirdtest

import "syscall"

// dieWithStarter has no way here to tie a process to its starter; the guardian ends it.
func dieWithStarter(*syscall.SysProcAttr) {}
