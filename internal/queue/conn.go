package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

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

// batch collects the enqueue scripts of several tasks, to be sent in one round trip.
type batch struct {
	keys [][]string
	args [][]any
}

type batchKey struct{}

func (b *batch) add(ctx context.Context, keys []string, args []any) *redis.Cmd {
	b.keys, b.args = append(b.keys, keys), append(b.args, args)
	cmd := redis.NewCmd(ctx)
	cmd.SetVal(int64(1))
	return cmd
}

// enqueueScript is asynq's own; it is here for a Redis that does not have it yet (NOSCRIPT).
var enqueueScript = redis.NewScript(`
if redis.call("EXISTS", KEYS[1]) == 1 then
	return 0
end
redis.call("HSET", KEYS[1],
           "msg", ARGV[1],
           "state", "pending",
           "pending_since", ARGV[3])
redis.call("LPUSH", KEYS[2], ARGV[2])
return 1
`)

func (b *batch) flush(ctx context.Context, rdb redis.UniversalClient, queue string) error {
	if len(b.keys) == 0 {
		return nil // plain asynq has sent them one by one
	}
	for try := 0; ; try++ {
		_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i := range b.keys {
				p.EvalSha(ctx, shaEnqueue, b.keys[i], b.args[i]...)
			}
			wakeScript.EvalSha(ctx, p, []string{idleKey(queue)}, wakeChannel(queue))
			return nil
		})
		if err == nil || try > 0 || !redis.HasErrorPrefix(err, "NOSCRIPT") {
			return err
		}
		if err := errors.Join(enqueueScript.Load(ctx, rdb).Err(), wakeScript.Load(ctx, rdb).Err()); err != nil {
			return err
		}
	}
}

// claimScript claims up to ARGV[3] tasks at once, each the way asynq's own dequeue does it.
// KEYS: 1 pending, 2 paused, 3 active, 4 lease, 5 idle mark · ARGV: 1 lease expires (unix s), 2 prefix of task keys, 3 how many
// Returns id, message, ...; a task whose hash is gone is dropped instead of staying active for ever. Who gets nothing leaves a
// mark that there is an idle consumer to be woken.
var claimScript = redis.NewScript(`
local msgs = {}
if redis.call("EXISTS", KEYS[2]) == 1 then return msgs end
while #msgs < 2 * tonumber(ARGV[3]) do
	local id = redis.call("RPOPLPUSH", KEYS[1], KEYS[3])
	if not id then break end
	local key = ARGV[2] .. id
	local msg = redis.call("HGET", key, "msg")
	if msg then
		redis.call("HSET", key, "state", "active")
		redis.call("HDEL", key, "pending_since")
		redis.call("ZADD", KEYS[4], ARGV[1], id)
		msgs[#msgs + 1] = id
		msgs[#msgs + 1] = msg
	else
		redis.call("LREM", KEYS[3], 1, id)
	end
end
if #msgs == 0 then redis.call("SET", KEYS[5], 1, "EX", 5) end
return msgs`)

// wakeScript wakes idle consumers, if there are any: telling those that are busy would only cost them.
// KEYS: 1 idle mark · ARGV: 1 channel
var wakeScript = redis.NewScript(`
if redis.call("DEL", KEYS[1]) == 1 then redis.call("PUBLISH", ARGV[1], "") end
return redis.status_reply("OK")`)

// idleKey is where a queue's idle mark is, beside asynq's own keys of the queue, so that both live on the same node.
func idleKey(queue string) string { return "stint:{" + queue + "}:idle" }

// unclaimScript gives claimed tasks back, to be the next that are claimed.
// KEYS: 1 pending, 2 active, 3 lease · ARGV: 1 prefix of task keys, 2.. ids
var unclaimScript = redis.NewScript(`
for k = 2, #ARGV do
	if redis.call("LREM", KEYS[2], 1, ARGV[k]) == 1 then
		redis.call("ZREM", KEYS[3], ARGV[k])
		redis.call("RPUSH", KEYS[1], ARGV[k])
		redis.call("HSET", ARGV[1] .. ARGV[k], "state", "pending")
	end
end
return redis.status_reply("OK")`)

// doneScript is asynq's completion without its complaint about a task that is gone: completing twice does nothing.
// KEYS: 1 active, 2 lease, 3 task, 4 processed today, 5 processed · ARGV: 1 id, 2 stats expire at
var doneScript = redis.NewScript(`
if redis.call("LREM", KEYS[1], 1, ARGV[1]) == 0 then return redis.status_reply("OK") end
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("DEL", KEYS[3])
if redis.call("INCR", KEYS[4]) == 1 then redis.call("EXPIREAT", KEYS[4], ARGV[2]) end
redis.call("INCR", KEYS[5])
return redis.status_reply("OK")`)

type claimed struct {
	id, msg string
	keys    []string // of the dequeue that claimed it
	prefix  string
}

// claimer answers asynq's dequeue from what it has claimed ahead, and completes tasks in the background.
type claimer struct {
	rdb   redis.UniversalClient
	slots int           // concurrency: never more are claimed than may start at once
	last  string        // pending key of the last queue that asynq asks for: only there an idle consumer waits
	wake  chan struct{} // something may be on the queue

	several bool // it asks for more queues than one: a wake-up may be meant for another than the last

	mu       sync.Mutex // held during a claim: Pause waits for the one that is on its way
	round    int        // counts the claims that left something in the buffer
	paused   bool
	stopping bool // dequeue returns at once, so that asynq can leave its loop
	buffer   []claimed
	started  int           // handed to asynq, and their handler has not returned
	takes    time.Duration // how long a handler takes, a moving average; 0 when nothing is known

	completing sync.WaitGroup
}

