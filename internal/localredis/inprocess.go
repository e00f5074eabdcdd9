package localredis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// snapshotInterval is how often a changed database is written to its file, at most.
const snapshotInterval = time.Second

// snapshotShare bounds what snapshots cost: one that took t is followed by at least snapshotShare*t without one,
// because the database answers nobody while it is read.
const snapshotShare = 10

const inProcessNotice = "queue: in this process (%s); it is saved each second, so after a crash up to a second of the " +
	"queue is worked out again from what the targets hold"

// endMark is what the script of the last snapshot echoes. It is random, so that nobody else can say it.
var endMark = newPassword()

//go:embed dump.lua
var dumpSource string

// inProcess is a Redis in the memory of this process.
type inProcess struct {
	rec    record
	dir    string
	log    *slog.Logger
	redis  *miniredis.Miniredis
	client *redis.Client
	dirty  atomic.Bool // something may have changed since the last snapshot
	ending atomic.Bool // the last snapshot has been read; nothing may change any more

	stop      chan struct{}
	stopped   chan struct{}
	closeOnce sync.Once
	closeErr  error

	lastSum [32]byte // of the snapshot that was written last; used by one goroutine at a time
}

// startInProcess loads the snapshot and serves it, at the previous address where that is possible; fixed means that it
// must be. hint says why there is no redis-server; "" when the user wanted none.
func startInProcess(ctx context.Context, dir string, previous record, fixed bool, hint string, log *slog.Logger) (*inProcess, error) {
	if hint == "" {
		hint = "as asked for"
	}
	e := &inProcess{dir: dir, log: log, redis: miniredis.NewMiniRedis(), stop: make(chan struct{}), stopped: make(chan struct{})}
	if err := e.load(time.Now()); err != nil {
		return nil, err
	}
	addr, password := "127.0.0.1:0", newPassword()
	if host, _, err := net.SplitHostPort(previous.Addr); err == nil && host == "127.0.0.1" && previous.Password != "" {
		addr, password = previous.Addr, previous.Password
	}
	e.redis.RequireAuth(password)
	err := e.redis.StartAddr(addr)
	if err != nil && !fixed {
		err = e.redis.StartAddr("127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("start the queue in this process: %w", err)
	}
	e.redis.Server().SetPreHook(e.watchCommand)
	e.rec = record{
		PID: os.Getpid(), Network: "tcp", Addr: e.redis.Addr(), Password: password, Mode: InProcess,
		Notice: fmt.Sprintf(inProcessNotice, hint),
	}
	o := e.rec.options()
	o.PoolSize = 1
	o.ReadTimeout = time.Minute // a large database takes a while to read
	e.client = redis.NewClient(o)
	if err := e.client.Ping(ctx).Err(); err != nil {
		e.redis.Close()
		return nil, errors.Join(fmt.Errorf("reach the queue in this process: %w", err), e.client.Close())
	}
	go e.run()
	return e, nil
}

// watchCommand notes that the database may have changed. It runs before each command, those that a script calls
// included, and stops those that would change what has been saved for the last time.
func (e *inProcess) watchCommand(c *server.Peer, cmd string, args ...string) bool {
	if cmd == "ECHO" && len(args) == 1 && args[0] == endMark {
		e.ending.Store(true)
	}
	if e.ending.Load() && !changesNothing(cmd, args) && !e.redis.IsReadOnlyCommand(cmd) {
		c.WriteError("LOADING the queue moves to another process or ends")
		return true
	}
	if !e.dirty.Load() && !changesNothing(cmd, args) && !e.redis.IsReadOnlyCommand(cmd) {
		e.dirty.Store(true)
	}
	return false
}

// changesNothing reports whether a command belongs to a connection or to the snapshot itself.
func changesNothing(cmd string, args []string) bool {
	switch cmd {
	case "AUTH", "HELLO", "CLIENT", "PING", "ECHO", "SELECT", "SCRIPT", "PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE", "MULTI":
		return true
	}
	return cmd == "EVAL" && len(args) > 0 && args[0] == dumpSource
}

func (e *inProcess) record() record { return e.rec }

// run makes time pass in the database and saves it.
func (e *inProcess) run() {
	defer close(e.stopped)
	// Not miniredis's own ClockTTL, which walks all keys at each command.
	tick := time.NewTicker(snapshotInterval)
	defer tick.Stop()
	last, notBefore := time.Now(), time.Time{}
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		}
		now := time.Now()
		e.redis.FastForward(now.Sub(last))
		last = now
		if now.Before(notBefore) || !e.dirty.Swap(false) {
			continue
		}
		if err := e.save(""); err != nil {
			e.dirty.Store(true)
			e.log.Error("cannot save the queue", "file", snapshotPath(e.dir), "error", err)
		}
		notBefore = time.Now().Add(snapshotShare * time.Since(now))
	}
}

func (e *inProcess) close() error {
	e.closeOnce.Do(func() {
		close(e.stop)
		<-e.stopped
		// The mark is called from within the script that reads the database: what was acknowledged before is in the
		// snapshot, what comes after is refused. The second snapshot has what was just being carried out.
		e.closeErr = errors.Join(e.save(endMark), e.save(""), e.client.Close())
		e.redis.Close()
	})
	return e.closeErr
}

func snapshotPath(dir string) string { return filepath.Join(dir, "snapshot.gob") }
