package app_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

// tenanted is an app with a connection for all and one for acme alone.
func tenanted(t *testing.T, s *redistest.Server, urls ...string) *app.App {
	t.Helper()
	a, err := app.New(t.Context(), app.Options{Redis: config.Redis{URL: config.NewURL(s.URL()), Topology: "single"}, Data: t.TempDir(), Concurrency: 1, DrainTimeout: 5 * time.Second, Log: (&enginetest.Log{}).Logger(),
		Connections: config.Connections{{Name: "all", URL: config.NewURL(urls[0])}, {Name: "acme", URL: config.NewURL(urls[1]), Tenants: []string{"acme"}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return a
}

func TestAJobMayUseConnectionsForAllAndThoseOfItsTenant(t *testing.T) {
	t.Parallel()
	a := tenanted(t, redistest.New(t), "sqlite:a.db", "sqlite:b.db")
	for _, w := range []struct {
		tenant, spec string
		want         bool
	}{
		{"acme", `{"source":"all","target":"acme"}`, true},
		{"other", `{"source":"all","target":"acme"}`, false},
		{"", `{"source":"acme","target":"all"}`, false},
		{"other", `{"source":"all","target":"elsewhere"}`, true}, // nobody knows it: the family says so
		{"other", `{"source":"all","target":"elsewhere","plan":{"state":"acme","stages":[]}}`, false},
		{"other", `{"acme":"all","note":"acme is a name within a text","n":1e400}`, true},
		{"other", `{"source":"\u0061cme"}`, false},
		{"other", ``, false},
		{"other", `{`, false},
	} {
		err := a.Allow(tasks.Job{Kind: "migration", Tenant: w.tenant, Spec: json.RawMessage(w.spec)}, false)
		if (err == nil) != w.want {
			t.Errorf("%s for %q: %v", w.spec, w.tenant, err)
		}
		if err != nil && !tasks.IsPermanent(err) {
			t.Errorf("%s: it would be tried again: %v", w.spec, err)
		}
	}
}

func TestWhatACommandLineHasKeptIsNotForTokensOfSingleTenants(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	data := t.TempDir()
	a, err := app.New(t.Context(), app.Options{Redis: config.Redis{URL: config.NewURL(s.URL()), Topology: "single"}, Data: data, Concurrency: 1, Log: (&enginetest.Log{}).Logger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	if err := os.MkdirAll(filepath.Join(data, "connections"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "connections", "url-1"), []byte("sqlite:x.db"), 0o600); err != nil {
		t.Fatal(err)
	}
	job := tasks.Job{Kind: "migration", Tenant: "acme", Spec: json.RawMessage(`{"source":"url-1","target":"url-2"}`)}
	if err := a.Allow(job, false); err != nil {
		t.Errorf("by the command line: %v", err)
	}
	if err := a.Allow(job, true); err == nil || !strings.Contains(err.Error(), `"url-1"`) {
		t.Errorf("by a token of one tenant: %v", err)
	}
}

// A job that came in before its connection was restricted, or by a server with another configuration, is stopped by the worker
// before anything is opened.
func TestAWorkerOpensNoConnectionOfAnotherTenant(t *testing.T) {
	t.Parallel()
	s := redistest.New(t)
	dir := t.TempDir()
	a := tenanted(t, s, legacy(t, "t"), "sqlite:"+filepath.Join(dir, "theirs.db"))
	if err := a.StartScheduler(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"other", "acme"} {
		want := map[string]tasks.State{"other": tasks.Failed, "acme": tasks.Succeeded}[tenant]
		job := tasks.Job{ID: "mig-" + tenant, Kind: "migration", Tenant: tenant, Spec: json.RawMessage(`{"source":"all","target":"acme"}`)}
		enginetest.Submit(t, a.Redis, a.Store, job)
		v := enginetest.WaitState(t, a.Store, job.ID, want)
		if _, err := os.Stat(filepath.Join(dir, "theirs.db")); (err == nil) != (tenant == "acme") {
			t.Errorf("after the job of %s the database of acme is there: %v", tenant, err == nil)
		}
		if want == tasks.Failed && (v.Error == nil || !strings.Contains(v.Error.Message, `the connection "acme" is not for jobs of the tenant "other"`) || v.Error.Hint == "" || v.Counters.StepsKnown != 0) {
			t.Errorf("%s: %+v", tenant, v.Error)
		}
	}
}
