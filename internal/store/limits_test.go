package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func createFor(t *testing.T, s *Store, tenant, id string, priority int) Handout {
	t.Helper()
	h, _, err := s.Create(t.Context(), tasks.Job{ID: id, Kind: "k", Tenant: tenant, Spec: []byte(`{}`), Priority: priority})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func held(t *testing.T, s *Store, id string) string {
	t.Helper()
	v, err := s.View(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v.Held
}

func TestATenantsJobsWaitInLineForItsLimit(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	if err := s.SetLimits(ctx, AnyTenant, wire.Limits{RunningJobs: 2}); err != nil {
		t.Fatal(err)
	}
	for i, priority := range []int{0, 0, 0, 5} {
		if h := createFor(t, s, "x", fmt.Sprint("x", i), priority); len(h.Enqueue) != 0 {
			t.Errorf("job %d is started at once", i)
		}
	}
	got, err := s.Admit(ctx, "x", 2)
	if err != nil || len(got) != 2 || len(got[0].Enqueue) != 1 {
		t.Fatalf("admitted %v, %v", got, err)
	}
	// The one of higher priority comes first, then the oldest.
	for id, want := range map[string]string{"x3": "", "x0": "", "x1": HeldByLimit, "x2": HeldByLimit} {
		if h := held(t, s, id); h != want {
			t.Errorf("%s is held by %q, want %q", id, h, want)
		}
	}
	if got, _ := s.Admit(ctx, "x", 2); len(got) != 0 {
		t.Errorf("admitted beyond the limit: %v", got)
	}
	if _, err := s.Control(ctx, "x0", Cancel, "me", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Reconcile(ctx); err != nil || len(got) != 1 || got[0].Enqueue[0].Job != "x1" {
		t.Errorf("after one has ended: %v, %v", got, err)
	}
	if err := s.SetLimits(ctx, AnyTenant, wire.Limits{}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Reconcile(ctx); err != nil || len(got) != 1 || held(t, s, "x2") != "" {
		t.Errorf("after the limit was lifted: %v, %v", got, err)
	}
}

func TestAJobThatWasLetInJustBeforeACrashIsStarted(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	if err := s.SetLimits(ctx, "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	createFor(t, s, "x", "j", 0)
	// The first half of Admit, and then nothing.
	if err := admitTenant.Run(ctx, s.rdb, []string{tenantWaitingKey("x"), tenantRunningKey("x")}, 1).Err(); err != nil {
		t.Fatal(err)
	}
	if held(t, s, "j") != HeldByLimit {
		t.Fatal("the job is not held")
	}
	got, err := s.Reconcile(ctx)
	if err != nil || held(t, s, "j") != "" || len(got) != 1 || len(got[0].Enqueue) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.Reconcile(ctx); err != nil || len(got) != 0 {
		t.Errorf("a second time: %v, %v", got, err)
	}
}

func TestUnderMaintenanceJobsAreAcceptedAndNotStarted(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	if err := s.SetMaintenance(ctx, "k", wire.Maintenance{By: "me", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if h := createFor(t, s, "", "j", 0); len(h.Enqueue) != 0 || held(t, s, "j") != HeldByMaintenance {
		t.Errorf("started: %v", h)
	}
	if h, _, err := s.Create(ctx, tasks.Job{ID: "other", Kind: "l", Spec: []byte(`{}`)}); err != nil || len(h.Enqueue) != 1 {
		t.Errorf("another kind is held: %v, %v", h, err)
	}
	if got, err := s.LetGo(ctx); err != nil || len(got) != 0 {
		t.Errorf("let go too early: %v, %v", got, err)
	}
	if err := s.SetLimits(ctx, "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	createFor(t, s, "x", "limited", 0)
	got, err := s.EndMaintenance(ctx, "k")
	if err != nil || len(got) != 1 || len(got[0].Enqueue) != 1 || held(t, s, "j") != "" {
		t.Errorf("after it: %v, %v", got, err)
	}
	if got, err := s.Reconcile(ctx); err != nil || len(got) != 1 || held(t, s, "limited") != "" {
		t.Errorf("the one that a limit held as well: %v, %v", got, err)
	}
}

func TestARateLetsASecondsWorthThroughAtOnceAndThenOneAtATime(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ran, start := 0, time.Now()
	for time.Since(start) < 1500*time.Millisecond {
		wait, err := s.Take(t.Context(), "x", "j", 20)
		if err != nil {
			t.Fatal(err)
		}
		if wait == 0 {
			ran++
			continue
		}
		if wait > 60*time.Millisecond {
			t.Fatalf("told to wait %v for one of 20 a second", wait)
		}
		<-time.After(wait)
	}
	// 20 at once, and 20 for each second.
	if most := 20 + int(20*time.Since(start).Seconds()) + 1; ran < 30 || ran > most {
		t.Errorf("%d steps in %v, at most %d may", ran, time.Since(start), most)
	}
}

// A job that asks all the time leaves to each that waits a step of its own: whoever comes back when it was told to, or a little later, is
// served. What those do not use in time is not lost to the others.
func TestJobsTakeTurnsWithinTheRateOfTheirTenant(t *testing.T) {
	t.Parallel()
	for _, perSecond := range []int{1, 4, 50} {
		t.Run(fmt.Sprint(perSecond, " a second"), func(t *testing.T) {
			t.Parallel()
			s, ctx := New(redistest.Client(t)), t.Context()
			take := func(job string) time.Duration {
				wait, err := s.Take(ctx, "x", job, perSecond)
				if err != nil {
					t.Error(err)
				}
				return wait
			}
			var greedy sync.WaitGroup
			var done atomic.Bool
			end := func() {
				done.Store(true)
				greedy.Wait()
			}
			defer end()
			n, start := 0, time.Now()
			greedy.Go(func() {
				for !done.Load() {
					if take("greedy") == 0 {
						n++
					}
				}
			})
			others := 0
			for time.Since(start) < 5*time.Second {
				for _, job := range []string{"a", "b"} {
					asked := 1
					for waited := take(job); waited > 0; asked++ {
						if asked > 4 {
							t.Fatalf("%s waited %d times for as long as it was told, and is told to wait for another %v", job, asked-1, waited)
						}
						<-time.After(waited + 20*time.Millisecond)
						waited = take(job)
					}
					others++
				}
			}
			took := time.Since(start)
			take("gone") // and never comes back
			if perSecond == 1 {
				before := time.Now()
				for take("patient") > 0 {
					if waited := time.Since(before); waited > 2*time.Second+comesBack+time.Second {
						t.Fatalf("one that is gone is still waited for after %v", waited)
					}
					<-time.After(10 * time.Millisecond)
				}
			}
			end()
			if share := float64(n+others) / (float64(perSecond) * (took.Seconds() + 1)); others < 2 || n == 0 || share < 0.5 {
				t.Errorf("in %v %d steps of one that asks all the time and %d of two that ask when they were told: %.2f of the rate", took, n, others, share)
			}
		})
	}
}

// between runs something before the first round trip in which a script is called on a job.
type between struct {
	script *redis.Script
	do     func()
	once   sync.Once
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *between) look(cmd redis.Cmder) {
	if args := cmd.Args(); len(args) > 1 && (args[1] == b.script.Hash() || cmd.Name() == "eval" && len(args) > 3 && fmt.Sprint(args[3]) == jobKey("j")) {
		b.once.Do(b.do)
	}
}

func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		b.look(cmd)
		return next(ctx, cmd)
	}
}

func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			b.look(cmd)
		}
		return next(ctx, cmds)
	}
}

func TestAJobIsLetInThoughTheSweepCameBetweenItsPlaceInLineAndItself(t *testing.T) {
	t.Parallel()
	for what, set := range map[string]func(*Store) error{
		HeldByMaintenance: func(s *Store) error { return s.SetMaintenance(context.Background(), "k", wire.Maintenance{}) },
		HeldByLimit:       func(s *Store) error { return s.SetLimits(context.Background(), "x", wire.Limits{RunningJobs: 1}) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			server := redistest.New(t)
			other := New(server.Client())
			slow := redis.NewClient(server.Options())
			t.Cleanup(func() { _ = slow.Close() })
			if err := set(other); err != nil {
				t.Fatal(err)
			}
			sweep := func() {
				if _, err := other.Reconcile(t.Context()); err != nil {
					t.Error(err)
				}
				if _, err := other.EndMaintenance(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			}
			slow.AddHook(&between{script: createJob, do: func() { sweep(); sweep() }})
			createFor(t, New(slow), "x", "j", 0)
			sweep()
			sweep()
			if h := held(t, other, "j"); h != "" {
				t.Errorf("nobody lets it in: it is held by %q", h)
			}
		})
	}
}

func TestAJobInLineWhoseKindComesUnderMaintenanceIsNotLetIn(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	if err := s.SetLimits(ctx, "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	createFor(t, s, "x", "first", 0)
	if _, err := s.Admit(ctx, "x", 1); err != nil || held(t, s, "first") != "" {
		t.Fatal(err)
	}
	createFor(t, s, "x", "second", 1)
	if _, _, err := s.Create(ctx, tasks.Job{ID: "other", Kind: "l", Tenant: "x", Spec: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMaintenance(ctx, "k", wire.Maintenance{}); err != nil {
		t.Fatal(err)
	}
	end := func(id string) {
		t.Helper()
		if _, err := s.Control(ctx, id, Cancel, "me", ""); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Reconcile(ctx); err != nil {
			t.Fatal(err)
		}
	}
	end("first")
	if held(t, s, "second") == "" {
		t.Error("a job was let in whose kind is under maintenance")
	}
	if h := held(t, s, "other"); h != "" {
		t.Errorf("the one behind it is held by %q", h)
	}
	if _, err := s.EndMaintenance(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Reconcile(ctx); err != nil || held(t, s, "second") == "" {
		t.Errorf("it was let in beyond the limit: %v", err)
	}
	end("other")
	if h := held(t, s, "second"); h != "" {
		t.Errorf("after the maintenance it is held by %q", h)
	}
}

func TestATenantOfWhichNothingWaitsIsNotLookedAtAgain(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	ctx := t.Context()
	if err := s.SetLimits(ctx, AnyTenant, wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"j1", "j2"} { // it comes back with its next job
		createFor(t, s, "x", id, 0)
		if _, err := s.Reconcile(ctx); err != nil || held(t, s, id) != "" {
			t.Fatalf("%s was not let in: %v", id, err)
		}
		if n := s.rdb.SCard(ctx, limitedKey).Val(); n != 1 {
			t.Errorf("while it has a job %d tenants are looked at", n)
		}
		if _, err := s.Control(ctx, id, Cancel, "me", ""); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := s.Reconcile(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if n := s.rdb.SCard(ctx, limitedKey).Val(); n != 0 {
			t.Errorf("without jobs %d tenants are looked at", n)
		}
	}
}
