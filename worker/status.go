package worker

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/versions"
	"github.com/stint-run/stint/tasks"
)

// missedBeats is how many heartbeats may be missing before a worker says that something is wrong.
const missedBeats = 3

// Status is what the worker is and holds at this moment.
func (w *Worker) Status() wire.WorkerStatus {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := wire.WorkerStatus{ID: w.o.ID, Version: w.o.Version, Protocol: tasks.Protocol, State: w.state, Fenced: w.fencedBy(), Concurrency: w.o.Concurrency,
		InFlight: make([]wire.HeldStep, 0, len(w.running)), SafeToStop: w.state == wire.WorkerDrained || w.state == wire.WorkerStopped, StartedAt: w.started}
	for attempt, r := range w.running {
		h := wire.HeldStep{Job: r.ref.Job, Kind: r.kind, Stage: r.stage, Attempt: attempt, Since: r.since}
		switch kind, _, step := store.ParseKey(r.ref.Key); kind {
		case store.PlanKey:
			h.Step = "plan"
		case store.SplitKey:
			h.Step = "split"
		default:
			h.Step = step
		}
		if r.attempt != nil {
			h.Resumed = r.attempt.Resumed
		}
		s.InFlight = append(s.InFlight, h)
	}
	sort.Slice(s.InFlight, func(a, b int) bool { return s.InFlight[a].Since.Before(s.InFlight[b].Since) })
	s.Drain.By = w.reasons()
	s.Drain.Wanted = len(s.Drain.By) > 0
	if s.Drain.Wanted && w.state != wire.WorkerActive { // else it is about to begin
		since := w.since
		s.Drain.Since = &since
	}
	return s
}

// reasons lists why the worker drains; w.mu is held.
func (w *Worker) reasons() []string {
	var list []string
	if w.local || w.stopping {
		list = append(list, wire.DrainByProcess)
	}
	if w.wanted {
		list = append(list, wire.DrainByRequest)
	}
	if w.fencedBy() != "" {
		list = append(list, wire.DrainByFence)
	}
	return list
}

// fencedBy names the fences that park this worker, "" when none does; w.mu is held.
func (w *Worker) fencedBy() string {
	var list []string
	for _, f := range w.fences {
		if parks, _ := versions.Parks(f, w.o.Version); parks { // its error was logged when the fence was heard
			list = append(list, versions.Text(f))
		}
	}
	return strings.Join(list, ", ")
}

// Alive returns why the process had better be started anew: its heartbeat loop does not turn any more. It is nil while the loop
// turns, whether or not Redis answers: starting a fleet anew because Redis is away would make matters worse.
func (w *Worker) Alive() error {
	turned := w.turned.Load()
	if silent := time.Since(w.born) - time.Duration(turned); turned != 0 && silent > missedBeats*w.o.Heartbeat {
		return fmt.Errorf("the heartbeat loop has not turned for %v", silent.Round(time.Millisecond))
	}
	return nil
}

// LastBeat returns when Redis last confirmed a heartbeat; the zero time before the first.
func (w *Worker) LastBeat() time.Time {
	answered := w.answered.Load()
	if answered == 0 {
		return time.Time{}
	}
	return w.born.Add(time.Duration(answered))
}

// Ready lists why the worker takes no work just now; nil when it does.
func (w *Worker) Ready() []string {
	var reasons []string
	s := w.Status()
	if s.State != wire.WorkerActive {
		why := ""
		if s.Drain.Wanted {
			why = ": " + strings.Join(s.Drain.By, ", ")
		}
		reasons = append(reasons, "the worker is "+s.State+why)
	}
	if s.Fenced != "" {
		reasons = append(reasons, "a fence parks it: "+s.Fenced)
	}
	switch last := w.LastBeat(); {
	case last.IsZero():
		reasons = append(reasons, "the worker has not started yet")
	case time.Since(last) > missedBeats*w.o.Heartbeat:
		reasons = append(reasons, fmt.Sprintf("redis has confirmed no heartbeat for %v", time.Since(last).Round(time.Millisecond)))
	}
	return reasons
}
