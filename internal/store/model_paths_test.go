package store

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/enginemodel"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

var long = flag.Bool("long", false, "follow the larger models as well")

func modelOf(t testing.TB, c enginemodel.Config) *enginemodel.Model {
	t.Helper()
	c.Apart = true
	m, err := enginemodel.New(c, enginemodel.None)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// actionsOf are the edges of a state, those of one action together.
func actionsOf(m *enginemodel.Model, s *enginemodel.State) [][]enginemodel.Edge {
	var list [][]enginemodel.Edge
	for _, e := range m.Edges(s) {
		if n := len(list); n > 0 && list[n-1][0].Action == e.Action {
			list[n-1] = append(list[n-1], e)
			continue
		}
		list = append(list, []enginemodel.Edge{e})
	}
	return list
}

// node is a state that was reached, with the real job that has gone the same way.
type node struct {
	state  enginemodel.State
	real   replica
	before *node
	action string
}

func (n *node) way() string {
	var list []string
	for ; n.before != nil; n = n.before {
		list = append(list, n.action)
	}
	slices.Reverse(list)
	return strings.Join(list, "\n  ")
}

// Each action in each reachable state of a small engine, asked of a real Redis that has gone the same way.
func TestEachActionInEachReachableStateDoesWhatTheModelSays(t *testing.T) {
	t.Parallel()
	one, two := []enginemodel.StageShape{{Pages: []int{1}}}, []enginemodel.StageShape{{Pages: []int{1, 1}}}
	fault := enginemodel.Budget{All: 1, Kill: 1, Freeze: 1, Reply: 1, Slow: 1, Transient: 1, Permanent: 1, Empty: 1}
	list := []enginemodel.Config{
		{Name: "two pages", Stages: two, Window: 2, Workers: 2, Batches: 1},
		{Name: "one step, one fault", Stages: one, Window: 1, Workers: 1, Batches: 2, Retries: 1, Faults: fault},
		{Name: "Redis falls back", Stages: one, Window: 1, Workers: 1, Batches: 1, Faults: enginemodel.Budget{All: 1, FallBack: 1}},
		{Name: "control", Stages: one, Window: 1, Workers: 1, Batches: 1, Control: 2, Faults: enginemodel.Budget{All: 1, Permanent: 1}},
		{Name: "skip", Stages: []enginemodel.StageShape{{Pages: []int{1}}, {Pages: []int{1}}}, Window: 2, Workers: 1, Batches: 1, Skip: true, Control: 1,
			Faults: enginemodel.Budget{All: 1, Permanent: 1}},
		{Name: "drains", Stages: one, Window: 1, Workers: 2, Batches: 2, Drains: 1},
	}
	if *long {
		list = append(list, enginemodel.Config{Name: "two steps, one fault", Stages: []enginemodel.StageShape{{Pages: []int{2}}}, Window: 2, Workers: 2, Batches: 1, Retries: 1,
			Faults: fault})
	}
	for _, c := range list {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			m, made := modelOf(t, c), 0
			x := newMirror(t, redistest.Client(t), m, &made)
			x.kept = true
			first := &node{state: m.Start(), real: x.first()}
			known, edges := map[enginemodel.State]bool{first.state: true}, 0
			for layer := []*node{first}; len(layer) > 0; {
				var next []*node
				for _, at := range layer {
					for _, outcomes := range actionsOf(m, &at.state) {
						fit, real, err := x.follow(at.real, outcomes)
						if err != nil {
							t.Fatalf("%v\non the way\n  %s", err, at.way())
						}
						edges += len(outcomes)
						for _, e := range fit {
							if !known[e.Next] {
								known[e.Next] = true
								next = append(next, &node{e.Next, real, at, m.Say(e.Action)})
							}
						}
					}
				}
				layer = next
			}
			t.Logf("%d states, %d edges", len(known), edges)
		})
	}
}

