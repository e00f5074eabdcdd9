// Package localredis is the queue server that stint brings along, for everybody who has not set redis.url.
//
// A data folder has at most one OWNER, the process that holds the lock on owner.lock. The owner runs the server: a
// private redis-server with an append-only file when there is one on PATH, else a Redis in its own memory that is
// written to a file each second. Other processes JOIN: they read redis.json and connect. When the owner ends or dies,
// one of those that joined takes the folder over and serves the same data at the same address, so the server lives as
// long as any of them.
//
//	DIR/owner.lock     locked by the owner; holds its process id
//	DIR/server.lock    locked by the redis-server itself, which inherits it: a new owner waits until the old server is gone
//	DIR/redis.json     where the server is reached, with its password; readable by the owner's user only
//	DIR/r.sock         the server's socket
//	DIR/redis.log      what the redis-server wrote
//	DIR/appendonly*    the data of a redis-server
//	DIR/snapshot.gob   the data of a Redis in memory
//
// What a SIGKILL of the owner costs: nothing with a redis-server (what it acknowledged is with the kernel), up to a
// second or so with a Redis in memory. What a power cut costs, or a SIGKILL of the server itself: a second
// or two with Fsync "everysec", nothing with "always".
package localredis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/filelock"
	"github.com/stint-run/stint/internal/localredis/redisproc"
	"github.com/stint-run/stint/tasks"
)

// Mode says which server to run.
type Mode string

// The modes.
const (
	// Auto: a redis-server when there is a usable one, else in process. "" means the same.
	Auto Mode = "auto"
	// External: a redis-server from PATH, or an error.
	External Mode = "server"
	// InProcess: a Redis in the memory of the owner.
	InProcess Mode = "inprocess"
)

// Fsync says when a redis-server makes what it has written safe from a power cut.
type Fsync string

// The kinds of Fsync.
const (
	// EverySecond: once a second. "" means the same.
	EverySecond Fsync = "everysec"
	// Always: before each answer; several times slower.
	Always Fsync = "always"
)

// Options say what to serve from where. The zero value lacks Dir.
type Options struct {
	Dir   string       // the data folder; made when missing, for the user alone. Required
	Mode  Mode         // which server
	Fsync Fsync        // ignored by InProcess
	Log   *slog.Logger // nil means slog.Default()
}

// Sentinels of the errors of this package, which carry hints as well.
var (
	// ErrInUse: another process owns the data folder.
	ErrInUse = errors.New("data folder is in use")
	// ErrNotRunning: no process serves the data folder.
	ErrNotRunning = errors.New("no server runs on the data folder")
)

// Times to wait. Polls look at locks and sockets of other processes, which have no way to signal us.
const (
	pollInterval     = 20 * time.Millisecond
	takeoverInterval = 100 * time.Millisecond
	patience         = 30 * time.Second // for another owner or server that is just starting or ending
)

// engine is a running server of whatever kind.
type engine interface {
	// record says where it is reached.
	record() record
	// close ends it and makes its data durable.
	close() error
}

// Server is a connection to the data folder's queue, and the server itself in the process that owns it. Its methods may
// be called from several goroutines.
type Server struct {
	dir  string
	opts Options
	log  *slog.Logger
	rec  record // where clients connect to; never changes, a takeover serves the same address

	mu     sync.Mutex
	lock   *os.File // owner.lock; nil unless owned
	engine engine   // nil unless owned

	stop      chan struct{} // closed by Close
	watching  chan struct{} // closed when the takeover watch has ended; nil when there is none
	closeOnce sync.Once
	closeErr  error
}

// Start makes this process the owner of a data folder and serves it. It returns when the server answers with all of its
// data loaded; a server that is just shutting down is waited for. ctx bounds the start only; Close ends the server.
// The error wraps ErrInUse when another process owns the folder, and redisproc.ErrNotFound when Mode is External and
// there is no usable redis-server.
func Start(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	owned, err := s.own(ctx, nil)
	if err != nil {
		return nil, err
	}
	if !owned {
		return nil, inUse(s.dir)
	}
	return s, nil
}

