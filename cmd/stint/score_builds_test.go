package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// pushed makes a bare repository of an example product, and returns its URL. It is the same each time.
func pushed(t *testing.T, example string) string {
	t.Helper()
	dir := t.TempDir()
	work, bare := filepath.Join(dir, "work"), filepath.Join(dir, example+".git")
	if err := os.CopyFS(work, os.DirFS(filepath.Join("..", "..", "docs", "examples", "builds", example))); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "."}, {"add", "-A"}, {"commit", "-q", "-m", "first"}, {"clone", "-q", "--bare", ".", bare},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = work
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
			"GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return "file://" + bare
}

// builders is a fleet without workers yet, whose agents may build one repository.
type builders struct {
	*rig.Rig
	server
	url    string
	labels string
	cache  string // of the Go compiler; what it gives is the same without
	n      int
}

func newBuilders(t *testing.T, url, labels string) *builders {
	t.Helper()
	r := rig.New(t, redistest.New(t))
	r.Configure(fmt.Sprintf("artifacts: {url: 'file:%s'}\nbuilds:\n  environment: [PATH, GOCACHE]\n  repositories: ['%s']\n  targets: [{name: releases, type: folder, dir: '%s'}]\n",
		filepath.Join(r.Dir, "artifacts"), url, filepath.Join(r.Dir, "releases")))
	r.Start("scheduler")
	cache, err := exec.Command("go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return &builders{Rig: r, server: serve(t, r, "token"), url: url, labels: labels, cache: strings.TrimSpace(string(cache))}
}

// agent starts a worker with a folder of its own.
func (b *builders) agent() *rig.Process {
	b.n++
	p := b.StartEnv([]string{fmt.Sprintf("STINT_BUILDS_DIR=%s/agent%d", b.Dir, b.n), "GOCACHE=" + b.cache}, "worker", "--concurrency", "1", "--label", b.labels)
	b.Ready(p)
	return p
}

// submit asks for a build of the branch main.
func (b *builders) submit() string {
	var v struct{ Job string }
	b.JSON(&v, append([]string{"build", "run", "--repository", b.url, "--ref", "main", "--detach"}, b.flags...)...)
	return v.Job
}

// packages are the digests of what a build has left behind, by name.
func (b *builders) packages(job string) (list []string) {
	var outputs []tasks.Output
	b.JSON(&outputs, append([]string{"jobs", "outputs", job}, b.flags...)...)
	for _, o := range outputs {
		if !strings.HasPrefix(o.Name, "provenance") { // it names the job
			list = append(list, o.Name+" "+o.Digest)
		}
	}
	slices.Sort(list)
	return list
}

// An agent is killed in each step of a build in turn; another one goes on, and what is left behind has the same bytes as that of a build
// that nobody has disturbed.
func TestScoreBuildsThroughKills(t *testing.T) {
	t.Parallel()
	for example, labels := range map[string]string{"hello-go": "go=true", "greet-c": "cc=true,make=true", "colors-js": "node=true,npm=true"} {
		t.Run(example, func(t *testing.T) {
			t.Parallel()
			url := pushed(t, example)
			quiet := newBuilders(t, url, labels)
			quiet.agent()
			job := quiet.submit()
			quiet.Ended(job, 5*time.Minute)
			want := quiet.packages(job)
			if len(want) < 3 {
				t.Fatalf("an undisturbed build leaves %v", want)
			}
			b := newBuilders(t, url, labels)
			agent := b.agent()
			job = b.submit()
			killed := map[string]int{}
			b.Until(5*time.Minute, "the build ends", func(context.Context) (bool, error) {
				v := b.View(job)
				if v == nil {
					return false, nil
				}
				if v.State.Ended() {
					return true, nil
				}
				for _, o := range v.Out {
					if o.Worker == "" || o.Stage == "" || killed[o.Stage] > 0 {
						continue
					}
					agent.Kill()
					killed[o.Stage]++
					agent = b.agent()
					break
				}
				return false, nil
			})
			v := b.Ended(job, time.Minute)
			if got := b.packages(job); !slices.Equal(got, want) {
				t.Errorf("left behind is\n%v\nwant\n%v", got, want)
			}
			var missed []string
			for _, s := range v.Stages {
				if killed[s.Name] == 0 {
					missed = append(missed, s.Name)
				}
			}
			if len(killed) < 2 {
				t.Errorf("agents were killed in %v alone", killed)
			}
			score(t, "%s built by %d agents, one killed in each of %d stages (too quick to be hit: %v): the same %d files", example, b.n, len(killed), missed, len(want))
		})
	}
}
