//go:build unix

package git

import (
	"os"
	"os/exec"
	"syscall"
)

// grouped has all of git's processes end together when the context does: git fetch leaves the talking to a child. They hold the file
// open, too, so that a lock on it stands for as long as one of them lives, whatever became of us.
func grouped(cmd *exec.Cmd, held *os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	if held != nil {
		cmd.ExtraFiles = []*os.File{held}
	}
}
