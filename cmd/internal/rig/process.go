package rig

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a stint process of a rig. Its methods may be called again after it has ended, and do nothing then.
type Process struct {
	Name string
	ID   string // of a worker, once Ready has found it

	cmd      *exec.Cmd
	out, log string
	exited   chan struct{}
}

// keeper starts processes on one OS thread: the kernel ties "die with me" to the thread that started a process, and Go would
// end any other thread.
var keeper = sync.OnceValue(func() chan func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range calls {
			f()
		}
	}()
	return calls
})

// Start starts a command of stint with the rig's configuration.
func (r *Rig) Start(command string, args ...string) *Process {
	r.T.Helper()
	return r.StartEnv(nil, command, args...)
}

// StartEnv is Start with further variables, as NAME=value, over the ones of the test.
func (r *Rig) StartEnv(env []string, command string, args ...string) *Process {
	r.T.Helper()
	return r.launch(command, &Command{Path: r.bin, Args: append([]string{command, "--config", r.config}, args...), Env: env})
}

// Program starts another program, such as a script that runs stint: what it runs finds the rig's configuration.
func (r *Rig) Program(name, path string, args ...string) *Process {
	r.T.Helper()
	return r.launch(name, &Command{Path: path, Args: args, Env: []string{"STINT_CONFIG=" + r.config}})
}

// launch starts a command in the rig's folder, with the variables of the test below its own.
func (r *Rig) launch(command string, c *Command) *Process {
	r.T.Helper()
	r.crew.mu.Lock()
	r.crew.names[command]++
	name := fmt.Sprintf("%s-%d", command, r.crew.names[command])
	r.crew.mu.Unlock()
	own := c.Env
	c.Dir, c.Env = r.Dir, nil
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "STINT_") {
			c.Env = append(c.Env, v)
		}
	}
	c.Env = append(c.Env, own...)
	p, err := c.Start(name, filepath.Join(r.Dir, name+".out"), filepath.Join(r.Dir, name+".log"))
	if err != nil {
		r.T.Fatalf("start %s: %v", name, err)
	}
	r.crew.mu.Lock()
	r.crew.procs = append(r.crew.procs, p)
	r.crew.mu.Unlock()
	return p
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running reports whether the process has not ended yet; a stopped one runs.
func (p *Process) Running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Exited closes when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Kill ends the process by SIGKILL and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

// Signal sends a signal: SIGTERM drains a worker, SIGSTOP freezes it, SIGCONT lets it go on.
func (p *Process) Signal(s syscall.Signal) error {
	err := p.cmd.Process.Signal(s)
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// Wait waits for the end and returns the exit code: -1 by a signal, -2 when it has not ended within the limit.
func (p *Process) Wait(limit time.Duration) int {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-timer.C:
		return -2
	}
}

// Out returns what was written to stdout so far.
func (p *Process) Out() []byte {
	b, _ := os.ReadFile(p.out) // it was made by Start
	return b
}

// Log returns what was written to stderr so far.
func (p *Process) Log() string {
	b, _ := os.ReadFile(p.log)
	return string(bytes.ToValidUTF8(b, nil))
}

// PeakMemory returns the largest resident set that the process has had, in bytes; 0 where the system does not say. Zero, too,
// when it has ended.
func (p *Process) PeakMemory() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0
	}
	_, after, ok := strings.Cut(string(b), "VmHWM:")
	if !ok {
		return 0
	}
	var kb int64
	if _, err := fmt.Sscan(after, &kb); err != nil {
		return 0
	}
	return kb << 10
}
