package enginemodel

import "slices"

// JobState is the state of the job in the store; Absent when Redis knows nothing of it.
type JobState uint8

// The states of the job.
const (
	Absent JobState = iota
	Accepted
	Planning
	Running
	Paused
	Succeeded
	Failed
	Cancelled
)

var jobStates = [...]string{"", "accepted", "planning", "running", "paused", "succeeded", "failed", "cancelled"}

// String is the word of docs/states.md for it.
func (s JobState) String() string { return jobStates[s] }

// Ended says that nothing more is handed out.
func (s JobState) Ended() bool { return s >= Succeeded }

func (s JobState) active() bool { return s == Accepted || s == Planning || s == Running }

// Where a step is, as the store sees it.
type place uint8

const (
	nowhere place = iota // not known
	ready
	later // due, or given back: the next dispatch may take it
	waits // for a time that has not come
	out   // handed out, nobody has begun it
	leased
	ended // forgotten but for the counters
	dead
)

const (
	stageWaiting uint8 = iota + 1
	stageOpen
	stageDone
)

// What an attempt or a worker is called that is no more: nobody goes by that name.
const gone = 255

// Ref names one delivery of one step, as a task on the queue does. The zero Ref is none.
type Ref struct{ Epoch, Key, Delivery uint8 }

func (r Ref) compare(o Ref) int {
	return (int(r.Epoch)-int(o.Epoch))<<16 + (int(r.Key)-int(o.Key))<<8 + int(r.Delivery) - int(o.Delivery)
}

type step struct {
	place    place
	delivery uint8
	attempt  uint8 // 0 none; w+1 the one that worker w makes just now; gone: one that is over
	worker   uint8
	fails    uint8
	saved    uint8 // batches, as of the last checkpoint
	handed   uint8 // the last delivery that was handed out: not in Redis, kept to see that none is used twice
}

type stage struct {
	state, wait, splitDone, splitting, page, known, done, failed, live, closed, read uint8
}

type task struct {
	Ref
	active uint8 // somebody claimed it
}

// redis is all that one Redis holds: the store's part and the queue.
type redis struct {
	job    JobState
	epoch  uint8
	plan   uint8 // the stages are known
	left   uint8 // stages that are not done
	opens  uint8 // how many of open are used
	open   [MaxStages]uint8
	stages [MaxStages]stage
	steps  [MaxKeys]step
	tasks  [maxTasks]task // sorted, each Ref once; the rest is zero
}

// Phases of the attempt that a worker makes.
const (
	idle      uint8 = iota
	claimed         // it has a task
	beginning       // it has asked for the lease and not heard the answer
	running         // it holds the lease, as far as it knows
	early           // only of EnqueueFirst: what its end will hand out is on the queue already
	half            // only of LedgerApart: the rows are committed, the ledger's is not
	finishing       // it is settled; the task is to be taken from the queue
)

// States of a worker.
const (
	absent uint8 = iota
	active
	draining
	drained
)

type worker struct {
	state, frozen, phase uint8
	pos                  uint8 // batches that it knows to be committed
	back                 uint8 // the job wants its step back
	task                 Ref
}

// State is one state of everything. It is a value: two that are equal are the same state.
type State struct {
	redis  redis
	snap   redis // what Redis will fall back to
	worker [MaxWorkers]worker
	sent   [processes][maxSent]Ref // what a script answered, and is not on the queue yet; sorted, the rest is zero
	look   Ref                     // the step whose task the scheduler is about to look for
	rows   [MaxKeys]uint8          // the ledger: batches of each step
	twice  [MaxKeys]uint8          // effects that the ledger does not know of: each is one that took, or will take, effect twice
	used   used
}

// used is what has been spent of the budgets, and what happened that changes what may be promised.
type used struct {
	all, kill, freeze, lose, queue, double, reply, slow, fallBack, empty, failover, transient, permanent uint8
	control, drains                                                                                      uint8
	snapped                                                                                              uint8 // there is a snapshot
	fell                                                                                                 uint8 // Redis lost something
	unseen                                                                                               uint8 // the target lost something after it had been checked
}

// Start is the state before anybody has asked for anything, or that in which the job is planned.
func (m *Model) Start() State {
	t := &turn{m: m}
	for w := range m.Workers {
		t.s.worker[w].state = active
	}
	if !m.Planned {
		return t.s
	}
	t.create()
	for i := 0; i < len(t.reply.Handout); i++ {
		ref := t.reply.Handout[i]
		if m.keys[ref.Key].run() {
			t.s.redis.put(ref)
			continue
		}
		t.begin(ref, 0)
		t.end(ref.Key, 0, 0)
	}
	return t.s
}

// Job returns the state of the job, and which run of it that is.
func (s *State) Job() (JobState, uint8) { return s.redis.job, s.redis.epoch }

