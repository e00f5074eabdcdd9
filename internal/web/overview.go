package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/stint-run/stint/client"
	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
)

func (s *Site) overviewRoutes() {
	s.page("/{$}", "overview", "overview", s.overview)
}

// overviewBody is what somebody sees first.
type overviewBody struct {
	Counts   map[string]int64
	Waiting  int64 // jobs that are accepted or planned
	Fleet    fleetCount
	Versions []versionGroup
	Running  []*wire.Job
	Failed   []*wire.Job
	Backlog  int64
	Oldest   int64 // ms that the oldest step has waited
	Alerts   []wire.Alert
	NoAlerts bool // the reader may not see any
	Next     []wire.Schedule
	Doubts   []doubt // why a deployment should wait; none is safe
}

// doubt is a reason against a deployment just now.
type doubt struct {
	What string
	Hint string
	Link string
}

// fleetCount counts workers by state.
type fleetCount struct{ Active, Draining, Drained, Lost, InFlight, Slots int }

// versionGroup is what lives of one version.
type versionGroup struct {
	Version string
	fleetCount
	Workers []wire.Worker
	Since   time.Time // the oldest of them
}

func countWorkers(ws []wire.Worker) fleetCount {
	var c fleetCount
	for _, w := range ws {
		switch w.State {
		case wire.WorkerActive:
			c.Active++
		case wire.WorkerDraining:
			c.Draining++
		case wire.WorkerDrained:
			c.Drained++
		case wire.WorkerLost:
			c.Lost++
			continue
		case wire.WorkerStopped:
			continue
		}
		c.InFlight += w.InFlight
		c.Slots += w.Concurrency
	}
	return c
}

// versionsOf groups the workers that live by their version, the newest first.
func versionsOf(ws []wire.Worker) []versionGroup {
	by := map[string]*versionGroup{}
	for _, w := range ws {
		if w.State == wire.WorkerStopped {
			continue
		}
		g := by[w.Version]
		if g == nil {
			g = &versionGroup{Version: w.Version, Since: w.StartedAt}
			by[w.Version] = g
		}
		g.Workers = append(g.Workers, w)
		if w.StartedAt.Before(g.Since) {
			g.Since = w.StartedAt
		}
	}
	list := make([]versionGroup, 0, len(by))
	for _, g := range by {
		g.fleetCount = countWorkers(g.Workers)
		list = append(list, *g)
	}
	slices.SortFunc(list, func(x, y versionGroup) int {
		return cmp.Or(y.Since.Compare(x.Since), cmp.Compare(y.Version, x.Version))
	})
	return list
}

func (s *Site) overview(v *visit) (content, error) {
	b := overviewBody{Counts: map[string]int64{}}
	var ws []wire.Worker
	var queues []wire.Queue
	var schedules []wire.Schedule
	err := together(
		func() (err error) { ws, err = v.client.Workers(v.ctx); return err },
		func() (err error) { queues, err = v.client.Queues(v.ctx); return err },
		func() (err error) { schedules, err = v.client.Schedules(v.ctx); return err },
		func() (err error) { b.Running, err = runningJobs(v); return err },
		func() (err error) { b.Alerts, b.NoAlerts, err = openAlerts(v); return err },
		func() error {
			counts, err := v.client.JobCounts(v.ctx)
			for _, c := range counts {
				b.Counts[string(c.State)] += c.Jobs
			}
			return err
		},
		func() error {
			failed, err := v.client.Jobs(v.ctx, client.Filter{States: []tasks.State{tasks.Failed}, Limit: 5})
			if err == nil {
				b.Failed = failed.Jobs
			}
			return err
		})
	if err != nil {
		return content{}, err
	}
	b.Waiting = b.Counts[string(tasks.Accepted)] + b.Counts[string(tasks.Planning)]
	b.Fleet, b.Versions = countWorkers(ws), versionsOf(ws)
	for _, q := range queues {
		b.Backlog += q.Backlog
		b.Oldest = max(b.Oldest, q.Latency)
	}
	b.Next = nextSchedules(schedules, 5)
	b.Doubts = doubts(ws, queues, schedules)
	return content{Title: "Overview", Body: b}, nil
}

// together does all at once, and returns the first error.
func together(all ...func() error) error {
	var g errgroup.Group
	for _, do := range all {
		g.Go(do)
	}
	return g.Wait()
}

// runningJobs are the newest that are under way, with their stages.
func runningJobs(v *visit) ([]*wire.Job, error) {
	running, err := v.client.Jobs(v.ctx, client.Filter{States: []tasks.State{tasks.Running, tasks.Planning, tasks.Paused}, Limit: 6})
	if err != nil {
		return nil, err
	}
	var list []*wire.Job
	for _, j := range running.Jobs {
		full, err := v.client.Job(v.ctx, j.ID)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, full)
	}
	return list, nil
}

// openAlerts are those that are not over. hidden: the reader may not see any, or there are none to see.
func openAlerts(v *visit) (list []wire.Alert, hidden bool, err error) {
	alerts, err := v.client.Alerts(v.ctx, client.AlertFilter{States: []string{wire.AlertOpen, wire.AlertAcknowledged}, Limit: 5})
	switch {
	case isForbidden(err), isNotFound(err):
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	return alerts.Alerts, false, nil
}

// nextSchedules returns those that fire next.
func nextSchedules(all []wire.Schedule, most int) []wire.Schedule {
	var list []wire.Schedule
	for _, sc := range all {
		if sc.NextAt != nil {
			list = append(list, sc)
		}
	}
	slices.SortFunc(list, func(x, y wire.Schedule) int { return x.NextAt.Compare(*y.NextAt) })
	return list[:min(most, len(list))]
}

// doubts are the reasons why somebody should look before they deploy. Jobs that run are none: that is what stint is for.
func doubts(ws []wire.Worker, queues []wire.Queue, schedules []wire.Schedule) []doubt {
	var list []doubt
	c := countWorkers(ws)
	if c.Active == 0 {
		list = append(list, doubt{"No worker is active.", "Nothing that is submitted goes on until one is.", "/fleet"})
	}
	if c.Lost > 0 {
		list = append(list, doubt{fmt.Sprintf("%d %s lost within the last day.", c.Lost, plural(c.Lost, "worker was", "workers were")), "What they held runs elsewhere. Find out why they vanished.", "/fleet?state=lost"})
	}
	if c.Draining > 0 {
		list = append(list, doubt{fmt.Sprintf("%d %s.", c.Draining, plural(c.Draining, "worker drains", "workers drain")), "A deployment seems to be under way; wait for its end.", "/fleet"})
	}
	for _, q := range queues {
		if q.Workers == 0 && q.Backlog > 0 {
			list = append(list, doubt{fmt.Sprintf("No active worker serves the queue %s, where %s.", q.Name, counted(q.Backlog, "step waits", "steps wait")), "Start a worker with --queue " + q.Name + ".", "/queues"})
		}
	}
	for _, sc := range schedules {
		if sc.Overdue > 0 {
			list = append(list, doubt{"The schedule " + sc.Name + " is overdue.", "Is a scheduler running?", "/schedules/" + sc.Name})
		}
	}
	return list
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func counted(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + more
}

func isForbidden(err error) bool { return statusOf(err) == http.StatusForbidden }

func isNotFound(err error) bool { return statusOf(err) == http.StatusNotFound }

func statusOf(err error) int {
	var p *wire.Problem
	if errors.As(err, &p) {
		return p.Status
	}
	return 0
}
