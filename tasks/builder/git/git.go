// Package git runs the git program such that nothing runs which a repository names: no hook, no filter, no helper, no other
// transport. Whoever looks at somebody's repository has not agreed to run its programs.
//
// Open is for a working tree of a person, whose own configuration counts; Bare is for a repository that belongs to this program, in
// which only what is said here counts.
package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Git runs the git program in one folder. It may be used by several goroutines at once; what changes it gives a new one.
type Git struct {
	// Dir is where git runs.
	Dir string

	program string
	env     []string
	held    *os.File
}

// passed are the variables that git gets. Of its own only those that name the person's configuration: GIT_DIR and its like
// would answer for another repository than the one that was asked about.
var passed = []string{"PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"}

var passedOnWindows = []string{"USERPROFILE", "HOMEDRIVE", "HOMEPATH", "PROGRAMDATA", "APPDATA", "TEMP", "TMP", "PATHEXT", "COMSPEC"}

// fixed are the settings with which git answers in one language, asks nobody, changes nothing, and loads nothing from a
// network.
var fixed = []string{"LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1",
	"GIT_ALLOW_PROTOCOL=", "GIT_ATTR_NOSYSTEM=1", "GIT_PAGER=cat", "GIT_LITERAL_PATHSPECS=1"}

// safe are settings that no repository may choose: the programs that git would run by itself.
var safe = []Setting{{"core.fsmonitor", "false"}, {"core.hooksPath", os.DevNull}, {"core.alternateRefsCommand", ""}, {"core.pager", "cat"},
	{"core.sshCommand", "false"}, {"diff.external", ""}, {"safe.bareRepository", "explicit"}, {"log.showSignature", "false"}}

// Setting is a line of git's configuration.
type Setting struct{ Key, Value string }

// Open finds the git program and prepares it for a folder of a working tree. Lookup reads the environment. An error is git's own,
// about that folder, or that there is no git.
func Open(ctx context.Context, dir string, lookup func(string) (string, bool)) (*Git, error) {
	names := passed
	if runtime.GOOS == "windows" {
		names = append(names[:len(names):len(names)], passedOnWindows...)
	}
	g, err := find(dir, lookup, names)
	if err != nil {
		return nil, err
	}
	return g.disarm(ctx)
}

// find gives the program with the variables of these names.
func find(dir string, lookup func(string) (string, bool), names []string) (*Git, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, tasks.WithHint(err, "install git, and see that it is in the PATH", "git is needed to look at a repository")
	}
	g := &Git{Dir: dir, program: program, env: fixed}
	for _, name := range names {
		if value, ok := lookup(name); ok {
			g = g.With(name + "=" + value)
		}
	}
	return g, nil
}

// disarm lays settings over those of the repository. Filters have names of the repository's choice, so they are listed first:
// a filter that only the repository defines is none, and one that the person has defined, too, is the person's.
func (g *Git) disarm(ctx context.Context) (*Git, error) {
	list, err := g.Run(ctx, "config", "--list", "--show-scope", "-z")
	if err != nil {
		return nil, err
	}
	settings, own := append([]Setting(nil), safe...), map[string]string{}
	fields := strings.Split(list, "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		key, value, _ := strings.Cut(fields[i+1], "\n")
		if !strings.HasPrefix(key, "filter.") {
			continue
		}
		if scope := fields[i]; scope == "system" || scope == "global" {
			own[key] = value
		} else {
			settings = append(settings, Setting{key, ""})
		}
	}
	for i, s := range settings {
		if value, ok := own[s.Key]; ok {
			settings[i].Value = value
		} else if strings.HasSuffix(s.Key, ".required") {
			settings[i].Value = "false" // git would call a missing filter a failure
		}
	}
	g = g.Set(settings...)
	return g, g.obeys(ctx)
}

