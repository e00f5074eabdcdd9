// Package app is a stint process as a value: what it is connected to, what runs in it, and how it ends.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/admin"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/flatfile"
	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/all"
	"github.com/stint-run/stint/tasks/builder/pack"
	"github.com/stint-run/stint/tasks/migration"
	"github.com/stint-run/stint/tasks/migration/plan"
	"github.com/stint-run/stint/worker"
)

// Options say what a process is connected to. The command line fills them in from the configuration.
type Options struct {
	Redis       config.Redis       // without a URL: the embedded queue in Data
	Local       localredis.Options // of the embedded queue
	Connections config.Connections
	Artifacts   config.Artifacts // without a URL: a folder in Data
	Data        string           // the data folder: the embedded queue, and connections that a command line named
	Version     string
	Log         *slog.Logger
	// Telemetry says where traces and metrics go. Version, Instance and Log are filled in.
	Telemetry telemetry.Options

	Concurrency  int
	Queues       []string
	Labels       map[string]string
	Heartbeat    time.Duration
	DrainTimeout time.Duration
	Sweep        time.Duration
	LostAfter    time.Duration

	Schedules        config.Schedules
	Webhooks         config.Webhooks
	Alerts           config.Alerts
	Environment      string                                    // that the rules of alerts are of
	Tokens           func(name string) (value string, ok bool) // what @@NAME@@ in them stands for
	Builds           config.Builds
	Dedupe           config.Dedupe          // what the dashboard asks for where its forms say nothing
	BuildEnvironment map[string]string      // what commands of builds get of this process' environment
	Fleet            bool                   // this process is one of a fleet: a service, and no command with an engine of its own
	RemoveOthers     bool                   // Schedules and Webhooks are all that the fleet's configuration has
	Limits           map[string]wire.Limits // of tenants, and of store.AnyTenant; written by a scheduler, with Schedules

	API               api.ServerOptions
	MaxBody           int64 // of a request, bytes; 0 is the API's default
	RequestsPerSecond int   // of a token; 0 is without limit
}

// App is a process that is connected to its Redis. What it starts it stops, last in, first out.
type App struct {
	o        Options
	id       string // of this process and start
	Redis    redis.UniversalClient
	Store    *store.Store
	Producer *queue.Producer
	Local    *localredis.Server // nil with a Redis of its own
	Worker   *worker.Worker     // nil until StartWorker

	telemetry *telemetry.Telemetry
	families  []tasks.Family       // nil until they are asked for
	alerts    *alerting            // nil until something has to do with alerts
	signer    *pack.Signer         // of builds; nil signs nothing
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
	a := &App{o: o, id: processID()}
	var err error
	if a.signer, err = signer(o.Builds); err != nil {
		return nil, err
	}
	if err := a.startTelemetry(ctx); err != nil {
		return nil, err
	}
	if err := a.connect(ctx); err != nil {
		return nil, errors.Join(err, a.Stop(ctx))
	}
	a.Store = store.New(a.Redis)
	a.Producer = queue.NewProducer(a.Redis)
	return a, nil
}

// StartScheduler sweeps and ticks until Stop.
func (a *App) StartScheduler(ctx context.Context) error {
	hooks, err := webhooks(a.o.Webhooks)
	if err != nil {
		return err
	}
	if a.o.RemoveOthers {
		if err := a.Store.SetWebhooks(ctx, scheduler.Definitions(hooks)); err != nil {
			return err
		}
	}
	ticks := schedules(a.o.Schedules)
	var besides []scheduler.Besides
	if a.o.RemoveOthers && a.o.Alerts.Rules != "" {
		x := a.alerting()
		if err := x.openChannels(); err != nil {
			return err
		}
		ticks, besides = append(ticks, x.firstTicks()), x.besides()
	}
	s := scheduler.New(a.Redis, a.Store, scheduler.Options{Interval: a.o.Sweep, LostAfter: a.o.LostAfter, Log: a.o.Log,
		Schedules: ticks, Limits: a.o.Limits, RemoveOthers: a.o.RemoveOthers, Webhooks: hooks, Besides: besides, Telemetry: a.telemetry})
	if a.o.RemoveOthers {
		if err := s.Configure(ctx); err != nil {
			return err
		}
	}
	s.Start()
	a.scheduler = s
	a.onStop("scheduler", func(context.Context) error { s.Stop(); return nil })
	return nil
}

// StartWorker claims and runs steps of every family until Stop, which drains it first.
func (a *App) StartWorker(ctx context.Context) error {
	w := worker.New(a.Redis, a.Store, worker.Options{ID: a.id, Version: a.o.Version, Labels: a.o.Labels, Queues: a.o.Queues, Concurrency: max(a.o.Concurrency, 1),
		Heartbeat: a.o.Heartbeat, Admin: admin.Address(a.admin.listener), Families: a.Families(), Allow: func(job tasks.Job) error { return a.Allow(job, false) }, Log: a.o.Log, Telemetry: a.telemetry})
	if err := a.alerting().openChannels(); err != nil {
		return err
	}
	if err := a.startCleaning(); err != nil {
		return err
	}
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

// Stop ends what was started, last in, first out. ctx bounds the waiting; the worker's drain has its own limit within it. A worker drains
// from the beginning, whatever ends before it: it claims nothing while an API waits for its last requests.
func (a *App) Stop(ctx context.Context) error {
	if a.Worker != nil {
		go a.Worker.Drain()
	}
	var errs []error
	for i := len(a.ends) - 1; i >= 0; i-- {
		if err := a.ends[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", a.ends[i].name, err))
		}
	}
	a.ends = nil
	return errors.Join(errs...)
}

// Families lists what this process can carry out. They share its databases, which are opened when they are needed.
func (a *App) Families() []tasks.Family {
	if a.families == nil {
		dbs := migration.NewDatabases(a.Locate, max(a.o.Concurrency, 1))
		for _, c := range a.o.Connections {
			dbs.Bound(c.Name, migration.Bounds{Conns: c.Pool, ConnectTimeout: c.ConnectTimeout})
		}
		dbs.Besides(func(at sqldb.Location) (sqldb.Tabular, error) { return flatfile.Open(at, flatfile.Options{}) }, a.api)
		dbs.LimitRequests(newTurns(a.Store).limiter)
		dbs.WriteFilesTo(func() (artifact.Store, error) { return OpenArtifacts(a.o.Artifacts, a.o.Data) })
		a.onStop("databases", func(context.Context) error { return dbs.Close() })
		a.families = all.Families(all.Options{Databases: dbs, Retire: a.Store.Retire, Alert: a.alerting().family(dbs), Build: a.builds(dbs.Artifacts), Version: a.o.Version})
	}
	return a.families
}

// api says how the API behind a connection's name is reached.
func (a *App) api(name string) (httpsink.Connection, error) {
	at, err := a.Locate(name)
	if err != nil {
		return httpsink.Connection{}, err
	}
	c, _ := a.o.Connections.Get(name)
	return APIConnection(at, c.APIAccess)
}

// Locate says where a connection's name leads.
func (a *App) Locate(name string) (sqldb.Location, error) {
	if c, ok := a.o.Connections.Get(name); ok {
		return sqldb.ParseURL(c.DSN())
	}
	if name == plan.Artifacts {
		return ArtifactsLocation(a.o.Artifacts, a.o.Data)
	}
	url, err := readConnection(a.o.Data, name)
	if err != nil {
		return sqldb.Location{}, err
	}
	return sqldb.ParseURL(url)
}
