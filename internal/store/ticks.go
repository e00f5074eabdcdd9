package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

// turnTicks is how many ticks of one schedule are decided at once.
const turnTicks = 100

// ScheduleLabel is the label by which a job says which schedule started it.
const ScheduleLabel = "schedule"

// PendingTick is a tick in the outbox: it was decided, once and for all, that it has a job, and nobody has said yet that the job
// is there. Creating the job twice is creating it once, since its id follows from schedule and due time.
type PendingTick struct {
	Tick  wire.Tick `json:"tick"`
	Job   tasks.Job `json:"job"`
	Waits bool      `json:"waits,omitempty"` // for the end of the job before it: leave it to DecideTicks
}

// DueLook is what there is to do for schedulers at a moment.
type DueLook struct {
	Due     []string      // schedules to be decided: those with a tick that is due, those with one that waits
	Pending []PendingTick // ticks whose jobs are to be created now, the oldest first
	Wait    time.Duration // until the next schedule is due; negative when none will be
	// Configured is how often a configuration was written, as Configured counts it: less than before is a Redis that has lost some.
	Configured int64
}

// LookSchedules says what there is to do, by Redis' clock.
func (s *Store) LookSchedules(ctx context.Context) (DueLook, error) {
	v, err := scheduleLook.Run(ctx, s.rdb, []string{scheduleDueKey, schedulePendingKey, scheduleConfiguredKey}).Slice()
	if err != nil {
		return DueLook{}, fmt.Errorf("look at schedules: %w", err)
	}
	if len(v) != 5 {
		return DueLook{}, fmt.Errorf("look at schedules: unexpected reply of a script: %v", v)
	}
	look := DueLook{Wait: -1, Configured: toInt(v[4])}
	names, _ := v[1].([]any)
	for _, n := range names {
		name, _ := n.(string)
		look.Due = append(look.Due, name)
	}
	if first, _ := v[2].(string); first != "" {
		look.Wait = time.Duration(toInt(v[2])-toInt(v[0])) * time.Millisecond
	}
	flat, _ := v[3].([]any)
	for i := 1; i < len(flat); i += 2 {
		body, _ := flat[i].(string)
		var p PendingTick
		if err := json.Unmarshal([]byte(body), &p); err != nil {
			return DueLook{}, fmt.Errorf("decode tick: %w", err)
		}
		switch {
		case !p.Waits:
			look.Pending = append(look.Pending, p)
		case !slices.Contains(look.Due, p.Tick.Schedule):
			look.Due = append(look.Due, p.Tick.Schedule)
		}
	}
	slices.SortFunc(look.Pending, func(a, b PendingTick) int { return a.Tick.DueAt.Compare(b.Tick.DueAt) })
	return look, nil
}

// Configured notes that a scheduler has written what its configuration says, and returns how often that was done.
func (s *Store) Configured(ctx context.Context) (int64, error) {
	n, err := s.rdb.Incr(ctx, scheduleConfiguredKey).Result()
	if err != nil {
		return 0, fmt.Errorf("note that the configuration was written: %w", err)
	}
	return n, nil
}

// DecideTicks decides the ticks of a schedule that are due, each of them once, whoever asks and however often: what comes of each
// is in the history and, where there is a job to be created, in the outbox, by the same script that moves the schedule on. It
// returns what it decided itself; nothing when there was nothing to decide, or somebody else has done it.
func (s *Store) DecideTicks(ctx context.Context, name string) ([]PendingTick, error) {
	sc, err := s.readSchedule(ctx, name)
	if err != nil || !sc.exists() {
		return nil, wrapDecide(err)
	}
	if err := sc.usable(); err != nil {
		return nil, wrapDecide(err)
	}
	busy, err := s.busy(ctx, sc)
	if err != nil {
		return nil, wrapDecide(err)
	}
	sc.decide(busy)
	if len(sc.decided) == 0 {
		return nil, nil
	}
	moved, err := s.move(ctx, sc, sc.rev)
	if err != nil || !moved {
		return nil, wrapDecide(err)
	}
	return sc.decided, nil
}

func wrapDecide(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("decide ticks: %w", err)
}

