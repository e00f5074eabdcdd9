package scheduler

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	flag.Parse()
	_ = flag.Set("test.parallel", "8") // these tests mostly wait
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// room is a Redis, a store and a log; the tests play the workers.
type room struct {
	t      *testing.T
	server *redistest.Server
	rdb    *redis.Client
	st     *store.Store
	log    *enginetest.Log
}

func newRoom(t *testing.T, options ...redistest.Option) *room {
	t.Helper()
	r := &room{t: t, server: redistest.New(t, options...), log: &enginetest.Log{}}
	r.rdb = r.server.Client()
	r.st = store.New(r.rdb)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", r.log)
		}
	})
	return r
}

// scheduler starts one on a client of its own that does not wait long for answers.
func (r *room) scheduler(o Options) *Scheduler {
	r.t.Helper()
	ro := r.server.Options()
	ro.ReadTimeout, ro.MaxRetries = 500*time.Millisecond, -1
	rdb := redis.NewClient(ro)
	o.Log = r.log.Logger()
	s := New(rdb, store.New(rdb), o)
	s.Start()
	r.t.Cleanup(func() { s.Stop(); _ = rdb.Close() })
	return s
}

// plan hands out the planning of a new job; nobody has queued it.
func (r *room) plan(id string) store.Ref {
	r.t.Helper()
	h, created, err := r.st.Create(r.t.Context(), enginetest.Job(id, 1))
	if err != nil || !created || len(h.Enqueue) != 1 {
		r.t.Fatalf("%v, %v, %v", h, created, err)
	}
	return h.Enqueue[0]
}

func (r *room) waiting() []string {
	return r.rdb.LRange(r.t.Context(), "asynq:{"+store.QueueName("", tasks.Protocol, 0)+"}:pending", 0, -1).Val()
}

// alive sends heartbeats for a worker until stop is called.
func (r *room) alive(worker string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var loop sync.WaitGroup
	beat := func() { _, _ = r.st.Beat(ctx, wire.Worker{ID: worker, State: wire.WorkerActive}) }
	beat()
	loop.Go(func() {
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				beat()
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); loop.Wait() })
	r.t.Cleanup(stop)
	return stop
}

func (r *room) lease(ref store.Ref, worker string) string {
	r.t.Helper()
	attempt := store.RandomID()
	if b, err := r.st.Begin(r.t.Context(), ref, attempt, worker, ""); err != nil || b.Code != store.Begun {
		r.t.Fatalf("%+v, %v", b, err)
	}
	return attempt
}

func (r *room) holds(ref store.Ref, attempt string) bool {
	_, err := r.st.Save(r.t.Context(), ref, attempt, nil, true, tasks.Counters{})
	return err == nil
}

func TestAStepThatWasHandedOutAndNeverQueuedIsQueued(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{0, 333 * time.Millisecond, 700 * time.Millisecond} {
		t.Run(interval.String(), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			ref := r.plan("j") // and here the process died
			r.scheduler(Options{Interval: interval})
			took := enginetest.Eventually(t, "it is queued", func() bool { return len(r.waiting()) > 0 })
			t.Logf("queued after %v", took)
			if took > 8*time.Second || r.waiting()[0] != ref.TaskID() {
				t.Errorf("after %v: %v", took, r.waiting())
			}
		})
	}
}

func TestAStepThatWasClaimedAndNeverBegunIsHandedOutUnderItsNextDelivery(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ref := r.plan("j")
	key := "asynq:{" + store.QueueName("", tasks.Protocol, 0) + "}:t:" + ref.TaskID()
	if err := r.rdb.HSet(t.Context(), key, "state", "active").Err(); err != nil { // claimed by a consumer that died
		t.Fatal(err)
	}
	r.scheduler(Options{})
	enginetest.Eventually(t, "it is queued again", func() bool { return len(r.waiting()) > 0 })
	ref.Delivery++
	if got := r.waiting(); len(got) != 1 || got[0] != ref.TaskID() {
		t.Errorf("%v, want %s", got, ref.TaskID())
	}
}

func TestATaskThatWaitsOnTheQueueIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ref := r.plan("j")
	enginetest.Enqueue(t, r.rdb, store.Handout{Queue: store.QueueName("", tasks.Protocol, 0), Enqueue: []store.Ref{ref}})
	s := r.scheduler(Options{Interval: 50 * time.Millisecond})
	start := time.Now()
	enginetest.Eventually(t, "it was looked at", func() bool { return time.Since(start) > unbegunAfter+500*time.Millisecond })
	s.Stop()
	if got := r.waiting(); len(got) != 1 || got[0] != ref.TaskID() || r.log.Count("level=WARN") != 0 {
		t.Errorf("%v", got)
	}
}

