// Package taskstest holds the promises as a suite that every family must pass: whatever the engine may do to a family, its
// effect is the same as that of one undisturbed run. The suite is a small engine of its own, without queue and store, that
// does on purpose what a real one does by accident.
package taskstest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks"
)

// Subject is a family and one job for it, on a target of its own.
type Subject struct {
	Family tasks.Family
	Job    tasks.Job
	// Check fails the test unless the job's effect is complete and nothing took effect twice.
	Check func(t *testing.T)
}

// Run makes a fresh subject for each promise and holds it to the promise.
func Run(t *testing.T, fresh func(t *testing.T) Subject) {
	promises := []struct {
		name string
		run  func(t *testing.T, e *engine)
	}{
		{"an undisturbed run has its whole effect", func(t *testing.T, e *engine) { e.all(t, e.until) }},
		{"planning and splitting twice give the same", splitTwice},
		{"a step that is run again after its end has no second effect", func(t *testing.T, e *engine) {
			e.all(t, func(t *testing.T, st tasks.Stage, step tasks.Step) { e.until(t, st, step); e.until(t, st, step) })
		}},
		{"a whole job that is run again has no second effect", func(t *testing.T, e *engine) { e.all(t, e.until); e.all(t, e.until) }},
		{"a drain before each step and in its midst loses nothing", func(t *testing.T, e *engine) { e.all(t, e.drained) }},
		{"a kill at random moments of each step loses nothing and repeats nothing", func(t *testing.T, e *engine) { e.all(t, e.killed) }},
		{"two attempts at the same step at the same time have one effect", func(t *testing.T, e *engine) { e.all(t, e.rivals) }},
	}
	for _, p := range promises {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := fresh(t)
			p.run(t, &engine{Subject: s})
			s.Check(t)
		})
	}
}

// engine runs a job's steps one after the other, stage by stage.
type engine struct {
	Subject
	mu    sync.Mutex
	saved map[string]progress
}

type progress struct {
	cursor   tasks.Cursor
	counters tasks.Counters
}

// patience bounds each call of the family: a hang is a failure that says where.
const patience = 60 * time.Second

func (e *engine) all(t *testing.T, run func(*testing.T, tasks.Stage, tasks.Step)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	stages, err := e.Family.Plan(ctx, e.Job)
	cancel()
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	for _, st := range stages {
		var cursor tasks.Cursor
		for {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			steps, next, err := e.Family.Split(ctx, e.Job, st, cursor, 3)
			cancel()
			if err != nil {
				t.Fatalf("split %s: %v", st.Name, err)
			}
			for _, step := range steps {
				run(t, st, step)
			}
			if next == nil {
				break
			}
			cursor = next
		}
	}
}

// attempt runs a step once.
func (e *engine) attempt(ctx context.Context, st tasks.Stage, step tasks.Step, draining <-chan struct{}) error {
	key := st.Name + "/" + step.ID
	e.mu.Lock()
	p, resumed := e.saved[key]
	e.mu.Unlock()
	a := tasks.NewAttempt(&tasks.Attempt{ID: fmt.Sprintf("attempt-%016x", rand.Uint64()), Job: e.Job, Stage: st, Step: step, Worker: "taskstest",
		Resumed: resumed, Draining: draining}, saver{e, key}, p.cursor, p.counters)
	return e.Family.Run(ctx, a)
}

type saver struct {
	e   *engine
	key string
}

// Save keeps a checkpoint in memory.
func (s saver) Save(ctx context.Context, cursor tasks.Cursor, c tasks.Counters) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.e.mu.Lock()
	defer s.e.mu.Unlock()
	if s.e.saved == nil {
		s.e.saved = map[string]progress{}
	}
	s.e.saved[s.key] = progress{cursor, c}
	return nil
}

// until runs a step until it ends, as a worker would: drains, patience and failures that may be retried are tried again.
func (e *engine) until(t *testing.T, st tasks.Stage, step tasks.Step) {
	t.Helper()
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := e.attempt(ctx, st, step, make(chan struct{}))
		cancel()
		if err == nil {
			return
		}
		_, patient := tasks.RetryAfterOf(err)
		if try > 20 || tasks.IsPermanent(err) || !(patient || errors.Is(err, tasks.ErrDrained) || try < 3) {
			t.Fatalf("step %s of stage %s: %v", step.ID, st.Name, err)
		}
	}
}

// drained drains a step before it starts, then at random moments, then lets it end.
func (e *engine) drained(t *testing.T, st tasks.Stage, step tasks.Step) {
	t.Helper()
	closed := make(chan struct{})
	close(closed)
	e.expectDrained(t, st, step, closed)
	for range 3 {
		draining := make(chan struct{})
		stop := time.AfterFunc(rand.N(20*time.Millisecond), func() { close(draining) })
		e.expectDrained(t, st, step, draining)
		stop.Stop()
	}
	e.until(t, st, step)
}

func (e *engine) expectDrained(t *testing.T, st tasks.Stage, step tasks.Step, draining chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.attempt(ctx, st, step, draining); err != nil && !errors.Is(err, tasks.ErrDrained) {
		t.Fatalf("drained step %s of stage %s: want nil or ErrDrained, got %v", step.ID, st.Name, err)
	}
}

// killed ends a step's context at random moments, as a cut or the end of a process would, then lets it end.
func (e *engine) killed(t *testing.T, st tasks.Stage, step tasks.Step) {
	t.Helper()
	for range 4 {
		ctx, cancel := context.WithTimeout(t.Context(), rand.N(15*time.Millisecond))
		_ = e.attempt(ctx, st, step, make(chan struct{}))
		cancel()
	}
	e.until(t, st, step)
}

// rivals runs a step by three attempts at the same time; at least one must end it, the others may be told to come later.
func (e *engine) rivals(t *testing.T, st tasks.Stage, step tasks.Step) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for i := range errs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			errs[i] = e.attempt(ctx, st, step, make(chan struct{}))
		}()
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil && tasks.IsPermanent(err) {
			t.Errorf("rival at step %s of stage %s: %v", step.ID, st.Name, err)
		}
	}
	e.until(t, st, step)
}

// splitTwice holds a family to: the same job gives the same stages, the same cursor the same steps. The first steps run in
// between, since they may be what makes the target.
func splitTwice(t *testing.T, e *engine) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	one, err1 := e.Family.Plan(ctx, e.Job)
	two, err2 := e.Family.Plan(ctx, e.Job)
	if err1 != nil || err2 != nil || !reflect.DeepEqual(one, two) {
		t.Fatalf("the same job was planned differently: %v, %v\n%+v\n%+v", err1, err2, one, two)
	}
	for _, st := range one {
		var cursor tasks.Cursor
		for {
			a, nextA, err1 := e.Family.Split(ctx, e.Job, st, cursor, 3)
			b, nextB, err2 := e.Family.Split(ctx, e.Job, st, cursor, 3)
			if err1 != nil || err2 != nil || !reflect.DeepEqual(a, b) || string(nextA) != string(nextB) {
				t.Fatalf("stage %s was split differently at cursor %q: %v, %v\n%v\n%v", st.Name, cursor, err1, err2, a, b)
			}
			for _, step := range a {
				e.until(t, st, step)
			}
			if nextA == nil {
				break
			}
			cursor = nextA
		}
	}
}
