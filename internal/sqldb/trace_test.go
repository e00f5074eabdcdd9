package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// canary stands in rows of the tests below; no span may carry it.
const canary = "canary-4111-1111"

// traced returns a context with the span of a step in it, and what records the spans below it.
func traced(t *testing.T) (context.Context, *tracetest.SpanRecorder) {
	t.Helper()
	kept := tracetest.NewSpanRecorder()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(kept))
	ctx, step := tp.Tracer("test").Start(t.Context(), "step")
	t.Cleanup(func() { step.End() })
	return ctx, kept
}

// said writes the spans that have ended, each with its attributes, in the order of their names, and fails the test when one is no
// child of the step or carries the canary.
func said(t *testing.T, ctx context.Context, kept *tracetest.SpanRecorder) []string {
	t.Helper()
	var out []string
	for _, s := range kept.Ended() {
		if s.Parent().SpanID() != trace.SpanContextFromContext(ctx).SpanID() {
			t.Errorf("%s is no child of the step", s.Name())
		}
		if all := fmt.Sprint(s.Name(), s.Attributes(), s.Events(), s.Status()); strings.Contains(all, "canary") {
			t.Errorf("a value of a row is traced: %s", all)
		}
		line := s.Name()
		for _, a := range s.Attributes() {
			line += fmt.Sprintf(" %s=%s", a.Key, a.Value.String())
		}
		for _, e := range s.Events() {
			line += " [" + e.Name + "]"
		}
		out = append(out, line)
	}
	slices.Sort(out)
	return out
}

// loadTraced loads a table in batches of some rows.
func loadTraced(ctx context.Context, src, dst *DB, m *Mapping, rows int) error {
	b, err := NewBatcher(ctx, src, m, WalkOf(m.Source), dst.Dialect, nil, nil, Limits{Rows: rows})
	if err != nil {
		return err
	}
	defer b.Close()
	l, err := NewLoader(ctx, dst, m, opts("1"))
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		batch, err := b.Next()
		if err != nil {
			return err
		}
		_, err = l.Load(ctx, batch)
		last := batch.Last
		batch.Release()
		if err != nil || last {
			return err
		}
	}
}

func TestEachBatchAndEachRangeIsASpan(t *testing.T) {
	t.Parallel()
	rows := "INSERT INTO t VALUES (1, '" + canary + "'), (2, '" + canary + "'), (3, NULL)"
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)", rows)
	lite := "db.system.name=sqlite db.operation.name="
	pg := "db.system.name=postgresql db.operation.name="
	read := "SELECT t " + lite + "SELECT db.collection.name=t stint.rows.read=3"
	for _, tc := range []struct {
		dst  *DB
		want string
	}{
		{postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, s text)"), "COPY t " + pg + "COPY"},
		{sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)"), "INSERT t " + lite + "INSERT"},
	} {
		t.Run(string(tc.dst.Dialect), func(t *testing.T) {
			t.Parallel()
			m := pair(t, src, tc.dst, "t")
			ctx, kept := traced(t)
			if err := loadTraced(ctx, src, tc.dst, m, 2); err != nil {
				t.Fatal(err)
			}
			got := said(t, ctx, kept)
			for i := range got {
				got[i], _, _ = strings.Cut(got[i], " stint.bytes=")
			}
			want := []string{tc.want + " db.collection.name=t stint.rows.read=1 stint.rows.written=1 stint.rows.quarantined=0",
				tc.want + " db.collection.name=t stint.rows.read=2 stint.rows.written=2 stint.rows.quarantined=0", read}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestRowsThatAreRejectedAreTracedByTheirNumberAlone(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)", "INSERT INTO t VALUES (1, 'fine'), (2, '"+canary+"'), (3, 'fine too')")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, s text CHECK (s NOT LIKE 'canary%'))")
	m := pair(t, src, dst, "t")
	ctx, kept := traced(t)
	if err := loadTraced(ctx, src, dst, m, 10); err != nil {
		t.Fatal(err)
	}
	got := said(t, ctx, kept)
	if len(got) != 2 || !strings.Contains(got[0], "stint.rows.written=2 stint.rows.quarantined=1") || !strings.Contains(got[0], "[isolating rejected rows]") {
		t.Errorf("%q", got)
	}
}

func TestAFailureIsTracedByItsCode(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)", "INSERT INTO t VALUES (1, '"+canary+"')")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, s text)")
	m := pair(t, src, dst, "t")
	run(t, dst, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no room for %', NEW.s USING ERRCODE = '53100'; END $$`,
		"CREATE TRIGGER refuse BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION refuse()")
	ctx, kept := traced(t)
	if err := loadTraced(ctx, src, dst, m, 10); err == nil || !strings.Contains(err.Error(), canary) {
		t.Fatalf("the error is to name the row: %v", err)
	}
	if got := said(t, ctx, kept); len(got) != 2 || !strings.HasSuffix(got[0], "error.type=SQLSTATE 53100") {
		t.Errorf("%q", got)
	}
	lite := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)")
	m = pair(t, src, lite, "t")
	run(t, lite, "DROP TABLE stint_ledger")
	ctx, kept = traced(t)
	if err := loadTraced(ctx, src, lite, m, 10); err == nil {
		t.Fatal("no error")
	}
	if got := said(t, ctx, kept); len(got) != 2 || !strings.HasSuffix(got[0], "error.type=code 1") {
		t.Errorf("%q", got)
	}
}

func TestABatchThatARivalHasCommittedIsNoFailure(t *testing.T) {
	t.Parallel()
	src := sqliteFile(t, "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)", "INSERT INTO t VALUES (1, 'a')")
	dst := postgresDB(t, "CREATE TABLE t (id bigint PRIMARY KEY, s text)")
	m := pair(t, src, dst, "t")
	if err := loadTraced(t.Context(), src, dst, m, 10); err != nil {
		t.Fatal(err)
	}
	ctx, kept := traced(t)
	if err := loadTraced(ctx, src, dst, m, 10); !errors.Is(err, ErrTaken) {
		t.Fatal(err)
	}
	if got := said(t, ctx, kept); len(got) != 2 || !strings.HasSuffix(got[0], "stint.outcome=taken") {
		t.Errorf("%q", got)
	}
}
