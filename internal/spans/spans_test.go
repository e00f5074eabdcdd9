package spans_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/stint-run/stint/internal/spans"
	"github.com/stint-run/stint/tasks"
)

func TestASpanStandsBelowTheOneInTheContext(t *testing.T) {
	t.Parallel()
	kept := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(kept))
	ctx, parent := tp.Tracer("test").Start(t.Context(), "step")
	_, span := spans.Begin(ctx, "COPY t")
	spans.End(span, nil)
	spans.End(span, errors.New("too late"))
	parent.End()
	got := kept.Ended()
	if len(got) != 2 || got[0].Name() != "COPY t" || got[0].Parent().SpanID() != parent.SpanContext().SpanID() || got[0].Status().Code != codes.Unset {
		t.Errorf("%+v", got)
	}
}

// It counts allocations, so it must run alone.
func TestWithoutASpanInTheContextNothingHappens(t *testing.T) {
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		_, span := spans.Begin(ctx, "COPY t")
		spans.End(span, io.EOF)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAnErrorIsTracedByItsCodeAndNotByItsText(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err    error
		status codes.Code
		want   string
	}{
		{fmt.Errorf("load: %w", tasks.Permanent(&pgconn.PgError{Code: "22P02", Message: `invalid input syntax: "canary"`})), codes.Error, "error.type=SQLSTATE 22P02"},
		{tasks.WithHint(errors.New("canary"), "canary", "canary"), codes.Error, "error.type=*errors.errorString"},
		{errors.Join(io.ErrUnexpectedEOF, errors.New("canary")), codes.Error, "error.type=*errors.errorString"},
		{tasks.WithHint(nil, "canary", "canary"), codes.Error, "error.type=*tasks.Error"},
		{fmt.Errorf("canary: %w", context.Canceled), codes.Unset, "stint.outcome=cancelled"},
		{fmt.Errorf("canary: %w", context.DeadlineExceeded), codes.Error, "error.type=timeout"},
		{fmt.Errorf("canary: %w", tasks.ErrDrained), codes.Unset, "stint.outcome=drained"},
		{fmt.Errorf("canary: %w", tasks.ErrStale), codes.Unset, "stint.outcome=stale"},
	} {
		kept := tracetest.NewSpanRecorder()
		ctx, parent := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(kept)).Tracer("test").Start(t.Context(), "step")
		_, span := spans.Begin(ctx, "x")
		spans.End(span, tc.err)
		parent.End()
		got := kept.Ended()[0]
		var said []string
		for _, a := range got.Attributes() {
			said = append(said, string(a.Key)+"="+a.Value.String())
		}
		if got.Status().Code != tc.status || strings.Join(said, " ") != tc.want || len(got.Events()) > 0 {
			t.Errorf("%v: %v %q %v", tc.err, got.Status(), said, got.Events())
		}
		if strings.Contains(fmt.Sprint(said, got.Status(), got.Events()), "canary") {
			t.Errorf("%v is told", tc.err)
		}
	}
}

func BenchmarkASpanThatNobodyRecords(b *testing.B) {
	b.ReportAllocs()
	ctx := b.Context()
	for b.Loop() {
		_, span := spans.Begin(ctx, "COPY t")
		spans.End(span, nil)
	}
}
