package store

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// What is left of a job when whoever moves it dies in the middle, and of others beside it.

// The sweep may look at a job, which has ended, at any moment until it goes on.
func TestAJobThatGoesOnIsSweptAlthoughWhoAskedForItDies(t *testing.T) {
	t.Parallel()
	for _, verb := range []Verb{Retry, Restart} {
		t.Run(string(verb), func(t *testing.T) {
			t.Parallel()
			b := running(t, nil, "1")
			b.fail("0/1")
			b.rdb.Del(b.ctx(), outboxKey(b.job.ID)) // it has been told
			other := New(redis.NewClient(b.rdb.Options()))
			t.Cleanup(func() { _ = other.rdb.Close() })
			ctx, die := context.WithCancel(b.ctx())
			b.rdb.AddHook(meddler{after: func(cmd redis.Cmder) {
				switch cmd.Name() {
				case "sadd":
					if ctx.Err() != nil {
						return
					}
					if err := other.Deactivate(b.ctx(), b.job.ID); err != nil {
						t.Error(err)
					}
				case "evalsha", "eval":
					if reply, err := cmd.(*redis.Cmd).Slice(); err == nil && len(reply) > 0 {
						die()
					}
				}
			}})
			if _, err := b.Control(ctx, b.job.ID, verb, "me", ""); err == nil {
				t.Fatal("nobody has died: the test shows nothing")
			}
			state := other.rdb.HGet(b.ctx(), jobKey(b.job.ID), "state").Val()
			if swept := other.rdb.SIsMember(b.ctx(), activeKey, b.job.ID).Val(); tasks.State(state).Ended() || !swept {
				t.Errorf("it is %s, swept: %v", state, swept)
			}
		})
	}
}

func TestARetryInPagesOfWhichNobodyAsksForTheRestLeavesTheJobAsItEnded(t *testing.T) {
	t.Parallel()
	const many = 5000
	b := running(t, func(j *tasks.Job) { j.Policy.OnFailure = tasks.OnFailureSkip }, "1")
	b.fail("0/1")
	body := b.rdb.HGet(b.ctx(), deadKey(b.job.ID), "0/1").Val()
	dead := map[string]any{}
	for n := range many {
		dead[fmt.Sprint("0/", n+1)] = body
	}
	b.rdb.HSet(b.ctx(), deadKey(b.job.ID), dead)
	b.rdb.HSet(b.ctx(), stagesKey(b.job.ID), "0:failed", many, "0:known", many)
	stages, was := b.rdb.HGetAll(b.ctx(), stagesKey(b.job.ID)).Val(), b.view()
	v, err := control.Run(b.ctx(), b.rdb, []string{jobKey(b.job.ID)}, "retry", "me", "", "", "w", "0").Slice()
	if err != nil || toInt(v[0]) != 4 {
		t.Fatalf("%v, %v", v, err)
	}
	if is := b.view(); is.State != was.State || is.Counters != was.Counters {
		t.Errorf("%s with %+v, and was %s with %+v", is.State, is.Counters, was.State, was.Counters)
	}
	if left := b.rdb.HLen(b.ctx(), deadKey(b.job.ID)).Val(); left != many {
		t.Errorf("%d of %d failed steps are known", left, many)
	}
	for k, n := range b.rdb.HGetAll(b.ctx(), stagesKey(b.job.ID)).Val() {
		if stages[k] != n {
			t.Errorf("%s is %s, and was %q", k, n, stages[k])
		}
	}
}

// A step of a job that has failed may fail while those before it are put back.
func TestAStepThatFailsWhileOthersAreRetriedInPagesIsRetriedToo(t *testing.T) {
	t.Parallel()
	const many = 5000
	b := running(t, func(j *tasks.Job) { j.Window = 2 * many }, "1", "2")
	r := b.take("0/2")
	a := b.lease(r, "w")
	b.fail("0/1")
	body := b.rdb.HGet(b.ctx(), deadKey(b.job.ID), "0/1").Val()
	dead := map[string]any{}
	for n := range many {
		dead[fmt.Sprint("0/x", n)] = body
	}
	b.rdb.HSet(b.ctx(), deadKey(b.job.ID), dead)
	b.rdb.HSet(b.ctx(), stagesKey(b.job.ID), "0:failed", many+1, "0:known", many+2, "0:live", many+2)
	other := New(redis.NewClient(b.rdb.Options()))
	t.Cleanup(func() { _ = other.rdb.Close() })
	pages := 0
	b.rdb.AddHook(meddler{after: func(cmd redis.Cmder) {
		c, ok := cmd.(*redis.Cmd)
		if !ok {
			return
		}
		if reply, err := c.Slice(); err == nil && len(reply) > 0 && toInt(reply[0]) == 4 {
			if pages++; pages == 4 {
				if _, final, err := other.Fail(b.ctx(), r, a, "w", Failure{Reason: "x", Permanent: true}); err != nil || !final {
					t.Errorf("final %v, %v", final, err)
				}
			}
		}
	}})
	h, err := b.Control(b.ctx(), b.job.ID, Retry, "me", "")
	if err != nil || pages < 4 {
		t.Fatalf("%d pages, %v", pages, err)
	}
	v := b.view()
	if len(h.Enqueue) != many+2 || v.State != tasks.Running || v.Counters.StepsFailed != 0 || b.rdb.Exists(b.ctx(), deadKey(b.job.ID)).Val() != 0 {
		t.Errorf("%d steps are handed out, %s, %+v", len(h.Enqueue), v.State, v.Counters)
	}
}

func TestOneRecordThatCannotBeReadKeepsNoOtherJobOutOfLine(t *testing.T) {
	t.Parallel()
	s := New(redistest.Client(t))
	if err := s.SetLimits(t.Context(), "x", wire.Limits{RunningJobs: 1}); err != nil {
		t.Fatal(err)
	}
	ids := []string{"broken", "whole"}
	for _, id := range ids {
		createFor(t, s, "x", id, 0)
	}
	s.rdb.HSet(t.Context(), jobKey("broken"), "json", "{")
	s.rdb.Del(t.Context(), tenantWaitingKey("x")) // whoever held them died
	for i, found := range s.SweepAll(t.Context(), ids, Look{Unbegun: never}) {
		if said := found.Err != nil && strings.Contains(found.Err.Error(), "broken"); said != (ids[i] == "broken") || !said && found.Err != nil {
			t.Errorf("%s: %v", ids[i], found.Err)
		}
	}
	if line := s.rdb.ZRange(t.Context(), tenantWaitingKey("x"), 0, -1).Val(); len(line) != 1 || line[0] != "whole" {
		t.Errorf("in line: %v", line)
	}
}
