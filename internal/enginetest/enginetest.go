// Package enginetest is what the tests of worker and scheduler share: a family whose effects can be counted, a fleet of
// stores, schedulers and workers on one Redis, and a log that can be asked.
package enginetest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

// Family makes steps whose effect is one INCR each, on a Redis that may be another than the engine's, so that an effect
// that happened twice is seen.
type Family struct {
	Effects *redis.Client
	Prefix  string // of the effect keys; "" is fine for a Redis of its own
	// Do is what a step does before its effect; nil does nothing.
	Do func(ctx context.Context, a *tasks.Attempt) error
}

// Spec says how many steps a job of the family has, in each of its stages.
type Spec struct {
	Stages []int  `json:"stages"`
	Word   string `json:"word,omitempty"` // what steps may look at
}

// Kind is "test".
func (f *Family) Kind() string { return "test" }

// Plan makes stages that wait for one another, s0, s1, ...
func (f *Family) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	var spec Spec
	if err := json.Unmarshal(job.Spec, &spec); err != nil {
		return nil, tasks.Permanent(err)
	}
	var list []tasks.Stage
	for i, n := range spec.Stages {
		st := tasks.Stage{Name: fmt.Sprint("s", i), Detail: json.RawMessage(strconv.Itoa(n))}
		if i > 0 {
			st.After = []string{fmt.Sprint("s", i-1)}
		}
		list = append(list, st)
	}
	return list, nil
}

// Split lists the steps of a stage.
func (f *Family) Split(_ context.Context, _ tasks.Job, st tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	n, err := strconv.Atoi(string(st.Detail))
	if err != nil {
		return nil, nil, tasks.Permanent(err)
	}
	from, _ := strconv.Atoi(string(after))
	to := min(from+limit, n)
	var list []tasks.Step
	for i := from; i < to; i++ {
		list = append(list, tasks.Step{ID: strconv.Itoa(i)})
	}
	if to == n {
		return list, nil, nil
	}
	return list, tasks.Cursor(strconv.Itoa(to)), nil
}

// Run does what Do says, then has its effect.
func (f *Family) Run(ctx context.Context, a *tasks.Attempt) error {
	if f.Do != nil {
		if err := f.Do(ctx, a); err != nil {
			return err
		}
	}
	if err := f.Effects.Incr(ctx, f.Prefix+"effect:"+a.Job.ID+":"+a.Stage.Name+"/"+a.Step.ID).Err(); err != nil {
		return err
	}
	a.Count(tasks.Counters{Read: 10, Written: 10})
	return nil
}

// CheckEffects fails the test unless each step of the job has had its effect exactly once.
func (f *Family) CheckEffects(t testing.TB, job string, stages ...int) {
	t.Helper()
	for s, n := range stages {
		for i := range n {
			key := fmt.Sprintf("%seffect:%s:s%d/%d", f.Prefix, job, s, i)
			if got, err := f.Effects.Get(context.Background(), key).Int(); err != nil || got != 1 {
				t.Errorf("%s happened %d times, %v", key, got, err)
			}
		}
	}
}

// Job makes a job of the family.
func Job(id string, stages ...int) tasks.Job {
	spec, _ := json.Marshal(Spec{Stages: stages})
	return tasks.Job{ID: id, Kind: "test", Spec: spec, Window: 8}
}

// Submit creates a job and queues its planning.
func Submit(t testing.TB, rdb redis.UniversalClient, st *store.Store, job tasks.Job) {
	t.Helper()
	h, _, err := st.Create(context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	Enqueue(t, rdb, h)
}

// Enqueue puts on the queue what the store handed out.
func Enqueue(t testing.TB, rdb redis.UniversalClient, h store.Handout) {
	t.Helper()
	for _, r := range h.Enqueue {
		if err := queue.NewProducer(rdb).Enqueue(context.Background(), h.Queue, r.TaskID()); err != nil {
			t.Fatal(err)
		}
	}
}

// Patience bounds each wait of these tests.
const Patience = 40 * time.Second

// Eventually repeats a check until it holds, and fails the test when it never does.
func Eventually(t testing.TB, what string, check func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(3 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		if check() {
			return time.Since(start)
		}
		if time.Since(start) > Patience {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// WaitState waits until a job is in a state and returns its view then.
func WaitState(t testing.TB, st *store.Store, job string, want tasks.State) *wire.Job {
	t.Helper()
	var v *wire.Job
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		got, err := st.View(context.Background(), job)
		if err == nil {
			v = got
		}
		if v != nil && v.State == want {
			return v
		}
		if time.Since(start) > Patience || (v != nil && v.State.Ended()) {
			t.Fatalf("job %s is not %s but %+v (%v)", job, want, v, err)
		}
	}
}

// Log is a slog handler that keeps every line.
type Log struct {
	mu    sync.Mutex
	lines []string
}

// Logger returns a logger that writes to the log.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write keeps one line.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

// Count returns how many lines have the text in them.
func (l *Log) Count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// String returns the whole log.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
