package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// scrape asks a handler for its metrics and adds them to series.
func scrape(t *testing.T, series map[string]float64, h http.Handler) {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	scrapeURL(t, series, server.URL+"/metrics")
}

func scrapeURL(t *testing.T, series map[string]float64, url string) {
	t.Helper()
	text := get(t, url)
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(line, ' ')
		if strings.HasPrefix(line, "#") || at < 0 {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		series[line[:at]] += v
	}
}

// lose takes the first step of a job in the name of a worker that is never heard of again.
func (s *system) lose(job tasks.Job) {
	s.t.Helper()
	ctx := s.t.Context()
	h, _, err := s.api.Store.Create(ctx, job)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.api.Store.Beat(ctx, wire.Worker{ID: "gone", Version: "v0", Protocol: tasks.Protocol, State: wire.WorkerActive, InFlight: 1, Held: []string{"lost"}}); err != nil {
		s.t.Fatal(err)
	}
	b, err := s.api.Store.Begin(ctx, h.Enqueue[0], "lost", "gone", "")
	if err != nil || b.Code != store.Begun {
		s.t.Fatal(b, err)
	}
	enginetest.Eventually(s.t, "its step is handed out again", func() bool { return s.log.Count("step of a lost worker is handed out again") > 0 })
}

// overtake cancels a job while an attempt of it waits for a lock, so that the attempt finds itself stale.
func (s *system) overtake() {
	s.t.Helper()
	ctx := s.t.Context()
	url, _ := s.databases.Get("cloud")
	conn, err := pgx.Connect(ctx, url.DSN())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) // and with it the lock
	if _, err := conn.Exec(ctx, "BEGIN; LOCK TABLE t0 IN ACCESS EXCLUSIVE MODE"); err != nil {
		s.t.Fatal(err)
	}
	var done wire.Submitted
	s.ask(http.MethodPost, "/v1/verifications", "", map[string]any{"spec": map[string]any{"source": "legacy", "target": "cloud", "tables": []string{"t0"}}}, &done)
	enginetest.Eventually(s.t, "an attempt waits for the lock", func() bool {
		var n int
		v, err := s.api.Store.View(ctx, done.ID)
		_ = conn.QueryRow(ctx, "SELECT count(*) FROM pg_locks WHERE NOT granted").Scan(&n)
		return err == nil && n > 0 && len(v.Workers) > 0
	})
	var c wire.Controlled
	s.ask(http.MethodPost, "/v1/jobs/"+done.ID+"/cancel", "", struct{}{}, &c)
	enginetest.Eventually(s.t, "the attempt is stale", func() bool { return s.log.Count("outcome=stale") > 0 })
}

func (s *system) drainAndBack(w *app.App) {
	s.t.Helper()
	id := w.Worker.ID()
	for _, step := range [][2]string{{"drain?force=true", wire.WorkerDrained}, {"undrain", wire.WorkerActive}} {
		var asked wire.Asked
		s.ask(http.MethodPost, "/v1/workers/"+id+"/"+step[0], "", struct{}{}, &asked)
		enginetest.Eventually(s.t, "the worker is "+step[1], func() bool { return w.Worker.State() == step[1] })
	}
}

// alert has two rules evaluated: one finds something and tells it, the other one's source is not there.
func (s *system) alert() {
	s.t.Helper()
	set := alertstore.Set{Rules: map[string]json.RawMessage{}, Heartbeats: map[string]time.Duration{}, Digest: "1", At: time.Now().UTC()}
	for _, name := range []string{"disk", "lost"} {
		r := rule.Rule{Name: name, Type: rule.Any, Source: "legacy", Query: "SELECT 1 AS id, strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-2 minutes') AS at", IDField: "id",
			Timestamp: rule.Timestamp{Field: "at", Type: "iso"}, RunEvery: time.Minute, BufferTime: 15 * time.Minute, RealertKey: name, Alert: []rule.Alerter{{Channel: "chat"}}}
		if name == "lost" {
			r.Source = "nowhere"
		}
		text, err := json.Marshal(r)
		if err != nil {
			s.t.Fatal(err)
		}
		set.Rules[name], set.Heartbeats[name] = text, time.Hour
	}
	if err := s.api.Alerts().Publish(s.t.Context(), set); err != nil {
		s.t.Fatal(err)
	}
	if _, _, err := s.api.Store.Create(s.t.Context(), tasks.Job{ID: "tick", Kind: "alert"}); err != nil {
		s.t.Fatal(err)
	}
	enginetest.WaitState(s.t, s.api.Store, "tick", tasks.Succeeded)
}

