// Package redistest gives each test a redis-server of its own: real, private, empty, on a unix socket, and gone when the
// test ends, even when the test binary is killed. It can be killed, frozen and started again as a test likes.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/freeport"
	"github.com/stint-run/stint/internal/localredis/redisproc"
)

// startTimeout bounds a start; on an idle machine one takes some ten milliseconds.
const startTimeout = 60 * time.Second

// Option changes what New starts.
type Option func(*redisproc.Config)

// EverySecond keeps what was written in an append-only file, synced each second. Restart of a running server loses nothing. A Kill may lose
// what was answered in the last two seconds: while a sync goes on, Redis keeps writes from the file for so long.
func EverySecond() Option { return func(c *redisproc.Config) { c.Fsync = "everysec" } }

// FsyncAlways keeps what was written in an append-only file that is synced before each answer: a Kill loses nothing of what was answered.
func FsyncAlways() Option { return func(c *redisproc.Config) { c.Fsync = "always" } }

// TCP serves on a free port of 127.0.0.1 instead of a socket, for tests that put something between.
func TCP() Option { return func(c *redisproc.Config) { c.Socket = "" } }

// find looks for the redis-server once per test binary.
var find = sync.OnceValues(func() (string, error) {
	path, _, err := redisproc.Find(context.Background())
	return path, err
})

// Server is a redis-server of one test. Its methods belong to the test's own goroutine; its clients to all.
type Server struct {
	t      testing.TB
	config redisproc.Config
	proc   *redisproc.Process
	client *redis.Client
}

// New starts an empty server without persistence, unless an option says otherwise, and ends it with the test. Without a
// redis-server on PATH the test fails: it is never skipped.
func New(t testing.TB, options ...Option) *Server {
	t.Helper()
	binary, err := find()
	if err != nil {
		t.Fatalf("this test needs a real redis-server: %v; install it with `scripts/install-test-deps.sh`", err)
	}
	// Not t.TempDir: the path of a socket has to be short.
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatalf("make a folder for redis-server: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the folder of redis-server: %v", err)
		}
	})
	s := &Server{t: t, config: redisproc.Config{Binary: binary, Dir: dir, Socket: filepath.Join(dir, "r.sock")}}
	for _, o := range options {
		o(&s.config)
	}
	if s.config.Socket == "" || len(s.config.Socket) > redisproc.MaxSocketPath {
		s.config.Socket = ""
		if s.config.Port == 0 {
			s.config.Port = freePort(t)
		}
	}
	s.start()
	t.Cleanup(s.end)
	return s
}

// Client returns a new client of a new server: New and Server.Client in one, for tests that need no more.
func Client(t testing.TB, options ...Option) *redis.Client {
	t.Helper()
	return New(t, options...).Client()
}

func freePort(t testing.TB) int {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func (s *Server) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	proc, err := redisproc.Start(ctx, s.config)
	if err != nil {
		s.t.Fatalf("start redis-server: %v", err)
	}
	s.proc = proc
}

func (s *Server) end() {
	if s.client != nil {
		if err := s.client.Close(); err != nil && err != redis.ErrClosed {
			s.t.Errorf("close the client: %v", err)
		}
	}
	s.proc.Kill() // a frozen one as well; nobody wants its data any more
}

// Client returns the server's client: the same at each call, closed with the test.
func (s *Server) Client() *redis.Client {
	if s.client == nil {
		s.client = redis.NewClient(s.Options())
	}
	return s.client
}

// Options returns how to reach the server; a fresh value at each call.
func (s *Server) Options() *redis.Options { return s.config.Options() }

// URL returns how to reach the server in the form that redis.url has in the configuration.
func (s *Server) URL() string {
	if s.config.Socket != "" {
		return "unix://" + s.config.Socket
	}
	return "redis://" + s.Addr()
}

// Addr returns the path of the server's socket or, with TCP, its host and port.
func (s *Server) Addr() string { return s.Options().Addr }

