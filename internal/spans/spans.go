// Package spans lets code that works below the engine say what it does, without knowing whether anybody traces it.
//
// A span is begun with the tracer of the span that is in the context, so there is no global to set up and nothing to pass on:
// where the context carries no span, or one that is not recorded, all of this does nothing and allocates nothing. It imports the
// OpenTelemetry API alone; where the spans go is up to whoever began the first one (internal/telemetry).
//
// Spans leave the house: they carry names of tables, counts and codes, never a value of a row, a parameter of a statement, or the
// text of an error, as databases quote values in theirs.
package spans

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/stint-run/stint/tasks"
)

// Scope is the name by which stint's spans and metrics are known to OpenTelemetry.
const Scope = "github.com/stint-run/stint"

// Begin begins a span below the one in the context, for a call to another system. End it with End. Attributes are best added
// after a look at IsRecording.
func Begin(ctx context.Context, name string) (context.Context, trace.Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, quiet
	}
	return parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithSpanKind(trace.SpanKindClient))
}

// quiet is the span that does nothing.
var quiet = trace.SpanFromContext(context.Background())

// End ends a span with what its work came to. It may be called again; the first call counts.
func End(span trace.Span, err error) {
	if err != nil && span.IsRecording() {
		fail(span, err)
	}
	span.End()
}

// fail says of a span what went wrong: by a code, not in the words of the error. What is no failure for the engine is none here.
func fail(span trace.Span, err error) {
	for outcome, is := range noFailures {
		if errors.Is(err, is) {
			span.SetAttributes(attribute.String("stint.outcome", outcome))
			return
		}
	}
	code := Code(err)
	span.SetAttributes(attribute.String("error.type", code))
	span.SetStatus(codes.Error, code)
}

// noFailures are the errors by which work says that it was asked to stop, or overtaken.
var noFailures = map[string]error{"drained": tasks.ErrDrained, "stale": tasks.ErrStale, "cancelled": context.Canceled}

// Code returns a short name for an error, which holds nothing of its text: the SQLSTATE of PostgreSQL, the result code of SQLite,
// timeout, or else the type of its innermost cause. "" for nil.
func Code(err error) string {
	if err == nil {
		return ""
	}
	var state interface{ SQLState() string }
	var number interface{ Code() int }
	switch {
	case errors.As(err, &state):
		return "SQLSTATE " + state.SQLState()
	case errors.As(err, &number):
		return "code " + strconv.Itoa(number.Code())
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	for {
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if next := e.Unwrap(); next != nil {
				err = next
				continue
			}
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				err = all[0]
				continue
			}
		}
		return fmt.Sprintf("%T", err)
	}
}
