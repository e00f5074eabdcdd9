package rig

import "syscall"

// dieWithStarter asks the kernel to kill a process when the thread that started it ends.
func dieWithStarter() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
