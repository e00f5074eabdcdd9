package enginemodel

import "slices"

// The store's scripts, each as what it has to do. They change t.s.redis and leave their answer in t.reply.

// dispatch hands out while fewer than window steps are out and the job is active: what is due first, then, of each open stage, its
// next split and what is ready. Of several that are due it depends on times which are taken, so there is a choice.
func (t *turn) dispatch() {
	r, window := &t.s.redis, t.m.Window
	if !r.job.active() && (t.m.mutant != DispatchPaused || r.job != Paused) {
		return
	}
	room := window - r.outs()
	if t.m.mutant == WindowIgnored {
		room = MaxKeys
	}
	var due []int
	for k := range t.m.keys {
		if r.steps[k].place == later {
			due = append(due, k)
		}
	}
	for from := 0; room > 0 && from < len(due); room-- {
		// In the order of their keys, so that each set is chosen once; enough are left for the others that there is room for.
		at := from + t.choice.pick(len(due)-from-min(room, len(due)-from)+1)
		t.handOut(due[at])
		from = at + 1
	}
	waiting := 0
	for k := range t.m.keys {
		if p := r.steps[k].place; p == later || p == waits {
			waiting++
		}
	}
	for _, i := range r.open[:r.opens] {
		if room <= 0 {
			break
		}
		st := &r.stages[i]
		list := 0
		for _, k := range t.m.steps[i] {
			if r.steps[k].place == ready {
				list++
			}
		}
		if st.splitDone == 0 && st.splitting == 0 && list < window && waiting < 4*window {
			st.splitting = 1
			k := t.m.first[i] + int(st.page)
			r.steps[k].place, r.steps[k].delivery = ready, 1
			t.handOut(k)
			room--
		}
		for _, k := range t.m.steps[i] {
			if room > 0 && r.steps[k].place == ready {
				t.handOut(k)
				room--
			}
		}
	}
}

// holds is the fence of every write that an attempt makes.
func (t *turn) holds(k, w uint8) bool {
	st := t.s.redis.steps[k]
	return st.place == leased && st.attempt == w+1
}

// fenced is holds for the scripts that change a step: it answers Gone where the attempt does not hold it.
func (t *turn) fenced(op string, k, w uint8, open bool) bool {
	t.call.Op, t.call.Ref, t.call.Worker = op, t.s.worker[w].task, w
	if t.holds(k, w) {
		return true
	}
	if open && t.s.redis.steps[k].place == leased {
		t.breaks("an attempt changes a step that another one holds")
		return true
	}
	t.reply.Code = Gone
	return false
}

func (t *turn) create() {
	t.call.Op = "create"
	r := &t.s.redis
	if r.job != Absent {
		t.dispatch()
		return
	}
	t.reply.Code = 1
	r.epoch = 1
	r.steps[0] = step{place: later, delivery: 1}
	t.setJob(Accepted)
	t.dispatch()
}

func (t *turn) begin(ref Ref, w uint8) {
	t.call = Call{Op: "begin", Ref: ref, Worker: w}
	r := &t.s.redis
	st := &r.steps[ref.Key]
	isOut := st.place == out || st.place == leased
	switch {
	case r.job == Absent || r.epoch != ref.Epoch || !isOut || st.delivery != ref.Delivery && t.m.mutant != BeginUnfenced:
		t.reply.Code = Gone
		return
	case st.place == leased && st.attempt != w+1:
		t.reply.Code = Held
		return
	case !r.job.active():
		t.again(int(ref.Key), placeNames[st.place], "later, not running", later)
		t.reply.Code = NotRunning
		return
	}
	if st.delivery != ref.Delivery {
		t.breaks("a task of an earlier delivery begins a step")
	}
	if st.place == out {
		t.moved("step", "queued", "leased")
	}
	st.place, st.attempt, st.worker = leased, w+1, w
	t.reply.Saved, t.reply.Fails = st.saved, st.fails
	if ref.Key == 0 && r.job == Accepted {
		t.setJob(Planning)
	}
}

var placeNames = [...]string{"", "ready", "later", "later", "queued", "leased", "ended", "dead"}

// count makes the counters of a step absolute.
func (t *turn) count(k, read uint8) {
	t.call.Read = read
	st := &t.s.redis.steps[k]
	if i := t.m.keys[k].stage; i >= 0 {
		t.s.redis.stages[i].read += read - st.saved
	}
	st.saved = read
}

func (t *turn) save(k, w, read uint8) {
	t.call.Read = read
	if !t.fenced("save", k, w, t.m.mutant == SaveUnfenced) {
		return
	}
	t.count(k, read)
	if !t.s.redis.job.active() {
		t.reply.Code = NotRunning
	}
}

