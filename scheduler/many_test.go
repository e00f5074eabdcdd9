package scheduler

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/queue"
	"github.com/stint-run/stint/internal/store"
)

// A turn through many jobs takes longer than the heartbeats that it goes by are good for. It must not take its own slowness for a Redis
// that was away, which would leave the steps of lost workers lost for as long as there are that many jobs.
func TestALostWorkersStepIsFoundHoweverManyJobsThereAre(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	ref := r.plan("lost")
	const jobs, hands = 4_000, 8
	var filling sync.WaitGroup
	for h := range hands {
		filling.Go(func() {
			p := queue.NewProducer(r.rdb)
			for i := h; i < jobs; i += hands {
				h, _, err := r.st.Create(t.Context(), enginetest.Job(fmt.Sprint("job-", i), 1))
				if err == nil {
					err = p.Enqueue(t.Context(), h.Queue, h.Enqueue[0].TaskID())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	filling.Wait()
	s := r.scheduler(Options{LostAfter: 200 * time.Millisecond, Interval: 20 * time.Millisecond})
	enginetest.Eventually(t, "the scheduler has swept", func() bool {
		s.health.mu.Lock()
		defer s.health.mu.Unlock()
		return !s.health.ended.IsZero()
	})
	if b, err := r.st.Begin(t.Context(), ref, "attempt", "vanished", ""); err != nil || b.Code != store.Begun {
		t.Fatal(b, err)
	}
	enginetest.Eventually(t, "the step of the lost worker is handed out again", func() bool {
		v, err := r.st.View(t.Context(), "lost")
		return err == nil && len(v.Out) == 1 && v.Out[0].Worker == ""
	})
}

func TestALookThroughAllJobsIsFollowedByARestThatALostWorkerEnds(t *testing.T) {
	t.Parallel()
	r := newRoom(t)
	s := New(r.rdb, r.st, Options{Log: r.log.Logger(), LostAfter: 300 * time.Millisecond})
	turn := func() {
		t.Helper()
		if err := s.turn(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ref := r.plan("lost")
	dies := r.alive("worker")
	attempt := r.lease(ref, "worker")
	enginetest.Eventually(t, "missing heartbeats mean something", func() bool {
		turn()
		return time.Now().After(s.trustFrom)
	})
	if s.restsUntil.IsZero() {
		t.Error("no rest follows a look")
	}
	night := time.Now().Add(time.Hour)
	s.restsUntil = night
	turn()
	if s.restsUntil != night {
		t.Error("it did not rest")
	}
	dies()
	enginetest.Eventually(t, "the step of the lost worker is handed out again", func() bool {
		turn()
		return !r.holds(ref, attempt)
	})
	if s.bereft || s.restsUntil == night {
		t.Errorf("after all jobs have been looked at: bereft %v, rests until %v", s.bereft, s.restsUntil)
	}
}
