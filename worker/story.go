package worker

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/versions"
)

// Reports of jobs tell of the drains of the workers that carried them out. A worker tells each job of its own, since the fleet
// forgets a worker after a day, and a job is kept for a month.

// atWork is for how long after its last attempt a worker still counts as one that works on a job: between two short steps it
// holds none of it.
const atWork = 10 * time.Second

// mostLately bounds the jobs that a worker remembers to have worked on.
const mostLately = 256

// storyPatience bounds what it costs to tell all jobs of a drain: their reports are worth a moment, and no late stop.
const storyPatience = 500 * time.Millisecond

// drainStory is what there is to tell of one drain. Its jobs are written under the worker's mu.
type drainStory struct {
	id    string
	asked time.Time
	by    string
	why   string
	jobs  map[string]*drainedJob
}

// drainedJob counts attempts at steps of one job.
type drainedJob struct{ held, back, ended, cut int }

// beginStory notes what the worker holds as it begins to drain; w.mu is held.
func (w *Worker) beginStory(asked time.Time) *drainStory {
	s := &drainStory{id: store.RandomID()[:12], asked: asked, jobs: map[string]*drainedJob{}}
	switch {
	case w.local || w.stopping:
		s.why = wire.DrainByProcess
	case w.wanted:
		s.why, s.by = wire.DrainByRequest, w.wantedBy
	default:
		s.why = wire.DrainByFence
		var by []string
		for _, f := range w.fences {
			if parks, _ := versions.Parks(f, w.o.Version); parks && f.By != "" { // its error was logged when the fence was heard
				by = append(by, f.By)
			}
		}
		s.by = strings.Join(by, ", ")
	}
	for job, at := range w.lately {
		if asked.Sub(at) < atWork {
			s.jobs[job] = &drainedJob{}
		}
	}
	for _, r := range w.running {
		j := s.jobs[r.ref.Job]
		if j == nil {
			j = &drainedJob{}
			s.jobs[r.ref.Job] = j
		}
		if r.attempt != nil {
			j.held++
		}
	}
	w.drains = s
	return s
}

// cameBack notes what came of an attempt; w.mu is held.
func (w *Worker) cameBack(r *run) {
	if r == nil || r.word == "" {
		return
	}
	now := time.Now()
	if _, known := w.lately[r.ref.Job]; !known && len(w.lately) >= mostLately {
		for job, at := range w.lately {
			if now.Sub(at) >= atWork {
				delete(w.lately, job)
			}
		}
	}
	if _, known := w.lately[r.ref.Job]; known || len(w.lately) < mostLately {
		w.lately[r.ref.Job] = now
	}
	if w.state != wire.WorkerDraining || w.drains == nil {
		return
	}
	j := w.drains.jobs[r.ref.Job]
	if j == nil { // it was being begun as the drain was asked for
		j = &drainedJob{}
		w.drains.jobs[r.ref.Job] = j
	}
	switch r.word {
	case wordDrained:
		j.back++
	case wordCut:
		j.back++
		j.cut++
	case wordPostponed:
		j.back++
	case wordDone:
		j.ended++
	}
}

// tellLater tells the jobs that the drain has begun, without making anybody wait. The function that it returns tells them what came of
// it: it is called with the answer of WaitDrained.
func (w *Worker) tellLater(s *drainStory) (told func(err error)) {
	begun := make(chan struct{})
	go func() {
		defer close(begun)
		w.tellDrain(s, wire.DrainAsked, time.Since(s.asked))
	}()
	return func(err error) {
		if err != nil { // what is cut comes back at once, or not at all
			short, cancel := context.WithTimeout(context.Background(), storyPatience)
			defer cancel()
			err = w.WaitDrained(short)
		}
		after, state := time.Since(s.asked), w.State()
		<-begun
		switch {
		case err != nil:
		case state == wire.WorkerDrained || state == wire.WorkerStopped:
			w.tellDrain(s, wire.DrainSafe, after)
		case state == wire.WorkerActive:
			w.tellDrain(s, wire.DrainUndone, after)
		}
	}
}

// tellDrain tells the jobs where a drain stands so long after it was asked for, all at once. One that cannot be told has a report that says less, and nothing else.
func (w *Worker) tellDrain(s *drainStory, state string, since time.Duration) {
	notes := map[string]store.DrainNote{}
	w.mu.Lock()
	for job, j := range s.jobs {
		notes[job] = store.DrainNote{Worker: w.o.ID, ID: s.id, State: state, By: s.by, Why: s.why, Since: since, Held: j.held, GivenBack: j.back, Ended: j.ended, Cut: j.cut}
	}
	w.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), storyPatience)
	defer cancel()
	var all sync.WaitGroup
	for job, n := range notes {
		all.Go(func() {
			if err := w.store.NoteDrain(ctx, job, n); err != nil {
				w.o.Log.Debug("a job could not be told of a drain; its report will lack it", "job", job, "err", err)
			}
		})
	}
	all.Wait()
}