func TestJobsThatHaveEndedOrNeverWereAreLookedThroughNoMore(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.plan("j")
	r.plan("k")
	if _, err := r.st.Control(t.Context(), "k", store.Cancel, "me", ""); err != nil {
		t.Fatal(err)
	}
	if err := r.rdb.SAdd(t.Context(), "stint:active", "ghost").Err(); err != nil {
		t.Fatal(err)
	}
	r.scheduler(Options{Interval: 50 * time.Millisecond})
	enginetest.Eventually(t, "only the living job is looked through", func() bool {
		ids, err := r.st.Active(t.Context())
		return err == nil && len(ids) == 1 && ids[0] == "j"
	})
}

// turnKey says which scheduler has the turn.
var turnKey = fmt.Sprint("stint:sweeper:p", tasks.Protocol)

func TestAnotherSchedulerTakesOverWhenTheFirstIsGone(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	first := r.scheduler(Options{})
	enginetest.Eventually(t, "the first has the turn", func() bool { return r.rdb.Get(t.Context(), turnKey).Val() == first.id })
	second := r.scheduler(Options{})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 20 {
		if got := r.rdb.Get(t.Context(), turnKey).Val(); got != first.id {
			t.Fatalf("%s has the turn while the first lives", got)
		}
		<-tick.C
	}
	first.cancel() // killed: it does not say good-bye
	first.loop.Wait()
	took := enginetest.Eventually(t, "the second has the turn", func() bool { return r.rdb.Get(t.Context(), turnKey).Val() == second.id })
	t.Logf("taken over after %v", took)
	if took > 5*time.Second {
		t.Error("too late")
	}
	r.plan("j")
	enginetest.Eventually(t, "the second sweeps", func() bool { return len(r.waiting()) > 0 })
	third := r.scheduler(Options{})
	second.Stop()
	took = enginetest.Eventually(t, "the third has the turn", func() bool { return r.rdb.Get(t.Context(), turnKey).Val() == third.id })
	t.Logf("after an orderly stop: %v", took)
}

func TestWhatALostWorkerHeldIsQueuedAgain(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ref := r.plan("j")
	stop := r.alive("w")
	attempt := r.lease(ref, "w")
	r.scheduler(Options{Interval: 100 * time.Millisecond, LostAfter: time.Second})
	start := time.Now()
	enginetest.Eventually(t, "it is kept for as long as the worker lives", func() bool { return time.Since(start) > 3*time.Second })
	if !r.holds(ref, attempt) {
		t.Fatal("a living worker lost its step")
	}
	stop()
	took := enginetest.Eventually(t, "it is queued again", func() bool { return len(r.waiting()) > 0 })
	t.Logf("queued again %v after the last heartbeat, lost after 1s", took)
	if r.holds(ref, attempt) || r.log.Count("worker is lost") != 1 || r.log.Count("step of a lost worker") != 1 {
		t.Error("the log does not say so, or the attempt still holds the step")
	}
}

// Redis is away for longer than a worker may be silent: nobody could send a heartbeat, so nobody is lost.
func TestSilenceOfRedisIsNoLossOfWorkers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ away, back func(*redistest.Server) }{
		"frozen": {(*redistest.Server).Pause, (*redistest.Server).Resume},
		"killed": {(*redistest.Server).Kill, (*redistest.Server).Restart},
	} {
		for _, schedulers := range []int{1, 2} {
			t.Run(fmt.Sprint(name, schedulers), func(t *testing.T) {
				t.Parallel()
				r := newRoom(t, redistest.FsyncAlways())
				ref := r.plan("j")
				stop := r.alive("w")
				attempt := r.lease(ref, "w")
				for range schedulers {
					r.scheduler(Options{Interval: 100 * time.Millisecond, LostAfter: time.Second})
				}
				up := time.Now()
				enginetest.Eventually(t, "heartbeats are trusted", func() bool { return time.Since(up) > 3*time.Second })
				stop() // the worker is cut off with Redis, and comes back a little later than it
				c.away(r.server)
				gone := time.Now()
				enginetest.Eventually(t, "Redis is away for long", func() bool { return time.Since(gone) > 2500*time.Millisecond })
				c.back(r.server)
				back := time.Now()
				enginetest.Eventually(t, "the worker's network comes back", func() bool { return time.Since(back) > 600*time.Millisecond })
				r.alive("w")
				enginetest.Eventually(t, "sweeps go on", func() bool { return time.Since(back) > 2500*time.Millisecond })
				if !r.holds(ref, attempt) || r.log.Count("lost") != 0 {
					t.Error("a worker was given up although Redis was away")
				}
			})
		}
	}
}

func TestUptimeIsReadFromWhatRedisSays(t *testing.T) {
	t.Parallel()
	if d, ok := uptime("# Server\r\nuptime_in_seconds:75\r\nx:1\r\n"); d != 75*time.Second || !ok {
		t.Errorf("%v, %v", d, ok)
	}
	for _, text := range []string{"", "uptime_in_seconds:x\r\n"} {
		if _, ok := uptime(text); ok {
			t.Errorf("%q is an uptime", text)
		}
	}
}
