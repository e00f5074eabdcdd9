package mariadbtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
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

// startTimeout is how long a server may take until it lets clients in.
const startTimeout = 2 * time.Minute

// stopTimeout is how long an orderly shutdown may take before it becomes an immediate one.
const stopTimeout = 30 * time.Second

// Server is a MariaDB server that this process started. Its methods may be called at the same time.
type Server struct {
	dir      string // holds data/ and the socket; removed by Stop
	port     int
	durable  bool
	calls    chan func()    // to the keeper, the thread that the server dies with
	guardian io.WriteCloser // its closing ends the guardian

	mu      sync.Mutex
	process *os.Process
	exited  chan struct{} // closed when the server has ended; nil when not started
}

// Start starts a server, with its data in a new directory, and returns when it lets clients in. As root the server runs as the user
// mysql or nobody.
func Start() (*Server, error) { return start(false) }

// StartDurable is Start with commits that outlive a Kill, as a production server has them.
func StartDurable() (*Server, error) { return start(true) }

func start(durable bool) (*Server, error) {
	for _, name := range []string{"mariadbd", "mariadb-install-db"} {
		if _, err := find(name); err != nil {
			return nil, err
		}
	}
	dir, err := os.MkdirTemp("/tmp", "stint-maria-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
	}
	s := &Server{dir: dir, durable: durable, calls: make(chan func())}
	go s.keep()
	err = s.startGuardian()
	if err == nil {
		err = s.prepare()
	}
	if err == nil {
		err = s.launch()
	}
	if err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// find returns the path of a binary, which Debian keeps where only root looks.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, folder := range []string{"/usr/sbin", "/usr/libexec", "/usr/local/bin", "/opt/homebrew/bin"} {
		if info, err := os.Stat(filepath.Join(folder, name)); err == nil && info.Mode()&0o111 != 0 {
			return filepath.Join(folder, name), nil
		}
	}
	return "", fmt.Errorf("no MariaDB server is installed: %s is neither on PATH nor in /usr/sbin; install one (Debian, Ubuntu: "+
		"apt-get install mariadb-server; macOS: brew install mariadb)", name)
}

// keep carries out calls on one OS thread. The kernel ties "die with me" to the thread that started a process, and Go would end or
// reuse any other thread.
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

// startGuardian starts the shell that removes the directory when this process has ended, however it ended.
func (s *Server) startGuardian() error {
	const script = `cat >/dev/null
pid=$(head -n 1 "$1/pid" 2>/dev/null) && [ "$2" = kill ] && kill -KILL "$pid" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && exit 0; sleep 0.5; done`
	mode := "kill"
	if diesWithStarter {
		mode = "leave"
	}
	cmd := exec.Command("/bin/sh", "-c", script, "sh", s.dir, mode)
	// A group of its own: what interrupts the tests (Ctrl-C) must not interrupt the cleaning.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
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

// Close ends the pipe.
func (g guardian) Close() error {
	_ = g.WriteCloser.Close()
	return g.cmd.Wait()
}

// prepare hands the directory to the server's user, and makes the system tables.
func (s *Server) prepare() error {
	if err := os.Chmod(s.dir, 0o755); err != nil {
		return fmt.Errorf("open the server's directory: %w", err)
	}
	if uid, gid, ok := unprivileged(); ok {
		if err := os.Chown(s.dir, uid, gid); err != nil {
			return fmt.Errorf("hand over the server's directory: %w", err)
		}
	}
	// A server that starts removes the temporary tables of others from its tmpdir: in a shared one, those of the other servers of tests.
	cmd, err := s.command("mariadb-install-db", "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal",
		"--skip-test-db", "--skip-name-resolve", "--tmpdir="+s.dir, "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0")
	if err != nil {
		return err
	}
	var out []byte
	if err := s.onKeeper(func() (err error) { out, err = cmd.CombinedOutput(); return err }); err != nil {
		return fmt.Errorf("mariadb-install-db: %w\n%s", err, out)
	}
	return nil
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
		// Another process may have taken the free port between our look and the server's.
		if err != nil && try < 5 && strings.Contains(err.Error(), "Address already in use") {
			s.port = 0
			continue
		}
		return err
	}
}

