// Package worker claims tasks, leases their steps, runs them and settles what became of them.
//
// A worker is a value: New, Start, Drain and Undrain as often as wanted, Stop. It holds nothing that matters: the store
// knows what is leased to it, and its heartbeats say that it is alive. Killed at any moment, its steps are given to others
// within seconds, and the sink's ledger keeps what it had half done from taking effect twice.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// Options say what a worker is. Zero values become the defaults that are given.
type Options struct {
	ID          string // unique to this process and start; default: host-pid-random
	Version     string
	Labels      map[string]string
	Queues      []string // names without protocol; default: the default queue
	Concurrency int      // steps that run at once; default 8
	Heartbeat   time.Duration
	Families    []tasks.Family
	// Allow says why a job may not be carried out here, which it is asked before each step; nil allows everything. Its error is final
	// for the step.
	Allow     func(job tasks.Job) error
	Admin     string // where its own port answers, for those who look at the fleet; "" when it has none
	Log       *slog.Logger
	Telemetry *telemetry.Telemetry // nil means none
}

// errCut is the cause of contexts that end because the worker was told not to wait any longer.
var errCut = errors.New("worker is being stopped and does not wait any longer")

// Worker runs steps. Its methods may be called from any goroutine.
type Worker struct {
	o        Options
	store    *store.Store
	producer *queue.Producer
	consumer *queue.Consumer
	queued   *queue.Sender
	families map[string]tasks.Family
	specs    specs
	limits   limitsCache
	started  time.Time
	born     time.Time // the same moment by the clock that nobody sets

	base context.Context // of every attempt; ends only when the worker is cut
	cut  context.CancelCauseFunc

	turning sync.Mutex // held for a whole drain or undrain, so that the consumer and the state never disagree; before mu

	left atomic.Bool // hangUp left what speaks to Redis where it was

	mu       sync.Mutex
	state    string
	since    time.Time    // when the drain began
	cutAt    time.Time    // when Stop waits no longer; zero while nobody stops it, and without a limit
	wanted   bool         // somebody asked, through the store, that it drains
	wantedBy string       // who; "" when that is not known
	local    bool         // Drain was called in this process
	stopping bool         // Stop was called: there is no way back
	fences   []wire.Fence // that stand, as far as this worker has heard
	running  map[string]*run
	drains   *drainStory          // of the drain that goes on, or of the last one; nil before the first
	lately   map[string]time.Time // job -> when it had an attempt here that has come to its end, for those of the last moment
	settled  chan struct{}        // closed and made anew whenever an attempt ends or the state changes

	turned   atomic.Int64 // when the heartbeat loop last turned, ns since born; 0 while it does not run
	answered atomic.Int64 // when Redis last confirmed a heartbeat, ns since born; 0 before it has
	pacing   atomic.Int64 // steps that wait in their slots for their tenant's rate

	stopBeat context.CancelFunc
	loops    sync.WaitGroup
	now      chan struct{} // asks for a heartbeat at once
}

// New makes a worker. The store and the client stay the caller's.
func New(rdb redis.UniversalClient, st *store.Store, o Options) *Worker {
	if o.Concurrency <= 0 {
		o.Concurrency = 8
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = time.Second
	}
	if len(o.Queues) == 0 {
		o.Queues = []string{tasks.DefaultQueue}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Telemetry == nil {
		o.Telemetry = new(telemetry.Telemetry)
	}
	if o.ID == "" {
		host, _ := os.Hostname()
		o.ID = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), store.RandomID()[:6])
	}
	o.ID = strings.ReplaceAll(o.ID, "|", "-") // it separates the parts of a lease
	w := &Worker{o: o, lately: map[string]time.Time{}, store: st, producer: queue.NewProducer(rdb), families: map[string]tasks.Family{}, born: time.Now(),
		state: wire.WorkerActive, running: map[string]*run{}, settled: make(chan struct{}), now: make(chan struct{}, 1)}
	w.o.Log = slog.New(telemetry.LogHandler(o.Log.Handler())).With("worker", o.ID)
	w.started = w.born.UTC()
	w.limits = limitsCache{store: st, keep: o.Heartbeat}
	w.base, w.cut = context.WithCancelCause(context.Background())
	for _, f := range o.Families {
		w.families[f.Kind()] = f
	}
	var queues []queue.Weighted
	for _, b := range store.Bands(o.Queues) {
		queues = append(queues, queue.Weighted{Name: b.Name, Weight: b.Weight})
	}
	w.queued = queue.NewSender(w.producer, func(queue string, tasks int, err error) {
		w.o.Log.Warn("steps are ready but not on the queue; the sweep will queue them", "queue", queue, "steps", tasks, "err", err)
	}, func() { w.consumer.Wake() })
	w.consumer = queue.NewConsumer(rdb, queue.ConsumerOptions{Queues: queues, Concurrency: o.Concurrency, Log: w.o.Log,
		Handle: func(_ context.Context, id string) { w.handle(id) }})
	return w
}

// ID returns the worker's id.
func (w *Worker) ID() string { return w.o.ID }

