package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/tasks"
)

// crew are worker processes of a command's own, to be drained and killed while a job runs.
type crew struct {
	*command
	s       *session
	said    string   // the file of what the workers say
	args    []string // of stint worker
	vars    config.Env
	members []*workerProcess // those that run
}

// hire starts a worker process and waits until the fleet knows it.
func (w *crew) hire(ctx context.Context) (*workerProcess, error) {
	known := map[string]bool{}
	ws, err := w.s.Workers(ctx)
	if err != nil {
		return nil, err
	}
	for _, x := range ws {
		known[x.ID] = true
	}
	p, err := startWorkerProcess(w.Self, w.said, w.args, w.vars)
	if err != nil {
		return nil, fmt.Errorf("start a worker: %w", err)
	}
	w.members = append(w.members, p)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		ws, err := w.s.Workers(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range ws {
			if x.PID == p.pid() && !known[x.ID] && x.State == wire.WorkerActive {
				p.id = x.ID
				return p, nil
			}
		}
		select {
		case <-tick.C:
		case <-p.exited:
			return nil, tasks.WithHint(errors.New("it ended at once"), "run stint worker by hand to see why", "a worker process did not start")
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// dismiss stops all of them, in order.
func (w *crew) dismiss() {
	for _, p := range w.members {
		p.stop()
	}
	w.members = nil
}

func (w *crew) forget(p *workerProcess) {
	w.members = slices.DeleteFunc(w.members, func(m *workerProcess) bool { return m == p })
}

// until shows progress until the job is as wanted.
func (w *crew) until(ctx context.Context, job string, p progress, wanted func(*wire.Job) bool) (*wire.Job, error) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i++ {
		v, err := w.s.Job(ctx, job)
		if err != nil {
			return nil, err
		}
		if i%10 == 0 || v.State.Ended() {
			p.show(v)
		}
		if wanted(v) {
			return v, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// drain drains a worker as a deployment would, stops it when that is safe, and says how long it took to be so.
func (w *crew) drain(ctx context.Context, p *workerProcess) (time.Duration, error) {
	start := time.Now()
	if _, err := w.s.Drain(ctx, wire.Selection{IDs: []string{p.id}}); err != nil {
		return 0, err
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ws, err := w.s.Workers(ctx)
		if err != nil {
			return 0, err
		}
		if slices.ContainsFunc(ws, func(x wire.Worker) bool { return x.ID == p.id && x.SafeToStop }) {
			took := time.Since(start)
			p.stop()
			w.forget(p)
			return took, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// kill kills a worker with SIGKILL, and says how long it took until each of the steps that it held ran elsewhere, or was done.
func (w *crew) kill(ctx context.Context, p *workerProcess, job string, held []wire.Out, shown progress) (time.Duration, error) {
	start := time.Now()
	p.kill()
	w.forget(p)
	_, err := w.until(ctx, job, shown, func(v *wire.Job) bool { return recovered(v, p.id, held) })
	return time.Since(start), err
}

// recovered reports whether each step that a lost worker held runs elsewhere, or is done.
func recovered(v *wire.Job, lost string, held []wire.Out) bool {
	return !slices.ContainsFunc(v.Out, func(o wire.Out) bool {
		return o.Worker == lost || o.Worker == "" && // on the queue, not yet running
			slices.ContainsFunc(held, func(h wire.Out) bool { return h.Stage == o.Stage && h.Step == o.Step })
	})
}

// heldBy lists the steps that a worker holds.
func heldBy(v *wire.Job, worker string) []wire.Out {
	var held []wire.Out
	for _, o := range v.Out {
		if o.Worker == worker {
			held = append(held, o)
		}
	}
	return held
}
