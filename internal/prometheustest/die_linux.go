package prometheustest

import "syscall"

// diesWithStarter says whether the kernel ends a server whose starter has ended.
const diesWithStarter = true

// dieWithStarter asks the kernel to kill the server, which is one process, when the thread that started it ends.
func dieWithStarter(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
