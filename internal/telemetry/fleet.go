package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Fleet is what the store says of all processes together, at one moment.
type Fleet struct {
	Queues    []FleetQueue
	Workers   []FleetWorker
	Jobs      []FleetJobs
	Schedules []FleetSchedule
	Rules     []FleetRule
	Alerts    map[string]int64 // that are not over, by state
}

// FleetRule is an alert rule and how its evaluation goes.
type FleetRule struct {
	Name    string
	Age     time.Duration // since it was last evaluated
	Lag     time.Duration // by which its windows are behind where they should be
	Failing bool          // it could not be evaluated the last time
}

// FleetQueue is one queue.
type FleetQueue struct {
	Name    string
	Depth   map[string]int64 // tasks by state: waiting, claimed
	Backlog int64            // steps that are known and have not ended, those that are not yet on the queue included
	Latency time.Duration    // how long the oldest task that is ready has waited; 0 when none does
}

// FleetWorker is one worker, as of its last heartbeat.
type FleetWorker struct {
	ID, Version, State string
	InFlight           int           // attempts that it holds
	HeartbeatAge       time.Duration // since its last heartbeat
}

// FleetJobs is how many jobs of a kind are in a state.
type FleetJobs struct {
	Kind, State string
	Count       int64
}

// FleetSchedule is one schedule.
type FleetSchedule struct {
	Name    string
	Overdue bool // a tick that was due has not fired
}

// How long a reading of the fleet may take, and how long it is good for: several scrapers at once cost the store one reading.
const (
	fleetTimeout = 2 * time.Second
	fleetFresh   = time.Second
)

// ObserveFleet makes this process tell of the whole fleet, from what read returns, whenever somebody scrapes or exports. Processes
// that can read the store at any time do that: the API servers. Each of them tells the same, so sum up none of these over
// instances. read gets 2 s, is asked once a second at most, and never twice at the same time; when it fails, stint_fleet_up is 0 and
// the other series are left out. A second call takes the place of the first; nil ends it.
func (t *Telemetry) ObserveFleet(read func(ctx context.Context) (Fleet, error)) {
	if t == nil || t.fleet == nil {
		return
	}
	t.fleet.mu.Lock()
	defer t.fleet.mu.Unlock()
	t.fleet.read, t.fleet.asked = read, time.Time{}
}

// fleetObserver turns a Fleet into series.
type fleetObserver struct {
	log *slog.Logger

	up, depth, backlog, workers, inFlight, jobs, overdue, failing, alerts metric.Int64ObservableGauge
	latency, heartbeat, ruleAge, ruleLag                                  metric.Float64ObservableGauge

	mu    sync.Mutex
	read  func(ctx context.Context) (Fleet, error)
	asked time.Time // when last was asked for; zero for never
	last  Fleet
	err   error
	told  time.Time // when a failure was last logged
}

func newFleetObserver(m metric.Meter, log *slog.Logger) (*fleetObserver, error) {
	f := &fleetObserver{log: log}
	var all []metric.Observable
	var errs []error
	count := func(name, unit, help string) metric.Int64ObservableGauge {
		g, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(help))
		all, errs = append(all, g), append(errs, err)
		return g
	}
	seconds := func(name, help string) metric.Float64ObservableGauge {
		g, err := m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(help))
		all, errs = append(all, g), append(errs, err)
		return g
	}
	f.up = count("stint.fleet.up", "", "1 when the state of the fleet could be read from the store, else 0.")
	f.depth = count("stint.queue.depth", "{task}", "Tasks on a queue, by state.")
	f.backlog = count("stint.queue.backlog", "{step}", "Steps that are known and have not ended, those that are not yet on the queue included.")
	f.latency = seconds("stint.queue.latency", "How long the oldest task that is ready has waited.")
	f.workers = count("stint.workers", "{worker}", "Workers, by version and state.")
	f.inFlight = count("stint.worker.in_flight", "{attempt}", "Attempts that a worker holds.")
	f.heartbeat = seconds("stint.worker.heartbeat.age", "How long ago a worker's last heartbeat was.")
	f.jobs = count("stint.jobs", "{job}", "Jobs that the store knows, by kind and state.")
	f.overdue = count("stint.schedule.overdue", "", "1 when a tick of the schedule was due and has not fired, else 0.")
	f.failing = count("stint.rule.failing", "", "1 when the rule could not be evaluated the last time, else 0.")
	f.alerts = count("stint.alerts", "{alert}", "Alerts that are not over, by state.")
	f.ruleAge = seconds("stint.rule.evaluation.age", "How long ago the rule was last evaluated.")
	f.ruleLag = seconds("stint.rule.lag", "How far the windows of the rule are behind where they should be.")
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	_, err := m.RegisterCallback(f.observe, all...)
	return f, err
}