// obeys asks whether this git takes settings from variables at all.
func (g *Git) obeys(ctx context.Context) error {
	if got, err := g.Run(ctx, "config", "--get", "core.hooksPath"); err != nil || got != os.DevNull+"\n" {
		return tasks.WithHint(err, "update git: 2.31 is the first that will do", "this git does not take settings by variables, so that what a repository would run cannot be turned off")
	}
	return nil
}

// Set lays settings over all files, a later one over an earlier one. Variables carry them: the name of a filter may hold what a flag
// cannot, and what is secret in one is seen by nobody who lists the processes.
func (g *Git) Set(settings ...Setting) *Git {
	n := 0
	env := make([]string, 0, len(g.env)+2*len(settings)+1)
	for _, v := range g.env {
		if count, ok := strings.CutPrefix(v, "GIT_CONFIG_COUNT="); ok {
			n, _ = strconv.Atoi(count) // written below
			continue
		}
		env = append(env, v)
	}
	for _, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, s.Key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, s.Value))
		n++
	}
	out := *g
	out.env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n))
	return &out
}

// With gives git variables, "NAME=value", in the place of those of the same names.
func (g *Git) With(variables ...string) *Git {
	out := *g
	out.env = make([]string, 0, len(g.env)+len(variables))
	for _, v := range append(g.env[:len(g.env):len(g.env)], variables...) {
		name, _, _ := strings.Cut(v, "=")
		out.env = append(without(out.env, name), v)
	}
	return &out
}

func without(env []string, name string) []string {
	for i, v := range env {
		if strings.HasPrefix(v, name+"=") {
			return append(env[:i], env[i+1:]...)
		}
	}
	return env
}

// most is how much of an answer is read, in bytes: the list of a million files, and more than any setting.
const most = 256 << 20

// Run gives what git prints. An error carries what it said.
func (g *Git) Run(ctx context.Context, args ...string) (string, error) {
	out := &Capped{Most: most}
	err := g.Pipe(ctx, nil, out, args...)
	if err == nil && out.Over {
		err = fmt.Errorf("git %s answers with more than %d bytes", args[0], most)
	}
	return out.String(), err
}

// Pipe runs git, gives it what in holds (nil is nothing) and hands its output on. A writer that fails ends git.
func (g *Git) Pipe(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, g.program, args...)
	said := &Capped{Most: 4 << 10}
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = g.Dir, g.env, in, out, said
	cmd.WaitDelay = time.Second // a child of git that holds the pipe open keeps nobody waiting
	grouped(cmd, g.held)
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	return &Error{args[0], firstLine(said.String()), said.String(), err}
}

// Error is that git ended with an error.
type Error struct {
	Command string // git's own: "fetch"
	Said    string // the first line of what git said, on one line; "" where it said nothing
	All     string // the beginning of all that it said, as it is
	Err     error  // how it ended
}

// Error gives the command and what git said, on one line.
func (e *Error) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("git %s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("git %s: %s", e.Command, e.Said)
}

// Unwrap gives how git ended.
func (e *Error) Unwrap() error { return e.Err }

// Failed reports whether git itself gave a negative answer with this exit code, which is how some commands say no.
func Failed(err error, code int) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == code
}

// firstLine is what git says first, without its level and without what a terminal would take for commands. What it calls fatal is
// worth more than a warning before it.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	for l := range strings.Lines(s) {
		if rest, ok := strings.CutPrefix(l, "fatal: "); ok {
			line = strings.TrimSpace(rest)
			break
		}
	}
	quoted := strconv.Quote(line)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// Capped keeps the beginning of what is written.
type Capped struct {
	bytes.Buffer
	Most int  // bytes
	Over bool // there was more
}

// Write keeps what fits. It takes everything, or git would end for want of a reader.
func (c *Capped) Write(p []byte) (int, error) {
	keep := min(len(p), c.Most-c.Len())
	if keep < len(p) {
		c.Over = true
	}
	_, _ = c.Buffer.Write(p[:keep]) // never fails
	return len(p), nil
}
