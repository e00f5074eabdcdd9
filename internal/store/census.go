package store

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// Counted is what jobs are counted by.
type Counted struct {
	Kind   string
	Tenant string
	State  tasks.State
}

// of is what a census remembers of a job.
type of struct{ kind, tenant string }

// countedJobs is how many jobs are counted, the newest, besides those that have not ended.
const countedJobs = 1000

// Census counts jobs by kind, tenant and state, as often as somebody asks. It remembers kinds and tenants, which are in a job's body
// and never change, so that a count reads a word of each job; and what it counted last for a moment, so that many who ask cost no more than one. It may be used by any number of goroutines.
type Census struct {
	store *Store
	mu    sync.Mutex
	kinds map[string]of // by job, of those that were counted last
	last  map[Counted]int64
	at    time.Time
}

// countFresh is how long a count serves all who ask.
const countFresh = 2 * time.Second

// Census makes a census of the store's jobs.
func (s *Store) Census() *Census { return &Census{store: s} }

// Count counts all jobs that have not ended, and those that have of the newest 1000.
func (c *Census) Count(ctx context.Context) (map[Counted]int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last != nil && time.Since(c.at) < countFresh {
		return maps.Clone(c.last), nil
	}
	states, err := c.states(ctx)
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	if err := c.learn(ctx, states); err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	counts := map[Counted]int64{}
	for id, state := range states {
		counts[Counted{c.kinds[id].kind, c.kinds[id].tenant, state}]++
	}
	c.last, c.at = counts, time.Now()
	return maps.Clone(counts), nil
}

// states reads the state of each job that is to be counted.
func (c *Census) states(ctx context.Context) (map[string]tasks.State, error) {
	var active, newest *redis.StringSliceCmd
	_, err := c.store.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		active, newest = p.SMembers(ctx, activeKey), p.ZRevRange(ctx, jobsKey, 0, countedJobs-1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	read := map[string]*redis.SliceCmd{}
	_, err = c.store.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, id := range append(active.Val(), newest.Val()...) {
			if read[id] == nil {
				read[id] = p.HMGet(ctx, jobKey(id), "state")
			}
		}
		return nil
	})
	states := make(map[string]tasks.State, len(read))
	for id, cmd := range read {
		if v := cmd.Val(); len(v) == 1 && v[0] != nil { // else it was forgotten meanwhile
			state, _ := v[0].(string)
			states[id] = tasks.State(state)
		}
	}
	return states, err
}

// learn reads the kinds of jobs that were not counted before, and forgets those of jobs that are not counted any more.
func (c *Census) learn(ctx context.Context, states map[string]tasks.State) error {
	kinds := make(map[string]of, len(states))
	bodies := map[string]*redis.SliceCmd{}
	_, err := c.store.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for id := range states {
			if kind, ok := c.kinds[id]; ok {
				kinds[id] = kind
				continue
			}
			bodies[id] = p.HMGet(ctx, jobKey(id), "json")
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, cmd := range bodies {
		body, _ := cmd.Val()[0].(string)
		var job struct{ Kind, Tenant string }
		if body == "" || json.Unmarshal([]byte(body), &job) != nil { // forgotten meanwhile
			delete(states, id)
			continue
		}
		kinds[id] = of{job.Kind, job.Tenant}
	}
	c.kinds = kinds
	return nil
}