// Start announces the worker and begins to claim, unless the answer to its first heartbeat is that a fence parks its version: then
// it comes up drained, and has not claimed a single task.
func (w *Worker) Start(ctx context.Context) error {
	if err := w.beat(ctx); err != nil {
		return err
	}
	if err := w.consumer.Start(ctx); err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		_ = w.store.Remove(last, w.o.ID) // it never was one
		return err
	}
	bctx, cancel := context.WithCancel(context.Background())
	w.stopBeat = cancel
	w.loops.Add(3)
	go w.heartbeats(bctx)
	go w.pulses(bctx)
	go w.listen(bctx)
	return nil
}

// Stop drains, waits for the attempts until ctx ends, cuts what is left, and says good-bye. It returns how many attempts
// had to be cut: their steps go on elsewhere when this worker's heartbeats have ended.
func (w *Worker) Stop(ctx context.Context) (cut int, err error) {
	if w.stopBeat == nil {
		return 0, nil // it was never started
	}
	w.mu.Lock()
	w.stopping = true
	if at, limited := ctx.Deadline(); limited {
		w.cutAt = at.UTC()
	}
	w.mu.Unlock()
	w.Drain()
	w.beatSoon() // one that drains already has to tell the limit
	err = w.WaitDrained(ctx)
	if err != nil {
		cut = w.InFlight()
		w.Cut()
		short, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		err = w.WaitDrained(short)
	}
	last, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	err = errors.Join(err, w.hangUp(last, err == nil))
	w.setState(wire.WorkerStopped)
	if e := w.beat(last); e != nil {
		w.o.Log.Warn("could not say good-bye; others will notice", "err", e)
	}
	return cut, err
}

// farewell is how long a worker that holds nothing any more waits for a Redis that does not answer: platforms kill who takes long, and what
// is left on the queue the sweep finds.
const farewell = 3 * time.Second

// hangUp ends what speaks to Redis. asynq waits for handlers for ever, so with some of them stuck it is left out, and goes on using the client.
func (w *Worker) hangUp(ctx context.Context, settled bool) error {
	w.stopBeat()
	if !settled {
		w.left.Store(true)
	}
	left := make(chan error, 1)
	go func() {
		w.queued.Flush()
		var err error
		if settled {
			err = w.consumer.Stop()
		}
		w.loops.Wait()
		left <- err
	}()
	select {
	case err := <-left:
		return err
	case <-ctx.Done():
		w.left.Store(true)
		w.o.Log.Warn("redis does not answer: leaving without a word; the sweep finds what is left on the queue")
		return nil
	}
}

// LeftRedis reports whether Stop ended without a word from Redis, or with an attempt that did not end when it was cut. Then asynq's goroutines
// still use the client, and one of them takes its end for a message and panics: leave it open, and end the process.
func (w *Worker) LeftRedis() bool { return w.left.Load() }

// Cut ends the contexts of all attempts, and has the worker drain: it would claim anew what it gives back. Their leases make it safe.
func (w *Worker) Cut() {
	go w.Drain()
	w.cut(errCut)
}

// InFlight returns how many attempts the worker holds.
func (w *Worker) InFlight() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.running)
}

// State returns one of the store's worker states.
func (w *Worker) State() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.state
}

func (w *Worker) setState(s string) {
	w.mu.Lock()
	w.state = s
	w.changed()
	w.mu.Unlock()
}

// changed wakes who waits for an attempt to end; w.mu is held.
func (w *Worker) changed() {
	close(w.settled)
	w.settled = make(chan struct{})
}

// specs remembers jobs and stages as they were accepted and planned, so that a step does not read them again.
type specs struct {
	mu     sync.Mutex
	jobs   map[string]tasks.Job
	stages map[string]tasks.Stage
}

const keptSpecs = 256

func (s *specs) job(ctx context.Context, st *store.Store, r store.Ref, born int64) (tasks.Job, error) {
	key := fmt.Sprintf("%s:%d:%d", r.Job, born, r.Epoch)
	s.mu.Lock()
	job, ok := s.jobs[key]
	s.mu.Unlock()
	if ok {
		return job, nil
	}
	job, _, err := st.Job(ctx, r.Job)
	if err != nil {
		return job, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.jobs == nil || len(s.jobs) >= keptSpecs {
		s.jobs = map[string]tasks.Job{}
	}
	s.jobs[key] = job
	return job, nil
}

func (s *specs) stage(ctx context.Context, st *store.Store, r store.Ref, born int64, i int) (tasks.Stage, error) {
	key := fmt.Sprintf("%s:%d:%d:%d", r.Job, born, r.Epoch, i)
	s.mu.Lock()
	stage, ok := s.stages[key]
	s.mu.Unlock()
	if ok {
		return stage, nil
	}
	stage, err := st.Stage(ctx, r.Job, i)
	if err != nil {
		return stage, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stages == nil || len(s.stages) >= keptSpecs {
		s.stages = map[string]tasks.Stage{}
	}
	s.stages[key] = stage
	return stage, nil
}
