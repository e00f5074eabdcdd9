package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder"
)

func (a *API) buildRoutes() {
	op := a.route(needs{role: operator, long: true}, http.MethodPost, "/v1/builds/{id}/promote", "promote-build", "Promote what a build has left behind to an environment",
		"Nothing is built anew: the environment has the same bytes as the one before. It is a conflict when the environment does not take the version's channel, or when the version has not been in the environment before it.")
	op.Errors = append(op.Errors, http.StatusConflict)
	huma.Register(a.huma, op, a.promote)
	huma.Register(a.huma, a.route(needs{role: viewer, long: true}, http.MethodGet, "/v1/builds/{id}", "get-build", "Show what a build is of, and what has become of its steps", "Its version and why, steps with their tests, and which environments take it. As a job it is at /v1/jobs/{id}."), a.getBuild)
	huma.Register(a.huma, a.route(needs{role: viewer, long: true}, http.MethodGet, "/v1/environments", "list-environments", "List what is in each environment", "In the order in which the environments follow one another."), a.listEnvironments)
}

func (a *API) getBuild(ctx context.Context, in *PathID) (*body[tasks.Build], error) {
	v, err := a.view(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	b, ok := a.families[v.Kind].(tasks.Builder)
	if !ok {
		return nil, refused(http.StatusUnprocessableEntity, "GET /v1/jobs?kind=build lists builds", "a %s builds nothing", v.Kind)
	}
	job := tasks.Job{ID: v.ID, Kind: v.Kind, Tenant: v.Tenant, Spec: v.Spec}
	if err := a.allowed(ctx, "", job); err != nil {
		return nil, err
	}
	out, err := b.Build(ctx, job)
	return answer(out, remote(err))
}

type promoteInput struct {
	PathID
	Body wire.Promote
}

func (a *API) promote(ctx context.Context, in *promoteInput) (*body[tasks.Promotion], error) {
	v, err := a.view(ctx, in.ID)
	if err != nil {
		return nil, problem(err)
	}
	p, ok := a.families[v.Kind].(tasks.Promoter)
	switch {
	case !ok:
		return nil, refused(http.StatusUnprocessableEntity, "GET /v1/jobs?kind=build lists builds", "a %s leaves nothing behind that can be promoted", v.Kind)
	case v.State != tasks.Succeeded:
		return nil, refused(http.StatusConflict, "wait for its end, or retry it", "build %s is %s: only what has succeeded can be promoted", v.ID, v.State)
	}
	job := tasks.Job{ID: v.ID, Kind: v.Kind, Tenant: v.Tenant, Spec: v.Spec}
	if err := a.allowed(ctx, "", job); err != nil {
		return nil, err
	}
	out, err := p.Promote(ctx, job, in.Body.Environment, principalOf(ctx).Name)
	if errors.Is(err, tasks.ErrGate) {
		return nil, refused(http.StatusConflict, tasks.HintOf(err), "%s", err.Error())
	}
	return answer(out, remote(err))
}

type environmentsInput struct {
	Tenant  string `query:"tenant" maxLength:"100" doc:"Of this tenant; left out, of the token's only one, or the default one"`
	Product string `query:"product" maxLength:"64" doc:"Of this product alone"`
}

func (a *API) listEnvironments(ctx context.Context, in *environmentsInput) (*body[wire.Promotions], error) {
	p, ok := a.families[builder.Kind].(tasks.Promoter)
	if !ok {
		return nil, refused(http.StatusNotFound, "another server may", "this server knows no builds")
	}
	who := principalOf(ctx)
	if in.Tenant == "" && len(who.Tenants) == 1 {
		in.Tenant = who.Tenants[0]
	}
	if !who.sees(in.Tenant) { // as if there were none
		return answer(wire.Promotions{Promotions: []tasks.Promotion{}}, nil)
	}
	if err := a.allowed(ctx, "", tasks.Job{Kind: builder.Kind, Tenant: in.Tenant}); err != nil {
		return nil, err
	}
	list, err := p.Promoted(ctx, in.Tenant, in.Product)
	return answer(wire.Promotions{Promotions: append([]tasks.Promotion{}, list...)}, remote(err))
}