// end settles an attempt whose effect is complete, by the script for its kind of step.
func (t *turn) end(k, w, read uint8) {
	info := t.m.keys[k]
	op := "end"
	switch {
	case info.stage < 0:
		op = "plan_done"
	case info.split:
		op = "split_done"
	}
	t.call.Read = read
	if !t.fenced(op, k, w, t.m.mutant == EndUnfenced) {
		return
	}
	r := &t.s.redis
	t.moved("step", "leased", "ended")
	if info.run() {
		t.count(k, read)
	}
	handed := r.steps[k].handed
	r.steps[k] = step{place: ended, handed: handed}
	switch {
	case info.stage < 0:
		t.planDone()
	case info.split:
		t.splitDone(info)
	default:
		r.stages[info.stage].done++
		if r.stages[info.stage].live--; r.stages[info.stage].live == 0 {
			t.closeIfDone(info.stage)
		}
	}
	t.dispatch()
}

func (t *turn) planDone() {
	r := &t.s.redis
	r.plan, r.left, r.opens = 1, uint8(len(t.m.Stages)), 0
	for i, st := range t.m.Stages {
		r.stages[i] = stage{state: stageWaiting, wait: uint8(len(st.After))}
	}
	if r.job != Paused {
		t.setJob(Running)
	}
	for i, st := range t.m.Stages {
		if len(st.After) == 0 {
			t.openStage(i)
		}
	}
}

func (t *turn) splitDone(info keyInfo) {
	r := &t.s.redis
	st := &r.stages[info.stage]
	for _, k := range t.m.steps[info.stage] {
		if t.m.keys[k].page == info.page {
			t.moved("step", "", "ready")
			r.steps[k] = step{place: ready, delivery: 1, handed: r.steps[k].handed}
			st.known++
			st.live++
		}
	}
	st.page++
	st.splitting, st.splitDone = 0, 0
	if info.page == len(t.m.Stages[info.stage].Pages)-1 {
		st.splitDone = 1
	}
	t.closeIfDone(info.stage)
}

func (t *turn) openStage(i int) {
	r := &t.s.redis
	t.moved("stage", stageNames[r.stages[i].state], "open")
	r.stages[i].state = stageOpen
	r.open[r.opens] = uint8(i)
	r.opens++
}

var stageNames = [...]string{"", "waiting", "open", "done"}

// closeIfDone ends a stage that is split to its end and has no live step, opens what waited for it, and ends the job after the last.
func (t *turn) closeIfDone(i int) {
	r := &t.s.redis
	st := &r.stages[i]
	if st.state != stageOpen || st.splitDone == 0 || st.live > 0 {
		return
	}
	t.moved("stage", "open", "done")
	before := st.closed
	st.state, st.closed = stageDone, 1
	n := uint8(0)
	for _, o := range r.open[:r.opens] {
		if o != uint8(i) {
			r.open[n] = o
			n++
		}
	}
	clear(r.open[n:])
	rest := n
	r.opens = n
	if before == 0 {
		r.left--
		for _, s := range t.m.next[i] {
			if r.stages[s].wait--; r.stages[s].wait == 0 || t.m.mutant == StageTooEarly && r.stages[s].state == stageWaiting {
				t.openStage(s)
			}
		}
	}
	if rest == 0 && r.opens == 0 && r.left == 0 {
		t.setJob(Succeeded)
	}
}

func (t *turn) giveBack(k, w, read uint8) {
	t.call.Read = read
	if !t.fenced("give_back", k, w, false) {
		return
	}
	t.count(k, read)
	t.again(int(k), "leased", "later, given back", later)
	t.dispatch()
}

func (t *turn) fail(k, w uint8, permanent bool) {
	t.call.Permanent = permanent
	if !t.fenced("fail", k, w, false) {
		return
	}
	r := &t.s.redis
	st := &r.steps[k]
	st.fails++
	if !permanent && int(st.fails) <= t.m.Retries {
		t.again(int(k), "leased", "later, failed", waits)
		t.dispatch()
		return
	}
	t.moved("step", "leased", "dead")
	t.reply.Code = NotRunning
	st.place, st.attempt, st.worker = dead, 0, 0
	info := t.m.keys[k]
	if info.run() {
		r.stages[info.stage].failed++
	}
	if t.m.Skip && info.run() {
		if r.stages[info.stage].live--; r.stages[info.stage].live == 0 {
			t.closeIfDone(info.stage)
		}
	} else if !r.job.Ended() {
		t.setJob(Failed)
	}
	t.dispatch()
}

