package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/store"
)

func TestASchedulerIsReadyWhileItSweepsOrStandsByAndAliveInAnyCase(t *testing.T) {
	t.Parallel()
	r := newRoom(t, redistest.FsyncAlways())
	idle := New(r.rdb, store.New(r.rdb), Options{})
	if len(idle.Ready()) == 0 || idle.Alive() != nil {
		t.Errorf("before its start it is ready, or dead: %v, %v", idle.Ready(), idle.Alive())
	}
	first, second := r.scheduler(Options{Interval: 20 * time.Millisecond}), r.scheduler(Options{Interval: 20 * time.Millisecond})
	for _, s := range []*Scheduler{first, second} {
		enginetest.Eventually(t, "it is ready", func() bool { return len(s.Ready()) == 0 })
	}
	r.server.Kill()
	for _, s := range []*Scheduler{first, second} {
		enginetest.Eventually(t, "it says that the sweep fails", func() bool { return strings.Contains(strings.Join(s.Ready(), ""), "fails") })
		if err := s.Alive(); err != nil {
			t.Errorf("it is said to be wedged: %v", err)
		}
	}
	r.server.Restart()
	for _, s := range []*Scheduler{first, second} {
		enginetest.Eventually(t, "it is ready again", func() bool { return len(s.Ready()) == 0 })
	}
}

func TestASweepThatDoesNotComeBackIsNotAlive(t *testing.T) {
	t.Parallel()
	s := &Scheduler{o: Options{Interval: time.Second}}
	s.health.end(nil)
	s.health.ended = time.Now().Add(-staleAfter - time.Second)
	if len(s.Ready()) == 0 || s.Alive() != nil {
		t.Errorf("after %v: ready %v, alive %v", staleAfter, s.Ready(), s.Alive())
	}
	s.health.turned = time.Now().Add(-wedgedAfter - time.Second)
	if s.Alive() == nil {
		t.Errorf("it is alive after more than %v", wedgedAfter)
	}
}
