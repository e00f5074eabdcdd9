package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/internal/enginemodel"
	"github.com/stint-run/stint/tasks"
)

// The scripts against the model of the engine: what happens in the model is asked of a real store as well, which has to answer and to
// hold the same. model_paths_test.go says along which ways. A failure names the way, as a list of actions.

// replica is a real job that has gone the same way as a state of the model. It is never changed: an action makes a new one.
type replica struct {
	job      tasks.Job
	attempt  map[uint8]string // of each worker that makes an attempt, its real id
	worker   map[uint8]int    // how many workers of this name there were before
	snapshot string           // id of the copy to which Redis will come back; "" is none
}

func (r replica) workerID(w uint8) string { return fmt.Sprintf("w%d-%d", w, r.worker[w]) }

func (r replica) ref(m *enginemodel.Model, ref enginemodel.Ref) Ref {
	return Ref{Job: r.job.ID, Epoch: int64(ref.Epoch), Key: m.KeyName(ref.Key), Delivery: int64(ref.Delivery)}
}

// mirror carries actions of a model out on a real Redis.
type mirror struct {
	m     *enginemodel.Model
	s     *Store
	rdb   *redis.Client
	ctx   context.Context
	made  *int // replicas, for their ids
	kept  bool // replicas are not removed, for others may start from them
	stale []string
}

func newMirror(t testing.TB, rdb *redis.Client, m *enginemodel.Model, made *int) *mirror {
	return &mirror{m: m, s: New(rdb), rdb: rdb, ctx: t.Context(), made: made}
}

// first is the replica of the start: no job.
func (x *mirror) first() replica {
	policy := tasks.Policy{Retries: x.m.Retries, OnFailure: tasks.OnFailureStop}
	if x.m.Retries == 0 {
		policy.Retries = -1
	}
	if x.m.Skip {
		policy.OnFailure = tasks.OnFailureSkip
	}
	*x.made++
	return replica{job: tasks.Job{ID: fmt.Sprint("m", *x.made), Kind: "k", Window: x.m.Window, Policy: policy}, attempt: map[uint8]string{}, worker: map[uint8]int{}}
}

// keysOf are the keys of a job that a copy needs.
func keysOf(m *enginemodel.Model, id string) []string {
	keys := []string{jobKey(id), stagesKey(id), laterKey(id), stepsKey(id), outKey(id), savedKey(id), failsKey(id), deadKey(id), tallyKey(id)}
	for i := range m.Stages {
		keys = append(keys, readyPrefix(id)+strconv.Itoa(i))
	}
	return keys
}

func (x *mirror) copyJob(from, to string) error {
	source, target := keysOf(x.m, from), keysOf(x.m, to)
	_, err := x.rdb.Pipelined(x.ctx, func(p redis.Pipeliner) error {
		p.Del(x.ctx, target...)
		for i := range source {
			p.Copy(x.ctx, source[i], target[i], 0, true)
		}
		return nil
	})
	return err
}

// clone copies a replica, where others may start from it.
func (x *mirror) clone(r replica) (replica, error) {
	n := replica{r.job, maps.Clone(r.attempt), maps.Clone(r.worker), r.snapshot}
	if !x.kept {
		return n, nil
	}
	*x.made++
	n.job.ID = fmt.Sprint("m", *x.made)
	return n, x.copyJob(r.job.ID, n.job.ID)
}

// follow carries out an action, all of whose outcomes are in edges, on a copy of r. It returns those outcomes that agree with what
// the real store answered and holds, and the copy; an error when there is none.
func (x *mirror) follow(r replica, edges []enginemodel.Edge) ([]enginemodel.Edge, replica, error) {
	a := edges[0].Action
	n, err := x.clone(r)
	if err != nil {
		return nil, n, err
	}
	for w := range uint8(x.m.Workers) {
		if _, has := n.attempt[w]; !has && edges[0].Next.Attempting(w) {
			n.attempt[w] = RandomID()
		}
	}
	got, err := x.call(n, edges[0].Call)
	if err == nil && a.Unheard() && edges[0].Call.Op != "begin" && edges[0].Reply.Code == enginemodel.Done {
		if _, again := x.call(n, edges[0].Call); !errors.Is(again, tasks.ErrStale) {
			err = fmt.Errorf("asked again, because the answer was lost, it says %v, want stale", again)
		}
	}
	if errors.Is(err, tasks.ErrStale) || errors.Is(err, ErrConflict) {
		got, err = enginemodel.Reply{Code: enginemodel.Gone}.String(x.m), nil
	}
	if err == nil {
		err = x.fate(&n, a)
	}
	if err != nil {
		return nil, n, err
	}
	for w := range n.attempt {
		if !edges[0].Next.Attempting(w) {
			x.stale = append(x.stale, n.attempt[w])
			delete(n.attempt, w)
		}
	}
	if a.Buries() {
		n.worker[a.Who]++
	}
	holds, err := x.holds(n)
	if err != nil {
		return nil, n, err
	}
	var fit []enginemodel.Edge
	var want []string
	for _, e := range edges {
		if e.Call.Op == "redeliver" {
			e.Reply.Code = 0 // Redeliver does not say
		}
		said, has := e.Reply.String(x.m), x.m.Stored(&e.Next)
		if said == got && slices.Equal(has, holds) {
			fit = append(fit, e)
		}
		want = append(want, fmt.Sprintf("answer %s\n    %s", said, strings.Join(has, "\n    ")))
	}
	if fit == nil {
		return nil, n, fmt.Errorf("after %q (%s):\n  the store: answer %s\n    %s\n  the model: %s", x.m.Say(a), edges[0].Call.Op, got, strings.Join(holds, "\n    "),
			strings.Join(want, "\n  or: "))
	}
	return fit, n, nil
}

