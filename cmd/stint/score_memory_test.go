package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/cmd/internal/rig"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
)

// What a job takes in Redis, and what a worker takes of memory, does not grow with the table.
func TestScoreMemory(t *testing.T) {
	if !*long {
		t.Skip("ten million rows: with -long only")
	}
	src := rig.Plain(t, size(rows, 0, 10_000_000))
	target := pgtest.New(t)
	server := redistest.New(t)
	r := rig.New(t, server, rig.Connection{Name: "legacy", URL: src.URL()}, rig.Connection{Name: "cloud", URL: target})
	r.Start("scheduler")
	w := r.Worker("--concurrency", "4")
	r.Ready(w)
	start := time.Now()
	job := r.Submit("legacy", "cloud", "--chunk-rows", "2000")
	var most, memory int64
	steps := 0
	for ended := false; !ended; {
		r.Until(time.Hour, "a moment passes", tickOf(250*time.Millisecond))
		v := r.View(job)
		if v == nil {
			t.Fatal("the job is gone")
		}
		ended = v.State.Ended()
		steps = int(v.Counters.StepsKnown)
		most = max(most, keysOf(t, server.Client(), job))
		memory = max(memory, w.PeakMemory())
	}
	took := time.Since(start)
	r.Ended(job, time.Second)
	const batch = 4 << 20 // of each of the four attempts, read ahead by one
	score(t, "memory: %d rows in %d steps and %v: at most %d bytes of the job in Redis, at most %.1f MiB of the worker (VmHWM)", src.Rows, steps,
		took.Round(time.Second), most, float64(memory)/(1<<20))
	if most >= 1<<20 {
		t.Errorf("the job took %d bytes in Redis, want less than 1 MiB", most)
	}
	if limit := int64(64<<20 + 4*2*batch); memory > limit {
		t.Errorf("the worker took %d bytes, want at most %d", memory, limit)
	}
	if v, err := rig.Count(t.Context(), target, "item"); err != nil || v != src.Rows {
		t.Errorf("the target has %d rows, want %d (%v)", v, src.Rows, err)
	}
}

// tickOf is a condition that holds after a while.
func tickOf(d time.Duration) func(context.Context) (bool, error) {
	due := time.Now().Add(d)
	return func(context.Context) (bool, error) { return time.Now().After(due), nil }
}

// keysOf adds up the memory of all keys of a job and of the queue.
func keysOf(t *testing.T, c *redis.Client, job string) (sum int64) {
	t.Helper()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if !strings.Contains(k, job) && !strings.HasPrefix(k, "asynq:") {
			continue
		}
		n, err := c.MemoryUsage(t.Context(), k, 0).Result()
		if err == nil { // else it is gone by now
			sum += n
		}
	}
	return sum
}
