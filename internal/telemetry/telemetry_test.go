package telemetry_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stint-run/stint/internal/freeport"
	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/internal/telemetry/telemetrytest"
	"github.com/stint-run/stint/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts telemetry that is stopped when the test ends.
func start(t *testing.T, o telemetry.Options) *telemetry.Telemetry {
	t.Helper()
	tel, err := telemetry.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := tel.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return tel
}

func TestSpansAndMetricsArriveByBothProtocols(t *testing.T) {
	t.Parallel()
	for protocol, endpoint := range map[string]func(*telemetrytest.Collector) string{
		telemetry.ProtocolGRPC: (*telemetrytest.Collector).GRPC, telemetry.ProtocolHTTP: (*telemetrytest.Collector).HTTP,
	} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			c := telemetrytest.Start(t)
			tel := start(t, telemetry.Options{Version: "v1.2.3", Instance: "w-1", Endpoint: endpoint(c), Protocol: protocol, Sample: 1,
				Headers: map[string]string{"authorization": "Bearer token"}})
			ctx, job := tel.Tracer().Start(t.Context(), "job")
			kept := telemetry.Inject(ctx)
			job.End()
			// Another process goes on from the text.
			ctx, step := tel.Tracer().Start(telemetry.Extract(t.Context(), kept), "step")
			_, copied := spans.Begin(ctx, "COPY customers")
			spans.End(copied, io.EOF)
			step.End()
			tel.Metrics.StepEnded(ctx, "migration", "done", time.Second)
			if err := tel.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := c.WaitSpan(t, func(s telemetrytest.Span) bool { return s.Name == "COPY customers" })
			if got.Resource["service.name"] != "stint" || got.Resource["service.version"] != "v1.2.3" || got.Resource["service.instance.id"] != "w-1" {
				t.Errorf("the process is %v", got.Resource)
			}
			if got.Kind != "CLIENT" || got.Start.IsZero() || got.End.Before(got.Start) {
				t.Errorf("%+v", got)
			}
			c.WaitSpan(t, func(s telemetrytest.Span) bool { return s.Name == "job" })
			if want := "job\n  step\n    COPY customers FAILED\n"; c.Tree() != want {
				t.Errorf("got\n%swant\n%s", c.Tree(), want)
			}
			points := c.WaitMetric(t, "stint.steps").GetSum().GetDataPoints()
			if len(points) != 1 || points[0].GetAsInt() != 1 {
				t.Errorf("stint.steps is %v", points)
			}
			for _, h := range c.Headers() {
				if fmt.Sprint(h["authorization"]) != "[Bearer token]" {
					t.Errorf("headers %v", h)
				}
			}
		})
	}
}