// Pid returns the process id of the server that runs now, or ran last.
func (s *Server) Pid() int { return s.proc.Pid() }

// Kill ends the server with SIGKILL and returns when it is gone. Without an append-only file all of its data is lost with it.
func (s *Server) Kill() { s.proc.Kill() }

// Restart starts the server again at the same address and with the same append-only file, if it has one. A server that
// still runs is ended in order first.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.proc.Stop(startTimeout); err != nil {
		s.t.Fatalf("end redis-server: %v", err)
	}
	s.start()
}

// Revive starts a killed server again, as an operator would whose server refuses its append-only file: the file is cut where it can no
// longer be read. What was done to it is returned, in the words of redis-check-aof and with what stands there; "" is nothing. Redis 7.0
// writes such a file when its disk becomes full in the middle of a write, if a rewrite has begun the file: Rewritten says more.
func (s *Server) Revive() (cut string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	proc, err := redisproc.Start(ctx, s.config)
	if err != nil && strings.Contains(err.Error(), "Bad file format") {
		if cut, err = cutAOF(ctx, filepath.Join(s.config.Dir, "appendonlydir")); err == nil {
			proc, err = redisproc.Start(ctx, s.config)
		}
	}
	if err != nil {
		s.t.Fatalf("start redis-server: %v %s", err, cut)
	}
	s.proc = proc
	return cut
}

// Rewritten has the server write its append-only file anew and returns when it has. That is what to do when its disk has been full:
// Redis 7.0 takes back a write that was cut short, but goes on where that had ended, unless the file was there when the server started.
// What it leaves there are zeros, at which it refuses the file the next time it starts.
func (s *Server) Rewritten(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for asked := false; ; {
		info, err := s.Client().Info(ctx, "persistence").Result()
		if err == nil && strings.Contains(info, "aof_rewrite_in_progress:0") && strings.Contains(info, "aof_rewrite_scheduled:0") {
			if asked && strings.Contains(info, "aof_last_bgrewrite_status:ok") {
				return nil
			}
			err = s.Client().BgRewriteAOF(ctx).Err()
			asked = err == nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("have redis-server write its file anew: %w; last: %v", context.Cause(ctx), err)
		}
	}
}

// cutAOF cuts the append-only file in a folder at the first byte that cannot be read.
func cutAOF(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "redis-check-aof", "--fix", "appendonly.aof.manifest")
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader("y\n")
	files := map[string][]byte{}
	list, err := filepath.Glob(filepath.Join(dir, "*.incr.aof"))
	for _, f := range list {
		b, failed := os.ReadFile(f)
		err = errors.Join(err, failed)
		files[f] = b
	}
	if err != nil {
		return "", err
	}
	out, err := cmd.CombinedOutput()
	said := string(out)
	for f, b := range files {
		if left, err := os.Stat(f); err == nil && left.Size() < int64(len(b)) {
			at := int(left.Size())
			said += fmt.Sprintf("\n%s, %d bytes, was cut at %d: %q before and %q after", filepath.Base(f), len(b), at, b[max(0, at-400):at], b[at:min(len(b), at+800)])
		}
	}
	if err != nil {
		err = fmt.Errorf("redis-check-aof: %w: %s", err, said)
	}
	return said, err
}

// Wipe removes what a killed server has kept: after Restart it is empty, as when its disk was lost.
func (s *Server) Wipe() {
	s.t.Helper()
	s.Kill()
	for _, kept := range []string{"appendonlydir", "appendonly.aof", "dump.rdb"} {
		if err := os.RemoveAll(filepath.Join(s.config.Dir, kept)); err != nil {
			s.t.Fatalf("remove what redis-server has kept: %v", err)
		}
	}
}

// Pause freezes the server: connections stay open and nothing answers, as after a partition of the network.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.proc.Signal(sig); err != nil {
		s.t.Fatalf("signal redis-server: %v", err)
	}
}
