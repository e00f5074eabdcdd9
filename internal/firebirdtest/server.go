package firebirdtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	_ "github.com/nakagami/firebirdsql" // asks the server for a sign of life

	"github.com/stint-run/stint/internal/freeport"
)

// startTimeout is how long a server may take until it lets clients in.
const startTimeout = time.Minute

// stopTimeout is how long an orderly end may take before it becomes an immediate one.
const stopTimeout = 10 * time.Second

// Server is a Firebird server that this process started. Its methods may be called at the same time.
type Server struct {
	dir      string
	port     int
	password string
	binaries binaries

	calls    chan func()    // to the keeper, the thread that the server dies with
	guardian io.WriteCloser // its closing ends the guardian

	mu      sync.Mutex
	process *os.Process
	exited  chan struct{} // closed when the server has ended; nil when not started
}

// binaries are the programs and the folder that a server is made of.
type binaries struct{ firebird, isql, security, root string }

// findBinaries looks where Debian and Ubuntu keep Firebird 3.0.
func findBinaries() (binaries, error) {
	b := binaries{security: "/usr/share/firebird/3.0/security.sql"}
	var err1, err2 error
	if b.firebird, err1 = exec.LookPath("firebird"); err1 != nil {
		b.firebird = "/usr/sbin/firebird"
	}
	b.isql, err2 = exec.LookPath("isql-fb")
	roots, _ := filepath.Glob("/usr/lib/*/firebird/3.0")
	for _, path := range append(roots, b.firebird, b.security) {
		if _, err := os.Stat(path); err != nil {
			err2 = err
		}
	}
	if err2 != nil || len(roots) == 0 {
		return b, errors.New("no Firebird 3.0 is installed; run scripts/install-test-deps.sh " +
			"(Debian, Ubuntu: apt-get install firebird3.0-server firebird3.0-utils firebird3.0-examples)")
	}
	b.root = roots[0]
	return b, nil
}

