package web

import (
	"context"
	"encoding/json"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
	"github.com/stint-run/stint/tasks/builder/publish"
	"github.com/stint-run/stint/tasks/builder/repository"
	"github.com/stint-run/stint/tasks/builder/sandbox"
	"github.com/stint-run/stint/tasks/builder/tools"
	"github.com/stint-run/stint/worker"
)

// yard is a house that builds: a repository, a store of artifacts, and an agent.
type yard struct {
	*house
	dir, url string
}

// newYard starts one whose repository has these files on its branch main.
func newYard(t *testing.T, tree map[string]string) *yard {
	t.Helper()
	y := &yard{dir: t.TempDir()}
	y.url = "file://" + filepath.Join(y.dir, "bare.git")
	y.git(t, "init", "-q", "--bare", "-b", "main", "bare.git")
	y.git(t, "init", "-q", "-b", "main", "clone")
	for name, text := range tree {
		if err := os.WriteFile(filepath.Join(y.dir, "clone", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	y.git(t, "-C", "clone", "add", "-A")
	y.git(t, "-C", "clone", "commit", "-q", "-m", "one")
	y.git(t, "-C", "clone", "push", "-q", "../bare.git", "HEAD:refs/heads/main")
	files, err := artifact.NewFolder(filepath.Join(y.dir, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	var families []tasks.Family
	y.house = newHouse(t, func(o *api.Options) {
		families = []tasks.Family{builder.New(builder.Options{
			Dir: filepath.Join(y.dir, "agent"), Artifacts: func() (artifact.Store, error) { return files, nil }, Fleet: true,
			Agents: func(context.Context) ([]builder.Agent, error) { return []builder.Agent{{ID: "agent"}}, nil },
			Number: o.Store.BuildNumber, Claim: o.Store.Claim,
			Repositories: repository.New(repository.Options{Dir: filepath.Join(y.dir, "mirrors"), Allowed: []string{"file://" + y.dir + "/**"}, Lookup: os.LookupEnv}),
			Tools:        tools.New(tools.Options{Dir: filepath.Join(y.dir, "tools")}), Environment: map[string]string{"PATH": os.Getenv("PATH")},
			Secret:       func(string) (string, bool) { return "", false },
			Target:       func(string) (publish.Target, error) { return nil, os.ErrNotExist },
			Environments: &publish.EnvironmentsOptions{Order: []publish.Environment{{Name: "ci", Channels: []string{"release", "branch"}}, {Name: "production"}}},
			Limits:       sandbox.Limits{Processes: 500}, Version: "test",
		})}
		o.Families = families
	})
	w := worker.New(y.rdb, y.st, worker.Options{ID: "agent", Version: "1.2.3", Concurrency: 2, Families: families, Log: y.log.Logger()})
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if _, err := w.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return y
}

func (y *yard) git(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = y.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + y.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// ended waits for a build's end.
func (y *yard) ended(id string) *wire.Job {
	y.t.Helper()
	var j *wire.Job
	enginetest.Eventually(y.t, "the end of build "+id, func() bool {
		var err error
		j, err = y.client.Job(y.t.Context(), id)
		return err == nil && j.State.Ended()
	})
	return j
}

// printer is a family of the kind build whose one step "print" has printed what the test says, and prints what comes.
type printer struct {
	enginetest.Family
	lines []string
	more  chan string // closed, the log ends
	shows tasks.Build
}

func (*printer) Kind() string { return builder.Kind }

func (p *printer) Build(context.Context, tasks.Job) (tasks.Build, error) { return p.shows, nil }

func (p *printer) Outputs(context.Context, tasks.Job) ([]tasks.Output, error) { return nil, nil }

func (p *printer) Logs(context.Context, tasks.Job) ([]string, error) {
	return []string{"print", "a/b"}, nil
}

func (p *printer) Log(ctx context.Context, _ tasks.Job, name string, from int64, follow bool) iter.Seq2[tasks.LogLine, error] {
	return func(yield func(tasks.LogLine, error) bool) {
		seq := int64(0)
		say := func(text string) bool {
			seq++
			return seq < from || yield(tasks.LogLine{Seq: seq, At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Stream: "o", Text: text}, nil)
		}
		for _, l := range p.lines {
			if !say(l) {
				return
			}
		}
		for follow {
			select {
			case l, more := <-p.more:
				if !more || !say(l) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// newPrinter starts a house with one and a job of it.
func newPrinter(t *testing.T, p *printer) (h *house, id string) {
	t.Helper()
	h = newHouse(t, func(o *api.Options) { o.Families = []tasks.Family{p} })
	done, err := h.client.Submit(t.Context(), "one", wire.Submission{Kind: builder.Kind, Spec: json.RawMessage(`{"stages":[1]}`)})
	if err != nil {
		t.Fatal(err)
	}
	return h, done.ID
}

// texts are the bodies of all elements between two marks.
func texts(body, from, to string) (list []string) {
	for part := range strings.SplitSeq(body, from) {
		if text, _, ok := strings.Cut(part, to); ok {
			list = append(list, text)
		}
	}
	return slices.Clip(list)
}
