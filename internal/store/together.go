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
	back   chan struct{}   // closed when answer and err are there, or when crew is
	crew   []*waiter[Q, A] // who goes next, this one first: it is to ask for all of them
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
	case <-ctx.Done():
		if t.leave(about, w) {
			return answer, context.Cause(ctx)
		}
	}
	if w.crew != nil { // even one that has given up: the others of its crew wait for it
		t.ask(about, w.crew)
		t.next(about)
	}
	return w.answer, w.err
}

// leave takes somebody out of the line, or leaves alone the call that it is on; false when it has an answer, or is to ask itself.
func (t *together[K, Q, A]) leave(about K, w *waiter[Q, A]) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-w.back:
		return false
	default:
	}
	t.lines[about] = slices.DeleteFunc(t.lines[about], func(o *waiter[Q, A]) bool { return o == w })
	return true
}

// next lets those go that have waited, if any have. The first of them asks: it has nothing else to do.
func (t *together[K, Q, A]) next(about K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.lines[about]
	if len(line) == 0 {
		delete(t.lines, about)
		return
	}
	n := min(len(line), atOnce)
	t.lines[about] = slices.Clone(line[n:])
	line[0].crew = line[:n:n]
	close(line[0].back)
}

// ask asks for all of a crew.
func (t *together[K, Q, A]) ask(about K, crew []*waiter[Q, A]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(crew[0].ctx), togetherTakes)
	defer cancel()
	list := make([]Q, len(crew))
	for i, w := range crew {
		list[i] = w.q
	}
	answers, err := t.call(ctx, about, list)
	for i, w := range crew {
		if w.err = err; err == nil {
			w.answer = answers[i]
		}
		if i > 0 {
			close(w.back)
		}
	}
}
