package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silent{})
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// never and soon are what is given to Sweep as the time after which a step that nobody began is looked at.
const (
	never = time.Hour
	soon  = time.Duration(0)
)

// bench is one job on a Redis of its own, and a queue that is a slice: what the store hands out is appended, tests take.
type bench struct {
	*Store
	t     *testing.T
	rdb   *redis.Client
	job   tasks.Job
	queue []Ref
}

func newBench(t *testing.T) *bench {
	t.Helper()
	rdb := redistest.Client(t)
	return &bench{Store: New(rdb), t: t, rdb: rdb, job: tasks.Job{ID: "mig-1", Kind: "test", Spec: json.RawMessage(`{"a":1}`), Window: 4}}
}

// planned makes a bench whose job has these stages; "b<a" waits for a, "d<b,c" for both.
func planned(t *testing.T, change func(*tasks.Job), stages ...string) *bench {
	t.Helper()
	b := newBench(t)
	if change != nil {
		change(&b.job)
	}
	b.create()
	b.plan(stages...)
	return b
}

// running makes a bench with one stage "a" that has been split into these steps, all of them.
func running(t *testing.T, change func(*tasks.Job), steps ...string) *bench {
	t.Helper()
	b := planned(t, change, "a")
	b.split(nil, steps...)
	return b
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func (b *bench) must(h Handout, err error) Handout {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	b.queue = append(b.queue, h.Enqueue...)
	return h
}

func (b *bench) create() {
	b.t.Helper()
	h, created, err := b.Create(b.ctx(), b.job)
	if err != nil || !created {
		b.t.Fatalf("created %v, %v", created, err)
	}
	b.must(h, nil)
}

// take takes the oldest task with this step key from the queue; "x" and a number stands for any page of that stage.
func (b *bench) take(key string) Ref {
	b.t.Helper()
	for i, r := range b.queue {
		if r.Key == key || (key[0] == 'x' && strings.HasPrefix(r.Key, key+".")) {
			b.queue = slices.Delete(b.queue, i, i+1)
			return r
		}
	}
	b.t.Fatalf("%s is not on the queue: %v", key, b.keys())
	return Ref{}
}

// keys lists the step keys on the queue, sorted.
func (b *bench) keys() []string {
	keys := []string{}
	for _, r := range b.queue {
		keys = append(keys, r.Key)
	}
	slices.Sort(keys)
	return keys
}

func (b *bench) wantQueue(keys ...string) {
	b.t.Helper()
	if got := b.keys(); !slices.Equal(got, append([]string{}, keys...)) {
		b.t.Errorf("on the queue: %v, want %v", got, keys)
	}
}

// lease begins the step on a worker and returns the attempt.
func (b *bench) lease(r Ref, worker string) string {
	b.t.Helper()
	attempt := RandomID()
	if got := b.begin(r, attempt, worker); got.Code != Begun {
		b.t.Fatalf("begin %s: answer %d, want a lease", r.Key, got.Code)
	}
	return attempt
}

func (b *bench) begin(r Ref, attempt, worker string) Begin {
	b.t.Helper()
	got, err := b.Begin(b.ctx(), r, attempt, worker, "1.0.0")
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func stagesOf(words []string) []tasks.Stage {
	var list []tasks.Stage
	for _, w := range words {
		name, after, _ := strings.Cut(w, "<")
		st := tasks.Stage{Name: name, Detail: json.RawMessage(`"` + name + `"`)}
		if after != "" {
			st.After = strings.Split(after, ",")
		}
		list = append(list, st)
	}
	return list
}

func (b *bench) plan(stages ...string) {
	b.t.Helper()
	r := b.take("p")
	b.must(b.PlanDone(b.ctx(), r, b.lease(r, "w"), stagesOf(stages)))
}

// split ends the split of the first stage that is on the queue with these steps; a nil cursor ends its splitting.
func (b *bench) split(next tasks.Cursor, steps ...string) {
	b.t.Helper()
	for _, r := range b.queue {
		if r.Key[0] == 'x' {
			b.splitOf(r.Key[:strings.Index(r.Key, ".")], next, steps...)
			return
		}
	}
	b.t.Fatalf("no split is on the queue: %v", b.keys())
}

func (b *bench) splitOf(stage string, next tasks.Cursor, steps ...string) {
	b.t.Helper()
	r := b.take(stage)
	b.must(b.SplitDone(b.ctx(), r, b.lease(r, "w"), stepsOf(steps), next))
}

func stepsOf(ids []string) []tasks.Step {
	var list []tasks.Step
	for _, id := range ids {
		list = append(list, tasks.Step{ID: id, Body: json.RawMessage(`"body of ` + id + `"`)})
	}
	return list
}

// end runs a step from the queue to its end.
func (b *bench) end(key string) {
	b.t.Helper()
	r := b.take(key)
	b.must(b.End(b.ctx(), r, b.lease(r, "w"), tasks.Counters{}, nil))
}

// fail runs a step from the queue to a failure that no retry can help.
func (b *bench) fail(key string) {
	b.t.Helper()
	r := b.take(key)
	h, final, err := b.Fail(b.ctx(), r, b.lease(r, "w"), "w", Failure{Reason: "broken", Hint: "mend it", Permanent: true})
	if !final {
		b.t.Errorf("a permanent failure of %s is not final", key)
	}
	b.must(h, err)
}

func (b *bench) control(verb Verb) {
	b.t.Helper()
	b.must(b.Control(b.ctx(), b.job.ID, verb, "somebody", ""))
}

func (b *bench) sweep(living ...string) Swept {
	b.t.Helper()
	s, err := b.Sweep(b.ctx(), b.job.ID, Look{Living: living, Trusted: true, Unbegun: never})
	b.must(s.Handout, err)
	return s
}

func (b *bench) view() *wire.Job {
	b.t.Helper()
	v, err := b.View(b.ctx(), b.job.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

func (b *bench) wantState(want tasks.State) {
	b.t.Helper()
	if got := b.view().State; got != want {
		b.t.Errorf("the job is %s, want %s", got, want)
	}
}

// dump is all that Redis holds, for comparisons: a call that changes nothing leaves it as it is.
func (b *bench) dump() map[string]string {
	b.t.Helper()
	return dumpOf(b.t, b.rdb, "*")
}

func dumpOf(t testing.TB, rdb *redis.Client, pattern string) map[string]string {
	t.Helper()
	keys, err := rdb.Keys(context.Background(), pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, k := range keys {
		var v any
		switch kind, _ := rdb.Type(context.Background(), k).Result(); kind {
		case "hash":
			v = rdb.HGetAll(context.Background(), k).Val()
		case "zset":
			v = rdb.ZRangeWithScores(context.Background(), k, 0, -1).Val()
		case "list":
			v = rdb.LRange(context.Background(), k, 0, -1).Val()
		case "set":
			list := rdb.SMembers(context.Background(), k).Val()
			slices.Sort(list)
			v = list
		case "stream":
			v = rdb.XLen(context.Background(), k).Val()
		default:
			v = rdb.Get(context.Background(), k).Val()
		}
		all[k] = fmt.Sprint(v)
	}
	return all
}

// unchanged fails the test when call changes anything in Redis.
func (b *bench) unchanged(what string, call func()) {
	b.t.Helper()
	before := b.dump()
	call()
	after := b.dump()
	for k := range before {
		if before[k] != after[k] {
			b.t.Errorf("%s changed %s:\n  %s\n  %s", what, k, before[k], after[k])
		}
	}
	for k := range after {
		if _, ok := before[k]; !ok {
			b.t.Errorf("%s made %s: %s", what, k, after[k])
		}
	}
}

func wantStale(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, tasks.ErrStale) {
		t.Errorf("%s says %v, want stale", what, err)
	}
}

// eventually repeats a check until it holds.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); ; <-tick.C {
		if check() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
