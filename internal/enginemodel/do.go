package enginemodel

import "slices"

// do carries an action out on t.s, which has paid for it; false when it is not possible there.
func (t *turn) do(a Action) bool {
	if a.Who < MaxWorkers && a.Kind != claim && a.Kind >= start && a.Kind <= stop && a.Kind != enqueue || a.Kind > claimLost && a.Kind <= permanent ||
		a.Kind == kill || a.Kind == freeze || a.Kind == drain || a.Kind == undrain {
		return t.doWorker(a)
	}
	s, r := &t.s, &t.s.redis
	switch a.Kind {
	case claim, claimLost:
		i, _ := r.find(a.Task)
		r.tasks[i].active = 1
		if a.Kind == claim {
			s.worker[a.Who].phase, s.worker[a.Who].task = claimed, a.Task
		}
	case enqueue:
		for _, ref := range s.sent[a.Who] {
			if ref.Delivery != 0 && !r.put(ref) {
				t.full = true
			}
		}
		s.sent[a.Who] = [maxSent]Ref{}
	case timePasses:
		r.steps[a.Key].place = later
	case sweep, find, slow, revoke:
		return t.doScheduler(a)
	case create:
		if r.job != Absent {
			return false
		}
		t.create()
		t.hand(client)
	case resume, pause, cancel, retry, restart:
		t.control(verbs[a.Kind])
		t.hand(client)
		return t.reply.Code == Done
	case killProcess:
		if s.sent[a.Who][0].Delivery == 0 && (a.Who != scheduler || s.look.Delivery == 0) {
			return false // nothing would be lost
		}
		s.sent[a.Who] = [maxSent]Ref{}
		if a.Who == scheduler {
			s.look = Ref{}
		}
	default:
		return t.doFate(a)
	}
	return true
}

var verbs = map[Kind]string{resume: "resume", pause: "pause", cancel: "cancel", retry: "retry", restart: "restart"}

// pay takes an action from its budget; false when that is spent.
func (m *Model) pay(u *used, k Kind) bool {
	f := &m.Faults
	spend := func(n *uint8, of int) bool {
		*n++
		return int(*n) <= of
	}
	switch k {
	case snapshot:
		u.snapped++
		return f.FallBack > 0 && u.snapped == 1 && int(u.all) < f.All
	case drain, undrain:
		return spend(&u.drains, m.Drains)
	case pause, cancel, retry, restart:
		return spend(&u.control, m.Control)
	}
	if !spend(&u.all, f.All) {
		return false
	}
	switch k {
	case kill, killProcess:
		return spend(&u.kill, f.Kill)
	case freeze:
		return spend(&u.freeze, f.Freeze)
	case loseTask:
		return spend(&u.lose, f.Lose)
	case loseQueue:
		return spend(&u.queue, f.Queue)
	case double:
		return spend(&u.double, f.Double)
	case slow:
		return spend(&u.slow, f.Slow)
	case fallBack:
		return spend(&u.fallBack, f.FallBack)
	case empty:
		return spend(&u.empty, f.Empty)
	case failover:
		return spend(&u.failover, f.Failover)
	case transient:
		return spend(&u.transient, f.Transient)
	case permanent:
		return spend(&u.permanent, f.Permanent)
	}
	return spend(&u.reply, f.Reply)
}

// hand notes what a process has to put on the queue.
func (t *turn) hand(process int) {
	if !t.s.send(process, t.reply.Handout) {
		t.full = true
	}
}

func (t *turn) doScheduler(a Action) bool {
	s, r := &t.s, &t.s.redis
	switch a.Kind {
	case sweep, slow:
		t.sweep()
		t.hand(scheduler)
		// Of the steps that nobody has begun it looks for one at a time: for those whose task a look can help.
		var missing []Ref
		for _, ref := range t.reply.Unbegun {
			if i, there := r.find(ref); (!there || r.tasks[i].active == 1) && s.inHand(ref) == (a.Kind == slow) {
				missing = append(missing, ref)
			}
		}
		if a.Kind == slow {
			if len(missing) == 0 {
				return false
			}
			s.look = missing[t.choice.pick(len(missing))]
			return true
		}
		if i := t.choice.pick(len(missing) + 1); i > 0 {
			s.look = missing[i-1]
		}
		return s.look.Delivery != 0 || len(t.reply.Handout) > 0 || len(t.reply.Lost) > 0
	case find:
		s.look = Ref{}
		switch i, there := r.find(a.Task); {
		case !there:
			t.full = !s.send(scheduler, []Ref{a.Task})
		case r.tasks[i].active == 1:
			t.redeliver(a.Task)
			t.hand(scheduler)
		}
	case revoke:
		st := r.steps[a.Key]
		if st.place != leased || st.attempt != gone || !s.beats(st.worker) || t.m.mutant == NoRevoke {
			return false
		}
		t.revoke(a.Key)
		t.hand(scheduler)
	}
	return true
}

// inHand says that somebody who is not frozen is about to put this task on the queue, or to begin it. It is looked for only where
// they are slow.
func (s *State) inHand(ref Ref) bool {
	for p := range s.sent {
		if (p >= MaxWorkers || s.worker[p].frozen == 0) && slices.Contains(s.sent[p][:], ref) {
			return true
		}
	}
	for _, w := range s.worker {
		if w.task == ref && (w.phase == claimed || w.phase == beginning) && w.frozen == 0 {
			return true
		}
	}
	return false
}

// doFate carries out the faults that hit nobody in particular.
func (t *turn) doFate(a Action) bool {
	s, r := &t.s, &t.s.redis
	switch a.Kind {
	case loseTask:
		i, _ := r.find(a.Task)
		r.remove(i)
	case loseQueue:
		if r.tasks[1].Delivery == 0 {
			return false // one alone is what loseTask does
		}
		r.tasks = [maxTasks]task{}
	case double:
		i, _ := r.find(a.Task)
		if r.tasks[i].active == 0 {
			return false
		}
		r.tasks[i].active = 0
	case snapshot:
		if r.job == Absent {
			return false
		}
		s.snap = *r
	case fallBack:
		if s.used.snapped == 0 || s.snap == *r {
			return false
		}
		*r, s.snap, s.used.fell = s.snap, redis{}, 1
	case empty:
		if r.job == Absent {
			return false
		}
		*r, s.used.fell = redis{}, 1
	case failover:
		s.rows[a.Key]--
		if !t.m.watched(s, int(a.Key)) {
			s.used.unseen = 1
		}
	}
	return true
}

// watched says that some stage will still count the ledger of this step before the job is over.
func (m *Model) watched(s *State, k int) bool {
	for i, st := range m.Stages {
		if !st.Checks || !m.waitsFor(i, m.keys[k].stage) {
			continue
		}
		for _, c := range m.steps[i] {
			if s.rows[c] > 0 {
				return false
			}
		}
		return true
	}
	return false
}

func (m *Model) waitsFor(i, j int) bool {
	for _, a := range m.Stages[i].After {
		if a == j || m.waitsFor(a, j) {
			return true
		}
	}
	return false
}
