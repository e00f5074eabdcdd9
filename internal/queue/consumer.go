package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// ConsumerOptions say how tasks are claimed.
type ConsumerOptions struct {
	Queues      []Weighted // at least one
	Concurrency int        // tasks that run at once; at least 1
	Log         *slog.Logger
	// Handle runs one task, by its id. When it returns the task is done, whatever became of it; a panic in it is a bug.
	Handle func(ctx context.Context, id string)
}

// Weighted is a queue by its full name, and how often it is asked first when several have something: one of weight 8 eight
// times as often as one of weight 1. 0 means 1.
type Weighted struct {
	Name   string
	Weight int
}

// Consumer claims tasks and runs a handler for each. New, Start, then Pause and Resume as often as wanted, then Stop.
type Consumer struct {
	o      ConsumerOptions
	rdb    redis.UniversalClient
	server *asynq.Server
	claim  *claimer

	stopSub context.CancelFunc
	subs    sync.WaitGroup
}

// NewConsumer makes a consumer on a Redis. The client stays the caller's.
func NewConsumer(rdb redis.UniversalClient, o ConsumerOptions) *Consumer {
	c := &Consumer{o: o, rdb: rdb}
	c.claim = &claimer{rdb: rdb, slots: o.Concurrency, wake: make(chan struct{}, 1)}
	queues := map[string]int{} // asynq asks for them in this order, and is answered when it asks for the last
	for i, q := range o.Queues {
		queues[q.Name] = len(o.Queues) - i
		c.claim.last = pendingKey(q.Name)
		c.claim.sources = append(c.claim.sources, newSource(q))
	}
	c.server = asynq.NewServerFromRedisClient(&conn{UniversalClient: rdb, claim: c.claim}, asynq.Config{
		Concurrency:       o.Concurrency,
		Queues:            queues,
		StrictPriority:    true,
		TaskCheckInterval: time.Millisecond, // our dequeue waits for a wake-up itself
		ShutdownTimeout:   24 * time.Hour,   // the worker joins its attempts before it stops us
		IsFailure:         func(err error) bool { return !errors.Is(err, asynq.ErrLeaseExpired) },
		RetryDelayFunc:    func(int, error, *asynq.Task) time.Duration { return 0 },
		Logger:            &logger{o.Log},
		LogLevel:          asynq.WarnLevel,
	})
	return c
}

// subscribeWithin bounds the wait for a Redis that has taken the subscription and says nothing.
const subscribeWithin = 10 * time.Second

// subscribed waits for the answer to a subscription. ctx ends the wait too: the client by itself does not look at it while it reads.
func subscribed(ctx context.Context, sub *redis.PubSub) error {
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()
	_, err := sub.ReceiveTimeout(ctx, subscribeWithin)
	if e := context.Cause(ctx); e != nil {
		return e
	}
	return err
}

// Start begins to claim. It returns once the wake-ups are subscribed to, or with an error when ctx ends before.
func (c *Consumer) Start(ctx context.Context) error {
	sctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.stopSub = cancel
	channels := make([]string, len(c.o.Queues))
	for i, q := range c.o.Queues {
		channels[i] = wakeChannel(q.Name)
	}
	sub := c.rdb.Subscribe(sctx, channels...)
	if err := subscribed(ctx, sub); err != nil {
		cancel()
		_ = sub.Close()
		return fmt.Errorf("subscribe to wake-ups: %w", err)
	}
	c.subs.Add(1)
	go func() {
		defer c.subs.Done()
		defer sub.Close()
		for {
			select {
			case m, ok := <-sub.Channel():
				if !ok {
					return
				}
				c.claim.woke(strings.TrimPrefix(m.Channel, wakePrefix))
			case <-sctx.Done():
				return
			}
		}
	}()
	crew := &hands{free: make(chan func()), end: sctx, all: &c.subs}
	err := c.server.Start(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		start := time.Now()
		defer func() { c.claim.returned(time.Since(start)) }()
		crew.run(func() { c.o.Handle(ctx, string(t.Payload())) })
		return nil
	}))
	if err != nil {
		cancel()
		c.subs.Wait()
		return fmt.Errorf("start consumer: %w", err)
	}
	return nil
}

// Wake looks at the queues at once.
func (c *Consumer) Wake() { c.claim.woke("") }

// Pause stops claiming. When it returns, nothing more is claimed until Resume; what runs goes on, and the handler of the
// one task that asynq was given last may only be about to start: who must not start anything looks at that itself. An
// error means that some tasks that were claimed ahead could not be given back: the sweep will.
func (c *Consumer) Pause(ctx context.Context) error {
	err := c.claim.pause(ctx)
	if err != nil {
		return fmt.Errorf("give back claimed tasks: %w", err)
	}
	return nil
}

// Resume claims again.
func (c *Consumer) Resume() { c.claim.resume() }

// Stop ends the consumer. Call it when no handler runs any more: it waits for those that do.
func (c *Consumer) Stop() error {
	if err := c.claim.pause(context.Background()); err != nil {
		c.o.Log.Warn("tasks claimed ahead were not given back; the sweep will", "err", err)
	}
	c.claim.stop()
	c.server.Shutdown()
	c.stopSub()
	c.subs.Wait()
	c.claim.completing.Wait()
	return nil
}

// logger hands asynq's messages on.
type logger struct{ log *slog.Logger }

func (l *logger) Debug(args ...any) {}
func (l *logger) Info(args ...any)  {}
func (l *logger) Warn(args ...any)  { l.log.Debug(fmt.Sprint(args...), "from", "queue") }
func (l *logger) Error(args ...any) { l.log.Warn(fmt.Sprint(args...), "from", "queue") }
func (l *logger) Fatal(args ...any) { l.log.Error(fmt.Sprint(args...), "from", "queue") }
