package queue

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stint-run/stint/internal/redistest"
)

func TestEnqueuingTwiceDoesNothing(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	produce(t, p, "q")
	produce(t, p, "q", "a", "b", "a")
	produce(t, p, "q", "b", "c")
	if got := rdb.LRange(t.Context(), "asynq:{q}:pending", 0, -1).Val(); !slices.Equal(got, []string{"c", "b", "a"}) {
		t.Errorf("waiting: %v", got)
	}
}

func TestTasksAreQueuedOnARedisThatForgotTheScripts(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	var h handled
	consume(t, rdb, 2, func(_ context.Context, id string) { h.add(id) })
	for i := range 3 {
		if err := rdb.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		produce(t, p, "q", ids(10*i, 10*i+10)...)
		eventually(t, "all have run", func() bool { return h.count() == 10*i+10 })
	}
}

func TestAnIdleConsumerIsWokenAtOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	ran := make(chan string, 1)
	consume(t, rdb, 2, func(_ context.Context, id string) { ran <- id })
	var took []time.Duration
	for _, id := range ids(0, 20) {
		start := time.Now()
		produce(t, p, "q", id)
		<-ran
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("median %v, longest %v", took[10], took[19])
	if took[10] > 200*time.Millisecond {
		t.Errorf("the median is %v: it polls", took[10])
	}
}

func TestATaskOfEachQueueIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	ran := make(chan string, 1)
	consume(t, rdb, 2, func(_ context.Context, id string) { ran <- id }, "high", "middle", "low")
	var took []time.Duration
	for i := range 30 {
		start := time.Now()
		produce(t, p, []string{"high", "middle", "low"}[i%3], fmt.Sprint(i))
		<-ran
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("median %v, longest %v", took[15], took[29])
	if took[25] > 300*time.Millisecond {
		t.Errorf("one in six takes more than %v: the idle wait hides a queue", took[25])
	}
}

func TestNeverMoreAreClaimedThanMayStart(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	produce(t, p, "q", ids(0, 60)...)
	var h handled
	var running, most atomic.Int64
	release := make(chan struct{})
	consume(t, rdb, 3, func(_ context.Context, id string) {
		n := running.Add(1)
		defer running.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		h.add(id)
	})
	eventually(t, "all slots are taken", func() bool { return running.Load() == 3 })
	for range 57 {
		if n := notRun(t, rdb, &h); n > 2*3 { // as many as there are slots may be claimed ahead
			t.Errorf("%d are claimed and have not run, there are 3 slots", n)
		}
		release <- struct{}{}
	}
	close(release)
	eventually(t, "all have run", func() bool { return h.count() == 60 && length(t, rdb, "active") == 0 })
	if most.Load() != 3 {
		t.Errorf("%d ran at once", most.Load())
	}
}

// bare is a claimer without asynq around it.
func bare(rdb *redis.Client, slots int) (*claimer, func() (string, error)) {
	c := &claimer{rdb: rdb, slots: slots, last: "asynq:{q}:pending", wake: make(chan struct{}, 1), sources: []*source{newSource(Weighted{Name: "q"})}}
	keys := []string{"asynq:{q}:pending", "asynq:{q}:paused", "asynq:{q}:active", "asynq:{q}:lease"}
	return c, func() (string, error) {
		return c.dequeue(context.Background(), keys, []any{time.Now().Add(30 * time.Second).Unix(), "asynq:{q}:t:"}).Text()
	}
}

