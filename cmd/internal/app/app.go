// Package app is a stint process as a value: what it is connected to, what runs in it, and how it ends.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/admin"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/all"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/worker"
)

// Options say what a process is connected to. The command line fills them in from the configuration.
type Options struct {
	Redis       *redis.Options     // nil means the embedded queue in Data
	Local       localredis.Options // of the embedded queue
	Connections map[string]string  // name -> URL, secrets filled in
	Data        string             // the data folder: the embedded queue, and connections that a command line named
	Version     string
	Log         *slog.Logger

	Concurrency  int
	Labels       map[string]string
	Heartbeat    time.Duration
	DrainTimeout time.Duration
	Sweep        time.Duration
	LostAfter    time.Duration
}

// App is a process that is connected to its Redis. What it starts it stops, last in, first out.
type App struct {
	o        Options
	Redis    redis.UniversalClient
	Store    *store.Store
	Producer *queue.Producer
	Local    *localredis.Server // nil with a Redis of its own
	Worker   *worker.Worker     // nil until StartWorker

	scheduler *scheduler.Scheduler // nil until StartScheduler
	admin     adminPort

	ends []end
}

type end struct {
	name string
	stop func(ctx context.Context) error
}

// onStop registers how something ends, at the moment it has begun.
func (a *App) onStop(name string, stop func(ctx context.Context) error) {
	a.ends = append(a.ends, end{name, stop})
}

// New connects. On an error nothing is left running.
func New(ctx context.Context, o Options) (*App, error) {
	a := &App{o: o}
	if err := a.connect(ctx); err != nil {
		return nil, errors.Join(err, a.Stop(ctx))
	}
	a.Store = store.New(a.Redis)
	a.Producer = queue.NewProducer(a.Redis)
	return a, nil
}

func (a *App) connect(ctx context.Context) error {
	redis.SetLogger(driverLog{a.o.Log})
	if a.o.Redis == nil {
		local, err := localredis.StartOrJoin(ctx, a.o.Local)
		if err != nil {
			return &unreachable{err}
		}
		a.Local = local
		a.onStop("embedded queue", func(context.Context) error { return local.Close() })
		if notice := local.Notice(); notice != "" && !local.Joined() {
			a.o.Log.Warn(notice)
		}
		a.use(redis.NewClient(tuned(local.Options(), a.o.Concurrency)))
		return nil
	}
	client := redis.NewClient(tuned(a.o.Redis, a.o.Concurrency))
	a.use(client)
	if err := client.Ping(ctx).Err(); err != nil {
		return tasks.WithHint(&unreachable{err}, "is it running, and is redis.url right? Without redis.url stint starts a queue of its own", "redis at %s cannot be reached", a.o.Redis.Addr)
	}
	return nil
}

func (a *App) use(c *redis.Client) {
	a.Redis = c
	a.onStop("redis", func(context.Context) error { return c.Close() })
}

// tuned gives a client as many connections as the worker needs, and answers that do not wait for ever.
func tuned(o *redis.Options, concurrency int) *redis.Options {
	c := *o
	c.PoolSize = max(10, concurrency/2)
	c.DisableIdentity = true
	return &c
}

// ErrUnreachable: a server that the command needs does not answer.
var ErrUnreachable = errors.New("cannot be reached")

// unreachable is the driver's word for ErrUnreachable.
type unreachable struct{ err error }

func (u *unreachable) Error() string   { return u.err.Error() }
func (u *unreachable) Unwrap() []error { return []error{u.err, ErrUnreachable} }

// driverLog takes what the Redis client says by itself: each attempt to connect of each connection, which nobody wants to read
// besides the error that they lead to.
type driverLog struct{ log *slog.Logger }

func (d driverLog) Printf(ctx context.Context, format string, args ...any) {
	d.log.DebugContext(ctx, "redis client: "+fmt.Sprintf(format, args...))
}

// StartScheduler sweeps until Stop.
func (a *App) StartScheduler() {
	s := scheduler.New(a.Redis, a.Store, scheduler.Options{Interval: a.o.Sweep, LostAfter: a.o.LostAfter, Log: a.o.Log})
	s.Start()
	a.scheduler = s
	a.onStop("scheduler", func(context.Context) error { s.Stop(); return nil })
}

// StartWorker claims and runs steps of every family until Stop, which drains it first.
func (a *App) StartWorker(ctx context.Context) error {
	concurrency := max(a.o.Concurrency, 1)
	dbs := migration.NewDatabases(a.Locate, concurrency)
	a.onStop("databases", func(context.Context) error { return dbs.Close() })
	w := worker.New(a.Redis, a.Store, worker.Options{Version: a.o.Version, Labels: a.o.Labels, Concurrency: concurrency,
		Heartbeat: a.o.Heartbeat, Admin: admin.Address(a.admin.listener), Families: all.Families(all.Options{Databases: dbs}), Log: a.o.Log})
	if err := w.Start(ctx); err != nil {
		return fmt.Errorf("start worker: %w", err)
	}
	a.Worker = w
	a.onStop("worker", func(ctx context.Context) error {
		dctx, cancel := context.WithTimeout(ctx, a.o.DrainTimeout)
		defer cancel()
		cut, err := w.Stop(dctx)
		if cut > 0 {
			a.o.Log.Warn("attempts were cut; others will run their steps", "cut", cut)
		}
		return err
	})
	return nil
}

// Stop ends what was started, last in, first out. ctx bounds the waiting; the worker's drain has its own limit within it.
func (a *App) Stop(ctx context.Context) error {
	var errs []error
	for i := len(a.ends) - 1; i >= 0; i-- {
		if err := a.ends[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", a.ends[i].name, err))
		}
	}
	a.ends = nil
	return errors.Join(errs...)
}

// Submit writes a job and puts its planning on the queue. created is false when it was there already.
func (a *App) Submit(ctx context.Context, job tasks.Job) (state tasks.State, created bool, err error) {
	h, created, err := a.Store.Create(ctx, job)
	if err != nil {
		return "", false, err
	}
	return tasks.State(h.State), created, a.enqueue(ctx, h)
}

// Control moves a job and puts on the queue what that handed out.
func (a *App) Control(ctx context.Context, id string, verb store.Verb) (tasks.State, error) {
	h, err := a.Store.Control(ctx, id, verb, "command line", "")
	if err != nil {
		return "", err
	}
	return tasks.State(h.State), a.enqueue(ctx, h)
}

func (a *App) enqueue(ctx context.Context, h store.Handout) error {
	return a.Producer.Enqueue(ctx, h.Queue, store.TaskIDs(h.Enqueue)...)
}

// Locate says where a connection's name leads.
func (a *App) Locate(name string) (sqldb.Location, error) {
	url, ok := a.o.Connections[name]
	if !ok {
		var err error
		if url, err = readConnection(a.o.Data, name); err != nil {
			return sqldb.Location{}, err
		}
	}
	return sqldb.ParseURL(url)
}
