// Package redisproc runs one private redis-server as a child process.
//
// The child never outlives its parent where the system can promise that (Linux: it gets SIGTERM when the parent dies,
// SIGKILL included), it is out of the terminal's foreground group, so that Ctrl-C reaches only the parent, and no
// password stands on its command line: its configuration goes in through standard input.
package redisproc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// MinMajor is the oldest major version of redis-server that Find accepts.
const MinMajor = 6

// MaxSocketPath is the longest path, in bytes, that a unix socket may have on this system.
var MaxSocketPath = maxSocketPath()

func maxSocketPath() int {
	if runtime.GOOS == "linux" {
		return 107
	}
	return 103
}

// answerWithin is how long a server may take until it answers at all; loading its data afterwards may take any time.
const answerWithin = 30 * time.Second

// Names of the server in the order in which Find looks for them; both speak the same configuration.
var binaries = []string{"redis-server", "valkey-server"}

var versionPattern = regexp.MustCompile(`v=(\d+)\.(\d+)\.(\d+)`)

// ErrNotFound says that no usable redis-server is on PATH.
var ErrNotFound = errors.New("no redis-server of version 6 or later on PATH")

// Find returns the path and the version of the redis-server on PATH. The error is ErrNotFound, with the reason wrapped
// around it, when there is none or it is older than MinMajor.
func Find(ctx context.Context) (path, version string, err error) {
	reason := ErrNotFound
	for _, name := range binaries {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if path, err = filepath.Abs(path); err != nil {
			continue
		}
		out, err := exec.CommandContext(ctx, path, "--version").Output()
		if err != nil {
			reason = fmt.Errorf("%w: %s --version: %v", ErrNotFound, path, err)
			continue
		}
		m := versionPattern.FindSubmatch(out)
		if m == nil {
			reason = fmt.Errorf("%w: %s tells no version", ErrNotFound, path)
			continue
		}
		version := strings.TrimPrefix(string(m[0]), "v=")
		if major, _ := strconv.Atoi(string(m[1])); major < MinMajor {
			reason = fmt.Errorf("%w: %s is version %s", ErrNotFound, path, version)
			continue
		}
		return path, version, nil
	}
	return "", "", reason
}

// Config says what to start.
type Config struct {
	Binary   string   // path of the redis-server; "" means what Find finds
	Dir      string   // absolute path of an existing folder for its data and for redis.log
	Socket   string   // absolute path of its unix socket; "" means Port on 127.0.0.1
	Port     int      // only without Socket
	Password string   // "" means none
	Fsync    string   // when the append-only file is synced: "everysec" or "always"; "" means no append-only file
	Hold     *os.File // a file that the server keeps open as long as it lives; a lock on it outlives the parent. May be nil
	Lines    []string // further lines of its configuration, for what is no server of its own: a node of a cluster, a replica
	Sentinel bool     // it watches others, as Lines say, and keeps what it learns in a file in Dir; only with Port
}

// Options returns how to reach a server of this configuration; a fresh value at each call.
func (c Config) Options() *redis.Options {
	o := &redis.Options{Network: "unix", Addr: c.Socket, Password: c.Password}
	if c.Socket == "" {
		o.Network, o.Addr = "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port))
	}
	return o
}

// file returns the configuration in the words of redis.conf.
func (c Config) file() string {
	var b strings.Builder
	set := func(key, value string) { fmt.Fprintf(&b, "%s %s\n", key, value) }
	set("daemonize", "no")
	set("loglevel", "warning")
	set("logfile", `""`)
	set("dir", quote(c.Dir))
	set("port", strconv.Itoa(c.Port))
	set("bind", "127.0.0.1")
	if c.Sentinel {
		return b.String() + strings.Join(c.Lines, "\n") + "\n"
	}
	set("tcp-backlog", "128")
	if c.Socket != "" {
		set("unixsocket", quote(c.Socket))
		set("unixsocketperm", "700")
	}
	if c.Password != "" {
		set("requirepass", quote(c.Password))
	}
	set("save", `""`)
	set("maxmemory-policy", "noeviction")
	if c.Fsync == "" {
		set("appendonly", "no")
	} else {
		set("appendonly", "yes")
		set("appendfsync", c.Fsync)
	}
	for _, line := range c.Lines {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// command returns the server that is to be started. Its configuration goes in through standard input, except for a sentinel's,
// which has to be a file that it can write.
func (c Config) command() (*exec.Cmd, error) {
	if !c.Sentinel {
		cmd := exec.Command(c.Binary, "-")
		cmd.Stdin = strings.NewReader(c.file())
		return cmd, nil
	}
	path := filepath.Join(c.Dir, "sentinel.conf")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) { // else it is what the sentinel has learnt
		if err := os.WriteFile(path, []byte(c.file()), 0o600); err != nil {
			return nil, fmt.Errorf("write the sentinel's configuration: %w", err)
		}
	}
	return exec.Command(c.Binary, path, "--sentinel"), nil
}

// quote writes a value as redis.conf reads it back.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`).Replace(s) + `"`
}

