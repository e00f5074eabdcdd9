package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// What becomes of jobs that go on after their end while somebody is still busy with that end.

// turns lets everybody in who may, as the scheduler does.
func turns(t *testing.T, s *Store) {
	t.Helper()
	for range 3 {
		if _, err := s.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.LetGo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func limited(t *testing.T) *Store {
	t.Helper()
	s := New(redistest.Client(t))
	if err := s.SetLimits(t.Context(), "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	return s
}

func admitOne(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.Admit(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
}

func move(t *testing.T, s *Store, id string, verb Verb) {
	t.Helper()
	if _, err := s.Control(t.Context(), id, verb, "me", ""); err != nil {
		t.Fatal(err)
	}
}

func TestAJobThatIsBegunAnewBeforeItsEndIsToldStaysInLine(t *testing.T) {
	t.Parallel()
	s := limited(t)
	createFor(t, s, "x", "busy", 0)
	createFor(t, s, "x", "j", 0)
	admitOne(t, s)
	move(t, s, "j", Cancel)
	move(t, s, "j", Restart)
	if err := s.Release(t.Context(), "x", "j"); err != nil { // who cancelled it is slow
		t.Fatal(err)
	}
	if turns(t, s); held(t, s, "j") != HeldByLimit {
		t.Error("it was let in beside another")
	}
	move(t, s, "busy", Cancel)
	if turns(t, s); held(t, s, "j") != "" {
		t.Errorf("nothing runs, and it is held: %s", held(t, s, "j"))
	}
}

func TestAJobThatIsBegunAnewBeforeItsEndIsToldStillCounts(t *testing.T) {
	t.Parallel()
	s := limited(t)
	createFor(t, s, "x", "j", 0)
	admitOne(t, s)
	move(t, s, "j", Cancel)
	turns(t, s)
	move(t, s, "j", Restart)
	admitOne(t, s)
	if err := s.Release(t.Context(), "x", "j"); err != nil { // who cancelled it is slow
		t.Fatal(err)
	}
	createFor(t, s, "x", "k", 0)
	admitOne(t, s)
	if held(t, s, "j") != "" || held(t, s, "k") != HeldByLimit {
		t.Errorf("held: %q, %q", held(t, s, "j"), held(t, s, "k"))
	}
}

// Who begins a job anew puts it in line before it moves. When that takes long, somebody has taken it out again by then: it has ended.
func TestAJobThatFellOutOfLineWhileItWasBegunAnewComesBack(t *testing.T) {
	t.Parallel()
	s := limited(t)
	createFor(t, s, "x", "j", 0)
	admitOne(t, s)
	move(t, s, "j", Cancel)
	turns(t, s)
	why, err := s.lineUp(t.Context(), "j")
	if err != nil {
		t.Fatal(err)
	}
	turns(t, s)
	if err := control.Run(t.Context(), s.rdb, []string{jobKey("j")}, "restart", "me", "", why, "w", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if turns(t, s); held(t, s, "j") != HeldByLimit { // whoever began it anew has died here
		t.Fatal("it is not held any more: the test shows nothing")
	}
	for _, found := range s.SweepAll(t.Context(), []string{"j", "none"}, Look{Unbegun: never}) {
		if found.Err != nil && !errors.Is(found.Err, ErrNotFound) {
			t.Fatal(found.Err)
		}
	}
	if turns(t, s); held(t, s, "j") != "" {
		t.Errorf("it is held for ever: %s", held(t, s, "j"))
	}
}

// A job that is held after a retry may still end: by an attempt that was under way.
func TestWhatHeldAJobDoesNotHoldItAfterItsEnd(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Tenant = "x" }, "1", "2")
	r := b.take("0/2")
	a := b.lease(r, "w")
	b.fail("0/1")
	if err := b.SetLimits(b.ctx(), "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	createFor(t, b.Store, "x", "busy", 0)
	admitOne(t, b.Store)
	h, err := b.Control(b.ctx(), b.job.ID, Retry, "me", "")
	if err != nil || h.Held != HeldByLimit || len(h.Enqueue) > 0 {
		t.Fatalf("%+v, %v", h, err)
	}
	if _, final, err := b.Fail(b.ctx(), r, a, "w", Failure{Reason: "x", Permanent: true}); err != nil || !final {
		t.Fatalf("final %v, %v", final, err)
	}
	if v := b.view(); v.State != tasks.Failed || v.Held != "" {
		t.Errorf("%s, held %q", v.State, v.Held)
	}
	if err := b.SetLimits(b.ctx(), "x", wire.Limits{}); err != nil {
		t.Fatal(err)
	}
	if h, err := b.Control(b.ctx(), b.job.ID, Retry, "me", ""); err != nil || h.Held != "" || len(h.Enqueue) == 0 {
		t.Errorf("without a limit: %+v, %v", h, err)
	}
}

// Steps may be on the queue from before the job has ended.
func TestNothingIsBegunOfAJobThatIsHeldAfterARetry(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Tenant = "x" }, "1", "2", "3")
	b.fail("0/1")
	if err := b.SetLimits(b.ctx(), "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	createFor(t, b.Store, "x", "busy", 0)
	admitOne(t, b.Store)
	if h, err := b.Control(b.ctx(), b.job.ID, Retry, "me", ""); err != nil || h.Held != HeldByLimit {
		t.Fatalf("%+v, %v", h, err)
	}
	for _, key := range []string{"0/2", "0/3"} {
		if got := b.begin(b.take(key), RandomID(), "w"); got.Code != NotRunning {
			t.Errorf("%s: answer %d", key, got.Code)
		}
	}
	move(t, b.Store, "busy", Cancel)
	if err := b.Release(b.ctx(), "x", "busy"); err != nil {
		t.Fatal(err)
	}
	list, err := b.Admit(b.ctx(), "x", 1)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	b.must(list[0], nil)
	b.wantQueue("0/1", "0/2", "0/3")
	for _, key := range b.keys() {
		b.end(key)
	}
	b.wantState(tasks.Succeeded)
}

// go-redis asks again when an answer is lost. The script has run then.
func TestAWishIsGrantedOnceHoweverOftenItIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, verb := range []Verb{Pause, Cancel, Retry, Restart} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			b := running(t, nil, "1", "2")
			if verb == Retry || verb == Restart {
				b.fail("0/1")
			}
			ask := func(wish, match string) int64 {
				v, err := control.Run(b.ctx(), b.rdb, []string{jobKey(b.job.ID)}, string(verb), "me", match, "", wish, "0").Slice()
				if err != nil {
					t.Fatal(err)
				}
				return toInt(v[0])
			}
			match := Version(b.view())
			if first, again := ask("a", match), ask("a", match); first != 0 || again != 0 {
				t.Errorf("codes %d, %d", first, again)
			}
			if code := ask("b", match); code != 3 {
				t.Errorf("another wish: code %d", code)
			}
			n := 0
			events, err := b.Events(b.ctx(), b.job.ID, "", 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if e.Type == string(verb) {
					n++
				}
			}
			if n != 1 {
				t.Errorf("%d events say so", n)
			}
		})
	}
}

