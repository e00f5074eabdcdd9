package rig

import (
	"os"
	"syscall"
)

// dieWithStarter asks the kernel to kill a process when the thread that started it ends.
func dieWithStarter() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// nobody is the user without rights, by custom.
const nobody = 65534

func dropRights(a *syscall.SysProcAttr) {
	if os.Geteuid() == 0 {
		a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
}
