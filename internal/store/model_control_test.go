package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (m *model) loseTask() {
	if len(m.queue) == 0 {
		m.rt.Skip("nothing on the queue")
	}
	i := rapid.IntRange(0, len(m.queue)-1).Draw(m.rt, "task")
	m.queue = slices.Delete(m.queue, i, i+1)
}

func (m *model) control() {
	m.command(rapid.SampledFrom([]Verb{Pause, Pause, Resume, Resume, Resume, Retry, Retry, Restart, Cancel}).Draw(m.rt, "verb"))
}

func (m *model) command(verb Verb) {
	var dead []string
	for key, st := range m.steps {
		if st.where == "dead" {
			dead = append(dead, key)
		}
	}
	legal := false
	switch verb {
	case Pause:
		legal = m.state != tasks.Paused && !m.state.Ended()
	case Resume:
		legal = m.state == tasks.Paused
	case Cancel:
		legal = !m.state.Ended()
	case Retry:
		legal = m.state.Ended() && m.state != tasks.Cancelled && len(dead) > 0
	case Restart:
		legal = m.state.Ended()
	}
	h, err := m.s.Control(m.b.ctx(), m.b.job.ID, verb, "model", "")
	if !legal {
		if !errors.Is(err, ErrConflict) {
			m.rt.Fatalf("%s in state %s: %v", verb, m.state, err)
		}
		return
	}
	if err != nil {
		m.rt.Fatalf("%s in state %s: %v", verb, m.state, err)
	}
	switch verb {
	case Pause:
		m.state = tasks.Paused
	case Cancel:
		m.state = tasks.Cancelled
		m.steps = map[string]*modelStep{}
	case Resume, Retry:
		m.state = tasks.Accepted
		if m.planned {
			m.state = tasks.Running
		}
		if verb == Retry {
			for _, key := range dead {
				m.steps[key].failed = 0
				m.again(m.steps[key])
			}
		}
	case Restart:
		m.state, m.planned, m.pages, m.split, m.read = tasks.Accepted, false, [2]int{}, [2]bool{}, [2]int64{}
		m.steps = map[string]*modelStep{"p": {where: "waiting", delivery: 1}}
		m.epoch++
	}
	m.handedOut(h)
}

// agree compares Redis with the model.
func (m *model) agree() {
	v, err := m.s.View(m.b.ctx(), m.b.job.ID)
	if err != nil {
		m.rt.Fatal(err)
	}
	if v.State != m.state || v.Epoch != m.epoch {
		m.rt.Fatalf("the job is %s in run %d, want %s in %d", v.State, v.Epoch, m.state, m.epoch)
	}
	want, known, done, failed := map[string]string{}, [2]int64{}, [2]int64{}, [2]int64{}
	for key, st := range m.steps {
		if st.where == "out" || st.where == "leased" {
			want[key] = fmt.Sprintf("%d|%s|", st.delivery, st.attempt)
		}
		if st.ends > 1 {
			m.rt.Fatalf("%s has ended %d times", key, st.ends)
		}
		if kind, i, _ := ParseKey(key); kind == RunKey {
			known[i]++
			done[i] += int64(st.ends)
			if st.where == "dead" {
				failed[i]++
			}
		}
	}
	out := m.b.rdb.HGetAll(m.b.ctx(), outKey(m.b.job.ID)).Val()
	if len(out) != len(want) || len(out) > m.window {
		m.rt.Fatalf("out: %v, want %v, window %d", out, want, m.window)
	}
	for key, val := range out {
		if want[key] == "" || !strings.HasPrefix(val, want[key]) {
			m.rt.Fatalf("out: %s is %s, want %s", key, val, want[key])
		}
	}
	for i, st := range v.Stages {
		c := wire.Counters{StepsKnown: known[i], StepsDone: done[i], StepsFailed: failed[i], Counters: tasks.Counters{Read: m.read[i]}}
		if m.state != tasks.Cancelled && st.Counters != c {
			m.rt.Fatalf("stage %d: %+v, want %+v", i, st.Counters, c)
		}
	}
}

// finish lets the job run to its end, with tasks that were lost on the way, and looks at what is left.
func (m *model) finish() {
	for round := 0; m.state != tasks.Succeeded; round++ {
		if round > 300 {
			m.rt.Fatalf("the job does not end: %s, %d on the queue, %v", m.state, len(m.queue), m.b.dump())
		}
		switch m.state {
		case tasks.Paused:
			m.command(Resume)
		case tasks.Cancelled:
			m.command(Restart)
		case tasks.Failed:
			m.command(Retry)
		}
		m.workers++
		m.living = map[string]bool{fmt.Sprint("w", m.workers): true} // what is leased is lost
		m.sweep()
		for len(m.queue) > 0 && m.state != tasks.Succeeded {
			r := m.queue[0]
			m.queue = m.queue[1:]
			n := len(m.attempts)
			m.beginRef(r)
			if len(m.attempts) > n {
				a := m.attempts[n]
				m.endAttempt(a, m.steps[a.ref.Key])
			}
			m.agree()
		}
	}
	dead := 0
	for key, st := range m.steps {
		if st.ends != 1 && st.where != "dead" {
			m.rt.Fatalf("%s has ended %d times: %+v", key, st.ends, st)
		}
		if st.where == "dead" {
			dead++
		}
	}
	if dead > 0 && !m.skip {
		m.rt.Fatalf("%d dead steps in a job that has succeeded", dead)
	}
	id := m.b.job.ID
	allowed := []string{jobKey(id), stagesKey(id), eventsKey(id), outboxKey(id), tallyKey(id)}
	if dead > 0 {
		allowed = append(allowed, deadKey(id), stepsKey(id), savedKey(id), failsKey(id))
	}
	for key, val := range dumpOf(m.b.t, m.b.rdb, prefix+"{"+id+"}*") {
		if !slices.Contains(allowed, key) {
			m.rt.Fatalf("left: %s = %s", key, val)
		}
	}
	for _, key := range []string{stepsKey(id), failsKey(id)} {
		if n := m.b.rdb.HLen(m.b.ctx(), key).Val(); n != int64(dead) {
			m.rt.Fatalf("%d entries are left in %s, %d steps are dead", n, key, dead)
		}
	}
}
