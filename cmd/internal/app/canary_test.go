package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/internal/telemetry/telemetrytest"
)

// theSecret is every secret of the configuration below. It may be where it opens something, and nowhere else.
const theSecret = "cAnary7/hunter2+x"

// spelled are the ways in which it might be written.
func spelled() []string {
	return []string{theSecret, "cAnary7", url.QueryEscape(theSecret), base64.StdEncoding.EncodeToString([]byte(theSecret)), base64.StdEncoding.EncodeToString([]byte("app:" + theSecret)), "hunter2"}
}

// secretive is a process all of whose secrets are theSecret: what it connects to refuses, answers what it was sent, or is not there.
func secretive(t *testing.T, s *redistest.Server, to telemetry.Options, log *slog.Logger) *app.App {
	t.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		http.Error(w, fmt.Sprint("you sent ", r.URL, r.Header, string(body)), http.StatusBadRequest)
	}))
	t.Cleanup(echo.Close)
	if err := s.Client().Do(t.Context(), "ACL", "SETUSER", "app", "on", ">"+theSecret, "~*", "&*", "+@all").Err(); err != nil {
		t.Fatal(err)
	}
	hidden, at := config.NewSecret(theSecret), strings.TrimPrefix(echo.URL, "http://")
	a, err := app.New(t.Context(), app.Options{
		Redis: config.Redis{Topology: config.Single, URL: config.NewURL(s.URL()), Username: "app", Password: hidden},
		Connections: config.Connections{
			{Name: "old", URL: config.NewURL(legacy(t, "t"))}, {Name: "pg", URL: config.NewURL("postgres://app@127.0.0.1:1/x"), Password: hidden},
			{Name: "my", URL: config.NewURL("mysql://app@127.0.0.1:1/x"), Password: hidden}, {Name: "ms", URL: config.NewURL("sqlserver://app@127.0.0.1:1?database=x"), Password: hidden},
			{Name: "api", URL: config.NewURL(echo.URL), APIAccess: config.APIAccess{Token: hidden}}, {Name: "es", URL: config.NewURL("elasticsearch://app@" + at), Password: hidden},
			{Name: "prom", URL: config.NewURL("prometheus://app@" + at), Password: hidden},
		},
		Webhooks: config.Webhooks{{Name: "hook", URL: config.NewURL(echo.URL + "/" + theSecret), Private: true, Secret: config.NewSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(theSecret+theSecret)))}},
		Alerts:   config.Alerts{Channels: config.AlertChannels{{Name: "chat", Type: "debug", Token: hidden}}},
		Builds: config.Builds{Dir: t.TempDir(), Repositories: []string{echo.URL + "/*"}, Credentials: config.BuildCredentials{{Name: "git", Repositories: []string{echo.URL + "/*"}, User: "app", Password: hidden}},
			Secrets: config.BuildSecrets{{Name: "KEY", Value: hidden}}, Targets: config.BuildTargets{{Name: "feed", Type: "http", URL: config.NewURL(echo.URL), User: "app", Password: hidden}}},
		Data: t.TempDir(), Log: log, Version: "v1", Concurrency: 4, Heartbeat: 100 * time.Millisecond, DrainTimeout: 10 * time.Second, Sweep: 50 * time.Millisecond,
		LostAfter: time.Second, API: api.ServerOptions{Listen: "127.0.0.1:0"}, Telemetry: to})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Stop(context.Background()) })
	return a
}

