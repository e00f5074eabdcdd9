package queue

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/redistest"
)

func TestASenderPutsEverythingOnItsQueueAndFlushWaitsForIt(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := NewSender(NewProducer(rdb), func(queue string, tasks int, err error) { t.Errorf("%s: %d tasks: %v", queue, tasks, err) }, nil)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 50 {
				s.Add([]string{"q", "r"}[i%2], fmt.Sprintf("%d-%d", g, i))
			}
		})
	}
	all.Wait()
	s.Flush()
	for _, queue := range []string{"q", "r"} {
		if n := rdb.LLen(t.Context(), pendingKey(queue)).Val(); n != 200 {
			t.Errorf("%d of 200 tasks are on the queue %s", n, queue)
		}
	}
	s.Flush() // with nothing to be sent it returns at once
}

func TestASenderTellsOfWhatItCouldNotSend(t *testing.T) {
	t.Parallel()
	server := redistest.New(t)
	rdb := server.Client()
	failed, rounds := 0, 0
	s := NewSender(NewProducer(rdb), func(_ string, tasks int, err error) { failed += tasks }, func() { rounds++ })
	server.Kill()
	s.Add("q", "a", "b")
	s.Flush()
	if failed != 2 || rounds == 0 {
		t.Errorf("%d tasks were not sent, in %d rounds", failed, rounds)
	}
}
