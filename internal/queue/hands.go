package queue

import (
	"context"
	"sync"
)

// hands are goroutines that run handlers, one after another. asynq starts a goroutine for each task, and its stack would grow anew
// each time as far as a call of Redis needs it, which cost a worker of short steps a tenth of its time; those of hands stay as large.
type hands struct {
	free chan func()     // taken by one that has nothing to do
	end  context.Context // they go when it ends and they are done
	all  *sync.WaitGroup
}

// run runs f on one of them and returns when it has returned. A panic in it is one of the caller's.
func (h *hands) run(f func()) {
	done := make(chan any, 1)
	call := func() {
		defer func() { done <- recover() }()
		f()
	}
	select {
	case h.free <- call:
	default: // all that there are have something to do
		h.all.Go(func() { h.stay(call) })
	}
	if broken := <-done; broken != nil {
		panic(broken)
	}
}

func (h *hands) stay(call func()) {
	for {
		call()
		select {
		case call = <-h.free:
		case <-h.end.Done():
			return
		}
	}
}