func TestWithoutAnEndpointNothingIsSentAndNothingIsSaid(t *testing.T) {
	// Not parallel: it looks at all goroutines of the process.
	before := goleak.IgnoreCurrent()
	log := &lines{}
	tel, err := telemetry.Start(t.Context(), telemetry.Options{Sample: 1, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, span := tel.Tracer().Start(t.Context(), "step")
	if span.IsRecording() || telemetry.Inject(ctx) != "" {
		t.Error("a span is recorded for nobody")
	}
	_, below := spans.Begin(ctx, "COPY customers")
	spans.End(below, nil)
	span.End()
	tel.Metrics.StepEnded(ctx, "migration", "done", time.Second)
	goleak.VerifyNone(t, before) // while it is in use
	if err := tel.Flush(ctx); err != nil {
		t.Error(err)
	}
	if err := tel.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if log.String() != "" {
		t.Errorf("the log says %s", log)
	}
}

func TestWithoutAnEndpointTheTraceOfACallerIsPassedOn(t *testing.T) {
	t.Parallel()
	tel := start(t, telemetry.Options{})
	const caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	ctx, span := tel.Tracer().Start(telemetry.Extract(t.Context(), caller), "step")
	defer span.End()
	if got := telemetry.Inject(ctx); got != caller {
		t.Errorf("passed on %q", got)
	}
}

func TestATextThatIsNoTraceparentChangesNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736"} {
		if got := telemetry.Inject(telemetry.Extract(t.Context(), text)); got != "" {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestOptionsThatCannotBeAreRefusedWithAHint(t *testing.T) {
	t.Parallel()
	for _, o := range []telemetry.Options{{Sample: -1}, {Sample: 1.5}, {Endpoint: "ftp://host"}, {Endpoint: "host:4317", Protocol: "udp"}} {
		if _, err := telemetry.Start(t.Context(), o); err == nil || tasks.HintOf(err) == "" {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestASampleOfNoneRecordsOnlyWhatACallerRecords(t *testing.T) {
	t.Parallel()
	c := telemetrytest.Start(t)
	tel := start(t, telemetry.Options{Endpoint: c.GRPC()})
	_, own := tel.Tracer().Start(t.Context(), "own")
	own.End()
	_, asked := tel.Tracer().Start(telemetry.Extract(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), "asked")
	asked.End()
	if err := tel.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.WaitSpan(t, func(s telemetrytest.Span) bool { return s.Name == "asked" })
	if want := "... asked\n"; c.Tree() != want {
		t.Errorf("got %s", c.Tree())
	}
}

// It sets variables of the process, so it must run alone.
func TestTheVariablesOfTheLibrariesChangeNothingThatHasAnOption(t *testing.T) {
	for name, value := range map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "https://" + nobody(t), "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://" + nobody(t),
		"OTEL_EXPORTER_OTLP_HEADERS": "authorization=theirs", "OTEL_TRACES_SAMPLER": "always_off", "OTEL_SERVICE_NAME": "theirs",
		"OTEL_RESOURCE_ATTRIBUTES": "service.version=theirs,team=sync"} {
		t.Setenv(name, value)
	}
	none := start(t, telemetry.Options{Sample: 1})
	if _, span := none.Tracer().Start(t.Context(), "step"); span.IsRecording() {
		t.Error("a variable has switched it on")
	}
	for _, protocol := range []string{telemetry.ProtocolGRPC, telemetry.ProtocolHTTP} {
		c := telemetrytest.Start(t)
		endpoint := c.GRPC()
		if protocol == telemetry.ProtocolHTTP {
			endpoint = c.HTTP()
		}
		tel := start(t, telemetry.Options{Endpoint: endpoint, Protocol: protocol, Version: "v1", Sample: 1})
		_, span := tel.Tracer().Start(t.Context(), "step")
		span.End()
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		got := c.WaitSpan(t, func(telemetrytest.Span) bool { return true })
		if r := got.Resource; r["service.name"] != "stint" || r["service.version"] != "v1" || r["team"] != "sync" {
			t.Errorf("the process is %v", r)
		}
		for _, h := range c.Headers() {
			if len(h["authorization"]) > 0 {
				t.Errorf("headers %v", h)
			}
		}
	}
}

func TestANilOrZeroTelemetryDoesNothing(t *testing.T) {
	t.Parallel()
	for _, tel := range []*telemetry.Telemetry{nil, {}} {
		_, span := tel.Tracer().Start(t.Context(), "step")
		span.End()
		tel.ObserveFleet(nil)
		if err := tel.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if err := tel.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		tel.MetricsHandler()
	}
}

// nobody returns an address at which nothing listens, at the moment.
func nobody(t *testing.T) string {
	t.Helper()
	address, err := freeport.Address()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// silent returns an address that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken []net.Conn
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			taken = append(taken, conn)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
		for _, conn := range taken {
			_ = conn.Close()
		}
	})
	return l.Addr().String()
}

func TestACollectorThatIsAwayDoesNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]func(*testing.T) string{"nobody listens": nobody, "nobody answers": silent} {
		for _, protocol := range []string{telemetry.ProtocolGRPC, telemetry.ProtocolHTTP} {
			t.Run(name+" by "+protocol, func(t *testing.T) {
				t.Parallel()
				log := &lines{}
				tel, err := telemetry.Start(t.Context(), telemetry.Options{Endpoint: "http://" + at(t), Protocol: protocol, Sample: 1,
					Log: slog.New(slog.NewTextHandler(log, nil))})
				if err != nil {
					t.Fatal(err)
				}
				for range 2000 {
					_, span := tel.Tracer().Start(t.Context(), "step")
					span.End()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				began := time.Now()
				_ = tel.Shutdown(ctx) // an error where ctx has ended it, none where it was refused before
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("took %v", took)
				}
				// Four batches of spans and a reading of metrics were lost; each signal says so once.
				if n := strings.Count(log.String(), "\n"); n < 1 || n > 2 {
					t.Errorf("%d lines: %s", n, log)
				}
			})
		}
	}
}

func TestACollectorThatComesBackIsFoundAndTold(t *testing.T) {
	t.Parallel()
	log := &lines{}
	at := nobody(t)
	tel := start(t, telemetry.Options{Endpoint: at, Sample: 1, Log: slog.New(slog.NewTextHandler(log, nil))})
	flush := func(patience time.Duration) {
		_, span := tel.Tracer().Start(t.Context(), "step")
		span.End()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_ = tel.Flush(ctx) // fails while nobody listens
	}
	for range 3 {
		flush(100 * time.Millisecond)
	}
	// The export goes on for a moment after its Flush has given up.
	wait(t, func() bool { return strings.Contains(log.String(), "signal=traces") })
	c := telemetrytest.StartAt(t, at)
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "arrives again"); {
		if flush(time.Second); time.Now().After(deadline) {
			t.Fatalf("it is not found: %s", log)
		}
	}
	c.WaitSpan(t, func(s telemetrytest.Span) bool { return s.Name == "step" })
	if err := tel.Shutdown(t.Context()); err != nil { // before the collector goes
		t.Error(err)
	}
	if n := strings.Count(log.String(), "signal=traces"); n > 2 {
		t.Errorf("%d lines about traces: %s", n, log)
	}
}

// wait polls until a condition holds.
func wait(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("waited 20 s")
		}
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
