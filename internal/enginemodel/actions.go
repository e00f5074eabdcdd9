package enginemodel

import "fmt"

// Kind is what somebody does, or what goes wrong.
type Kind uint8

// The kinds of actions. Those up to timePasses go on as long as no fault comes; each of the others is paid for from a budget.
const (
	create Kind = iota
	start       // a new worker takes the place of one that is gone
	thaw
	claim
	begin
	pass // a draining worker passes on what it has claimed
	commit
	ledger // only of LedgerApart
	save
	tell // only of EnqueueFirst
	end
	back // the attempt gives its step back, with a checkpoint
	checkFails
	complete // the task leaves the queue
	enqueue
	isDrained
	stop
	sweep
	find
	revoke
	resume
	timePasses

	claimLost // the queue's answer is lost with the task
	beginLost
	commitLost
	endLost
	backLost
	transient
	permanent
	kill
	killProcess
	freeze
	loseTask
	loseQueue
	double
	slow
	snapshot
	fallBack
	empty
	failover
	drain
	undrain
	pause
	cancel
	retry
	restart
	kinds
)

// Action is one atomic step of somebody: a worker, the scheduler, the client or fate.
type Action struct {
	Kind Kind
	Who  uint8 // worker or process
	Task Ref   // that is claimed, lost, doubled or looked for
	Key  uint8 // step
}

// Fair says that the action is no fault and nothing that somebody has to decide: when no fault comes, all such actions happen in the end.
func (a Action) Fair() bool { return a.Kind <= timePasses }

// Edge is one way in which a state may go on.
type Edge struct {
	Action Action
	Next   State
	Moves  []Move
	Call   Call
	Reply  Reply
	// Broken is the invariant of moves that it breaks; "" is none.
	Broken string
}

// Edges lists all that may happen next. Those of one action with several outcomes stand together.
func (m *Model) Edges(s *State) []Edge {
	var list []Edge
	t := &turn{m: m}
	m.each(s, t, func(a Action) {
		list = append(list, Edge{a, t.s, append([]Move(nil), t.moves...), t.call, t.reply, t.broken})
	})
	return list
}

// each carries out all that may happen in s, one after the other, and calls seen with the turn that has done it.
func (m *Model) each(s *State, t *turn, seen func(Action)) {
	try := func(a Action) {
		left := s.used
		if !a.Fair() && !m.pay(&left, a.Kind) {
			return
		}
		for more := true; more; more = t.choice.next() {
			t.reset(s)
			t.s.used = left
			switch {
			case !t.do(a):
			case t.full:
				t.cramped = true
			default:
				t.sortReply()
				m.canonical(&t.s)
				seen(a)
			}
		}
	}
	if a, ok := m.atOnce(s); ok {
		try(a)
		return
	}
	for w := range m.Workers {
		m.ofWorker(s, uint8(w), try)
	}
	m.ofOthers(s, try)
	m.ofFate(s, try)
}

// atOnce returns an action that may as well happen before all others: when no fault can come between any more, and Redis has lost
// nothing, then what all others do is the same before it and after it. Looking at one order instead of all makes the space smaller, and
// hides neither a state that breaks a promise nor one from which there is no way on.
func (m *Model) atOnce(s *State) (Action, bool) {
	if int(s.used.all) < m.Faults.All || s.used.fell == 1 || m.Whole {
		return Action{}, false
	}
	for w := range m.Workers {
		self := &s.worker[w]
		switch {
		case self.frozen == 1:
		case self.state == absent:
			return Action{Kind: start, Who: uint8(w)}, true
		case self.phase == finishing:
			return Action{Kind: complete, Who: uint8(w), Key: self.task.Key, Task: self.task}, true
		}
	}
	for p := range s.sent {
		if s.sent[p][0].Delivery != 0 && (p >= MaxWorkers || s.worker[p].frozen == 0) {
			return Action{Kind: enqueue, Who: uint8(p)}, true
		}
	}
	return Action{}, false
}

// ofWorker lists what a worker may do, and what may happen to it.
func (m *Model) ofWorker(s *State, w uint8, try func(Action)) {
	self := &s.worker[w]
	act := func(kinds ...Kind) {
		for _, k := range kinds {
			try(Action{Kind: k, Who: w, Key: self.task.Key, Task: self.task})
		}
	}
	switch {
	case self.state == absent:
		act(start)
		return
	case self.frozen == 1:
		act(thaw, kill)
		return
	}
	if s.sent[w][0].Delivery != 0 {
		act(enqueue)
	}
	act(kill, freeze, drain, undrain, isDrained, stop)
	switch self.phase {
	case idle:
		if self.state == active {
			for _, t := range s.redis.tasks {
				if t.Delivery != 0 && t.active == 0 {
					try(Action{Kind: claim, Who: w, Key: t.Key, Task: t.Ref})
					try(Action{Kind: claimLost, Who: w, Key: t.Key, Task: t.Ref})
				}
			}
		}
	case claimed:
		act(begin, beginLost, pass)
	case beginning:
		act(begin)
	case running, half, early:
		act(ledger, commit, commitLost, save, tell, end, endLost, back, backLost, checkFails, transient, permanent)
	case finishing:
		act(complete)
	}
}

