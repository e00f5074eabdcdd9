package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// unTraced are routes that are asked all the time, by those who only want to know whether there is an answer: a trace of each would
// bury the others. Metrics count them.
var unTraced = map[string]bool{"/livez": true, "/readyz": true, "/metrics": true}

// traceRequest begins the span of a request, below the caller's where there is one. The route is the path's pattern, "" when none
// matched. What a caller can make up (path, query, method) is no part of it.
func (a *API) traceRequest(r *http.Request, route string) (context.Context, trace.Span) {
	ctx := telemetry.Propagator().Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	fromPage := r.Method == http.MethodGet && r.Context().Value(fromKey{}) != nil // a page that is open reads every two seconds
	if unTraced[route] || fromPage {
		return ctx, trace.SpanFromContext(context.Background()) // does nothing
	}
	method := telemetry.Method(r.Method)
	ctx, span := a.o.Telemetry.Tracer().Start(ctx, strings.TrimRight(method+" "+route, " "), trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("http.request.method", method))
		if route != "" {
			span.SetAttributes(attribute.String("http.route", route))
		}
	}
	return ctx, span
}

// served tells of a request that was answered: in its span, in the metrics, and in the log.
func (a *API) served(r *http.Request, span trace.Span, route string, code int, took time.Duration) {
	if code == 0 { // the handler has said nothing, which net/http takes for OK
		code = http.StatusOK
	}
	ctx := r.Context()
	a.o.Telemetry.Metrics.HTTPRequest(ctx, route, r.Method, code, took)
	a.log.DebugContext(ctx, "request", "request_id", requestID(ctx), "method", r.Method, "path", loggedPath(r), "status", code, "took", took)
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("http.response.status_code", code))
		if code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(code))
		}
	}
	span.End()
}

// routeOf is the path of a pattern such as "GET /v1/jobs/{id}".
func routeOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// traceSubmission begins the span below which all spans of a job stand. Its kind is not checked yet, and so no part of the name.
func (a *API) traceSubmission(ctx context.Context) (context.Context, trace.Span) {
	return a.o.Telemetry.Tracer().Start(ctx, "submit", trace.WithSpanKind(trace.SpanKindProducer))
}

// endSubmission ends it with what was submitted; a job without an ID was none.
func endSubmission(span trace.Span, job tasks.Job, done *wire.Submitted, err error) {
	if span.IsRecording() && job.ID != "" {
		span.SetName("submit " + job.Kind)
		span.SetAttributes(attribute.String("stint.job", job.ID), attribute.String("stint.kind", job.Kind))
		if done != nil {
			span.SetAttributes(attribute.String("stint.outcome", done.Outcome))
		}
	}
	spans.End(span, err)
}
