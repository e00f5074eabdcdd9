package queue

import (
	"context"
	"embed"
	"strings"

	"github.com/redis/go-redis/v9"
)

// SHA-1 of asynq's scripts, the same from v0.22.1 to v0.26.0. A test compares them with the asynq that is linked.
const (
	shaEnqueue = "98d28b42650870a743450ffda9791e9e19c6991b"
	shaDequeue = "a8153319360adc71cdc370107f8ab9786f204765"
	shaDone    = "1241eaa1c73409baaf1fea0c08d203a4911bda15"
)

// conn is the Redis client that asynq is given. The zero value of the optional parts is plain asynq.
type conn struct {
	redis.UniversalClient
	claim *claimer // of a consumer: answers dequeue and done
}

// EvalSha sees every script that asynq runs.
func (c *conn) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	switch {
	case sha == shaEnqueue:
		if b, ok := ctx.Value(batchKey{}).(*batch); ok {
			return b.add(ctx, keys, args)
		}
	case c.claim == nil:
	case sha == shaDequeue:
		return c.claim.dequeue(ctx, keys, args)
	case sha == shaDone:
		return c.claim.done(ctx, keys, args)
	}
	return c.UniversalClient.EvalSha(ctx, sha, keys, args...)
}

// batch collects tasks that are to be enqueued together.
type batch struct {
	keys []string // of the last asynq call: task, pending
	args []any    // id, message, now, id, message, now, ...
}

type batchKey struct{}

func (b *batch) add(ctx context.Context, keys []string, args []any) *redis.Cmd {
	b.keys, b.args = keys, append(b.args, args[1], args[0], args[2])
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(int64(1))
	return cmd
}

// flush sends the tasks of a queue in one round trip.
func (b *batch) flush(ctx context.Context, rdb redis.UniversalClient, queue string) error {
	if len(b.args) == 0 {
		return nil // plain asynq has sent them one by one
	}
	args := append([]any{taskPrefix(queue), wakeChannel(queue)}, b.args...)
	return enqueueScript.Run(ctx, rdb, []string{b.keys[1], idleKey(queue)}, args...).Err()
}

//go:embed scripts/*.lua
var scriptFiles embed.FS

func script(name string) *redis.Script {
	b, err := scriptFiles.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic("queue: script is missing from the binary: " + name)
	}
	return redis.NewScript(string(b))
}

// Scripts on asynq's keys. Each does to a task what asynq's own does, for many tasks in one call.
var (
	enqueueScript = script("enqueue")
	claimScript   = script("claim")
	unclaimScript = script("unclaim")
	doneScript    = script("done")
)

// Keys of asynq that are needed by name, and one of ours beside them, so that all live on the same node.

// taskPrefix is what the keys of a queue's tasks begin with: hashes, "msg", "state", "pending_since".
func taskPrefix(queue string) string { return "asynq:{" + queue + "}:t:" }

// pendingKey is the list of the ids that wait.
func pendingKey(queue string) string { return "asynq:{" + queue + "}:pending" }

// pausedKey is there while the queue is paused.
func pausedKey(queue string) string { return "asynq:{" + queue + "}:paused" }

// activeKey is the list of the ids that were claimed and are not done.
func activeKey(queue string) string { return "asynq:{" + queue + "}:active" }

// leaseKey is the sorted set of the ids that were claimed, by when their lease ends (unix s).
func leaseKey(queue string) string { return "asynq:{" + queue + "}:lease" }

// queueOf is the queue whose pending list this is.
func queueOf(pending string) string {
	return strings.TrimSuffix(strings.TrimPrefix(pending, "asynq:{"), "}:pending")
}

// idleKey is a mark with a short life: a consumer found this queue empty and waits to be woken.
func idleKey(queue string) string { return "stint:{" + queue + "}:idle" }

// wakeChannel carries wake-ups of a queue's idle consumers.
func wakeChannel(queue string) string { return wakePrefix + queue }

const wakePrefix = "stint:wake:"
