package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// Propagator carries a trace and its baggage in the headers of HTTP, as W3C Trace Context and Baggage.
func Propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}

// traceparent is the field of W3C Trace Context that names a span.
const traceparent = "traceparent"

// Inject returns the span in a context as one text, to be kept with a job: a W3C traceparent. "" when there is none.
func Inject(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[traceparent]
}

// Extract returns a context in which spans are children of the one that Inject wrote down. A text that is none, such as "", changes
// nothing: work does not fail for its trace.
func Extract(ctx context.Context, text string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{traceparent: text})
}
