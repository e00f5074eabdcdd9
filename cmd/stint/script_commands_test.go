package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// patience bounds what a script waits for.
const patience = time.Minute

// command makes a command as a script sees the world. A leading "unprivileged" takes the rights of root away.
func command(ts *testscript.TestScript, args []string) *rig.Command {
	c := &rig.Command{Dir: ts.MkAbs("."), Unprivileged: len(args) > 0 && args[0] == "unprivileged"}
	if c.Unprivileged {
		args = args[1:]
	}
	if len(args) == 0 {
		ts.Fatalf("which command?")
	}
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if file := filepath.Join(dir, args[0]); !strings.Contains(args[0], "/") && executable(file) {
			path = file
			break
		}
	}
	c.Path, c.Args = path, args[1:]
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "NO_COLOR", "STINT_DATA", "STINT_CONFIG", "STINT_ENVIRONMENT", "STINT_REDIS_URL",
		"STINT_LOG_LEVEL", "STINT_SERVER", "STINT_TOKEN_FILE", "WORK", "PG", "OTHER", "FULL", "DIRTY"} {
		if v := ts.Getenv(name); v != "" {
			c.Env = append(c.Env, name+"="+v)
		}
	}
	return c
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	out, log, code := command(ts, args[1:]).Run(2 * patience)
	_, _ = ts.Stdout().Write(out) // into memory
	_, _ = ts.Stderr().Write(log)
	if code != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), code, want)
	}
	if strings.Contains(string(log), "goroutine ") || strings.Contains(string(log), "panic") {
		ts.Fatalf("%s: it panicked", strings.Join(args[1:], " "))
	}
}

// started holds the processes of the scripts that run.
var started sync.Map // processKey -> *rig.Process

type processKey struct {
	ts   *testscript.TestScript
	name string
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: start NAME COMMAND...")
	}
	p, err := command(ts, args[1:]).Start(args[0], ts.MkAbs(args[0]+".out"), ts.MkAbs(args[0]+".log"))
	ts.Check(err)
	started.Store(processKey{ts, args[0]}, p)
	ts.Defer(p.Kill)
}

func process(ts *testscript.TestScript, name string) *rig.Process {
	p, ok := started.Load(processKey{ts, name})
	if !ok {
		ts.Fatalf("there is no process %s", name)
	}
	return p.(*rig.Process)
}

var signals = map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT}

func signal(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || signals[args[1]] == 0 || neg {
		ts.Fatalf("usage: signal NAME TERM|INT|KILL|STOP|CONT")
	}
	ts.Check(process(ts, args[0]).Signal(signals[args[1]]))
}

func ended(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: ended NAME CODE")
	}
	p := process(ts, args[0])
	code := p.Wait(patience)
	_, _ = ts.Stdout().Write(p.Out()) // into memory
	_, _ = ts.Stderr().Write([]byte(p.Log()))
	if got := strconv.Itoa(code); got != args[1] {
		ts.Fatalf("%s ended with %s, want %s", args[0], got, args[1])
	}
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || neg {
		ts.Fatalf("usage: until PATTERN COMMAND...")
	}
	want, err := regexp.Compile("(?s)" + args[0])
	ts.Check(err)
	var out, log []byte
	err = rig.Poll(patience, 50*time.Millisecond, func(context.Context) (bool, error) {
		out, log, _ = command(ts, args[1:]).Run(patience)
		return want.Match(out) || want.Match(log), nil
	})
	_, _ = ts.Stdout().Write(out) // into memory
	_, _ = ts.Stderr().Write(log)
	if err != nil {
		ts.Fatalf("%s never showed %s", strings.Join(args[1:], " "), args[0])
	}
}

func serving(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 || neg {
		ts.Fatalf("usage: serving PROCESS VARIABLE")
	}
	url, err := address(process(ts, args[0]))
	ts.Check(err)
	ts.Setenv(args[1], url)
}

func token(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 || len(args) > 4 || neg {
		ts.Fatalf("usage: token SERVER ROLE FILE [FILE-OF-WHO-ASKS]")
	}
	by := ""
	if len(args) == 4 {
		by = strings.TrimSpace(ts.ReadFile(args[3]))
	}
	secret, err := makeToken(context.Background(), args[0], by, args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(secret+"\n"), 0o600))
}

func postgresFor(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		for _, name := range args {
			ts.Setenv(name, pgtest.New(t))
		}
	}
}

func redisFor(t *testing.T) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		var options []redistest.Option
		if i := slices.Index(args, "with"); i >= 0 {
			options = append(options, redistest.Lines(args[i+1:]...))
			args = args[:i]
		}
		for _, name := range args {
			ts.Setenv(name, redistest.New(t, options...).URL())
		}
	}
}

func mode(ts *testscript.TestScript, _ bool, args []string) {
	m, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	for _, file := range args[1:] {
		ts.Check(os.Chmod(ts.MkAbs(file), os.FileMode(m)))
	}
}

// jsonAt looks into the last stdout: .job.stages[0].name, and .length for the length of a list.
func jsonAt(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: json PATH [WANT]")
	}
	var v any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	ts.Check(d.Decode(&v))
	got, err := walk(v, args[0])
	switch {
	case err != nil && neg:
	case err != nil:
		ts.Fatalf("%s: %v", args[0], err)
	case len(args) == 2 && (text(got) == args[1]) == neg, len(args) == 1 && neg:
		ts.Fatalf("%s is %s", args[0], text(got))
	}
}

func text(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, _ := json.Marshal(v) // it came from JSON
	return string(b)
}

var part = regexp.MustCompile(`\.([A-Za-z_]+)|\[(\d+)\]`)

func walk(v any, path string) (any, error) {
	for _, m := range part.FindAllStringSubmatch(path, -1) {
		switch x := v.(type) {
		case map[string]any:
			var ok bool
			if v, ok = x[m[1]]; !ok {
				return nil, fmt.Errorf("there is no %s", m[0])
			}
		case []any:
			if m[1] == "length" {
				v = json.Number(strconv.Itoa(len(x)))
				continue
			}
			i, err := strconv.Atoi(m[2])
			if err != nil || i >= len(x) {
				return nil, fmt.Errorf("there is no %s in a list of %d", m[0], len(x))
			}
			v = x[i]
		default:
			return nil, errors.New("nothing is below " + m[0])
		}
	}
	return v, nil
}
