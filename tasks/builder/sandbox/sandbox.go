// Package sandbox runs a command so that nothing of it survives, and so that it takes no more than its limits.
//
// Between the agent and the command stands a supervisor: this very program, started again (Main). It belongs to nobody but the one
// command, and ends with it:
//
//	agent ──control pipe──▶ supervisor ──▶ command ──▶ its children, theirs, and the daemons that they leave
//	      ◀──report───────      │  first process of a PID namespace, or else "subreaper": who loses its parent becomes its child
//	                            └─ looks each 10 to 50 ms at all of them: memory, time, number, the folder
//
// The control pipe ends when the agent does, however it dies; the supervisor then kills everything. In a namespace the kernel does the
// same when the supervisor itself is killed. Where the kernel allows no namespace, the supervisor stops all descendants, looks again
// until there are no new ones, and kills them: a program cannot fork faster than it is stopped.
//
// Nothing is between Args and the system: no shell, unless Args name one. Support says what the machine can enforce, and
// docs/builds-sandbox.md what that means.
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Limits bound a command with all its processes. Zero values are no limit.
type Limits struct {
	// Memory is resident memory in bytes; pages that processes share count once.
	Memory int64
	// CPU is time on processors, of processes that have ended too.
	CPU time.Duration
	// Disk is how many bytes Root may grow by, and how large any single file may become.
	Disk int64
	// Processes is how many may be there at once.
	Processes int
	// Files is how many each process may have open.
	Files int
}

// Command is what is to be run, and where.
type Command struct {
	// Args are the program and its arguments. A program without a slash is looked up in the PATH of Env; one with a slash begins in Dir.
	Args []string
	// Dir is where it runs. It has to be there.
	Dir string
	// Env is all of its environment, as NAME=VALUE; of two values of a name the last counts. Nothing of ours is inherited.
	Env []string
	// Stdin is what it reads; "" is nothing. A shell that reads its script there shares it with what the script runs: see Script.
	Stdin string
	// Script is a text that the command gets as a file, whose path is its last argument: `sh -e` runs it, and what it runs finds
	// nothing of it on its own input. "" is none, and no argument.
	Script string
	// Stdout and Stderr take what it prints; nil is nowhere. They are called by two goroutines. A slow one slows the command.
	Stdout, Stderr io.Writer
	// Timeout is how long it may run; 0 is for ever. At its end, and at the context's, all its processes get SIGTERM.
	Timeout time.Duration
	// Grace is how long they have from then on, before SIGKILL; 0 is DefaultGrace.
	Grace time.Duration
	// Root is the folder whose growth Limits.Disk bounds; "" is Dir.
	Root   string
	Limits Limits
}

// DefaultGrace is how long processes have between SIGTERM and SIGKILL, where nothing else is said.
const DefaultGrace = 5 * time.Second

// Cause is why a command did not come to its own end. The zero value says that it did, whatever its exit code.
type Cause string

// Causes.
const (
	Timeout   Cause = "timeout"
	Cancelled Cause = "cancelled"
	Memory    Cause = "memory"
	CPU       Cause = "cpu"
	Disk      Cause = "disk"
	Processes Cause = "processes"
	Start     Cause = "start" // it could not be started; there is an error beside it
)

// Result is how a command ended.
type Result struct {
	ExitCode int    // -1 when a signal ended it, or when it never began
	Signal   string // SIGKILL, SIGSEGV; "" for none
	Cause    Cause
	Took     time.Duration // from its start to its end; what was left of it not counted
	CPU      time.Duration // time on processors, of all its processes
	// MaxMemory is the most that its processes had at once, in bytes, as far as it was seen: a short command may have had more.
	MaxMemory int64
	// Left is how many processes were still there when the command had ended (or after the grace), and were killed.
	Left int
}