// Process is a running redis-server. Its methods may be called from several goroutines.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done closes
}

// Start starts a server and returns when it answers and has loaded its data. ctx bounds the start only. When it fails
// nothing is left running, and the error ends with what the server wrote last.
func Start(ctx context.Context, c Config) (*Process, error) {
	if c.Binary == "" {
		path, _, err := Find(ctx)
		if err != nil {
			return nil, err
		}
		c.Binary = path
	}
	if len(c.Socket) > MaxSocketPath {
		return nil, fmt.Errorf("socket path %s is longer than %d bytes", c.Socket, MaxSocketPath)
	}
	if c.Socket != "" {
		c.Port = 0
	}
	logPath := filepath.Join(c.Dir, "redis.log")
	logFile, offset, err := openLog(logPath)
	if err != nil {
		return nil, fmt.Errorf("open the log of redis-server: %w", err)
	}
	defer logFile.Close()

	p := &Process{done: make(chan struct{})}
	if p.cmd, err = c.command(); err != nil {
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = logFile, logFile
	p.cmd.Dir = c.Dir
	p.cmd.SysProcAttr = attributes()
	if c.Hold != nil {
		p.cmd.ExtraFiles = []*os.File{c.Hold}
	}
	started := make(chan error)
	go func() {
		// The kernel sends the parent-death signal when the THREAD that forked ends, so that thread has to stay: it is
		// locked to this goroutine, which does nothing but wait, and is never unlocked.
		runtime.LockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", c.Binary, err)
	}
	if err := p.await(ctx, c.Options()); err != nil {
		p.Kill()
		if tail := tailOf(logPath, offset); tail != "" {
			err = fmt.Errorf("%w; it wrote: %s", err, tail)
		}
		return nil, err
	}
	return p, nil
}

// await returns nil when the server answers PING, which it refuses while it is loading.
func (p *Process) await(ctx context.Context, o *redis.Options) error {
	deadline := time.Now().Add(answerWithin)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := Ping(ctx, o.Network, o.Addr, o.Password)
		if err == nil {
			return nil
		}
		if strings.HasPrefix(err.Error(), "LOADING") {
			deadline = time.Now().Add(answerWithin)
		}
		select {
		case <-p.done:
			return fmt.Errorf("redis-server ended at once: %v", p.err)
		case <-ctx.Done():
			return fmt.Errorf("wait for redis-server: %w", context.Cause(ctx))
		case <-tick.C:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("redis-server does not answer within %s: %w", answerWithin, err)
		}
	}
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done closes when the server has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Signal sends a signal; nil when the process has ended already.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stop asks the server to end, which writes its append-only file out, and returns when it has. After patience it is
// killed, and the error says so; then what the file had not got yet is lost.
func (p *Process) Stop(patience time.Duration) error {
	if err := p.Signal(terminate); err != nil {
		p.Kill()
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		p.Kill()
		return fmt.Errorf("redis-server did not end within %s and was killed", patience)
	}
}

// Kill ends the server without a word and returns when it has ended.
func (p *Process) Kill() {
	_ = p.Signal(os.Kill) // it fails only when the process is gone
	<-p.done
}

// logLimit is the size at which the log is begun anew, in bytes.
const logLimit = 1 << 20

// openLog opens the server's log for appending, and says where it ends now.
func openLog(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && info.Size() > logLimit {
		err = f.Truncate(0)
		return f, 0, err
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// tailOf returns at most 2 kB of what stands in a file after an offset.
func tailOf(path string, offset int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.LimitReader(f, 1<<20)) // what could be read is still worth showing
	if len(b) > 2048 {
		b = b[len(b)-2048:]
	}
	return strings.TrimSpace(string(b))
}
