// Package prometheustest gives a test a real Prometheus server of its own, with the samples that the test says.
//
//	at := prometheustest.New(t, prometheustest.Options{Metrics: "# TYPE up gauge\nup{job=\"a\"} 1 1700000000\n# EOF\n"})
//
// The samples are written into blocks by promtool before the server starts, so that nothing depends on when it scrapes; nothing is
// scraped. The server listens on a free port of loopback, and its data is in a folder below /tmp. Neither the process nor the folder
// outlives the test binary, even when it is killed with SIGKILL.
package prometheustest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/freeport"
)

// startTimeout is how long a server may take until it answers.
const startTimeout = time.Minute

// Options say what a server is like. The zero value is one without samples.
type Options struct {
	// Metrics are samples with times, as OpenMetrics has them; the last line is # EOF.
	Metrics string
	// Web is the file of --web.config.file: users, TLS. Without one everybody is let in, by plain HTTP.
	Web string
	// Files are further files of the folder that the server runs in, by name.
	Files map[string]string
	// Flags are further flags.
	Flags []string
}

// New starts a server and returns its address, 127.0.0.1:PORT. It ends with the test. It fails the test when no server can be had, and
// says what to install when it is missing.
func New(t testing.TB, o Options) string {
	t.Helper()
	s := &server{options: o, calls: make(chan func())}
	go s.keep()
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("prometheustest: %v", err)
		}
	})
	if err := s.start(); err != nil {
		t.Fatalf("prometheustest: %v", err)
	}
	return s.address()
}

// server is a process and its folder.
type server struct {
	options  Options
	dir      string
	port     int
	calls    chan func()    // to the keeper, the thread that the server dies with
	guardian io.WriteCloser // its closing ends the guardian
	guarding *exec.Cmd
	process  *os.Process
	exited   chan struct{}
	out      output
}

// keep carries out calls on one OS thread. The kernel ties "die with me" to the thread that started a process, and Go would end or
// reuse any other thread.
func (s *server) keep() {
	runtime.LockOSThread()
	for call := range s.calls {
		call()
	}
}

// onKeeper runs f on the keeper's thread and returns its error.
func (s *server) onKeeper(f func() error) error {
	done := make(chan error, 1)
	s.calls <- func() { done <- f() }
	return <-done
}

func (s *server) address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// find returns the path of a program.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("no Prometheus is installed: %s is not on PATH; run scripts/install-test-deps.sh (Debian, Ubuntu: apt-get install prometheus; "+
			"macOS: brew install prometheus)", name)
	}
	return path, nil
}

// start makes the folder and starts the server.
func (s *server) start() error {
	binary, err := find("prometheus")
	if err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("/tmp", "stint-prom-"); err != nil {
		return fmt.Errorf("make a folder for the server: %w", err)
	}
	if err := s.startGuardian(); err != nil {
		return err
	}
	if err := s.prepare(); err != nil {
		return err
	}
	for range 5 { // another process may take the port between our look and the server's
		if err = s.launch(binary); err == nil {
			return nil
		}
	}
	return err
}

// startGuardian starts the shell that ends the server and removes the folder when this process has ended, however it ended.
func (s *server) startGuardian() error {
	const script = `cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null) && [ "$2" = kill ] && kill -KILL "$pid" 2>/dev/null
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
		return errors.Join(fmt.Errorf("start the guardian: %w", err), os.RemoveAll(s.dir))
	}
	s.guardian, s.guarding = pipe, cmd
	return nil
}

// prepare writes the files and the blocks.
func (s *server) prepare() error {
	files := map[string]string{"prometheus.yml": "{}\n", "metrics.txt": s.options.Metrics}
	for name, content := range s.options.Files {
		files[name] = content
	}
	if s.options.Web != "" {
		files["web.yml"] = s.options.Web
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write the server's files: %w", err)
		}
	}
	if s.options.Metrics == "" {
		return nil
	}
	promtool, err := find("promtool")
	if err != nil {
		return err
	}
	cmd := s.command(promtool, "tsdb", "create-blocks-from", "openmetrics", "metrics.txt", "data")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := s.onKeeper(cmd.Run); err != nil {
		return fmt.Errorf("write blocks: %w\n%s", err, out.String())
	}
	return nil
}

// command returns a command in the folder that dies with the keeper.
func (s *server) command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "HOME=" + s.dir}
	// A group of its own, so that Ctrl-C ends the tests first and the server after them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	dieWithStarter(cmd.SysProcAttr)
	return cmd
}

// launch starts the server on a free port and waits until it answers.
func (s *server) launch(binary string) error {
	var err error
	if s.port, err = freeport.Find(); err != nil {
		return err
	}
	args := []string{"--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=100y", "--web.listen-address=" + s.address()}
	if s.options.Web != "" {
		args = append(args, "--web.config.file=web.yml")
	}
	cmd := s.command(binary, append(args, s.options.Flags...)...)
	s.out = output{ready: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &s.out, &s.out
	if err := s.onKeeper(cmd.Start); err != nil {
		return fmt.Errorf("start prometheus: %w", err)
	}
	exited := make(chan struct{})
	s.process, s.exited = cmd.Process, exited
	go func() {
		_ = cmd.Wait() // how it ended is in its output
		close(exited)
	}()
	if err := os.WriteFile(filepath.Join(s.dir, "pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600); err != nil {
		return fmt.Errorf("write the server's pid: %w", err)
	}
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-s.out.ready:
		return s.awaitAnswer()
	case <-exited:
		s.process = nil
		return fmt.Errorf("prometheus ended while starting:\n%s", s.out.String())
	case <-timeout.C:
		return fmt.Errorf("prometheus did not start within %v:\n%s", startTimeout, s.out.String())
	}
}

// awaitAnswer asks until the API is open: it says that it is ready a moment before. One with users or TLS answers too, with a refusal.
func (s *server) awaitAnswer() error {
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := client.Get("http://" + s.address() + "/-/ready")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-s.exited:
			return fmt.Errorf("prometheus ended while starting:\n%s", s.out.String())
		case <-deadline.C:
			return fmt.Errorf("prometheus does not answer: %v\n%s", err, s.out.String())
		}
	}
}

// stop ends the server at once, as its data is of no use any more, and removes the folder.
func (s *server) stop() error {
	if s.process != nil {
		_ = s.process.Kill() // it may have ended in this moment
		<-s.exited
	}
	close(s.calls)
	if s.guardian == nil {
		return nil
	}
	return errors.Join(s.guardian.Close(), s.guarding.Wait())
}

// output keeps what a server says, and sees when it is ready.
type output struct {
	mu    sync.Mutex
	said  bytes.Buffer
	ready chan struct{}
	known bool
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.said.Write(b)
	if !o.known && bytes.Contains(o.said.Bytes(), []byte("Server is ready to receive web requests")) {
		o.known = true
		close(o.ready)
	}
	return n, err
}

// String returns what the server has said.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said.String()
}
