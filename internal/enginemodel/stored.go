package enginemodel

import (
	"fmt"
	"strings"
)

// Stored is what the store has to hold in a state, a line for the job, for each stage and for each step that it knows of. A test that
// reads a real store writes the same lines. Attempts are called a0, a1, ... by their workers, workers w0, w1, ...; those that are no more
// are called gone.
func (m *Model) Stored(s *State) []string {
	r := &s.redis
	if r.job == Absent {
		return nil
	}
	open := strings.Trim(strings.ReplaceAll(fmt.Sprint(r.open[:r.opens]), " ", ","), "[]")
	lines := []string{fmt.Sprintf("job %s run %d left %d open %s", r.job, r.epoch, r.left, open)}
	for i := range m.Stages {
		if st := r.stages[i]; st.state != 0 {
			lines = append(lines, fmt.Sprintf("stage %d %s wait %d split %d splitting %d page %d known %d done %d failed %d live %d closed %d read %d", i, stageNames[st.state],
				st.wait, st.splitDone, st.splitting, st.page, st.known, st.done, st.failed, st.live, st.closed, st.read))
		}
	}
	name := func(letter string, n uint8) string {
		if n == gone {
			return "gone"
		}
		return fmt.Sprint(letter, n)
	}
	for k, info := range m.keys {
		st := r.steps[k]
		line := info.name + " "
		switch st.place {
		case nowhere, ended:
			continue
		case later, waits:
			line += fmt.Sprintf("later %d", st.delivery)
		case leased:
			attempt := uint8(gone)
			if st.attempt != gone {
				attempt = st.attempt - 1
			}
			line += fmt.Sprintf("out %d %s %s", st.delivery, name("a", attempt), name("w", st.worker))
		case out:
			line += fmt.Sprintf("out %d", st.delivery)
		default:
			line += fmt.Sprintf("%s %d", placeNames[st.place], st.delivery)
		}
		line += fmt.Sprintf(" saved %d fails %d", st.saved, st.fails)
		if info.run() && (st.place != dead || r.job != Cancelled) {
			line += " body"
		}
		lines = append(lines, line)
	}
	return lines
}

// Attempting says that a worker makes an attempt just now: it has a task, and may hold a lease.
func (s *State) Attempting(w uint8) bool {
	p := s.worker[w].phase
	return p != idle && p != finishing
}

// Allows says that the job is in a state in which a verb does something.
func (s *State) Allows(verb string) bool { return s.redis.job != Absent && s.redis.allows(verb) }

// The actions that a test has to carry out on a real Redis by itself, as no script does.
func (a Action) named(k Kind) bool { return a.Kind == k }

// TimePasses says that what a step waits for has come.
func (a Action) TimePasses() bool { return a.named(timePasses) }

// Remembers says that Redis will come back to this moment.
func (a Action) Remembers() bool { return a.named(snapshot) }

// FallsBack says that Redis comes back as it was then.
func (a Action) FallsBack() bool { return a.named(fallBack) }

// Empties says that Redis comes back with nothing.
func (a Action) Empties() bool { return a.named(empty) }

// Buries says that a worker is no more: who takes its place has another name.
func (a Action) Buries() bool { return a.named(kill) || a.named(stop) }

// Unheard says that whoever asked did not hear the answer.
func (a Action) Unheard() bool { return a.named(beginLost) || a.named(endLost) || a.named(backLost) }

// Mends says that somebody retries a job or starts it over.
func (a Action) Mends() bool { return a.named(retry) || a.named(restart) }