// redeliver hands out again what was claimed by somebody who never began it.
func (t *turn) redeliver(ref Ref) {
	t.call = Call{Op: "redeliver", Ref: ref}
	r := &t.s.redis
	st := &r.steps[ref.Key]
	if r.job == Absent || r.epoch != ref.Epoch || st.place != out || st.delivery != ref.Delivery {
		t.reply.Code = Gone
		return
	}
	t.again(int(ref.Key), "queued", "later", later)
	if t.m.mutant == SweepSameDelivery {
		st.delivery--
	}
	t.dispatch()
}

// revoke takes a lease back that its living worker does not know of.
func (t *turn) revoke(k uint8) {
	st := t.s.redis.steps[k]
	t.call = Call{Op: "revoke", Ref: Ref{t.s.redis.epoch, k, st.delivery}, Worker: st.worker}
	t.again(int(k), "leased", "later, revoked", later)
	t.dispatch()
}

// sweep takes back what the workers hold whose heartbeats are missing, and names the steps that are out and not begun.
func (t *turn) sweep() {
	t.call.Op = "sweep"
	r := &t.s.redis
	for w := range t.m.Workers {
		if t.s.beats(uint8(w)) {
			t.call.Living |= 1 << w
		}
	}
	if r.job != Absent && !r.job.Ended() {
		for k := range t.m.keys {
			st := &r.steps[k]
			switch {
			case st.place == out && t.m.mutant != NoSweepOfTasks && t.m.mutant != EnqueueFirst:
				t.reply.Unbegun = append(t.reply.Unbegun, Ref{r.epoch, uint8(k), st.delivery})
			case st.place == leased && !t.s.beats(st.worker) && t.m.mutant != NoSweepOfWorkers:
				t.reply.Lost = append(t.reply.Lost, uint8(k))
				t.again(k, "leased", "later, lost", later)
				if t.m.mutant == SweepSameDelivery {
					st.delivery--
				}
			}
		}
	}
	t.dispatch()
}

// control moves the job as somebody asks. It answers NotRunning where the job is in no state for it.
func (t *turn) control(verb string) {
	t.call = Call{Op: "control", Verb: verb}
	r := &t.s.redis
	switch {
	case r.job == Absent:
		t.reply.Code = Gone
		return
	case !r.allows(verb):
		t.reply.Code = NotRunning
		return
	}
	resumed := Accepted
	if r.plan == 1 {
		resumed = Running
	}
	switch verb {
	case "pause":
		t.setJob(Paused)
	case "resume":
		if resumed == Accepted && r.steps[0].place == leased {
			resumed = Planning
		}
		t.setJob(resumed)
	case "cancel":
		t.wipe(true)
		t.setJob(Cancelled)
	case "retry":
		t.retry()
		t.setJob(resumed)
	case "restart":
		t.wipe(false)
		*r = redis{job: r.job, epoch: r.epoch + 1, tasks: r.tasks}
		r.steps[0] = step{place: later, delivery: 1}
		t.setJob(Accepted)
	}
	t.dispatch()
}

func (r *redis) allows(verb string) bool {
	switch verb {
	case "pause":
		return r.job.active()
	case "resume":
		return r.job == Paused
	case "cancel":
		return !r.job.Ended()
	case "restart":
		return r.job.Ended()
	}
	for _, st := range r.steps {
		if st.place == dead {
			return r.job == Succeeded || r.job == Failed
		}
	}
	return false
}

// wipe forgets all that could run; what failed for good stays on the list of the dead, where keep says so.
func (t *turn) wipe(keep bool) {
	for k := range t.s.redis.steps {
		st := &t.s.redis.steps[k]
		switch p := st.place; {
		case p == dead && keep:
			st.saved, st.fails = 0, 0
			continue
		case p == ended && keep:
			continue
		case p != nowhere && p != ended:
			t.moved("step", placeNames[p], "forgotten")
		}
		*st = step{}
	}
}

func (t *turn) retry() {
	r := &t.s.redis
	var reopened []int
	for k := range t.m.keys {
		st := &r.steps[k]
		if st.place != dead {
			continue
		}
		st.fails = 0
		t.again(k, "dead", "later", later)
		info := t.m.keys[k]
		if !info.run() {
			continue
		}
		sg := &r.stages[info.stage]
		if t.m.mutant != RetryKeepsFailed {
			sg.failed--
		}
		if t.m.Skip {
			sg.live++
		}
		if sg.state == stageDone && !slices.Contains(reopened, info.stage) {
			reopened = append(reopened, info.stage)
		}
	}
	for len(reopened) > 0 { // in the order in which their steps have died
		i := t.choice.pick(len(reopened))
		t.openStage(reopened[i])
		reopened = slices.Delete(reopened, i, i+1)
	}
}
