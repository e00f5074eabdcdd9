package scheduler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/localredis"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
)

// each makes a schedule that starts a job of the test family so often.
func each(name, every string, change ...func(*wire.Schedule)) wire.Schedule {
	sc := wire.Schedule{Name: name, Every: every, Missed: wire.MissedAll, Overlap: wire.OverlapAllow,
		Job: wire.ScheduleJob{Kind: "test", Spec: json.RawMessage(`{"stages":[1]}`)}}
	for _, c := range change {
		c(&sc)
	}
	return sc
}

func (r *room) put(sc wire.Schedule) {
	r.t.Helper()
	if _, _, err := r.st.PutSchedule(r.t.Context(), sc, wire.OriginAPI, store.AnyVersion); err != nil {
		r.t.Fatal(err)
	}
}

func (r *room) history(name string) []wire.Tick {
	list, err := r.st.ScheduleHistory(r.t.Context(), name, store.KeepTicks)
	if err != nil {
		return nil
	}
	return list
}

// jobs counts the jobs of a schedule by the id in their index; each is created once however often it is tried.
func (r *room) jobs() map[string]bool {
	r.t.Helper()
	ids, err := r.rdb.ZRange(r.t.Context(), "stint:jobs", 0, -1).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	all := map[string]bool{}
	for _, id := range ids {
		all[id] = true
	}
	return all
}

// wait lets schedulers run for so long.
func wait(t *testing.T, what string, d time.Duration) {
	t.Helper()
	start := time.Now()
	enginetest.Eventually(t, what, func() bool { return time.Since(start) > d })
}

// checkTicks fails the test unless each second of the range is in the history once, and each that fired has a job of its own.
func (r *room) checkTicks(name string, from, to time.Time) {
	r.t.Helper()
	jobs := r.jobs()
	seen := map[time.Time]string{}
	own := map[string]bool{}
	for _, tick := range r.history(name) {
		until := tick.DueAt
		if tick.Until != nil {
			until = *tick.Until
		}
		for due := tick.DueAt; !due.After(until); due = due.Add(time.Second) {
			if seen[due] != "" {
				r.t.Errorf("%s %s is %s and %s", name, due, seen[due], tick.Outcome)
			}
			seen[due] = tick.Outcome
		}
		switch tick.Outcome {
		case wire.TickFired:
			if !jobs[tick.Job] || own[tick.Job] {
				r.t.Errorf("%s %s has no job of its own: %q", name, tick.DueAt, tick.Job)
			}
			own[tick.Job] = true
		case wire.TickMissed:
			if tick.Reason == "" {
				r.t.Errorf("%s %s was missed without a reason", name, tick.DueAt)
			}
		default:
			r.t.Errorf("%s %s is %s", name, tick.DueAt, tick.Outcome)
		}
	}
	for due := from.Truncate(time.Second).Add(time.Second); due.Before(to); due = due.Add(time.Second) {
		if seen[due.UTC()] == "" {
			r.t.Errorf("%s: nothing is known of %s", name, due)
		}
	}
}

// Three schedulers, twenty schedules; one scheduler after another is stopped, or dies, and is started again.
func TestEachTickFiresOnceWhicheverSchedulersRun(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	var list []wire.Schedule
	for i := range 20 {
		missed := []string{wire.MissedAll, wire.MissedLast, wire.MissedSkip}[i%3]
		list = append(list, each(fmt.Sprintf("s%02d", i), "1s", func(s *wire.Schedule) { s.Missed, s.Deadline = missed, "400ms" }))
	}
	counts := &counts{}
	start := func() *Scheduler { return r.scheduler(Options{Schedules: list, Metrics: counts}) }
	fleet := []*Scheduler{start(), start(), start()}
	enginetest.Eventually(t, "all schedules are written", func() bool {
		got, err := r.st.Schedules(t.Context())
		return err == nil && len(got) == 20
	})
	begin := time.Now()
	for i := range 6 {
		wait(t, "the fleet ticks", 1200*time.Millisecond)
		fleet[i%3].Stop()
		wait(t, "two tick", 300*time.Millisecond)
		fleet[i%3] = start()
	}
	for _, s := range fleet {
		s.Stop()
	}
	gone := time.Now()
	wait(t, "nobody ticks", 2500*time.Millisecond)
	back := time.Now()
	s := start()
	enginetest.Eventually(t, "what was missed is decided", func() bool {
		return !slices.ContainsFunc(list, func(sc wire.Schedule) bool {
			return !slices.ContainsFunc(r.history(sc.Name), func(tick wire.Tick) bool { return tick.DueAt.After(back) })
		})
	})
	s.Stop()
	look, err := r.st.LookSchedules(t.Context())
	if err != nil || len(look.Pending) != 0 {
		t.Errorf("%d decisions have no job, %v", len(look.Pending), err)
	}
	fired := 0
	for i, sc := range list {
		r.checkTicks(sc.Name, begin, back)
		missed := 0
		for _, tick := range r.history(sc.Name) {
			switch {
			case tick.Outcome == wire.TickFired:
				fired++
			case tick.DueAt.After(gone.Add(-2*time.Second)) && tick.DueAt.Before(back):
				missed += tick.Count
			}
		}
		if want := i%3 != 0; (missed > 0) != want {
			t.Errorf("%s, missed %s: %d were missed while nobody ran", sc.Name, sc.Missed, missed)
		}
	}
	if jobs := r.jobs(); len(jobs) != fired || int(counts.fired) != fired {
		t.Errorf("%d fired, %d were counted, and there are %d jobs", fired, counts.fired, len(jobs))
	}
	t.Logf("%d ticks fired, the latest %v late, %d missed", fired, counts.worst, counts.missed)
}