// completionTries is how long the completion of a task is tried again.
const completionTries = 10 * time.Second

const idleWait = time.Second // an idle consumer looks at the queue at least this often, for wake-ups may be lost

func (c *claimer) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// dequeue gives asynq its next task; redis.Nil when there is none after waiting for a wake-up.
func (c *claimer) dequeue(ctx context.Context, keys []string, args []any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	timer := time.NewTimer(idleWait)
	defer timer.Stop()
	for {
		msg, ok, err := c.next(ctx, keys, args)
		switch {
		case err != nil:
			// Redis is away: asynq would come back at once, so wait here.
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
			cmd.SetErr(err)
			return cmd
		case ok:
			cmd.SetVal(msg)
			return cmd
		case keys[0] != c.last:
			cmd.SetErr(redis.Nil)
			return cmd
		}
		select {
		case <-c.wake:
			if c.isStopping() {
				c.notify()
				cmd.SetErr(redis.Nil)
				return cmd
			}
			if c.several {
				cmd.SetErr(redis.Nil) // asynq asks for all of them again, in their order
				return cmd
			}
		case <-timer.C:
			cmd.SetErr(redis.Nil)
			return cmd
		case <-ctx.Done():
			cmd.SetErr(redis.Nil)
			return cmd
		}
	}
}

func (c *claimer) next(ctx context.Context, keys []string, args []any) (string, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// asynq holds a token for this call, but it also gives tokens back of handlers that still run, when their lease has run out
	// while Redis was away.
	free := c.slots - c.started
	if c.paused || free <= 0 {
		return "", false, nil
	}
	if len(c.buffer) == 0 {
		queue := strings.TrimSuffix(strings.TrimPrefix(keys[0], "asynq:{"), "}:pending")
		list, err := claimScript.Run(ctx, c.rdb, append(keys[:4:4], idleKey(queue)), args[0], args[1], free+c.ahead()).StringSlice()
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", false, err
		}
		prefix, _ := args[1].(string)
		for i := 0; i+1 < len(list); i += 2 {
			c.buffer = append(c.buffer, claimed{list[i], list[i+1], keys, prefix})
		}
		if len(c.buffer) == 0 {
			return "", false, nil
		}
		if len(c.buffer) > free {
			c.round++
			round := c.round
			time.AfterFunc(maxAhead, func() { c.returnAhead(round) })
		}
	}
	t := c.buffer[0]
	c.buffer = c.buffer[1:]
	c.started++
	return t.msg, true, nil
}

// ahead says how many tasks to claim beyond the free slots: what the slots will work off within a few milliseconds. It saves
// short steps a round trip each, and never lets a long one keep others waiting that an idle worker could take.
func (c *claimer) ahead() int {
	if c.takes == 0 {
		return 0
	}
	return int(min(time.Duration(c.slots)*aheadFor/c.takes, time.Duration(c.slots)))
}

const (
	aheadFor = 5 * time.Millisecond  // claim ahead what is worked off within this time
	maxAhead = 50 * time.Millisecond // a task that was claimed ahead and has not started by then goes back
)

// returnAhead gives back what was claimed ahead in a round and has still not started: its steps take longer than those before.
func (c *claimer) returnAhead(round int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.round == round && len(c.buffer) > 0 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.unclaim(ctx) // else the sweep hands them out again
	}
}

// done completes a task in the background; asynq is told at once that it is done. A completion that is lost after all
// retries makes asynq deliver the task again, and the store will say that its step is gone.
func (c *claimer) done(ctx context.Context, keys []string, args []any) *redis.Cmd {
	k, a := append([]string(nil), keys...), append([]any(nil), args[:2]...)
	c.completing.Add(1)
	go func() {
		defer c.completing.Done()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completionTries)
		defer cancel()
		for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
			if err := doneScript.Run(ctx, c.rdb, k, a...).Err(); err == nil || errors.Is(err, redis.Nil) {
				return
			}
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
	}()
	cmd := redis.NewCmd(ctx)
	cmd.SetVal("OK")
	return cmd
}

// pause stops claiming: it waits for a claim that is on its way and gives back what was claimed and not started.
func (c *claimer) pause(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = true
	return c.unclaim(ctx)
}

// unclaim gives back what was claimed and not started; c.mu is held.
func (c *claimer) unclaim(ctx context.Context) error {
	for len(c.buffer) > 0 {
		t := c.buffer[0]
		keys := []string{t.keys[0], t.keys[2], t.keys[3]}
		if err := unclaimScript.Run(ctx, c.rdb, keys, t.prefix, t.id).Err(); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		c.buffer = c.buffer[1:]
	}
	return nil
}

// returned notes that the handler of a task has returned after a while: its slot is free.
func (c *claimer) returned(took time.Duration) {
	c.mu.Lock()
	c.started--
	c.takes = max(took, c.takes-(c.takes-took)/16) // a long one counts at once, many short ones are needed to forget it
	last := c.started == c.slots-1
	c.mu.Unlock()
	if last {
		c.notify() // a dequeue may have found no slot free
	}
}

func (c *claimer) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// stop lets asynq leave its loop. There is no way back.
func (c *claimer) stop() {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.notify()
}

func (c *claimer) resume() {
	c.mu.Lock()
	c.paused = false
	c.mu.Unlock()
	c.notify()
}
