package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
)

// AnyVersion and NoVersion are what Put and Delete take besides a version: whatever there is, or nothing may be there yet.
const (
	AnyVersion = ""
	NoVersion  = "none"
)

// KeepTicks is how many ticks of a schedule are remembered.
const KeepTicks = 2000

// noSchedule is an ErrNoSuch that says what was looked for.
type noSchedule string

func (e noSchedule) Error() string { return fmt.Sprintf("there is no schedule %q", string(e)) }
func (e noSchedule) Unwrap() error { return ErrNoSuch }

// PutSchedule creates or replaces a schedule. What was fired, what waits and, unless cron, interval, time zone or jitter change,
// what is due next stay as they are; due times that a new rule cuts off are listed as missed. The same definition again changes
// nothing.
//
// version is the one that the caller has seen, AnyVersion or NoVersion; ErrChanged when it is another. A schedule that comes from
// the configuration is replaced by the configuration only: ErrConflict. The configuration takes over one of the API's. A
// schedule of the API is paused as sc.Paused says; the configuration pauses or resumes one when its own word changes, so that
// a schedule that was paused by hand stays so.
func (s *Store) PutSchedule(ctx context.Context, sc wire.Schedule, origin, version string) (now wire.Schedule, created bool, err error) {
	next, err := newSchedule(sc, origin)
	if err != nil {
		return now, false, err
	}
	err = s.moving(ctx, sc.Name, func(old *schedule) (*schedule, error) {
		switch {
		case version == NoVersion && old.exists(), version != AnyVersion && version != NoVersion && version != old.version:
			return nil, fmt.Errorf("schedule %s: %w", sc.Name, ErrChanged)
		case old.exists() && old.origin == wire.OriginConfig && origin != wire.OriginConfig:
			return nil, ownedByConfig(sc.Name)
		}
		created = !old.exists()
		changed := old.redefine(*next)
		if changed == nil {
			now = old.view()
			return nil, nil
		}
		now = changed.view()
		return changed, nil
	})
	if err != nil {
		return wire.Schedule{}, false, fmt.Errorf("put schedule: %w", err)
	}
	return now, created, nil
}

// DeleteSchedule removes a schedule with its history and the tick that waits; jobs that were started go on. ErrNotFound,
// ErrChanged and ErrConflict as for PutSchedule.
func (s *Store) DeleteSchedule(ctx context.Context, name, origin, version string) error {
	for range tries {
		sc, err := s.readSchedule(ctx, name)
		switch {
		case err != nil:
			return fmt.Errorf("delete schedule: %w", err)
		case !sc.exists():
			return fmt.Errorf("delete schedule: %w", noSchedule(name))
		case version != AnyVersion && version != sc.version:
			return fmt.Errorf("delete schedule: %s: %w", name, ErrChanged)
		case sc.origin == wire.OriginConfig && origin != wire.OriginConfig:
			return fmt.Errorf("delete schedule: %w", ownedByConfig(name))
		}
		n, err := scheduleDelete.Run(ctx, s.rdb, scheduleKeys(name), name, sc.rev).Int()
		if err != nil {
			return fmt.Errorf("delete schedule: %w", err)
		}
		if n == 1 {
			return nil
		}
	}
	return fmt.Errorf("delete schedule: %s: %w", name, ErrConflict)
}

// PauseSchedule lets a schedule fire nothing more until it is resumed; what waits for the job before it keeps waiting. Pausing a
// paused one changes nothing. ErrNotFound when there is none.
func (s *Store) PauseSchedule(ctx context.Context, name string) (wire.Schedule, error) {
	return s.setPaused(ctx, name, true)
}

// ResumeSchedule lets a schedule fire again, from its next due time on; those that have passed are listed as skipped.
func (s *Store) ResumeSchedule(ctx context.Context, name string) (wire.Schedule, error) {
	return s.setPaused(ctx, name, false)
}

func (s *Store) setPaused(ctx context.Context, name string, paused bool) (now wire.Schedule, err error) {
	err = s.moving(ctx, name, func(sc *schedule) (*schedule, error) {
		if err := sc.usable(); err != nil {
			return nil, err
		}
		var changed *schedule
		if sc.paused != paused {
			changed = sc
			sc.setPaused(paused)
			sc.version = newVersion()
		}
		now = sc.view()
		return changed, nil
	})
	if err != nil {
		return wire.Schedule{}, fmt.Errorf("pause or resume schedule: %w", err)
	}
	return now, nil
}

// Schedule reads a schedule. ErrNotFound when there is none.
func (s *Store) Schedule(ctx context.Context, name string) (wire.Schedule, error) {
	sc, err := s.readSchedule(ctx, name)
	if err == nil && !sc.exists() {
		err = noSchedule(name)
	}
	if err != nil {
		return wire.Schedule{}, fmt.Errorf("read schedule: %w", err)
	}
	return sc.view(), nil
}

// Schedules reads all schedules, in the order of their names.
func (s *Store) Schedules(ctx context.Context) ([]wire.Schedule, error) {
	names, err := s.rdb.SMembers(ctx, scheduleNamesKey).Result()
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	slices.Sort(names)
	list := make([]wire.Schedule, 0, len(names))
	for _, name := range names {
		sc, err := s.readSchedule(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("list schedules: %w", err)
		}
		if sc.exists() { // else it was deleted just now
			list = append(list, sc.view())
		}
	}
	return list, nil
}

// ScheduleHistory lists the ticks of a schedule, the newest first, at most limit of them; KeepTicks are remembered.
// ErrNotFound when there is no such schedule.
func (s *Store) ScheduleHistory(ctx context.Context, name string, limit int) ([]wire.Tick, error) {
	ids, err := s.rdb.ZRevRange(ctx, scheduleTicksKey(name), 0, int64(limit)-1).Result()
	if err != nil {
		return nil, fmt.Errorf("read ticks: %w", err)
	}
	list := make([]wire.Tick, 0, len(ids))
	if len(ids) == 0 {
		known, err := s.rdb.SIsMember(ctx, scheduleNamesKey, name).Result()
		if err == nil && !known {
			err = noSchedule(name)
		}
		if err != nil {
			return nil, fmt.Errorf("read ticks: %w", err)
		}
		return list, nil
	}
	bodies, err := s.rdb.HMGet(ctx, scheduleHistoryKey(name), ids...).Result()
	if err != nil {
		return nil, fmt.Errorf("read ticks: %w", err)
	}
	for _, b := range bodies {
		body, ok := b.(string)
		if !ok {
			continue // trimmed between the two reads
		}
		var tick wire.Tick
		if err := json.Unmarshal([]byte(body), &tick); err != nil {
			return nil, fmt.Errorf("decode tick: %w", err)
		}
		list = append(list, tick)
	}
	return list, nil
}

// tick reads one tick of the history; nil when it is not there.
func (s *Store) tick(ctx context.Context, name, id string) (*wire.Tick, error) {
	body, err := s.rdb.HGet(ctx, scheduleHistoryKey(name), id).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	var tick wire.Tick
	if err == nil {
		err = json.Unmarshal(body, &tick)
	}
	if err != nil {
		return nil, fmt.Errorf("read tick: %w", err)
	}
	return &tick, nil
}
