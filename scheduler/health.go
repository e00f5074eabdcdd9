package scheduler

import (
	"fmt"
	"sync"
	"time"
)

// A turn takes ten seconds at most, and what it waits for then a few more. One that has not come back after wedgedAfter never
// will; what it did longer ago than staleAfter says nothing about now. Both are far apart, for a Redis that hangs must make a
// scheduler unready, and must not get it killed.
const (
	wedgedAfter = 30 * time.Second
	staleAfter  = 15 * time.Second
)

// health is what is known of the sweep loop.
type health struct {
	mu     sync.Mutex
	turned time.Time // when a turn last began or ended; zero before the first
	ended  time.Time // when one last ended well
	err    error     // of the last one; nil when it ended well
}

func (h *health) begin() {
	h.mu.Lock()
	h.turned = time.Now()
	h.mu.Unlock()
}

func (h *health) end(err error) {
	h.mu.Lock()
	h.turned, h.err = time.Now(), err
	if err == nil {
		h.ended = h.turned
	}
	h.mu.Unlock()
}

// Alive returns why the process had better be started anew: its sweep loop does not turn any more. It is nil while the loop turns,
// whether or not Redis answers, and before Start.
func (s *Scheduler) Alive() error {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	if silent := time.Since(s.health.turned); !s.health.turned.IsZero() && silent > max(wedgedAfter, 3*s.o.Interval) {
		return fmt.Errorf("the sweep has not turned for %v", silent.Round(time.Millisecond))
	}
	return nil
}

// Ready lists why the scheduler sweeps nothing just now, or what else keeps it from being ready; nil when nothing does, or when it stands
// by because another one sweeps.
func (s *Scheduler) Ready() []string {
	why := s.sweeps()
	for _, b := range s.o.Besides {
		if b.Ready != nil {
			why = append(why, b.Ready()...)
		}
	}
	return why
}

func (s *Scheduler) sweeps() []string {
	s.health.mu.Lock()
	defer s.health.mu.Unlock()
	switch {
	case s.health.err != nil:
		return []string{"the sweep fails: " + s.health.err.Error()}
	case s.health.ended.IsZero():
		return []string{"the scheduler has not swept yet"}
	case time.Since(s.health.ended) > max(staleAfter, 3*s.o.Interval):
		return []string{fmt.Sprintf("the last sweep ended %v ago", time.Since(s.health.ended).Round(time.Millisecond))}
	}
	return nil
}