func TestEachMetricIsInAScrapeOfARunningSystem(t *testing.T) {
	t.Parallel()
	s := newSystem(t, telemetry.Options{})
	s.lose(tasks.Job{ID: "first", Kind: "migration", Spec: []byte(`{"source":"legacy","target":"cloud","tables":["t0","t1"],"chunk_rows":200}`)})
	w := s.worker()
	enginetest.WaitState(t, s.api.Store, "first", tasks.Succeeded)
	s.alert()
	s.overtake()
	s.drainAndBack(w)

	is := func(want float64) func(float64) bool { return func(v float64) bool { return v == want } }
	between := func(least, most float64) func(float64) bool {
		return func(v float64) bool { return v >= least && v <= most }
	}
	id := w.Worker.ID()
	want := map[string]func(float64) bool{
		`stint_steps_in_flight{kind="migration"}`:                                                         is(0),
		`stint_steps_total{kind="migration",outcome="done"}`:                                              between(8, 30),
		`stint_steps_total{kind="verification",outcome="stale"}`:                                          is(1),
		`stint_step_duration_seconds_count{kind="migration",outcome="done"}`:                              between(8, 30),
		`stint_step_duration_seconds_sum{kind="migration",outcome="done"}`:                                between(.001, 60),
		`stint_rows_total{kind="migration",what="read"}`:                                                  is(800),
		`stint_rows_total{kind="migration",what="written"}`:                                               is(800),
		`stint_bytes_total{kind="migration"}`:                                                             between(800*5, 800*50),
		`stint_drain_seconds_count`:                                                                       is(1),
		`stint_drain_seconds_sum`:                                                                         between(0, 10),
		`stint_lease_recovered_total`:                                                                     is(1),
		`stint_recovery_seconds_count`:                                                                    is(1),
		`stint_recovery_seconds_sum`:                                                                      between(1, 20),
		`stint_fenced_commits_total`:                                                                      is(1),
		`stint_sweep_duration_seconds_count`:                                                              between(5, 10_000),
		`stint_http_request_duration_seconds_count{method="POST",route="/v1/verifications",status="202"}`: is(1),
		`stint_rule_evaluations_total{outcome="done",rule="disk"}`:                                        is(1),
		`stint_rule_evaluations_total{outcome="failed",rule="lost"}`:                                      is(1),
		`stint_rule_duration_seconds_count`:                                                               is(1),
		`stint_rule_events_total{rule="disk",what="alerts"}`:                                              is(1),
		`stint_alert_messages_total{channel="chat",outcome="sent"}`:                                       is(1),
		`stint_alert_message_duration_seconds_count{channel="chat"}`:                                      is(1),
		`stint_rule_evaluation_age_seconds{rule="disk"}`:                                                  between(0, 60),
		`stint_rule_lag_seconds{rule="disk"}`:                                                             between(0, 120),
		`stint_rule_failing{rule="disk"}`:                                                                 is(0),
		`stint_rule_failing{rule="lost"}`:                                                                 is(1),
		`stint_alerts{state="open"}`:                                                                      is(1),
		`stint_fleet_up`:                                                                                  is(1),
		`stint_queue_depth{queue="default",state="waiting"}`:                                              is(0),
		`stint_queue_depth{queue="default",state="claimed"}`:                                              is(0),
		`stint_queue_backlog{queue="default"}`:                                                            is(0),
		`stint_queue_latency_seconds{queue="default"}`:                                                    is(0),
		`stint_workers{state="active",version="v1"}`:                                                      is(1),
		`stint_workers{state="lost",version="v0"}`:                                                        is(1),
		fmt.Sprintf(`stint_worker_in_flight{version="v1",worker=%q}`, id):                                 is(0),
		fmt.Sprintf(`stint_worker_heartbeat_age_seconds{version="v1",worker=%q}`, id):                     between(0, 1),
		`stint_jobs{kind="migration",state="succeeded"}`:                                                  is(1),
		`stint_jobs{kind="verification",state="cancelled"}`:                                               is(1),
	}
	var series map[string]float64
	missing := func() (list []string) {
		series = map[string]float64{}
		scrapeURL(t, series, s.url+"/metrics")
		scrape(t, series, w.MetricsHandler())
		scrape(t, series, s.scheduler.MetricsHandler())
		for name, holds := range want {
			if v, ok := series[name]; !ok || !holds(v) {
				list = append(list, fmt.Sprintf("%s = %v, there: %v", name, v, ok))
			}
		}
		return list
	}
	var wrong []string
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(wrong, "\n"))
		}
	}()
	enginetest.Eventually(t, "the metrics say so", func() bool { wrong = missing(); return len(wrong) == 0 })
	page, err := os.ReadFile("../../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(stint_[a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		there := strings.HasPrefix(m[1], "stint_schedule") || strings.HasPrefix(m[1], "stint_webhook") // there are none
		for name := range series {
			there = there || strings.HasPrefix(name, m[1])
		}
		if !there {
			t.Errorf("%s is explained and not there", m[1])
		}
	}
}

// get reads a page.
func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, r)
}