// launchOnce starts the server on s.port. The caller holds s.mu.
func (s *Server) launchOnce() error {
	args := []string{"--no-defaults", "--datadir=" + s.data(), "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(s.port),
		"--socket=" + s.socket(), "--pid-file=" + filepath.Join(s.dir, "pid"), "--skip-name-resolve", "--skip-log-bin", "--max-connections=300",
		"--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M", "--performance-schema=OFF", "--character-set-server=latin1", "--tmpdir=" + s.dir}
	if !s.durable {
		args = append(args, "--debug-no-sync", "--sync-frm=OFF", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0")
	}
	cmd, err := s.command("mariadbd", args...)
	if err != nil {
		return err
	}
	stderr, err := cmd.StderrPipe()
	if err == nil {
		err = s.onKeeper(cmd.Start)
	}
	if err != nil {
		return fmt.Errorf("start mariadbd: %w", err)
	}
	s.process, s.exited = cmd.Process, make(chan struct{})
	exited, ready := s.exited, make(chan struct{})
	var lines logTail
	go func() {
		lines.follow(stderr, ready)
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
		return fmt.Errorf("mariadbd ended while starting:\n%s", lines.String())
	case <-timeout.C:
		return fmt.Errorf("mariadbd did not start within %v:\n%s", startTimeout, lines.String())
	}
}

// command returns a command of the server's user that dies with the keeper.
func (s *Server) command(name string, args ...string) (*exec.Cmd, error) {
	path, err := find(name)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MYSQL") || strings.HasPrefix(v, "MARIADB") || strings.HasPrefix(v, "LC_") || strings.HasPrefix(v, "LANG")
	})
	cmd.Env = append(cmd.Env, "LC_ALL=C")
	// A group of its own, so that Ctrl-C ends the tests first and the server after them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithStarter(cmd.SysProcAttr)
	if uid, gid, ok := unprivileged(); ok {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return cmd, nil
}

// unprivileged returns the user that the server runs as when this process is root, as mariadbd refuses to run as root.
func unprivileged() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"mysql", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil {
			return uid, gid, true
		}
	}
	return 65534, 65534, true // nobody, by custom
}

func (s *Server) data() string   { return filepath.Join(s.dir, "data") }
func (s *Server) socket() string { return filepath.Join(s.dir, "socket") }
func (s *Server) dsn() string    { return fmt.Sprintf("root@tcp(127.0.0.1:%d)/", s.port) }

// URL returns the URL of a database on this server, over loopback TCP, as the superuser root. The database need not exist.
func (s *Server) URL(db string) string {
	return fmt.Sprintf("mysql://root@127.0.0.1:%d/%s", s.port, url.PathEscape(db))
}

// SocketURL returns the URL of a database on this server over its unix socket.
func (s *Server) SocketURL(db string) string {
	return "mysql://root@/" + url.PathEscape(db) + "?" + url.Values{"socket": {s.socket()}}.Encode()
}

// Stop shuts the server down in order, and removes the directory. A server that has been stopped stays so; stopping it again does
// nothing.
func (s *Server) Stop() error {
	err := s.signal(syscall.SIGTERM)
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

// PID returns the process id of the server that runs now; 0 is none.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited == nil {
		return 0
	}
	return s.process.Pid
}

// Kill ends the server by SIGKILL. A durable one finds again what it had committed; another may have lost its last second.
func (s *Server) Kill() error { return s.signal(syscall.SIGKILL) }

// Restart starts the server again, on the same port and with the same data; a running one is stopped in order before.
func (s *Server) Restart() error {
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.launch()
}

// signal ends the server by a signal and waits until it is gone.
func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited == nil {
		return nil
	}
	if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal mariadbd: %w", err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-s.exited:
	case <-patience.C:
		_ = s.process.Signal(syscall.SIGKILL) // it may have ended in this moment
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
		if !said && strings.Contains(line, "ready for connections") {
			said = true
			close(ready)
		}
		if err != nil {
			return
		}
	}
}

// String returns the lines.
func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
