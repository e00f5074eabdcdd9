package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/versions"
	"github.com/stint-run/stint/tasks"
)

func (a *API) fenceRoutes() {
	look, steer := needs{role: viewer}, needs{role: operator, fleet: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/fences", "list-fences", "List the fences", "At most one that names versions, and one that spares them."), func(ctx context.Context, _ *struct{}) (*body[wire.Fences], error) {
		list, err := a.store.Fences(ctx)
		if list == nil {
			list = []wire.Fence{}
		}
		return answer(wire.Fences{Fences: list}, err)
	})
	op := a.route(steer, http.MethodPut, "/v1/fences", "set-fence", "Park the workers of some versions", "Those that run drain, and those that start claim nothing, also when their platform starts them again. It takes the place of a fence of the same kind.")
	op.Errors = append(op.Errors, http.StatusConflict)
	huma.Register(a.huma, op, a.setFence)
	huma.Register(a.huma, a.route(steer, http.MethodDelete, "/v1/fences", "lift-fences", "Lift the fences", "What they parked goes back to work, unless it is also wanted drained."), func(ctx context.Context, _ *struct{}) (*struct{}, error) {
		for _, which := range []string{store.FenceVersion, store.FenceNotVersion} {
			if err := a.store.LiftFence(ctx, which); err != nil {
				return nil, problem(err)
			}
		}
		return nil, nil
	})
}

type fenceInput struct {
	Body struct {
		Version    string `json:"version,omitempty" maxLength:"200" doc:"Park these: a version, or a constraint such as <2.0"`
		NotVersion string `json:"not_version,omitempty" maxLength:"200" doc:"Park all others"`
		Reason     string `json:"reason,omitempty" maxLength:"500" doc:"For those who wonder why a worker does nothing"`
		Force      bool   `json:"force,omitempty" doc:"Although a queue is left without any worker"`
	}
}

func (a *API) setFence(ctx context.Context, in *fenceInput) (*body[wire.Fence], error) {
	f := wire.Fence{Version: in.Body.Version, NotVersion: in.Body.NotVersion, Reason: in.Body.Reason, By: principalOf(ctx).Name, At: now()}
	if (f.Version == "") == (f.NotVersion == "") {
		return nil, invalid("body", "give one of version and not_version", "a fence names the versions that it parks, or those that it spares")
	}
	if err := versions.Check(f.Version + f.NotVersion); err != nil {
		return nil, invalid("body", tasks.HintOf(err), "%v", err)
	}
	if !in.Body.Force {
		ws, err := a.store.Workers(ctx, a.o.LostAfter)
		if err != nil {
			return nil, problem(err)
		}
		var parked []string
		for _, w := range ws {
			if is, err := versions.Parks(f, w.Version); err == nil && is {
				parked = append(parked, w.ID)
			}
		}
		if err := bereft(ws, parked, "fence"); err != nil {
			return nil, problem(err)
		}
	}
	return answer(f, a.store.SetFence(ctx, f))
}
