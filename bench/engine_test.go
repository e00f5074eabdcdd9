package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/worker"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// noop is a family whose steps do nothing.
type noop struct {
	steps   int
	ran     atomic.Int64
	done    chan struct{}
	started chan time.Time // when not nil, each start is told
}

func (f *noop) Kind() string { return "noop" }

func (f *noop) Plan(context.Context, tasks.Job) ([]tasks.Stage, error) {
	return []tasks.Stage{{Name: "all"}}, nil
}

func (f *noop) Split(_ context.Context, _ tasks.Job, _ tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	from, _ := strconv.Atoi(string(after))
	var steps []tasks.Step
	for i := from; i < f.steps && len(steps) < limit; i++ {
		steps = append(steps, tasks.Step{ID: strconv.Itoa(i)})
	}
	if from+len(steps) >= f.steps {
		return steps, nil, nil
	}
	return steps, tasks.Cursor(strconv.Itoa(from + len(steps))), nil
}

func (f *noop) Run(context.Context, *tasks.Attempt) error {
	if f.started != nil {
		f.started <- time.Now()
	}
	if f.ran.Add(1) == int64(f.steps) {
		close(f.done)
	}
	return nil
}

// stintRate runs n no-op steps through the whole engine, from submission to the last step.
func stintRate(b *testing.B, rdb *redis.Client, n, concurrency, window int) float64 {
	ctx := context.Background()
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		b.Fatal(err)
	}
	f := &noop{steps: n, done: make(chan struct{})}
	st := store.New(rdb)
	w := worker.New(rdb, st, worker.Options{Concurrency: concurrency, Families: []tasks.Family{f}, Log: quiet})
	s := scheduler.New(rdb, st, scheduler.Options{Log: quiet})
	s.Start()
	defer s.Stop()
	if err := w.Start(ctx); err != nil {
		b.Fatal(err)
	}
	defer w.Stop(ctx)
	start := time.Now()
	submit(b, rdb, st, tasks.Job{ID: "bench", Kind: "noop", Window: window})
	await(b, f.done)
	return float64(n) / time.Since(start).Seconds()
}

func submit(b *testing.B, rdb *redis.Client, st *store.Store, job tasks.Job) {
	b.Helper()
	h, _, err := st.Create(context.Background(), job)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range h.Enqueue {
		if err := queue.NewProducer(rdb).Enqueue(context.Background(), h.Queue, r.TaskID()); err != nil {
			b.Fatal(err)
		}
	}
}

func await(b *testing.B, done <-chan struct{}) {
	b.Helper()
	select {
	case <-done:
	case <-time.After(40 * time.Second):
		b.Fatal("not done after 40 s")
	}
}

// asynqRate enqueues n no-op tasks and then runs them with bare asynq; filled is the rate of the running alone, whole that of
// both together.
func asynqRate(b *testing.B, rdb *redis.Client, n, concurrency int) (filled, whole float64) {
	ctx := context.Background()
	if err := rdb.FlushAll(ctx).Err(); err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	client := asynq.NewClientFromRedisClient(rdb)
	for i := range n {
		if _, err := client.Enqueue(asynq.NewTask("noop", []byte("bench:1:1:0/"+strconv.Itoa(i)))); err != nil {
			b.Fatal(err)
		}
	}
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: concurrency, LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond})
	var ran atomic.Int64
	done := make(chan struct{})
	start := time.Now()
	err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		if ran.Add(1) == int64(n) {
			close(done)
		}
		return nil
	}))
	if err != nil {
		b.Fatal(err)
	}
	await(b, done)
	filled, whole = float64(n)/time.Since(start).Seconds(), float64(n)/time.Since(begin).Seconds()
	server.Shutdown()
	return filled, whole
}

// BenchmarkEngineBesideAsynq compares durable steps with bare tasks: planned, leased, ended and counted against delivered.
func BenchmarkEngineBesideAsynq(b *testing.B) {
	r := &results{name: "engine"}
	for _, fsync := range []string{"none", "everysec", "always"} {
		n := 20_000
		var opts []redistest.Option
		switch fsync {
		case "everysec":
			opts = append(opts, redistest.EverySecond())
		case "always":
			opts = append(opts, redistest.FsyncAlways())
			n = 5_000
		}
		for _, c := range []int{8, 32} {
			rdb := redistest.New(b, opts...).Client()
			var ours, filled, whole []float64
			var cost [2]string
			for range rounds {
				before := cpuNow(rdb)
				ours = append(ours, stintRate(b, rdb, n, c, 4*c))
				cost[0] = before.since(rdb, n)
				before = cpuNow(rdb)
				f, w := asynqRate(b, rdb, n, c)
				filled, whole = append(filled, f), append(whole, w)
				cost[1] = before.since(rdb, n)
			}
			r.ratio(fmt.Sprintf("no-op, c=%d, fsync %s: beside running", c, fsync), ours, filled, "steps/s")
			r.ratio(fmt.Sprintf("no-op, c=%d, fsync %s: beside enqueue+run", c, fsync), ours, whole, "steps/s")
			r.add("  ours: %s; theirs: %s", cost[0], cost[1])
		}
	}
	r.write(b)
}

