package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
)

func (a *API) limitRoutes() {
	look, steer, rule := needs{role: viewer}, needs{role: operator, fleet: true}, needs{role: admin, fleet: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/about", "about", "Say who answers, and who asks", ""), a.about)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/kinds", "list-kinds", "List the kinds of jobs", ""), a.listKinds)
	huma.Register(a.huma, a.route(steer, http.MethodPut, "/v1/kinds/{id}/maintenance", "begin-maintenance", "Accept jobs of a kind, but start nothing", "Jobs that have started go on: pause those that should not."), a.beginMaintenance)
	huma.Register(a.huma, a.route(steer, http.MethodDelete, "/v1/kinds/{id}/maintenance", "end-maintenance", "Start what was held", ""), a.endMaintenance)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/tenants", "list-tenants", "List the limits of tenants", "\"*\" holds for those that are not named."), a.listTenants)
	huma.Register(a.huma, a.route(rule, http.MethodPut, "/v1/tenants/{id}/limits", "set-limits", "Say what a tenant may use at once", "Of \"*\": what all may that are not named. Limits of 0 take away what was said before."), a.setLimits)
}

// now is the time as it is kept.
func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func compare(x, y string) int { return strings.Compare(x, y) }

func (a *API) listKinds(ctx context.Context, _ *struct{}) (*body[wire.Kinds], error) {
	under, err := a.store.Maintenance(ctx)
	if err != nil {
		return nil, problem(err)
	}
	list := []wire.Kind{}
	for kind := range a.families {
		k := wire.Kind{Kind: kind}
		if i := slices.IndexFunc(under, func(m wire.Maintenance) bool { return m.Kind == kind }); i >= 0 {
			k.Maintenance = &under[i]
		}
		list = append(list, k)
	}
	slices.SortFunc(list, func(x, y wire.Kind) int { return compare(x.Kind, y.Kind) })
	return answer(wire.Kinds{Kinds: list}, nil)
}

type maintenanceInput struct {
	PathID
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"500" doc:"For those who wonder why nothing starts"`
	}
}

func (a *API) beginMaintenance(ctx context.Context, in *maintenanceInput) (*body[wire.Maintenance], error) {
	if a.families[in.ID] == nil {
		return nil, refused(http.StatusNotFound, "GET /v1/kinds lists those that there are", "there are no jobs of kind %q", in.ID)
	}
	m := wire.Maintenance{Kind: in.ID, By: principalOf(ctx).Name, Reason: in.Body.Reason, At: now()}
	return answer(m, a.store.SetMaintenance(ctx, in.ID, m))
}

func (a *API) endMaintenance(ctx context.Context, in *PathID) (*struct{}, error) {
	let, err := a.store.EndMaintenance(ctx, in.ID)
	a.hand(let...)
	if err != nil {
		return nil, problem(err)
	}
	return nil, nil
}

func (a *API) listTenants(ctx context.Context, _ *struct{}) (*body[wire.Tenants], error) {
	limits, err := a.store.Limits(ctx)
	list := []wire.Tenant{}
	for name, l := range limits {
		if name == "*" || principalOf(ctx).sees(name) {
			list = append(list, wire.Tenant{Name: name, Limits: l})
		}
	}
	slices.SortFunc(list, func(x, y wire.Tenant) int { return compare(x.Name, y.Name) })
	return answer(wire.Tenants{Tenants: list}, err)
}

type limitsInput struct {
	ID   string `path:"id" maxLength:"100" doc:"The tenant, or *"`
	Body wire.Limits
}

func (a *API) setLimits(ctx context.Context, in *limitsInput) (*body[wire.Tenant], error) {
	if err := a.store.SetLimits(ctx, in.ID, in.Body); err != nil {
		return nil, problem(err)
	}
	let, err := a.store.Reconcile(ctx) // more room lets jobs in
	a.hand(let...)
	return answer(wire.Tenant{Name: in.ID, Limits: in.Body}, err)
}
