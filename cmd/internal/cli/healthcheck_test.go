package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/admin"
	"github.com/stint-run/stint/tasks"
)

// neighbour is a worker behind an admin port.
type neighbour struct {
	alive   error
	ready   []string
	drains  atomic.Bool
	held    atomic.Int64 // steps in flight
	settles bool         // it loses one of them each time that it is asked for its status while it drains
}

func (n *neighbour) Alive() error    { return n.alive }
func (n *neighbour) Ready() []string { return n.ready }
func (n *neighbour) Drain()          { n.drains.Store(true) }
func (n *neighbour) Undrain()        { n.drains.Store(false) }

func (n *neighbour) Status() wire.WorkerStatus {
	s := wire.WorkerStatus{State: wire.WorkerActive}
	if n.drains.Load() {
		s.State = wire.WorkerDraining
		if n.settles && n.held.Load() > 0 {
			n.held.Add(-1)
		}
		s.SafeToStop = n.held.Load() == 0
	}
	s.InFlight = make([]wire.HeldStep, n.held.Load())
	return s
}

// run runs one command of the command line and returns its exit code and what a person reads.
func run(t *testing.T, signals chan os.Signal, build func(*command) *cobra.Command, args ...string) (int, string) {
	t.Helper()
	c := &command{Env: Env{Stdout: io.Discard, Stderr: io.Discard}}
	ctx, stop := c.interrupts.listen(t.Context(), signals)
	defer stop()
	cmd := build(c)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return exitCode(nil), ""
	}
	return exitCode(err), fmt.Sprintf("%v (hint: %s)", err, tasks.HintOf(err))
}

func health(t *testing.T, args ...string) (int, string) {
	t.Helper()
	return run(t, nil, (*command).healthcheck, args...)
}

func TestAHealthCheckIsYesOrNo(t *testing.T) {
	t.Parallel()
	n := &neighbour{}
	server := httptest.NewServer(admin.Handler(admin.Options{Worker: n}))
	t.Cleanup(server.Close)
	for _, c := range []struct {
		flag string
		set  func()
		code int
		says string
	}{
		{"", func() {}, 0, ""},
		{"--live", func() {}, 0, ""},
		{"--ready", func() {}, 0, ""},
		{"--drained", func() { n.held.Store(3) }, 1, "holds 3 steps"},
		{"--drained", func() { n.held.Store(0); n.Drain() }, 0, ""},
		{"--ready", func() { n.ready = []string{"redis is away"} }, 1, "redis is away"},
		{"--live", func() { n.alive = fmt.Errorf("wedged") }, 1, "wedged"},
	} {
		c.set()
		args := []string{"--url", server.URL + "/"}
		if c.flag != "" {
			args = append(args, c.flag)
		}
		if code, says := health(t, args...); code != c.code || !strings.Contains(says, c.says) || strings.Contains(says, "\n") {
			t.Errorf("healthcheck %s: %d %q, want %d", c.flag, code, says, c.code)
		}
	}
}

func TestAHealthCheckThatIsNotAnsweredIsANoWithinSeconds(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	start := time.Now()
	if code, says := health(t, "--url", "http://"+l.Addr().String()); code != 1 || says == "" {
		t.Errorf("%d %q", code, says)
	}
	if took := time.Since(start); took < probeTimeout || took > 3*probeTimeout {
		t.Errorf("it took %v", took)
	}
	if code, says := health(t, "--url", gone(t)); code != 1 || says == "" {
		t.Errorf("nobody listens: %d %q", code, says)
	}
	other := httptest.NewServer(http.RedirectHandler("http://elsewhere.example/", http.StatusFound))
	t.Cleanup(other.Close)
	if code, says := health(t, "--url", other.URL); code != 1 || !strings.Contains(says, "302") {
		t.Errorf("a redirect: %d %q", code, says)
	}
	if code, _ := health(t, "--url", "127.0.0.1:7801"); code != 2 {
		t.Errorf("an address without http: %d", code)
	}
}

// gone is an address where nobody listens.
func gone(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	return server.URL
}

func TestDrainSelfWaitsUntilTheWorkerIsSafeToStop(t *testing.T) {
	t.Parallel()
	n := &neighbour{settles: true}
	n.held.Store(4)
	server := httptest.NewServer(admin.Handler(admin.Options{Worker: n}))
	t.Cleanup(server.Close)
	if code, says := run(t, nil, (*command).drainSelf, "--url", server.URL); code != 0 || !n.drains.Load() || n.held.Load() == 0 {
		t.Errorf("without --wait: %d %q, %d held", code, says, n.held.Load())
	}
	if code, says := run(t, nil, (*command).drainSelf, "--url", server.URL, "--wait"); code != 0 || n.held.Load() != 0 {
		t.Errorf("with --wait: %d %q, %d held", code, says, n.held.Load())
	}
	if code, says := run(t, nil, (*command).drainSelf, "--url", server.URL, "--wait"); code != 0 {
		t.Errorf("once more: %d %q", code, says)
	}
}

func TestDrainSelfSaysWhyItHasNotDrained(t *testing.T) {
	t.Parallel()
	stuck := &neighbour{}
	stuck.held.Store(2)
	server := httptest.NewServer(admin.Handler(admin.Options{Worker: stuck}))
	t.Cleanup(server.Close)
	if code, says := run(t, nil, (*command).drainSelf, "--url", server.URL, "--wait", "--timeout", "300ms"); code != 6 || !strings.Contains(says, "holds 2 steps") {
		t.Errorf("time ran out: %d %q", code, says)
	}
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	if code, says := run(t, signals, (*command).drainSelf, "--url", server.URL, "--wait"); code != 130 {
		t.Errorf("interrupted: %d %q", code, says)
	}
	if code, says := run(t, nil, (*command).drainSelf, "--url", gone(t), "--wait"); code != 5 || !strings.Contains(says, "worker.admin") {
		t.Errorf("nobody listens: %d %q", code, says)
	}
	scheduler := httptest.NewServer(admin.Handler(admin.Options{}))
	t.Cleanup(scheduler.Close)
	if code, says := run(t, nil, (*command).drainSelf, "--url", scheduler.URL, "--wait"); code != 1 || !strings.Contains(says, "no worker") {
		t.Errorf("a process without a worker: %d %q", code, says)
	}
}

func TestDrainSelfIsDoneWhenTheWorkerHasEndedMeanwhile(t *testing.T) {
	t.Parallel()
	n := &neighbour{}
	n.held.Store(1)
	h := admin.Handler(admin.Options{Worker: n})
	var server *httptest.Server
	asked := make(chan struct{}, 1)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		if r.URL.Path == "/drained" {
			select {
			case asked <- struct{}{}:
			default:
			}
		}
	}))
	t.Cleanup(server.Close)
	go func() {
		<-asked
		server.Close()
	}()
	if code, says := run(t, nil, (*command).drainSelf, "--url", server.URL, "--wait", "--timeout", "20s"); code != 0 {
		t.Errorf("%d %q", code, says)
	}
}
