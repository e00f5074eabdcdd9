package builder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/publish"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/sandbox"
	"github.com/stint-run/stint/tasks/builder/tools"
)

// TestMain also plays the supervisor of the commands.
func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// lab is a repository, a store of artifacts, and agents, without queue and workers.
type lab struct {
	t       *testing.T
	dir     string
	url     string // of the bare repository
	work    string // a clone with a working copy
	files   *artifact.Folder
	fleet   *fleet
	jobs    atomic.Int64
	ran     string // a file into which commands write that they ran
	secrets map[string]string
	targets map[string]publish.Target
	agents  []Agent
}

// fleet counts and claims as Redis does.
type fleet struct {
	mu     sync.Mutex
	last   map[string]int64
	given  map[string]int64
	claims map[string]string
}

func (f *fleet) number(_ context.Context, product, build string, least int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := product + " " + build
	if n, ok := f.given[key]; ok && n >= least {
		return n, nil
	}
	f.last[product] = max(f.last[product]+1, least)
	f.given[key] = f.last[product]
	return f.last[product], nil
}

func (f *fleet) claim(_ context.Context, name, who string, d time.Duration) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	has := f.claims[name]
	switch {
	case d == 0 && has == who:
		delete(f.claims, name)
		return "", nil
	case d == 0 || has != "" && has != who:
		return has, nil
	}
	f.claims[name] = who
	return who, nil
}

func newLab(t *testing.T, tree map[string]string) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), fleet: &fleet{last: map[string]int64{}, given: map[string]int64{}, claims: map[string]string{}}, secrets: map[string]string{}, targets: map[string]publish.Target{}}
	l.work, l.ran = filepath.Join(l.dir, "clone"), filepath.Join(l.dir, "ran")
	bare := filepath.Join(l.dir, "bare.git")
	l.url = "file://" + bare
	l.git(l.dir, "init", "-q", "--bare", "-b", "main", bare)
	l.git(l.dir, "init", "-q", "-b", "main", l.work)
	l.git(l.work, "remote", "add", "origin", bare)
	l.commit("main", tree)
	var err error
	if l.files, err = artifact.NewFolder(filepath.Join(l.dir, "artifacts")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.files.Close() })
	return l
}

