package worker

import (
	"context"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
)

// A replica that is promoted, a power cut between two fsyncs: Redis comes back as it was a moment ago, and says that a living
// worker holds steps which that worker has ended.
func TestAJobEndsAlthoughRedisHasForgottenTheLastMoments(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0).apart()
	g := newGate()
	f.family.Do = g.wait
	f.worker("a")
	f.submit(enginetest.Job("j", 3))
	g.arrive(t, 3)
	ctx := context.Background()
	before := map[string]string{}
	for _, key := range f.rdb.Keys(ctx, "*").Val() {
		before[key] = f.rdb.Dump(ctx, key).Val()
	}
	close(g.open)
	f.ends("j", 3)
	if err := f.rdb.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	for key, value := range before {
		if err := f.rdb.RestoreReplace(ctx, key, 0, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	f.ends("j", 3)
}

func TestADrainOutlivesTheLossOfRedis(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	w := f.worker("a")
	if err := f.st.Want(t.Context(), "a", true, "ada"); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "it is drained", func() bool { return w.State() == wire.WorkerDrained })
	if err := f.rdb.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "redis knows again that it drains", func() bool {
		list, err := f.st.Workers(t.Context(), time.Minute)
		return err == nil && len(list) == 1 && list[0].Wanted == wire.WantDrain
	})
	if w.State() != wire.WorkerDrained {
		t.Errorf("the worker is %s", w.State())
	}
	if err := f.st.Want(t.Context(), "a", false, "ada"); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "it is active", func() bool { return w.State() == wire.WorkerActive })
}
