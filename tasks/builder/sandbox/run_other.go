//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// Main plays the part of the supervisor on systems that have one. This is none.
func Main() {}

// HideEnvironment is for Linux. Here it does nothing.
func HideEnvironment() error { return nil }

// run runs a command with what the system has for keeping its processes together.
func run(ctx context.Context, s spec, c Command) (Result, error) {
	failed := Result{ExitCode: -1, Cause: Start}
	cmd := &exec.Cmd{Path: s.Path, Args: s.Args, Env: s.Env, Dir: s.Dir, Stdout: c.Stdout, Stderr: c.Stderr, WaitDelay: time.Second}
	if s.Stdin != "" {
		cmd.Stdin = strings.NewReader(s.Stdin)
	}
	if s.Script != "" {
		file, err := scriptFile(s.Script)
		if err != nil {
			return failed, fmt.Errorf("keep the script: %w", err)
		}
		defer func() { _ = os.Remove(file) }()
		cmd.Args = append(cmd.Args[:len(cmd.Args):len(cmd.Args)], file)
	}
	g, err := startGroup(cmd, s.Limits)
	if err != nil {
		return failed, failedStart(err, s)
	}
	defer g.close()
	began := time.Now()
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	var timeout, grace <-chan time.Time
	if s.Timeout > 0 {
		timeout = time.After(s.Timeout)
	}
	done := ctx.Done()
	var r Result
	end := func(cause Cause) {
		if r.Cause == "" {
			r.Cause = cause
			g.terminate()
			grace = time.After(s.Grace)
		}
	}
	for {
		select {
		case err = <-exited:
			r.Took = time.Since(began)
			g.kill()
			finish(&r, cmd)
			var exit *exec.ExitError
			if errors.As(err, &exit) || errors.Is(err, exec.ErrWaitDelay) {
				err = nil
			}
			return r, err
		case <-timeout:
			end(Timeout)
		case <-done:
			done = nil
			end(ended(ctx))
		case <-grace:
			g.kill()
		}
	}
}

// finish fills in what the system knows of a process that has ended.
func finish(r *Result, cmd *exec.Cmd) {
	state := cmd.ProcessState
	r.ExitCode = state.ExitCode()
	r.CPU = state.UserTime() + state.SystemTime()
	if r.ExitCode < 0 {
		r.Signal = signalOf(state)
	}
}

// scriptFile is a temporary file with a script in it.
func scriptFile(text string) (string, error) {
	pattern := "script-*"
	if runtime.GOOS == "windows" {
		pattern += ".cmd" // what its shell goes by
	}
	f, err := os.CreateTemp("", pattern)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	return f.Name(), errors.Join(err, f.Close())
}
