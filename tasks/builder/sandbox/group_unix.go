//go:build unix && !linux

package sandbox

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// group is a process group.
type group struct{ id int }

func startGroup(cmd *exec.Cmd, _ Limits) (*group, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &group{id: cmd.Process.Pid}, nil
}

func (g *group) terminate() { _ = syscall.Kill(-g.id, syscall.SIGTERM) }
func (g *group) kill()      { _ = syscall.Kill(-g.id, syscall.SIGKILL) }
func (g *group) close()     {}

func signalOf(state *os.ProcessState) string {
	if w, ok := state.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return unix.SignalName(w.Signal())
	}
	return ""
}

// Support says in words what this machine can enforce, strongest first, for people.
func Support() []string {
	return []string{
		"the processes of a command: its process group is killed; a daemon that leaves the group, and all of them when the agent is killed, live on",
		"time: the timeout",
		"memory, time on processors, processes, disk, open files: not on this system",
	}
}
