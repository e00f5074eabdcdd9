// Package telemetrytest gives tests a real OpenTelemetry collector: it takes OTLP by gRPC and by HTTP on loopback ports, keeps what
// arrives, and lets a test wait for it.
//
//	c := telemetrytest.Start(t)
//	tel, err := telemetry.Start(ctx, telemetry.Options{Endpoint: c.GRPC(), Sample: 1})
//	...
//	span := c.WaitSpan(t, func(s telemetrytest.Span) bool { return s.Name == "COPY customers" })
//	fmt.Println(c.Tree())
package telemetrytest

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metricdata "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// patience is how long Wait functions wait before they fail their test.
const patience = 30 * time.Second

// Collector keeps what it is sent. Its methods may be called from any goroutine.
type Collector struct {
	grpc *grpc.Server
	http *http.Server
	at   [2]string // addresses, by gRPC and by HTTP

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, whenever something arrives
	spans   []Span
	metrics map[string]*metricdata.Metric
	headers []map[string][]string
}

// Start starts a collector, which is stopped when the test ends.
func Start(t testing.TB) *Collector {
	t.Helper()
	return StartAt(t, "127.0.0.1:0")
}

// StartAt is Start with gRPC on an address of the caller's choice, for a collector that comes back where it was. It may be stopped
// early by Stop.
func StartAt(t testing.TB, address string) *Collector {
	t.Helper()
	c := &Collector{changed: make(chan struct{}), metrics: map[string]*metricdata.Metric{}}
	var listeners [2]net.Listener
	for i, at := range []string{address, "127.0.0.1:0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Fatalf("telemetrytest: %v", err)
		}
		listeners[i], c.at[i] = l, l.Addr().String()
	}
	c.grpc = grpc.NewServer()
	tracepb.RegisterTraceServiceServer(c.grpc, traceService{collector: c})
	metricspb.RegisterMetricsServiceServer(c.grpc, metricsService{collector: c})
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", c.overHTTP(func(body []byte) (proto.Message, error) {
		var request tracepb.ExportTraceServiceRequest
		err := proto.Unmarshal(body, &request)
		c.keepSpans(&request)
		return &tracepb.ExportTraceServiceResponse{}, err
	}))
	mux.HandleFunc("POST /v1/metrics", c.overHTTP(func(body []byte) (proto.Message, error) {
		var request metricspb.ExportMetricsServiceRequest
		err := proto.Unmarshal(body, &request)
		c.keepMetrics(&request)
		return &metricspb.ExportMetricsServiceResponse{}, err
	}))
	c.http = &http.Server{Handler: mux, ReadHeaderTimeout: patience}
	var served sync.WaitGroup
	served.Go(func() { _ = c.grpc.Serve(listeners[0]) })
	served.Go(func() { _ = c.http.Serve(listeners[1]) })
	t.Cleanup(func() { c.Stop(); served.Wait() })
	return c
}

// Stop ends the collector and every connection to it. It may be called again.
func (c *Collector) Stop() {
	c.grpc.Stop()
	_ = c.http.Close() // there is nothing to be saved
}

// GRPC returns the endpoint for OTLP by gRPC.
func (c *Collector) GRPC() string { return "http://" + c.at[0] }

// HTTP returns the endpoint for OTLP by HTTP.
func (c *Collector) HTTP() string { return "http://" + c.at[1] }

// traceService and metricsService are the two services of gRPC.
type (
	traceService struct {
		tracepb.UnimplementedTraceServiceServer
		collector *Collector
	}
	metricsService struct {
		metricspb.UnimplementedMetricsServiceServer
		collector *Collector
	}
)

// Export takes spans.
func (s traceService) Export(ctx context.Context, r *tracepb.ExportTraceServiceRequest) (*tracepb.ExportTraceServiceResponse, error) {
	s.collector.keepHeaders(ctx)
	s.collector.keepSpans(r)
	return &tracepb.ExportTraceServiceResponse{}, nil
}

// Export takes metrics.
func (s metricsService) Export(ctx context.Context, r *metricspb.ExportMetricsServiceRequest) (*metricspb.ExportMetricsServiceResponse, error) {
	s.collector.keepHeaders(ctx)
	s.collector.keepMetrics(r)
	return &metricspb.ExportMetricsServiceResponse{}, nil
}

func (c *Collector) overHTTP(keep func(body []byte) (proto.Message, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var answer proto.Message
		if err == nil {
			answer, err = keep(body)
		}
		var out []byte
		if err == nil {
			out, err = proto.Marshal(answer)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.change(func() { c.headers = append(c.headers, lower(r.Header)) })
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(out) // the exporter finds out by itself
	}
}

func (c *Collector) keepHeaders(ctx context.Context) {
	if headers, ok := metadata.FromIncomingContext(ctx); ok {
		c.change(func() { c.headers = append(c.headers, headers) })
	}
}

func (c *Collector) keepSpans(r *tracepb.ExportTraceServiceRequest) {
	c.change(func() { c.spans = append(c.spans, readSpans(r)...) })
}

func (c *Collector) keepMetrics(r *metricspb.ExportMetricsServiceRequest) {
	c.change(func() {
		for _, resource := range r.ResourceMetrics {
			for _, scope := range resource.ScopeMetrics {
				for _, m := range scope.Metrics {
					c.metrics[m.Name] = m
				}
			}
		}
	})
}

// change changes what is kept and wakes those that wait.
func (c *Collector) change(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	close(c.changed)
	c.changed = make(chan struct{})
}

// wait waits until a condition on what is kept holds.
func (c *Collector) wait(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		ok, changed := holds(), c.changed
		c.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("telemetrytest: %s has not arrived; what has:\n%s", what, c.Tree())
		}
	}
}

// WaitSpan waits for a span, and fails the test when none comes within 30 s.
func (c *Collector) WaitSpan(t testing.TB, is func(Span) bool) Span {
	t.Helper()
	var found Span
	c.wait(t, "the span", func() bool {
		i := slices.IndexFunc(c.spans, is)
		if i >= 0 {
			found = c.spans[i]
		}
		return i >= 0
	})
	return found
}

// WaitMetric waits for a metric by its OpenTelemetry name, such as stint.steps, and returns its last reading. It fails the test when
// none comes within 30 s.
func (c *Collector) WaitMetric(t testing.TB, name string) *metricdata.Metric {
	t.Helper()
	var found *metricdata.Metric
	c.wait(t, "the metric "+name, func() bool {
		found = c.metrics[name]
		return found != nil
	})
	return found
}

// Spans returns what has arrived, in that order: a span arrives after it has ended, so children mostly come before their parents.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// Headers returns the headers of each export, names in lower case.
func (c *Collector) Headers() []map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.headers)
}
