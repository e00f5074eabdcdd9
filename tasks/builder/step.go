package builder

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/buildlog"
	"github.com/stint-run/stint/tasks/builder/pipeline"
	"github.com/stint-run/stint/tasks/builder/sandbox"
	"github.com/stint-run/stint/tasks/builder/snapshot"
	"github.com/stint-run/stint/tasks/builder/stamp"
)

// step is an attempt at a step of the pipeline.
type step struct {
	*build
	a *tasks.Attempt
	*pipeline.Step
	log    *buildlog.Log
	masker *buildlog.Masker
	space  *workspace
	env    map[string]string
	result result
}

// run carries the step out, or takes the result of an earlier one.
func (s *step) run(ctx context.Context) error {
	if had, err := s.build.result(ctx, s.Name); err != nil || had != nil {
		return err
	}
	if err := s.isAble(ctx); err != nil {
		return err
	}
	in, err := s.input(ctx, s.Needs)
	if err != nil {
		return conflictOr(err)
	}
	secrets, err := s.secrets()
	if err != nil {
		return err
	}
	if s.masker, err = buildlog.NewMasker(secrets); err != nil {
		return tasks.Permanent(err)
	}
	s.result = result{Step: s.Name, In: in, Agent: s.a.Worker, Began: time.Now().UTC()}
	if s.space, err = take(s.f.o.Dir); err != nil {
		return err
	}
	defer s.space.leave()
	s.env = s.environment(secrets)
	proofs, err := s.prove(ctx)
	if err != nil {
		return err
	}
	if s.result.Key, err = s.cacheKey(ctx, in, proofs); err != nil {
		return err
	}
	return s.alone(ctx, func(ctx context.Context) error {
		if reused, err := s.reuse(ctx, in); err != nil || reused {
			return err
		}
		return s.execute(ctx, in)
	})
}

// execute runs the commands in clean files, and keeps what they have made of them.
func (s *step) execute(ctx context.Context, in snapshot.ID) (err error) {
	if _, err := s.trees.Restore(ctx, in, s.space.src); err != nil {
		return fmt.Errorf("restore the files: %w", err)
	}
	if s.log, err = buildlog.Create(ctx, s.files, s.logPrefix(s.Name), s.a.ID, buildlog.Options{Max: s.logBytes()}); err != nil {
		return fmt.Errorf("begin the log: %w", err)
	}
	s.log.Note("step %s of %s %s, on %s", s.Name, s.pipeline.Name, s.start.Version.Version, s.a.Worker)
	began := time.Now()
	err = s.inFiles(ctx, in)
	end := buildlog.End{Took: time.Since(began)}
	if n := len(s.result.Commands); n > 0 {
		end.ExitCode, end.Cause = s.result.Commands[n-1].ExitCode, s.result.Commands[n-1].Cause
	}
	if err != nil {
		s.log.Note("%s", s.masked(err.Error()))
	}
	if s.a.IsDraining() {
		s.log.Note("the agent is wanted back: the step starts again elsewhere, with the files that it started with here")
	}
	closing, stop := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
	defer stop()
	if logErr := s.log.Close(closing, end); logErr != nil {
		err = errors.Join(err, fmt.Errorf("end the log: %w", logErr))
	}
	if err != nil {
		return s.failed(closing, err)
	}
	s.result.Ended = time.Now().UTC()
	if err := s.remember(ctx); err != nil {
		return err
	}
	s.a.Count(tasks.Counters{Read: s.result.Stats.Files, Written: s.result.Stats.NewFiles, Bytes: s.result.Stats.NewBytes})
	return s.settle(ctx, &s.result)
}

// closePatience is how long the end of a log may take when the attempt itself is cut off.
const closePatience = 10 * time.Second

// inFiles runs the commands in the restored files.
func (s *step) inFiles(ctx context.Context, in snapshot.ID) (err error) {
	dir := filepath.Join(s.space.src, filepath.FromSlash(s.spec.Dir))
	if len(s.Tools) > 0 {
		ready, err := s.f.o.Tools.Ensure(ctx, s.toolList(), s.log.Note)
		if err != nil {
			return err
		}
		s.env["PATH"] = strings.Join(append(ready.Path, s.env["PATH"]), string(os.PathListSeparator))
	}
	restore := func() error { return nil }
	if len(s.Stamp) > 0 {
		if restore, err = s.stamp(dir); err != nil {
			return err
		}
	}
	failure := s.commands(ctx, filepath.Join(dir, filepath.FromSlash(s.Dir)))
	if err := restore(); err != nil {
		return errors.Join(failure, err)
	}
	if err := s.readTests(dir); err != nil && failure == nil {
		failure = err
	}
	if failure != nil {
		return failure
	}
	return s.keep(ctx, dir, in)
}

