// Package telemetry says what a stint process does, in the forms that other tools read: spans and metrics by OpenTelemetry,
// metrics at /metrics for Prometheus, and log lines that carry the ids of the trace they belong to.
//
// It is silent by default. Without an Endpoint there is no exporter, no goroutine, no connection and no log line; metrics are
// collected all the same, for whoever asks /metrics. A trace that a caller has begun is passed on even then.
//
//	spans    ──batch──▶ OTLP (gRPC or HTTP)      only with an Endpoint
//	metrics  ──60 s───▶ OTLP                     only with an Endpoint
//	         ──asked──▶ /metrics                 always
//
// No global of OpenTelemetry is set. A span below another is begun with the tracer of the span in the context (internal/spans), so
// packages need no plumbing, and two processes in one program, as tests and `stint demo` have them, do not mix. What the exporters
// would tell the global error handler is caught before it gets there and goes to Options.Log, at most once a minute.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	promexporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/tasks"
)

// Options say who speaks, and to whom.
type Options struct {
	Service  string // service.name; "" means stint
	Version  string // service.version
	Instance string // service.instance.id, such as the worker's id
	// Endpoint is the collector: http://HOST[:PORT][/PATH], https://..., or HOST:PORT. Plain text goes to http:// and, without a
	// scheme, to this machine (localhost, 127.0.0.0/8, ::1); all else is TLS. "" means no collector.
	Endpoint string
	// Protocol is ProtocolGRPC or ProtocolHTTP. "" means HTTP for port 4318, which everybody gives it, else gRPC.
	Protocol string
	// Headers go with each export, such as the token of a hosted collector. They are not logged.
	Headers map[string]string
	// Sample is the share of traces begun here that are recorded, from 0 (none, the zero value) to 1. A trace that a caller began
	// is recorded if the caller records it, whatever stands here.
	Sample float64
	// Log is told when the collector cannot be reached, and when it can again. nil means nobody.
	Log *slog.Logger
}

// Telemetry is the OpenTelemetry of a process. The methods of a nil or zero Telemetry do nothing, so that who is given none can make
// one by new.
type Telemetry struct {
	// Metrics are what the engine counts; nil, which is as good, in a zero Telemetry.
	Metrics *Metrics

	registry *prometheus.Registry
	meters   *sdkmetric.MeterProvider
	traces   *sdktrace.TracerProvider // nil without an Endpoint
	fleet    *fleetObserver
	cut      context.CancelFunc // ends every export that is on its way
	end      sync.Once
}

// Start begins to collect, and with an Endpoint to export. It does not wait for the collector, which may come later. An error is
// one of the Options, with a hint. ctx is not kept.
func Start(ctx context.Context, o Options) (*Telemetry, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Sample < 0 || o.Sample > 1 || math.IsNaN(o.Sample) {
		return nil, tasks.WithHint(nil, "1 records every trace, 0.1 one in ten, 0 none", "the share of traces %v is not between 0 and 1", o.Sample)
	}
	res, err := describe(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("describe the process: %w", err)
	}
	t := &Telemetry{registry: prometheus.NewRegistry(), cut: func() {}}
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	scraped, err := promexporter.New(promexporter.WithRegisterer(t.registry), promexporter.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("collect metrics: %w", err)
	}
	meterOptions := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(scraped), sdkmetric.WithCardinalityLimit(maxSeries)}
	if o.Endpoint != "" {
		to, err := parseEndpoint(o.Endpoint, o.Protocol)
		if err != nil {
			return nil, err
		}
		alive, cut := context.WithCancel(context.WithoutCancel(ctx))
		t.cut = cut
		spansOut, metricsOut, err := newExporters(ctx, alive, to, o)
		if err != nil {
			cut()
			return nil, err
		}
		t.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithBatcher(spansOut), sdktrace.WithSampler(newSampler(o.Sample)))
		meterOptions = append(meterOptions, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricsOut)))
	}
	t.meters = sdkmetric.NewMeterProvider(meterOptions...)
	meter := t.meters.Meter(spans.Scope)
	if t.Metrics, err = newMetrics(meter); err == nil {
		t.fleet, err = newFleetObserver(meter, o.Log)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make instruments: %w", err), t.Shutdown(ctx))
	}
	return t, nil
}

// maxSeries bounds the memory of one instrument, should a label that we take for bounded not be: what comes after is added up in
// one series, labelled otel_metric_overflow.
const maxSeries = 2000

// describe is what every span and metric says of its process: no command line, no environment, as both can hold secrets.
func describe(ctx context.Context, o Options) (*resource.Resource, error) {
	if o.Service == "" {
		o.Service = "stint"
	}
	who := []attribute.KeyValue{attribute.String("service.name", o.Service)}
	if o.Version != "" {
		who = append(who, attribute.String("service.version", o.Version))
	}
	if o.Instance != "" {
		who = append(who, attribute.String("service.instance.id", o.Instance))
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithAttributes(who...))
}

// Tracer begins the first span of a process: a request, a step. Without an Endpoint its spans do nothing, but carry on the ids of
// a trace that a caller has begun.
func (t *Telemetry) Tracer() trace.Tracer {
	if t == nil || t.traces == nil {
		return noop.NewTracerProvider().Tracer(spans.Scope)
	}
	return t.traces.Tracer(spans.Scope)
}

// MetricsHandler answers /metrics, in the text form of Prometheus or, where it is asked for, OpenMetrics with the trace of a
// typical step beside its duration (an exemplar).
func (t *Telemetry) MetricsHandler() http.Handler {
	if t == nil || t.registry == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(t.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError})
}

// Flush sends what there is, so that a command that ends soon, or a test, need not wait for the next batch. What cannot be sent is
// logged, not returned: the only error is that of a ctx that ended.
func (t *Telemetry) Flush(ctx context.Context) error {
	if t == nil || t.traces == nil {
		return nil
	}
	if err := errors.Join(t.traces.ForceFlush(ctx), t.meters.ForceFlush(ctx)); err != nil {
		return fmt.Errorf("flush telemetry: %w", err)
	}
	return nil
}

// Shutdown sends what there is and ends everything that Start began. When ctx ends before the collector has answered, what is
// left is dropped and the error says so; no goroutine stays in either case. A collector that refuses is logged, as ever, and is no
// error. Later calls do nothing.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t == nil || t.registry == nil {
		return nil
	}
	var err error
	t.end.Do(func() { err = t.shutdown(ctx) })
	if err != nil {
		return fmt.Errorf("stop telemetry: %w", err)
	}
	return nil
}

func (t *Telemetry) shutdown(ctx context.Context) error {
	stop := context.AfterFunc(ctx, t.cut)
	defer stop()
	defer t.cut()
	// The libraries would leave their goroutines behind when their context ends. Ours ends the exports instead, upon which they
	// come to their own end at once.
	patient := context.WithoutCancel(ctx)
	var errs []error
	if t.traces != nil {
		errs = append(errs, t.traces.Shutdown(patient))
	}
	if t.meters != nil {
		errs = append(errs, t.meters.Shutdown(patient))
	}
	if t.traces != nil && ctx.Err() != nil {
		errs = append(errs, context.Cause(ctx))
	}
	return errors.Join(errs...)
}
