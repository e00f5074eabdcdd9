//go:build !linux

package rig

import "syscall"

// dieWithStarter does nothing here: the test's clean-up ends the processes.
func dieWithStarter() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// dropRights does nothing here: run the tests as an ordinary user.
func dropRights(*syscall.SysProcAttr) {}
