package store

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
)

// The scripts of schedules against a small model: several schedulers look at a schedule and move it, each from what it has seen, in any
// order, twice, and while it is deleted and made anew. Which of them may, what is remembered of ticks, and what the outbox holds.

type modelSchedule struct {
	rt     *rapid.T
	s      *Store
	name   string
	writes int
	rev    int // which write it stands at; 0: there is no schedule
	ticks  map[string]bool
	outbox map[string]bool
	waits  string
	looks  []lookAt
	made   int
}

// lookAt is what a scheduler has seen, and of which rev of the model.
type lookAt struct {
	sc  *schedule
	rev int
}

func TestTheScriptsOfSchedulesDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &modelSchedule{rt: rt, s: New(rdb), name: fmt.Sprint("s", n), outbox: map[string]bool{}, ticks: map[string]bool{}}
		ops := map[string]func(*rapid.T){"": func(*rapid.T) { m.agree() }}
		for name, op := range map[string]func(){"look": m.look, "move": m.move, "move one": m.move, "settle": m.settle, "delete": m.remove} {
			ops[name] = func(rt *rapid.T) { m.rt = rt; op() }
		}
		rt.Repeat(ops)
	})
}

// look reads the schedule; where there is none it is about to be made.
func (m *modelSchedule) look() {
	sc := m.read()
	if !sc.exists() {
		fresh, err := newSchedule(wire.Schedule{Name: m.name, Every: "1m", Job: wire.ScheduleJob{Kind: "test"}}, "")
		if err != nil {
			m.rt.Fatal(err)
		}
		fresh.seen, fresh.created, fresh.next = sc.seen, sc.seen, sc.seen
		sc = fresh
	}
	m.looks = append(m.looks, lookAt{sc, m.rev})
}

func (m *modelSchedule) read() *schedule {
	sc, err := m.s.readSchedule(m.rt.Context(), m.name)
	if err != nil {
		m.rt.Fatal(err)
	}
	return sc
}

// move decides ticks by what was seen at some look, which others may have moved since.
func (m *modelSchedule) move() {
	if len(m.looks) == 0 {
		m.rt.Skip("nobody has looked")
	}
	l := m.looks[len(m.looks)-1-rapid.IntRange(0, min(len(m.looks)-1, 3)).Draw(m.rt, "looks ago")]
	sc := *l.sc
	sc.seen = m.read().seen // how old a look may be has a test of its own
	sc.decided = nil
	waits := ""
	for range rapid.IntRange(0, 2).Draw(m.rt, "ticks") {
		m.made++
		at := sc.seen.Add(time.Duration(m.made) * time.Minute)
		p := PendingTick{Tick: wire.Tick{ID: fmt.Sprint(m.name, "@", m.made), Schedule: m.name, DueAt: at, Count: 1,
			Outcome: rapid.SampledFrom([]string{wire.TickFired, wire.TickSkipped, wire.TickMissed, wire.TickQueued}).Draw(m.rt, "outcome")}}
		p.Job = sc.job(p.Tick.ID)
		if p.Waits = p.Tick.Outcome == wire.TickQueued; p.Waits {
			waits = p.Tick.ID
		}
		sc.decided = append(sc.decided, p)
	}
	sc.waiting = waits
	for range rapid.IntRange(1, 2).Draw(m.rt, "asked") { // once more, when the answer was lost
		moved, err := m.s.move(m.rt.Context(), &sc, l.sc.rev)
		if want := l.rev == m.rev; err != nil || moved != want {
			m.rt.Fatalf("moved from rev %d: %v, %v; it is at %d", l.rev, moved, err, m.rev)
		}
		if !moved {
			continue
		}
		m.writes++
		m.rev, m.waits = m.writes, waits
		for _, p := range sc.decided {
			m.ticks[p.Tick.ID] = true
			if p.Tick.Outcome == wire.TickFired || p.Tick.Outcome == wire.TickQueued {
				m.outbox[p.Tick.ID] = true
			}
		}
	}
}

func (m *modelSchedule) settle() {
	if len(m.outbox) == 0 {
		m.rt.Skip("nothing is in the outbox")
	}
	id := rapid.SampledFrom(slices.Sorted(maps.Keys(m.outbox))).Draw(m.rt, "tick")
	if err := m.s.SettleTick(m.rt.Context(), id); err != nil {
		m.rt.Fatal(err)
	}
	delete(m.outbox, id)
}

func (m *modelSchedule) remove() {
	err := m.s.DeleteSchedule(m.rt.Context(), m.name, "", AnyVersion)
	if (err == nil) != (m.rev != 0) || err != nil && !errors.Is(err, ErrNoSuch) {
		m.rt.Fatalf("deleted: %v, at rev %d", err, m.rev)
	}
	delete(m.outbox, m.waits)
	m.rev, m.waits, m.ticks = 0, "", map[string]bool{}
}

func (m *modelSchedule) agree() {
	ctx := m.rt.Context()
	sc := m.read()
	if sc.exists() != (m.rev != 0) || sc.waiting != m.waits {
		m.rt.Fatalf("there is a schedule: %v, %q waits; want rev %d, %q", sc.exists(), sc.waiting, m.rev, m.waits)
	}
	ids := m.s.rdb.ZRange(ctx, scheduleTicksKey(m.name), 0, -1).Val()
	told := m.s.rdb.HKeys(ctx, scheduleHistoryKey(m.name)).Val()
	slices.Sort(ids)
	slices.Sort(told)
	if want := slices.Sorted(maps.Keys(m.ticks)); !slices.Equal(ids, want) || !slices.Equal(told, want) {
		m.rt.Fatalf("ticks %v, history %v, want %v", ids, told, want)
	}
	var open []string
	for _, id := range m.s.rdb.HKeys(ctx, schedulePendingKey).Val() {
		if len(id) > len(m.name) && id[:len(m.name)+1] == m.name+"@" {
			open = append(open, id)
		}
	}
	slices.Sort(open)
	if want := slices.Sorted(maps.Keys(m.outbox)); !slices.Equal(open, want) {
		m.rt.Fatalf("the outbox has %v, want %v", open, want)
	}
	due, err := m.s.rdb.ZScore(ctx, scheduleDueKey, m.name).Result()
	if listed := err == nil; listed != (m.rev != 0) {
		m.rt.Fatalf("due at %v, %v; want rev %d", due, err, m.rev)
	}
}
