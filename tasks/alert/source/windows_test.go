package source_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks/alert/source"
)

// cuts are ends of windows that follow one another over an hour from t0: on and off whole seconds, some of them where events are.
func cuts(r *rand.Rand, events []time.Duration) []time.Duration {
	ends := []time.Duration{0, time.Hour}
	for range 25 {
		ends = append(ends, time.Duration(r.Int64N(int64(time.Hour))), time.Duration(r.IntN(3600))*time.Second)
	}
	for range 10 {
		if len(events) > 0 {
			ends = append(ends, events[r.IntN(len(events))])
		}
	}
	slices.Sort(ends)
	return slices.Compact(ends)
}

// inWindows reads all windows, and returns the ids in the order in which they came.
func inWindows(t *testing.T, src source.Source, q source.Query, ends []time.Duration) []string {
	t.Helper()
	var ids []string
	for i := 1; i < len(ends); i++ {
		q.Start, q.End = t0.Add(ends[i-1]), t0.Add(ends[i])
		hits := searchAll(t, src, q)
		for _, h := range hits {
			if h.At.Before(q.Start) || h.At.After(q.End) {
				t.Errorf("an event of %v is in (%v, %v]", h.At, q.Start, q.End)
			}
			ids = append(ids, h.ID)
		}
		if n, err := src.Count(context.Background(), q); err != nil || n != int64(len(hits)) {
			t.Errorf("(%v, %v]: %d hits, and a count of %d, %v", q.Start, q.End, len(hits), n, err)
		}
	}
	return ids
}

func TestWindowsThatFollowOneAnotherLoseAndRepeatNoRow(t *testing.T) {
	t.Parallel()
	kinds := []struct {
		name, typ string
		column    func(d sqldb.Dialect) string
		write     func(d sqldb.Dialect, at time.Time) string
	}{
		{"moments", "iso", moment, written},
		{"seconds", "unix", func(sqldb.Dialect) string { return "double precision" }, func(_ sqldb.Dialect, at time.Time) string { return fmt.Sprintf("%.6f", float64(at.UnixMicro())/1e6) }},
		{"milliseconds", "unix_ms", func(sqldb.Dialect) string { return "bigint" }, func(_ sqldb.Dialect, at time.Time) string { return fmt.Sprint(at.UnixMilli()) }},
		{"texts", "iso", func(sqldb.Dialect) string { return "varchar(40)" }, func(_ sqldb.Dialect, at time.Time) string {
			return at.In(time.FixedZone("", int(at.UnixMilli()%9-4)*3600)).Format("'2006-01-02T15:04:05.000000-07:00'")
		}},
	}
	for _, kind := range kinds {
		for seed, d := range []sqldb.Dialect{sqldb.SQLite, sqldb.Postgres, sqldb.MySQL} {
			t.Run(kind.name+" in "+string(d), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(uint64(seed), uint64(len(kind.name))))
				var events []time.Duration
				insert := func(n int) string {
					var rows []string
					for range n {
						at := time.Duration(r.Int64N(int64(time.Hour/time.Millisecond)))*time.Millisecond + time.Millisecond
						if r.IntN(4) == 0 {
							at = at.Truncate(time.Second) + time.Second
						}
						rows = append(rows, fmt.Sprintf("(%d, %s)", len(events), kind.write(d, t0.Add(at))))
						events = append(events, at)
					}
					return "INSERT INTO ev VALUES " + strings.Join(rows, ", ")
				}
				reading := database(t, d, "CREATE TABLE ev (id integer, happened "+kind.column(d)+")", insert(400))
				src := source.NewSQL(reading)
				q := windowOf(0, 0)
				q.Type, q.IDField, q.PageSize = kind.typ, "id", 17
				ids := inWindows(t, src, q, cuts(r, events))
				eachOnce(t, ids, events)

				// Rows that come late are counted where windows have been read, and given where none has.
				run(t, open(t, reading.Location, sqldb.Options{}), insert(100))
				q.Start, q.End, q.Known = t0, t0.Add(time.Hour), t0.Add(events[7])
				var known, later int64
				for _, at := range events {
					if at <= events[7] {
						known++
					} else {
						later++
					}
				}
				if _, found := searched(t, src, q); found.Known != known || found.New != later {
					t.Errorf("after %v: %+v, want %d and %d", events[7], found, known, later)
				}
			})
		}
	}
}

// eachOnce checks that the ids are those of all events, by time.
func eachOnce(t *testing.T, ids []string, events []time.Duration) {
	t.Helper()
	if len(ids) != len(events) {
		t.Fatalf("%d of %d events", len(ids), len(events))
	}
	seen := map[string]bool{}
	last := time.Duration(0)
	for _, id := range ids {
		var n int
		if _, err := fmt.Sscan(id, &n); err != nil || seen[id] || events[n] < last {
			t.Fatalf("event %s comes twice, or too late", id)
		}
		seen[id], last = true, events[n]
	}
}

func TestWindowsThatFollowOneAnotherLoseAndRepeatNoSample(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# TYPE m gauge\n")
	for s := range 4 {
		for i := range 61 {
			fmt.Fprintf(&b, "m{s=\"%d\"} %d %d\n", s, i, t0.Unix()+int64(60*i))
		}
	}
	src := prometheus(t, b.String()+"# EOF\n")
	for seed, step := range []time.Duration{time.Second, 15 * time.Second, 7 * time.Second, 2500 * time.Millisecond} {
		q := source.Query{Text: "m", Field: "@timestamp", Step: step, Start: t0, End: t0.Add(time.Hour)}
		var whole []string
		for _, h := range searchAll(t, src, q) {
			whole = append(whole, h.ID)
		}
		if len(whole) != 4*int(t0.Add(time.Hour).UnixNano()/int64(step)-t0.UnixNano()/int64(step)) {
			t.Errorf("a step of %v gives %d samples", step, len(whole))
		}
		if parts := inWindows(t, src, q, cuts(rand.New(rand.NewPCG(uint64(seed), 1)), nil)); !slices.Equal(parts, whole) {
			t.Errorf("a step of %v gives %d samples in parts, %d in one", step, len(parts), len(whole))
		}
	}
}

func TestAQueryEndsWithWhoHasAskedForIt(t *testing.T) {
	t.Parallel()
	src := source.NewSQL(database(t, sqldb.Postgres))
	why := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 300*time.Millisecond, why)
	defer cancel()
	q := windowOf(0, time.Hour)
	q.Text = "SELECT TIMESTAMP '2026-03-01 12:00:01' AS happened, pg_sleep(60)::text AS slept"
	begun := time.Now()
	if _, err := src.Search(ctx, q, func([]source.Hit) error { return nil }); !errors.Is(err, why) || time.Since(begun) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
	// Who is given the rows may end the reading as well, and gets its own error back.
	q.Text = "SELECT TIMESTAMP '2026-03-01 12:00:01' AS happened, n FROM generate_series(1, 3000000) n"
	q.PageSize = 10
	begun = time.Now()
	if _, err := src.Search(context.Background(), q, func([]source.Hit) error { return why }); err != why || time.Since(begun) > 20*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}
