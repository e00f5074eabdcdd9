package store

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// The scripts against a small model of them. Random operations: tasks are delivered, twice, late or never; attempts save,
// end, fail and give back, with the lease or without it; workers vanish; the job is paused, resumed, cancelled, retried and
// restarted. After each operation Redis holds what the model says, and in the end each step has ended exactly once.

type modelStep struct {
	where    string // waiting, out, leased, ended, dead
	delivery int64
	attempt  string
	worker   string
	saved    int64
	failed   int
	ends     int
}

type modelAttempt struct {
	ref    Ref
	id     string
	worker string
}

type model struct {
	rt       *rapid.T
	s        *Store
	b        *bench
	skip     bool
	retries  int
	window   int
	state    tasks.State
	epoch    int64
	planned  bool
	pages    [2]int // pages split of each stage
	split    [2]bool
	steps    map[string]*modelStep
	queue    []Ref
	attempts []modelAttempt
	living   map[string]bool
	read     [2]int64
	workers  int
}

const pagesOfStage, stepsOfPage = 3, 3

func TestTheScriptsDoWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	s := New(rdb)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		m := &model{rt: rt, s: s, skip: rapid.Bool().Draw(rt, "skip"), retries: rapid.IntRange(0, 2).Draw(rt, "retries"),
			window: rapid.IntRange(1, 5).Draw(rt, "window"), state: tasks.Accepted, epoch: 1, living: map[string]bool{"w0": true}}
		policy := tasks.Policy{Retries: m.retries, OnFailure: tasks.OnFailureStop}
		if m.retries == 0 {
			policy.Retries = -1
		}
		if m.skip {
			policy.OnFailure = tasks.OnFailureSkip
		}
		m.b = &bench{Store: s, t: t, rdb: rdb, job: tasks.Job{ID: fmt.Sprint("j", n), Kind: "k", Window: m.window, Policy: policy}}
		m.steps = map[string]*modelStep{"p": {where: "waiting", delivery: 1}}
		h, created, err := s.Create(t.Context(), m.b.job)
		if err != nil || !created {
			rt.Fatalf("create: %v, %v", created, err)
		}
		m.handedOut(h)
		m.agree()
		ops := map[string]func(*rapid.T){"": func(*rapid.T) { m.agree() }}
		for name, op := range map[string]func(){"begin": m.begin, "begin one": m.begin, "save": m.save, "end": m.end, "end one": m.end, "give back": m.giveBack, "fail": m.fail,
			"kill": m.kill, "sweep": m.sweep, "redeliver": m.redeliver, "lose a task": m.loseTask, "control": m.control} {
			ops[name] = func(rt *rapid.T) { m.rt = rt; op() }
		}
		rt.Repeat(ops)
		m.rt = rt
		m.finish()
	})
}

// handedOut checks what the store says is to be put on the queue, and puts it there.
func (m *model) handedOut(h Handout) {
	for _, r := range h.Enqueue {
		st := m.steps[r.Key]
		if m.state == tasks.Paused || m.state.Ended() || st == nil || st.where != "waiting" || st.delivery != r.Delivery || r.Epoch != m.epoch {
			m.rt.Fatalf("handed out %+v in state %s; the model has %+v in run %d", r, m.state, st, m.epoch)
		}
		st.where = "out"
		m.queue = append(m.queue, r)
	}
}

func (m *model) again(st *modelStep) {
	st.where, st.attempt, st.delivery = "waiting", "", st.delivery+1
}

func (m *model) pickAttempt() (modelAttempt, *modelStep) {
	if len(m.attempts) == 0 {
		m.rt.Skip("no attempts")
	}
	// Recent ones rather hold their step, old ones are stale.
	i := rapid.IntRange(0, len(m.attempts)-1).Draw(m.rt, "attempt")
	if rapid.Bool().Draw(m.rt, "recent") {
		i = max(i, len(m.attempts)-m.window)
	}
	a := m.attempts[i]
	st := m.steps[a.ref.Key]
	if st == nil || st.where != "leased" || st.attempt != a.id {
		return a, nil
	}
	return a, st
}

func (m *model) begin() {
	if len(m.queue) == 0 {
		m.rt.Skip("nothing on the queue")
	}
	i := rapid.IntRange(0, len(m.queue)-1).Draw(m.rt, "task")
	r := m.queue[i]
	if rapid.IntRange(0, 3).Draw(m.rt, "delivered once") > 0 {
		m.queue = slices.Delete(m.queue, i, i+1)
	}
	m.beginRef(r)
}