// observe returns no error, as that would go to OpenTelemetry's own log.
func (f *fleetObserver) observe(ctx context.Context, to metric.Observer) error {
	fleet, on, err := f.get(ctx)
	if !on {
		return nil
	}
	if err != nil {
		to.ObserveInt64(f.up, 0)
		return nil
	}
	to.ObserveInt64(f.up, 1)
	for _, q := range fleet.Queues {
		for state, n := range q.Depth {
			to.ObserveInt64(f.depth, n, labels("queue", q.Name, "state", state))
		}
		to.ObserveInt64(f.backlog, q.Backlog, labels("queue", q.Name))
		to.ObserveFloat64(f.latency, q.Latency.Seconds(), labels("queue", q.Name))
	}
	workers := map[[2]string]int64{}
	for _, w := range fleet.Workers {
		workers[[2]string{w.Version, w.State}]++
		to.ObserveInt64(f.inFlight, int64(w.InFlight), labels("worker", w.ID, "version", w.Version))
		to.ObserveFloat64(f.heartbeat, w.HeartbeatAge.Seconds(), labels("worker", w.ID, "version", w.Version))
	}
	for of, n := range workers {
		to.ObserveInt64(f.workers, n, labels("version", of[0], "state", of[1]))
	}
	for _, j := range fleet.Jobs {
		to.ObserveInt64(f.jobs, j.Count, labels("kind", j.Kind, "state", j.State))
	}
	for _, s := range fleet.Schedules {
		overdue := int64(0)
		if s.Overdue {
			overdue = 1
		}
		to.ObserveInt64(f.overdue, overdue, labels("schedule", s.Name))
	}
	for _, r := range fleet.Rules {
		failing := int64(0)
		if r.Failing {
			failing = 1
		}
		to.ObserveInt64(f.failing, failing, labels("rule", r.Name))
		to.ObserveFloat64(f.ruleAge, r.Age.Seconds(), labels("rule", r.Name))
		to.ObserveFloat64(f.ruleLag, r.Lag.Seconds(), labels("rule", r.Name))
	}
	for state, n := range fleet.Alerts {
		to.ObserveInt64(f.alerts, n, labels("state", state))
	}
	return nil
}

// get returns the fleet, and false when nobody can read it.
func (f *fleetObserver) get(ctx context.Context) (fleet Fleet, on bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.read == nil {
		return Fleet{}, false, nil
	}
	if !f.asked.IsZero() && time.Since(f.asked) < fleetFresh {
		return f.last, true, f.err
	}
	ctx, cancel := context.WithTimeout(ctx, fleetTimeout)
	defer cancel()
	f.last, f.err = f.read(ctx)
	f.asked = time.Now()
	if f.err != nil && (f.told.IsZero() || time.Since(f.told) >= quietFor) {
		f.told = f.asked
		f.log.Warn("the state of the fleet cannot be read for metrics", "err", f.err)
	}
	return f.last, true, f.err
}

// labels makes labels of names and values in turn.
func labels(pairs ...string) metric.MeasurementOption {
	set := make([]attribute.KeyValue, 0, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		set = append(set, attribute.String(pairs[i], pairs[i+1]))
	}
	return metric.WithAttributeSet(attribute.NewSet(set...))
}
