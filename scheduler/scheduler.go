// Package scheduler runs what must happen without anybody asking: the sweep. Any number of schedulers may run; one of them
// at a time does the work, and doing it twice would do no harm.
package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
)

// Options say how often the scheduler looks. Zero values become the defaults that are given.
type Options struct {
	Interval  time.Duration // between two sweeps; default 500 ms
	LostAfter time.Duration // a worker without a heartbeat for this long is lost; default 3 s
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry // nil means none
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

	lastContact time.Time      // when Redis last answered; zero before it has
	away        bool           // since then it did not
	trustFrom   time.Time      // heartbeats that are missing mean something from here on
	looked      time.Time      // when the queue was last asked for tasks that went astray
	look        bool           // this turn asks it
	recovered   map[string]int // by lost worker: how many of its leases this turn gave to others
	retired     time.Time      // when it last looked for jobs that have been kept long enough

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
	if o.Telemetry == nil {
		o.Telemetry = new(telemetry.Telemetry)
	}
	return &Scheduler{o: o, id: store.RandomID(), rdb: rdb, store: st, producer: queue.NewProducer(rdb)}
}

// Start sweeps until Stop.
func (s *Scheduler) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.loop.Add(1)
	go func() {
		defer s.loop.Done()
		t := time.NewTicker(s.o.Interval)
		defer t.Stop()
		away := false
		for {
			err := s.turn(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil && !away:
				away = true
				s.o.Log.Warn("sweep failed; it will be tried again", "err", err)
			case err == nil && away:
				away = false
				s.o.Log.Info("sweep works again")
			}
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	}()
}

// Stop ends the sweep and lets another scheduler take over at once.
func (s *Scheduler) Stop() {
	s.cancel()
	s.loop.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.store.ReleaseSweep(ctx, s.id)
}
