package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/redistest"
)

// The queue's scripts against a small model: random enqueues, claims, completions, drains and drains taken back by two consumers, each
// of them twice, or with its answer lost. After each, every task that is not complete is in one list, once, in its order.

// deaf loses the answers of scripts that have run.
type deaf struct {
	redis.UniversalClient
	lose bool
}

func (d *deaf) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	cmd := d.UniversalClient.EvalSha(ctx, sha, keys, args...)
	if d.lose && !redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
		cmd.SetErr(io.EOF)
	}
	return cmd
}

func (d *deaf) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	cmd := d.UniversalClient.Eval(ctx, script, keys, args...)
	if d.lose {
		cmd.SetErr(io.EOF)
	}
	return cmd
}

type modelQueue struct {
	rt        *rapid.T
	rdb       *redis.Client
	q         string
	producer  *Producer
	consumers []*modelConsumer
	pending   []string // the next to be claimed comes first
	active    map[string]bool
	seen      map[string]bool // ever enqueued
	completed map[string]bool
}

type modelConsumer struct {
	c       *claimer
	redis   *deaf
	buffer  []string // claimed and not started
	started []string
	paused  bool
}

func TestTheQueuesScriptsDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &modelQueue{rt: rt, rdb: rdb, q: fmt.Sprint("q", n), producer: NewProducer(rdb), active: map[string]bool{}, seen: map[string]bool{}, completed: map[string]bool{}}
		for range 2 {
			d := &deaf{UniversalClient: rdb}
			m.consumers = append(m.consumers, &modelConsumer{redis: d, c: &claimer{rdb: d, slots: rapid.IntRange(1, 3).Draw(rt, "slots"), wake: make(chan struct{}, 1),
				sources: []*source{newSource(Weighted{Name: m.q})}, last: pendingKey(m.q)}})
		}
		ops := map[string]func(*rapid.T){"": func(*rapid.T) { m.agree() }}
		for name, op := range map[string]func(*modelConsumer){"enqueue": m.enqueue, "claim": m.claim, "claim one": m.claim, "complete": m.complete, "drain": m.drain, "undrain": m.undrain} {
			ops[name] = func(rt *rapid.T) { m.rt = rt; op(rapid.SampledFrom(m.consumers).Draw(rt, "consumer")) }
		}
		rt.Repeat(ops)
		m.rt = rt
		m.finish(t.Context())
	})
}

func (m *modelQueue) lost() bool { return rapid.IntRange(0, 4).Draw(m.rt, "the answer is lost") == 0 }

func (m *modelQueue) enqueue(*modelConsumer) {
	var ids []string
	for range rapid.IntRange(1, 4).Draw(m.rt, "tasks") {
		ids = append(ids, fmt.Sprint("t", rapid.IntRange(0, 20).Draw(m.rt, "task")))
	}
	for again := true; again; again = m.lost() { // whoever does not hear the answer says it once more
		if err := m.producer.Enqueue(m.rt.Context(), m.q, ids...); err != nil {
			m.rt.Fatal(err)
		}
	}
	for _, id := range ids {
		if !m.active[id] && !slices.Contains(m.pending, id) {
			m.pending = append(m.pending, id)
			m.seen[id] = true
			delete(m.completed, id) // an id may be used again, once it is complete
		}
	}
}

// claim asks for a task, as asynq does.
func (m *modelQueue) claim(c *modelConsumer) {
	c.c.woke("")
	want := ""
	c.redis.lose = m.lost()
	free, lost := c.c.slots-len(c.started), c.redis.lose
	asked := !c.paused && free > 0 && len(c.buffer) == 0
	if asked {
		claimed := slices.Clone(m.pending[:min(free, len(m.pending))])
		m.pending = m.pending[len(claimed):]
		for _, id := range claimed {
			m.active[id] = true
		}
		if !lost {
			c.buffer = claimed // else they are active, and nobody knows that they are his
		}
	}
	if !c.paused && free > 0 && len(c.buffer) > 0 {
		want, c.buffer = c.buffer[0], c.buffer[1:]
		c.started = append(c.started, want)
	}
	msg, ok, err := c.c.next(m.rt.Context(), int64(1<<40))
	c.redis.lose = false
	if asked && lost != (err != nil) {
		m.rt.Fatalf("a claim whose answer is lost, %v: %v", lost, err)
	}
	if ok != (want != "") || ok && !strings.Contains(msg, string(rune(len(want)))+want) {
		m.rt.Fatalf("claimed %q, %v, %v; want %q", msg, ok, err, want)
	}
}