// keep checks that what should have been made is there, and takes the changes along.
func (s *step) keep(ctx context.Context, dir string, in snapshot.ID) (err error) {
	for _, glob := range s.Produces {
		list, err := filesThatFit(dir, glob)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return tasks.Permanent(tasks.WithHint(nil, "see in the log what the commands did; paths begin in the folder that is built", "step %s has ended and there is no %s", s.Name, glob))
		}
	}
	o := snapshot.CaptureOptions{Parent: in, Exclude: append([]string{stamp.Folder, ".git"}, s.excluded()...), MaxGrowth: s.limits().Disk}
	if s.result.Out, s.result.Stats, err = s.trees.Capture(ctx, s.space.src, o); err != nil {
		return fmt.Errorf("keep the files: %w", err)
	}
	s.log.Note("%d files, %d of them new or changed (%d bytes)", s.result.Stats.Files, s.result.Stats.NewFiles, s.result.Stats.NewBytes)
	return nil
}

// commands runs one command after the other until one fails.
func (s *step) commands(ctx context.Context, dir string) error {
	deadline := time.Now().Add(s.Timeout)
	for _, c := range s.Commands {
		if err := s.command(ctx, dir, c, time.Until(deadline)); err != nil {
			return err
		}
	}
	return nil
}

func (s *step) command(ctx context.Context, dir string, c pipeline.Command, timeout time.Duration) error {
	words, args := words(c), c.Args
	if c.Script != "" {
		args = []string{"sh", "-e"}
		if runtime.GOOS == "windows" {
			args = []string{"cmd", "/q", "/c"}
		}
	}
	s.log.Note("$ %s", s.masked(words))
	out, errs := s.masker.Writer(s.log.Stdout()), s.masker.Writer(s.log.Stderr())
	r, err := sandbox.Run(ctx, sandbox.Command{Args: args, Script: c.Script, Dir: dir, Env: pairs(s.env), Stdout: out, Stderr: errs, Timeout: max(timeout, time.Millisecond), Root: filepath.Dir(s.space.src), Limits: s.limits()})
	if err := errors.Join(err, out.Close(), errs.Close()); err != nil {
		return fmt.Errorf("run %s: %w", s.masked(words), err)
	}
	s.result.Commands = append(s.result.Commands, ran{Words: s.masked(words), ExitCode: r.ExitCode, Signal: r.Signal, Cause: string(r.Cause), Took: r.Took, CPU: r.CPU, MaxMemory: r.MaxMemory, Left: r.Left})
	s.log.Note("exit code %d after %s", r.ExitCode, r.Took.Round(time.Millisecond))
	if r.Left > 0 {
		s.log.Note("%d processes that the command had left running were ended", r.Left)
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	switch {
	case r.Cause != "":
		return tasks.WithHint(nil, hintOfCause[string(r.Cause)], "%s of step %s was ended: %s", s.masked(words), s.Name, r.Cause)
	case r.ExitCode != 0 && r.Signal != "":
		return tasks.WithHint(nil, "see stint build log "+s.job+" "+s.Name, "%s of step %s was ended by %s", s.masked(words), s.Name, r.Signal)
	case r.ExitCode != 0:
		return tasks.WithHint(nil, "see stint build log "+s.job+" "+s.Name, "%s of step %s ended with exit code %d", s.masked(words), s.Name, r.ExitCode)
	}
	return nil
}

// hintOfCause says what to do about a command that was ended before its time.
var hintOfCause = map[string]string{
	"timeout":   "give the step a longer timeout, or cut it into several",
	"memory":    "limits: {memory: …} allows more, up to what the agents allow (builds.limits)",
	"cpu":       "limits: {cpu: …} allows more, up to what the agents allow (builds.limits)",
	"disk":      "limits: {disk: …} allows more, up to what the agents allow (builds.limits)",
	"processes": "limits: {processes: …} allows more, up to what the agents allow (builds.limits)",
}

// failed decides what a failure means: the step says how often its commands are tried again.
func (s *step) failed(ctx context.Context, err error) error {
	if s.a.IsDraining() || ctx.Err() != nil {
		return err
	}
	if _, patience := tasks.RetryAfterOf(err); patience || len(s.result.Commands) == 0 && !tasks.IsPermanent(err) {
		return err // not the commands' failure: the engine's budget
	}
	s.result.Ended = time.Now().UTC()
	if e := s.noteFailure(ctx, err); e != nil {
		return errors.Join(err, e)
	}
	if s.a.Failed < s.Retries {
		return err
	}
	return tasks.Permanent(err)
}

// stamp writes the version into files, and returns what puts them back.
func (s *step) stamp(dir string) (restore func() error, err error) {
	targets := make([]stamp.Target, 0, len(s.Stamp))
	for _, text := range s.Stamp {
		t, err := stamp.Parse(text)
		if err != nil {
			return nil, tasks.Permanent(err)
		}
		targets = append(targets, t)
	}
	rel, err := filepath.Rel(s.space.src, dir)
	if err != nil {
		return nil, err
	}
	stamped, err := stamp.Files(s.space.src, filepath.ToSlash(rel), targets, stamp.Values{Version: s.start.Version.Version, File: s.start.Numbers})
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	s.result.Stamped = stamped.Files
	s.log.Note("stamped %s into %s", s.start.Version.Version, strings.Join(stamped.Files, ", "))
	return func() error {
		_, err := stamped.Restore()
		return err
	}, nil
}

// environment is all that commands get.
func (s *step) environment(secrets map[string]string) map[string]string {
	env := map[string]string{"LANG": "C.UTF-8", "TZ": "UTC", "CI": "true", "STINT_BUILD": s.job, "STINT_STEP": s.Name}
	maps.Copy(env, s.f.o.Environment)
	if s.space != nil {
		env["HOME"], env["TMPDIR"] = s.space.home, s.space.temp
		env["XDG_CACHE_HOME"] = filepath.Join(s.f.o.Dir, "cache", s.pipeline.Name, string(s.start.Version.Channel))
		if runtime.GOOS == "windows" {
			env["USERPROFILE"], env["TEMP"], env["TMP"] = s.space.home, s.space.temp, s.space.temp
		}
	}
	if s.versioned() {
		v := s.start.Version
		env["BUILD_VERSION"], env["BUILD_FILE_VERSION"], env["BUILD_CHANNEL"] = v.Version, v.File, string(v.Channel)
		env["BUILD_NUMBER"], env["BUILD_COMMIT"], env["SOURCE_DATE_EPOCH"] = strconv.FormatInt(s.start.Number, 10), s.start.Commit.SHA, strconv.FormatInt(s.start.At.Unix(), 10)
	}
	maps.Copy(env, s.pipeline.Environment)
	for name, value := range s.Environment {
		if s.versioned() {
			value = s.facts().Fill(value)
		}
		env[name] = value
	}
	maps.Copy(env, secrets)
	return env
}

// facts are what is filled into texts of the pipeline.
func (b *build) facts() pipeline.Facts {
	v := b.start.Version
	return pipeline.Facts{Version: v.Version, FileVersion: v.File, Channel: string(v.Channel), Commit: b.start.Commit.SHA, Number: b.start.Number}
}

// versioned reports whether the result depends on the version.
func (s *step) versioned() bool { return s.Version || len(s.Stamp) > 0 }

func (s *step) secrets() (map[string]string, error) {
	found := map[string]string{}
	for _, name := range s.Secrets {
		value, ok := "", false
		if s.f.o.Secret != nil {
			value, ok = s.f.o.Secret(name)
		}
		if !ok {
			return nil, tasks.Permanent(tasks.WithHint(nil, "write it into builds.secrets of the agents' configuration", "step %s wants the secret %s, which this agent does not have", s.Name, name))
		}
		found[name] = value
	}
	return found, nil
}

// limits are the step's, within the agent's.
func (s *step) limits() sandbox.Limits {
	most := s.f.o.Limits
	return sandbox.Limits{Memory: within(s.Limits.Memory, most.Memory), CPU: within(s.Limits.CPU, most.CPU), Disk: within(s.Limits.Disk, most.Disk), Processes: within(s.Limits.Processes, most.Processes), Files: most.Files}
}

func within[N int | int64 | time.Duration](want, most N) N {
	if want == 0 || most != 0 && want > most {
		return most
	}
	return want
}

func (s *step) logBytes() int64 { return within(s.Limits.Log, s.f.o.Log) }

// masked is a text without secrets.
func (s *step) masked(text string) string {
	var b strings.Builder
	w := s.masker.Writer(&b)
	if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
		return "(not shown)"
	}
	return b.String()
}

// excluded are the globs of what does not travel, from the root of the tree.
func (b *build) excluded() []string {
	list := make([]string, 0, len(b.pipeline.Exclude))
	for _, glob := range b.pipeline.Exclude {
		list = append(list, strings.TrimPrefix(b.spec.Dir+"/"+glob, "/"))
	}
	return list
}

func words(c pipeline.Command) string {
	if c.Script != "" {
		first, rest, more := strings.Cut(strings.TrimSpace(c.Script), "\n")
		if more && rest != "" {
			first += " …"
		}
		return first
	}
	return strings.Join(c.Args, " ")
}

func pairs(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

// conflictOr makes a conflict of two steps' files an error that no retry helps.
func conflictOr(err error) error {
	var c *snapshot.Conflict
	if errors.As(err, &c) {
		return tasks.Permanent(tasks.WithHint(err, "let one of the steps need the other, or write to different files", "steps that ran side by side have changed the same file"))
	}
	return err
}