// ofOthers lists what the scheduler and the client may do.
func (m *Model) ofOthers(s *State, try func(Action)) {
	for p := scheduler; p <= client; p++ {
		if s.sent[p][0].Delivery != 0 {
			try(Action{Kind: enqueue, Who: uint8(p)})
		}
		try(Action{Kind: killProcess, Who: uint8(p)})
	}
	switch {
	case s.look.Delivery != 0:
		try(Action{Kind: find, Who: scheduler, Key: s.look.Key, Task: s.look})
	case s.sent[scheduler][0].Delivery == 0:
		try(Action{Kind: sweep, Who: scheduler})
		try(Action{Kind: slow, Who: scheduler})
		for k := range m.keys {
			try(Action{Kind: revoke, Who: scheduler, Key: uint8(k)})
		}
	}
	if s.sent[client][0].Delivery == 0 {
		for _, k := range []Kind{create, resume, pause, cancel, retry, restart} {
			try(Action{Kind: k, Who: client})
		}
	}
	for k := range m.keys {
		if s.redis.steps[k].place == waits {
			try(Action{Kind: timePasses, Key: uint8(k)})
		}
	}
}

// ofFate lists the faults that hit nobody in particular.
func (m *Model) ofFate(s *State, try func(Action)) {
	for _, t := range s.redis.tasks {
		if t.Delivery != 0 {
			try(Action{Kind: loseTask, Key: t.Key, Task: t.Ref})
			try(Action{Kind: double, Key: t.Key, Task: t.Ref})
		}
	}
	for _, k := range []Kind{loseQueue, snapshot, fallBack, empty} {
		try(Action{Kind: k})
	}
	for k := range m.keys {
		if s.rows[k] > 0 {
			try(Action{Kind: failover, Key: uint8(k)})
		}
	}
}

var words = [kinds]string{"submits the job", "starts, in place of one that is gone", "goes on as if nothing had been", "claims %s", "begins %s",
	"drains, and passes on %s", "commits a batch of %s", "writes the row of the ledger of %s", "saves a checkpoint of %s",
	"puts on the queue what the end of %s is about to hand out", "ends %s", "gives %s back", "counts the ledgers for %s, and something is missing",
	"takes %s from the queue", "puts on the queue what it was handed", "says that it is drained", "stops", "sweeps", "looks for %s", "revokes the lease of %s",
	"resumes the job", "the time of %s comes", "asks for a task; %s is claimed, the answer is lost", "begins %s, the answer is lost",
	"commits a batch of %s, the answer is lost", "ends %s, the answer is lost", "gives %s back, the answer is lost", "fails at %s, and will be tried again",
	"fails at %s for good", "is killed", "is killed", "freezes, and is given up", "%s is lost from the queue", "the whole queue is lost",
	"%s is delivered again", "sweeps, and takes what somebody is slow to begin for lost", "Redis is at a moment to which it will come back", "Redis comes back as it was at that moment",
	"Redis comes back empty", "the target forgets the last commit of %s", "is asked to drain", "goes back to work", "pauses the job", "cancels the job",
	"retries the job", "starts the job over"}

// Say puts an action into words.
func (m *Model) Say(a Action) string {
	of := m.KeyName(a.Key)
	if a.Task.Delivery != 0 {
		of = fmt.Sprintf("%s (run %d, delivery %d)", m.KeyName(a.Task.Key), a.Task.Epoch, a.Task.Delivery)
	}
	text := words[a.Kind]
	if a.Kind == commit && m.mutant != LedgerApart {
		text += " with its row of the ledger"
	}
	for i := 0; i+1 < len(text); i++ {
		if text[i:i+2] == "%s" {
			text = text[:i] + of + text[i+2:]
			break
		}
	}
	switch {
	case a.Kind == timePasses || a.Kind >= loseTask && a.Kind <= double || a.Kind >= snapshot && a.Kind <= failover:
		return text
	case a.Who == scheduler:
		return "the scheduler " + text
	case a.Who == client:
		return "the client " + text
	}
	return fmt.Sprintf("worker %d %s", a.Who, text)
}
