package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/stamp"
)

// stampedBuild is what a command was run with. It is the JSON form.
type stampedBuild struct {
	builtVersion
	Stamped  []string `json:"stamped"`           // paths from the repository's root
	Changed  []string `json:"changed,omitempty"` // those of them that the command has changed, which is undone
	ExitCode int      `json:"command_exit_code"` // -1: ended by a signal
}

// stampTargets reads the values of --stamp.
func stampTargets(list []string) ([]stamp.Target, error) {
	targets := make([]stamp.Target, 0, len(list))
	for _, s := range list {
		t, err := stamp.Parse(s)
		if err != nil {
			return nil, usage(err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// putBack repairs what an earlier command left stamped when it was killed.
func (c *command) putBack(root string) (files []string, err error) {
	files, err = stamp.Recover(root)
	for _, name := range files {
		c.say("put back %s, which a build that was killed had left stamped", printable(name))
	}
	return files, stampError(err)
}

// stampError gives what stops stamping its exit code.
func stampError(err error) error {
	if errors.Is(err, stamp.ErrBusy) {
		return fmt.Errorf("%w%w", err, silent{store.ErrConflict})
	}
	return err
}

// runStamped stamps files, runs a command, and puts the files back, however the command ends.
func (c *command) runStamped(v *builtVersion, root, dir string, targets []stamp.Target, command []string) (err error) {
	signals, release := c.signals() // the files are put back first, whatever comes
	defer release()
	s, err := stamp.Files(root, dir, targets, stamp.Values{Version: v.Version, File: v.Numbers})
	if err != nil {
		if tasks.HintOf(err) != "" && !errors.Is(err, stamp.ErrBusy) {
			err = usage(err) // a path or a pattern that does not fit
		}
		return stampError(err)
	}
	build := stampedBuild{builtVersion: *v, Stamped: s.Files}
	c.say("stamped %s into %s", v.Version, printable(strings.Join(s.Files, ", ")))
	code, failure := c.runCommand(signals, command, v)
	changed, err := s.Restore()
	if err != nil {
		return errors.Join(err, failure)
	}
	build.Changed, build.ExitCode = changed, code
	for _, name := range changed {
		c.say("%s was changed by the command; it is as it was before", printable(name))
	}
	if c.output == "json" {
		if err := c.print(build, nil); err != nil {
			return err
		}
	}
	return failure
}

// commandGrace is how long a command that was asked to end may take for it before it is killed.
const commandGrace = 30 * time.Second

// runCommand runs a command to its end, and gives its exit code. A signal is handed on to it, for files must not be put back under a
// compiler that still reads them; the second one, or patience that is spent, kills it.
func (c *command) runCommand(signals <-chan os.Signal, command []string, v *builtVersion) (code int, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if c.output == "json" {
		cmd.Stdout = c.Stderr // stdout is for the object
	}
	cmd.Env = append(c.Vars[:len(c.Vars):len(c.Vars)], "BUILD_VERSION="+v.Version, "BUILD_FILE_VERSION="+v.File, "BUILD_CHANNEL="+string(v.Channel))
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return -1, usage(tasks.WithHint(err, "write it after --, each argument for itself; a shell is one, too: -- sh -c '…'", "the command cannot be started"))
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var patience <-chan time.Time
	interrupted := false
	for {
		select {
		case err = <-done:
			code = cmd.ProcessState.ExitCode()
			switch {
			case interrupted:
				return code, errInterrupted
			case err != nil:
				return code, tasks.WithHint(nil, "see what it says above; the files are as they were before", "the command failed: %v", err)
			}
			return code, nil
		case s := <-signals:
			if interrupted || cmd.Process.Signal(s) != nil {
				_ = cmd.Process.Kill()
			}
			interrupted, patience = true, time.After(commandGrace)
		case <-patience:
			_ = cmd.Process.Kill()
		}
	}
}

// folderIn is the folder that is built, from the repository's root.
func folderIn(root, dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(root, dir)
	return filepath.ToSlash(rel), err
}

// restoreStamped is --restore.
func (c *command) restoreStamped(root string) error {
	files, err := c.putBack(root)
	if err != nil {
		return err
	}
	if c.output == "json" {
		if files == nil {
			files = []string{}
		}
		return c.print(map[string][]string{"restored": files}, nil)
	}
	if len(files) == 0 {
		c.say("nothing was left stamped")
	}
	return nil
}
