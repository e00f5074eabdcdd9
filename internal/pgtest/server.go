package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/stint-run/stint/internal/freeport"
)

// startTimeout is how long a server may take until it lets clients in, recovery after a Kill included.
const startTimeout = 2 * time.Minute

// stopTimeout is how long an orderly shutdown may take before it becomes an immediate one.
const stopTimeout = 30 * time.Second

// Options say how a server runs. The zero value is for tests: fast, and not safe against a power cut.
type Options struct {
	// Fsync makes commits durable, as a production server does. Benchmarks and crash tests want it.
	Fsync bool
	// Port is the loopback port; 0 takes a free one.
	Port int
	// Settings are further settings of postgresql.conf by name, and win over ours.
	Settings map[string]string
}

// Server is a PostgreSQL server that this process started. Its methods may be called at the same time.
type Server struct {
	dir    string // holds data/ and the socket
	ours   bool   // dir is removed by Stop
	bin    string
	port   int
	opts   Options
	socket string // directory of the unix socket, "" for none

	calls    chan func()    // to the keeper, the thread that the server dies with
	guardian io.WriteCloser // its closing ends the guardian

	mu      sync.Mutex
	process *os.Process
	exited  chan struct{} // closed when the server and all of its backends have ended; nil when not started
}

// Start starts a server and returns when it lets clients in. With dir "" the data lives in a new directory, which Stop
// removes; otherwise in dir, which is made when missing and kept, so that a later Start finds the same databases. As root
// the server runs as the user postgres or nobody, who must be able to enter dir.
func Start(dir string, opts Options) (*Server, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, opts: opts, port: opts.Port, calls: make(chan func())}
	if dir == "" {
		s.ours = true
		if s.dir, err = os.MkdirTemp("/tmp", "stint-pg-"); err != nil {
			return nil, fmt.Errorf("make a directory for the server: %w", err)
		}
	} else if s.dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the server's directory: %w", err)
	}
	go s.keep()
	if err := s.prepare(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.launch(); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// keep carries out calls on one OS thread. The kernel ties "die with me" to the thread that started a process, and Go
// would end or reuse any other thread.
func (s *Server) keep() {
	runtime.LockOSThread()
	for call := range s.calls {
		call()
	}
}

// onKeeper runs f on the keeper's thread and returns its error.
func (s *Server) onKeeper(f func() error) error {
	done := make(chan error, 1)
	s.calls <- func() { done <- f() }
	return <-done
}

// prepare makes the directory, hands it to the server's user, and runs initdb where there is no data yet.
func (s *Server) prepare() error {
	if s.ours {
		if err := s.startGuardian(); err != nil {
			return err
		}
	}
	data := s.data()
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err == nil {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("make the server's directory: %w", err)
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return fmt.Errorf("open the server's directory: %w", err)
	}
	if uid, gid, ok := unprivileged(); ok {
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return fmt.Errorf("hand over the server's directory: %w", err)
		}
	}
	cmd := s.command("initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8",
		"--locale", "C", "--no-sync", "--no-instructions")
	var out []byte
	err := s.onKeeper(func() (err error) { out, err = cmd.CombinedOutput(); return err })
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	hba := "local all all trust\nhost replication all 127.0.0.1/32 trust\nhost all " + GuardedUser + " all scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(hba), 0o600); err != nil {
		return fmt.Errorf("write pg_hba.conf: %w", err)
	}
	return nil
}

// startGuardian starts the shell that removes the directory when this process has ended, however it ended.
func (s *Server) startGuardian() error {
	// The server gets its end from the kernel or, where the kernel cannot, from here. Removing is tried again because a
	// server on its way out may still write.
	const script = `cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && [ "$2" = kill ] && kill -QUIT "$pid" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && exit 0; sleep 0.5; done`
	mode := "kill"
	if diesWithStarter {
		mode = "leave"
	}
	cmd := exec.Command("/bin/sh", "-c", script, "sh", s.dir, mode)
	// A group of its own: what interrupts the tests (Ctrl-C) must not interrupt the cleaning.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the guardian: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the guardian: %w", err)
	}
	s.guardian = guardian{pipe, cmd}
	return nil
}

// guardian closes by letting the guardian do its work and waiting for it.
type guardian struct {
	io.WriteCloser
	cmd *exec.Cmd
}

func (g guardian) Close() error {
	_ = g.WriteCloser.Close()
	return g.cmd.Wait()
}

// launch starts the server process and waits until it lets clients in.
func (s *Server) launch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited != nil {
		return errors.New("the server runs already")
	}
	for try := 0; ; try++ {
		if s.port == 0 {
			port, err := freeport.Find()
			if err != nil {
				return err
			}
			s.port = port
		}
		err := s.launchOnce()
		if err == nil {
			return nil
		}
		// Another process may have taken the free port between our look and the server's.
		if s.opts.Port == 0 && try < 5 && strings.Contains(err.Error(), "could not bind") {
			s.port = 0
			continue
		}
		return err
	}
}

