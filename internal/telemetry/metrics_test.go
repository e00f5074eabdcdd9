package telemetry_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/internal/telemetry/telemetrytest"
	"github.com/stint-run/stint/tasks"
)

// everything makes each instrument say something.
func everything(ctx context.Context, tel *telemetry.Telemetry) {
	happen(ctx, tel.Metrics)
	tel.ObserveFleet(func(context.Context) (telemetry.Fleet, error) { return someFleet, nil })
}

func happen(ctx context.Context, m *telemetry.Metrics) {
	m.StepBegan(ctx, "migration")
	m.StepBegan(ctx, "migration")
	m.StepEnded(ctx, "migration", "done", 20*time.Millisecond)
	m.Rows(ctx, "migration", tasks.Counters{Read: 5, Written: 3, Quarantined: 2, Bytes: 100})
	m.Drained(ctx, time.Second)
	m.LeaseRecovered(ctx, 2, 3*time.Second)
	m.LeaseRecovered(ctx, 1, -1)
	m.Fenced(ctx)
	m.TickLag(ctx, "nightly", time.Second)
	m.TickMissed(ctx, "nightly", 1)
	m.SweepEnded(ctx, time.Millisecond)
	m.WebhookSent(ctx, "crm", "delivered", time.Millisecond)
	m.WebhookGaveUp(ctx, "crm", 2)
	m.RuleEvaluated(ctx, "disk", 20*time.Millisecond, 0, 7, 2, 1)
	m.RuleFailed(ctx, "disk")
	m.AlertTold(ctx, "chat", "sent", time.Millisecond)
	m.HTTPRequest(ctx, "/v1/jobs/{id}", http.MethodGet, 200, time.Millisecond)
}

var someFleet = telemetry.Fleet{
	Queues: []telemetry.FleetQueue{{Name: "default", Depth: map[string]int64{"waiting": 3, "claimed": 1}, Backlog: 70, Latency: 1500 * time.Millisecond}},
	Workers: []telemetry.FleetWorker{{ID: "w1", Version: "v1", State: "active", InFlight: 2, HeartbeatAge: time.Second},
		{ID: "w2", Version: "v1", State: "active"}, {ID: "w3", Version: "v2", State: "draining"}},
	Jobs:      []telemetry.FleetJobs{{Kind: "migration", State: "running", Count: 4}},
	Schedules: []telemetry.FleetSchedule{{Name: "nightly", Overdue: true}, {Name: "hourly"}},
	Rules:     []telemetry.FleetRule{{Name: "disk", Age: 3 * time.Second, Lag: time.Second, Failing: true}},
	Alerts:    map[string]int64{"open": 2},
}