// counts is what metrics are told.
type counts struct {
	mu            sync.Mutex
	fired, missed int
	worst         time.Duration
}

func (c *counts) TickLag(_ context.Context, _ string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fired++
	c.worst = max(c.worst, d)
}

func (c *counts) TickMissed(_ context.Context, _ string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.missed += n
}

func TestAnotherSchedulerCreatesTheJobThatWasDecidedAndNotCreated(t *testing.T) {
	t.Parallel()
	for _, created := range []bool{false, true} {
		t.Run(fmt.Sprint("created ", created), func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			r.put(each("s", "1h"))
			tick, err := r.st.RunSchedule(t.Context(), "s", "")
			if err != nil {
				t.Fatal(err)
			}
			if created { // the process died between the job and the queue, or between the queue and the outbox
				look, err := r.st.LookSchedules(t.Context())
				if err != nil || len(look.Pending) != 1 {
					t.Fatal(look, err)
				}
				if _, _, err := r.st.Create(t.Context(), look.Pending[0].Job); err != nil {
					t.Fatal(err)
				}
			}
			r.scheduler(Options{})
			r.scheduler(Options{})
			enginetest.Eventually(t, "its planning is on the queue", func() bool { return len(r.waiting()) > 0 })
			enginetest.Eventually(t, "the outbox is empty", func() bool {
				look, err := r.st.LookSchedules(t.Context())
				return err == nil && len(look.Pending) == 0
			})
			if got := r.waiting(); len(got) != 1 || !strings.HasPrefix(got[0], tick.Job+":") || len(r.jobs()) != 1 {
				t.Errorf("%v, want %s", got, tick.Job)
			}
		})
	}
}

// Stopped at any moment: what was decided has its job, although nobody else is there to create it.
func TestASchedulerThatIsStoppedFinishesWhatItHasDecided(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	for i := range 100 {
		r.put(each(fmt.Sprintf("s%02d", i), "1s"))
	}
	for range 5 {
		s := r.scheduler(Options{})
		enginetest.Eventually(t, "it is in the midst of it", func() bool {
			look, err := r.st.LookSchedules(t.Context())
			return err == nil && len(look.Pending) > 0
		})
		s.Stop()
		if look, err := r.st.LookSchedules(t.Context()); err != nil || len(look.Pending) != 0 {
			t.Fatalf("%d decisions have no job, %v", len(look.Pending), err)
		}
	}
}

func TestATickThatWaitsIsFiredByAnyScheduler(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.put(each("s", "1h", func(s *wire.Schedule) { s.Overlap = wire.OverlapQueue }))
	one, err := r.st.RunSchedule(t.Context(), "s", "1")
	if err != nil {
		t.Fatal(err)
	}
	two, err := r.st.RunSchedule(t.Context(), "s", "2")
	if err != nil || two.Outcome != wire.TickQueued {
		t.Fatal(two, err)
	}
	first := r.scheduler(Options{})
	enginetest.Eventually(t, "the first job is there", func() bool { return r.jobs()[one.Job] })
	wait(t, "it is looked at again", 600*time.Millisecond)
	if r.jobs()[two.Job] {
		t.Fatal("the second did not wait")
	}
	first.Stop()
	r.scheduler(Options{})
	if _, err := r.st.Control(t.Context(), one.Job, store.Cancel, "test", ""); err != nil {
		t.Fatal(err)
	}
	took := enginetest.Eventually(t, "the second job is there", func() bool { return r.jobs()[two.Job] })
	t.Logf("%v after the end of the first", took)
}

