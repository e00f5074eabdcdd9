package snapshot

import (
	"context"
	"iter"
	"sync"
)

// fetched is a frame as it lay in the store.
type fetched struct {
	frame  int
	packed []byte
	key    string
	err    error
}

// ahead is how many objects are read at the same time.
const ahead = 2

// fetch reads all frames that are needed, in their order, and counts the bytes. Who stops to listen stops the reading.
func (r *restoring) fetch(ctx context.Context, read *int64) iter.Seq[fetched] {
	return func(yield func(fetched) bool) {
		ctx, cancel := context.WithCancel(ctx)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer cancel()
		runs := r.runs()
		streams := make([]chan fetched, len(runs))
		counts := make([]chan int64, len(runs))
		start := func(i int) {
			streams[i], counts[i] = make(chan fetched, 1+objectSize/frameSize), make(chan int64, 1)
			reading.Go(func() { r.readRun(ctx, runs[i], streams[i], counts[i]) })
		}
		for i := range min(ahead, len(runs)) {
			start(i)
		}
		for i := range runs {
			for f := range streams[i] {
				if !yield(f) {
					return
				}
			}
			*read += <-counts[i]
			if i+ahead < len(runs) {
				start(i + ahead)
			}
		}
	}
}

// runs returns the frames that are needed, those of one object together.
func (r *restoring) runs() [][]int {
	needed := make([]bool, len(r.m.frames))
	for first, list := range r.begin {
		for _, c := range list {
			for f := first; f < first+c.frames; f++ {
				needed[f] = true
			}
		}
	}
	var runs [][]int
	last := -1
	for f := range r.m.frames {
		if !needed[f] {
			continue
		}
		if o := r.m.frames[f].object; o != last {
			runs, last = append(runs, nil), o
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], f)
	}
	return runs
}

// readRun reads frames of one object into a channel, and closes it behind the last, or the first error.
func (r *restoring) readRun(ctx context.Context, run []int, into chan<- fetched, count chan<- int64) {
	key := r.s.layerKey(r.m.objects[r.m.frames[run[0]].object].digest)
	o := &objectReader{s: r.s, key: key}
	defer close(into)
	defer func() { o.close(); count <- o.n }()
	for _, f := range run {
		packed, err := o.frame(ctx, r.m.frames[f])
		select {
		case into <- fetched{frame: f, packed: packed, key: key, err: err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}
