package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/redistest"
)

// recorder is a Redis client that remembers which script was called with which keys.
type recorder struct {
	redis.UniversalClient
	mu    sync.Mutex
	calls map[string]string // shape of the keys -> sha
}

func (r *recorder) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	var shape []string
	for _, k := range keys {
		part := strings.SplitN(strings.TrimPrefix(k, "asynq:{q}:"), ":", 2)[0]
		shape = append(shape, part)
	}
	r.mu.Lock()
	r.calls[strings.Join(shape, " ")] = sha
	r.mu.Unlock()
	return r.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

func TestTheScriptsOfTheLinkedAsynqAreThoseThatAreKnownHere(t *testing.T) {
	t.Parallel()
	r := &recorder{UniversalClient: redistest.Client(t), calls: map[string]string{}}
	client := asynq.NewClientFromRedisClient(r)
	if _, err := client.Enqueue(asynq.NewTask("x", nil), asynq.TaskID("1"), asynq.Queue("q")); err != nil {
		t.Fatal(err)
	}
	ran := make(chan struct{})
	server := asynq.NewServerFromRedisClient(r, asynq.Config{Queues: map[string]int{"q": 1}, Logger: quiet{}, LogLevel: asynq.FatalLevel, TaskCheckInterval: time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { close(ran); return nil })); err != nil {
		t.Fatal(err)
	}
	<-ran
	server.Shutdown()
	for shape, want := range map[string]string{"t pending": shaEnqueue, "pending paused active lease": shaDequeue, "active lease t processed processed": shaDone} {
		if got := r.calls[shape]; got != want {
			t.Errorf("asynq's script on (%s) is %q, here it is %q: read its changes, then change internal/queue", shape, got, want)
		}
	}
}

type quiet struct{}

func (quiet) Debug(...any) {}
func (quiet) Info(...any)  {}
func (quiet) Warn(...any)  {}
func (quiet) Error(...any) {}
func (quiet) Fatal(...any) {}

// Why drain is never announced by cancelling: asynq settles the task while its handler still runs.
func TestAsynqSettlesATaskWhoseContextEndedBeforeItsHandlerHasReturned(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	base, cancel := context.WithCancel(t.Context())
	defer cancel()
	began, hold := make(chan struct{}), make(chan struct{})
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{Queues: map[string]int{"q": 1}, Logger: quiet{}, LogLevel: asynq.FatalLevel,
		TaskCheckInterval: time.Millisecond, BaseContext: func() context.Context { return base }})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error { close(began); <-hold; return nil })); err != nil {
		t.Fatal(err)
	}
	if _, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("x", nil), asynq.TaskID("1"), asynq.Queue("q")); err != nil {
		t.Fatal(err)
	}
	<-began
	cancel()
	eventually(t, "the task is settled", func() bool { return rdb.HGet(t.Context(), "asynq:{q}:t:1", "state").Val() == "retry" })
	close(hold)
	server.Shutdown()
}

func TestAsynqRefusesAnIdThatIsThere(t *testing.T) {
	t.Parallel()
	client := asynq.NewClientFromRedisClient(redistest.Client(t))
	for n := range 2 {
		_, err := client.Enqueue(asynq.NewTask("x", nil), asynq.TaskID("1"), asynq.Queue("q"))
		if (n == 1) != errors.Is(err, asynq.ErrTaskIDConflict) {
			t.Errorf("time %d: %v", n+1, err)
		}
	}
}
