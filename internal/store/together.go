package store

import (
	"context"
	"slices"
	"sync"
	"time"
)

// together has calls about the same thing share one call of a script: while one is on its way, those that come meanwhile wait until it is
// back, and then go together. Who comes alone goes at once. Steps of a job that take next to nothing cost Redis a fraction of
// what each would alone, because what is read of the job, counted and handed out is read, counted and handed out once.
type together[K comparable, Q, A any] struct {
	// call does it for a list, and answers each in its place.
	call func(ctx context.Context, about K, list []Q) ([]A, error)

	mu    sync.Mutex
	lines map[K][]*waiter[Q, A] // who waits; without an entry nothing is on its way
}

type waiter[Q, A any] struct {
	ctx    context.Context // for what it carries
	q      Q
	back   chan struct{} // closed when answer and err are there
	answer A
	err    error
}

const (
	// atOnce is how many go together at most, so that others of Redis do not wait for long.
	atOnce = 64
	// togetherTakes bounds a call for those that have waited: the first's own context says nothing about how long the others have.
	togetherTakes = 10 * time.Second
)

// do asks for one. When ctx ends before the answer is there it returns its error, and what becomes of the question is not known, as
// when an answer is lost; one that still waits is not asked any more.
func (t *together[K, Q, A]) do(ctx context.Context, about K, q Q) (answer A, err error) {
	t.mu.Lock()
	line, busy := t.lines[about]
	if !busy {
		if t.lines == nil {
			t.lines = map[K][]*waiter[Q, A]{}
		}
		t.lines[about] = nil
		t.mu.Unlock()
		defer t.next(about)
		answers, err := t.call(ctx, about, []Q{q})
		if err != nil {
			return answer, err
		}
		return answers[0], nil
	}
	w := &waiter[Q, A]{ctx: ctx, q: q, back: make(chan struct{})}
	t.lines[about] = append(line, w)
	t.mu.Unlock()
	select {
	case <-w.back:
		return w.answer, w.err
	case <-ctx.Done():
	}
	t.mu.Lock()
	t.lines[about] = slices.DeleteFunc(t.lines[about], func(o *waiter[Q, A]) bool { return o == w })
	t.mu.Unlock()
	return answer, context.Cause(ctx)
}

// next lets those go that have waited, if any have.
func (t *together[K, Q, A]) next(about K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines[about]) > 0 {
		go t.run(about)
	} else {
		delete(t.lines, about)
	}
}

// run asks for those that wait, until nobody does.
func (t *together[K, Q, A]) run(about K) {
	for {
		t.mu.Lock()
		line := t.lines[about]
		if len(line) == 0 {
			delete(t.lines, about)
			t.mu.Unlock()
			return
		}
		n := min(len(line), atOnce)
		t.lines[about] = slices.Clone(line[n:])
		t.mu.Unlock()
		t.ask(about, line[:n:n])
	}
}

func (t *together[K, Q, A]) ask(about K, line []*waiter[Q, A]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(line[0].ctx), togetherTakes)
	defer cancel()
	list := make([]Q, len(line))
	for i, w := range line {
		list[i] = w.q
	}
	answers, err := t.call(ctx, about, list)
	for i, w := range line {
		if w.err = err; err == nil {
			w.answer = answers[i]
		}
		close(w.back)
	}
}
