package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/sandbox"
)

// TestMain is also the supervisor, what it runs, and the agent that is killed.
func TestMain(m *testing.M) {
	sandbox.Main()
	if len(os.Args) > 2 && os.Args[1] == "play" {
		play(os.Args[2], os.Args[3:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// self is this program as a command.
func self(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var path = "PATH=" + os.Getenv("PATH")

// shell is a command that runs a script, with limits so wide that only a broken test meets them.
func shell(t testing.TB, script string) sandbox.Command {
	t.Helper()
	return sandbox.Command{Args: []string{"sh", "-e"}, Script: script, Dir: t.TempDir(), Env: []string{path},
		Timeout: 2 * time.Minute, Limits: sandbox.Limits{Processes: 200}}
}

// each runs a test at every level that the machine allows.
func each(t *testing.T, test func(t *testing.T, run func(context.Context, sandbox.Command) (sandbox.Result, error))) {
	levels := levels()
	if len(levels) == 0 {
		t.Fatal("no supervisor can be started")
	}
	for name, l := range levels {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(ctx context.Context, c sandbox.Command) (sandbox.Result, error) { return sandbox.RunAt(ctx, l, c) })
		})
	}
}

var levels = sync.OnceValue(sandbox.Levels)

type runner = func(context.Context, sandbox.Command) (sandbox.Result, error)

// ran is a run that can be supervised.
func ran(t testing.TB, run runner, c sandbox.Command) (sandbox.Result, string) {
	t.Helper()
	var out buffer
	if c.Stdout == nil {
		c.Stdout = &out
	}
	if c.Stderr == nil {
		c.Stderr = &out
	}
	r, err := run(t.Context(), c)
	if err != nil {
		t.Fatalf("%+v, %v (%s)", r, err, tasks.HintOf(err))
	}
	return r, out.String()
}

// buffer is a bytes.Buffer for two writers.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// marker is an argument of sleep that no other process has.
func marker() string { return fmt.Sprintf("9%d.%09d", rand.IntN(1000), rand.IntN(1e9)) }

// survivors are processes with an argument, anywhere on the machine.
func survivors(argument string) []string {
	var out []string
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range all {
		if b, err := os.ReadFile(f); err == nil && slices.Contains(strings.Split(string(b), "\x00"), argument) {
			out = append(out, filepath.Dir(f)+": "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

func nothingSurvives(t testing.TB, argument string) {
	t.Helper()
	if s := survivors(argument); len(s) > 0 {
		t.Errorf("there is still %q", s)
	}
}

// until polls for something that another process does.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(60 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestAnExitCodeOrASignalComesThroughAsItIs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		for script, want := range map[string]sandbox.Result{
			"exit 0": {}, "exit 3": {ExitCode: 3}, "exit 255": {ExitCode: 255},
			"kill -SEGV $$": {ExitCode: -1, Signal: "SIGSEGV"}, "kill -KILL $$": {ExitCode: -1, Signal: "SIGKILL"}, "kill -TERM $$": {ExitCode: -1, Signal: "SIGTERM"},
			"false; exit 9": {ExitCode: 1},
		} {
			r, out := ran(t, run, shell(t, script))
			if r.Took <= 0 || r.ExitCode != want.ExitCode || r.Signal != want.Signal || r.Cause != "" || r.Left != 0 {
				t.Errorf("%s: %+v %s", script, r, out)
			}
		}
	})
}

func TestTheEnvironmentIsWhatWasGivenAndNothingElse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		c := sandbox.Command{Args: []string{"/usr/bin/env"}, Dir: t.TempDir(), Env: []string{"A=1", "B=x y\nz", "A=2", "EMPTY="}}
		if _, out := ran(t, run, c); out != "B=x y\nz\nA=2\nEMPTY=\n" {
			t.Errorf("%q", out)
		}
		c.Env = nil
		if _, out := ran(t, run, c); out != "" {
			t.Errorf("%q", out)
		}
	})
	for _, env := range []string{"A", "=B", "A=\x00"} {
		if r, err := sandbox.Run(t.Context(), sandbox.Command{Args: []string{"/bin/true"}, Dir: t.TempDir(), Env: []string{env}}); err == nil || r.Cause != sandbox.Start {
			t.Errorf("%q: %+v, %v", env, r, err)
		}
	}
}

func TestWhatABranchIsCalledIsNotExecuted(t *testing.T) {
	t.Parallel()
	c := shell(t, `printf '%s' "$BRANCH"; printf '%s' "$1"`)
	hostile := "$(touch x)`touch x`;touch x|touch x&touch x'\"\n--x"
	c.Env = append(c.Env, "BRANCH="+hostile)
	if _, out := ran(t, sandbox.Run, c); out != hostile {
		t.Errorf("%q", out)
	}
	if _, out := ran(t, sandbox.Run, sandbox.Command{Args: []string{"printf", "%s", hostile}, Dir: c.Dir, Env: []string{path}}); out != hostile {
		t.Errorf("%q", out)
	}
	if entries, _ := os.ReadDir(c.Dir); len(entries) != 0 {
		t.Errorf("there is %v", entries)
	}
}