// SettleTick takes a tick out of the outbox: its job is there.
func (s *Store) SettleTick(ctx context.Context, id string) error {
	if err := s.rdb.HDel(ctx, schedulePendingKey, id).Err(); err != nil {
		return fmt.Errorf("settle tick: %w", err)
	}
	return nil
}

// RunSchedule makes a tick that is due now, whether or not the schedule is paused. Its overlap policy holds: the tick says
// what came of it. The same key gives back the same tick; "" is a key that nobody else has. ErrNotFound when there is no
// such schedule.
func (s *Store) RunSchedule(ctx context.Context, name, key string) (tick wire.Tick, err error) {
	if key == "" {
		key = RandomID()
	}
	id := name + "@manual:" + key
	err = s.moving(ctx, name, func(sc *schedule) (*schedule, error) {
		if err := sc.usable(); err != nil {
			return nil, err
		}
		// After the read of the schedule: whoever made this tick since then has moved it, and the write will say so.
		known, err := s.tick(ctx, name, id)
		if err != nil {
			return nil, err
		}
		if known != nil {
			tick = *known
			return nil, nil
		}
		busy, err := s.busy(ctx, sc)
		if err != nil {
			return nil, err
		}
		busy = sc.release(busy)
		t := wire.Tick{ID: id, Schedule: name, DueAt: sc.seen, Count: 1, Manual: true, At: sc.seen}
		sc.place(t, "manual:"+key, busy)
		tick = sc.decided[len(sc.decided)-1].Tick
		return sc, nil
	})
	if err != nil {
		return wire.Tick{}, fmt.Errorf("run schedule: %w", err)
	}
	return tick, nil
}

// busy returns the job of the last tick if it is not over, else "". The answer may be used as long as the schedule is not
// moved: nobody else starts jobs of it then, and one that is over stays so unless a person starts it over.
func (s *Store) busy(ctx context.Context, sc *schedule) (string, error) {
	if sc.def.Overlap == wire.OverlapAllow || sc.lastJob == "" {
		return "", nil
	}
	if sc.lastOpen { // seen before the job is looked for: it may be there by now, and it is not over for being absent
		return sc.lastJob, nil
	}
	state, err := s.rdb.HGet(ctx, jobKey(sc.lastJob), "state").Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", err
	}
	if state == "" || tasks.State(state).Ended() {
		return "", nil
	}
	return sc.lastJob, nil
}

// decide decides what is due, in order. It changes the schedule alone.
func (sc *schedule) decide(busy string) {
	if sc.paused {
		return
	}
	busy = sc.release(busy)
	sc.passMissed()
	for range turnTicks {
		at := sc.next
		if sc.fire(at).After(sc.seen) {
			return
		}
		// With overlap queue and missed all nothing may be left out and only one may wait: the others stay undecided.
		if busy != "" && sc.waiting != "" && sc.def.Overlap == wire.OverlapQueue && sc.def.Missed == wire.MissedAll {
			return
		}
		t := sc.tickAt(at)
		if t.Lag > sc.deadline.Milliseconds() {
			t.Reason = "late"
		}
		busy = sc.place(t, at.Format(time.RFC3339Nano), busy)
		sc.next = sc.rule.Next(at)
	}
}

// tickAt begins a tick of a due time.
func (sc *schedule) tickAt(at time.Time) wire.Tick {
	return wire.Tick{ID: sc.name + "@" + at.Format(time.RFC3339Nano), Schedule: sc.name, DueAt: at, Count: 1, At: sc.seen,
		Lag: sc.seen.Sub(sc.fire(at)).Milliseconds()}
}

