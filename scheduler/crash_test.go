package scheduler

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
)

// mortal lets a client make so many calls. The one after them is carried out and its answer is lost; then nothing is sent any
// more: to Redis and to others it looks as if the process had been killed.
type mortal struct{ left atomic.Int64 }

var errKilled = errors.New("killed")

func (m *mortal) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (m *mortal) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return m.call(cmd.SetErr, func() error { return next(ctx, cmd) })
	}
}

func (m *mortal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		return m.call(cmds[0].SetErr, func() error { return next(ctx, cmds) })
	}
}

func (m *mortal) call(fail func(error), do func() error) error {
	left := m.left.Add(-1)
	if left < -1 {
		fail(errKilled)
		return errKilled
	}
	err := do()
	if left == -1 {
		fail(errKilled)
		return errKilled
	}
	return err
}

// A scheduler is killed after each of the calls that it makes for a tick; the next one finds what it left, and nothing is lost
// or done twice.
func TestASchedulerMayDieAfterAnyCall(t *testing.T) {
	t.Parallel()
	const calls = 16
	var whole atomic.Bool // the last of them outlives its turn: there were calls enough
	t.Run("after", func(t *testing.T) {
		for n := range calls {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				t.Parallel()
				r := newRoom(t)
				r.put(each("s", "1s", func(s *wire.Schedule) { s.Overlap = wire.OverlapSkip }))
				enginetest.Eventually(t, "a tick is due", func() bool {
					look, err := r.st.LookSchedules(t.Context())
					return err == nil && len(look.Due) == 1
				})
				rdb := redis.NewClient(r.server.Options())
				defer rdb.Close()
				if err := rdb.Ping(t.Context()).Err(); err != nil { // connecting is not counted
					t.Fatal(err)
				}
				m := &mortal{}
				m.left.Store(int64(n))
				rdb.AddHook(m)
				dying := New(rdb, store.New(rdb), Options{Log: r.log.Logger()})
				if _, err := dying.tick(t.Context()); err == nil && n == calls-1 {
					whole.Store(true)
				}
				begin := time.Now()
				r.scheduler(Options{})
				enginetest.Eventually(t, "others go on", func() bool {
					h := r.history("s")
					look, err := r.st.LookSchedules(t.Context())
					return err == nil && len(look.Pending) == 0 && len(h) > 0 && h[0].DueAt.After(begin)
				})
				// The first tick fired once, those after it were skipped while its job ran; one job, and one task of it.
				fired := 0
				for _, tick := range r.history("s") {
					if tick.Outcome == wire.TickFired {
						fired++
					}
				}
				took := enginetest.Eventually(t, "its planning is on the queue", func() bool { return len(r.waiting()) > 0 })
				if took > time.Second {
					t.Logf("the sweep found the planning after %v", time.Since(begin))
				}
				if jobs := r.jobs(); fired != 1 || len(jobs) != 1 || len(r.waiting()) != 1 {
					t.Errorf("%d fired, jobs %v, tasks %v", fired, jobs, r.waiting())
				}
			})
		}
	})
	if !whole.Load() {
		t.Errorf("a tick takes more than %d calls: add some", calls)
	}
}
