// Command fuzz runs every fuzz target of the module for some time, one after the other, goes on after a finding, and prints a table of
// what there was. docs/fuzzing.md says what each target holds.
//
//	go run ./scripts/fuzz -time 10m -parallel 2 -run 'CSV|Plan'
//
// It ends with 1 where a target has found something; Go keeps the case below testdata/fuzz of the target's package.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	o := options{out: os.Stdout}
	flag.DurationVar(&o.time, "time", 10*time.Minute, "how long each target runs")
	flag.IntVar(&o.parallel, "parallel", 1, "how many processes work on a target")
	flag.StringVar(&o.dir, "dir", ".", "the root of the module")
	flag.StringVar(&o.goTool, "go", "go", "the go command")
	run := flag.String("run", "", "only targets whose package and name, as in internal/due.FuzzX, fit this pattern")
	list := flag.Bool("list", false, "list the targets, and run none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	found, err := do(ctx, o, *run, *list)
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(2)
	}
	if found > 0 {
		os.Exit(1)
	}
}

type options struct {
	time        time.Duration
	parallel    int
	dir, goTool string
	out         io.Writer
}

// target is one function, by the folder of its package.
type target struct{ folder, name string }

func (t target) String() string { return t.folder + "." + t.name }

// outcome is what became of a target.
type outcome struct {
	target
	took        string
	execs, news string
	finding     string // "" for none
}

func do(ctx context.Context, o options, run string, list bool) (found int, err error) {
	only, err := regexp.Compile(run)
	if err != nil {
		return 0, fmt.Errorf("-run: %w", err)
	}
	all, err := targets(o.dir)
	if err != nil {
		return 0, err
	}
	all = slices.DeleteFunc(all, func(t target) bool { return !only.MatchString(t.String()) })
	if len(all) == 0 {
		return 0, fmt.Errorf("no target fits %q; -list names them all", run)
	}
	var done []outcome
	for _, t := range all {
		if list {
			fmt.Fprintln(o.out, t)
			continue
		}
		if ctx.Err() != nil {
			break
		}
		fmt.Fprintf(o.out, "%s  %s\n", time.Now().Format("15:04:05"), t)
		r := o.fuzz(ctx, t)
		if r.finding != "" {
			found++
		}
		done = append(done, r)
	}
	if list {
		return 0, nil
	}
	return found, table(o.out, done)
}

var declared = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(\w+ \*testing\.F\)`)

// targets finds all of them, in the order of their packages.
func targets(root string) ([]target, error) {
	var all []target
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			all = append(all, target{filepath.ToSlash(folder), m[1]})
		}
		return nil
	})
	slices.SortFunc(all, func(a, b target) int { return strings.Compare(a.String(), b.String()) })
	return all, err
}

var (
	progress = regexp.MustCompile(`^fuzz: elapsed: (\S+), execs: (\d+) .*new interesting: (\d+)`)
	input    = regexp.MustCompile(`Failing input written to (\S+)`)
	failure  = regexp.MustCompile(`^\s*--- FAIL: (Fuzz\S+)`)
	timeIsUp = regexp.MustCompile(`^\s*context deadline exceeded$`) // what go says on a busy machine when the time of a target ends: no finding
)

// minimize is how long go makes an input smaller. It does so with each one that is new, for a minute unless it is told otherwise: of
// a target whose seeds are whole files that was all that it did.
const minimize = 2 * time.Second

// fuzz runs one target, and reads what go says of it.
func (o options) fuzz(ctx context.Context, t target) outcome {
	r := outcome{target: t, took: "0s", execs: "0", news: "0"}
	cmd := exec.CommandContext(ctx, o.goTool, "test", "-vet=off", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", o.time.String(), "-fuzzminimizetime", minimize.String(), fmt.Sprintf("-parallel=%d", o.parallel), "./"+t.folder)
	cmd.Dir = o.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 30 * time.Second
	pipe, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = cmd.Stdout
		err = cmd.Start()
	}
	if err != nil {
		r.finding = err.Error()
		return r
	}
	var said []string
	late := false
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		line := lines.Text()
		if m := progress.FindStringSubmatch(line); m != nil {
			r.took, r.execs, r.news = strings.TrimSuffix(m[1], ","), m[2], m[3]
			continue
		}
		if m := input.FindStringSubmatch(line); m != nil {
			r.finding = t.folder + "/" + m[1]
		} else if m := failure.FindStringSubmatch(line); m != nil && r.finding == "" { // a seed
			r.finding = m[1]
		} else if timeIsUp.MatchString(line) && r.finding == t.name {
			r.finding, late = "", true
		}
		said = append(said, line)
	}
	_, _ = io.Copy(io.Discard, pipe) // a line that was too long to be read
	var exit *exec.ExitError
	if err := cmd.Wait(); errors.As(err, &exit) && ctx.Err() == nil && r.finding == "" && !late {
		r.finding = "it ended with " + exit.String()
	}
	if r.finding != "" {
		fmt.Fprintln(o.out, strings.Join(said[max(0, len(said)-40):], "\n"))
	}
	return r
}

func table(out io.Writer, done []outcome) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\ntarget\ttime\texecutions\tnew inputs\tfinding")
	for _, r := range done {
		finding := r.finding
		if finding == "" {
			finding = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.target, r.took, r.execs, r.news, finding)
	}
	return w.Flush()
}