func TestNoSecretOfTheConfigurationIsInRedisLogsTracesAnswersOrPages(t *testing.T) {
	t.Parallel()
	s, collector, log := redistest.New(t), telemetrytest.Start(t), &enginetest.Log{}
	a := secretive(t, s, telemetry.Options{Endpoint: collector.GRPC(), Sample: 1, Headers: map[string]string{"authorization": theSecret}}, log.Logger())
	addr, err := a.StartAPI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := a.StartScheduler(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := "http://" + addr
	var said strings.Builder
	ask := func(method, path string, body any) []byte {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), method, at+path, strings.NewReader(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		got, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&said, method, path, answer.Status, answer.Header, string(got))
		return got
	}
	stage := map[string]any{"name": "s", "from": map[string]any{"table": "t0", "key": []string{"id"}}, "map": map[string]string{"name": "name"}, "to": map[string]any{"http": map[string]any{"method": "POST", "path": "/v1/x", "id": "$.id"}}}
	var jobs []string
	for kind, specs := range map[string][]any{
		"migration": {map[string]string{"source": "old", "target": "pg"}, map[string]string{"source": "my", "target": "pg"}, map[string]string{"source": "ms", "target": "pg"},
			map[string]any{"source": "old", "target": "api", "plan": map[string]any{"name": "p", "source": "old", "target": "api", "stages": []any{stage}}}},
		"verification": {map[string]string{"source": "old", "target": "pg"}},
		"dedupe":       {map[string]any{"store": "pg", "layout": map[string]any{"registry": map[string]any{}}, "rules": map[string]any{}}},
		"build":        {map[string]string{"repository": strings.Replace(at, addr, "127.0.0.1:1", 1) + "/p", "ref": "main"}},
	} {
		for _, spec := range specs {
			var made struct{ ID string }
			body := map[string]any{"kind": kind, "spec": spec}
			ask("POST", "/v1/drafts", body)
			if err := json.Unmarshal(ask("POST", "/v1/jobs", body), &made); err == nil && made.ID != "" {
				jobs = append(jobs, made.ID)
			}
		}
	}
	if len(jobs) < 5 {
		t.Fatalf("%d jobs: %s", len(jobs), said.String())
	}
	ask("POST", "/v1/webhooks/hook/test", nil)
	enginetest.Eventually(t, "each job has failed once, and the webhook was called", func() bool {
		for _, id := range jobs {
			if events := string(ask("GET", "/v1/jobs/"+id+"/events", nil)); !strings.Contains(events, "fail") && !strings.Contains(events, "given_back") {
				return false
			}
		}
		return strings.Contains(string(ask("GET", "/v1/webhooks/hook/deliveries", nil)), "400")
	})
	for _, id := range jobs {
		for _, path := range []string{"/v1/jobs/%s", "/v1/jobs/%s/events", "/v1/jobs/%s/report", "/v1/jobs/%s/rejects", "/v1/jobs/%s/outputs", "/v1/jobs/%s/logs", "/jobs/%s", "/jobs/%s/events", "/jobs/%s/spec", "/jobs/%s/report"} {
			ask("GET", fmt.Sprintf(path, id), nil)
		}
	}
	for _, path := range []string{"/v1/jobs", "/v1/workers", "/v1/queues", "/v1/kinds", "/v1/tenants", "/v1/tokens", "/v1/audit", "/v1/alerts", "/v1/alerts/rules", "/v1/webhooks", "/v1/schedules", "/v1/environments", "/v1/about", "/metrics", "/readyz",
		"/", "/jobs", "/fleet", "/queues", "/schedules", "/alerts", "/dedupe", "/builds", "/audit", "/access", "/access/webhooks/hook"} {
		ask("GET", path, nil)
	}
	kept := everythingIn(t, s.Client())
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	for where, text := range map[string]string{"an answer or a page": said.String(), "Redis": kept, "the log": log.String(), "a span": fmt.Sprint(collector.Spans())} {
		for _, secret := range spelled() {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has the secret as %q: ...%s", where, secret, text[max(0, i-300):min(len(text), i+100)])
			}
		}
	}
	if len(collector.Spans()) == 0 || !strings.Contains(kept, jobs[0]) || len(log.String()) < 100 {
		t.Error("there was nothing to look at")
	}
}

// everythingIn is all keys and values of a Redis.
func everythingIn(t *testing.T, rdb *redis.Client) string {
	t.Helper()
	var all strings.Builder
	keys := rdb.Scan(t.Context(), 0, "*", 1000).Iterator()
	for keys.Next(t.Context()) {
		key := keys.Val()
		kind, err := rdb.Type(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		read, known := map[string][]any{"string": {"GET", key}, "hash": {"HGETALL", key}, "set": {"SMEMBERS", key}, "zset": {"ZRANGE", key, 0, -1}, "list": {"LRANGE", key, 0, -1}, "stream": {"XRANGE", key, "-", "+"}}[kind]
		if !known { // gone meanwhile
			continue
		}
		v, err := rdb.Do(t.Context(), read...).Result()
		if err != nil && err != redis.Nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&all, key, v)
	}
	return all.String()
}
