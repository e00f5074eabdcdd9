package worker

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/internal/store"
	"github.com/stint-run/stint/internal/telemetry"
	"github.com/stint-run/stint/tasks"
)

// telling is what is told of one attempt to the outside: a span below the one that submitted its job, counts, and a line in the log.
type telling struct {
	w     *Worker
	r     *run
	kind  string
	span  trace.Span
	began time.Time
}

// tell begins to tell of an attempt. The context that it returns carries the attempt's span.
func (w *Worker) tell(ctx context.Context, r *run) (context.Context, *telling) {
	a := r.attempt
	t := &telling{w: w, r: r, kind: a.Job.Kind, began: time.Now(), span: trace.SpanFromContext(ctx)}
	w.o.Telemetry.Metrics.StepBegan(ctx, t.kind)
	r.mu.Lock()
	r.toldOf = t.kind
	r.mu.Unlock()
	if a.Job.Trace == "" { // a trace of its own for each attempt would help nobody
		return ctx, t
	}
	ctx, t.span = w.o.Telemetry.Tracer().Start(telemetry.Extract(ctx, a.Job.Trace), spanName(r), trace.WithSpanKind(trace.SpanKindConsumer))
	if t.span.IsRecording() {
		t.span.SetAttributes(attribute.String("stint.job", r.ref.Job), attribute.String("stint.kind", t.kind), attribute.String("stint.attempt", a.ID),
			attribute.String("stint.worker", w.o.ID), attribute.String("stint.worker_version", w.o.Version), attribute.Bool("stint.resumed", a.Resumed))
		if a.Stage.Name != "" {
			t.span.SetAttributes(attribute.String("stint.stage", a.Stage.Name))
		}
		if a.Step.ID != "" {
			t.span.SetAttributes(attribute.String("stint.step", a.Step.ID))
		}
	}
	return ctx, t
}

// spanName is the name of an attempt's span. There are as many of them as stages.
func spanName(r *run) string {
	name := "plan"
	switch kind, _, _ := store.ParseKey(r.ref.Key); kind {
	case store.SplitKey:
		name = "split"
	case store.RunKey:
		name = "attempt"
	}
	if r.attempt.Stage.Name != "" {
		name += " " + r.attempt.Stage.Name
	}
	return name
}

// end tells what came of the attempt: a word of the outcome table, and the error where it is one.
func (t *telling) end(ctx context.Context, word string, err error) {
	took := time.Since(t.began)
	m := t.w.o.Telemetry.Metrics
	m.StepEnded(ctx, t.kind, word, took)
	if word == wordStale { // what it has done, the attempt that holds the step tells
		m.Fenced(ctx)
	} else {
		t.w.countRows(ctx, t.r, t.r.attempt.Counters())
	}
	t.w.o.Log.DebugContext(ctx, "attempt ended", "outcome", word, "took", took)
	if t.span.IsRecording() {
		t.span.SetAttributes(attribute.String("stint.outcome", word))
		if word == wordPostponed {
			t.span.SetAttributes(attribute.String("error.type", spans.Code(err)))
		}
	}
	switch word {
	case wordRetried, wordFailed, wordUnsettled:
		t.span.SetStatus(codes.Error, word) // the error's code, where there is one, says more
	default:
		err = nil // the outcome has said it: nothing is wrong with the attempt
	}
	spans.End(t.span, err)
}

// countRows adds to the metrics what a step has done since they were last told of it. Absolute counters may come late, or twice.
func (w *Worker) countRows(ctx context.Context, r *run, c tasks.Counters) {
	r.mu.Lock()
	before, kind := r.told, r.toldOf
	r.told = tasks.Counters{Read: max(before.Read, c.Read), Written: max(before.Written, c.Written), Quarantined: max(before.Quarantined, c.Quarantined),
		Skipped: max(before.Skipped, c.Skipped), Bytes: max(before.Bytes, c.Bytes)}
	more := tasks.Counters{Read: r.told.Read - before.Read, Written: r.told.Written - before.Written, Quarantined: r.told.Quarantined - before.Quarantined,
		Skipped: r.told.Skipped - before.Skipped, Bytes: r.told.Bytes - before.Bytes}
	r.mu.Unlock()
	w.o.Telemetry.Metrics.Rows(ctx, kind, more)
}