func (m *modelQueue) complete(c *modelConsumer) {
	if len(c.started) == 0 {
		m.rt.Skip("nothing runs")
	}
	i := rapid.IntRange(0, len(c.started)-1).Draw(m.rt, "of those that run")
	id := c.started[i]
	for again := true; again; again = m.lost() {
		cmd := c.c.done(m.rt.Context(), []string{activeKey(m.q), leaseKey(m.q), taskPrefix(m.q) + id, "asynq:{" + m.q + "}:today", "asynq:{" + m.q + "}:processed"}, []any{id, 1 << 40})
		if cmd.Err() != nil {
			m.rt.Fatal(cmd.Err())
		}
		c.c.completing.Wait()
	}
	c.c.returned(0)
	c.started = slices.Delete(c.started, i, i+1)
	if m.active[id] {
		delete(m.active, id)
		m.completed[id] = true
	}
}

func (m *modelQueue) drain(c *modelConsumer) {
	c.paused = true
	c.redis.lose = m.lost()
	err := c.c.pause(m.rt.Context())
	heard := !c.redis.lose || len(c.buffer) == 0
	c.redis.lose = false
	if heard != (err == nil) {
		m.rt.Fatalf("pause: %v", err)
	}
	for _, id := range slices.Backward(c.buffer) {
		if m.active[id] {
			delete(m.active, id)
			m.pending = slices.Insert(m.pending, 0, id)
		}
	}
	if heard {
		c.buffer = nil // else it believes that they are still its own
	}
}

func (m *modelQueue) undrain(c *modelConsumer) {
	c.paused = false
	c.c.resume()
}

// agree compares Redis with the model.
func (m *modelQueue) agree() {
	ctx := m.rt.Context()
	pending, err := m.rdb.LRange(ctx, pendingKey(m.q), 0, -1).Result()
	slices.Reverse(pending) // the next one is at the end of the list
	if err != nil || !slices.Equal(pending, m.pending) {
		m.rt.Fatalf("pending: %v, %v; want %v", pending, err, m.pending)
	}
	active := m.rdb.LRange(ctx, activeKey(m.q), 0, -1).Val()
	leases := m.rdb.ZRange(ctx, leaseKey(m.q), 0, -1).Val()
	want := slices.Sorted(maps.Keys(m.active))
	slices.Sort(active)
	slices.Sort(leases)
	if !slices.Equal(active, want) || !slices.Equal(leases, want) {
		m.rt.Fatalf("active: %v, under a lease: %v, want %v", active, leases, want)
	}
	for id := range m.seen {
		where := Missing
		switch {
		case m.active[id]:
			where = Claimed
		case slices.Contains(m.pending, id):
			where = Waiting
		case !m.completed[id]:
			m.rt.Fatalf("%s is lost", id)
		}
		if got, err := m.producer.Find(ctx, m.q, id); err != nil || got[0] != where {
			m.rt.Fatalf("%s: found %v, %v; want %d", id, got, err, where)
		}
	}
}

// finish lets one consumer work off what is left. What was claimed without anybody knowing it is the sweep's to find.
func (m *modelQueue) finish(ctx context.Context) {
	c := m.consumers[0]
	m.undrain(c)
	for len(m.pending)+len(c.buffer)+len(c.started) > 0 {
		for len(c.started) > 0 {
			m.complete(c)
		}
		m.claim(c)
		m.agree()
	}
	if err := m.rdb.FlushDB(ctx).Err(); err != nil && !errors.Is(err, context.Canceled) {
		m.rt.Fatal(err)
	}
}
