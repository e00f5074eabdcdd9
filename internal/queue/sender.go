package queue

import (
	"context"
	"sync"
	"time"
)

// Sender puts tasks on queues in the background, all that has come together in one round trip for each queue. What is lost in it,
// by a crash or an error, the sweep finds and queues. It may be used by any number of goroutines.
type Sender struct {
	producer *Producer
	// failed is told of tasks that could not be put on a queue; sent after each round, whatever came of it. Either may be nil.
	failed func(queue string, tasks int, err error)
	sent   func()

	mu   sync.Mutex
	ids  map[string][]string // by queue
	busy bool
	idle chan struct{} // closed when nothing is left to be sent; made anew with the next
}

// sendTimeout bounds one round.
const sendTimeout = 5 * time.Second

// NewSender makes a sender. The producer stays the caller's.
func NewSender(p *Producer, failed func(queue string, tasks int, err error), sent func()) *Sender {
	return &Sender{producer: p, failed: failed, sent: sent}
}

// Add hands tasks over. It does not wait.
func (s *Sender) Add(queue string, ids ...string) {
	if len(ids) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[string][]string{}
	}
	s.ids[queue] = append(s.ids[queue], ids...)
	if !s.busy {
		s.busy, s.idle = true, make(chan struct{})
		go s.send()
	}
}

func (s *Sender) send() {
	for {
		s.mu.Lock()
		ids := s.ids
		s.ids = nil
		if len(ids) == 0 {
			s.busy = false
			close(s.idle)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), sendTimeout)
		for queue, list := range ids {
			if err := s.producer.Enqueue(ctx, queue, list...); err != nil && s.failed != nil {
				s.failed(queue, len(list), err)
			}
		}
		cancel()
		if s.sent != nil {
			s.sent()
		}
	}
}

// Flush waits until everything that was handed over so far has been sent.
func (s *Sender) Flush() {
	s.mu.Lock()
	busy, idle := s.busy, s.idle
	s.mu.Unlock()
	if busy {
		<-idle
	}
}
