package worker

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/admin"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/scheduler"
	"github.com/stint-run/stint/tasks"
)

var (
	_ admin.Worker = (*Worker)(nil)
	_ admin.Part   = (*scheduler.Scheduler)(nil)
)

func TestADrainThroughItsOwnPortIsThatOfASignalAndCanBeTakenBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 0)
	g := newGate()
	deaf := make(chan struct{})
	f.family.Do = func(ctx context.Context, a *tasks.Attempt) error {
		g.arrived <- a
		select {
		case <-deaf:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		return nil
	}
	w := f.worker("a", func(o *Options) { o.Admin = "127.0.0.1:7801"; o.Version = "1.0.0" })
	server := httptest.NewServer(admin.Handler(admin.Options{Worker: w}))
	t.Cleanup(server.Close)
	ask := func(method, path string, want int) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text := new(strings.Builder)
		if err := resp.Write(text); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != want {
			t.Errorf("%s %s: %s, want %d", method, path, text, want)
		}
		return text.String()
	}
	ask("GET", "/readyz", 200)
	f.submit(enginetest.Job("j", 20))
	g.arrive(t, 4)
	ask("GET", "/drained", 503)
	ask("POST", "/drain", 202)
	ask("POST", "/drain", 202)
	if text := ask("GET", "/drained", 503); !strings.Contains(text, `"in_flight":4`) {
		t.Error(text)
	}
	ask("GET", "/readyz", 503)
	ask("GET", "/livez", 200)
	close(deaf)
	f.is(w, wire.WorkerDrained)
	ask("GET", "/drained", 200)
	ask("POST", "/drain", 200)
	enginetest.Eventually(t, "the fleet knows its address and that it is safe to stop", func() bool {
		list, err := f.st.Workers(t.Context(), 0)
		return err == nil && len(list) == 1 && list[0].Admin == "127.0.0.1:7801"
	})
	f.fence(wire.Fence{Version: "1.0.0"})
	enginetest.Eventually(t, "it has heard of the fence", func() bool { return w.Status().Fenced != "" })
	if text := ask("DELETE", "/drain", 409); !strings.Contains(text, "version 1.0.0") {
		t.Error(text)
	}
	f.lift(store.FenceVersion)
	f.is(w, wire.WorkerActive)
	ask("DELETE", "/drain", 200)
	f.ends("j", 20)
	f.family.CheckEffects(t, "j", 20)
}
