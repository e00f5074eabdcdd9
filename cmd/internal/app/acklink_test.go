package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/tasks"
)

func TestTheLinkOfAMessageTakesItsAlertOnAnyServerOfTheSameKey(t *testing.T) {
	t.Parallel()
	messages := make(chan notify.Message, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if b, err := io.ReadAll(r.Body); err == nil && json.Unmarshal(b, &m) == nil {
			messages <- m
		}
	}))
	t.Cleanup(receiver.Close)
	rules := t.TempDir()
	rule := `{name: rows, type: any, query: "SELECT 1 AS id, '2026-03-01T00:00:30Z' AS at", timestamp_field: at, id_field: id, alert: hook, escalate: [{after: 10m, to: [hook]}]}`
	if err := os.WriteFile(filepath.Join(rules, "rows.yaml"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	queue, log := redistest.New(t), &enginetest.Log{}
	process := func(url string) *app.App {
		a, err := app.New(t.Context(), app.Options{Redis: config.Redis{Topology: config.Single, URL: config.NewURL(queue.URL())}, Connections: config.Connections{{Name: "db", URL: config.NewURL(legacy(t, "t"))}},
			Log: log.Logger(), Version: "v1", Concurrency: 2, Heartbeat: 100 * time.Millisecond, DrainTimeout: 10 * time.Second, Sweep: 50 * time.Millisecond, LostAfter: time.Second, API: api.ServerOptions{Listen: "127.0.0.1:0"},
			Alerts: config.Alerts{Rules: rules, Source: "db", URL: config.NewURL(url), LinkKey: config.NewSecret("a key that all have"),
				Channels: config.AlertChannels{{Name: "hook", Type: "webhook", URL: config.NewURL(receiver.URL), Private: true}}}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := a.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		})
		return a
	}
	server := process("")
	addr, err := server.StartAPI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w := process("http://" + addr + "/")
	if err := w.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	if mistakes, err := w.PublishRules(t.Context()); err != nil || len(mistakes) > 0 {
		t.Fatal(mistakes, err)
	}
	c, err := server.Client()
	if err != nil {
		t.Fatal(err)
	}
	tick := func(at string) {
		done, err := c.Submit(t.Context(), "", wire.Submission{Kind: "alert", Spec: json.RawMessage(`{"at":"` + at + `"}`)})
		if err != nil {
			t.Fatal(err)
		}
		enginetest.WaitState(t, server.Store, done.ID, tasks.Succeeded)
	}
	tick("2026-03-01T00:01:00Z")
	var m notify.Message
	select {
	case m = <-messages:
	case <-time.After(enginetest.Patience):
		t.Fatal("nobody is told")
	}
	if !strings.HasPrefix(m.AckURL, "http://"+addr+"/ack/"+m.Alert+"/"+m.ID+"/") || m.Event != notify.Opened {
		t.Fatalf("%+v", m)
	}
	press := func(method string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, m.AckURL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if code, page := press(http.MethodGet); code != 200 || !strings.Contains(page, "Do you take it?") {
		t.Errorf("%d %s", code, page)
	}
	if code, page := press(http.MethodPost); code != 200 || !strings.Contains(page, "the link in the message to hook") {
		t.Errorf("%d %s", code, page)
	}
	if code, _ := press(http.MethodPost); code != 409 {
		t.Errorf("used twice: %d", code)
	}
	tick("2026-03-01T00:20:00Z")
	a, err := c.Alert(t.Context(), m.Alert)
	if err != nil || a.State != wire.AlertAcknowledged && a.State != wire.AlertResolved || len(messages) > 0 && (<-messages).Event == notify.Escalated {
		t.Errorf("somebody is told although it was taken: %+v %v", a, err)
	}
}
