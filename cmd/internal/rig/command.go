package rig

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"time"
)

// Command is a program to run, whose process dies with this one.
type Command struct {
	Path string
	Args []string
	Dir  string
	Env  []string // all of it
	// Unprivileged takes the rights of root away, where this process has them.
	Unprivileged bool
}

func (c *Command) command() *exec.Cmd {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir, cmd.Env = c.Dir, c.Env
	cmd.SysProcAttr = dieWithStarter()
	if c.Unprivileged {
		dropRights(cmd.SysProcAttr)
	}
	return cmd
}

// Start starts it with stdout and stderr in files.
func (c *Command) Start(name, out, log string) (*Process, error) {
	stdout, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	p := &Process{Name: name, cmd: c.command(), out: out, log: log, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = stdout, stderr
	if err := launch(p.cmd); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // its exit code says it
		close(p.exited)
	}()
	return p, nil
}

// Run runs it to its end and returns what it has written and its exit code: -1 when it was ended by a signal, by this one
// after the limit, or could not be started, which stderr says then.
func (c *Command) Run(limit time.Duration) (stdout, stderr []byte, code int) {
	var out, log bytes.Buffer
	cmd := c.command()
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := launch(cmd); err != nil {
		return nil, []byte(err.Error()), -1
	}
	timer := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return out.Bytes(), append(log.Bytes(), err.Error()...), -1
	}
	return out.Bytes(), log.Bytes(), cmd.ProcessState.ExitCode()
}

// launch starts a command from the thread that its life is tied to.
func launch(cmd *exec.Cmd) error {
	done := make(chan error)
	keeper() <- func() { done <- cmd.Start() }
	return <-done
}