// fate carries out what no script does.
func (x *mirror) fate(n *replica, a enginemodel.Action) error {
	id := n.job.ID
	switch {
	case a.TimePasses():
		entries, err := x.rdb.ZRange(x.ctx, laterKey(id), 0, -1).Result()
		for _, e := range entries {
			if strings.HasPrefix(e, x.m.KeyName(a.Key)+"|") {
				err = errors.Join(err, x.rdb.ZAddXX(x.ctx, laterKey(id), redis.Z{Score: 1, Member: e}).Err())
			}
		}
		return err
	case a.Remembers():
		*x.made++
		n.snapshot = fmt.Sprint("m", *x.made)
		return x.copyJob(id, n.snapshot)
	case a.FallsBack():
		return x.copyJob(n.snapshot, id)
	case a.Empties():
		return x.rdb.Del(x.ctx, keysOf(x.m, id)...).Err()
	}
	return nil
}

// call asks the real store what the model was asked. The answer is in the words of the model.
func (x *mirror) call(r replica, c enginemodel.Call) (string, error) {
	var h Handout
	var err error
	ref, attempt := r.ref(x.m, c.Ref), r.attempt[c.Worker]
	counters := tasks.Counters{Read: int64(c.Read)}
	var reply enginemodel.Reply
	switch c.Op {
	case "":
	case "create":
		var created bool
		if h, created, err = x.s.Create(x.ctx, r.job); created {
			reply.Code = 1
		}
	case "begin":
		var b Begin
		b, err = x.s.Begin(x.ctx, ref, attempt, r.workerID(c.Worker), "1.0.0")
		reply.Code, reply.Saved, reply.Fails = uint8(b.Code), uint8(b.Counters.Read), uint8(b.Failed)
	case "save":
		var interrupted bool
		if interrupted, err = x.s.Save(x.ctx, ref, attempt, tasks.Cursor("c"), false, counters); interrupted {
			reply.Code = enginemodel.NotRunning
		}
	case "plan_done":
		h, err = x.s.PlanDone(x.ctx, ref, attempt, planOf(x.m))
	case "split_done":
		h, err = x.split(ref, attempt, c.Ref.Key)
	case "end":
		h, err = x.s.End(x.ctx, ref, attempt, counters, nil)
	case "give_back":
		h, err = x.s.GiveBack(x.ctx, ref, attempt, r.workerID(c.Worker), counters, 0, "drained")
	case "fail":
		var final bool
		if h, final, err = x.s.Fail(x.ctx, ref, attempt, r.workerID(c.Worker), Failure{Reason: "no", Permanent: c.Permanent, After: time.Hour}); final {
			reply.Code = enginemodel.NotRunning
		}
	case "redeliver":
		h, err = x.s.Redeliver(x.ctx, ref)
	case "revoke":
		l := Lease{Ref: ref}
		l.Attempt = strings.Split(x.rdb.HGet(x.ctx, outKey(r.job.ID), ref.Key).Val(), "|")[1]
		h, err = x.s.Revoke(x.ctx, l)
	case "sweep":
		h, err = x.sweep(r, c, &reply)
	case "control":
		h, err = x.s.Control(x.ctx, r.job.ID, Verb(c.Verb), "model", "")
	default:
		err = fmt.Errorf("the model asks for %q, which nobody knows", c.Op)
	}
	for _, e := range h.Enqueue {
		k, ok := x.m.KeyOf(e.Key)
		if !ok || e.Job != r.job.ID {
			return "", fmt.Errorf("handed out %+v, which the model does not know", e)
		}
		reply.Handout = append(reply.Handout, enginemodel.Ref{Epoch: uint8(e.Epoch), Key: k, Delivery: uint8(e.Delivery)})
	}
	return reply.String(x.m), err
}

func planOf(m *enginemodel.Model) []tasks.Stage {
	var list []tasks.Stage
	for i, st := range m.Stages {
		stage := tasks.Stage{Name: fmt.Sprint("s", i)}
		for _, a := range st.After {
			stage.After = append(stage.After, fmt.Sprint("s", a))
		}
		list = append(list, stage)
	}
	return list
}

func (x *mirror) split(ref Ref, attempt string, key uint8) (Handout, error) {
	ids, last := x.m.Page(key)
	next := tasks.Cursor("next")
	if last {
		next = nil
	}
	return x.s.SplitDone(x.ctx, ref, attempt, stepsOf(ids), next)
}

func (x *mirror) sweep(r replica, c enginemodel.Call, reply *enginemodel.Reply) (Handout, error) {
	look := Look{Trusted: true, Unbegun: soon}
	for w := range uint8(x.m.Workers) {
		if c.Living&(1<<w) != 0 {
			look.Living = append(look.Living, r.workerID(w))
		}
	}
	found := x.s.SweepAll(x.ctx, []string{r.job.ID}, look)[0]
	for key := range found.Lost {
		k, _ := x.m.KeyOf(key)
		reply.Lost = append(reply.Lost, k)
	}
	for _, u := range found.Unbegun {
		k, _ := x.m.KeyOf(u.Key)
		reply.Unbegun = append(reply.Unbegun, enginemodel.Ref{Epoch: uint8(u.Epoch), Key: k, Delivery: uint8(u.Delivery)})
	}
	if errors.Is(found.Err, ErrNotFound) {
		return Handout{}, nil
	}
	return found.Handout, found.Err
}
