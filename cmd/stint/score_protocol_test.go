package main

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// Two builds on one Redis, the newer one of the next protocol, as during a deployment that raises it.
type twoBuilds struct {
	t        *testing.T
	old, new *rig.Rig
	rdb      *redis.Client
	src      rig.Source
	targets  map[string]string
}

func newTwoBuilds(t *testing.T, rows int, targets ...string) *twoBuilds {
	t.Helper()
	b := &twoBuilds{t: t, src: rig.Plain(t, rows), targets: map[string]string{}}
	connections := []rig.Connection{{Name: "legacy", URL: b.src.URL()}}
	for _, name := range targets {
		b.targets[name] = "sqlite:" + t.TempDir() + "/" + name + ".db"
		connections = append(connections, rig.Connection{Name: name, URL: b.targets[name]})
	}
	server := redistest.New(t)
	b.rdb = server.Client()
	b.old = rig.New(t, server, connections...)
	b.new = b.old.As(rig.BuildNext(t))
	return b
}

// queued counts the tasks on the queue of a protocol that nobody has claimed.
func (b *twoBuilds) queued(protocol int) int64 {
	b.t.Helper()
	n, err := b.rdb.LLen(b.t.Context(), fmt.Sprintf("asynq:{default.p%d}:pending", protocol)).Result()
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// loseQueue deletes all that the queue keeps, as the loss of it would.
func (b *twoBuilds) loseQueue() {
	b.t.Helper()
	keys, err := b.rdb.Keys(b.t.Context(), "asynq:*").Result()
	if err == nil && len(keys) > 0 {
		err = b.rdb.Del(b.t.Context(), keys...).Err()
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// ends waits for a job and compares its target with the source.
func (b *twoBuilds) ends(job, target string) *wire.Job {
	b.t.Helper()
	v := b.old.Ended(job, 3*time.Minute)
	if v.Counters.Read < b.src.Rows || v.Counters.Written != b.src.Rows {
		b.t.Errorf("job %s has read %d and written %d rows of %d into %s", job, v.Counters.Read, v.Counters.Written, b.src.Rows, target)
	}
	return v
}

// claimedBy reports whether a worker holds a step of a job just now.
func claimedBy(v *wire.Job, worker string) bool {
	return v != nil && slices.Contains(v.Workers, worker)
}

// A deployment that raises the protocol: what was begun before it ends after it, and what the new build submits waits for it.
func TestScoreProtocolIsRaised(t *testing.T) {
	t.Parallel()
	b := newTwoBuilds(t, size(rows, 100_000, 1_000_000), "first", "second")
	b.old.Start("scheduler")
	v1 := b.old.Worker()
	b.old.Ready(v1)

	first := b.old.Submit("legacy", "first", "--chunk-rows", fmt.Sprint(b.src.Rows/200))
	b.old.Until(time.Minute, "the job is under way", func(context.Context) (bool, error) { return b.old.Read(first) > 0, nil })
	v2 := b.new.Worker()
	b.new.Ready(v2)
	b.old.Until(time.Minute, "the new worker carries the old job on", func(context.Context) (bool, error) {
		v := b.old.View(first)
		if v != nil && v.State.Ended() {
			t.Fatal("the job has ended before the new worker took part: give it more rows")
		}
		return claimedBy(v, v2.ID), nil
	})
	mixed := b.old.View(first).Counters.StepsDone
	if err := v1.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := v1.Wait(time.Minute); code != 0 {
		t.Fatalf("the old worker ended with %d\n%s", code, v1.Log())
	}
	v := b.ends(first, "first")
	if v.Protocol != tasks.Protocol {
		t.Errorf("it was begun under protocol %d, want %d", v.Protocol, tasks.Protocol)
	}
	score(t, "a job begun under protocol %d ended on a worker of protocol %d, which took part from step %d of %d on", v.Protocol, tasks.Protocol+1, mixed, v.Counters.StepsDone)

	// Rolled back by half: only the old worker lives, and somebody submits with the new program.
	if code := stopped(t, v2); code != 0 {
		t.Fatalf("the new worker ended with %d\n%s", code, v2.Log())
	}
	v1 = b.old.Worker()
	b.old.Ready(v1)
	second := b.new.Submit("legacy", "second")
	submitted := time.Now()
	// Longer than it takes a sweep to look for steps that nobody begins.
	b.old.Until(time.Minute, "the old worker and the old scheduler have had time to touch the job", func(context.Context) (bool, error) {
		v := b.old.View(second)
		if v == nil || v.State != tasks.Accepted || claimedBy(v, v1.ID) || len(v.Out) != 1 || v.Protocol != tasks.Protocol+1 || b.queued(tasks.Protocol+1) != 1 {
			t.Fatalf("job of protocol %d: %+v; %d on its queue", tasks.Protocol+1, v, b.queued(tasks.Protocol+1))
		}
		return time.Since(submitted) > 5*time.Second, nil
	})
	came := time.Now()
	v2 = b.new.Worker()
	b.ends(second, "second")
	score(t, "a job of protocol %d waited for %v while only a worker of protocol %d lived, and ended %v after one of its own came", tasks.Protocol+1,
		came.Sub(submitted).Round(time.Millisecond), tasks.Protocol, time.Since(came).Round(time.Millisecond))
}

func stopped(t *testing.T, p *rig.Process) int {
	t.Helper()
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return p.Wait(time.Minute)
}

// The queue is lost while nobody works: the old scheduler mends what it can read and leaves the rest alone; the new one mends both.
func TestScoreSchedulersOfTwoProtocols(t *testing.T) {
	t.Parallel()
	b := newTwoBuilds(t, 10_000, "first", "second")
	first, second := b.old.Submit("legacy", "first"), b.new.Submit("legacy", "second")
	if b.queued(tasks.Protocol) != 1 || b.queued(tasks.Protocol+1) != 1 {
		t.Fatalf("on the queues: %d and %d", b.queued(tasks.Protocol), b.queued(tasks.Protocol+1))
	}
	b.loseQueue()
	s1 := b.old.Start("scheduler")
	for range 2 { // the second time it has looked at the other job for sure
		b.old.Until(time.Minute, "the old scheduler queues the old job again", func(context.Context) (bool, error) { return b.queued(tasks.Protocol) == 1, nil })
		if n := b.queued(tasks.Protocol + 1); n != 0 {
			t.Fatalf("the old scheduler has queued %d steps of a job that it cannot read", n)
		}
		b.loseQueue()
	}
	if code := stopped(t, s1); code != 0 {
		t.Fatalf("the old scheduler ended with %d\n%s", code, s1.Log())
	}
	b.new.Start("scheduler")
	b.new.Until(time.Minute, "the new scheduler queues both again", func(context.Context) (bool, error) {
		return b.queued(tasks.Protocol) == 1 && b.queued(tasks.Protocol+1) == 1, nil
	})
	b.old.Ready(b.old.Worker())
	b.ends(first, "first")
	if v := b.old.View(second); v == nil || v.State != tasks.Accepted {
		t.Errorf("the old worker has touched the new job: %+v", v)
	}
	b.new.Worker()
	b.ends(second, "second")
}
