package api

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/telemetry"
)

// Fleet reads what the metrics tell of all processes together, for telemetry.ObserveFleet.
func (a *API) Fleet(ctx context.Context) (telemetry.Fleet, error) {
	var f telemetry.Fleet
	ws, err := a.store.Workers(ctx, a.o.LostAfter)
	if err != nil {
		return f, err
	}
	f.Workers = fleetWorkers(ws)
	if f.Queues, err = a.fleetQueues(ctx, ws); err != nil {
		return f, err
	}
	if f.Schedules, err = a.fleetSchedules(ctx); err != nil {
		return f, err
	}
	if f.Jobs, err = a.fleetJobs(ctx); err != nil {
		return f, err
	}
	err = a.fleetAlerts(ctx, &f)
	return f, err
}

// fleetWorkers leaves out workers that have stopped: of those, deployments make any number.
func fleetWorkers(ws []wire.Worker) []telemetry.FleetWorker {
	var list []telemetry.FleetWorker
	for _, w := range ws {
		if w.State == wire.WorkerStopped {
			continue
		}
		if w.State == wire.WorkerLost {
			w.InFlight = 0 // what it held is given to others
		}
		list = append(list, telemetry.FleetWorker{ID: w.ID, Version: w.Version, State: w.State, InFlight: w.InFlight,
			HeartbeatAge: time.Duration(w.HeartbeatAge) * time.Millisecond})
	}
	return list
}

func (a *API) fleetQueues(ctx context.Context, ws []wire.Worker) ([]telemetry.FleetQueue, error) {
	queues, err := a.queuesOf(ctx, ws)
	list := make([]telemetry.FleetQueue, 0, len(queues))
	for _, q := range queues {
		list = append(list, telemetry.FleetQueue{Name: q.Name, Depth: map[string]int64{"waiting": q.Depth, "claimed": q.Claimed}, Backlog: q.Backlog,
			Latency: time.Duration(q.Latency) * time.Millisecond})
	}
	return list, err
}

// fleetSchedules says which schedules have not fired when they should: also when every scheduler is dead, for whom nobody else
// could say it.
func (a *API) fleetSchedules(ctx context.Context) ([]telemetry.FleetSchedule, error) {
	all, err := a.store.Schedules(ctx)
	list := make([]telemetry.FleetSchedule, 0, len(all))
	for _, sc := range all {
		list = append(list, telemetry.FleetSchedule{Name: sc.Name, Overdue: sc.Overdue > 0})
	}
	return list, err
}

func (a *API) fleetJobs(ctx context.Context) ([]telemetry.FleetJobs, error) {
	counts, err := a.census.Count(ctx)
	type label struct{ kind, state string }
	sums := map[label]int64{}
	for of, n := range counts {
		sums[label{of.Kind, string(of.State)}] += n
	}
	list := make([]telemetry.FleetJobs, 0, len(sums))
	for of, n := range sums {
		list = append(list, telemetry.FleetJobs{Kind: of.kind, State: of.state, Count: n})
	}
	return list, err
}

// countJobs says how many jobs are in which state, of the tenants that the caller may know of.
func (a *API) countJobs(ctx context.Context, _ *struct{}) (*body[wire.JobCounts], error) {
	counts, err := a.census.Count(ctx)
	if err != nil {
		return nil, problem(err)
	}
	who, sums := principalOf(ctx), map[wire.JobCount]int64{}
	for of, n := range counts {
		if who.sees(of.Tenant) {
			sums[wire.JobCount{Kind: of.Kind, State: of.State}] += n
		}
	}
	out := wire.JobCounts{Counts: []wire.JobCount{}}
	for c, n := range sums {
		c.Jobs = n
		out.Counts = append(out.Counts, c)
	}
	slices.SortFunc(out.Counts, func(x, y wire.JobCount) int {
		return cmp.Or(strings.Compare(x.Kind, y.Kind), strings.Compare(string(x.State), string(y.State)))
	})
	return answer(out, nil)
}