func TestACommandHasItsInputItsScriptAndNoDescriptorsOfOurs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		c := shell(t, "cat; echo after; ls /proc/self/fd | wc -l; umask; cat /proc/self/stat | cut -d' ' -f7; ulimit -c")
		c.Stdin = "input\n"
		// 0, 1, 2, the script's, and that of ls itself; no terminal
		if _, out := ran(t, run, c); out != "input\nafter\n5\n0022\n0\n0\n" {
			t.Errorf("%q", out)
		}
		if _, out := ran(t, run, sandbox.Command{Args: []string{"sh", "-e"}, Stdin: "echo by input\n", Dir: c.Dir, Env: c.Env}); out != "by input\n" {
			t.Errorf("%q", out)
		}
		large := strings.Repeat("x", 3<<20)
		if _, out := ran(t, run, sandbox.Command{Args: []string{"wc", "-c"}, Stdin: large, Dir: c.Dir, Env: c.Env}); strings.TrimSpace(out) != strconv.Itoa(3<<20) {
			t.Errorf("%q", out)
		}
		if r, _ := ran(t, run, sandbox.Command{Args: []string{"true"}, Stdin: large, Dir: c.Dir, Env: c.Env}); r.ExitCode != 0 {
			t.Errorf("who does not read: %+v", r)
		}
	})
}

func TestAProgramIsLookedUpInThePathOfTheCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, where := range []string{"tools/hello", "hello", "folder/hello/x", "denied/hello"} {
		p := filepath.Join(dir, where)
		mode := os.FileMode(0o755)
		if strings.HasPrefix(where, "denied") {
			mode = 0o644
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte("#!/bin/sh\necho "+where+"\n"), mode)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(env, program string) (string, error) {
		var out buffer
		_, err := sandbox.Run(t.Context(), sandbox.Command{Args: []string{program}, Dir: dir, Env: []string{env}, Stdout: &out})
		return out.String(), err
	}
	for _, c := range []struct{ env, program, want string }{
		{"PATH=" + dir + "/none::" + dir + "/folder:" + dir + "/denied:" + dir + "/tools", "hello", "tools/hello\n"},
		{"PATH=tools", "hello", "tools/hello\n"},
		{"PATH=", "./hello", "hello\n"},
		{"PATH=", "tools/hello", "tools/hello\n"},
		{"PATH=", filepath.Join(dir, "tools/hello"), "tools/hello\n"},
	} {
		if out, err := run(c.env, c.program); err != nil || out != c.want {
			t.Errorf("%s %s: %q, %v", c.env, c.program, out, err)
		}
	}
	for _, c := range []struct{ env, program, want string }{
		{"PATH=:", "hello", `there is no program "hello" in PATH: :`}, // not the one in the folder itself
		{"PATH=/none:" + dir + "/denied", "hello", "PATH: /none:" + dir + "/denied: "},
		{"X=1", "sh", "PATH: (empty)"}, // ours would have one
		{"PATH=/bin", "./none", "there is no program " + dir + "/none"},
	} {
		out, err := run(c.env, c.program)
		if err == nil || !strings.Contains(err.Error(), c.want) || tasks.HintOf(err) == "" {
			t.Errorf("%s %s: %q, %v (%s)", c.env, c.program, out, err, tasks.HintOf(err))
		}
	}
}

func TestWhatCannotBeStartedIsAnErrorWithAHint(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		dir := t.TempDir()
		for name, text := range map[string]string{"noise": "\x00\x01\x02", "loader": "#!/none/at/all\n", "fine": "#!/bin/sh\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range []sandbox.Command{
			{Args: []string{"./noise"}, Dir: dir}, {Args: []string{"./loader"}, Dir: dir}, {Args: []string{"./none"}, Dir: dir},
			{Args: []string{"./fine"}, Dir: dir + "/none"}, {Dir: dir}, {Args: []string{"./fine", "\x00"}, Dir: dir},
		} {
			r, err := run(t.Context(), c)
			if err == nil || tasks.HintOf(err) == "" {
				t.Errorf("%q: %+v, %v (%s)", c.Args, r, err, tasks.HintOf(err))
			}
		}
		if r, err := run(t.Context(), sandbox.Command{Args: []string{"./fine"}, Dir: dir}); err != nil || r.ExitCode != 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestAtTheTimeoutOneThatIgnoresSIGTERMIsKilled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		mark := marker()
		c := shell(t, "trap '' TERM; sleep "+mark+" & wait; while :; do sleep "+mark+"; done")
		c.Timeout, c.Grace = 300*time.Millisecond, 200*time.Millisecond
		began := time.Now()
		r, _ := ran(t, run, c)
		if r.Cause != sandbox.Timeout || r.Signal != "SIGKILL" || time.Since(began) < 400*time.Millisecond {
			t.Errorf("%+v", r)
		}
		nothingSurvives(t, mark)
	})
}

