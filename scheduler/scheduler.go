// Package scheduler runs what must happen without anybody asking: the sweep, the ticks of schedules, and the messages of
// webhooks. Any number of schedulers may run. One of them at a time sweeps, and doing it twice would do no harm; all of them tick,
// and each tick is decided once, whoever comes first; all of them send messages, each under a lease.
package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
)

// Options say how often the scheduler looks. Zero values become the defaults that are given.
type Options struct {
	Interval  time.Duration // between two sweeps; default 500 ms
	LostAfter time.Duration // a worker without a heartbeat for this long is lost; default 3 s
	Log       *slog.Logger

	// Schedules are those of the configuration, written when the scheduler starts. CheckSchedules says beforehand whether they
	// can be meant; one that cannot is logged, and left as it is. Unless one of them is named cleanup, there is one that forgets
	// old jobs, hourly.
	Schedules []wire.Schedule
	// Limits are those of the configuration, of tenants and of store.AnyTenant, written with the schedules.
	Limits map[string]wire.Limits
	// RemoveOthers removes at the start what an earlier configuration had and Schedules has not. A command that brings a
	// scheduler along for a job of its own leaves it false: its configuration need not be that of the fleet.
	RemoveOthers bool
	// Webhooks are those of the configuration, to which this scheduler sends messages. With RemoveOthers they are all that there
	// are; without, messages are made for those only that a scheduler with RemoveOthers has written.
	Webhooks []Webhook
	// Besides is what else is done again and again, such as watching whether alert rules are evaluated; each in a loop of its own.
	Besides   []Besides
	Metrics   Metrics              // of ticks; nil means those of Telemetry
	Telemetry *telemetry.Telemetry // nil means none
}

// Besides is something that a scheduler does again and again.
type Besides struct {
	Name string
	// Do does it once, and returns how long there is nothing to do. An error is logged when it begins and when it ends.
	Do func(ctx context.Context) (time.Duration, error)
	// Ready lists why the scheduler is not ready, as far as this is concerned; nil is never.
	Ready func() []string
}

// Metrics are told what became of ticks, once each, by the scheduler that decided it.
type Metrics interface {
	// TickLag: a tick of a schedule fired, d after it should have.
	TickLag(ctx context.Context, schedule string, d time.Duration)
	// TickMissed: nobody decided n ticks of a schedule in time, and they will not fire.
	TickMissed(ctx context.Context, schedule string, n int)
}

// DefaultLostAfter is when a worker without heartbeats is given up.
const DefaultLostAfter = 3 * time.Second

// Scheduler is a value: New, Start, Stop.
type Scheduler struct {
	o        Options
	id       string
	rdb      redis.UniversalClient
	store    *store.Store
	producer *queue.Producer
	health   health

	lastContact time.Time      // when Redis last answered; zero before it has
	away        bool           // since then it did not
	trustFrom   time.Time      // heartbeats that are missing mean something from here on
	looked      time.Time      // when the queue was last asked for tasks that went astray
	look        bool           // this turn asks it
	restsUntil  time.Time      // jobs are not looked at before, unless bereft
	bereft      bool           // a worker was lost that not all jobs have been asked for
	retired     time.Time      // when jobs were last forgotten that are kept for a short time
	recovered   map[string]int // by lost worker: how many of its leases this turn gave to others

	configured int64 // how often the store knows that a configuration was written; 0: this one has yet to be

	hooks  []wire.WebhookDefinition // that there are, as read in this turn; nil until they are needed
	resend []time.Duration          // the waits between attempts at a message

	cancel context.CancelFunc
	loop   sync.WaitGroup
}

// New makes a scheduler. The store and the client stay the caller's.
func New(rdb redis.UniversalClient, st *store.Store, o Options) *Scheduler {
	if o.Interval <= 0 {
		o.Interval = 500 * time.Millisecond
	}
	if o.LostAfter <= 0 {
		o.LostAfter = DefaultLostAfter
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.RemoveOthers { // the scheduler of a fleet, not one that a command brings along
		o.Schedules = withCleanup(o.Schedules)
	}
	if o.Telemetry == nil {
		o.Telemetry = new(telemetry.Telemetry)
	}
	if o.Metrics == nil {
		o.Metrics = o.Telemetry.Metrics
	}
	return &Scheduler{o: o, id: store.RandomID(), rdb: rdb, store: st, producer: queue.NewProducer(rdb), resend: resend}
}

// Start sweeps and ticks until Stop.
func (s *Scheduler) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.loop.Go(func() {
		s.repeat(ctx, "sweep", func(ctx context.Context) (time.Duration, error) { return s.o.Interval, s.turn(ctx) })
	})
	s.loop.Go(func() { s.repeat(ctx, "schedules", s.tick) })
	for _, b := range s.o.Besides {
		s.loop.Go(func() { s.repeat(ctx, b.Name, b.Do) })
	}
	s.startWebhooks(ctx)
}

// repeat does something, and again after the time that it says. That it fails is said once, and that it works again.
func (s *Scheduler) repeat(ctx context.Context, what string, do func(ctx context.Context) (time.Duration, error)) {
	failed := false
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		start := time.Now()
		wait, err := do(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failed:
			failed = true
			s.o.Log.Warn(what+" failed; it will be tried again", "err", err)
		case err == nil && failed:
			failed = false
			s.o.Log.Info(what + " works again")
		}
		t.Reset(max(0, wait-time.Since(start)))
	}
}

// Stop ends sweep and ticks and lets another scheduler take over at once.
func (s *Scheduler) Stop() {
	s.cancel()
	s.loop.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.store.ReleaseSweep(ctx, s.id)
}
