package api

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/tasks"
)

func (a *API) scheduleRoutes() {
	look, steer := needs{role: viewer}, needs{role: operator}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/schedules", "list-schedules", "List the schedules", "One that has not fired when it should says so in overdue_ms, also when every scheduler is dead."), a.listSchedules)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/schedules/{id}", "get-schedule", "Show a schedule", "Its ETag is its version."), func(ctx context.Context, in *PathID) (*scheduleOutput, error) {
		return scheduled(a.schedule(ctx, in.ID))
	})
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/schedules/{id}/ticks", "list-ticks", "Show what became of a schedule's due times, newest first", "The last 2,000 are kept; missed ones that follow one another are one entry."), a.listTicks)
	put := a.route(steer, http.MethodPut, "/v1/schedules/{id}", "put-schedule", "Make or replace a schedule", "If-Match with the ETag replaces what was seen; If-None-Match: * only makes a new one. A schedule of the configuration is a conflict.")
	put.Errors = append(put.Errors, http.StatusConflict, http.StatusPreconditionFailed)
	huma.Register(a.huma, put, a.putSchedule)
	del := a.route(steer, http.MethodDelete, "/v1/schedules/{id}", "delete-schedule", "Remove a schedule with its history", "Jobs that it has started go on.")
	del.Errors = append(del.Errors, http.StatusConflict, http.StatusPreconditionFailed)
	huma.Register(a.huma, del, func(ctx context.Context, in *MatchInput) (*struct{}, error) {
		if _, err := a.schedule(ctx, in.ID); err != nil {
			return nil, problem(err)
		}
		if err := a.store.DeleteSchedule(ctx, in.ID, wire.OriginAPI, matching(in.Match, "")); err != nil {
			return nil, problem(err)
		}
		return nil, nil
	})
	for _, v := range []struct {
		verb, summary string
		do            func(ctx context.Context, name string) (wire.Schedule, error)
	}{{"pause", "Let a schedule fire nothing more", a.store.PauseSchedule}, {"resume", "Let a paused schedule fire again", a.store.ResumeSchedule}} {
		huma.Register(a.huma, a.route(steer, http.MethodPost, "/v1/schedules/{id}/"+v.verb, v.verb+"-schedule", v.summary, ""), func(ctx context.Context, in *PathID) (*scheduleOutput, error) {
			if _, err := a.schedule(ctx, in.ID); err != nil {
				return nil, problem(err)
			}
			return scheduled(v.do(ctx, in.ID))
		})
	}
	run := a.route(steer, http.MethodPost, "/v1/schedules/{id}/run", "run-schedule", "Fire a schedule now", "Its overlap policy holds: the answer says what came of it. The same Idempotency-Key gives back the same tick.")
	run.DefaultStatus = http.StatusAccepted
	huma.Register(a.huma, run, func(ctx context.Context, in *struct {
		PathID
		Key string `header:"Idempotency-Key" maxLength:"200"`
	}) (*body[wire.Tick], error) {
		if _, err := a.schedule(ctx, in.ID); err != nil {
			return nil, problem(err)
		}
		return answer(a.store.RunSchedule(ctx, in.ID, in.Key))
	})
}

// MatchInput names something, and the version of it that the caller has seen.
type MatchInput struct {
	PathID
	Match string `header:"If-Match" doc:"The ETag of what you have seen"`
}

// matching is the version that If-Match and If-None-Match ask for.
func matching(match, none string) string {
	switch match = strings.Trim(strings.TrimPrefix(match, "W/"), `"`); {
	case none == "*":
		return store.NoVersion
	case match == "" || match == "*":
		return store.AnyVersion
	}
	return match
}

type scheduleOutput struct {
	Status int
	ETag   string `header:"ETag"`
	Body   wire.Schedule
}

func scheduled(sc wire.Schedule, err error) (*scheduleOutput, error) {
	if err != nil {
		return nil, problem(err)
	}
	return &scheduleOutput{http.StatusOK, `"` + sc.Version + `"`, sc}, nil
}