func TestAPauseGivesBackWhatWasClaimedAndNotStarted(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	produce(t, NewProducer(rdb), "q", ids(0, 8)...)
	c, next := bare(rdb, 5)
	if _, err := next(); err != nil {
		t.Fatal(err)
	}
	if a := length(t, rdb, "active"); a != 5 {
		t.Fatalf("%d claimed", a)
	}
	if err := c.pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, p := length(t, rdb, "active"), length(t, rdb, "pending"); a != 1 || p != 7 {
		t.Errorf("%d claimed, %d waiting", a, p)
	}
	want := []Presence{Claimed, Waiting, Waiting, Missing}
	if got, err := NewProducer(rdb).Find(t.Context(), "q", "t0", "t1", "t7", "t9"); !slices.Equal(got, want) || err != nil {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if n := rdb.ZCard(t.Context(), "asynq:{q}:lease").Val(); n != 1 {
		t.Errorf("%d leases", n)
	}
	if _, err := next(); err != redis.Nil {
		t.Errorf("a paused claimer says %v", err)
	}
	c.resume()
	if _, err := next(); err != nil {
		t.Errorf("a resumed claimer says %v", err)
	}
}

func TestNothingIsClaimedWhenHandlersStillRunWhoseSlotAsynqGaveAway(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	produce(t, NewProducer(rdb), "q", ids(0, 8)...)
	c, next := bare(rdb, 2)
	for range 2 {
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan error)
	go func() { _, err := next(); got <- err }()
	c.returned(time.Hour)
	if err := <-got; err != nil {
		t.Errorf("a free slot is not used: %v", err)
	}
	if a := length(t, rdb, "active"); a != 3 {
		t.Errorf("%d claimed", a)
	}
}

// slowClaim holds claims back until it is told to let them go.
type slowClaim struct {
	redis.UniversalClient
	claiming, let chan struct{}
}

func (s *slowClaim) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := s.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if sha == claimScript.Hash() {
		s.claiming <- struct{}{}
		<-s.let
	}
	return cmd
}

func TestAPauseWaitsForTheClaimThatIsOnItsWay(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	if err := claimScript.Load(t.Context(), rdb).Err(); err != nil {
		t.Fatal(err)
	}
	produce(t, NewProducer(rdb), "q", ids(0, 3)...)
	c, next := bare(rdb, 3)
	slow := &slowClaim{rdb, make(chan struct{}), make(chan struct{})}
	c.rdb = slow
	var claim sync.WaitGroup
	given := 0 // what asynq was given all the same: the worker passes that on
	claim.Go(func() {
		if _, err := next(); err == nil {
			given = 1
		}
	})
	<-slow.claiming
	paused := make(chan error, 1)
	go func() { paused <- c.pause(context.Background()) }()
	select {
	case <-paused:
		t.Error("the pause did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(slow.let)
	if err := <-paused; err != nil {
		t.Error(err)
	}
	claim.Wait()
	if a, p := length(t, rdb, "active"), length(t, rdb, "pending"); a != given || p != 3-given {
		t.Errorf("%d claimed, %d waiting", a, p)
	}
}

func TestAPausedConsumerStartsNothingUntilItIsResumed(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	var h handled
	ctxErr := make(chan error, 1)
	began, hold := make(chan struct{}), make(chan struct{})
	c := consume(t, rdb, 2, func(ctx context.Context, id string) {
		if id == "first" {
			close(began)
			<-hold
			ctxErr <- ctx.Err()
		}
		h.add(id)
	})
	produce(t, p, "q", "first")
	<-began
	if err := c.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	produce(t, p, "q", ids(0, 10)...)
	close(hold)
	if err := <-ctxErr; err != nil {
		t.Errorf("the handler's context ended by the pause: %v", err)
	}
	eventually(t, "the first is done", func() bool { return length(t, rdb, "active") == 0 })
	if h.count() != 1 || length(t, rdb, "pending") != 10 {
		t.Errorf("%d ran, %d wait", h.count(), length(t, rdb, "pending"))
	}
	start := time.Now()
	c.Resume()
	eventually(t, "all have run", func() bool { return h.count() == 11 })
	t.Logf("resumed after %v", time.Since(start))
}

func TestAStoppedConsumerLeavesNothingBehind(t *testing.T) {
	server := redistest.New(t)
	rdb := server.Client()
	before := goleak.IgnoreCurrent()
	for range 3 {
		c := NewConsumer(rdb, ConsumerOptions{Queues: []Weighted{{Name: "q"}, {Name: "r"}}, Concurrency: 4, Handle: func(context.Context, string) {}, Log: slog.New(slog.DiscardHandler)})
		if err := c.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		produce(t, NewProducer(rdb), "q", ids(0, 10)...)
		start := time.Now()
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("stopped after %v", took)
		}
	}
	if a := length(t, rdb, "active"); a != 0 {
		t.Errorf("%d are still claimed", a)
	}
	_ = rdb.Close()
	goleak.VerifyNone(t, before)
}

func TestATaskWhoseHashIsGoneIsDropped(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	if err := rdb.LPush(t.Context(), "asynq:{q}:pending", "ghost", "ghost2").Err(); err != nil {
		t.Fatal(err)
	}
	var h handled
	produce(t, NewProducer(rdb), "q", "a")
	consume(t, rdb, 1, func(_ context.Context, id string) { h.add(id) })
	took := eventually(t, "the real one has run", func() bool { return h.times("a") == 1 && length(t, rdb, "active") == 0 })
	if took > idleWait/2 {
		t.Errorf("after %v: each ghost costs an idle wait", took)
	}
	if h.count() != 1 || rdb.Exists(t.Context(), "asynq:{q}:t:ghost").Val() != 0 {
		t.Error("the ghost lives")
	}
}

func TestACompletionOutlivesRedisBeingAway(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, redistest.FsyncAlways())
	rdb := server.Client()
	began, hold := make(chan struct{}), make(chan struct{})
	var h handled
	consume(t, rdb, 1, func(_ context.Context, id string) { h.add(id); close(began); <-hold })
	produce(t, NewProducer(rdb), "q", "a")
	<-began
	server.Kill()
	close(hold)
	server.Restart()
	eventually(t, "it is completed", func() bool {
		return rdb.LLen(t.Context(), "asynq:{q}:active").Val() == 0 && rdb.Exists(t.Context(), "asynq:{q}:t:a").Val() == 0 && rdb.Ping(t.Context()).Err() == nil
	})
	if h.times("a") != 1 {
		t.Errorf("it ran %d times", h.times("a"))
	}
}