// Run runs a command, and returns when nothing of it is left. What it does wrong is a Result; an error says that it could not be
// started (Cause Start), not be supervised to its end, or that Stdout or Stderr failed. A context that ends by its deadline is a
// Timeout, another end of it Cancelled. Main must have been called in this process.
func Run(ctx context.Context, c Command) (Result, error) {
	none := Result{ExitCode: -1, Cause: Start}
	s, err := c.spec()
	if err != nil {
		return none, err
	}
	if ctx.Err() != nil {
		none.Cause = ended(ctx)
		return none, nil
	}
	return run(ctx, s, c)
}

// ended says which end of a context this was.
func ended(ctx context.Context) Cause {
	if errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return Timeout
	}
	return Cancelled
}

// spec is what a supervisor is told: a Command that has been checked.
type spec struct {
	Path, Dir, Root  string
	Args, Env        []string
	Stdin, Script    string
	Timeout, Grace   time.Duration
	Limits           Limits
	Namespace, Probe bool // the supervisor is the first process of a PID namespace; it is only to say whether that works
}

func (c Command) spec() (spec, error) {
	s := spec{Dir: c.Dir, Root: c.Root, Args: c.Args, Stdin: c.Stdin, Script: c.Script, Timeout: c.Timeout, Grace: c.Grace, Limits: c.Limits}
	if s.Grace <= 0 {
		s.Grace = DefaultGrace
	}
	if len(c.Args) == 0 || c.Args[0] == "" {
		return s, tasks.WithHint(nil, "write the program, and each of its arguments, as an item of a list", "the command is empty")
	}
	for _, a := range c.Args {
		if strings.ContainsRune(a, 0) {
			return s, tasks.WithHint(nil, "no program can take one", "an argument of %s has a NUL in it", c.Args[0])
		}
	}
	info, err := os.Stat(c.Dir)
	if err != nil || !info.IsDir() {
		return s, tasks.WithHint(err, "paths begin in the folder that is built; an earlier step has to make it", "there is no folder %q to run %s in", c.Dir, c.Args[0])
	}
	if s.Root == "" {
		s.Root = s.Dir
	}
	if s.Env, err = environment(c.Env); err != nil {
		return s, err
	}
	s.Path, err = lookUp(c.Args[0], c.Dir, s.Env)
	return s, err
}

// environment checks variables, and leaves the last of each name: programs differ in which of two they believe.
func environment(vars []string) ([]string, error) {
	last := map[string]int{}
	for i, v := range vars {
		name, _, ok := strings.Cut(v, "=")
		if !ok || name == "" || strings.ContainsRune(v, 0) {
			return nil, tasks.WithHint(nil, "a variable is NAME=VALUE, without a NUL", "variable %d, %q, is none", i+1, name)
		}
		last[name] = i
	}
	out := []string{} // not nil: that would be our own
	for i, v := range vars {
		if name, _, _ := strings.Cut(v, "="); last[name] == i {
			out = append(out, v)
		}
	}
	return out, nil
}

func variable(env []string, name string) string {
	for _, v := range env {
		if n, value, _ := strings.Cut(v, "="); n == name {
			return value
		}
	}
	return ""
}

// errMain is the mistake of a program that never called Main: started again, it would be itself once more, not the supervisor.
var errMain = errors.New("sandbox.Main was not called at the start of this program")

// failedStart gives the error of a start its words.
func failedStart(err error, s spec) error {
	hint := "see whether it can be run by hand, as the user of this process"
	switch {
	case isNoFormat(err):
		hint = "it is not made for this machine, or a script without #! in its first line"
	case errors.Is(err, os.ErrPermission):
		hint = "it may not be executed: chmod +x, and see whether its file system is mounted noexec"
	case errors.Is(err, os.ErrNotExist):
		hint = "the program that its first line names after #!, or the loader that it needs, is not there"
	}
	return tasks.WithHint(err, hint, "%s could not be started", s.Path)
}

// outputs joins the failures of the two writers.
func outputs(failures ...error) error {
	for i, stream := range []string{"standard output", "standard error"} {
		if failures[i] != nil {
			failures[i] = fmt.Errorf("keep what it printed on its %s: %w", stream, failures[i])
		}
	}
	return errors.Join(failures...)
}