// schedule reads a schedule that the caller may see.
func (a *API) schedule(ctx context.Context, name string) (wire.Schedule, error) {
	sc, err := a.store.Schedule(ctx, name)
	if errors.Is(err, store.ErrNotFound) || err == nil && !principalOf(ctx).sees(sc.Job.Tenant) {
		err = missing(name)
	}
	return sc, err
}

// missing is the answer for a schedule that there is not, and for one of a tenant that the caller must not hear of.
func missing(name string) *wire.Problem {
	return refused(http.StatusNotFound, "stint schedules lists those that there are", "there is no schedule %q", name)
}

func (a *API) listSchedules(ctx context.Context, _ *struct{}) (*body[wire.Schedules], error) {
	all, err := a.store.Schedules(ctx)
	list := []wire.Schedule{}
	for _, sc := range all {
		if principalOf(ctx).sees(sc.Job.Tenant) {
			list = append(list, sc)
		}
	}
	return answer(wire.Schedules{Schedules: list}, err)
}

type ticksInput struct {
	PathID
	Limit int `query:"limit" minimum:"1" maximum:"2000" default:"100"`
}

func (a *API) listTicks(ctx context.Context, in *ticksInput) (*body[wire.Ticks], error) {
	if _, err := a.schedule(ctx, in.ID); err != nil {
		return nil, problem(err)
	}
	ticks, err := a.store.ScheduleHistory(ctx, in.ID, in.Limit)
	return answer(wire.Ticks{Ticks: ticks}, err)
}

type putInput struct {
	MatchInput
	None string `header:"If-None-Match" enum:"*" doc:"Only make a new one"`
	Body wire.ScheduleDefinition
}

func (a *API) putSchedule(ctx context.Context, in *putInput) (*scheduleOutput, error) {
	d := in.Body
	f, err := a.family(d.Job.Kind)
	if err != nil {
		return nil, problem(err)
	}
	if c, ok := f.(tasks.Checker); ok {
		if err := c.Check(d.Job.Spec); err != nil {
			return nil, invalid("body.job.spec", tasks.HintOf(err), "%v", err)
		}
	}
	if err := noPassword("body.job", d.Job.Spec, d.Job.Labels); err != nil {
		return nil, err
	}
	p := principalOf(ctx)
	if old, err := a.store.Schedule(ctx, in.ID); err == nil && !p.sees(old.Job.Tenant) || !p.sees(d.Job.Tenant) {
		return nil, refused(http.StatusForbidden, "name one of "+list(p.Tenants), "the token %q may not keep this schedule for the tenant %q", p.Name, d.Job.Tenant)
	}
	if err := mayBeFleetwide(p, d.Job.Kind); err != nil {
		return nil, problem(err)
	}
	// Who keeps the schedule is who lets its jobs delete.
	approved := wire.Submission{Kind: d.Job.Kind, Spec: d.Job.Spec, Labels: d.Job.Labels}
	if err := approve(ctx, &approved); err != nil {
		return nil, problem(err)
	}
	d.Job.Labels = approved.Labels
	if err := a.allowed(ctx, "body.job.spec", tasks.Job{Kind: d.Job.Kind, Tenant: d.Job.Tenant, Spec: d.Job.Spec}); err != nil {
		return nil, problem(err)
	}
	sc := wire.Schedule{Name: in.ID, Cron: d.Cron, Every: d.Every, Timezone: d.Timezone, Jitter: d.Jitter, Missed: d.Missed, Overlap: d.Overlap, Deadline: d.Deadline, Paused: d.Paused, Job: d.Job}
	if err := store.CheckSchedule(sc); err != nil {
		return nil, invalid("body", tasks.HintOf(err), "%v", err)
	}
	now, created, err := a.store.PutSchedule(ctx, sc, wire.OriginAPI, matching(in.Match, in.None))
	out, err := scheduled(now, err)
	if err == nil && created {
		out.Status = http.StatusCreated
	}
	return out, err
}
