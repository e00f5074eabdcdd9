package store

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// now is Redis' clock, ms.
func (b *bench) now() int64 {
	b.t.Helper()
	t, err := b.rdb.Time(b.ctx()).Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return t.UnixMilli()
}

// Redis' own clock cannot be set by a test: what a later clock has written is put there instead.

func TestAStepThatWaitsNeedNotWaitForAClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1")
	r := b.take("0/1")
	b.must(b.GiveBack(b.ctx(), r, b.lease(r, "w"), "w", tasks.Counters{}, time.Hour, "patience"))
	const ahead = 48 * 3_600_000
	entry, at := "0/1|2", b.now()
	b.rdb.HSet(b.ctx(), jobKey(b.job.ID), "clock", at+ahead)
	b.rdb.ZAdd(b.ctx(), laterKey(b.job.ID), redis.Z{Score: float64(at + ahead + 3_600_000), Member: entry})
	b.sweep("w")
	if got := int64(b.rdb.ZScore(b.ctx(), laterKey(b.job.ID), entry).Val()) - at; got < 3_600_000 || got > 3_700_000 {
		t.Errorf("the step waits for %d ms more, and not for an hour", got)
	}
	b.sweep("w") // once is enough
	if got := int64(b.rdb.ZScore(b.ctx(), laterKey(b.job.ID), entry).Val()) - at; got < 3_600_000 {
		t.Errorf("then the step waits for %d ms more", got)
	}
}

func TestAStepThatIsReadyWaitsForNoClock(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Window = 1 }, "1", "2")
	r := b.take("0/1")
	attempt := b.lease(r, "w")
	b.control(Pause)
	b.must(b.GiveBack(b.ctx(), r, attempt, "w", tasks.Counters{}, 0, "paused"))
	if got := b.rdb.ZScore(b.ctx(), laterKey(b.job.ID), "0/1|2").Val(); got != 0 {
		t.Errorf("a step that is given back is ready at %v", got)
	}
}

func TestWhatWasHandedOutByAClockThatWasSetBackIsLookedAfter(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	one, two := b.take("0/1"), b.take("0/2")
	attempt := b.lease(one, "gone")
	later := strconv.FormatInt(b.now()+3_600_000, 10)
	b.rdb.HSet(b.ctx(), outKey(b.job.ID), "0/1", "1|"+attempt+"|gone|"+later, "0/2", "1|||"+later)
	if s := b.sweep(); s.Lost["0/1"] != "gone" {
		t.Errorf("lost are %v", s.Lost)
	}
	eventually(t, "the step that nobody began is found", func() bool {
		v, err := b.Sweep(b.ctx(), b.job.ID, Look{Unbegun: 50 * time.Millisecond})
		return err == nil && slices.Contains(v.Unbegun, two)
	})
}

func TestAWorkerDoesNotLiveUntilAClockThatWasSetBackHasCaughtUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.rdb.ZAdd(b.ctx(), beatsKey, redis.Z{Score: float64(b.now() + 3_600_000), Member: "gone"})
	if f, err := b.Living(b.ctx(), 20*time.Millisecond); err != nil || len(f.Alive) != 1 {
		t.Fatalf("%+v, %v", f, err) // it gets its time
	}
	eventually(t, "the worker is lost", func() bool {
		f, err := b.Living(b.ctx(), 20*time.Millisecond)
		return err == nil && len(f.Alive) == 0
	})
}

func TestTheRightToSweepIsNotHeldUntilAClockThatWasSetBackHasCaughtUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.rdb.Set(b.ctx(), sweeperKey(tasks.Protocol), "gone", time.Hour)
	eventually(t, "somebody else sweeps", func() bool {
		ok, err := b.HoldSweep(b.ctx(), "next", 20*time.Millisecond)
		return err == nil && ok
	})
}

func TestARateIsNotUsedUpUntilAClockThatWasSetBackHasCaughtUp(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.rdb.Set(b.ctx(), tenantRateKey("acme"), (b.now()+3_600_000)*1000, time.Hour)
	if us, err := b.Take(b.ctx(), "acme", "j", 10); err != nil || us != 0 {
		t.Errorf("the next step may run in %v, %v", us, err)
	}
	keys := tenantRateKeys("acme")
	for _, key := range keys[1:] {
		b.rdb.ZAdd(b.ctx(), key, redis.Z{Member: "gone", Score: float64((b.now() + 3_600_000) * 1000)})
	}
	b.rdb.Del(b.ctx(), keys[0])
	if us, err := b.Take(b.ctx(), "acme", "j", 1); err != nil || us != 0 {
		t.Errorf("one that was in line before is waited for: the next step may run in %v, %v", us, err)
	}
}

func TestAMessageThatWaitsNeedNotWaitForAClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const id = "msg_1"
	row := []string{webhookRowPrefix + id, webhookDueKey("hook"), webhookListKey("hook"), webhookStatsKey("hook")}
	if err := webhookAdd.Run(b.ctx(), b.rdb, row, id, 10, 3_600_000, webhookRowPrefix, "webhook", "hook").Err(); err != nil {
		t.Fatal(err)
	}
	ahead := b.now() + 3_600_000
	b.rdb.HSet(b.ctx(), webhookStatsKey("hook"), "clock", ahead)
	b.rdb.ZAdd(b.ctx(), webhookDueKey("hook"), redis.Z{Score: float64(ahead), Member: id})
	c, err := b.ClaimDeliveries(b.ctx(), "hook", 10, time.Minute)
	if err != nil || len(c.Outgoing) != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}
