package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

func (a *API) queueRoutes() {
	look := needs{role: viewer}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/queues", "list-queues", "List the queues", "All that a job or a worker names."), func(ctx context.Context, _ *struct{}) (*body[wire.Queues], error) {
		list, err := a.queues(ctx)
		return answer(wire.Queues{Queues: list}, err)
	})
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/queues/{id}", "get-queue", "Show a queue", "Autoscalers go by its backlog."), func(ctx context.Context, in *PathID) (*body[wire.Queue], error) {
		list, err := a.queues(ctx)
		if err == nil {
			if i := slices.IndexFunc(list, func(q wire.Queue) bool { return q.Name == in.ID }); i >= 0 {
				return answer(list[i], nil)
			}
			err = refused(http.StatusNotFound, "GET /v1/queues lists those that there are", "no job and no worker names the queue %q", in.ID)
		}
		return answer(wire.Queue{}, err)
	})
}

// queues looks at every queue that a job which has not ended, or an active worker, names.
func (a *API) queues(ctx context.Context) ([]wire.Queue, error) {
	ws, err := a.store.Workers(ctx, a.o.LostAfter)
	if err != nil {
		return nil, err
	}
	return a.queuesOf(ctx, ws)
}

// queuesOf is queues with the workers that there are.
func (a *API) queuesOf(ctx context.Context, ws []wire.Worker) ([]wire.Queue, error) {
	backlogs, err := a.store.Backlogs(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*wire.Queue{}
	protocols := map[string][]int{}
	queue := func(name string, oldest, newest int) *wire.Queue {
		q := byName[name]
		if q == nil {
			q = &wire.Queue{Name: name}
			byName[name] = q
		}
		for p := max(oldest, 1); p <= newest; p++ {
			if !slices.Contains(protocols[name], p) {
				protocols[name] = append(protocols[name], p)
			}
		}
		return q
	}
	for _, b := range backlogs {
		queue(b.Queue, b.Protocol, b.Protocol).Backlog += b.Steps
	}
	for _, w := range ws {
		if w.State == wire.WorkerActive {
			for _, name := range w.Queues {
				queue(name, w.Reads, w.Protocol).Workers++
			}
		}
	}
	list := make([]wire.Queue, 0, len(byName))
	for name, q := range byName {
		slices.Sort(protocols[name])
		for _, p := range protocols[name] {
			for _, priority := range []int{1, 0, -1} {
				if err := a.measure(ctx, q, store.QueueName(name, p, priority)); err != nil {
					return nil, err
				}
			}
		}
		list = append(list, *q)
	}
	slices.SortFunc(list, func(x, y wire.Queue) int { return compare(x.Name, y.Name) })
	return list, nil
}

// measure adds a part of a queue to it.
func (a *API) measure(ctx context.Context, q *wire.Queue, part string) error {
	d, err := a.o.Producer.Depth(ctx, part)
	if err != nil {
		return err
	}
	q.Depth += d.Waiting
	q.Claimed += d.Claimed
	q.Latency = max(q.Latency, d.Oldest.Milliseconds())
	if d.Waiting+d.Claimed > 0 {
		q.Parts = append(q.Parts, wire.QueuePart{Name: part, Depth: d.Waiting, Claimed: d.Claimed, Latency: d.Oldest.Milliseconds()})
	}
	return nil
}
