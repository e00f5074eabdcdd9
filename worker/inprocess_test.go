package worker

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
)

// The queue within the process is not a whole Redis: what the sweep needs of one has to be there all the same.
func TestTheQueueWithinTheProcessIsSwept(t *testing.T) {
	t.Parallel()
	log := &enginetest.Log{}
	server, err := localredis.Start(t.Context(), localredis.Options{Dir: t.TempDir(), Mode: localredis.InProcess, Log: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	rdb := redis.NewClient(server.Options())
	t.Cleanup(func() { _ = rdb.Close() })
	st := store.New(rdb)
	family := &enginetest.Family{Effects: rdb}
	// A worker that took the planning and is gone, and nobody queued anything.
	h, _, err := st.Create(t.Context(), enginetest.Job("j", 5))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := st.Begin(t.Context(), h.Enqueue[0], "attempt", "gone", ""); err != nil || b.Code != store.Begun {
		t.Fatal(b, err)
	}
	s := scheduler.New(rdb, st, scheduler.Options{LostAfter: 500 * time.Millisecond, Log: log.Logger()})
	s.Start()
	t.Cleanup(s.Stop)
	w := New(rdb, st, Options{ID: "w", Heartbeat: 100 * time.Millisecond, Families: []tasks.Family{family}, Log: log.Logger()})
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = w.Stop(context.Background()) })
	enginetest.WaitState(t, st, "j", tasks.Succeeded)
	family.CheckEffects(t, "j", 5)
	w.Drain() // of a job that is over: nobody is told
	acc, err := st.Account(t.Context(), "j")
	if err != nil {
		t.Fatal(err)
	}
	if len(acc.Losses) != 1 || acc.Losses[0].Worker != "gone" || acc.Losses[0].Again != 1 || len(acc.Gaps) != 0 || len(acc.Drains) != 0 {
		t.Errorf("%+v", acc)
	}
	if n := log.Count("sweep failed"); n != 0 {
		t.Errorf("the sweep failed:\n%s", log)
	}
}
