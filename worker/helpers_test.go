package worker

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
)

// childVar makes the test binary a worker of its own: the URL of its Redis.
const childVar = "STINT_TEST_CHILD_WORKER"

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	if url := os.Getenv(childVar); url != "" {
		child(url)
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // these tests mostly wait
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// child is a worker named "child" whose steps never end by themselves: it holds them until it is told that they are stale.
// It ends when its standard input does.
func child(url string) {
	o, err := redis.ParseURL(url)
	if err != nil {
		panic(err)
	}
	rdb := redis.NewClient(o)
	hold := func(ctx context.Context, a *tasks.Attempt) error {
		fmt.Println("holds", a.Step.ID)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	w := New(rdb, store.New(rdb), Options{ID: "child", Concurrency: 2, Families: []tasks.Family{&enginetest.Family{Effects: rdb, Do: hold}},
		Log: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	if err := w.Start(context.Background()); err != nil {
		panic(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startChild starts the test binary as a worker; its output goes to the log.
func startChild(t *testing.T, url string) (*exec.Cmd, *enginetest.Log) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childVar+"="+url)
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	log, read := &enginetest.Log{}, make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			_, _ = log.Write(append(lines.Bytes(), '\n'))
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("child:\n%s", log)
		}
	})
	return cmd, log
}

// fleet is a Redis, a scheduler, a family and the workers of one test.
type fleet struct {
	t      *testing.T
	server *redistest.Server
	rdb    *redis.Client
	st     *store.Store
	family *enginetest.Family
	log    *enginetest.Log
}

// newFleet starts a Redis and a scheduler that gives workers up after lostAfter; 0 is the default.
func newFleet(t *testing.T, lostAfter time.Duration, options ...redistest.Option) *fleet {
	t.Helper()
	return newFleetWith(t, scheduler.Options{LostAfter: lostAfter}, options...)
}

// newFleetWith starts a Redis and a scheduler as it is told to.
func newFleetWith(t *testing.T, o scheduler.Options, options ...redistest.Option) *fleet {
	t.Helper()
	f := &fleet{t: t, server: redistest.New(t, options...), log: &enginetest.Log{}}
	f.rdb = f.server.Client()
	f.st = store.New(f.rdb)
	f.family = &enginetest.Family{Effects: f.rdb}
	o.Log = f.log.Logger()
	s := scheduler.New(f.rdb, f.st, o)
	s.Start()
	t.Cleanup(s.Stop)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", f.log)
		}
	})
	return f
}

// apart records the effects on a Redis of their own, for tests that take the engine's away.
func (f *fleet) apart() *fleet {
	f.family.Effects = redistest.Client(f.t)
	return f
}

// worker starts a worker, and stops it with the test.
func (f *fleet) worker(id string, change ...func(*Options)) *Worker {
	f.t.Helper()
	o := Options{ID: id, Concurrency: 4, Families: []tasks.Family{f.family}, Log: f.log.Logger()}
	for _, c := range change {
		c(&o)
	}
	w := New(f.rdb, f.st, o)
	if err := w.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, err := w.Stop(ctx); err != nil {
			f.t.Errorf("stop %s: %v", id, err)
		}
	})
	return w
}

func (f *fleet) submit(job tasks.Job) {
	f.t.Helper()
	enginetest.Submit(f.t, f.rdb, f.st, job)
}

func (f *fleet) ends(job string, steps int64) *wire.Job {
	f.t.Helper()
	v := enginetest.WaitState(f.t, f.st, job, tasks.Succeeded)
	if c := v.Counters; c.StepsDone != steps || c.StepsKnown != steps || c.StepsFailed != 0 || c.Read != 10*steps {
		f.t.Errorf("counters: %+v, want %d steps", c, steps)
	}
	return v
}

// gate lets steps wait until the test opens it, or they are wanted back.
type gate struct {
	arrived chan *tasks.Attempt
	open    chan struct{}
}

func newGate() *gate { return &gate{make(chan *tasks.Attempt, 1000), make(chan struct{})} }

func (g *gate) wait(ctx context.Context, a *tasks.Attempt) error {
	g.arrived <- a
	select {
	case <-g.open:
		return nil
	case <-a.Draining:
		return tasks.ErrDrained
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// arrive waits until n attempts have come to the gate.
func (g *gate) arrive(t *testing.T, n int) {
	t.Helper()
	for range n {
		select {
		case <-g.arrived:
		case <-time.After(enginetest.Patience):
			t.Fatal("no attempt came to the gate")
		}
	}
}
