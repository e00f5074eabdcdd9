//go:build unix && !linux

package prometheustest

import "syscall"

// diesWithStarter says whether the kernel ends a server whose starter has ended; here the guardian does.
const diesWithStarter = false

func dieWithStarter(*syscall.SysProcAttr) {}
