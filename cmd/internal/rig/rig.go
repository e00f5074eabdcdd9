// Package rig plays stint at full size: it builds the program, starts its processes against real servers, disturbs them, and
// looks at the outcome with its own eyes.
//
// A test makes a Rig, which is a configuration, a Redis and some databases; starts workers and schedulers as processes;
// waits for conditions through the store, the ledger or the command line; and compares source and target by plain SQL,
// which shares no code with what it judges.
//
// Every process dies with the test, and with the test binary, however that ends.
package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/mariadbtest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks/builder/sandbox"
)

// built is the program, built once for each test binary.
var built build

// next is the program as a build of the next protocol.
var next = build{tags: "stint_next_protocol"}

// stamped are builds that differ in nothing but their version.
var stamped sync.Map // version -> *build

// build is one build of the program; the zero value is the usual one.
type build struct {
	tags    string
	version string // its stamp; "" is none
	sync.Once
	path string
	err  error
}

// Build builds the program once and returns its path. Main removes it.
func Build(t testing.TB) string {
	t.Helper()
	return built.program(t)
}

// BuildNext builds the program as one whose protocol is one higher than Build's, once, and returns its path. Main removes it.
func BuildNext(t testing.TB) string {
	t.Helper()
	return next.program(t)
}

// BuildVersion builds the program as a release of that version, once, and returns its path. Main removes it.
func BuildVersion(t testing.TB, version string) string {
	t.Helper()
	b, _ := stamped.LoadOrStore(version, &build{version: version})
	return b.(*build).program(t)
}

