package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// gate is a call that waits until it is let through, and notes what it was asked.
type gate struct {
	together[string, int, string]
	asked chan []int
	open  chan error
}

func newGate() *gate {
	g := &gate{asked: make(chan []int), open: make(chan error)}
	g.call = func(_ context.Context, about string, list []int) ([]string, error) {
		g.asked <- list
		var answers []string
		for _, n := range list {
			answers = append(answers, fmt.Sprint(about, n))
		}
		return answers, <-g.open
	}
	return g
}

// waits returns when so many wait in line.
func (g *gate) waits(n int) {
	for {
		g.mu.Lock()
		have := len(g.lines["job"])
		g.mu.Unlock()
		if have == n {
			return
		}
		runtime.Gosched()
	}
}

func TestCallsThatComeMeanwhileGoTogether(t *testing.T) {
	t.Parallel()
	g := newGate()
	var all sync.WaitGroup
	ask := func(ctx context.Context, n int, want error) {
		all.Go(func() {
			if answer, err := g.do(ctx, "job", n); !errors.Is(err, want) || err == nil && answer != fmt.Sprint("job", n) {
				t.Errorf("%d: %q, %v; want %v", n, answer, err, want)
			}
		})
	}
	broken := errors.New("broken")
	ask(t.Context(), 1, nil)
	if got := <-g.asked; !slices.Equal(got, []int{1}) {
		t.Errorf("asked for %v", got)
	}
	for n := range 2 {
		ask(t.Context(), n+2, broken)
	}
	g.waits(2)
	ctx, cancel := context.WithCancelCause(t.Context())
	ask(ctx, 9, broken)
	g.waits(3)
	cancel(broken)
	g.waits(2) // one that no longer waits is not asked
	g.open <- nil
	got := slices.Sorted(slices.Values(<-g.asked))
	if !slices.Equal(got, []int{2, 3}) {
		t.Errorf("asked for %v", got)
	}
	for n := range atOnce + 1 {
		ask(t.Context(), n+100, nil)
	}
	g.waits(atOnce + 1)
	g.open <- broken
	for _, want := range []int{atOnce, 1} {
		if got := <-g.asked; len(got) != want {
			t.Errorf("%d went together, want %d", len(got), want)
		}
		g.open <- nil
	}
	all.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lines) != 0 {
		t.Errorf("there is left %v", g.lines)
	}
}

// Who gives up on a call that is on its way leaves the others theirs.
func TestWhoLeavesACallThatIsOnItsWayTakesNobodyAlong(t *testing.T) {
	t.Parallel()
	g := newGate()
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan error, 3)
	go func() { _, err := g.do(t.Context(), "job", 1); answers <- err }()
	<-g.asked
	go func() { _, err := g.do(t.Context(), "job", 2); answers <- err }()
	g.waits(1)
	go func() { _, err := g.do(ctx, "job", 3); answers <- err }()
	g.waits(2)
	g.open <- nil
	if err := <-answers; err != nil {
		t.Error(err)
	}
	if got := <-g.asked; len(got) != 2 {
		t.Errorf("asked for %v", got)
	}
	cancel()
	if err := <-answers; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	g.open <- nil
	if err := <-answers; err != nil {
		t.Error(err)
	}
}

// twin is one of two jobs that are the same; one runs its steps one after another, the other together.
type twin struct {
	*Store
	ctx   context.Context
	rdb   *redis.Client
	job   string
	queue []Ref
	fatal func(...any)
}

func (w *twin) must(h Handout, err error) {
	if err != nil {
		w.fatal(err)
	}
	w.queue = append(w.queue, h.Enqueue...)
}

// plans does what is on the queue and is no step.
func (w *twin) plans(stages []tasks.Stage, steps []tasks.Step) {
	for i := 0; i < len(w.queue); {
		r := w.queue[i]
		kind, _, _ := ParseKey(r.Key)
		if kind == RunKey {
			i++
			continue
		}
		w.queue = slices.Delete(w.queue, i, i+1)
		if b, err := w.Begin(w.ctx, r, "plan", "w", "1"); err != nil || b.Code != Begun {
			w.fatal(b, err)
		}
		if kind == PlanKey {
			w.must(w.PlanDone(w.ctx, r, "plan", stages))
		} else {
			w.must(w.SplitDone(w.ctx, r, "plan", steps, nil))
		}
	}
}

var (
	moments = regexp.MustCompile(`\b\d{13}(\d{3})?\b`)
	busy    = regexp.MustCompile(`^((?:\d+\|){6})\d+`)
)