// Start starts a server with a directory, users and port of its own, and returns when it lets clients in.
func Start() (*Server, error) {
	b, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := &Server{binaries: b, password: rand.Text()[:16], calls: make(chan func())}
	if s.dir, err = os.MkdirTemp("/tmp", "stint-fb-"); err != nil {
		return nil, fmt.Errorf("make a directory for the server: %w", err)
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

// prepare makes a root folder of Firebird: the installed plugins by link, configuration and users of our own.
func (s *Server) prepare() error {
	if err := s.startGuardian(); err != nil {
		return err
	}
	for _, name := range []string{"lock", "tmp", "data"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
			return fmt.Errorf("make the server's directory: %w", err)
		}
	}
	for _, name := range []string{"plugins", "lib", "firebird.msg", "plugins.conf"} {
		if err := os.Symlink(filepath.Join(s.binaries.root, name), filepath.Join(s.dir, name)); err != nil {
			return fmt.Errorf("make the server's directory: %w", err)
		}
	}
	// The library of character sets is found by the path that it is loaded from: through a link it has none to offer.
	const library = "libfbintl.so"
	if err := os.Mkdir(filepath.Join(s.dir, "intl"), 0o755); err != nil {
		return fmt.Errorf("make the server's directory: %w", err)
	}
	if err := copyFile(filepath.Join(s.dir, "intl", library), filepath.Join(s.binaries.root, "intl", library)); err != nil {
		return fmt.Errorf("copy the character sets: %w", err)
	}
	if err := s.makeUsers(); err != nil {
		return fmt.Errorf("make the server's users: %w", err)
	}
	return nil
}

// makeUsers makes the security database, without a server: whoever may write the file may do so.
func (s *Server) makeUsers() error {
	if err := s.configure(0); err != nil {
		return err
	}
	script, err := os.ReadFile(s.binaries.security)
	if err != nil {
		return err
	}
	users := s.users()
	if out, err := s.isql("", "CREATE DATABASE '"+users+"';\nCOMMIT;\n"+string(script)); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if out, err := s.isql(users, "CREATE USER "+User+" PASSWORD '"+s.password+"';\n"); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (s *Server) users() string { return filepath.Join(s.dir, "security3.fdb") }

// configure writes the server's settings. The port has to stand there: one on the command line makes the server listen on
// all addresses.
func (s *Server) configure(port int) error {
	settings := []string{
		"RemoteBindAddress = 127.0.0.1",
		"RemoteServicePort = " + strconv.Itoa(port),
		"SecurityDatabase = " + s.users(),
		"AuthServer = Srp",
		"UserManager = Srp",
		"WireCrypt = Enabled",
		"ServerMode = Super",
		"GuardianOption = 0",
		"DefaultDbCachePages = 512",
		"MaxUnflushedWrites = -1",
		"MaxUnflushedWriteTime = -1",
	}
	if err := os.WriteFile(filepath.Join(s.dir, "firebird.conf"), []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "databases.conf"), nil, 0o600)
}

// startGuardian starts the shell that ends the server and removes the directory when this process has ended, however it ended.
func (s *Server) startGuardian() error {
	const script = `cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null) && kill -KILL "$pid" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" 2>/dev/null && exit 0; sleep 0.5; done`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", s.dir)
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

// launch starts the server on a free port and waits until it lets us in.
func (s *Server) launch() error {
	var err error
	for range 5 { // another process may take the port between our look and the server's
		if s.port, err = freeport.Find(); err != nil {
			return err
		}
		if err = s.configure(s.port); err != nil {
			return fmt.Errorf("configure the server: %w", err)
		}
		if err = s.launchOnce(); err == nil {
			return nil
		}
	}
	return err
}

func (s *Server) launchOnce() error {
	var out bytes.Buffer
	cmd := s.command(s.binaries.firebird)
	cmd.Stdout, cmd.Stderr = &out, &out
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.onKeeper(cmd.Start); err != nil {
		return fmt.Errorf("start firebird: %w", err)
	}
	s.process, s.exited = cmd.Process, make(chan struct{})
	exited := s.exited
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	if err := os.WriteFile(filepath.Join(s.dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return fmt.Errorf("write the server's pid: %w", err)
	}
	err := s.awaitReady(exited)
	if err != nil {
		_ = s.process.Kill() // it may have ended already
		<-exited
		s.exited = nil
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	return nil
}

// awaitReady waits until the server takes our password: another one that has the port does not know it.
func (s *Server) awaitReady(exited <-chan struct{}) error {
	db, err := sql.Open("firebirdsql", s.URL(s.users()))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer db.Close()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := db.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-exited:
			return errors.New("firebird ended while starting")
		case <-ctx.Done():
			return fmt.Errorf("firebird did not start within %v: %w", startTimeout, err)
		case <-tick.C:
		}
	}
}

// command returns a command with the server's root folder that dies with the keeper.
func (s *Server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = filepath.Join(s.dir, "data")
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + s.dir, "FIREBIRD=" + s.dir,
		"FIREBIRD_LOCK=" + filepath.Join(s.dir, "lock"), "FIREBIRD_TMP=" + filepath.Join(s.dir, "tmp")}
	// A group of its own, so that Ctrl-C ends the tests first and the server after them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithStarter(cmd.SysProcAttr)
	return cmd
}

// isql runs statements in a database, "" for none, and returns what isql printed.
func (s *Server) isql(database, sql string) (string, error) {
	args := []string{"-quiet", "-bail", "-merge", "-charset", "NONE", "-user", User, "-password", s.password}
	if database != "" {
		args = append(args, database)
	}
	cmd := s.command(s.binaries.isql, args...)
	cmd.Stdin = strings.NewReader(sql)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	done := make(chan error, 1)
	if err := s.onKeeper(cmd.Start); err != nil {
		return "", fmt.Errorf("run isql: %w", err)
	}
	go func() { done <- cmd.Wait() }()
	if err := <-done; err != nil {
		return out.String(), fmt.Errorf("run isql: %w", err)
	}
	return out.String(), nil
}

func (s *Server) file() string {
	return filepath.Join(s.dir, "data", "test_"+strconv.FormatInt(shared.names.Add(1), 10)+".fdb")
}

// address is host and port as Firebird's own programs write them.
func (s *Server) address() string { return "127.0.0.1/" + strconv.Itoa(s.port) }

// URL returns the URL of a database file on this server, or of an alias.
func (s *Server) URL(file string) string {
	return (&url.URL{Scheme: "firebird", User: url.UserPassword(User, s.password), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path: file}).String()
}

// Dir returns the directory that holds the configuration, the users and the databases.
func (s *Server) Dir() string { return s.dir }

// Stop ends the server and removes its directory. Stopping it again does nothing.
func (s *Server) Stop() error {
	err := s.end(syscall.SIGTERM)
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

// Kill ends the server at once; sessions are broken off in mid-sentence. It returns when it is gone.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

// end ends the server by a signal, and waits until it is gone.
func (s *Server) end(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.exited == nil {
		return nil
	}
	if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal firebird: %w", err)
	}
	patience := time.NewTimer(stopTimeout)
	defer patience.Stop()
	select {
	case <-s.exited:
	case <-patience.C:
		_ = s.process.Kill() // it may have ended in this moment
		<-s.exited
	}
	s.exited = nil
	return nil
}