func TestVeryManyStepsAreRetriedInPages(t *testing.T) {
	t.Parallel()
	const many = 30_000
	b := running(t, func(j *tasks.Job) { j.Policy.OnFailure, j.Window = tasks.OnFailureSkip, 1000 }, "1")
	b.fail("0/1")
	b.wantState(tasks.Succeeded)
	body, err := json.Marshal(map[string]any{"stage": "a", "step": "s", "reason": "no", "worker": "w", "at_ms": 1, "failed": 9, "delivery": 9})
	if err != nil {
		t.Fatal(err)
	}
	for from := 2; from <= many; from += 5000 {
		dead, steps := map[string]any{}, map[string]any{}
		for n := from; n < min(from+5000, many+1); n++ {
			dead[fmt.Sprint("0/", n)], steps[fmt.Sprint("0/", n)] = body, "{}"
		}
		b.rdb.HSet(b.ctx(), deadKey(b.job.ID), dead)
		b.rdb.HSet(b.ctx(), stepsKey(b.job.ID), steps)
	}
	b.rdb.HSet(b.ctx(), stagesKey(b.job.ID), "0:failed", many, "0:known", many)

	// Somebody has begun with it, and died.
	v, err := control.Run(b.ctx(), b.rdb, []string{jobKey(b.job.ID)}, "retry", "me", "", "", "w", "0").Slice()
	if err != nil || toInt(v[0]) != 4 {
		t.Fatalf("%v, %v", v, err)
	}
	b.wantState(tasks.Succeeded)
	h, err := b.Control(b.ctx(), b.job.ID, Retry, "me", "")
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Enqueue) != 1000 {
		t.Errorf("%d steps are handed out", len(h.Enqueue))
	}
	left, later := b.rdb.HLen(b.ctx(), deadKey(b.job.ID)).Val(), b.rdb.ZCard(b.ctx(), laterKey(b.job.ID)).Val()
	view := b.view()
	if left != 0 || later != many-1000 || view.State != tasks.Running || view.Counters.StepsFailed != 0 {
		t.Errorf("%d are dead, %d wait, %s, %d failed", left, later, view.State, view.Counters.StepsFailed)
	}
	if live := b.rdb.HGet(b.ctx(), stagesKey(b.job.ID), "0:live").Val(); live != fmt.Sprint(many) {
		t.Errorf("%s live", live)
	}
	if _, err := b.Control(b.ctx(), b.job.ID, Retry, "me", ""); !errors.Is(err, ErrConflict) {
		t.Errorf("once more: %v", err)
	}
}