// All ways of a few actions, one by one: also those that lead to a state that is known already, where what Redis holds beside it
// (times, the tally) may differ.
func TestAllShortWaysDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	m, made := modelOf(t, enginemodel.Config{Stages: []enginemodel.StageShape{{Pages: []int{1}}}, Window: 1, Workers: 1, Batches: 1, Control: 1,
		Faults: enginemodel.Budget{All: 1, Kill: 1, Reply: 1, Transient: 1, Permanent: 1}}), 0
	x := newMirror(t, redistest.Client(t), m, &made)
	x.kept = true
	ways, depth := 0, 12
	if *long {
		depth = 16
	}
	var walk func(at *node, left int)
	walk = func(at *node, left int) {
		if left == 0 {
			ways++
			return
		}
		for _, outcomes := range actionsOf(m, &at.state) {
			fit, real, err := x.follow(at.real, outcomes)
			if err != nil {
				t.Fatalf("%v\non the way\n  %s", err, at.way())
			}
			for _, e := range fit {
				walk(&node{e.Next, real, at, m.Say(e.Action)}, left-1)
			}
			if real.job.ID != at.real.job.ID {
				x.rdb.Del(x.ctx, append(keysOf(m, real.job.ID), eventsKey(real.job.ID), outboxKey(real.job.ID))...)
			}
		}
	}
	walk(&node{state: m.Start(), real: x.first()}, depth)
	t.Logf("%d ways of %d actions", ways, depth)
}

var bigger = []enginemodel.StageShape{{Pages: []int{2, 3}}, {After: []int{0}, Pages: []int{2, 1}}}

// Random ways through engines that are too large to be explored, with any number of faults, until the job has succeeded.
func TestTheScriptsDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		c := enginemodel.Config{Stages: rapid.SampledFrom([][]enginemodel.StageShape{bigger, {{Pages: []int{3}}, {Pages: []int{2}}, {After: []int{0, 1}, Pages: []int{2}}},
			{{Pages: []int{2}}, {After: []int{0}, Pages: []int{1}}, {After: []int{0}, Pages: []int{2}}, {After: []int{1, 2}, Pages: []int{1}}}}).Draw(rt, "stages"),
			Window: rapid.IntRange(1, 4).Draw(rt, "window"), Workers: rapid.IntRange(1, 3).Draw(rt, "workers"), Batches: rapid.IntRange(1, 2).Draw(rt, "batches"),
			Retries: rapid.IntRange(0, 2).Draw(rt, "retries"), Skip: rapid.Bool().Draw(rt, "skip"), Control: 20, Drains: 20, Whole: true,
			Faults: enginemodel.Budget{All: 60, Kill: 20, Freeze: 20, Lose: 20, Queue: 3, Double: 20, Reply: 20, Slow: 20, FallBack: 1, Empty: 2, Transient: 20, Permanent: 5}}
		m := modelOf(t, c)
		x := newMirror(t, rdb, m, &made)
		at := &node{state: m.Start(), real: x.first()}
		for range rapid.IntRange(1, 200).Draw(rt, "actions") {
			at = x.wander(rt, at, rapid.IntRange(0, 3).Draw(rt, "no fault") > 0)
			if rapid.IntRange(0, 4).Draw(rt, "probe") == 0 {
				x.probe(rt, at)
			}
		}
		x.finish(rt, at)
	})
}

// wander takes one of the actions that are possible.
func (x *mirror) wander(rt *rapid.T, at *node, fair bool) *node {
	list := actionsOf(x.m, &at.state)
	if some := slices.DeleteFunc(slices.Clone(list), func(e []enginemodel.Edge) bool { return e[0].Action.Fair() != fair }); len(some) > 0 {
		list = some
	}
	if len(list) == 0 {
		return at
	}
	return x.take(rt, at, rapid.SampledFrom(list).Draw(rt, "action"))
}

func (x *mirror) take(rt *rapid.T, at *node, outcomes []enginemodel.Edge) *node {
	fit, real, err := x.follow(at.real, outcomes)
	if err != nil {
		rt.Fatalf("%v\non the way\n  %s", err, at.way())
	}
	if fit[0].Broken != "" {
		rt.Fatalf("the model breaks a promise: %s\non the way\n  %s", fit[0].Broken, at.way())
	}
	e := rapid.SampledFrom(fit).Draw(rt, "outcome")
	return &node{e.Next, real, at, x.m.Say(e.Action)}
}

