package api

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/enginetest"
)

func TestWhileRedisIsGoneRequestsAreToldSoSoonAndAfterwardsTheyWorkAgain(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]struct{ leave, back func(h *house) }{
		"killed": {func(h *house) { h.server.Kill() }, func(h *house) { h.server.Restart() }},
		"frozen": {func(h *house) { h.server.Pause() }, func(h *house) { h.server.Resume() }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			a := h.api()
			a.patience = time.Second
			s := h.start(a, ServerOptions{})
			fresh := h.start(h.api(), ServerOptions{}) // has not read any token yet
			if got := h.send("GET", s.at("/v1/jobs"), nil); got.status != 200 {
				t.Fatalf("before: %s", got)
			}
			away.leave(h)
			start := time.Now()
			var all sync.WaitGroup
			for range 20 {
				for _, c := range []struct{ method, path string }{{"GET", "/v1/jobs"}, {"GET", "/v1/jobs/x"}, {"POST", "/v1/jobs/x/pause"}, {"GET", "/v1/workers"}, {"GET", "/v1/queues"}, {"GET", "/readyz"}} {
					for _, server := range []*Server{s, fresh} {
						all.Go(func() {
							got, err := h.try(c.method, server.at(c.path), nil)
							if err != nil {
								t.Error(err)
								return
							}
							if p := got.problem(t); got.status != 503 || p.Code != wire.CodeUnreachable || p.Hint == "" {
								t.Errorf("%s: %s", c.path, got)
							}
							if strings.Contains(string(got.body), h.server.Addr()) {
								t.Errorf("%s tells where Redis is: %s", c.path, got)
							}
						})
					}
				}
			}
			if got := h.send("GET", s.at("/livez"), nil); got.status != 200 {
				t.Errorf("live: %s", got)
			}
			all.Wait()
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("the last of them was told after %v", took)
			}
			away.back(h)
			for _, server := range []*Server{s, fresh} {
				enginetest.Eventually(t, "it works again", func() bool {
					return h.send("GET", server.at("/readyz"), nil).status == 200 && h.send("GET", server.at("/v1/jobs"), nil).status == 200
				})
			}
		})
	}
}
