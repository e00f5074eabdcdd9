//go:build !linux

package rig

import "syscall"

// dieWithStarter does nothing here: the test's clean-up ends the processes.
func dieWithStarter() *syscall.SysProcAttr { return nil }