func TestARedisThatIsKilledUnderLoadLosesNoTask(t *testing.T) {
	t.Parallel()
	server := redistest.New(t, redistest.FsyncAlways()) // with everysec a busy disk may keep what it has confirmed from the file
	rdb := server.Client()
	p := NewProducer(rdb)
	var h handled
	consume(t, rdb, 8, func(_ context.Context, id string) { h.add(id) })
	const all = 3000
	var sent atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for i := 0; i < all; i += 10 {
			for p.Enqueue(context.Background(), "q", ids(i, i+10)...) != nil { // not acknowledged: again
				<-again.C
			}
			sent.Add(10)
		}
	}()
	for _, at := range []int64{300, 1500} {
		eventually(t, "the load runs", func() bool { return sent.Load() >= at })
		server.Kill()
		server.Restart()
	}
	<-done
	// A claim whose reply was lost with the server stays claimed by nobody; the scheduler sees that its step was never begun.
	var lost []string
	eventually(t, "all have run or are known to be claimed", func() bool {
		lost = nil
		for _, id := range ids(0, all) {
			if h.times(id) > 0 {
				continue
			}
			if where, err := p.Find(t.Context(), "q", id); err != nil || where[0] != Claimed {
				lost = append(lost, id)
			}
		}
		return len(lost) == 0
	})
	t.Logf("%d of %d ran, the rest is claimed", h.count(), all)
	if h.count() < all-2*2*8 { // a claim is of the free slots, and of as many ahead
		t.Errorf("only %d of %d ran", h.count(), all)
	}
}

// A handler that has returned leaves its goroutine to the next one; all of them end with the consumer.
func TestHandsAreUsedAgainAndAPanicIsTheCallers(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	h := &hands{free: make(chan func()), end: ctx, all: &all}
	for range 3 {
		func() {
			defer func() {
				if got := recover(); got != "broken" {
					t.Errorf("the caller sees %v", got)
				}
			}()
			h.run(func() { panic("broken") })
		}()
	}
	ran := make(chan struct{}, 20)
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() { h.run(func() { ran <- struct{}{} }) })
	}
	callers.Wait()
	if len(ran) != 20 {
		t.Errorf("%d ran", len(ran))
	}
	end()
	all.Wait()
}
