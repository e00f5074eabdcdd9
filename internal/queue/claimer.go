package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

type claimed struct {
	id, msg string
	keys    []string // of the dequeue that claimed it: pending, paused, active, lease
}

// claimer answers asynq's dequeue from what it has claimed ahead, and completes tasks in the background.
type claimer struct {
	rdb   redis.UniversalClient
	slots int           // concurrency: never more are claimed than may start at once
	last  string        // pending key of the last queue that asynq asks for: only there is it answered, for all of them
	wake  chan struct{} // something may be on a queue

	claiming sync.Mutex // held during a round trip that claims or gives back: Pause waits for the one that is on its way
	mu       sync.Mutex // of what follows; never held during a round trip
	sources  []*source  // the queues that it claims from
	round    int        // counts the claims that left something in the buffer
	paused   bool
	stopping bool               // dequeue returns at once, so that asynq can leave its loop
	endClaim context.CancelFunc // of the claim that is on its way
	buffer   []claimed
	started  int                  // handed to asynq, and their handler has not returned
	takes    time.Duration        // how long a handler takes, a moving average; 0 when nothing is known
	complete map[completion][]any // tasks to be completed
	sending  bool                 // somebody sends completions

	completing sync.WaitGroup
}

// completionGap is between two rounds of completions: nobody waits for them, and the longer they gather the fewer calls they take.
const completionGap = 2 * time.Millisecond

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
	if keys[0] != c.last {
		cmd.SetErr(redis.Nil)
		return cmd
	}
	for {
		msg, ok, err := c.next(ctx, args[0])
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
		}
		select {
		case <-c.wake:
			if c.isStopping() {
				c.notify()
				cmd.SetErr(redis.Nil)
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

// next gives the next task of the buffer, filled from the first queue that has something. expires is when asynq's lease on
// what is claimed ends, unix s.
func (c *claimer) next(ctx context.Context, expires any) (string, bool, error) {
	c.claiming.Lock()
	defer c.claiming.Unlock()
	msg, ok, want := c.take()
	if ok || want == 0 {
		return msg, ok, nil
	}
	ctx, cancel := c.beginClaim(ctx)
	defer cancel()
	for _, src := range c.order(time.Now()) {
		woken := c.wakeUps(src)
		list, err := claimScript.Run(ctx, c.rdb, append(src.keys[:4:4], idleKey(src.queue)), expires, taskPrefix(src.queue), want).StringSlice()
		if ctx.Err() != nil && len(list) == 0 {
			return "", false, nil // paused meanwhile
		}
		if err != nil && !errors.Is(err, redis.Nil) {
			return "", false, err
		}
		if len(list) > 0 {
			c.keep(src, list)
			break
		}
		c.isEmpty(src, woken)
	}
	msg, ok, _ = c.take()
	return msg, ok, nil
}

// beginClaim gives a context for a claim. It ends when the claimer is paused: then the client, which repeats calls that Redis does not
// answer, repeats the claim no more.
func (c *claimer) beginClaim(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.paused {
		cancel()
	}
	c.endClaim = cancel
	return ctx, cancel
}

// keep puts what was claimed into the buffer.
func (c *claimer) keep(src *source, list []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 0; i+1 < len(list); i += 2 {
		c.buffer = append(c.buffer, claimed{list[i], list[i+1], src.keys})
	}
	if len(c.buffer) > c.slots-c.started {
		c.round++
		round := c.round
		time.AfterFunc(maxAhead, func() { c.returnAhead(round) })
	}
}

// take gives the next task of the buffer; when that is empty it says how many to claim.
func (c *claimer) take() (msg string, ok bool, want int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// asynq holds a token for this call, but it also gives tokens back of handlers that still run, when their lease has run out
	// while Redis was away.
	free := c.slots - c.started
	if c.paused || free <= 0 {
		return "", false, 0
	}
	if len(c.buffer) == 0 {
		return "", false, free + c.ahead()
	}
	t := c.buffer[0]
	c.buffer = c.buffer[1:]
	c.started++
	return t.msg, true, 0
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
	c.claiming.Lock()
	defer c.claiming.Unlock()
	c.mu.Lock()
	current := c.round == round
	c.mu.Unlock()
	if current {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = c.unclaim(ctx) // else the sweep hands them out again
	}
}

// pause stops claiming: it waits for a claim that is on its way and gives back what was claimed and not started.
func (c *claimer) pause(ctx context.Context) error {
	c.mu.Lock()
	c.paused = true
	if c.endClaim != nil {
		c.endClaim()
	}
	c.mu.Unlock()
	c.claiming.Lock()
	defer c.claiming.Unlock()
	return c.unclaim(ctx)
}

// unclaim gives back what was claimed and not started; c.claiming is held.
func (c *claimer) unclaim(ctx context.Context) error {
	c.mu.Lock()
	back := c.buffer
	c.buffer = nil
	c.mu.Unlock()
	for len(back) > 0 {
		keys := back[0].keys
		queue := queueOf(keys[0])
		args := []any{taskPrefix(queue), wakeChannel(queue)}
		n := 0
		for ; n < len(back) && back[n].keys[0] == keys[0]; n++ {
			args = append(args, back[n].id)
		}
		err := unclaimScript.Run(ctx, c.rdb, []string{keys[0], keys[2], keys[3], idleKey(queue)}, args...).Err()
		if err != nil {
			c.mu.Lock()
			c.buffer = append(back, c.buffer...) // they are still this consumer's
			c.mu.Unlock()
			return err
		}
		back = back[n:]
	}
	return nil
}

// done notes that a task is complete, and tells Redis in the background, together with all others that have come together by
// then; asynq is told at once that it is done. A completion that is lost after all retries makes asynq deliver the task
// again, and the store will say that its step is gone.
func (c *claimer) done(ctx context.Context, keys []string, args []any) *redis.Cmd {
	c.mu.Lock()
	group := completion{keys[0], keys[1], keys[3], keys[4], strings.TrimSuffix(keys[2], fmt.Sprint(args[0]))}
	if c.complete == nil {
		c.complete = map[completion][]any{}
	}
	if len(c.complete[group]) == 0 {
		c.complete[group] = append(c.complete[group], group.prefix, args[1])
	}
	c.complete[group] = append(c.complete[group], args[0])
	if !c.sending {
		c.sending = true
		c.completing.Add(1)
		go c.sendCompletions(context.WithoutCancel(ctx))
	}
	c.mu.Unlock()
	cmd := redis.NewCmd(ctx)
	cmd.SetVal("OK")
	return cmd
}

// completion is what tasks that are completed in one call have in common: their keys of asynq.
type completion struct{ active, lease, today, total, prefix string }

func (c *claimer) sendCompletions(ctx context.Context) {
	defer c.completing.Done()
	for {
		c.mu.Lock()
		groups := c.complete
		c.complete = nil
		c.sending = len(groups) > 0
		c.mu.Unlock()
		if len(groups) == 0 {
			return
		}
		for g, args := range groups {
			c.sendCompletion(ctx, g, args)
		}
		time.Sleep(completionGap)
	}
}

func (c *claimer) sendCompletion(ctx context.Context, g completion, args []any) {
	ctx, cancel := context.WithTimeout(ctx, completionTries)
	defer cancel()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := doneScript.Run(ctx, c.rdb, []string{g.active, g.lease, g.today, g.total}, args...).Err()
		if err == nil || errors.Is(err, redis.Nil) {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
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
	c.woke("")
}