func TestNotesOfAJobThatWasForgottenStayBesideThoseOfTheOneThatComesAfterIt(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.create()
	b.plan()
	b.wantState(tasks.Succeeded)
	old, err := b.Notes(b.ctx(), b.job.ID)
	if err != nil || len(old) == 0 {
		t.Fatalf("%d notes, %v", len(old), err)
	}
	if err := b.Forget(b.ctx(), b.job.ID); err != nil {
		t.Fatal(err)
	}
	b.queue = nil
	b.create()
	b.lease(b.take("p"), "w")
	if ttl := b.rdb.TTL(b.ctx(), outboxKey(b.job.ID)).Val(); ttl > 0 {
		t.Errorf("notes of a job that is there expire in %s", ttl)
	}
	both, err := b.Notes(b.ctx(), b.job.ID)
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range old {
		if i >= len(both) || both[i].id("h") != n.id("h") || both[i].Event != n.Event {
			t.Fatalf("note %d of the old job is gone or in another place", i)
		}
	}
	if len(both) == len(old) {
		t.Fatal("nothing is noted of the new job")
	}
	// Who was slow to take out those of the old one takes out no other.
	if err := b.Told(b.ctx(), b.job.ID, old); err != nil {
		t.Fatal(err)
	}
	left, err := b.Notes(b.ctx(), b.job.ID)
	if err != nil || len(left) != len(both)-len(old) || left[0].id("h") != both[len(old)].id("h") {
		t.Errorf("%d notes are left of %d and %d, %v", len(left), len(old), len(both)-len(old), err)
	}
}