// held is all that Redis has of a job, without times.
func (w *twin) held() (lines []string) {
	keys := w.rdb.Keys(w.ctx, jobKey(w.job)+"*").Val()
	for _, key := range keys {
		name := strings.TrimPrefix(key, jobKey(w.job))
		switch w.rdb.Type(w.ctx, key).Val() {
		case "hash":
			for field, v := range w.rdb.HGetAll(w.ctx, key).Val() {
				if v = busy.ReplaceAllString(v, "${1}B"); !strings.HasSuffix(field, ":busy") && field != "json" && field != "sum" {
					lines = append(lines, name+" "+field+" "+v)
				}
			}
		case "list":
			lines = append(lines, name+" "+fmt.Sprint(w.rdb.LRange(w.ctx, key, 0, -1).Val()))
		case "zset":
			lines = append(lines, name+" "+fmt.Sprint(w.rdb.ZRange(w.ctx, key, 0, -1).Val()))
		case "stream":
			for _, m := range w.rdb.XRange(w.ctx, key, "-", "+").Val() {
				lines = append(lines, name+" "+fmt.Sprint(m.Values))
			}
		}
	}
	for i, line := range lines {
		lines[i] = strings.ReplaceAll(moments.ReplaceAllString(line, "T"), w.job, "JOB")
	}
	slices.Sort(lines)
	return lines
}

func TestStepsThatGoTogetherAreAsThoseThatGoOneAfterAnother(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	made := 0
	rapid.Check(t, func(rt *rapid.T) {
		made++
		window := rapid.IntRange(1, 6).Draw(rt, "window")
		var ids []string
		for i := range rapid.IntRange(1, 9).Draw(rt, "steps") {
			ids = append(ids, fmt.Sprint(i))
		}
		twins := [2]*twin{}
		for i := range twins {
			w := &twin{Store: New(rdb), ctx: t.Context(), rdb: rdb, job: fmt.Sprintf("job-%d-%d", made, i), fatal: func(args ...any) { rt.Fatal(args...) }}
			h, _, err := w.Create(w.ctx, tasks.Job{ID: w.job, Kind: "test", Spec: json.RawMessage(`{}`), Window: window})
			w.must(h, err)
			w.plans(stagesOf([]string{"a", "b<a", "c"}), stepsOf(ids))
			twins[i] = w
		}
		alone, crowd := twins[0], twins[1]
		var over []Ref
		for round := 0; len(alone.queue) > 0; round++ {
			take := rapid.IntRange(1, len(alone.queue)).Draw(rt, "taken")
			worker := rapid.SampledFrom([]string{"w", "v"}).Draw(rt, "worker")
			list := slices.Clone(alone.queue[:take])
			alone.queue, crowd.queue = slices.Clone(alone.queue[take:]), slices.Clone(crowd.queue[take:])
			if len(over) > 0 && rapid.Bool().Draw(rt, "one that is over") {
				list = slices.Insert(list, 0, rapid.SampledFrom(over).Draw(rt, "over"))
			}
			if rapid.Bool().Draw(rt, "one twice") {
				list = append(list, list[0])
			}
			over = append(over, alone.bothWays(rt, crowd, worker, list, fmt.Sprint("attempt-", round))...)
			alone.plans(nil, stepsOf(ids))
			crowd.plans(nil, stepsOf(ids))
			if a, b := alone.held(), crowd.held(); !slices.Equal(a, b) {
				rt.Fatalf("one after another\n%s\ntogether\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
			}
		}
		if state := rdb.HGet(t.Context(), jobKey(crowd.job), "state").Val(); state != "succeeded" {
			rt.Fatalf("the job is %s", state)
		}
	})
}

// bothWays begins and ends steps, on w one after another and on crowd together, and returns those that are over.
func (w *twin) bothWays(rt *rapid.T, crowd *twin, worker string, list []Ref, attempt string) (over []Ref) {
	var claims []beginning
	var ends []ending
	for i, r := range list {
		name := fmt.Sprint(attempt, "-", i)
		crowds := r
		crowds.Job = crowd.job
		claims = append(claims, beginning{crowds, name})
		e := ending{key: r.Key, attempt: name, counters: formatCounters(tasks.Counters{Read: int64(rapid.IntRange(0, 2).Draw(rt, "rows"))})}
		if rapid.IntRange(0, 3).Draw(rt, "found") == 0 {
			e.findings, e.found = `[{"at":"x"}]`, 1
		}
		ends = append(ends, e)
	}
	begun, err := crowd.beginAll(crowd.ctx, beginner{crowd.job, worker, "1"}, claims)
	if err != nil {
		rt.Fatal(err)
	}
	for i, c := range claims {
		b, err := w.Begin(w.ctx, list[i], c.attempt, worker, "1")
		b.Born, begun[i].Born = 0, 0
		if err != nil || fmt.Sprintf("%+v", b) != fmt.Sprintf("%+v", begun[i]) {
			rt.Fatalf("begin %v: alone %+v, together %+v, %v", list[i], b, begun[i], err)
		}
	}
	ended, err := crowd.endAll(crowd.ctx, crowd.job, ends)
	if err != nil {
		rt.Fatal(err)
	}
	for i, e := range ends {
		one, err := w.endAll(w.ctx, w.job, []ending{e})
		if err != nil || one[0].stale != ended[i].stale {
			rt.Fatalf("end %v: alone %+v, together %+v, %v", list[i], one, ended[i], err)
		}
		w.queue = append(w.queue, one[0].Enqueue...)
		crowd.queue = append(crowd.queue, ended[i].Enqueue...)
		if !one[0].stale {
			over = append(over, list[i])
		}
	}
	return over
}