// probe asks for what must not change anything: by an attempt that is over, and by a verb that has nothing to do.
func (x *mirror) probe(rt *rapid.T, at *node) {
	id := at.real.job.ID
	ask := func(what string, want error, call func() error) {
		if err := call(); !errors.Is(err, want) {
			rt.Fatalf("%s says %v, want %v\non the way\n  %s", what, err, want, at.way())
		}
		if got, err := x.holds(at.real); err != nil || !slices.Equal(got, x.m.Stored(&at.state)) {
			rt.Fatalf("%s has changed what is held: %v, %s\non the way\n  %s", what, err, strings.Join(got, "\n"), at.way())
		}
	}
	job, epoch := at.state.Job()
	if job != enginemodel.Absent {
		verb := rapid.SampledFrom([]Verb{Pause, Resume, Retry, Restart, Cancel}).Draw(rt, "verb")
		if !at.state.Allows(string(verb)) {
			ask(string(verb), ErrConflict, func() error { _, err := x.s.Control(x.ctx, id, verb, "model", ""); return err })
		}
	}
	if len(x.stale) == 0 {
		return
	}
	attempt := rapid.SampledFrom(x.stale).Draw(rt, "stale attempt")
	ref := at.real.ref(x.m, enginemodel.Ref{Epoch: epoch, Key: uint8(rapid.IntRange(0, x.m.Keys()-1).Draw(rt, "key")), Delivery: 1})
	kind, _, _ := ParseKey(ref.Key)
	for what, call := range map[string]func() error{
		"save": func() error { _, err := x.s.Save(x.ctx, ref, attempt, nil, true, tasks.Counters{Read: 7}); return err },
		"give back": func() error {
			_, err := x.s.GiveBack(x.ctx, ref, attempt, "w", tasks.Counters{Read: 7}, 0, "drained")
			return err
		},
		"fail": func() error { _, _, err := x.s.Fail(x.ctx, ref, attempt, "w", Failure{Permanent: true}); return err },
		"end": func() (err error) {
			switch kind {
			case PlanKey:
				_, err = x.s.PlanDone(x.ctx, ref, attempt, planOf(x.m))
			case SplitKey:
				_, err = x.s.SplitDone(x.ctx, ref, attempt, stepsOf([]string{"9"}), nil)
			default:
				_, err = x.s.End(x.ctx, ref, attempt, tasks.Counters{Read: 7}, nil)
			}
			return err
		},
	} {
		if x.held(at.real, ref.Key, attempt) {
			continue // Redis has come back as it was when this attempt held the step
		}
		ask(what+" by an attempt that is over", tasks.ErrStale, call)
	}
}

func (x *mirror) held(r replica, key, attempt string) bool {
	return strings.Contains(x.rdb.HGet(x.ctx, outKey(r.job.ID), key).Val(), attempt)
}

// finish lets the job run, without further faults, until it has succeeded, and looks at what is left in Redis.
func (x *mirror) finish(rt *rapid.T, at *node) {
	for n := 0; ; n++ {
		job, _ := at.state.Job()
		if job == enginemodel.Succeeded {
			break
		}
		if n > 3000 {
			rt.Fatalf("the job does not end\non the way\n  %s", at.way())
		}
		var fair, mend [][]enginemodel.Edge
		for _, e := range actionsOf(x.m.Patient(), &at.state) {
			switch {
			case e[0].Action.Fair():
				fair = append(fair, e)
			case e[0].Action.Mends():
				mend = append(mend, e)
			}
		}
		if job.Ended() && len(mend) > 0 { // who mends may have to put on the queue first what was handed out before Redis fell back
			fair = mend
		}
		at = x.take(rt, at, rapid.SampledFrom(fair).Draw(rt, "action"))
	}
	id, dead := at.real.job.ID, int64(0)
	for _, line := range x.m.Stored(&at.state) {
		if strings.Contains(line, " dead ") {
			dead++
		}
	}
	if dead > 0 && !x.m.Skip {
		rt.Fatalf("%d dead steps in a job that has succeeded", dead)
	}
	allowed := []string{jobKey(id), stagesKey(id), eventsKey(id), outboxKey(id), tallyKey(id)}
	if dead > 0 {
		allowed = append(allowed, deadKey(id), stepsKey(id), savedKey(id), failsKey(id))
	}
	keys, err := x.rdb.Keys(x.ctx, prefix+"{"+id+"}*").Result()
	if err != nil {
		rt.Fatal(err)
	}
	for _, key := range keys {
		if !slices.Contains(allowed, key) {
			rt.Fatalf("left: %s\non the way\n  %s", key, at.way())
		}
	}
	for _, key := range []string{stepsKey(id), failsKey(id)} {
		if n := x.rdb.HLen(x.ctx, key).Val(); n != dead {
			rt.Fatalf("%d entries are left in %s, %d steps are dead", n, key, dead)
		}
	}
	if n, err := x.rdb.Del(x.ctx, append(keysOf(x.m, id), eventsKey(id), outboxKey(id), fmt.Sprint(at.real.snapshot))...).Result(); err != nil || n == 0 {
		rt.Fatalf("removed %d keys, %v", n, err)
	}
}