func (m *model) beginRef(r Ref) {
	a := modelAttempt{r, RandomID(), m.liveWorker()}
	st := m.steps[r.Key]
	want := Begun
	switch {
	case st == nil || r.Epoch != m.epoch || st.delivery != r.Delivery || (st.where != "out" && st.where != "leased"):
		want = Gone
	case st.where == "leased":
		want = Held
	case m.state == tasks.Paused || m.state.Ended():
		want = NotRunning
	}
	got, err := m.s.Begin(m.b.ctx(), r, a.id, a.worker, "1.0.0")
	if err != nil || got.Code != want {
		m.rt.Fatalf("begin %+v in state %s: answer %d, %v; want %d (%+v)", r, m.state, got.Code, err, want, st)
	}
	switch want {
	case Begun:
		if got.Failed != st.failed || got.Counters.Read != st.saved {
			m.rt.Fatalf("begin %s: %+v, want %+v", r.Key, got, st)
		}
		st.where, st.attempt, st.worker = "leased", a.id, a.worker
		if m.state == tasks.Accepted {
			m.state = tasks.Planning
		}
		m.attempts = append(m.attempts, a)
	case NotRunning:
		m.again(st)
	}
}

func (m *model) liveWorker() string {
	var list []string
	for w := range m.living {
		list = append(list, w)
	}
	slices.Sort(list)
	return rapid.SampledFrom(list).Draw(m.rt, "worker")
}

func stageIndex(key string) int {
	_, i, _ := ParseKey(key)
	return i
}

// count moves the counters of a step to an absolute value.
func (m *model) count(key string, st *modelStep, read int64) {
	if i := stageIndex(key); i >= 0 {
		m.read[i] += read - st.saved
	}
	st.saved = read
}

func (m *model) stale(what string, a modelAttempt, err error) {
	if !errors.Is(err, tasks.ErrStale) {
		m.rt.Fatalf("%s of %s by an attempt that does not hold it: %v", what, a.ref.Key, err)
	}
}

func (m *model) save() {
	a, st := m.pickAttempt()
	if kind, _, _ := ParseKey(a.ref.Key); kind != RunKey {
		m.rt.Skip("planning and splitting have no checkpoints")
	}
	read := int64(rapid.IntRange(0, 100).Draw(m.rt, "read"))
	interrupted, err := m.s.Save(m.b.ctx(), a.ref, a.id, tasks.Cursor("c"), rapid.Bool().Draw(m.rt, "pulse"), tasks.Counters{Read: read})
	if st == nil {
		m.stale("save", a, err)
		return
	}
	if want := m.state == tasks.Paused || m.state.Ended(); err != nil || interrupted != want {
		m.rt.Fatalf("save: interrupted %v, %v; want %v", interrupted, err, want)
	}
	m.count(a.ref.Key, st, read)
}

func (m *model) end() {
	a, st := m.pickAttempt()
	m.endAttempt(a, st)
	if rapid.Bool().Draw(m.rt, "reply lost") {
		_, st := a, (*modelStep)(nil)
		m.endAttempt(a, st)
	}
}

func (m *model) endAttempt(a modelAttempt, st *modelStep) {
	kind, i, _ := ParseKey(a.ref.Key)
	var h Handout
	var err error
	read := int64(0)
	switch kind {
	case PlanKey:
		h, err = m.s.PlanDone(m.b.ctx(), a.ref, a.id, []tasks.Stage{{Name: "a"}, {Name: "b", After: []string{"a"}}})
	case SplitKey:
		page, _ := strconv.Atoi(a.ref.Key[strings.Index(a.ref.Key, ".")+1:])
		steps, next := pageOf(page)
		h, err = m.s.SplitDone(m.b.ctx(), a.ref, a.id, steps, next)
	default:
		read = int64(rapid.IntRange(0, 100).Draw(m.rt, "read"))
		h, err = m.s.End(m.b.ctx(), a.ref, a.id, tasks.Counters{Read: read}, nil)
	}
	if st == nil {
		m.stale("end", a, err)
		return
	}
	if err != nil {
		m.rt.Fatalf("end %s: %v", a.ref.Key, err)
	}
	st.where, st.ends = "ended", st.ends+1
	switch kind {
	case PlanKey:
		m.planned = true
		if m.state != tasks.Paused {
			m.state = tasks.Running
		}
		m.steps["x0.0"] = &modelStep{where: "waiting", delivery: 1}
	case SplitKey:
		steps, next := pageOf(m.pages[i])
		for _, s := range steps {
			m.steps[fmt.Sprintf("%d/%s", i, s.ID)] = &modelStep{where: "waiting", delivery: 1}
		}
		m.pages[i]++
		if m.split[i] = next == nil; !m.split[i] {
			m.steps[fmt.Sprintf("x%d.%d", i, m.pages[i])] = &modelStep{where: "waiting", delivery: 1}
		}
	default:
		m.count(a.ref.Key, st, read)
	}
	m.closeStages()
	m.handedOut(h)
}