// launchOnce starts the server on s.port. The caller holds s.mu.
func (s *Server) launchOnce() error {
	cmd := s.command("postgres", s.arguments()...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := s.onKeeper(cmd.Start); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.process, s.exited = cmd.Process, make(chan struct{})
	exited, ready := s.exited, make(chan struct{})
	var lines logTail
	go func() {
		lines.follow(stderr, ready) // until the last backend has closed it
		_ = cmd.Wait()
		close(exited)
	}()
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-ready:
		return nil
	case <-exited:
		s.exited = nil
		return fmt.Errorf("postgres ended while starting:\n%s", lines.String())
	case <-timeout.C:
		return fmt.Errorf("postgres did not start within %v:\n%s", startTimeout, lines.String())
	}
}

func (s *Server) arguments() []string {
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": "",
		"max_connections":         "200",
		"autovacuum":              "off",
		"lc_messages":             "C",
		"logging_collector":       "off",
		"log_destination":         "stderr",
	}
	if !s.opts.Fsync {
		settings["fsync"] = "off"
		settings["synchronous_commit"] = "off"
		settings["full_page_writes"] = "off"
	}
	s.socket = ""
	if len(s.dir) < 80 { // a socket's path has room for 107 bytes
		s.socket = s.dir
		settings["unix_socket_directories"] = s.dir
	}
	for name, value := range s.opts.Settings {
		settings[name] = value
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for name, value := range settings {
		args = append(args, "-c", name+"="+value)
	}
	return args
}

// command returns a command of the server's user that dies with the keeper.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "PG") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	// A group of its own, so that Ctrl-C ends the tests first and the server after them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithStarter(cmd.SysProcAttr)
	if uid, gid, ok := unprivileged(); ok {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd
}

// PID returns the process id of the server that runs now; 0 is none.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited == nil {
		return 0
	}
	return s.process.Pid
}

// Port returns the loopback port that the server listens on.
func (s *Server) Port() int { return s.port }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// Dir returns the directory that holds the data directory (data) and the unix socket.
func (s *Server) Dir() string { return s.dir }

// URL returns the URL of a database on this server, over loopback TCP, as the superuser postgres. The database need not
// exist.
func (s *Server) URL(db string) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/%s?sslmode=disable", s.port, url.PathEscape(db))
}

// SocketURL returns the URL of a database on this server over its unix socket, or "" when the path of its directory is too
// long to hold one.
func (s *Server) SocketURL(db string) string {
	if s.socket == "" {
		return ""
	}
	q := url.Values{"host": {s.socket}, "port": {strconv.Itoa(s.port)}, "sslmode": {"disable"}}
	return "postgres://postgres@/" + url.PathEscape(db) + "?" + q.Encode()
}

// Stop ends all sessions, shuts the server down in order, and removes the directory if Start made it. A server that has
// been stopped stays so; stopping it again does nothing.
func (s *Server) Stop() error {
	err := s.signal(syscall.SIGINT)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls != nil {
		close(s.calls)
		s.calls = nil
	}
	if s.guardian != nil {
		err = errors.Join(err, s.guardian.Close())
		s.guardian = nil
	}
	return err
}

// Kill ends the server at once, as a power cut does to its memory: no checkpoint, sessions broken off in mid-sentence.
// With Options.Fsync all commits survive; without it those of the last 0.6 s (three times wal_writer_delay) may not, as they are
// answered before they are written. It returns when all is gone.
func (s *Server) Kill() error { return s.signal(syscall.SIGQUIT) }

// Restart starts the server again, on the same port and with the same data; a running one is stopped in order before.
func (s *Server) Restart() error {
	if err := s.signal(syscall.SIGINT); err != nil {
		return err
	}
	return s.launch()
}

// signal ends the server by a signal and waits until it and all of its backends are gone.
func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited == nil {
		return nil
	}
	if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal postgres: %w", err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-s.exited:
	case <-patience.C:
		// A backend that does not hear must not hold up the end of the tests.
		_ = s.process.Signal(syscall.SIGQUIT) // it may have ended in this moment
		<-s.exited
	}
	s.exited = nil
	return nil
}

// logTail keeps the last lines of a log.
type logTail struct {
	mu    sync.Mutex
	lines []string
}

// follow reads until the end, and closes ready when the server says that it lets clients in.
func (l *logTail) follow(r io.Reader, ready chan<- struct{}) {
	in := bufio.NewReader(r)
	said := false
	for {
		line, err := in.ReadString('\n')
		l.mu.Lock()
		if l.lines = append(l.lines, line); len(l.lines) > 50 {
			l.lines = slices.Delete(l.lines, 0, 1)
		}
		l.mu.Unlock()
		if !said && strings.Contains(line, "database system is ready to accept") {
			said = true
			close(ready)
		}
		if err != nil {
			return
		}
	}
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
