package scheduler

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
)

// lookEach is the longest time between two looks for ticks: by how much a schedule that was just made, or a tick whose
// scheduler died, can be late.
const lookEach = 250 * time.Millisecond

// CleanupSchedule is the name of the schedule that forgets old jobs. A configured schedule of this name takes its place.
const CleanupSchedule = "cleanup"

// withCleanup adds the built-in schedule unless there is one of its name.
func withCleanup(list []wire.Schedule) []wire.Schedule {
	if slices.ContainsFunc(list, func(sc wire.Schedule) bool { return sc.Name == CleanupSchedule }) {
		return list
	}
	return append(slices.Clone(list), wire.Schedule{Name: CleanupSchedule, Every: "1h", Jitter: "5m", Missed: wire.MissedLast,
		Overlap: wire.OverlapSkip, Job: wire.ScheduleJob{Kind: "cleanup", Spec: json.RawMessage("{}")}})
}

// CheckSchedules says what is wrong with the schedules of a configuration, each with a hint.
func CheckSchedules(list []wire.Schedule) error {
	var errs []error
	seen := map[string]bool{}
	for _, sc := range list {
		if seen[sc.Name] {
			errs = append(errs, fmt.Errorf("there are two schedules named %s", sc.Name))
		}
		seen[sc.Name] = true
		errs = append(errs, store.CheckSchedule(sc))
	}
	return errors.Join(errs...)
}

// tick decides what is due and creates the jobs of what was decided, by this scheduler or by one that has died since. It
// returns how long there is nothing to do.
func (s *Scheduler) tick(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	configures := len(s.o.Schedules)+len(s.o.Limits) > 0
	if configures && s.configured == 0 {
		if err := s.Configure(ctx); err != nil {
			return lookEach, err
		}
	}
	look, err := s.store.LookSchedules(ctx)
	if err != nil {
		return lookEach, err
	}
	if configures && look.Configured < s.configured {
		s.o.Log.Warn("redis has lost what the configuration says of schedules and limits; it is written anew")
		s.configured = 0
		return 0, nil
	}
	s.configured = look.Configured
	// What was decided first: as long as no jobs can be created, nothing more is decided, so the outbox stays small.
	if err := s.createJobs(ctx, look.Pending); err != nil {
		return lookEach, err
	}
	// In any order, so that schedulers share the work instead of racing for each schedule.
	rand.Shuffle(len(look.Due), func(i, j int) { look.Due[i], look.Due[j] = look.Due[j], look.Due[i] })
	var errs []error
	for _, name := range look.Due {
		decided, err := s.store.DecideTicks(ctx, name)
		if err == nil && len(decided) > 0 {
			s.count(ctx, decided)
			err = s.finish(ctx, decided)
		}
		errs = append(errs, err)
	}
	wait := lookEach
	if look.Wait >= 0 {
		wait = min(wait, look.Wait)
	}
	return wait, errors.Join(errs...)
}

// finish creates the jobs of what this scheduler has decided itself, also when it is stopped meanwhile: another one would do
// it, but there need not be another one.
func (s *Scheduler) finish(ctx context.Context, decided []store.PendingTick) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	return s.createJobs(ctx, decided)
}

// createJobs creates the jobs of ticks that fired and puts their planning on the queue. A crash anywhere in it leaves the tick in
// the outbox; doing it again gives the same job. A planning that was handed out and never queued is found by the sweep.
func (s *Scheduler) createJobs(ctx context.Context, ticks []store.PendingTick) error {
	for _, p := range ticks {
		if p.Tick.Outcome != wire.TickFired {
			continue
		}
		tctx, span := s.o.Telemetry.Tracer().Start(ctx, "tick "+p.Job.Kind, trace.WithAttributes(attribute.String("stint.schedule", p.Tick.Schedule), attribute.String("stint.job", p.Job.ID)))
		p.Job.Trace = telemetry.Inject(tctx)
		h, _, err := s.store.CreateBy(tctx, p.Job, "the schedule "+p.Tick.Schedule)
		spans.End(span, err)
		switch {
		case errors.Is(err, store.ErrConflict):
			// A Redis that lost its last moments decided the tick anew, after its schedule had been changed: it has its job.
			s.o.Log.Warn("the job of a tick is there already, with another spec", "schedule", p.Tick.Schedule, "tick", p.Tick.ID, "job", p.Job.ID)
		case err != nil:
			return err
		default:
			if err := s.hand(ctx, h); err != nil {
				return err
			}
		}
		if err := s.store.SettleTick(ctx, p.Tick.ID); err != nil {
			return err
		}
	}
	return nil
}

// count says what was decided, in the log and to whoever measures.
func (s *Scheduler) count(ctx context.Context, decided []store.PendingTick) {
	for _, p := range decided {
		t := p.Tick
		switch t.Outcome {
		case wire.TickFired:
			s.o.Log.Debug("tick fired", "schedule", t.Schedule, "due", t.DueAt, "job", t.Job, "lag_ms", t.Lag)
			s.o.Metrics.TickLag(ctx, t.Schedule, time.Duration(t.Lag)*time.Millisecond)
		case wire.TickMissed:
			s.o.Log.Warn("ticks were missed", "schedule", t.Schedule, "due", t.DueAt, "count", t.Count, "reason", t.Reason)
			s.o.Metrics.TickMissed(ctx, t.Schedule, t.Count)
		}
	}
}

// Configure writes the schedules and limits of the configuration into the store. Any number of schedulers may do it at once, and again.
// Whoever runs does it anew when Redis has lost them, all or the last ones, as a replica that takes over may have: the store counts how
// often it was done, and a number that falls says so.
//
// Start does it, in its own time; calling it before says whether it can be done.
func (s *Scheduler) Configure(ctx context.Context) error {
	for tenant, l := range s.o.Limits {
		if err := s.store.SetLimits(ctx, tenant, l); err != nil {
			return fmt.Errorf("write the limits of %q: %w", tenant, err)
		}
	}
	if err := s.writeSchedules(ctx); err != nil {
		return err
	}
	n, err := s.store.Configured(ctx)
	s.configured = n
	return err
}

// writeSchedules makes the schedules of the configuration those of the store.
func (s *Scheduler) writeSchedules(ctx context.Context) error {
	known, err := s.store.Schedules(ctx)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, sc := range s.o.Schedules {
		names[sc.Name] = true
		if err := store.CheckSchedule(sc); err != nil {
			s.o.Log.Error("a schedule of the configuration is wrong, and left as it is", "schedule", sc.Name, "err", err)
			continue
		}
		if _, _, err := s.store.PutSchedule(ctx, sc, wire.OriginConfig, store.AnyVersion); err != nil {
			return err
		}
	}
	for _, sc := range known {
		if !s.o.RemoveOthers || sc.Origin != wire.OriginConfig || names[sc.Name] {
			continue
		}
		err := s.store.DeleteSchedule(ctx, sc.Name, wire.OriginConfig, store.AnyVersion)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		s.o.Log.Info("schedule is gone from the configuration, and removed", "schedule", sc.Name)
	}
	return nil
}