// place decides a tick by the overlap policy and returns the job that runs afterwards. key is what tells the tick from all
// others of its schedule; its job's id follows from it.
func (sc *schedule) place(t wire.Tick, key, busy string) string {
	job := sc.job(key)
	switch {
	case sc.def.Overlap == wire.OverlapAllow || busy == "":
		t.Outcome, t.Job = wire.TickFired, job.ID
		sc.lastAt, sc.lastTick, sc.lastJob = t.DueAt, t.ID, job.ID
		sc.decided = append(sc.decided, PendingTick{Tick: t, Job: job})
		return job.ID
	case sc.def.Overlap == wire.OverlapQueue && sc.waiting == "":
		t.Outcome, t.Reason, t.Job, t.Running = wire.TickQueued, "the job before it still runs", job.ID, busy
		sc.waiting = t.ID
		sc.decided = append(sc.decided, PendingTick{Tick: t, Job: job, Waits: true})
		return busy
	}
	t.Outcome, t.Reason, t.Running = wire.TickSkipped, "the job before it still runs", busy
	if sc.def.Overlap == wire.OverlapQueue {
		t.Reason = "the job before it still runs and another tick waits already"
	}
	sc.decided = append(sc.decided, PendingTick{Tick: t})
	return busy
}

// release fires the tick that waits once the job before it is over, and returns the job that runs then.
func (sc *schedule) release(busy string) string {
	if sc.waits == nil {
		sc.waiting = "" // the outbox has nothing of it: nothing to wait with
	}
	if busy != "" || sc.waiting == "" {
		return busy
	}
	p := *sc.waits
	p.Waits, p.Tick.Outcome, p.Tick.At = false, wire.TickFired, sc.seen
	p.Tick.Reason = "it waited for the job before it"
	sc.waiting, sc.waits = "", nil
	sc.lastAt, sc.lastTick, sc.lastJob = p.Tick.DueAt, p.Tick.ID, p.Job.ID
	sc.decided = append(sc.decided, p)
	return p.Job.ID
}

// passMissed lists what is later than the deadline as missed, unless the policy is to fire all of it. What is left begins with
// the latest one, late as it is, when the policy is to fire that and nothing after it is due yet.
func (sc *schedule) passMissed() {
	missed := func(at time.Time) bool { return sc.seen.Sub(sc.fire(at)) > sc.deadline }
	if sc.def.Missed == wire.MissedAll || !missed(sc.next) {
		return
	}
	last := sc.next
	// Whatever the jitter, these are too late; the few after them are looked at one by one.
	if l := sc.rule.Last(sc.next, sc.seen.Add(-sc.deadline-sc.rule.Jitter()-time.Millisecond)); !l.IsZero() {
		last = l
	}
	following := sc.rule.Next(last)
	for missed(following) {
		last, following = following, sc.rule.Next(following)
	}
	if sc.def.Missed == wire.MissedLast && sc.fire(following).After(sc.seen) {
		sc.passUntil(sc.rule.Last(sc.next.Add(-time.Millisecond), last.Add(-time.Millisecond)), wire.TickMissed, sc.missedReason())
		sc.next = last
		return
	}
	sc.passUntil(last, wire.TickMissed, sc.missedReason())
	sc.next = following
}

func (sc *schedule) missedReason() string {
	return "no scheduler decided it within its deadline of " + sc.deadline.String()
}

// pass lists all that has come due as having one fate, and goes on from now.
func (sc *schedule) pass(outcome, reason string) {
	sc.passUntil(sc.rule.Last(sc.next.Add(-time.Millisecond), sc.seen), outcome, reason)
	if !sc.next.After(sc.seen) {
		sc.next = sc.rule.Next(sc.seen)
	}
}

// passUntil lists the due times from the next one up to last as one range; none when last is the zero time.
func (sc *schedule) passUntil(last time.Time, outcome, reason string) {
	if last.IsZero() || last.Before(sc.next) {
		return
	}
	t := sc.tickAt(sc.next)
	t.Outcome, t.Reason = outcome, reason
	if last.After(sc.next) {
		t.Until, t.Count = &last, sc.rule.Count(sc.next.Add(-time.Millisecond), last)
	}
	sc.decided = append(sc.decided, PendingTick{Tick: t})
}

// job makes the job of a tick.
func (sc *schedule) job(key string) tasks.Job {
	j := sc.def.Job
	labels := map[string]string{ScheduleLabel: sc.name}
	maps.Copy(labels, j.Labels)
	return tasks.Job{ID: JobID(j.Kind, j.Tenant, "tick:"+sc.name+":"+key), Kind: j.Kind, Tenant: j.Tenant, Spec: j.Spec, Labels: labels,
		Priority: j.Priority, Window: j.Window, Queue: j.Queue, KeepFor: sc.keep}
}
