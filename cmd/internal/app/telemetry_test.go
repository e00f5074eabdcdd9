package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/config"
	"github.com/stint-run/stint/internal/api"
	"github.com/stint-run/stint/internal/enginetest"
	"github.com/stint-run/stint/internal/pgtest"
	"github.com/stint-run/stint/internal/redistest"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/internal/telemetry/telemetrytest"
	"github.com/stint-run/stint/tasks"
)

// system is an API, a scheduler and a worker, each a process of its own as far as it can tell, and two databases.
type system struct {
	t          *testing.T
	to         telemetry.Options
	queue      *redistest.Server
	databases  config.Connections
	api        *app.App
	url        string // of the API
	scheduler  *app.App
	log        *enginetest.Log
	stopOthers []func()
}

func newSystem(t *testing.T, to telemetry.Options) *system {
	t.Helper()
	s := &system{t: t, to: to, queue: redistest.New(t), log: &enginetest.Log{}, databases: config.Connections{
		{Name: "legacy", URL: config.NewURL(legacy(t, "t"))}, {Name: "cloud", URL: config.NewURL(pgtest.New(t))}}}
	s.api, _ = s.process()
	addr, err := s.api.StartAPI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + addr
	s.scheduler, _ = s.process()
	if err := s.scheduler.StartScheduler(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// process makes a process of the system, and returns how it is stopped; it is when the test ends.
func (s *system) process() (a *app.App, stop func()) {
	s.t.Helper()
	a, err := app.New(s.t.Context(), app.Options{Redis: config.Redis{Topology: config.Single, URL: config.NewURL(s.queue.URL())}, Connections: s.databases,
		Log: s.log.Logger(), Version: "v1", Concurrency: 2, Heartbeat: 100 * time.Millisecond, DrainTimeout: 10 * time.Second, Sweep: 50 * time.Millisecond,
		LostAfter: time.Second, Alerts: config.Alerts{Channels: config.AlertChannels{{Name: "chat", Type: "debug"}}}, API: api.ServerOptions{Listen: "127.0.0.1:0"}, Telemetry: s.to})
	if err != nil {
		s.t.Fatal(err)
	}
	stop = func() {
		if err := a.Stop(context.Background()); err != nil {
			s.t.Error(err)
		}
	}
	s.stopOthers = append(s.stopOthers, stop)
	s.t.Cleanup(stop)
	return a, stop
}

func (s *system) worker() *app.App {
	s.t.Helper()
	a, _ := s.process()
	if err := a.StartWorker(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	return a
}

// stop ends all processes, upon which they send what they have.
func (s *system) stop() {
	for _, stop := range slices.Backward(s.stopOthers) {
		stop()
	}
}

// ask sends a request and reads its answer.
func (s *system) ask(method, path, traceparent string, body, into any) {
	s.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, bytes.NewReader(b))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if traceparent != "" {
		r.Header.Set("traceparent", traceparent)
	}
	if err := json.Unmarshal([]byte(read(s.t, r)), into); err != nil {
		s.t.Fatal(err)
	}
}

// read sends a request and returns its answer, which must be a good one.
func read(t *testing.T, r *http.Request) string {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s %v", r.Method, r.URL, answer.Status, text, err)
	}
	return string(text)
}

// migrate submits a migration of some tables and waits until it has ended.
func (s *system) migrate(traceparent string, tables ...string) wire.Job {
	s.t.Helper()
	var done wire.Submitted
	s.ask(http.MethodPost, "/v1/migrations", traceparent, map[string]any{"spec": map[string]any{"source": "legacy", "target": "cloud", "tables": tables, "chunk_rows": 200}}, &done)
	enginetest.WaitState(s.t, s.api.Store, done.ID, tasks.Succeeded)
	var job wire.Job
	s.ask(http.MethodGet, "/v1/jobs/"+done.ID, "", nil, &job)
	return job
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
	caller       = "00-" + callersTrace + "-" + callersSpan + "-01"
)

func TestAJobIsOneTraceFromTheRequestToTheCopy(t *testing.T) {
	t.Parallel()
	for name, traceparent := range map[string]string{"begun here": "", "begun by the caller": caller} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := telemetrytest.Start(t)
			s := newSystem(t, telemetry.Options{Endpoint: c.GRPC(), Sample: 1})
			w := s.worker()
			job := s.migrate(traceparent, "t0")
			s.stop()
			of := map[string][]telemetrytest.Span{}
			byID := map[string]telemetrytest.Span{}
			for _, span := range c.Spans() {
				if span.Trace == job.TraceID {
					of[span.Name] = append(of[span.Name], span)
					byID[span.ID] = span
				}
			}
			if t.Logf("%s", c.Tree()); job.TraceID == "" || len(of["POST /v1/migrations"]) != 1 {
				t.Fatalf("the trace %q is not that of the request: %v", job.TraceID, of)
			}
			root := of["POST /v1/migrations"][0]
			if traceparent == "" && root.Parent != "" || traceparent != "" && (root.Parent != callersSpan || root.Trace != callersTrace) {
				t.Errorf("the request stands in %s below %s", root.Trace, root.Parent)
			}
			if root.Kind != "SERVER" || root.Attributes["http.route"] != "/v1/migrations" || root.Attributes["http.response.status_code"] != "202" || root.Resource["service.instance.id"] == w.Worker.ID() {
				t.Errorf("the request is %+v", root)
			}
			for child, parent := range map[string]string{"submit migration": "POST /v1/migrations", "plan": "submit migration", "split load:t0": "submit migration",
				"attempt load:t0": "submit migration", "COPY t0": "attempt load:t0", "SELECT t0": "attempt load:t0"} {
				if len(of[child]) == 0 {
					t.Errorf("there is no %s", child)
				}
				for _, span := range of[child] {
					if got := byID[span.Parent].Name; got != parent {
						t.Errorf("%s stands below %q, want %q", child, got, parent)
					}
				}
			}
			for _, span := range of["attempt load:t0"] {
				a := span.Attributes
				if a["stint.job"] != job.ID || a["stint.kind"] != "migration" || a["stint.stage"] != "load:t0" || a["stint.step"] == "" || a["stint.attempt"] == "" ||
					a["stint.worker"] != w.Worker.ID() || a["stint.worker_version"] != "v1" || a["stint.resumed"] != "false" || a["stint.outcome"] != "done" || span.Failed {
					t.Errorf("an attempt is %s", span)
				}
				if span.Resource["service.instance.id"] != w.Worker.ID() || span.Resource["service.version"] != "v1" {
					t.Errorf("an attempt is of %v", span.Resource)
				}
			}
			if n := s.log.Count("trace_id=" + job.TraceID); n == 0 || s.log.Count("job="+job.ID) > n {
				t.Errorf("%d lines of the log name the trace: %s", n, s.log)
			}
		})
	}
}

