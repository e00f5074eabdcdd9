// Package queue delivers tasks: at least once, to any worker of the same protocol. It is the only importer of asynq, and
// asynq is used for delivery only; what a task means, how often it is tried and whether it may run is the store's to say.
//
// asynq takes any redis.UniversalClient and does each of its operations through one script call on it. conn stands between:
// it knows asynq's scripts by their hashes and gives, on top of them,
//
//   - a wake-up: an idle consumer waits for a message instead of polling (asynq alone: 0.5-1.5 s from enqueue to start);
//   - prefetch: one round trip claims as many tasks as there are free slots;
//   - completion in the background, grouped and retried, for asynq's own retry of a failed completion never works;
//   - a pause that stops claiming at once, gives back what was claimed and not started, and can be taken back.
//
// A script whose hash is not known here is passed through: with another asynq it would be plain asynq, and a test says so.
package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// taskType is the one type of task there is; its payload is the task's id.
const taskType = "step"

// taskTimeout is asynq's limit on a handler. It only has to be longer than any step: what bounds a step is its lease.
const taskTimeout = 30 * 24 * time.Hour

// Producer puts tasks on queues. It may be used by any number of goroutines.
type Producer struct {
	rdb    redis.UniversalClient
	client *asynq.Client
	conn   *conn
}

// NewProducer makes a producer on a Redis. The client stays the caller's.
func NewProducer(rdb redis.UniversalClient) *Producer {
	c := &conn{UniversalClient: rdb}
	return &Producer{rdb: rdb, conn: c, client: asynq.NewClientFromRedisClient(c)}
}

// Enqueue puts tasks on a queue in one round trip and wakes an idle consumer. A task whose id is there already is left as
// it is: enqueuing twice does nothing. After an error some of them may be on the queue.
func (p *Producer) Enqueue(ctx context.Context, queue string, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	b := &batch{}
	bctx := context.WithValue(ctx, batchKey{}, b)
	for _, id := range ids {
		_, err := p.client.EnqueueContext(bctx, asynq.NewTask(taskType, []byte(id)), asynq.TaskID(id), asynq.Queue(queue),
			asynq.MaxRetry(1000), asynq.Timeout(taskTimeout))
		if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
			return fmt.Errorf("enqueue: %w", err)
		}
	}
	if err := b.flush(ctx, p.rdb, queue); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	return nil
}

// Presence says where a task is, as far as the queue knows.
type Presence int

// Where a task may be.
const (
	Missing Presence = iota // the queue does not know it: lost, or done
	Waiting                 // on the queue, nobody has claimed it
	Claimed                 // some consumer claimed it; it may have died since
)

// Find says where tasks of a queue are, each in its place.
func (p *Producer) Find(ctx context.Context, queue string, ids ...string) ([]Presence, error) {
	states := make([]*redis.StringCmd, len(ids))
	_, err := p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i, id := range ids {
			states[i] = pipe.HGet(ctx, taskPrefix(queue)+id, "state")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("find tasks: %w", err)
	}
	found := make([]Presence, len(ids))
	for i, s := range states {
		switch state, err := s.Result(); {
		case errors.Is(err, redis.Nil):
			found[i] = Missing
		case err != nil:
			return nil, fmt.Errorf("find task: %w", err)
		case state == "active":
			found[i] = Claimed
		default:
			found[i] = Waiting
		}
	}
	return found, nil
}

// Depth is how much is on a queue.
type Depth struct {
	Waiting int64         // nobody has claimed them
	Claimed int64         // claimed and not done
	Oldest  time.Duration // how long the oldest that waits has done so
}

// Depth looks at a queue.
func (p *Producer) Depth(ctx context.Context, queue string) (Depth, error) {
	var waiting, claimed *redis.IntCmd
	var last *redis.StringSliceCmd
	_, err := p.rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		waiting, claimed = pipe.LLen(ctx, pendingKey(queue)), pipe.LLen(ctx, activeKey(queue))
		last = pipe.LRange(ctx, pendingKey(queue), -1, -1)
		return nil
	})
	if err != nil {
		return Depth{}, fmt.Errorf("look at queue %s: %w", queue, err)
	}
	d := Depth{Waiting: waiting.Val(), Claimed: claimed.Val()}
	if ids := last.Val(); len(ids) > 0 {
		since, err := p.rdb.HGet(ctx, taskPrefix(queue)+ids[0], "pending_since").Int64()
		switch {
		case errors.Is(err, redis.Nil): // claimed since
		case err != nil:
			return d, fmt.Errorf("look at queue %s: %w", queue, err)
		default:
			d.Oldest = max(0, time.Since(time.Unix(0, since)))
		}
	}
	return d, nil
}
