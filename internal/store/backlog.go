package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/tasks"
)

// Backlog is what is left of the jobs of one queue and protocol that have not ended.
type Backlog struct {
	Queue    string // without protocol and band
	Protocol int
	Jobs     int
	Steps    int64 // known and not ended
}

// Backlogs adds up what is left of every job that has not ended and that nothing holds.
func (s *Store) Backlogs(ctx context.Context) ([]Backlog, error) {
	ids, err := s.Active(ctx)
	if err != nil {
		return nil, fmt.Errorf("list active jobs: %w", err)
	}
	sum := map[[2]any]*Backlog{}
	for page := range slices.Chunk(ids, 500) {
		if err := s.addBacklogs(ctx, page, sum); err != nil {
			return nil, fmt.Errorf("read backlogs: %w", err)
		}
	}
	list := make([]Backlog, 0, len(sum))
	for _, b := range sum {
		list = append(list, *b)
	}
	return list, nil
}

// addBacklogs adds up what jobs have left, by queue and protocol. Of a job that is planned it reads one number of each stage, of one that is
// not nothing more.
func (s *Store) addBacklogs(ctx context.Context, ids []string, sum map[[2]any]*Backlog) error {
	jobs := make([]*redis.SliceCmd, len(ids))
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			jobs[i] = p.HMGet(ctx, jobKey(id), "queue", "protocol", "stages", "state", "held")
		}
		return nil
	})
	if err != nil {
		return err
	}
	live := map[*Backlog][]*redis.SliceCmd{}
	_, err = s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range ids {
			v := jobs[i].Val()
			full, _ := v[0].(string)
			state, _ := v[3].(string)
			if full == "" || tasks.State(state).Ended() || state == string(tasks.Paused) || v[4] != nil {
				continue
			}
			name, _, _ := strings.Cut(full, ".")
			at := [2]any{name, toInt(v[1])}
			b := sum[at]
			if b == nil {
				b = &Backlog{Queue: name, Protocol: int(toInt(v[1]))}
				sum[at] = b
			}
			b.Jobs++
			if v[2] == nil {
				b.Steps++ // its planning
			}
			var fields []string
			for k := range toInt(v[2]) {
				fields = append(fields, strconv.FormatInt(k, 10)+":live")
			}
			if len(fields) > 0 {
				live[b] = append(live[b], p.HMGet(ctx, stagesKey(id), fields...))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for b, read := range live {
		for _, cmd := range read {
			for _, n := range cmd.Val() {
				b.Steps += toInt(n)
			}
		}
	}
	return nil
}
