package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/versions"
	"github.com/stint-run/stint/tasks"
)

func (a *API) workerRoutes() {
	look, steer := needs{role: viewer}, needs{role: operator, fleet: true}
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/workers", "list-workers", "List the fleet", "As of the last heartbeats; stopped and lost ones are listed for a day."), a.listWorkers)
	huma.Register(a.huma, a.route(look, http.MethodGet, "/v1/workers/{id}", "get-worker", "Show a worker", ""), func(ctx context.Context, in *PathID) (*body[wire.Worker], error) {
		return answer(a.worker(ctx, in.ID))
	})
	op := a.route(look, http.MethodGet, "/v1/workers/{id}/drained", "worker-drained", "Say whether a worker is safe to stop", "200 only when it holds nothing and claims nothing; else 503 with Retry-After, and how many steps it holds.")
	huma.Register(a.huma, op, a.drained)
	held := a.huma.OpenAPI().Paths["/v1/workers/{id}/drained"].Get.Responses["503"] // the worker itself; or a problem, when Redis is away
	held.Content["application/json"] = &huma.MediaType{Schema: a.huma.OpenAPI().Components.Schemas.Schema(typeOf[wire.Worker](), true, "Worker")}
	for _, v := range []struct {
		drain         bool
		verb, summary string
	}{{true, "drain", "Let workers give back what they hold and claim nothing more"}, {false, "undrain", "Let drained workers claim again"}} {
		one := a.route(steer, http.MethodPost, "/v1/workers/{id}/"+v.verb, v.verb+"-worker", v.summary, "Kept in Redis, so it also reaches a worker that is cut off just now.")
		one.DefaultStatus = http.StatusAccepted
		one.Errors = append(one.Errors, http.StatusConflict)
		huma.Register(a.huma, one, func(ctx context.Context, in *struct {
			PathID
			Force bool `query:"force" doc:"Although a queue is left without any worker"`
		}) (*body[wire.Asked], error) {
			return answer(a.want(ctx, wire.Selection{IDs: []string{in.ID}, Force: in.Force}, v.drain))
		})
		many := a.route(steer, http.MethodPost, "/v1/workers/"+v.verb, v.verb+"-workers", v.summary, "Several choices add up. A drain that would leave a queue without any worker is refused, unless it is forced.")
		many.DefaultStatus = http.StatusAccepted
		many.Errors = append(many.Errors, http.StatusConflict)
		huma.Register(a.huma, many, func(ctx context.Context, in *struct{ Body wire.Selection }) (*body[wire.Asked], error) {
			return answer(a.want(ctx, in.Body, v.drain))
		})
	}
}

func (a *API) listWorkers(ctx context.Context, _ *struct{}) (*body[wire.Workers], error) {
	ws, err := a.store.Workers(ctx, a.o.LostAfter)
	return answer(wire.Workers{Workers: ws}, err)
}

func (a *API) worker(ctx context.Context, id string) (wire.Worker, error) {
	ws, err := a.store.Workers(ctx, a.o.LostAfter)
	if err != nil {
		return wire.Worker{}, err
	}
	if i := slices.IndexFunc(ws, func(w wire.Worker) bool { return w.ID == id }); i >= 0 {
		return ws[i], nil
	}
	return wire.Worker{}, noWorker(id)
}

func noWorker(id string) error {
	return refused(http.StatusNotFound, "stint workers lists those that there are", "there is no worker %s", id)
}

type drainedOutput struct {
	Status     int
	RetryAfter string `header:"Retry-After"`
	Body       wire.Worker
}

func (a *API) drained(ctx context.Context, in *PathID) (*drainedOutput, error) {
	w, err := a.worker(ctx, in.ID)
	switch {
	case err != nil:
		return nil, problem(err)
	case !w.SafeToStop:
		return &drainedOutput{Status: http.StatusServiceUnavailable, RetryAfter: "1", Body: w}, nil
	}
	return &drainedOutput{Status: http.StatusOK, Body: w}, nil
}

