package worker

import (
	"context"
	"sync"
	"time"

	"github.com/stint-run/stint/internal/store"
)

// enqueuer puts what transitions hand out on the queue, in the background, all that has come together in one round trip for each queue. What is
// lost in it, by a crash or an error, the sweep finds and queues.
type enqueuer struct {
	w    *Worker
	mu   sync.Mutex
	ids  map[string][]string // by queue
	busy bool
	idle chan struct{} // closed when nothing is left to be sent; made anew with the next
}

// add hands a transition's steps over. It does not wait.
func (e *enqueuer) add(h store.Handout) {
	if len(h.Enqueue) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ids == nil {
		e.ids = map[string][]string{}
	}
	e.ids[h.Queue] = append(e.ids[h.Queue], store.TaskIDs(h.Enqueue)...)
	if !e.busy {
		e.busy, e.idle = true, make(chan struct{})
		go e.send()
	}
}

func (e *enqueuer) send() {
	for {
		e.mu.Lock()
		ids := e.ids
		e.ids = nil
		if len(ids) == 0 {
			e.busy = false
			close(e.idle)
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		for queue, list := range ids {
			if err := e.w.producer.Enqueue(ctx, queue, list...); err != nil {
				e.w.o.Log.Warn("steps are ready but not on the queue; the sweep will queue them", "steps", len(list), "err", err)
			}
		}
		cancel()
		e.w.consumer.Wake()
	}
}

// flush waits until everything handed over so far has been sent.
func (e *enqueuer) flush() {
	e.mu.Lock()
	busy, idle := e.busy, e.idle
	e.mu.Unlock()
	if busy {
		<-idle
	}
}
