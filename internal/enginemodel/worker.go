package enginemodel

// doWorker carries out what a worker does, and what happens to it; false when that is not possible.
func (t *turn) doWorker(a Action) bool {
	s := &t.s
	w := &s.worker[a.Who]
	switch a.Kind {
	case start:
		w.state = active
		t.moved("worker", "", "active")
	case thaw:
		w.frozen = 0
	case kill:
		s.bury(int(a.Who))
	case freeze:
		if w.phase == idle && s.sent[a.Who][0].Delivery == 0 {
			return false // as good as not asking
		}
		w.frozen = 1
	case drain:
		if w.state != active {
			return false
		}
		t.setWorker(int(a.Who), draining)
	case undrain:
		if w.state == active {
			return false
		}
		t.setWorker(int(a.Who), active)
	case isDrained:
		if w.state != draining || w.phase != idle && w.phase != finishing && t.m.mutant != DrainAcknowledgesFast {
			return false
		}
		t.setWorker(int(a.Who), drained)
	case stop:
		if w.state != drained || w.phase != idle || s.sent[a.Who][0].Delivery != 0 {
			return false
		}
		t.moved("worker", "drained", "stopped")
		s.bury(int(a.Who))
	case begin, beginLost:
		t.doBegin(a)
	case pass:
		if w.state != draining {
			return false
		}
		t.redeliver(w.task)
		t.hand(int(a.Who))
		t.finish(int(a.Who))
	case complete:
		if i, there := s.redis.find(w.task); there && s.redis.tasks[i].active == 1 {
			s.redis.remove(i)
		}
		w.phase, w.task = idle, Ref{}
	default:
		return t.doAttempt(a)
	}
	return true
}

// finish notes that the attempt of a worker has come back: its task is to be taken from the queue.
func (t *turn) finish(w int) {
	t.s.over(w)
	self := &t.s.worker[w]
	self.phase, self.pos, self.back = finishing, 0, 0
}

func (t *turn) doBegin(a Action) {
	s := &t.s
	w := &s.worker[a.Who]
	t.begin(w.task, a.Who)
	switch {
	case a.Kind == beginLost:
		w.phase = beginning
	case t.reply.Code != Done:
		t.finish(int(a.Who))
	default:
		w.phase, w.pos = running, s.rows[w.task.Key] // a step begins where its ledger ends
	}
}

// doAttempt carries out what an attempt does that holds its lease, as far as it knows.
func (t *turn) doAttempt(a Action) bool {
	s := &t.s
	w := &s.worker[a.Who]
	k := w.task.Key
	run, m := t.m.keys[k].run(), t.m
	complete := !run || int(w.pos) == m.Batches
	switch a.Kind {
	case ledger:
		if w.phase != half {
			return false
		}
		t.row(k, w)
		w.phase = running
		return true
	case tell:
		return t.doTell(a, complete)
	}
	if w.phase == half || w.phase == early && a.Kind != end {
		return false
	}
	switch a.Kind {
	case commit, commitLost:
		if complete || !m.mayCommit(s, k) {
			return false
		}
		return t.doCommit(a)
	case checkFails:
		if complete || m.mayCommit(s, k) {
			return false
		}
		t.fail(k, a.Who, true)
	case save:
		// A checkpoint in the midst of the step says something new, or one learns that the step is gone or wanted back. Any other
		// would be as if it had not been, or as the end that follows it.
		if news := !complete && s.redis.steps[k].saved != w.pos; !run || t.holds(k, a.Who) && !news && (s.redis.job.active() || w.back == 1) {
			return false
		}
		t.save(k, a.Who, w.pos)
		switch t.reply.Code {
		case Gone:
			t.finish(int(a.Who))
		case NotRunning:
			w.back = 1
		}
		return true
	case end, endLost:
		if !complete || m.mutant == EnqueueFirst && w.phase != early {
			return false
		}
		t.end(k, a.Who, w.pos)
	case back, backLost:
		if w.state != draining && w.state != drained && w.back == 0 {
			return false
		}
		t.giveBack(k, a.Who, w.pos)
	case transient, permanent:
		t.fail(k, a.Who, a.Kind == permanent)
	}
	// Whoever does not hear the answer asks again, and hears that it is stale: what was handed out is for the sweep.
	if a.Kind != endLost && a.Kind != backLost && w.phase != early {
		t.hand(int(a.Who))
	}
	t.finish(int(a.Who))
	return true
}

// doTell is only for the mutant: it puts on the queue what the end of the step is going to hand out.
func (t *turn) doTell(a Action, complete bool) bool {
	w := &t.s.worker[a.Who]
	if t.m.mutant != EnqueueFirst || w.phase != running || !complete {
		return false
	}
	before := t.s
	t.end(w.task.Key, a.Who, w.pos)
	handout := t.reply.Handout
	t.s, t.call, t.reply, t.moves = before, Call{}, Reply{}, t.moves[:0]
	w.phase = early
	for _, ref := range handout {
		t.full = t.full || !t.s.redis.put(ref)
	}
	return true
}

// mayCommit says that nothing is missing of what a step that checks has to count.
func (m *Model) mayCommit(s *State, k uint8) bool {
	i := m.keys[k].stage
	if i < 0 || !m.Stages[i].Checks {
		return true
	}
	for j := range m.Stages {
		if !m.waitsFor(i, j) {
			continue
		}
		for _, c := range m.steps[j] {
			if int(s.rows[c]) < m.Batches && s.redis.steps[c].place != dead {
				return false
			}
		}
	}
	return true
}

// doCommit commits the next batch with its row of the ledger: one transaction. Where a rival has committed this batch, the row's key
// refuses it, and the attempt goes on from what the ledger says.
func (t *turn) doCommit(a Action) bool {
	s := &t.s
	w := &s.worker[a.Who]
	k := w.task.Key
	lost := a.Kind == commitLost
	if s.rows[k] < w.pos { // the target has failed over, and with it went the connection: patience
		if lost {
			return false
		}
		t.giveBack(k, a.Who, w.pos)
		t.hand(int(a.Who))
		t.finish(int(a.Who))
		return true
	}
	if s.rows[k] > w.pos {
		if lost {
			return false // what has no effect need not be lost
		}
		w.pos = s.rows[k]
		return true
	}
	if t.m.mutant == LedgerApart {
		s.twice[k]++ // until its row is there
		w.phase = half
		return true
	}
	s.rows[k]++
	if lost {
		t.fail(k, a.Who, false) // the attempt cannot know: it fails, and the next one asks the ledger
		t.hand(int(a.Who))
		t.finish(int(a.Who))
		return true
	}
	w.pos++
	return true
}

// row writes the row of a batch whose effect is there already.
func (t *turn) row(k uint8, w *worker) {
	t.s.twice[k]--
	if t.s.rows[k] == w.pos {
		t.s.rows[k]++
	} else {
		t.s.twice[k]++ // the row was there: a rival had the same effect
	}
	w.pos++
}
