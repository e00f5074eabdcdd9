package queue

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stint-run/stint/internal/redistest"
)

func TestAQueueOfMoreWeightIsServedSoonerAndNoneIsStarved(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	const each = 300
	for _, q := range []string{"high", "low"} {
		for i := range each {
			produce(t, p, q, fmt.Sprint(q, i))
		}
	}
	var mu sync.Mutex
	var order []string
	done := make(chan struct{})
	consumeWeighted(t, rdb, 1, func(_ context.Context, id string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, id)
		if len(order) == 2*each {
			close(done)
		}
	}, Weighted{"high", 8}, Weighted{"low", 1})
	<-done
	mu.Lock()
	defer mu.Unlock()
	high := 0
	for _, id := range order[:each] {
		if strings.HasPrefix(id, "high") {
			high++
		}
	}
	// Of the first 300 about 8 in 9 are of the queue with weight 8; a tenth of that is beyond all chance.
	if high < each*7/10 || high == each {
		t.Errorf("%d of the first %d came from the queue of weight 8", high, each)
	}
}

func TestAnIdleConsumerOfSeveralQueuesIsWokenByAnyOfThem(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	p := NewProducer(rdb)
	var h handled
	consume(t, rdb, 2, func(_ context.Context, id string) { h.add(id) }, "a", "b", "c")
	for i := range 30 {
		id := fmt.Sprint(i)
		produce(t, p, string(rune('a'+i%3)), id)
		if took := eventually(t, "it has run", func() bool { return h.times(id) == 1 }); took > idleWait/2 {
			t.Errorf("task %d on queue %d waited for a poll: %v", i, i%3, took)
		}
	}
}
