package enginemodel

import "fmt"

// check says which promise a state breaks; "" is none.
func (m *Model) check(s *State) string {
	r := &s.redis
	if n := r.outs(); n > m.Window {
		return fmt.Sprintf("%d steps are out, and the window is %d", n, m.Window)
	}
	for k, info := range m.keys {
		if what := m.checkStep(s, k, info); what != "" {
			return what
		}
	}
	for w := range m.Workers {
		if s.worker[w].state != drained {
			continue
		}
		if p := s.worker[w].phase; p != idle && p != finishing {
			return fmt.Sprintf("worker %d says that it is drained, and an attempt has not come back", w)
		}
		for k := range m.keys {
			if st := r.steps[k]; st.place == leased && st.worker == uint8(w) && s.used.fell == 0 {
				return fmt.Sprintf("worker %d says that it is drained, and holds %s", w, m.keys[k].name)
			}
		}
	}
	if r.job == Succeeded {
		if what := m.checkEnd(s); what != "" {
			return what
		}
	}
	for i := range m.Stages {
		if what := m.checkStage(s, i); what != "" {
			return what
		}
	}
	return ""
}

func (m *Model) checkStep(s *State, k int, info keyInfo) string {
	st := &s.redis.steps[k]
	if !info.run() {
		return ""
	}
	if n := int(s.rows[k] + s.twice[k]); n > m.Batches {
		return fmt.Sprintf("the effect of %s is there twice: %d batches have taken effect, and it has %d", info.name, n, m.Batches)
	}
	if s.used.failover > 0 {
		return "" // what was confirmed is not there: the checks of the job find it, or its end
	}
	if st.place == ended && int(s.rows[k]) < m.Batches {
		return fmt.Sprintf("%s has ended, and only %d of %d batches have taken effect", info.name, s.rows[k], m.Batches)
	}
	if st.saved > s.rows[k] {
		return fmt.Sprintf("the checkpoint of %s says %d batches, and the ledger has %d", info.name, st.saved, s.rows[k])
	}
	if st.place == ended && s.twice[k] > 0 {
		return fmt.Sprintf("%s has ended with an effect of which the ledger does not know", info.name)
	}
	return ""
}

// checkEnd looks at a job that has succeeded: all of its effects are there, but for steps that were skipped. Only what the target
// forgot after the last look at its ledger may be missing.
func (m *Model) checkEnd(s *State) string {
	if s.used.unseen == 1 {
		return ""
	}
	for k, info := range m.keys {
		if !info.run() || s.redis.steps[k].place == dead && m.Skip {
			continue
		}
		if int(s.rows[k]) != m.Batches {
			return fmt.Sprintf("the job has succeeded, and only %d of %d batches of %s have taken effect", s.rows[k], m.Batches, info.name)
		}
	}
	return ""
}

// checkStage compares the counters of a stage with its steps.
func (m *Model) checkStage(s *State, i int) string {
	r := &s.redis
	st := &r.stages[i]
	if st.state == 0 || r.job == Cancelled {
		return ""
	}
	var known, done, failed, read uint8
	for _, k := range m.steps[i] {
		switch p := r.steps[k].place; {
		case p == nowhere:
			continue
		case p == ended:
			done++
			read += uint8(m.Batches)
		case p == dead:
			failed++
		}
		if p := r.steps[k].place; p >= out && st.state == stageWaiting {
			return fmt.Sprintf("%s is out, and its stage has not been opened", m.keys[k].name)
		}
		known++
		read += r.steps[k].saved
	}
	live := known - done
	if m.Skip {
		live -= failed
	}
	if got := [...]uint8{st.known, st.done, st.failed, st.live, st.read}; got != [...]uint8{known, done, failed, live, read} {
		return fmt.Sprintf("stage %d counts known, done, failed, live, read as %v, and has %v", i, got, [...]uint8{known, done, failed, live, read})
	}
	for _, a := range m.Stages[i].After {
		if st.state == stageOpen && st.closed == 0 && r.stages[a].closed == 0 {
			return fmt.Sprintf("stage %d is open before stage %d has ended", i, a)
		}
	}
	return ""
}
