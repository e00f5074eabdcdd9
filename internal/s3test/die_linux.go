package s3test

import "syscall"

// dieWithStarter asks the kernel to kill the server when the thread that started it ends.
func dieWithStarter() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