// scrape asks /metrics.
func scrape(t *testing.T, tel *telemetry.Telemetry, accept string) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	tel.MetricsHandler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetricsHaveTheNamesLabelsAndValuesThatAreWrittenDown(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{Version: "v1"})
	everything(t.Context(), tel)
	text := scrape(t, tel, "text/plain")
	for _, want := range []string{
		`stint_steps_total{kind="migration",outcome="done"} 1`,
		`stint_step_duration_seconds_bucket{kind="migration",outcome="done",le="0.025"} 1`,
		`stint_rows_total{kind="migration",what="read"} 5`,
		`stint_rows_total{kind="migration",what="written"} 3`,
		`stint_rows_total{kind="migration",what="quarantined"} 2`,
		`stint_bytes_total{kind="migration"} 100`,
		`stint_drain_seconds_sum 1`,
		`stint_steps_in_flight{kind="migration"} 1`,
		`stint_lease_recovered_total 3`,
		`stint_recovery_seconds_sum 3`,
		`stint_recovery_seconds_count 1`,
		`stint_fenced_commits_total 1`,
		`stint_scheduler_lag_seconds_sum{schedule="nightly"} 1`,
		`stint_schedule_missed_total{schedule="nightly"} 1`,
		`stint_sweep_duration_seconds_count 1`,
		`stint_http_request_duration_seconds_count{method="GET",route="/v1/jobs/{id}",status="200"} 1`,
		`stint_fleet_up 1`,
		`stint_queue_depth{queue="default",state="waiting"} 3`,
		`stint_queue_backlog{queue="default"} 70`,
		`stint_queue_latency_seconds{queue="default"} 1.5`,
		`stint_workers{state="active",version="v1"} 2`,
		`stint_workers{state="draining",version="v2"} 1`,
		`stint_worker_in_flight{version="v1",worker="w1"} 2`,
		`stint_worker_heartbeat_age_seconds{version="v1",worker="w1"} 1`,
		`stint_jobs{kind="migration",state="running"} 4`,
		`stint_schedule_overdue{schedule="nightly"} 1`,
		`stint_schedule_overdue{schedule="hourly"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no line %s", want)
		}
	}
	for _, also := range []string{"go_goroutines ", "process_start_time_seconds ", "target_info{"} {
		if !strings.Contains(text, "\n"+also) {
			t.Errorf("no %s", also)
		}
	}
	if strings.Contains(text, "otel_scope") {
		t.Error("scopes are labels")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestMetricsPassTheLinterOfPrometheus(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	everything(t.Context(), tel)
	text := scrape(t, tel, "text/plain")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	all, err := tel.Families()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range all {
		if f.Help == "" {
			t.Errorf("%s has no help", name)
		}
	}
}

func TestEachMetricIsInTheDocumentationAndTheOtherWayRound(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	everything(t.Context(), tel)
	page, err := os.ReadFile("../../docs/telemetry.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(stint_[a-z_]+)` \\|([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		labels := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(m[2], -1)
		explained[m[1]] = []string{}
		for _, l := range labels {
			explained[m[1]] = append(explained[m[1]], l[1])
		}
		slices.Sort(explained[m[1]])
	}
	all, err := tel.Families()
	if err != nil {
		t.Fatal(err)
	}
	collected := map[string]bool{}
	for name, f := range all {
		if !strings.HasPrefix(name, "stint_") {
			continue
		}
		collected[name] = true
		if got, ok := explained[name]; !ok {
			t.Errorf("docs/telemetry.md has no line for %s", name)
		} else if !slices.Equal(got, f.Labels) {
			t.Errorf("docs/telemetry.md says that %s has the labels %q; it has %q", name, got, f.Labels)
		}
	}
	for name := range explained {
		if !collected[name] {
			t.Errorf("docs/telemetry.md explains %s, which nobody collects", name)
		}
	}
	if len(collected) < 20 {
		t.Errorf("only %d metrics", len(collected))
	}
}

func TestADurationNamesTheTraceOfATypicalStep(t *testing.T) {
	t.Parallel()
	c := telemetrytest.Start(t)
	tel := start(t, telemetry.Options{Endpoint: c.GRPC(), Sample: 1})
	ctx, span := tel.Tracer().Start(t.Context(), "step")
	tel.Metrics.StepEnded(ctx, "migration", "done", time.Second)
	span.End()
	text := scrape(t, tel, "application/openmetrics-text; version=1.0.0")
	if want := `trace_id="` + span.SpanContext().TraceID().String() + `"`; !strings.Contains(text, want) {
		t.Errorf("no %s in\n%s", want, text)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAMethodThatACallerMadeUpIsNoLabel(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	tel.Metrics.HTTPRequest(t.Context(), "", "BREW-7f3a", 405, time.Millisecond)
	if text := scrape(t, tel, ""); strings.Contains(text, "BREW") || !strings.Contains(text, `method="_OTHER"`) {
		t.Error(text)
	}
}

func TestNilMetricsDoNothing(t *testing.T) {
	t.Parallel()
	happen(t.Context(), nil)
}

func TestTheFleetIsReadOnceASecondHoweverManyScrape(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	var reads atomic.Int64
	tel.ObserveFleet(func(ctx context.Context) (telemetry.Fleet, error) {
		reads.Add(1)
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 2*time.Second {
			t.Errorf("the reading may take until %v", deadline)
		}
		return telemetry.Fleet{}, nil
	})
	began := time.Now()
	for range 20 {
		scrape(t, tel, "")
	}
	if most := int64(time.Since(began)/time.Second) + 1; reads.Load() < 1 || reads.Load() > most {
		t.Errorf("read %d times, want at most %d", reads.Load(), most)
	}
}

func TestAFleetThatCannotBeReadIsToldOnceAndShown(t *testing.T) {
	t.Parallel()
	log := &lines{}
	tel := start(t, telemetry.Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	everything(t.Context(), tel)
	scrape(t, tel, "")
	for range 3 { // each call forgets the reading before
		tel.ObserveFleet(func(context.Context) (telemetry.Fleet, error) { return telemetry.Fleet{}, errors.New("redis is away") })
		text := scrape(t, tel, "")
		if !strings.Contains(text, "\nstint_fleet_up 0\n") || strings.Contains(text, "stint_workers{") || !strings.Contains(text, "stint_steps_total{") {
			t.Error(text)
		}
	}
	if n := strings.Count(log.String(), "redis is away"); n != 1 {
		t.Errorf("told %d times: %s", n, log)
	}
}

func TestAProcessThatReadsNoFleetSaysNothingOfIt(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	if text := scrape(t, tel, ""); strings.Contains(text, "\nstint_fleet_up") || strings.Contains(text, "\nstint_jobs") {
		t.Error(text)
	}
}

func BenchmarkStepEnded(b *testing.B) {
	tel, err := telemetry.Start(b.Context(), telemetry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		tel.Metrics.StepEnded(b.Context(), "migration", "done", time.Millisecond)
	}
}
