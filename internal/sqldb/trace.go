package sqldb

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/tasks"
)

// What is traced: one span for each batch that is loaded, and one for each range that is read, below the span in the context. They
// tell of tables and counts, and never of a value, a key, a parameter or the text of an error.

// traceLoad begins the span of one batch on its way into a table.
func traceLoad(ctx context.Context, d Dialect, t *Table) (context.Context, trace.Span) {
	_, operation := d.words().system()
	return traceStatement(ctx, d, operation, t)
}

func traceStatement(ctx context.Context, d Dialect, operation string, t *Table) (context.Context, trace.Span) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return spans.Begin(ctx, "") // does nothing, and so needs no name
	}
	system, _ := d.words().system()
	ctx, span := spans.Begin(ctx, operation+" "+t.FullName())
	span.SetAttributes(attribute.String("db.system.name", system), attribute.String("db.operation.name", operation),
		attribute.String("db.collection.name", t.FullName()))
	return ctx, span
}

// endLoad ends the span of a batch with what was committed of it.
func endLoad(span trace.Span, c tasks.Counters, err error) {
	if span.IsRecording() {
		span.SetAttributes(attribute.Int64("stint.rows.read", c.Read), attribute.Int64("stint.rows.written", c.Written),
			attribute.Int64("stint.rows.quarantined", c.Quarantined), attribute.Int64("stint.bytes", c.Bytes))
		if errors.Is(err, ErrTaken) { // a rival was faster, which is what the ledger is for
			span.SetAttributes(attribute.String("stint.outcome", "taken"))
			err = nil
		}
	}
	spans.End(span, err)
}

// endRead ends the span of a range that was read, to its end or not.
func endRead(span trace.Span, rows int64, err error) {
	if span.IsRecording() {
		span.SetAttributes(attribute.Int64("stint.rows.read", rows))
	}
	spans.End(span, err)
}