// want asks the workers that are meant to drain, or to be active.
func (a *API) want(ctx context.Context, s wire.Selection, drain bool) (wire.Asked, error) {
	ws, err := a.store.Workers(ctx, a.o.LostAfter)
	if err != nil {
		return wire.Asked{}, err
	}
	chosen, err := Choose(s, ws)
	if err != nil {
		return wire.Asked{}, err
	}
	if drain && !s.Force {
		if err := bereft(ws, chosen, "drain"); err != nil {
			return wire.Asked{}, err
		}
	}
	for _, id := range chosen {
		if err := a.store.Want(ctx, id, drain, principalOf(ctx).Name); err != nil {
			return wire.Asked{}, err
		}
	}
	return wire.Asked{Workers: chosen}, nil
}

// Choose lists the ids of the living workers that are meant. An id that nobody has, a version that cannot be read and a selection of
// nobody are errors with a hint (*wire.Problem).
func Choose(s wire.Selection, ws []wire.Worker) ([]string, error) {
	if len(s.IDs) == 0 && !s.All && s.Version == "" && s.NotVersion == "" && len(s.Labels) == 0 {
		return nil, refused(http.StatusUnprocessableEntity, "give ids, --version, --not-version, --label or --all", "which workers?")
	}
	for _, id := range s.IDs {
		if !slices.ContainsFunc(ws, func(w wire.Worker) bool { return w.ID == id }) {
			return nil, noWorker(id)
		}
	}
	chosen := []string{}
	for _, w := range ws {
		named := slices.Contains(s.IDs, w.ID)
		if w.State == wire.WorkerStopped || w.State == wire.WorkerLost && !named {
			continue
		}
		meant, err := chooses(s, w)
		if err != nil {
			return nil, err
		}
		if named || meant {
			chosen = append(chosen, w.ID)
		}
	}
	return chosen, nil
}

// chooses reports whether a selection means a worker otherwise than by its id.
func chooses(s wire.Selection, w wire.Worker) (bool, error) {
	if s.All || len(s.Labels) > 0 && labelled(w, s.Labels) {
		return true, nil
	}
	if s.Version != "" {
		if is, err := versions.Matches(s.Version, w.Version); err != nil || is {
			return is, selector(err)
		}
	}
	if s.NotVersion != "" {
		is, err := versions.Matches(s.NotVersion, w.Version)
		return !is, selector(err)
	}
	return false, nil
}

// selector marks an error of a version that cannot be read.
func selector(err error) error {
	if err == nil {
		return nil
	}
	return invalid("", tasks.HintOf(err), "%v", err)
}

func labelled(w wire.Worker, labels map[string]string) bool {
	for name, value := range labels {
		if have, ok := w.Labels[name]; !ok || have != value {
			return false
		}
	}
	return true
}

// bereft refuses a drain or a fence, which is what, that would leave a queue without any worker, and says which.
func bereft(ws []wire.Worker, chosen []string, what string) error {
	left := LeftAlone(ws, chosen)
	if len(left) == 0 {
		return nil
	}
	return refused(http.StatusConflict, "start other workers first, or do it all the same with --force (in a request: \"force\": true)",
		"the %s would leave %s without any worker", what, strings.Join(left, ", "))
}

// LeftAlone names the queues, each with a protocol, that no active worker would serve any more without those that are chosen, by their
// ids. A queue that nobody serves already is none of them.
func LeftAlone(ws []wire.Worker, chosen []string) []string {
	served := map[string]bool{} // queue -> is there a worker that stays
	for _, w := range ws {
		if w.State != wire.WorkerActive || w.Wanted == wire.WantDrain {
			continue
		}
		for p := max(w.Reads, 1); p <= w.Protocol; p++ {
			for _, q := range w.Queues {
				name := fmt.Sprintf("%s (protocol %d)", q, p)
				served[name] = served[name] || !slices.Contains(chosen, w.ID)
			}
		}
	}
	var left []string
	for name, stays := range served {
		if !stays {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	return left
}
