//go:build !unix

package redisproc

import (
	"os"
	"syscall"
)

var terminate = os.Kill

func attributes() *syscall.SysProcAttr { return nil }
