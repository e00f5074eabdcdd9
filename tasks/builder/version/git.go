package version

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// git runs the git program in one folder. What a repository can say in its configuration and its attributes is kept from
// running anything: whoever asks for the version of somebody's repository has not agreed to run its programs. The person's
// own configuration counts, for it says what is ignored and how lines end.
type git struct {
	program string
	dir     string
	env     []string
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
var safe = []setting{{"core.fsmonitor", "false"}, {"core.hooksPath", os.DevNull}, {"core.alternateRefsCommand", ""}, {"core.pager", "cat"},
	{"core.sshCommand", "false"}, {"diff.external", ""}, {"safe.bareRepository", "explicit"}, {"log.showSignature", "false"}}

type setting struct{ key, value string }

// openGit finds the git program and prepares it for a folder. An error is git's own, about that folder, or that there is no git.
func openGit(ctx context.Context, dir string, lookup func(string) (string, bool)) (*git, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return nil, tasks.WithHint(err, "install git, and see that it is in the PATH", "git is needed to look at a repository")
	}
	g := &git{program: program, dir: dir, env: fixed}
	names := passed
	if runtime.GOOS == "windows" {
		names = append(names[:len(names):len(names)], passedOnWindows...)
	}
	for _, name := range names {
		if value, ok := lookup(name); ok {
			g.env = append(g.env[:len(g.env):len(g.env)], name+"="+value)
		}
	}
	return g, g.disarm(ctx)
}

// disarm lays settings over those of the repository. Filters have names of the repository's choice, so they are listed first:
// a filter that only the repository defines is none, and one that the person has defined, too, is the person's.
func (g *git) disarm(ctx context.Context) error {
	list, err := g.run(ctx, "config", "--list", "--show-scope", "-z")
	if err != nil {
		return err
	}
	settings, own := append([]setting(nil), safe...), map[string]string{}
	fields := strings.Split(list, "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		key, value, _ := strings.Cut(fields[i+1], "\n")
		if !strings.HasPrefix(key, "filter.") {
			continue
		}
		if scope := fields[i]; scope == "system" || scope == "global" {
			own[key] = value
		} else {
			settings = append(settings, setting{key, ""})
		}
	}
	for _, s := range settings {
		if value, ok := own[s.key]; ok {
			s.value = value
		} else if strings.HasSuffix(s.key, ".required") {
			s.value = "false" // git would call a missing filter a failure
		}
		g.set(s)
	}
	if got, err := g.run(ctx, "config", "--get", "core.hooksPath"); err != nil || got != os.DevNull+"\n" {
		return tasks.WithHint(err, "update git: 2.31 is the first that will do", "this git does not take settings by variables, so that what a repository would run cannot be turned off")
	}
	return nil
}

// set lays one setting over all files. Variables carry it, for the name of a filter may hold what a flag cannot.
func (g *git) set(s setting) {
	n := 0
	env := make([]string, 0, len(g.env)+3)
	for _, v := range g.env {
		if count, ok := strings.CutPrefix(v, "GIT_CONFIG_COUNT="); ok {
			n, _ = strconv.Atoi(count) // written below
			continue
		}
		env = append(env, v)
	}
	g.env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, s.key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, s.value), fmt.Sprintf("GIT_CONFIG_COUNT=%d", n+1))
}

// most is how much of an answer is read, in bytes: the list of a million files, and more than any setting.
const most = 256 << 20

// run gives what git prints. An error carries what it said.
func (g *git) run(ctx context.Context, args ...string) (string, error) {
	out := &capped{most: most}
	err := g.into(ctx, out, args...)
	if err == nil && out.over {
		err = fmt.Errorf("git %s answers with more than %d bytes", args[0], most)
	}
	return out.String(), err
}

// into runs git and hands its output on.
func (g *git) into(ctx context.Context, out *capped, args ...string) error {
	cmd := exec.CommandContext(ctx, g.program, args...)
	said := &capped{most: 4 << 10}
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = g.dir, g.env, out, said
	cmd.WaitDelay = time.Second // a child of git that holds the pipe open keeps nobody waiting
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		return nil
	}
	return &gitError{args[0], firstLine(said.String()), err}
}

// gitError is that git ended with an error.
type gitError struct {
	command, said string
	err           error
}

func (e *gitError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("git %s: %v", e.command, e.err)
	}
	return fmt.Sprintf("git %s: %s", e.command, e.said)
}

func (e *gitError) Unwrap() error { return e.err }

// failed reports whether git itself gave a negative answer with this exit code, which is how some commands say no.
func failed(err error, code int) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && exit.ExitCode() == code
}

// firstLine is what git says first, without its level and without what a terminal would take for commands.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	line = strings.TrimPrefix(line, "fatal: ")
	quoted := strconv.Quote(line)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

// capped keeps the beginning of what is written.
type capped struct {
	bytes.Buffer
	most int
	over bool
}

// Write keeps what fits. It takes everything, or git would end for want of a reader.
func (c *capped) Write(p []byte) (int, error) {
	keep := min(len(p), c.most-c.Len())
	if keep < len(p) {
		c.over = true
	}
	_, _ = c.Buffer.Write(p[:keep]) // never fails
	return len(p), nil
}