func TestSchedulesFollowTheConfiguration(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.put(each("mine", "1h"))
	one := r.scheduler(Options{Schedules: []wire.Schedule{each("a", "1s"), each("b", "1h")}, RemoveOthers: true})
	two := r.scheduler(Options{Schedules: []wire.Schedule{each("a", "1s"), each("b", "1h")}, RemoveOthers: true})
	enginetest.Eventually(t, "it ticks", func() bool { return len(r.history("a")) > 1 })
	names := func() string {
		list, err := r.st.Schedules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, sc := range list {
			names = append(names, sc.Name+" "+sc.Origin)
		}
		return strings.Join(names, ", ")
	}
	if got := names(); got != "a config, b config, cleanup config, mine api" {
		t.Error(got)
	}
	if _, err := r.st.PauseSchedule(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	one.Stop()
	two.Stop()
	before := len(r.history("a"))
	if sc, err := r.st.Schedule(t.Context(), "b"); err != nil || !sc.Paused {
		t.Fatal(sc, err)
	}

	r.scheduler(Options{Schedules: []wire.Schedule{each("b", "1h")}}).Stop() // a command with a scheduler of its own
	again := r.scheduler(Options{Schedules: []wire.Schedule{each("a", "1s"), each("b", "1h"), each("bad", "soon")}, RemoveOthers: true})
	enginetest.Eventually(t, "it goes on", func() bool { return len(r.history("a")) > before })
	if sc, err := r.st.Schedule(t.Context(), "b"); err != nil || !sc.Paused {
		t.Errorf("the pause did not survive a restart: %+v, %v", sc, err)
	}
	if r.log.Count("a schedule of the configuration is wrong") != 1 {
		t.Error("nothing is said of the one that is wrong")
	}
	again.Stop()

	r.scheduler(Options{Schedules: []wire.Schedule{each("b", "1h"), each(CleanupSchedule, "24h")}, RemoveOthers: true})
	enginetest.Eventually(t, "what is gone from the configuration is gone", func() bool { return names() == "b config, cleanup config, mine api" })
	if sc, err := r.st.Schedule(t.Context(), CleanupSchedule); err != nil || sc.Every != "24h" {
		t.Errorf("the built-in one hides that of the configuration: %+v, %v", sc, err)
	}
}

func TestARedisThatLostEverythingIsToldTheConfigurationAgain(t *testing.T) {
	t.Parallel()
	for name, rival := range map[string]bool{"at once": false, "after somebody else has written a schedule": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRoom(t)
			want := wire.Limits{RunningJobs: 3}
			o := Options{Schedules: []wire.Schedule{each("a", "1s")}, Limits: map[string]wire.Limits{"acme": want}, RemoveOthers: true}
			r.scheduler(o)
			r.scheduler(o)
			limited := func() bool {
				l, err := r.st.Limits(t.Context())
				return err == nil && l["acme"] == want
			}
			for range 2 {
				enginetest.Eventually(t, "it ticks, and the limits are there", func() bool { return len(r.history("a")) > 0 && limited() })
				// Somebody else is the first to write one, before any scheduler has looked.
				_, err := r.rdb.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
					p.FlushAll(t.Context())
					if rival {
						p.SAdd(t.Context(), "stint:{schedules}:names", "another")
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			enginetest.Eventually(t, "it ticks again, and the limits are there", func() bool { return len(r.history("a")) > 0 && limited() })
		})
	}
}

func TestARedisThatLostItsLastWritesIsToldTheConfigurationAgain(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.scheduler(Options{Schedules: []wire.Schedule{each("old", "1h")}})
	enginetest.Eventually(t, "the first is written", func() bool { return r.rdb.Get(t.Context(), "stint:{schedules}:configured").Val() == "1" })
	s := r.scheduler(Options{Schedules: []wire.Schedule{each("old", "1h"), each("new", "1h")}})
	enginetest.Eventually(t, "the second is written", func() bool { return r.rdb.Get(t.Context(), "stint:{schedules}:configured").Val() == "2" })
	if err := r.st.DeleteSchedule(t.Context(), "new", wire.OriginConfig, store.AnyVersion); err != nil {
		t.Fatal(err)
	}
	if err := r.rdb.Set(t.Context(), "stint:{schedules}:configured", 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	enginetest.Eventually(t, "it is written again", func() bool {
		_, err := r.st.Schedule(t.Context(), "new")
		return err == nil
	})
	s.Stop()
	if n, err := r.rdb.Get(t.Context(), "stint:{schedules}:configured").Int(); err != nil || n > 4 {
		t.Errorf("written %d times, %v: schedulers take turns in writing", n, err)
	}
}

func TestAConfigurationThatCannotBeMeantIsSaidBeforehand(t *testing.T) {
	t.Parallel()
	err := CheckSchedules([]wire.Schedule{each("a", "1h"), each("a", "2h"), each("b", "soon")})
	if err == nil || !strings.Contains(err.Error(), "two schedules named a") || !strings.Contains(err.Error(), `"soon" is no duration`) {
		t.Error(err)
	}
	if err := CheckSchedules(withCleanup(nil)); err != nil {
		t.Error(err)
	}
}

// Redis is killed and comes back with its append-only file: schedules go on, each tick once, and the log says it once.
func TestSchedulesSurviveARestartOfRedis(t *testing.T) {
	t.Parallel()
	r := newRoom(t, redistest.FsyncAlways())
	list := []wire.Schedule{each("s", "1s")}
	for range 2 {
		r.scheduler(Options{Schedules: list})
	}
	enginetest.Eventually(t, "it ticks", func() bool { return len(r.history("s")) > 1 })
	h := r.history("s")
	begin := h[len(h)-1].DueAt.Add(-time.Second)
	r.server.Kill()
	wait(t, "Redis is away", 2500*time.Millisecond)
	before := r.log.Count("schedules failed")
	r.server.Restart()
	back := time.Now()
	enginetest.Eventually(t, "it goes on", func() bool {
		h := r.history("s")
		return len(h) > 0 && h[0].DueAt.After(back)
	})
	if before != 2 {
		t.Errorf("two schedulers said %d times that Redis is away", before)
	}
	enginetest.Eventually(t, "all that was decided has a job", func() bool {
		look, err := r.st.LookSchedules(t.Context())
		return err == nil && len(look.Pending) == 0
	})
	r.checkTicks("s", begin, back)
}

// The queue within the process is not a whole Redis: what ticks need of one has to be there all the same.
func TestTheQueueWithinTheProcessTicks(t *testing.T) {
	t.Parallel()
	log := &enginetest.Log{}
	server, err := localredis.Start(t.Context(), localredis.Options{Dir: t.TempDir(), Mode: localredis.InProcess, Log: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	rdb := redis.NewClient(server.Options())
	t.Cleanup(func() { _ = rdb.Close() })
	r := &room{t: t, rdb: rdb, st: store.New(rdb), log: log}
	counts := &counts{}
	s := New(rdb, r.st, Options{Schedules: []wire.Schedule{each("s", "1s"), each("rare", "1h")}, Log: log.Logger(), Metrics: counts})
	s.Start()
	t.Cleanup(s.Stop)
	enginetest.Eventually(t, "it ticks", func() bool { return len(r.history("s")) > 2 })
	s.Stop()
	h := r.history("s")
	r.checkTicks("s", h[len(h)-1].DueAt.Add(-time.Second), h[0].DueAt)
	if log.Count("failed") != 0 {
		t.Errorf("%s", log)
	}
	t.Logf("%d ticks, the latest %v late", counts.fired, counts.worst)
}

func TestASchedulerWithoutSchedulesLooksNoMoreOftenThanOthers(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	r.scheduler(Options{Interval: time.Hour})
	looks := 0
	<-time.After(2 * lookEach)
	for line := range strings.Lines(r.rdb.Info(t.Context(), "commandstats").Val()) {
		if rest, ok := strings.CutPrefix(line, "cmdstat_evalsha:calls="); ok {
			_, _ = fmt.Sscan(strings.SplitN(rest, ",", 2)[0], &looks)
		}
	}
	if looks == 0 || looks > 10 {
		t.Errorf("%d scripts in %v", looks, 2*lookEach)
	}
}
