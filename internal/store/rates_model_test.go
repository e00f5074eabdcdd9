package store

import (
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/internal/redistest"
)

// Whatever is asked of an endpoint and of a tenant, in whatever order and at whatever rate: what is let through by the n-th time keeps
// to the rate, but for the burst, and one that has not been asked for long is let through at once.
func TestWhatIsLetThroughKeepsToItsRate(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		s, ctx := New(rdb), rt.Context()
		now := func() time.Time {
			at, err := rdb.Time(ctx).Result()
			if err != nil {
				rt.Fatal(err)
			}
			return at
		}
		perSecond := rapid.IntRange(1, 2000).Draw(rt, "a second")
		each := time.Second / time.Duration(perSecond)
		turns, takes := rapid.Bool().Draw(rt, "turns"), 0
		burst := time.Second - each
		if turns {
			burst = max(0, turnEarly-each)
		}
		var first time.Time
		for range rapid.IntRange(1, 60).Draw(rt, "asked") {
			before := now()
			var wait time.Duration
			given := true
			var err error
			if turns {
				wait, given, err = s.Turn(ctx, fmt.Sprint("e", n), float64(perSecond))
			} else {
				wait, err = s.Take(ctx, fmt.Sprint("t", n), "j", perSecond)
				given = wait == 0
			}
			after := now()
			switch {
			case err != nil || wait < 0:
				rt.Fatalf("wait %v, %v", wait, err)
			case !given && wait == 0:
				rt.Fatalf("not let through, and told to ask again at once")
			case !given && wait > time.Duration(takes)*each+time.Millisecond:
				rt.Fatalf("told to wait %v after %d of one each %v", wait, takes, each)
			case turns && given && wait > turnAhead:
				rt.Fatalf("a turn in %v, which is further than %v", wait, turnAhead)
			case given && takes == 0:
				if first = before; wait > 0 {
					rt.Fatalf("the first one waits for %v", wait)
				}
			}
			if given {
				// The n-th may come n intervals after the first, less the burst; a microsecond each is lost to rounding.
				if at, earliest := after.Add(wait), first.Add(time.Duration(takes)*(each-time.Microsecond)-burst-time.Millisecond); at.Before(earliest) {
					rt.Fatalf("number %d of one each %v comes at %v, the earliest is %v", takes, each, at, earliest)
				}
				takes++
			}
		}
	})
}

// Rates are sums that fade: of each field the script keeps what the model says, and of all fields no more than it may.
func TestTheScriptOfRatesDoesWhatTheModelSays(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx, kept := rt.Context(), rapid.IntRange(3, 8).Draw(rt, "kept")
		keys := []string{fmt.Sprint("rates-", rt.Name()), fmt.Sprint("used-", rt.Name())}
		rdb.Del(ctx, keys...)
		type sums struct{ Rows, Seconds, Jobs float64 }
		want := map[string]sums{}
		for range rapid.IntRange(1, 30).Draw(rt, "jobs") {
			field := fmt.Sprint("f", rapid.IntRange(0, kept+1).Draw(rt, "field"))
			rows, seconds := rapid.IntRange(0, 1_000_000_000).Draw(rt, "rows"), rapid.Float64Range(0.001, 100_000).Draw(rt, "seconds")
			if err := rateScript.Run(ctx, rdb, keys, field, rows, seconds, rateDecay, kept).Err(); err != nil {
				rt.Fatal(err)
			}
			w := want[field]
			want[field] = sums{w.Rows*rateDecay + float64(rows), w.Seconds*rateDecay + seconds, w.Jobs + 1}
			all := rdb.HGetAll(ctx, keys[0]).Val()
			if len(all) != min(len(want), kept) || rdb.ZCard(ctx, keys[1]).Val() != int64(len(all)) {
				rt.Fatalf("%d rates are kept, want %d", len(all), min(len(want), kept))
			}
			for f := range want {
				body, there := all[f]
				if !there {
					delete(want, f)
					continue
				}
				var got sums
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					rt.Fatal(err)
				}
				near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*(1+math.Abs(b)) }
				if w := want[f]; !near(got.Rows, w.Rows) || !near(got.Seconds, w.Seconds) || got.Jobs != w.Jobs {
					rt.Fatalf("%s: %+v, want %+v", f, got, w)
				}
			}
		}
	})
}
