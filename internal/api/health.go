package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stint-run/stint/client/wire"
)

// healthy is what health checks get.
type healthy struct {
	OK      bool   `json:"ok"`
	Version string `json:"version"`
}

func (a *API) healthRoutes() {
	huma.Register(a.huma, a.route(needs{open: true}, http.MethodGet, "/livez", "livez", "Say that the process lives", "Depends on nothing else: that Redis is away is no reason to restart a server."), func(context.Context, *struct{}) (*body[healthy], error) {
		return answer(healthy{true, a.o.Version}, nil)
	})
	op := a.route(needs{open: true}, http.MethodGet, "/readyz", "readyz", "Say whether requests can be answered", "503 when Redis does not answer, or when the server is about to stop.")
	op.Errors = []int{http.StatusServiceUnavailable}
	huma.Register(a.huma, op, func(ctx context.Context, _ *struct{}) (*body[healthy], error) {
		select {
		case <-a.stopping:
			return nil, newProblem(http.StatusServiceUnavailable, "the server is about to stop")
		default:
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if err := a.store.Ping(ctx); err != nil {
			p := newProblem(http.StatusServiceUnavailable, "redis does not answer: %v", err)
			p.Hint = "look at redis.url and at Redis itself; stint doctor says what is wrong"
			return nil, p
		}
		return answer(healthy{true, a.o.Version}, nil)
	})
	if a.o.Metrics != nil {
		a.mux.Handle("GET /metrics", a.metricsAccess(a.o.Metrics))
	}
}

// metricsAccess lets whoever may look read the metrics: a scraper needs a token of the role viewer once there are tokens.
func (a *API) metricsAccess(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, problem := a.authenticateRequest(r)
		if problem == nil {
			problem = a.authorize(p, needs{role: viewer})
		}
		if problem != nil {
			a.write(w, r, problem)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// authenticateRequest says who asks, outside of huma.
func (a *API) authenticateRequest(r *http.Request) (principal, *wire.Problem) {
	return a.identify(r.Context(), r.Header.Get("Authorization"), r.Host, r.RemoteAddr)
}
