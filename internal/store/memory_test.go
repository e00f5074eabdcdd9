package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stint-run/stint/tasks"
)

func TestAJobOfAMillionStepsTakesLittleMemoryHoweverFarItIs(t *testing.T) {
	t.Parallel()
	const all, driven, page = 1_000_000, 20_000, 32
	b := planned(t, func(j *tasks.Job) { j.Window = 8 }, "a")
	size := func() (total int64) {
		for _, k := range b.rdb.Keys(b.ctx(), prefix+"{"+b.job.ID+"}*").Val() {
			total += b.rdb.MemoryUsage(b.ctx(), k, 0).Val() // 0 for a list that has just run empty
		}
		return total
	}
	// Each lane is a slot of a worker: it takes what is handed out, splits or ends it, and passes on what that hands out.
	queue := make(chan Ref, 64)
	for _, r := range b.queue {
		queue <- r
	}
	var mu sync.Mutex
	ended, most := 0, int64(0)
	half := make(chan struct{})
	lane := func(w string) {
		for {
			var r Ref
			select {
			case r = <-queue:
			case <-half:
				return
			}
			attempt := RandomID()
			begin, err := b.Begin(b.ctx(), r, attempt, w, "1.0.0")
			if err != nil || begin.Code != Begun {
				t.Errorf("begin %s: %d, %v", r.Key, begin.Code, err)
				return
			}
			var h Handout
			if kind, _, _ := ParseKey(r.Key); kind == SplitKey {
				from, steps := 0, []tasks.Step(nil)
				_, _ = fmt.Sscan(string(begin.Cursor), &from)
				for i := from; i < from+page; i++ {
					steps = append(steps, tasks.Step{ID: fmt.Sprintf("c%07d", i), Body: fmt.Appendf(nil, `{"from":[%d],"to":[%d]}`, 1000*i, 1000*i+1000)})
				}
				h, err = b.SplitDone(b.ctx(), r, attempt, steps, fmt.Append(nil, from+page))
			} else {
				if _, err = b.Save(b.ctx(), r, attempt, tasks.Cursor("half of it"), false, tasks.Counters{Read: 500}); err == nil {
					h, err = b.End(b.ctx(), r, attempt, tasks.Counters{Read: 1000, Written: 1000, Bytes: 1 << 20}, nil)
				}
				mu.Lock()
				ended++
				if ended%(driven/8) == 0 {
					most = max(most, size())
				}
				if ended == driven {
					close(half)
				}
				mu.Unlock()
			}
			if err != nil {
				t.Error(err)
				return
			}
			for _, r := range h.Enqueue {
				queue <- r
			}
		}
	}
	var lanes sync.WaitGroup
	for i := range 8 {
		lanes.Go(func() { lane(fmt.Sprint("w", i)) })
	}
	lanes.Wait()
	v := b.view()
	if read := v.Counters.Read; v.Counters.StepsDone < driven || read < v.Counters.StepsDone*1000 || v.Counters.StepsKnown > v.Counters.StepsDone+3*page {
		t.Errorf("%+v", v.Counters)
	}
	t.Logf("after %d of %d steps the keys of the job take at most %d bytes", v.Counters.StepsDone, all, most)
	// What is kept does not depend on how many steps have ended, so it stays so to the millionth.
	if most == 0 || most > 256<<10 {
		t.Errorf("the keys of the job take %d bytes", most)
	}
}
