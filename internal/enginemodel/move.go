package enginemodel

import (
	"cmp"
	"fmt"
	"slices"
)

// Move is an arrow that an action took: a job, a stage, a step or a worker went from one state to another.
type Move struct{ Of, From, To string }

// Call is what an action asked of the store; Op is "" when it asked nothing.
type Call struct {
	Op        string // create, begin, save, end, plan_done, split_done, give_back, fail, redeliver, revoke, sweep, control
	Ref       Ref
	Worker    uint8
	Read      uint8  // the counter that goes with it: batches
	Permanent bool   // of fail
	Verb      string // of control
	Living    uint8  // of sweep: one bit for each worker whose heartbeats are heard
}

// Answers of the store, in the words of its scripts.
const (
	Done       uint8 = 0
	Gone       uint8 = 1 // of begin; of all others: the attempt does not hold the step
	NotRunning uint8 = 2 // of begin; of save: the job wants the step back; of fail: for good; of control: not in this state
	Held       uint8 = 3
)

// Reply is what the store has to answer.
type Reply struct {
	Code    uint8
	Handout []Ref
	Lost    []uint8 // keys, of sweep
	Unbegun []Ref   // of sweep
	Saved   uint8   // of begin
	Fails   uint8   // of begin
}

// turn carries out one action on a copy of a state. It is used again for the next one.
type turn struct {
	m      *Model
	s      State
	moves  []Move
	call   Call
	reply  Reply
	broken string // an invariant of moves that the action broke; "" is none
	full   bool   // the model has no room for what came of it
	choice chooser
	// cramped says that some action was left out, for want of room.
	cramped bool
}

// chooser leads one action through all the choices that it has, one after the other: each run follows path and goes on with the
// first choice wherever path has ended.
type chooser struct {
	path, sizes []int
	at          int
}

func (c *chooser) pick(n int) int {
	if n <= 1 {
		return 0
	}
	if c.at == len(c.path) {
		c.path, c.sizes = append(c.path, 0), append(c.sizes, n)
	}
	c.at++
	return c.path[c.at-1]
}

// next goes to the next run; false when there is none.
func (c *chooser) next() bool {
	c.at = 0
	for i := len(c.path) - 1; i >= 0; i-- {
		if c.path[i]++; c.path[i] < c.sizes[i] {
			c.path, c.sizes = c.path[:i+1], c.sizes[:i+1]
			return true
		}
	}
	c.path, c.sizes = c.path[:0], c.sizes[:0]
	return false
}

func (t *turn) reset(s *State) {
	t.s = *s
	t.moves, t.call, t.reply, t.broken, t.full = t.moves[:0], Call{}, Reply{}, "", false
}

func (t *turn) moved(of, from, to string) { t.moves = append(t.moves, Move{of, from, to}) }

func (t *turn) breaks(what string) {
	if t.broken == "" {
		t.broken = what
	}
}

// setJob moves the job.
func (t *turn) setJob(to JobState) {
	if from := t.s.redis.job; from != to {
		t.moved("job", from.String(), to.String())
		t.s.redis.job = to
	}
}

func (t *turn) setWorker(w int, to uint8) {
	names := [...]string{"", "active", "draining", "drained"}
	st := &t.s.worker[w]
	if st.state != to && to != absent {
		t.moved("worker", names[st.state], names[to])
	}
	st.state = to
}

// handOut puts a step out. It returns the reference that is to go on the queue.
func (t *turn) handOut(k int) {
	r := &t.s.redis
	st := &r.steps[k]
	if st.place != ready {
		t.moved("step", "later", "queued")
	} else {
		t.moved("step", "ready", "queued")
	}
	if !r.job.active() {
		t.breaks("a step is handed out although the job is " + r.job.String())
	}
	if st.delivery <= st.handed && t.s.used.fell == 0 {
		t.breaks("a step is handed out twice under one delivery number")
	}
	st.place, st.attempt, st.worker, st.handed = out, 0, 0, st.delivery
	t.reply.Handout = append(t.reply.Handout, Ref{r.epoch, uint8(k), st.delivery})
}

// again makes a step ready under the next delivery number. Where it was is for the arrows: "", or why.
func (t *turn) again(k int, from, to string, at place) {
	st := &t.s.redis.steps[k]
	t.moved("step", from, to)
	st.place, st.attempt, st.worker = at, 0, 0
	st.delivery++
}

func (t *turn) sortReply() {
	slices.SortFunc(t.reply.Handout, Ref.compare)
	slices.SortFunc(t.reply.Unbegun, Ref.compare)
	slices.SortFunc(t.reply.Lost, cmp.Compare[uint8])
}

// String tells an answer; what is handed out and found is in order.
func (r Reply) String(m *Model) string {
	t := turn{reply: Reply{Code: r.Code, Handout: slices.Clone(r.Handout), Lost: slices.Clone(r.Lost), Unbegun: slices.Clone(r.Unbegun)}}
	t.sortReply()
	text := fmt.Sprintf("%d", r.Code)
	list := func(what string, refs []Ref) {
		for _, ref := range refs {
			text += fmt.Sprintf(" %s %s/%d/%d", what, m.KeyName(ref.Key), ref.Epoch, ref.Delivery)
		}
	}
	list("out", t.reply.Handout)
	list("unbegun", t.reply.Unbegun)
	for _, k := range t.reply.Lost {
		text += " lost " + m.KeyName(k)
	}
	if r.Saved+r.Fails > 0 {
		text += fmt.Sprintf(" saved %d fails %d", r.Saved, r.Fails)
	}
	return text
}
