package telemetry

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"
)

// The fields by which a log line names its trace and span.
const (
	FieldTrace = "trace_id"
	FieldSpan  = "span_id"
)

// attrsKey is where WithAttrs keeps its attributes in a context.
type attrsKey struct{}

// WithAttrs puts attributes, such as job, step and attempt, into a context, for each line that is logged with it or with one below
// it. A name that is there already gets the new value.
func WithAttrs(ctx context.Context, attrs ...slog.Attr) context.Context {
	before, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	all := slices.DeleteFunc(slices.Clone(before), func(a slog.Attr) bool { return named(attrs, a.Key) })
	return context.WithValue(ctx, attrsKey{}, append(all, attrs...))
}

func named(attrs []slog.Attr, key string) bool {
	return slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
}

// LogHandler adds to each line what its context knows: the attributes of WithAttrs, and trace_id and span_id where there is a
// trace. They stand at the top level, whatever groups the logger has opened; a name that the line or its logger has there already
// is not said twice. A handler that does so already is returned as it is.
func LogHandler(next slog.Handler) slog.Handler {
	if h, ok := next.(*logHandler); ok {
		return h
	}
	return &logHandler{top: next, whole: next}
}

// logHandler is a handler to which a logger's groups can be applied late, behind what is to stand above them.
type logHandler struct {
	top   slog.Handler                      // before the first group
	whole slog.Handler                      // with all groups and attributes
	later []func(slog.Handler) slog.Handler // what leads from top to whole
	own   []slog.Attr                       // attributes that top has
}

// Enabled asks the handler below.
func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.whole.Enabled(ctx, level)
}

// Handle adds the context's fields and passes the line on.
func (h *logHandler) Handle(ctx context.Context, line slog.Record) error {
	add := h.fields(ctx, line)
	switch {
	case len(add) == 0:
		return h.whole.Handle(ctx, line)
	case len(h.later) == 0:
		line = line.Clone()
		line.AddAttrs(add...)
		return h.whole.Handle(ctx, line)
	}
	whole := h.top.WithAttrs(add)
	for _, apply := range h.later {
		whole = apply(whole)
	}
	return whole.Handle(ctx, line)
}

// fields returns what a context adds to a line.
func (h *logHandler) fields(ctx context.Context, line slog.Record) []slog.Attr {
	kept, _ := ctx.Value(attrsKey{}).([]slog.Attr)
	span := trace.SpanContextFromContext(ctx)
	if len(kept) == 0 && !span.IsValid() {
		return nil
	}
	taken := slices.Clone(h.own)
	if len(h.later) == 0 { // else the line's own fields are in a group
		line.Attrs(func(a slog.Attr) bool { taken = append(taken, a); return true })
	}
	var add []slog.Attr
	for _, a := range kept {
		if !named(taken, a.Key) {
			add = append(add, a)
		}
	}
	if span.IsValid() {
		add = append(add, slog.String(FieldTrace, span.TraceID().String()), slog.String(FieldSpan, span.SpanID().String()))
	}
	return add
}

// WithAttrs is slog.Handler's.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(h.later) == 0 {
		top := h.top.WithAttrs(attrs)
		return &logHandler{top: top, whole: top, own: append(slices.Clone(h.own), attrs...)}
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

// WithGroup is slog.Handler's.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) with(apply func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{top: h.top, whole: apply(h.whole), later: append(slices.Clone(h.later), apply), own: h.own}
}
