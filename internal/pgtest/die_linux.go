package pgtest

import "syscall"

// diesWithStarter says whether the kernel ends a server whose starter has ended.
const diesWithStarter = true

// dieWithStarter asks the kernel to shut the server down at once (SIGQUIT is its immediate shutdown, which takes the
// backends along) when the thread that started it ends.
func dieWithStarter(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
