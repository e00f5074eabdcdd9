package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

// How long an export goes on, retries included, and how long a connection that was lost waits to be made again: a collector that
// comes back is found within seconds.
const (
	exportTimeout  = 10 * time.Second
	retryFirst     = time.Second
	retryMost      = 5 * time.Second
	reconnectMost  = 10 * time.Second
	connectTimeout = 5 * time.Second
)

// newExporters makes both exporters for an endpoint. They end with alive.
func newExporters(ctx, alive context.Context, to endpoint, o Options) (sdktrace.SpanExporter, sdkmetric.Exporter, error) {
	var traces sdktrace.SpanExporter
	var metrics sdkmetric.Exporter
	var err error
	retry := otlptracehttp.RetryConfig{Enabled: true, InitialInterval: retryFirst, MaxInterval: retryMost, MaxElapsedTime: exportTimeout}
	reconnect := grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: retryFirst, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMost},
		MinConnectTimeout: connectTimeout})
	if to.protocol == ProtocolHTTP {
		traces, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(to.signal("traces")), otlptracehttp.WithHeaders(o.Headers),
			otlptracehttp.WithTimeout(exportTimeout), otlptracehttp.WithRetry(retry))
	} else {
		traces, err = otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(to.signal("traces")), otlptracegrpc.WithHeaders(o.Headers),
			otlptracegrpc.WithTimeout(exportTimeout), otlptracegrpc.WithDialOption(reconnect), otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig(retry)))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("prepare the export of traces: %w", err)
	}
	if to.protocol == ProtocolHTTP {
		metrics, err = otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(to.signal("metrics")), otlpmetrichttp.WithHeaders(o.Headers),
			otlpmetrichttp.WithTimeout(exportTimeout), otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig(retry)))
	} else {
		metrics, err = otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(to.signal("metrics")), otlpmetricgrpc.WithHeaders(o.Headers),
			otlpmetricgrpc.WithTimeout(exportTimeout), otlpmetricgrpc.WithDialOption(reconnect), otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig(retry)))
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("prepare the export of metrics: %w", err), traces.Shutdown(ctx))
	}
	where := to.url.Host
	return &spanExporter{traces, alive, newReporter(o.Log, "traces", where)}, &metricExporter{metrics, alive, newReporter(o.Log, "metrics", where)}, nil
}

// spanExporter tells the reporter, and nobody else, how an export went. The batch is lost either way: the library has no other
// place for it.
type spanExporter struct {
	sdktrace.SpanExporter
	alive context.Context
	tell  *reporter
}

// ExportSpans sends a batch, until ctx or the telemetry ends.
func (e *spanExporter) ExportSpans(ctx context.Context, batch []sdktrace.ReadOnlySpan) error {
	ctx, cancel := until(ctx, e.alive)
	defer cancel()
	e.tell.exported(e.SpanExporter.ExportSpans(ctx, batch), len(batch))
	return nil
}

// metricExporter is spanExporter for metrics. What is lost of these is one reading, not the counts.
type metricExporter struct {
	sdkmetric.Exporter
	alive context.Context
	tell  *reporter
}

// Export sends a reading, until ctx or the telemetry ends.
func (e *metricExporter) Export(ctx context.Context, reading *metricdata.ResourceMetrics) error {
	ctx, cancel := until(ctx, e.alive)
	defer cancel()
	e.tell.exported(e.Exporter.Export(ctx, reading), 1)
	return nil
}

// until returns a context that ends with either of two.
func until(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// quietFor is how long the log hears nothing more of a collector that is away.
const quietFor = time.Minute

// reporter tells the log how the exports of one signal fare: at once when they begin to fail, then once a minute at most while
// they do, and when they work again.
type reporter struct {
	log  *slog.Logger
	what string
	to   string
	now  func() time.Time

	mu    sync.Mutex
	said  time.Time // when a failure was last told; zero before the first
	away  bool      // a failure was told, and no success since
	since time.Time // of the first failure without a success since; zero while all is well
	lost  int       // in exports that failed since the last success
}

func newReporter(log *slog.Logger, what, to string) *reporter {
	return &reporter{log: log, what: what, to: to, now: time.Now}
}

func (r *reporter) exported(err error, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	if err == nil {
		if r.away {
			r.log.Info("telemetry arrives again", "signal", r.what, "endpoint", r.to, "away", now.Sub(r.since).Round(time.Second), "lost", r.lost)
		}
		r.away, r.since, r.lost = false, time.Time{}, 0
		return
	}
	if r.since.IsZero() {
		r.since = now
	}
	r.lost += n
	if !r.said.IsZero() && now.Sub(r.said) < quietFor {
		return
	}
	r.said, r.away = now, true
	r.log.Warn("telemetry cannot be sent; the work goes on without", "signal", r.what, "endpoint", r.to, "err", err, "lost", r.lost)
}
