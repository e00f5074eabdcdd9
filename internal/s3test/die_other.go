//go:build !linux

package s3test

import "syscall"

// dieWithStarter is nothing here: these systems have no such signal.
func dieWithStarter() *syscall.SysProcAttr { return nil }
