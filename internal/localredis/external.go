package localredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/freeport"
	"github.com/stint-run/stint/internal/localredis/redisproc"
)

// stopPatience is how long a redis-server may take to write its append-only file out.
const stopPatience = 20 * time.Second

// external is a redis-server that is started again whenever it ends without having been asked to.
type external struct {
	rec    record
	config redisproc.Config
	hold   *os.File // server.lock, held by the redis-server too
	log    *slog.Logger

	mu      sync.Mutex
	proc    *redisproc.Process
	closing bool

	stop    chan struct{}
	stopped chan struct{}
}

// startExternal starts a redis-server at the previous address where that is possible; fixed means that it must be.
func startExternal(ctx context.Context, dir, binary string, fsync Fsync, hold *os.File, previous record, fixed bool, log *slog.Logger) (*external, error) {
	config := redisproc.Config{Binary: binary, Dir: dir, Fsync: string(fsync), Hold: hold}
	rec := record{PID: os.Getpid(), Mode: External}
	socket := filepath.Join(dir, "r.sock")
	var proc *redisproc.Process
	var err error
	if len(socket) <= redisproc.MaxSocketPath {
		config.Socket = socket
		rec.Network, rec.Addr = "unix", socket
		proc, err = redisproc.Start(ctx, config)
	} else {
		proc, err = startOnPort(ctx, &config, &rec, previous, fixed)
	}
	if err != nil {
		hold.Close()
		return nil, fmt.Errorf("start the queue server in %s: %w", dir, err)
	}
	e := &external{rec: rec, config: config, hold: hold, log: log, proc: proc, stop: make(chan struct{}), stopped: make(chan struct{})}
	go e.supervise()
	return e, nil
}

// portAttempts is how many ports to try: one that was free a moment ago may be taken when the server binds it.
const portAttempts = 5

// startOnPort starts a redis-server on a loopback port with a password.
func startOnPort(ctx context.Context, config *redisproc.Config, rec *record, previous record, fixed bool) (*redisproc.Process, error) {
	config.Password = newPassword()
	ports := make([]int, 0, portAttempts+1)
	if previous.Network == "tcp" && previous.Password != "" {
		if _, p, err := net.SplitHostPort(previous.Addr); err == nil {
			if port, err := strconv.Atoi(p); err == nil {
				config.Password = previous.Password
				ports = append(ports, port)
			}
		}
	}
	for !fixed && len(ports) < portAttempts {
		port, err := freeport.Find()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	errs := []error{errors.New("no port to serve on")}
	for _, port := range ports {
		config.Port = port
		proc, err := redisproc.Start(ctx, *config)
		if err == nil {
			o := config.Options()
			rec.Network, rec.Addr, rec.Password = o.Network, o.Addr, o.Password
			return proc, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs[min(1, len(errs)-1):]...)
}

func (e *external) record() record { return e.rec }

// supervise starts the server again when it ended by itself: killed by a person or for its memory.
func (e *external) supervise() {
	defer close(e.stopped)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-e.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	const first, most = 50 * time.Millisecond, 5 * time.Second
	wait := first
	proc := e.proc
	for {
		begun := time.Now()
		select {
		case <-e.stop:
			return
		case <-proc.Done():
		}
		if time.Since(begun) > most {
			wait = first
		}
		for {
			e.log.Error("the queue's redis-server ended; starting it again", "dir", e.config.Dir, "in", wait)
			select {
			case <-e.stop:
				return
			case <-time.After(wait):
			}
			wait = min(2*wait, most)
			next, err := redisproc.Start(ctx, e.config)
			if err == nil {
				proc = next
				break
			}
			e.log.Error("cannot start the queue's redis-server", "dir", e.config.Dir, "error", err)
		}
		e.mu.Lock()
		e.proc = proc
		e.mu.Unlock()
	}
}

func (e *external) close() error {
	e.mu.Lock()
	again := e.closing
	e.closing = true
	e.mu.Unlock()
	if again {
		return nil
	}
	close(e.stop)
	<-e.stopped
	return errors.Join(e.proc.Stop(stopPatience), e.hold.Close())
}
