package worker

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
)

// crossing is a hook that keeps the replies which only a cluster gives, when a command or a script touches keys of more than
// one slot.
type crossing struct {
	mu   sync.Mutex
	seen []string
}

func (c *crossing) note(cmds ...redis.Cmder) {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil && (strings.Contains(err.Error(), "CROSSSLOT") || strings.Contains(err.Error(), "non local key")) {
			c.mu.Lock()
			c.seen = append(c.seen, fmt.Sprintf("%v: %v", cmd.Args(), err))
			c.mu.Unlock()
		}
	}
}

func (c *crossing) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (c *crossing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		c.note(cmd)
		return err
	}
}

func (c *crossing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		c.note(cmds...)
		return err
	}
}

// engineOn starts a scheduler and two workers, each with a client of its own, and returns a store and a client to ask with.
func engineOn(t *testing.T, family *enginetest.Family, client func() redis.UniversalClient) (*store.Store, redis.UniversalClient) {
	t.Helper()
	log := &enginetest.Log{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	open := func() redis.UniversalClient {
		c := client()
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	rdb := open()
	s := scheduler.New(rdb, store.New(rdb), scheduler.Options{Log: log.Logger()})
	s.Start()
	t.Cleanup(s.Stop)
	for _, id := range []string{"a", "b"} {
		own := open()
		w := New(own, store.New(own), Options{ID: id, Concurrency: 4, Families: []tasks.Family{family}, Log: log.Logger()})
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if _, err := w.Stop(ctx); err != nil {
				t.Errorf("stop %s: %v", id, err)
			}
		})
	}
	return store.New(rdb), rdb
}

func TestOnAClusterEachEffectHappensOnceAndNoScriptTouchesTwoSlots(t *testing.T) {
	t.Parallel()
	cluster := redistest.NewCluster(t, 3)
	family := &enginetest.Family{Effects: redistest.Client(t)}
	crossed := &crossing{}
	st, rdb := engineOn(t, family, func() redis.UniversalClient {
		c := redis.NewClusterClient(cluster.Options())
		c.AddHook(crossed)
		return c
	})
	const jobs, steps = 20, 50
	for i := range jobs {
		enginetest.Submit(t, rdb, st, enginetest.Job(fmt.Sprint("job", i), steps/2, steps/2))
	}
	for i := range jobs {
		enginetest.WaitState(t, st, fmt.Sprint("job", i), tasks.Succeeded)
		family.CheckEffects(t, fmt.Sprint("job", i), steps/2, steps/2)
	}
	about := enginetest.Job("about", 1)
	about.Spec = []byte(`{"stages":[1],"job":"job0"}`)
	enginetest.Submit(t, rdb, st, about)
	enginetest.WaitState(t, st, "about", tasks.Succeeded)
	for i := range jobs {
		acc, err := st.Account(t.Context(), fmt.Sprint("job", i))
		if err != nil {
			t.Fatal(err)
		}
		var done int64
		for _, w := range acc.Workers {
			done += w.Done
		}
		if done != steps || len(acc.Gaps) != 0 || (len(acc.About) == 1) != (i == 0) {
			t.Errorf("job%d: %d steps by worker, gaps %v, about it %v", i, done, acc.Gaps, acc.About)
		}
	}
	if err := st.NoteDrain(t.Context(), "job0", store.DrainNote{Worker: "a", ID: "d", State: wire.DrainAsked, Why: wire.DrainByRequest}); err != nil {
		t.Error(err)
	}
	for i, n := range cluster.Nodes {
		if size := n.Client().DBSize(t.Context()).Val(); size == 0 {
			t.Errorf("node %d has no keys: the jobs are not spread", i)
		}
	}
	workers, err := st.Workers(t.Context(), 3*time.Second)
	if err != nil || len(workers) != 2 {
		t.Errorf("the fleet is %v, %v", workers, err)
	}
	crossed.mu.Lock()
	if len(crossed.seen) > 0 {
		t.Errorf("%d replies say that keys are on several nodes; the first: %s", len(crossed.seen), crossed.seen[0])
	}
	seen := len(crossed.seen)
	crossed.mu.Unlock()
	if rdb.MSet(t.Context(), "a", 1, "b", 2); len(crossed.seen) != seen+1 {
		t.Error("a command that touches two slots is not noticed")
	}
}

func TestWhenSentinelsReplaceAKilledMasterTheJobsGoOnAndEnd(t *testing.T) {
	t.Parallel()
	redises := redistest.NewSentinel(t)
	family := &enginetest.Family{Effects: redistest.Client(t)}
	begun := make(chan struct{}, 10_000)
	family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		begun <- struct{}{}
		select {
		case <-time.After(10 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	st, rdb := engineOn(t, family, func() redis.UniversalClient { return redis.NewFailoverClient(redises.Options()) })
	const jobs, steps = 6, 100
	for i := range jobs {
		enginetest.Submit(t, rdb, st, enginetest.Job(fmt.Sprint("job", i), steps))
	}
	for range jobs * steps / 6 {
		<-begun
	}
	killed := time.Now()
	redises.KillMaster()
	t.Logf("another master after %v", time.Since(killed))
	for i := range jobs {
		enginetest.WaitState(t, st, fmt.Sprint("job", i), tasks.Succeeded)
	}
	t.Logf("all jobs ended after %v", time.Since(killed))
	// The master took its last moments with it: what it had not passed on is done again.
	again := 0
	for i := range jobs {
		for s := range steps {
			n, err := family.Effects.Get(t.Context(), fmt.Sprintf("effect:job%d:s0/%d", i, s)).Int()
			if err != nil || n < 1 {
				t.Errorf("step %d of job %d happened %d times, %v", s, i, n, err)
			}
			again += n - 1
		}
	}
	t.Logf("%d steps ran again", again)
}