func pageOf(page int) ([]tasks.Step, tasks.Cursor) {
	var steps []tasks.Step
	for k := range stepsOfPage {
		steps = append(steps, tasks.Step{ID: fmt.Sprint(page*stepsOfPage + k)})
	}
	if page == pagesOfStage-1 {
		return steps, nil
	}
	return steps, tasks.Cursor(fmt.Sprint(page + 1))
}

// over says whether a stage has no step left that could run.
func (m *model) over(i int) bool {
	if !m.split[i] {
		return false
	}
	for key, st := range m.steps {
		if kind, j, _ := ParseKey(key); kind == RunKey && j == i && st.where != "ended" && (st.where != "dead" || !m.skip) {
			return false
		}
	}
	return true
}

func (m *model) closeStages() {
	if !m.planned || !m.over(0) {
		return
	}
	if m.pages[1] == 0 && m.steps["x1.0"] == nil {
		m.steps["x1.0"] = &modelStep{where: "waiting", delivery: 1}
	}
	if m.over(1) {
		m.state = tasks.Succeeded
	}
}

func (m *model) giveBack() {
	a, st := m.pickAttempt()
	read := int64(rapid.IntRange(0, 100).Draw(m.rt, "read"))
	h, err := m.s.GiveBack(m.b.ctx(), a.ref, a.id, a.worker, tasks.Counters{Read: read}, 0, "drained")
	if st == nil {
		m.stale("give back", a, err)
		return
	}
	if err != nil {
		m.rt.Fatal(err)
	}
	m.count(a.ref.Key, st, read)
	m.again(st)
	m.handedOut(h)
}

func (m *model) fail() {
	a, st := m.pickAttempt()
	permanent := rapid.IntRange(0, 4).Draw(m.rt, "permanent") == 0
	h, final, err := m.s.Fail(m.b.ctx(), a.ref, a.id, a.worker, Failure{Reason: "no", Permanent: permanent})
	if st == nil {
		m.stale("fail", a, err)
		return
	}
	st.failed++
	if want := permanent || st.failed > m.retries; err != nil || final != want {
		m.rt.Fatalf("fail: final %v, %v; want %v", final, err, want)
	}
	if !final {
		m.again(st)
	} else {
		st.where, st.attempt = "dead", ""
		kind, _, _ := ParseKey(a.ref.Key)
		if (!m.skip || kind != RunKey) && !m.state.Ended() {
			m.state = tasks.Failed
		}
		m.closeStages()
	}
	m.handedOut(h)
}

// kill ends a worker for good and lets another one start.
func (m *model) kill() {
	w := m.liveWorker()
	delete(m.living, w)
	m.workers++
	m.living[fmt.Sprint("w", m.workers)] = true
}

func (m *model) sweep() {
	var living []string
	for w := range m.living {
		living = append(living, w)
	}
	lost := map[string]string{}
	if !m.state.Ended() {
		for key, st := range m.steps {
			if st.where == "leased" && !m.living[st.worker] {
				lost[key] = st.worker
				m.again(st)
			}
		}
	}
	s, err := m.s.Sweep(m.b.ctx(), m.b.job.ID, Look{Living: living, Trusted: true, Unbegun: soon})
	if err != nil || fmt.Sprint(s.Lost) != fmt.Sprint(lost) {
		m.rt.Fatalf("lost %v, %v; want %v", s.Lost, err, lost)
	}
	unbegun := 0
	for _, st := range m.steps {
		if st.where == "out" && !m.state.Ended() {
			unbegun++
		}
	}
	m.handedOut(s.Handout)
	if len(s.Unbegun) != unbegun {
		m.rt.Fatalf("unbegun %v, want %d", s.Unbegun, unbegun)
	}
	for _, r := range s.Unbegun { // what the scheduler does with a task that the queue does not know
		if !slices.Contains(m.queue, r) {
			m.queue = append(m.queue, r)
		}
	}
}

func (m *model) redeliver() {
	if len(m.queue) == 0 {
		m.rt.Skip("nothing on the queue")
	}
	r := rapid.SampledFrom(m.queue).Draw(m.rt, "task")
	h, err := m.s.Redeliver(m.b.ctx(), r)
	if err != nil {
		m.rt.Fatal(err)
	}
	if st := m.steps[r.Key]; st != nil && r.Epoch == m.epoch && st.delivery == r.Delivery && st.where == "out" {
		m.again(st)
	}
	m.handedOut(h)
}