// BenchmarkLatency measures the time from enqueue to start on an idle worker, and the steps a second of a chain (window 1).
func BenchmarkLatency(b *testing.B) {
	r := &results{name: "latency"}
	for _, fsync := range []string{"everysec", "always"} {
		opt := redistest.EverySecond()
		if fsync == "always" {
			opt = redistest.FsyncAlways()
		}
		rdb := redistest.New(b, opt).Client()
		var took []time.Duration
		for i := range 300 {
			took = append(took, idleStart(b, rdb, i))
		}
		if _, err := idle.w.Stop(context.Background()); err != nil { // it knows no job of the chain, and would take its steps
			b.Fatal(err)
		}
		r.add("enqueue to start, idle worker, fsync %-8s  p50 %v  p90 %v  p99 %v  max %v (300)", fsync, percentile(took, .5), percentile(took, .9), percentile(took, .99), percentile(took, 1))
		if fsync == "everysec" {
			r.take("engine-idle", taken{Figure: 1000 * secs(percentile(took, .99)), Runs: len(took), Size: fsync, Peer: "0.5 to 1.5 s by its code",
				Measured: fmt.Sprintf("%.2f ms; p50 %.2f ms", 1000*secs(percentile(took, .99)), 1000*secs(percentile(took, .5)))})
		}
		var chain []float64
		for range rounds {
			chain = append(chain, stintRate(b, rdb, 1000, 8, 1))
		}
		r.add("chain of steps (window 1), fsync %-8s          %.0f steps/s, %.2f ms a step", fsync, median(chain), 1000/median(chain))
	}
	r.write(b)
}

var idle struct {
	rdb *redis.Client
	w   *worker.Worker
	st  *store.Store
	f   *noop
}

// idleStart submits a job of one stage and one step to a worker that has nothing to do, and returns how long its planning took to
// begin running: the first thing that a worker does for a job.
func idleStart(b *testing.B, rdb *redis.Client, i int) time.Duration {
	ctx := context.Background()
	if idle.rdb != rdb {
		idle.rdb, idle.st = rdb, store.New(rdb)
		idle.f = &noop{steps: 1 << 30, started: make(chan time.Time, 16), done: make(chan struct{})}
		idle.w = worker.New(rdb, idle.st, worker.Options{Concurrency: 8, Families: []tasks.Family{planned{idle.f}}, Log: quiet})
		if err := idle.w.Start(ctx); err != nil {
			b.Fatal(err)
		}
	}
	job := tasks.Job{ID: "idle-" + strconv.Itoa(i), Kind: "planned", Window: 1}
	h, _, err := idle.st.Create(ctx, job)
	if err != nil {
		b.Fatal(err)
	}
	p := queue.NewProducer(rdb)
	start := time.Now()
	if err := p.Enqueue(ctx, h.Queue, h.Enqueue[0].TaskID()); err != nil {
		b.Fatal(err)
	}
	at := <-idle.f.started
	for t := time.NewTicker(3 * time.Millisecond); ; { // until it is idle again
		if <-t.C; idle.w.InFlight() == 0 {
			t.Stop()
			return at.Sub(start)
		}
	}
}

// planned says when it is planned, and has no stages.
type planned struct{ f *noop }

func (p planned) Kind() string { return "planned" }

func (p planned) Plan(context.Context, tasks.Job) ([]tasks.Stage, error) {
	p.f.started <- time.Now()
	return nil, nil
}

func (p planned) Split(context.Context, tasks.Job, tasks.Stage, tasks.Cursor, int) ([]tasks.Step, tasks.Cursor, error) {
	return nil, nil, nil
}

func (p planned) Run(context.Context, *tasks.Attempt) error { return nil }

// BenchmarkDispatch puts steps on a queue a hundred at a time, as a split hands them out, beside asynq's Enqueue by eight clients.
func BenchmarkDispatch(b *testing.B) {
	r := &results{name: "dispatch"}
	ctx := context.Background()
	rdb := redistest.New(b, redistest.EverySecond()).Client()
	n := peerTasks
	timed := func(put func(i int) error, clients, each int) float64 {
		if err := rdb.FlushAll(ctx).Err(); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				for i := c * each; i < n; i += clients * each {
					if err := put(i); err != nil {
						b.Error(err)
					}
				}
			})
		}
		all.Wait()
		return float64(n) / time.Since(start).Seconds()
	}
	producer, client := queue.NewProducer(rdb), asynq.NewClientFromRedisClient(rdb)
	var ours, theirs []float64
	for range rounds {
		ours = append(ours, timed(func(i int) error {
			ids := make([]string, 0, 100)
			for k := i; k < min(i+100, n); k++ {
				ids = append(ids, "bench:1:1:0/"+strconv.Itoa(k))
			}
			return producer.Enqueue(ctx, "default", ids...)
		}, 1, 100))
		theirs = append(theirs, timed(func(i int) error {
			_, err := client.Enqueue(asynq.NewTask("noop", []byte("bench:1:1:0/"+strconv.Itoa(i))))
			return err
		}, 8, 1))
	}
	r.ratio("steps put on a queue by the hundred", ours, theirs, "/s")
	t := ratioOf(ours, theirs, "a second")
	t.Size = thousands(float64(n)) + " steps"
	r.take("engine-dispatch", t)
	r.write(b)
}
