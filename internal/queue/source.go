package queue

import (
	"math/rand/v2"
	"time"
)

// source is a queue that a consumer claims from.
type source struct {
	queue  string
	weight int
	keys   []string // pending, paused, active, lease

	// A queue that was found empty is not asked again before a wake-up or emptyUntil, so that queues that are seldom used cost
	// next to nothing. Both are guarded by the claimer's mu.
	woken      int // counts the wake-ups
	emptyUntil time.Time
}

func newSource(q Weighted) *source {
	return &source{queue: q.Name, weight: max(q.Weight, 1), keys: []string{pendingKey(q.Name), pausedKey(q.Name), activeKey(q.Name), leaseKey(q.Name)}}
}

// order lists the queues to ask, those that were found empty left out. Which one is first is drawn by weight, so that a queue
// of more weight is served sooner and none is ever starved.
func (c *claimer) order(now time.Time) []*source {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]*source, 0, len(c.sources))
	total := 0
	for _, s := range c.sources {
		if now.Before(s.emptyUntil) {
			continue
		}
		list = append(list, s)
		total += s.weight
	}
	for i := 0; i+1 < len(list); i++ {
		at := rand.IntN(total)
		k := i
		for ; at >= list[k].weight; k++ {
			at -= list[k].weight
		}
		list[i], list[k] = list[k], list[i]
		total -= list[i].weight
	}
	return list
}

// wakeUps counts the wake-ups of a queue so far; isEmpty takes the number that was there before the queue was asked.
func (c *claimer) wakeUps(s *source) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.woken
}

// isEmpty notes that a queue had nothing, unless a wake-up has come since it was asked.
func (c *claimer) isEmpty(s *source, woken int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.woken == woken {
		s.emptyUntil = time.Now().Add(idleWait)
	}
}

// woke notes that something came onto a queue; "" means any of them.
func (c *claimer) woke(queue string) {
	c.mu.Lock()
	for _, s := range c.sources {
		if queue == "" || s.queue == queue {
			s.woken++
			s.emptyUntil = time.Time{}
		}
	}
	c.mu.Unlock()
	c.notify()
}
