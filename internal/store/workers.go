package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
)

// keepWorker is how long an entry of the fleet outlives its last heartbeat.
const keepWorker = 24 * time.Hour

// Heard is what a worker is told with its heartbeat.
type Heard struct {
	// Wanted is "" (nothing is known of any wish), wire.WantDrain or wire.WantActive.
	Wanted string
	// WantedBy is who asked last that it drains; "" when nobody did, or did not say.
	WantedBy string
	// WasLost: it had been given up as lost since its last heartbeat, so what it held may run elsewhere.
	WasLost bool
	Fences  Known
}

// Beat writes a worker's heartbeat and returns what is wanted of it. After an error it may have been written all the same.
func (s *Store) Beat(ctx context.Context, w wire.Worker) (Heard, error) {
	body, err := json.Marshal(w)
	if err != nil {
		return Heard{}, fmt.Errorf("encode heartbeat: %w", err)
	}
	args := []any{w.ID, keepWorker.Milliseconds(), "json", string(body), "state", w.State}
	if w.Held != nil {
		args = append(args, "held", strings.Join(w.Held, ","))
	}
	v, err := beatScript.Run(ctx, s.rdb, []string{beatsKey, workerKey(w.ID), fenceKey}, args...).Slice()
	if err != nil {
		return Heard{}, fmt.Errorf("send heartbeat: %w", err)
	}
	h := Heard{WasLost: toInt(v[1]) == 1}
	h.Wanted, _ = v[0].(string)
	if len(v) > 3 {
		h.WantedBy, _ = v[3].(string)
	}
	fences := map[string]string{}
	for list := texts(v[2]); len(list) > 1; list = list[2:] {
		fences[list[0]] = list[1]
	}
	h.Fences, err = decodeFences(fences)
	return h, err
}

// Fleet says who is alive, by heartbeats.
type Fleet struct {
	Alive []string
	Lost  []string // given up just now: they are told once
	AsOf  int64    // ms of Redis' clock
}

// Living lists the workers whose last heartbeat is not older than lostAfter, and those that were given up just now.
func (s *Store) Living(ctx context.Context, lostAfter time.Duration) (Fleet, error) {
	v, err := living.Run(ctx, s.rdb, []string{beatsKey}, lostAfter.Milliseconds(), workerKey(""), keepWorker.Milliseconds()).Slice()
	if err != nil {
		return Fleet{}, fmt.Errorf("read heartbeats: %w", err)
	}
	return Fleet{texts(v[0]), texts(v[1]), toInt(v[2])}, nil
}

func texts(v any) []string {
	list, _ := v.([]any)
	out := make([]string, 0, len(list))
	for _, x := range list {
		if t, ok := x.(string); ok {
			out = append(out, t)
		}
	}
	return out
}

// Want asks a worker to drain, or takes that back, in the name of by. It holds whether or not the worker can be reached just now.
func (s *Store) Want(ctx context.Context, worker string, drain bool, by string) error {
	n, err := s.rdb.Exists(ctx, workerKey(worker)).Result()
	if err != nil {
		return fmt.Errorf("ask worker: %w", err)
	}
	if n == 0 {
		return fmt.Errorf("worker %s: %w", worker, ErrNotFound)
	}
	wanted := wire.WantActive
	if drain {
		wanted = wire.WantDrain
	}
	err = s.rdb.HSet(ctx, workerKey(worker), "wanted", wanted, "wanted_by", by).Err()
	if err == nil {
		err = s.rdb.Publish(ctx, ControlChannel, worker).Err()
	}
	if err != nil {
		return fmt.Errorf("ask worker: %w", err)
	}
	return nil
}

// ControlChannel carries the id of a worker of which something new is wanted, or EveryWorker, so that it need not wait for its
// next heartbeat.
const ControlChannel = prefix + "control"

// EveryWorker stands on ControlChannel for all of them.
const EveryWorker = "*"

// Listen subscribes to the names of workers of which something new is wanted. A message that is lost costs one heartbeat interval.
func (s *Store) Listen(ctx context.Context) *redis.PubSub {
	return s.rdb.Subscribe(ctx, ControlChannel)
}

// Workers lists the fleet as of the last heartbeats, those that are lost or stopped included for a day.
func (s *Store) Workers(ctx context.Context, lostAfter time.Duration) ([]wire.Worker, error) {
	ids, err := s.rdb.ZRangeWithScores(ctx, beatsKey, 0, -1).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	list := make([]wire.Worker, 0, len(ids))
	for _, z := range ids {
		id, _ := z.Member.(string)
		v, err := s.rdb.HMGet(ctx, workerKey(id), "json", "wanted").Result()
		if err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("list workers: %w", err)
		}
		body, _ := v[0].(string)
		var w wire.Worker
		if body == "" || json.Unmarshal([]byte(body), &w) != nil {
			continue
		}
		w.Wanted, _ = v[1].(string)
		w.HeartbeatAge = max(0, now.UnixMilli()-int64(z.Score))
		if w.State != wire.WorkerStopped && w.HeartbeatAge > lostAfter.Milliseconds() {
			w.State = wire.WorkerLost
		}
		w.SafeToStop = w.State == wire.WorkerDrained || w.State == wire.WorkerStopped
		list = append(list, w)
	}
	sort.Slice(list, func(a, b int) bool { return list[a].ID < list[b].ID })
	return list, nil
}

// Remove takes a worker that said good-bye out of the list.
func (s *Store) Remove(ctx context.Context, worker string) error {
	_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.ZRem(ctx, beatsKey, worker)
		p.Del(ctx, workerKey(worker))
		return nil
	})
	return err
}
