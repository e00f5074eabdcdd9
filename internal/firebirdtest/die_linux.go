package firebirdtest

import "syscall"

// dieWithStarter asks the kernel to end a process when the thread that started it ends.
func dieWithStarter(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
