package api

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

func (a *API) webhookRoutes() {
	look, steer := needs{role: viewer}, needs{role: operator}
	const own = "A token of single tenants sees those webhooks alone that are for no other tenant."
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/webhooks", "list-webhooks", "List the webhooks, and how they fare", own), a.listWebhooks)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/webhooks/{id}/deliveries", "list-deliveries", "List messages to a webhook, newest first", "They are kept for eight days, at most 10,000 for each webhook."), a.listDeliveries)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/webhooks/{id}/deliveries/{delivery}", "get-delivery", "Show what became of a message", ""), func(ctx context.Context, in *deliveryInput) (*body[wire.Delivery], error) {
		if _, err := a.webhook(ctx, in.ID); err != nil {
			return nil, problem(err)
		}
		return answer(a.store.Delivery(ctx, in.ID, in.Delivery))
	})
	again := a.route(steer, http.MethodPost, "/v1/webhooks/{id}/deliveries/{delivery}/redeliver", "redeliver", "Send a message again, now", "With the same id and body, and a new budget of attempts; also to a receiver that has answered 410. A scheduler sends it.")
	again.DefaultStatus = http.StatusAccepted
	huma.Register(a.huma, again, func(ctx context.Context, in *deliveryInput) (*body[wire.Delivery], error) {
		if _, err := a.webhook(ctx, in.ID); err != nil {
			return nil, problem(err)
		}
		return answer(a.store.SendAgain(ctx, in.ID, in.Delivery))
	})
	test := a.route(steer, http.MethodPost, "/v1/webhooks/{id}/test", "test-webhook", "Send a message that is about no job", "Its event is test. A scheduler sends it; the answer names the delivery.")
	test.DefaultStatus = http.StatusAccepted
	huma.Register(a.huma, test, func(ctx context.Context, in *PathID) (*body[wire.Delivery], error) {
		if _, err := a.webhook(ctx, in.ID); err != nil {
			return nil, problem(err)
		}
		return answer(a.store.TestMessage(ctx, in.ID))
	})
}

type deliveryInput struct {
	PathID
	Delivery string `path:"delivery" maxLength:"100" doc:"The id of a message"`
}

type deliveriesInput struct {
	PathID
	State string `query:"state" enum:"pending,delivered,gave_up" doc:"In this state alone"`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"At most so many"`
}

// owns reports whether a webhook is the caller's to see: what it is told of others, and how often, is not.
func (p principal) owns(w wire.WebhookDefinition) bool {
	return p.Tenants == nil || len(w.Tenants) > 0 && !slices.ContainsFunc(w.Tenants, func(tenant string) bool { return !p.sees(tenant) })
}

func (a *API) listWebhooks(ctx context.Context, _ *struct{}) (*body[wire.Webhooks], error) {
	all, err := a.store.Webhooks(ctx)
	list := []wire.Webhook{}
	for _, w := range all {
		if principalOf(ctx).owns(w.WebhookDefinition) {
			list = append(list, w)
		}
	}
	return answer(wire.Webhooks{Webhooks: list}, err)
}

// webhook reads a webhook that the caller may see.
func (a *API) webhook(ctx context.Context, name string) (wire.WebhookDefinition, error) {
	defs, err := a.store.WebhookDefinitions(ctx)
	if err != nil {
		return wire.WebhookDefinition{}, err
	}
	for _, d := range defs {
		if d.Name == name && principalOf(ctx).owns(d) {
			return d, nil
		}
	}
	return wire.WebhookDefinition{}, refused(http.StatusNotFound, "stint webhooks lists those that there are", "there is no webhook %q", name)
}

func (a *API) listDeliveries(ctx context.Context, in *deliveriesInput) (*body[wire.Deliveries], error) {
	if _, err := a.webhook(ctx, in.ID); err != nil {
		return nil, problem(err)
	}
	list, err := a.store.Deliveries(ctx, in.ID, in.State, in.Limit)
	return answer(wire.Deliveries{Deliveries: list}, err)
}

// notifying puts the webhooks that a submission names into its labels. Each of them has to be there for jobs of the tenant: what
// is for others is not there.
func (a *API) notifying(ctx context.Context, s *wire.Submission) error {
	if len(s.Notify) == 0 {
		return nil
	}
	if s.Labels[wire.NotifyLabel] != "" {
		return invalid("body.notify", "leave one of them away", "there is a label %s already, which means the same", wire.NotifyLabel)
	}
	defs, err := a.store.WebhookDefinitions(ctx)
	if err != nil {
		return err
	}
	names := slices.Compact(slices.Sorted(slices.Values(s.Notify)))
	for _, name := range names {
		if !slices.ContainsFunc(defs, func(d wire.WebhookDefinition) bool {
			return d.Name == name && (len(d.Tenants) == 0 || slices.Contains(d.Tenants, s.Tenant))
		}) {
			return invalid("body.notify", "webhooks stand in the configuration of the scheduler; an address cannot be given here", "there is no webhook %q for jobs of the tenant %q", name, s.Tenant)
		}
	}
	s.Labels = maps.Clone(s.Labels)
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	s.Labels[wire.NotifyLabel] = strings.Join(names, ",")
	return nil
}

// estimate says how long a job of so many rows will take, by what the last ones like it have reached.
func estimate(rows, bytes int64, r store.Rate) *wire.Estimate {
	e := &wire.Estimate{Rows: rows, Basis: wire.BasisUnknown}
	if bytes > 0 {
		e.Bytes = &bytes
	}
	if perSecond := r.PerSecond(); perSecond > 0 {
		seconds := float64(rows) / perSecond
		e.Seconds, e.Basis, e.Jobs = &seconds, wire.BasisHistory, r.Jobs
		e.Note = fmt.Sprintf("%.0f rows a second, as jobs of this kind into this target have reached", perSecond)
	}
	return e
}