// Connect joins the server that another process runs on a data folder, for as long as that one runs it: it never takes
// the folder over. The error wraps ErrNotRunning when nobody serves it.
func Connect(ctx context.Context, dir string) (*Server, error) {
	s, err := prepare(Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	rec, err := readRecord(s.dir)
	if err == nil {
		err = rec.ping(ctx)
	}
	if err != nil {
		return nil, tasks.WithHint(errors.Join(ErrNotRunning, err),
			"start one with `stint up`, or run a command that starts its own engine",
			"nothing serves the data folder %s", s.dir)
	}
	s.rec = rec
	return s, nil
}

// StartOrJoin owns a data folder or, when another process owns it, joins that one's server and takes the folder over
// when that one ends. An owner that is just starting or ending is waited for.
func StartOrJoin(ctx context.Context, o Options) (*Server, error) {
	s, err := prepare(o)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		owned, err := s.own(ctx, nil)
		if err != nil {
			return nil, err
		}
		if owned {
			return s, nil
		}
		// The record may still be that of an earlier owner: it counts when it is of the process that has the lock.
		rec, err := readRecord(s.dir)
		if err == nil && rec.PID == lockedBy(s.dir) && rec.ping(ctx) == nil {
			s.rec = rec
			s.watching = make(chan struct{})
			go s.watch()
			return s, nil
		}
		if time.Now().After(deadline) {
			return nil, inUse(s.dir)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// prepare checks the options and makes the folder.
func prepare(o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("localredis: no data folder given")
	}
	if o.Mode == "" {
		o.Mode = Auto
	}
	if o.Fsync == "" {
		o.Fsync = EverySecond
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	switch {
	case o.Mode != Auto && o.Mode != External && o.Mode != InProcess:
		return nil, tasks.WithHint(nil, "use auto, server or inprocess", "unknown queue mode %q", o.Mode)
	case o.Fsync != EverySecond && o.Fsync != Always:
		return nil, tasks.WithHint(nil, "use everysec or always", "unknown fsync %q", o.Fsync)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the data folder: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, tasks.WithHint(err, "choose another folder with --data", "make the data folder %s", dir)
	}
	return &Server{dir: dir, opts: o, log: o.Log, stop: make(chan struct{})}, nil
}

// own takes the lock, if it is free, and serves. With a record it serves what the record says, at its address.
func (s *Server) own(ctx context.Context, as *record) (bool, error) {
	lock, err := lockOwner(s.dir)
	if lock == nil {
		return false, err
	}
	e, err := s.serve(ctx, as)
	if err != nil {
		lock.Close()
		return false, err
	}
	s.mu.Lock()
	s.lock, s.engine = lock, e
	s.mu.Unlock()
	if as == nil {
		s.rec = e.record()
	}
	return true, nil
}

// serve starts a server; the caller holds the lock.
func (s *Server) serve(ctx context.Context, as *record) (engine, error) {
	previous, err := readRecord(s.dir)
	if err != nil {
		previous = record{}
	}
	mode, hint := s.opts.Mode, ""
	if as != nil {
		previous, mode = *as, as.Mode
	}
	var binary string
	if mode != InProcess {
		path, version, err := redisproc.Find(ctx)
		switch {
		case err == nil:
			mode, binary = External, path
			s.log.Debug("found a redis-server", "path", path, "version", version)
		case mode == External:
			return nil, tasks.WithHint(err, "install redis-server 6 or later, set redis.url, or set redis.mode to auto",
				"start the queue server")
		default:
			mode, hint = InProcess, err.Error()
		}
	}
	// Even a Redis in memory waits: the redis-server of an owner that died may still be accepting writes.
	hold, err := s.awaitServerGone(ctx, previous)
	if err != nil {
		return nil, err
	}
	var e engine
	if mode == InProcess {
		hold.Close()
		e, err = startInProcess(ctx, s.dir, previous, as != nil, hint, s.log)
	} else {
		e, err = startExternal(ctx, s.dir, binary, s.opts.Fsync, hold, previous, as != nil, s.log)
	}
	if err != nil {
		return nil, err
	}
	if err := e.record().write(s.dir); err != nil {
		return nil, errors.Join(fmt.Errorf("write where the queue server is reached: %w", err), e.close())
	}
	return e, nil
}

// awaitServerGone returns the locked server.lock, once no redis-server of an earlier owner holds it any more.
func (s *Server) awaitServerGone(ctx context.Context, previous record) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(s.dir, "server.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's lock: %w", err)
	}
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	asked := false
	for {
		locked, err := filelock.Try(f)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock the data folder %s: %w", s.dir, err)
		}
		if locked {
			return f, nil
		}
		if !asked {
			asked = true
			s.log.Info("waiting for the previous redis-server to end", "dir", s.dir)
			// Where the kernel does not end it together with its parent, nobody else will.
			previous.shutdown(ctx)
		}
		if time.Now().After(deadline) {
			f.Close()
			return nil, tasks.WithHint(ErrInUse, "end the redis-server that was left behind, then try again",
				"the previous redis-server of %s does not end", s.dir)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// watch waits for the owner to end and takes the folder over then.
func (s *Server) watch() {
	defer close(s.watching)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(takeoverInterval)
	defer tick.Stop()
	var last string
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		owned, err := s.own(ctx, &s.rec)
		if owned {
			s.log.Info("took the data folder over; its owner has ended", "dir", s.dir)
			return
		}
		if err != nil && ctx.Err() == nil && err.Error() != last {
			last = err.Error() // each reason once, not ten times a second
			s.log.Error("cannot take the data folder over", "dir", s.dir, "error", err)
		}
	}
}

// Options returns how to reach the server with go-redis: a fresh value at each call, to be changed at will. The address
// stays the same when the folder is taken over; commands that are on their way at that moment fail and may be sent again.
func (s *Server) Options() *redis.Options { return s.rec.options() }

// Durable reports whether what the server acknowledged survives a SIGKILL of all stint processes.
func (s *Server) Durable() bool { return s.rec.Mode == External }

// Notice returns the sentence that a person should read about what is not guaranteed; "" when there is nothing to say.
func (s *Server) Notice() string { return s.rec.Notice }

// Joined reports whether another process runs the server. It turns false when this one takes the folder over.
func (s *Server) Joined() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.engine == nil
}

// Close ends the server, with its data durable, when this process runs it; one that joined only leaves. It may be called
// again, and returns the same error.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		close(s.stop)
		if s.watching != nil {
			<-s.watching
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.engine == nil {
			return
		}
		s.closeErr = s.engine.close()
		if err := filelock.Close(s.lock); err != nil {
			s.closeErr = errors.Join(s.closeErr, err)
		}
		s.engine, s.lock = nil, nil
	})
	return s.closeErr
}
