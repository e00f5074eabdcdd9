package telemetry_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/slogtest"

	"github.com/stint-run/stint/internal/telemetry"
)

const (
	someTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	someSpan  = "00f067aa0ba902b7"
)

// traced returns a context with a span in it.
func traced(ctx context.Context) context.Context {
	return telemetry.Extract(ctx, "00-"+someTrace+"-"+someSpan+"-01")
}

// logger returns a logger without times, and what reads its only line.
func logger() (*slog.Logger, *strings.Builder) {
	var out strings.Builder
	return slog.New(telemetry.LogHandler(slog.NewTextHandler(&out, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}}))), &out
}

func TestALogLineCarriesTheIDsOfItsTraceAndWhatItsContextKnows(t *testing.T) {
	t.Parallel()
	ids := " trace_id=" + someTrace + " span_id=" + someSpan + "\n"
	for _, tc := range []struct {
		what string
		log  func(ctx context.Context, l *slog.Logger)
		want string
	}{
		{"nothing", func(_ context.Context, l *slog.Logger) { l.Info("m", "a", 1) }, "msg=m a=1\n"},
		{"a trace", func(ctx context.Context, l *slog.Logger) { l.InfoContext(traced(ctx), "m", "a", 1) }, "msg=m a=1" + ids},
		{"attributes, the later ones first of their name", func(ctx context.Context, l *slog.Logger) {
			ctx = telemetry.WithAttrs(ctx, slog.String("job", "j1"), slog.String("step", "1"))
			l.InfoContext(telemetry.WithAttrs(ctx, slog.String("step", "2"), slog.String("attempt", "x")), "m")
		}, "msg=m job=j1 step=2 attempt=x\n"},
		{"a name that the line has", func(ctx context.Context, l *slog.Logger) {
			l.InfoContext(telemetry.WithAttrs(ctx, slog.String("job", "j1"), slog.String("step", "1")), "m", "job", "mine")
		}, "msg=m job=mine step=1\n"},
		{"a name that the logger has", func(ctx context.Context, l *slog.Logger) {
			l.With("job", "mine").InfoContext(telemetry.WithAttrs(ctx, slog.String("job", "j1"), slog.String("step", "1")), "m")
		}, "msg=m job=mine step=1\n"},
		{"a group", func(ctx context.Context, l *slog.Logger) {
			ctx = traced(telemetry.WithAttrs(ctx, slog.String("job", "j1")))
			l.With("w", 1).WithGroup("g").With("in", 2).InfoContext(ctx, "m", "job", "inner")
		}, "msg=m w=1 job=j1 trace_id=" + someTrace + " span_id=" + someSpan + " g.in=2 g.job=inner\n"},
	} {
		l, out := logger()
		tc.log(t.Context(), l)
		if out.String() != tc.want {
			t.Errorf("%s: got %swant %s", tc.what, out, tc.want)
		}
	}
}

func TestAContextWithAttributesIsNotChangedByOneBelow(t *testing.T) {
	t.Parallel()
	l, out := logger()
	ctx := telemetry.WithAttrs(t.Context(), slog.String("job", "j1"))
	telemetry.WithAttrs(ctx, slog.String("job", "j2"), slog.String("step", "1"))
	l.InfoContext(ctx, "m")
	if want := "msg=m job=j1\n"; out.String() != want {
		t.Errorf("got %s", out)
	}
}

// TestTheHandlerKeepsTheRulesOfSlog runs the suite of the standard library, with and without fields from the context.
func TestTheHandlerKeepsTheRulesOfSlog(t *testing.T) {
	t.Parallel()
	for _, inner := range []func(slog.Handler) slog.Handler{
		func(h slog.Handler) slog.Handler { return h },
		func(h slog.Handler) slog.Handler {
			return always{h, telemetry.WithAttrs(t.Context(), slog.String("job", "j1"))}
		},
	} {
		var out strings.Builder
		err := slogtest.TestHandler(inner(telemetry.LogHandler(slog.NewJSONHandler(&out, nil))), func() []map[string]any {
			var all []map[string]any
			for line := range strings.Lines(out.String()) {
				var m map[string]any
				if err := json.Unmarshal([]byte(line), &m); err != nil {
					t.Fatal(err)
				}
				all = append(all, m)
			}
			return all
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// always logs each line with one context.
type always struct {
	slog.Handler
	ctx context.Context
}

func (a always) Handle(_ context.Context, r slog.Record) error { return a.Handler.Handle(a.ctx, r) }
func (a always) WithAttrs(attrs []slog.Attr) slog.Handler {
	return always{a.Handler.WithAttrs(slices.Clone(attrs)), a.ctx}
}
func (a always) WithGroup(name string) slog.Handler { return always{a.Handler.WithGroup(name), a.ctx} }