func (b *build) program(t testing.TB) string {
	t.Helper()
	b.Do(func() {
		dir, err := os.MkdirTemp("", "stint-rig-")
		if err != nil {
			b.err = err
			return
		}
		_ = os.Chmod(dir, 0o755) // scripts run it as another user
		b.path = filepath.Join(dir, "stint")
		if out, err := exec.Command("go", "build", "-tags", b.tags, "-ldflags", "-X github.com/stint-run/stint/cmd/internal/cli.Stamp="+b.version, "-o", dir+"/", "github.com/stint-run/stint/cmd/stint", "github.com/stint-run/stint/cmd/internal/rig/sqlrun").CombinedOutput(); err != nil {
			b.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatalf("build stint: %v", b.err)
	}
	return b.path
}

func (b *build) remove() {
	if b.path != "" {
		_ = os.RemoveAll(filepath.Dir(b.path))
	}
}

// Main runs the tests of a package and removes what was made for all of them: func TestMain(m *testing.M) { rig.Main(m) }.
func Main(m *testing.M) {
	sandbox.Main()
	code := m.Run()
	pgtest.Stop()
	mariadbtest.Stop()
	built.remove()
	next.remove()
	stamped.Range(func(_, b any) bool {
		b.(*build).remove()
		return true
	})
	removeSources()
	os.Exit(code)
}

// Rig is one arrangement of servers, databases and processes.
type Rig struct {
	T     testing.TB
	Dir   string
	Redis *redistest.Server // nil with the embedded queue
	Store *store.Store      // of Redis; nil with the embedded queue

	bin    string
	config string
	crew   *crew
}

// crew are the processes that a rig has started.
type crew struct {
	mu    sync.Mutex
	names map[string]int // how many of each command
	procs []*Process
}

// Connection is a database by the name that jobs know it by.
type Connection struct{ Name, URL string }

// New makes a rig with a configuration that knows the connections. A nil server means the embedded queue, in Dir/data.
func New(t testing.TB, server *redistest.Server, connections ...Connection) *Rig {
	t.Helper()
	r := &Rig{T: t, Dir: t.TempDir(), Redis: server, bin: Build(t), crew: &crew{names: map[string]int{}}}
	r.config = filepath.Join(r.Dir, "stint.yaml")
	text := fmt.Sprintf("data: %q\nworker:\n  concurrency: 2\nlog:\n  format: json\n", filepath.Join(r.Dir, "data"))
	if server != nil {
		text += fmt.Sprintf("redis:\n  url: %q\n", server.URL())
		client := redis.NewClient(server.Options())
		r.Store = store.New(client)
		t.Cleanup(func() {
			_ = client.Close() // the server is about to go, too
		})
	}
	if len(connections) > 0 {
		text += "connections:\n"
	}
	for _, c := range connections {
		text += fmt.Sprintf("  - name: %s\n    url: %q\n", c.Name, c.URL)
	}
	if err := os.WriteFile(r.config, []byte(text), 0o600); err != nil {
		t.Fatalf("write the configuration: %v", err)
	}
	t.Cleanup(r.end)
	return r
}

// end kills what still runs and, when the test has failed, shows what the processes have said.
func (r *Rig) end() {
	r.crew.mu.Lock()
	procs := r.crew.procs
	r.crew.mu.Unlock()
	for _, p := range procs {
		p.Kill()
		if r.T.Failed() {
			r.T.Logf("--- %s (pid %d)\n%s", p.Name, p.PID(), tail(p.Log(), 3000))
		}
	}
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

// As gives the same rig with another build of the program: what it starts joins the same fleet.
func (r *Rig) As(program string) *Rig {
	return &Rig{T: r.T, Dir: r.Dir, Redis: r.Redis, Store: r.Store, bin: program, config: r.config, crew: r.crew}
}

// Worker starts a worker process and returns at once; Ready waits until the fleet knows it.
func (r *Rig) Worker(args ...string) *Process {
	r.T.Helper()
	return r.Start("worker", args...)
}

// Ready waits until a worker process is in the fleet, and returns its id there.
func (r *Rig) Ready(p *Process) string {
	r.T.Helper()
	r.Until(time.Minute, p.Name+" joins the fleet", func(ctx context.Context) (bool, error) {
		ws, err := r.Store.Workers(ctx, time.Minute)
		for _, w := range ws {
			if w.PID == p.PID() && w.State != wire.WorkerStopped {
				p.ID = w.ID
			}
		}
		return p.ID != "", err
	})
	return p.ID
}

// Submit starts a migration without waiting for it, and returns the job's id.
func (r *Rig) Submit(from, to string, args ...string) string {
	r.T.Helper()
	var answer struct{ ID string }
	r.JSON(&answer, append([]string{"migrate", "--from", from, "--to", to, "--wait=false"}, args...)...)
	return answer.ID
}

// JSON runs a command with --output json and reads its answer; the command must end with 0.
func (r *Rig) JSON(into any, args ...string) {
	r.T.Helper()
	p := r.Start(args[0], append(args[1:], "--output", "json")...)
	if code := p.Wait(5 * time.Minute); code != 0 {
		r.T.Fatalf("stint %v: exit code %d\n%s", args, code, p.Log())
	}
	if err := json.Unmarshal(p.Out(), into); err != nil {
		r.T.Fatalf("stint %v: %v in\n%s", args, err, p.Out())
	}
}

// View reads a job; nil while Redis does not answer or does not know it.
func (r *Rig) View(job string) *wire.Job {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	v, err := r.Store.View(ctx, job)
	if err != nil {
		return nil
	}
	return v
}

// Read returns how many rows a job has read.
func (r *Rig) Read(job string) int64 {
	if v := r.View(job); v != nil {
		return v.Counters.Read
	}
	return 0
}

// Ended waits until a job has ended, and fails the test unless it succeeded.
func (r *Rig) Ended(job string, limit time.Duration) *wire.Job {
	r.T.Helper()
	var v *wire.Job
	r.Until(limit, "job "+job+" ends", func(context.Context) (bool, error) {
		v = r.View(job)
		return v != nil && v.State.Ended(), nil
	})
	if v.State != "succeeded" {
		r.T.Fatalf("job %s %s: %+v", job, v.State, v.Error)
	}
	return v
}

// Until polls a condition until it holds, and fails the test with its last error when it has not by then.
func (r *Rig) Until(limit time.Duration, what string, met func(ctx context.Context) (bool, error)) {
	r.T.Helper()
	if err := Poll(limit, 5*time.Millisecond, met); err != nil {
		r.T.Fatalf("%s: %v", what, err)
	}
}

// Poll asks a condition each interval until it holds. Its error is the condition's last one, or that time ran out.
func Poll(limit, interval time.Duration, met func(ctx context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		ok, err := met(ctx)
		if ok {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("not within %v", limit)
			}
			return err
		}
	}
}

// Configure adds lines to the rig's configuration; processes that run already do not see them.
func (r *Rig) Configure(text string) {
	r.T.Helper()
	f, err := os.OpenFile(r.config, os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		r.T.Fatalf("configure: %v", err)
	}
}