func TestAJobOfTenThousandStages(t *testing.T) {
	t.Parallel()
	o := redistest.New(t).Options()
	o.ReadTimeout = time.Minute // a script whose answer is late is sent again, and this one is long on a busy machine
	rdb := redis.NewClient(o)
	t.Cleanup(func() { rdb.Close() })
	b := &bench{Store: New(rdb), t: t, rdb: rdb, job: tasks.Job{ID: "mig-1", Kind: "test", Spec: json.RawMessage(`{"a":1}`), Window: 4}}
	b.create()
	r := b.take("p")
	a := b.lease(r, "w")
	stages := make([]tasks.Stage, 10_000)
	for i := range stages {
		stages[i] = tasks.Stage{Name: fmt.Sprint("s", i), Detail: json.RawMessage(`1`)}
		if i > 0 {
			stages[i].After = []string{"s0"}
		}
	}
	h, err := b.PlanDone(b.ctx(), r, a, stages)
	b.must(h, err)
	b.rdb.HSet(b.ctx(), jobKey(b.job.ID), "sampled", 0)
	if _, err := b.Sweep(b.ctx(), b.job.ID, Look{Unbegun: never}); err != nil {
		t.Fatal(err)
	}
	r = b.take("x0")
	a = b.lease(r, "w")
	if h, err = b.SplitDone(b.ctx(), r, a, nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(h.Enqueue) == 0 {
		t.Error("the stages behind the first are not split")
	}
}

// meddler is somebody else's doing after each call of a script.
type meddler struct {
	redis.Hook
	after func(redis.Cmder)
}

func (m meddler) DialHook(next redis.DialHook) redis.DialHook { return next }
func (m meddler) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m meddler) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		m.after(cmd)
		return err
	}
}

func TestAJobOfWhichVeryManyStepsAreRetriedIsSweptAlthoughWhoAskedForItDies(t *testing.T) {
	t.Parallel()
	b := running(t, func(j *tasks.Job) { j.Policy.OnFailure = tasks.OnFailureSkip }, "1")
	b.fail("0/1")
	body := b.rdb.HGet(b.ctx(), deadKey(b.job.ID), "0/1").Val()
	dead := map[string]any{}
	for n := range 5000 {
		dead[fmt.Sprint("0/", n)] = body
	}
	b.rdb.HSet(b.ctx(), deadKey(b.job.ID), dead)
	b.rdb.Del(b.ctx(), outboxKey(b.job.ID)) // it has been told
	other := New(redis.NewClient(b.rdb.Options()))
	t.Cleanup(func() { _ = other.rdb.Close() })
	ctx, die := context.WithCancel(b.ctx())
	pages := 0
	b.rdb.AddHook(meddler{after: func(cmd redis.Cmder) {
		if c, ok := cmd.(*redis.Cmd); ok {
			reply, err := c.Slice()
			switch {
			case err != nil || len(reply) == 0:
			case toInt(reply[0]) == 4: // the sweep sees a job that has ended
				pages++
				if err := other.Deactivate(b.ctx(), b.job.ID); err != nil {
					t.Error(err)
				}
			default:
				die()
			}
		}
	}})
	_, err := b.Control(ctx, b.job.ID, Retry, "me", "")
	if err == nil || pages == 0 {
		t.Fatalf("%d pages, %v: the test shows nothing", pages, err)
	}
	state := other.rdb.HGet(b.ctx(), jobKey(b.job.ID), "state").Val()
	if swept := other.rdb.SIsMember(b.ctx(), activeKey, b.job.ID).Val(); state != string(tasks.Running) || !swept {
		t.Errorf("it is %s, swept: %v", state, swept)
	}
}

// What is kept of a job may be a million entries: Redis frees them beside its work.
func TestWhatIsKeptOfAJobIsRemovedWithoutKeepingRedisBusy(t *testing.T) {
	t.Parallel()
	b := running(t, nil, "1", "2")
	b.fail("0/1")
	b.control(Restart)
	b.control(Cancel)
	if err := b.Forget(b.ctx(), b.job.ID); err != nil {
		t.Fatal(err)
	}
	stats := b.rdb.Info(b.ctx(), "commandstats").Val()
	if !strings.Contains(stats, "cmdstat_unlink:") || strings.Contains(stats, "cmdstat_del:") {
		t.Error("Redis was asked to free it at once")
	}
}