func TestARequestIsTracedByItsRouteAndByNothingThatItsCallerMadeUp(t *testing.T) {
	t.Parallel()
	c := telemetrytest.Start(t)
	s := newSystem(t, telemetry.Options{Endpoint: c.GRPC(), Sample: 1})
	for _, request := range []string{"GET /v1/jobs?tenant=canary", "GET /v1/jobs/canary", "GET /v1/canary", "CANARY /v1/jobs", "GET /livez", "GET /readyz", "GET /metrics"} {
		method, path, _ := strings.Cut(request, " ")
		r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	s.stop()
	var got []string
	for _, span := range c.Spans() {
		got = append(got, span.Name+" "+span.Attributes["http.response.status_code"])
		if strings.Contains(span.String(), "anary") || span.Kind != "SERVER" {
			t.Errorf("the span %s", span)
		}
	}
	slices.Sort(got)
	if want := []string{"GET /v1/jobs 200", "GET /v1/jobs/{id} 404", "GET 404", "_OTHER 405"}; !slices.Equal(got, want) {
		t.Errorf("traced %q, want %q", got, want)
	}
}

func TestWithoutACollectorTheTraceOfACallerIsStillKept(t *testing.T) {
	t.Parallel()
	s := newSystem(t, telemetry.Options{Sample: 1})
	s.worker()
	if job := s.migrate(caller, "t0"); job.TraceID != callersTrace {
		t.Errorf("its trace is %q", job.TraceID)
	}
	if job := s.migrate("", "t1"); job.TraceID != "" {
		t.Errorf("a trace was made up: %q", job.TraceID)
	}
	s.stop()
	if s.log.Count("attempt ended") == 0 || s.log.Count("trace_id="+callersTrace) < 4 {
		t.Errorf("the caller's trace is not in the log: %s", s.log)
	}
	if n := s.log.Count("telemetry"); n > 0 {
		t.Errorf("%d lines of telemetry: %s", n, s.log)
	}
}

// counting is an address that ends each connection at once, and counts them.
func counting(t *testing.T) (address string, connections *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections = new(atomic.Int64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return l.Addr().String(), connections
}

// It sets variables of the process, so it must run alone.
func TestAProcessIsSilentUnlessItsOptionsNameACollector(t *testing.T) {
	at, connections := counting(t)
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"} {
		t.Setenv(name, "http://"+at)
	}
	s := newSystem(t, telemetry.Options{Sample: 1})
	s.worker()
	s.migrate("", "t0")
	s.stop()
	if n := connections.Load(); n > 0 || s.log.Count("telemetry") > 0 {
		t.Errorf("%d connections; %s", n, s.log)
	}
}

func TestACollectorThatIsAwayHoldsUpNothingAndIsToldOnce(t *testing.T) {
	t.Parallel()
	at, _ := counting(t)
	s := newSystem(t, telemetry.Options{Endpoint: "http://" + at, Sample: 1})
	w, stop := s.process()
	if err := w.StartWorker(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	s.migrate("", "t0")
	if took := time.Since(began); took > 8*time.Second { // an export alone is given 10
		t.Errorf("the job took %v", took)
	}
	began = time.Now()
	stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
	if n := s.log.Count("telemetry cannot be sent"); n < 1 || n > 2 { // traces and metrics go separate ways
		t.Errorf("told %d times: %s", n, s.log)
	}
}