func (l *lab) git(dir string, args ...string) string {
	l.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", dir}, args...)...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, commits and pushes them to a branch, and returns the commit.
func (l *lab) commit(branch string, tree map[string]string) string {
	l.t.Helper()
	l.git(l.work, "checkout", "-q", "-B", branch)
	for name, text := range tree {
		file := filepath.Join(l.work, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
	l.git(l.work, "add", "-A")
	l.git(l.work, "commit", "-q", "--allow-empty", "-m", "change")
	l.git(l.work, "push", "-q", "origin", "HEAD:refs/heads/"+branch)
	return l.git(l.work, "rev-parse", "HEAD")
}

// agent makes the family as one agent has it.
func (l *lab) agent(name string, labels map[string]string) *Family {
	dir := filepath.Join(l.dir, "agents", name)
	lookup := func(name string) (string, bool) { return os.LookupEnv(name) }
	return New(Options{
		Dir: dir, Artifacts: func() (artifact.Store, error) { return l.files, nil }, Fleet: true, Labels: labels,
		Agents: func(context.Context) ([]Agent, error) { return l.agents, nil },
		Number: l.fleet.number, Claim: l.fleet.claim,
		Repositories: repository.New(repository.Options{Dir: filepath.Join(dir, "mirrors"), Allowed: []string{"file://" + l.dir + "/**"}, Lookup: lookup}),
		Tools:        tools.New(tools.Options{Dir: filepath.Join(dir, "tools")}),
		Environment:  map[string]string{"PATH": os.Getenv("PATH"), "RAN": l.ran},
		Secret:       func(name string) (string, bool) { v, ok := l.secrets[name]; return v, ok },
		Target: func(name string) (publish.Target, error) {
			if t := l.targets[name]; t != nil {
				return t, nil
			}
			return nil, fmt.Errorf("no target %s", name)
		},
		Environments: &publish.EnvironmentsOptions{Order: []publish.Environment{{Name: "ci", Channels: []string{"release", "branch"}}, {Name: "production", Channels: []string{"release"}}}},
		Limits:       sandbox.Limits{Processes: 500}, Version: "test",
	})
}

// job makes a job of a spec.
func (l *lab) job(s Spec) tasks.Job {
	l.t.Helper()
	if s.Repository == "" && s.Local == nil {
		s.Repository = l.url
	}
	text, err := json.Marshal(s)
	if err != nil {
		l.t.Fatal(err)
	}
	return tasks.Job{ID: fmt.Sprintf("bui-%d", l.jobs.Add(1)), Kind: Kind, Spec: text}
}

// unsaved saves nothing: builds have no checkpoints.
type unsaved struct{}

func (unsaved) Save(context.Context, tasks.Cursor, tasks.Counters) error { return nil }

// attempt runs a stage once.
func (l *lab) attempt(ctx context.Context, f *Family, job tasks.Job, stage string, draining chan struct{}) (*tasks.Attempt, error) {
	a := tasks.NewAttempt(&tasks.Attempt{ID: fmt.Sprintf("a%d", l.jobs.Add(1)), Job: job, Stage: tasks.Stage{Name: stage}, Step: tasks.Step{ID: stage}, Worker: filepath.Base(f.o.Dir), Draining: draining}, unsaved{}, nil, tasks.Counters{})
	return a, f.Run(ctx, a)
}

// carryOut runs a whole build, and tries again what asks for patience.
func (l *lab) carryOut(f *Family, job tasks.Job) error {
	stages, err := f.Plan(l.t.Context(), job)
	if err != nil {
		return err
	}
	for _, s := range stages {
		for {
			_, err := l.attempt(l.t.Context(), f, job, s.Name, make(chan struct{}))
			if err == nil {
				break
			}
			if _, patience := tasks.RetryAfterOf(err); !patience {
				return fmt.Errorf("%s: %w", s.Name, err)
			}
		}
	}
	return nil
}

// built runs a build that has to succeed, and opens it.
func (l *lab) built(f *Family, s Spec) *build {
	l.t.Helper()
	job := l.job(s)
	if err := l.carryOut(f, job); err != nil {
		l.t.Fatalf("%v\n%s", err, l.logs(f, job))
	}
	return l.open(f, job)
}

func (l *lab) open(f *Family, job tasks.Job) *build {
	l.t.Helper()
	b, begun, err := f.open(l.t.Context(), job)
	if err != nil || !begun {
		l.t.Fatal(begun, err)
	}
	return b
}

// logs are all that the steps have printed.
func (l *lab) logs(f *Family, job tasks.Job) string {
	l.t.Helper()
	var all strings.Builder
	names, err := f.Logs(l.t.Context(), job)
	if err != nil {
		l.t.Fatal(err)
	}
	for _, name := range names {
		for line, err := range f.Log(l.t.Context(), job, name, 0, false) {
			if err != nil {
				l.t.Fatal(err)
			}
			fmt.Fprintf(&all, "%s %s %s\n", name, line.Stream, line.Text)
		}
	}
	return all.String()
}

// output reads a file that a build has left behind.
func (l *lab) output(f *Family, job tasks.Job, name string) []byte {
	l.t.Helper()
	r, _, err := f.OpenOutput(l.t.Context(), job, name)
	if err != nil {
		l.t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		l.t.Fatal(err)
	}
	return text
}

// times reads how often commands have said that they ran.
func (l *lab) times(word string) int {
	l.t.Helper()
	text, err := os.ReadFile(l.ran)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.t.Fatal(err)
	}
	return strings.Count(string(text), word+"\n")
}