func (r *redis) outs() int {
	n := 0
	for k := range r.steps {
		if p := r.steps[k].place; p == out || p == leased {
			n++
		}
	}
	return n
}

// find returns where a task is in the list, or where it belongs.
func (r *redis) find(ref Ref) (int, bool) {
	for i := range r.tasks {
		switch c := r.tasks[i].compare(ref); {
		case r.tasks[i].Delivery == 0 || c > 0:
			return i, false
		case c == 0:
			return i, true
		}
	}
	return maxTasks, false
}

// put adds a task; one that is there stays as it is. It returns false when there is no room in the model.
func (r *redis) put(ref Ref) bool {
	i, there := r.find(ref)
	if there {
		return true
	}
	if r.tasks[maxTasks-1].Delivery != 0 {
		return false
	}
	copy(r.tasks[i+1:], r.tasks[i:maxTasks-1])
	r.tasks[i] = task{Ref: ref}
	return true
}

func (r *redis) remove(i int) {
	copy(r.tasks[i:], r.tasks[i+1:])
	r.tasks[maxTasks-1] = task{}
}

// send notes what a process has to put on the queue. It returns false when there is no room in the model.
func (s *State) send(process int, refs []Ref) bool {
	list := &s.sent[process]
	for _, ref := range refs {
		i := 0
		for i < maxSent && list[i].Delivery != 0 && list[i].compare(ref) < 0 {
			i++
		}
		if i < maxSent && list[i] == ref {
			continue
		}
		if list[maxSent-1].Delivery != 0 {
			return false
		}
		copy(list[i+1:], list[i:maxSent-1])
		list[i] = ref
	}
	return true
}

// over notes that the attempt of a worker is no more: whatever lease names it will never be settled by it.
func (s *State) over(w int) {
	for _, r := range []*redis{&s.redis, &s.snap} {
		for k := range r.steps {
			if r.steps[k].attempt == uint8(w)+1 {
				r.steps[k].attempt = gone
			}
		}
	}
}

// bury notes that a worker is no more, and lets a new one take its place later.
func (s *State) bury(w int) {
	s.over(w)
	for _, r := range []*redis{&s.redis, &s.snap} {
		for k := range r.steps {
			if r.steps[k].place == leased && r.steps[k].worker == uint8(w) {
				r.steps[k].worker = gone
			}
		}
	}
	s.worker[w] = worker{}
	s.sent[w] = [maxSent]Ref{}
}

// beats says that the heartbeats of a worker are heard.
func (s *State) beats(w uint8) bool {
	return w < MaxWorkers && s.worker[w].state != absent && s.worker[w].frozen == 0
}

// canonical renames the workers, so that states that differ in their names only are one.
func (m *Model) canonical(s *State) {
	if m.Apart || m.Workers < 2 {
		return
	}
	order := []uint8{0, 1, 2}[:m.Workers]
	slices.SortStableFunc(order, func(a, b uint8) int { return s.compareWorkers(a, b) })
	if slices.IsSorted(order) {
		return
	}
	old := *s
	name := [MaxWorkers]uint8{0, 1, 2}
	for to, from := range order {
		name[from] = uint8(to)
		s.worker[to], s.sent[to] = old.worker[from], old.sent[from]
	}
	for _, r := range []*redis{&s.redis, &s.snap} {
		for k := range r.steps {
			st := &r.steps[k]
			if st.place == leased && st.worker != gone {
				st.worker = name[st.worker]
			}
			if st.attempt != 0 && st.attempt != gone {
				st.attempt = name[st.attempt-1] + 1
			}
		}
	}
}

// compareWorkers puts workers in an order that does not depend on their names: by what they do, then by what they hold.
func (s *State) compareWorkers(a, b uint8) int {
	x, y := s.worker[a], s.worker[b]
	for _, d := range [...]int{int(x.state) - int(y.state), int(x.frozen) - int(y.frozen), int(x.phase) - int(y.phase), int(x.pos) - int(y.pos),
		int(x.back) - int(y.back), x.task.compare(y.task)} {
		if d != 0 {
			return d
		}
	}
	for i := range maxSent {
		if d := s.sent[a][i].compare(s.sent[b][i]); d != 0 {
			return d
		}
	}
	for _, r := range []*redis{&s.redis, &s.snap} {
		for k := range r.steps {
			st := r.steps[k]
			if st.place != leased || st.worker == gone {
				continue
			}
			if st.attempt != 0 && st.attempt != gone {
				if st.attempt == a+1 {
					return -1
				}
				if st.attempt == b+1 {
					return 1
				}
			}
			if st.worker == a {
				return -1
			}
			if st.worker == b {
				return 1
			}
		}
	}
	return 0
}
