package queue

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// handled remembers which tasks ran, and how often.
type handled struct {
	mu  sync.Mutex
	ids map[string]int
}

func (h *handled) add(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = map[string]int{}
	}
	h.ids[id]++
}

func (h *handled) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ids)
}

func (h *handled) times(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ids[id]
}

// consume starts a consumer of queue "q" (or of others) that ends with the test.
func consume(t *testing.T, rdb *redis.Client, slots int, handle func(ctx context.Context, id string), queues ...string) *Consumer {
	t.Helper()
	if len(queues) == 0 {
		queues = []string{"q"}
	}
	var weighted []Weighted
	for _, q := range queues {
		weighted = append(weighted, Weighted{Name: q})
	}
	return consumeWeighted(t, rdb, slots, handle, weighted...)
}

func consumeWeighted(t *testing.T, rdb *redis.Client, slots int, handle func(ctx context.Context, id string), queues ...Weighted) *Consumer {
	t.Helper()
	c := NewConsumer(rdb, ConsumerOptions{Queues: queues, Concurrency: slots, Handle: handle, Log: slog.New(slog.DiscardHandler)})
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stop the consumer: %v", err)
		}
	})
	return c
}

func produce(t *testing.T, p *Producer, queue string, ids ...string) {
	t.Helper()
	if err := p.Enqueue(t.Context(), queue, ids...); err != nil {
		t.Fatal(err)
	}
}

func eventually(t *testing.T, what string, check func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		if time.Since(start) > 20*time.Second {
			t.Fatalf("not in time: %s", what)
		}
		<-tick.C
	}
	return time.Since(start)
}

func ids(from, to int) []string {
	var list []string
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprint("t", i))
	}
	return list
}

func length(t *testing.T, rdb *redis.Client, list string) int {
	t.Helper()
	n, err := rdb.LLen(t.Context(), "asynq:{q}:"+list).Result()
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// notRun counts the claimed tasks that h has not handled. Those handled stay in the list until their completion, which goes
// to Redis in the background, has arrived.
func notRun(t *testing.T, rdb *redis.Client, h *handled) int {
	t.Helper()
	active, err := rdb.LRange(t.Context(), "asynq:{q}:active", 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, id := range active {
		if h.times(id) == 0 {
			n++
		}
	}
	return n
}
