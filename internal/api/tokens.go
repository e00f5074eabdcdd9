package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
)

func (a *API) accessRoutes() {
	rule := needs{role: admin, fleet: true}
	huma.Register(a.huma, a.route(rule, http.MethodGet, "/v1/tokens", "list-tokens", "List the API tokens", "Never their secrets: those are not kept."), func(ctx context.Context, _ *struct{}) (*body[wire.Tokens], error) {
		stored, err := a.store.Tokens(ctx)
		list := []wire.Token{}
		for _, t := range stored {
			list = append(list, t.Token)
		}
		return answer(wire.Tokens{Tokens: list}, err)
	})
	op := a.route(rule, http.MethodPost, "/v1/tokens", "make-token", "Make an API token", "The secret is told once. As long as there is no token, a server on loopback asks for none; from the first one on every request needs one.")
	op.DefaultStatus = http.StatusCreated
	huma.Register(a.huma, op, func(ctx context.Context, in *struct{ Body wire.NewToken }) (*body[wire.MadeToken], error) {
		if in.Body.ExpiresAt != nil && !in.Body.ExpiresAt.After(time.Now()) {
			return nil, invalid("body.expires_at", "give a time that is to come, or leave it away", "is over")
		}
		if in.Body.Tenants != nil && len(in.Body.Tenants) == 0 || slices.Contains(in.Body.Tenants, store.AnyTenant) {
			return nil, invalid("body.tenants", "name at least one, or leave it away for all", "is no list of tenants")
		}
		stored, made := MakeToken(in.Body, principalOf(ctx).Name, time.Now())
		err := a.store.PutToken(ctx, stored)
		a.tokens.forget()
		return answer(made, err)
	})
	huma.Register(a.huma, a.route(rule, http.MethodDelete, "/v1/tokens/{id}", "revoke-token", "Revoke an API token", "Every server refuses it within a second or so."), func(ctx context.Context, in *PathID) (*struct{}, error) {
		if err := a.store.RevokeToken(ctx, in.ID); err != nil {
			return nil, problem(err)
		}
		a.tokens.forget()
		return nil, nil
	})
	huma.Register(a.huma, a.route(rule, http.MethodGet, "/v1/audit", "audit", "Show who did what, newest first", "Every request that changes something, and those that were refused. About 100,000 entries are kept."), func(ctx context.Context, in *auditInput) (*body[wire.Audit], error) {
		if in.Cursor != "" && !store.ValidCursor(in.Cursor) {
			return nil, invalid("query.cursor", "take the next of the page before", "is no cursor")
		}
		entries, next, err := a.store.AuditTrail(ctx, in.Cursor, in.Limit)
		return answer(wire.Audit{Entries: entries, Next: next}, err)
	})
}

type auditInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" doc:"The next of the page before"`
}