func TestAtTheTimeoutAllHaveTheGraceToPutThingsInOrder(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		// the shell above dies of SIGTERM at once; the one below it tidies up
		c := shell(t, `sh -c 'trap "sleep 0.2; echo tidied; exit 0" TERM; echo ready; while :; do sleep 0.01; done' & echo $! ; kill -STOP $! ; wait`)
		c.Timeout, c.Grace = 500*time.Millisecond, time.Minute
		r, out := ran(t, run, c)
		if r.Cause != sandbox.Timeout || r.Signal != "SIGTERM" || !strings.Contains(out, "tidied") && strings.Contains(out, "ready") || r.Left != 0 {
			t.Errorf("%+v %s", r, out)
		}
	})
}

func TestACancelledContextEndsTheCommandAndItsDeadlineIsATimeout(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		mark := marker()
		ctx, cancel := context.WithCancel(t.Context())
		c := shell(t, "echo started; sleep "+mark)
		c.Stdout = writer(func(p []byte) (int, error) { cancel(); return len(p), nil })
		r, err := run(ctx, c)
		if err != nil || r.Cause != sandbox.Cancelled || r.Signal != "SIGTERM" {
			t.Errorf("%+v, %v", r, err)
		}
		nothingSurvives(t, mark)
		ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		c.Stdout = nil
		if r, err := run(ctx, c); err != nil || r.Cause != sandbox.Timeout {
			t.Errorf("%+v, %v", r, err)
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := sandbox.Run(ctx, shell(t, "true")); err != nil || r.Cause != sandbox.Cancelled || r.ExitCode != -1 {
		t.Errorf("%+v, %v", r, err)
	}
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestADaemonDiesWithTheCommand(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		mark := marker()
		c := shell(t, "(setsid sh -c 'trap \"\" TERM HUP; (setsid sleep "+mark+" >/dev/null 2>&1 </dev/null &) ; sleep "+mark+"' >/dev/null 2>&1 &) ; sleep 0.2; exit 4")
		r, _ := ran(t, run, c)
		if r.ExitCode != 4 || r.Left < 2 || r.Cause != "" {
			t.Errorf("%+v", r)
		}
		nothingSurvives(t, mark)
	})
}

func TestAGrandchildThatHoldsTheOutputHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		mark := marker()
		began := time.Now()
		r, out := ran(t, run, shell(t, "sleep "+mark+" & echo done"))
		if out != "done\n" || r.Left != 1 || time.Since(began) > 30*time.Second {
			t.Errorf("%+v %q after %v", r, out, time.Since(began))
		}
		nothingSurvives(t, mark)
	})
}

func TestAnOrphanIsNotAZombie(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, run runner) {
		r, out := ran(t, run, shell(t, `for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'true &' &); done; sleep 0.5; cat /proc/[0-9]*/stat 2>/dev/null | grep -c "^[0-9]* (true) Z" || true`))
		if out != "0\n" {
			t.Errorf("%+v %s", r, out)
		}
	})
}

func TestFastOutputIsNotSlowedAndComesWhole(t *testing.T) {
	t.Parallel()
	const size = 200 << 20
	var got int64
	c := sandbox.Command{Args: []string{"head", "-c", strconv.Itoa(size), "/dev/zero"}, Dir: t.TempDir(), Env: []string{path}, Stdout: writer(func(p []byte) (int, error) { got += int64(len(p)); return len(p), nil })}
	r, _ := ran(t, sandbox.Run, c)
	if got != size || r.Took > 10*time.Second {
		t.Errorf("%d bytes in %v", got, r.Took)
	}
	t.Logf("%.0f MB/s", size/1e6/r.Took.Seconds())
}

func TestASlowReaderLosesNothingOfWhatWasPrinted(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	first := true
	c := shell(t, "head -c 200000 /dev/zero; echo end")
	c.Stdout = writer(func(p []byte) (int, error) {
		if first { // longer than anybody waits for a pipe that is silent
			first = false
			<-time.After(2500 * time.Millisecond)
		}
		return got.Write(p)
	})
	ran(t, sandbox.Run, c)
	if got.Len() != 200004 || !bytes.HasSuffix(got.Bytes(), []byte("end\n")) {
		t.Errorf("%d bytes", got.Len())
	}
}

func TestALogThatCannotBeWrittenIsAnErrorAndTheCommandGoesOn(t *testing.T) {
	t.Parallel()
	c := shell(t, "head -c 1000000 /dev/zero; touch done; exit 5")
	c.Stdout = writer(func([]byte) (int, error) { return 0, io.ErrShortWrite })
	r, err := sandbox.Run(t.Context(), c)
	if !errors.Is(err, io.ErrShortWrite) || r.ExitCode != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(filepath.Join(c.Dir, "done")); err != nil {
		t.Error(err)
	}
}
