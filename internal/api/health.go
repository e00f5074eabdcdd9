package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
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
			a.log.WarnContext(ctx, "redis does not answer", "err", err) // where it is stands in the error, and anybody may ask
			return nil, refused(http.StatusServiceUnavailable, "look at redis.url and at Redis itself; stint doctor says what is wrong", "redis does not answer")
		}
		return answer(healthy{true, a.o.Version}, nil)
	})
	if a.o.Metrics != nil {
		a.mux.Handle("GET /metrics", a.metricsAccess(a.o.Metrics))
	}
}

// metricsAccess lets whoever may look at everything read the metrics: a scraper needs a token of the role viewer, for all tenants,
// once there are tokens.
func (a *API) metricsAccess(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
		p, problem := a.identify(r.Context(), r.Header.Get("Authorization"), r.Host, r.RemoteAddr, forwarded)
		if problem == nil {
			problem = a.authorize(p, needs{role: viewer, fleet: true})
		}
		if problem != nil {
			hurdles(problem, w.Header().Set)
			a.write(w, r, problem)
			return
		}
		next.ServeHTTP(w, r)
	})
}
