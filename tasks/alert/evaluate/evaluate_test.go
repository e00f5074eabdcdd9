package evaluate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

var zero = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// stream is events that can be searched from a time on.
type stream struct {
	docs  []docsearch.Document
	since map[string]time.Time
	now   time.Time
	asked int
	fails bool
}

func (s *stream) add(at, since time.Time, fields map[string]any) {
	id := fmt.Sprint("e", len(s.docs))
	doc := map[string]any{"@timestamp": at.Format("2006-01-02T15:04:05.000Z07:00")}
	for k, v := range fields {
		doc[k] = v
	}
	if s.since == nil {
		s.since = map[string]time.Time{}
	}
	s.docs, s.since[id] = append(s.docs, docsearch.Document{Index: "logs", ID: id, Source: doc}), since
}

// source answers as of now; a query counts.
func (s *stream) source() source.Source {
	if s.fails {
		return source.Broken(errors.New("the source is down"))
	}
	return counted{source.NewEvents(source.Events{Documents: s.docs, Now: func() time.Time { return s.now },
		Visible: func(d docsearch.Document) bool { return !s.since[d.ID].After(s.now) }}), &s.asked}
}

type counted struct {
	source.Source
	n *int
}

func (c counted) Search(ctx context.Context, q source.Query, page func([]source.Hit) error) (source.Found, error) {
	*c.n++
	return c.Source.Search(ctx, q, page)
}

func anyRule(change func(*rule.Rule)) *rule.Rule {
	r := &rule.Rule{Name: "r", Type: rule.Any, Source: "logs", Index: "logs", Timestamp: rule.Timestamp{Field: "@timestamp", Type: "iso"}, RunEvery: time.Minute,
		BufferTime: 5 * time.Minute, RealertKey: "r", MinDocCount: 1}
	if change != nil {
		change(r)
	}
	return r
}

// through writes a state down and reads it, as between two processes.
func through(t *testing.T, s evaluate.State) evaluate.State {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out, err := evaluate.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ids are those of the matches of alerts.
func ids(list []evaluate.Alert) (out []string) {
	for _, a := range list {
		for _, m := range a.Matches {
			out = append(out, m["_id"].(string))
		}
	}
	return out
}

// Each event is a match once, however late it comes within buffer_time, whoever evaluates, and whatever windows are left out because
// the source or everybody was away.
func TestEachEventIsMatchedOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 7))
		var s stream
		const minutes = 40
		for range random.IntN(60) {
			at := zero.Add(time.Duration(random.IntN(minutes*60_000)) * time.Millisecond)
			if random.IntN(4) == 0 {
				at = at.Truncate(time.Minute) // on the border of two windows
			}
			late := time.Duration(0)
			if random.IntN(3) == 0 {
				late = time.Duration(random.IntN(4*60)) * time.Second
			}
			s.add(at, at.Add(late), map[string]any{"n": json.Number(fmt.Sprint(random.IntN(3)))})
		}
		r := anyRule(nil)
		state := evaluate.State{End: zero.Add(-time.Minute), Due: zero.Add(-time.Minute)}
		seen := map[string]int{}
		for wall := zero; !wall.After(zero.Add((minutes + 6) * time.Minute)); wall = wall.Add(time.Minute) {
			if random.IntN(4) == 0 && wall.Before(zero.Add(minutes*time.Minute)) {
				continue // nobody is there
			}
			s.now, s.fails = wall, random.IntN(8) == 0 && wall.Before(zero.Add(minutes*time.Minute))
			for due := state.NextDue(r, wall); !due.After(wall); due = state.NextDue(r, wall) {
				out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), due)
				if s.fails {
					if err == nil {
						t.Fatal("a source that is down was no error")
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, id := range ids(out.Alerts) {
					seen[id]++
				}
				if random.IntN(10) > 0 { // else this one died before it could write, and it is evaluated again
					state = through(t, out.State)
				} else {
					for _, id := range ids(out.Alerts) {
						seen[id]--
					}
				}
			}
		}
		for _, d := range s.docs {
			if seen[d.ID] != 1 {
				t.Errorf("seed %d: %s (at %v, searchable from %v) was matched %d times", seed, d.ID, d.Source["@timestamp"], s.since[d.ID], seen[d.ID])
			}
		}
	}
}

// What is evaluated an hour late is what would have been evaluated in time.
func TestWindowsThatAreCaughtUpGiveWhatTheyWouldHaveGivenInTime(t *testing.T) {
	t.Parallel()
	var s stream
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		at := zero.Add(time.Duration(random.IntN(3600)) * time.Second)
		s.add(at, at, map[string]any{"u": fmt.Sprint(random.IntN(4)), "v": json.Number(fmt.Sprint(random.IntN(10)))})
	}
	s.now = zero.Add(2 * time.Hour)
	for _, r := range []*rule.Rule{
		anyRule(func(r *rule.Rule) { r.Realert, r.QueryKey = 7*time.Minute, []string{"u"} }),
		anyRule(func(r *rule.Rule) {
			r.Type, r.NumEvents, r.Timeframe, r.Realert = rule.Frequency, 12, 3*time.Minute, 2*time.Minute
		}),
		anyRule(func(r *rule.Rule) { r.Type, r.Threshold, r.Timeframe = rule.Flatline, 3, 2*time.Minute }),
		anyRule(func(r *rule.Rule) { r.Aggregation.For = 4 * time.Minute }),
		anyRule(func(r *rule.Rule) { r.Realert, r.ExponentialRealert = time.Minute, 20*time.Minute }),
	} {
		run := func(every time.Duration) (told []string) {
			state := evaluate.State{End: zero, Due: zero}
			for wall := zero.Add(every); !wall.After(zero.Add(time.Hour)); wall = wall.Add(every) {
				for due := state.NextDue(r, wall); !due.After(wall); due = state.NextDue(r, wall) {
					out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), due)
					if err != nil {
						t.Fatal(err)
					}
					for _, a := range out.Alerts {
						b, err := json.Marshal(a)
						if err != nil {
							t.Fatal(err)
						}
						told = append(told, string(b))
					}
					for _, key := range out.Resolved {
						told = append(told, fmt.Sprint(due, " over ", key))
					}
					state = through(t, out.State)
				}
			}
			return told
		}
		inTime, late := run(time.Minute), run(time.Hour)
		if len(inTime) == 0 || !slices.Equal(inTime, late) {
			t.Errorf("%s: in time\n%s\nlate\n%s", r.Type, strings.Join(inTime, "\n"), strings.Join(late, "\n"))
		}
	}
}

// Where nothing comes late a window costs one query.
func TestEventsThatWereReadAreOnlyCounted(t *testing.T) {
	t.Parallel()
	var s stream
	for i := range 50 {
		at := zero.Add(time.Duration(i+1) * 10 * time.Second)
		s.add(at, at, nil)
	}
	s.add(zero.Add(90*time.Second), zero.Add(150*time.Second), nil) // one comes a minute late
	r, state := anyRule(nil), evaluate.State{End: zero, Due: zero}
	var late, hits int64
	for m := 1; m <= 6; m++ {
		s.now = zero.Add(time.Duration(m) * time.Minute)
		out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), s.now)
		if err != nil {
			t.Fatal(err)
		}
		late, hits, state = late+out.Late, hits+int64(len(out.Matches)), through(t, out.State)
	}
	if s.asked != 7 || late != 1 || hits != 37 {
		t.Errorf("%d queries, %d late, %d matches", s.asked, late, hits)
	}
}

func TestARuleRemembersABoundedNumberOfEvents(t *testing.T) {
	t.Parallel()
	var s stream
	for i := range evaluate.MaxSeen + 5_000 {
		at := zero.Add(time.Duration(i) * 2 * time.Millisecond)
		s.add(at, at, nil)
	}
	s.add(zero.Add(49*time.Second), zero.Add(70*time.Second), nil) // late, and within what is remembered
	s.add(zero.Add(time.Second), zero.Add(70*time.Second), nil)    // late, and before it
	r, state := anyRule(nil), evaluate.State{End: zero.Add(-time.Minute), Due: zero.Add(-time.Minute)}
	for m := 1; m <= 3; m++ {
		s.now = zero.Add(time.Duration(m) * time.Minute)
		out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), s.now)
		if err != nil {
			t.Fatal(err)
		}
		state = through(t, out.State)
		if m == 1 && (len(state.Seen.IDs) != evaluate.MaxSeen-1 && len(state.Seen.IDs) != evaluate.MaxSeen || len(out.Notes) != 1) {
			t.Errorf("it remembers %d events and says %v", len(state.Seen.IDs), out.Notes)
		}
		if want := map[int]int64{1: 0, 2: 1, 3: 0}[m]; out.Late != want {
			t.Errorf("minute %d: %d late, want %d", m, out.Late, want)
		}
	}
}

func TestARuleIsEvaluatedInItsMinutesOnly(t *testing.T) {
	t.Parallel()
	var s stream
	for m := range 60 {
		at := zero.Add(time.Duration(m)*time.Minute + 30*time.Second)
		s.add(at, at, nil)
	}
	s.now = zero.Add(time.Hour)
	for covered, want := range map[bool]int{false: 55, true: 10} {
		r := anyRule(func(r *rule.Rule) { r.LimitExecution, r.LimitCoverage = "10-14,50-54 * * * *", covered })
		state, n := evaluate.State{End: zero, Due: zero}, 0
		for m := 1; m <= 60; m++ {
			out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), zero.Add(time.Duration(m)*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			n, state = n+len(out.Matches), through(t, out.State)
		}
		if covered && n > want || !covered && n < 54 {
			t.Errorf("limited coverage %v: %d matches, want about %d", covered, n, want)
		}
	}
}

func TestTheGridCountsFromTheEpoch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		at    string
		every time.Duration
		want  string
	}{{"2026-03-01T00:00:59.999Z", time.Minute, "2026-03-01T00:00:00Z"}, {"2026-03-01T00:01:00Z", time.Minute, "2026-03-01T00:01:00Z"},
		{"2026-03-01T00:01:07Z", 5 * time.Second, "2026-03-01T00:01:05Z"}, {"2026-03-01T05:01:07+02:00", time.Hour, "2026-03-01T03:00:00Z"}} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := evaluate.Grid(at, c.every).Format(time.RFC3339); got != c.want {
			t.Errorf("%s by %v: %s, want %s", c.at, c.every, got, c.want)
		}
	}
	r, old := anyRule(nil), evaluate.State{Due: zero.Add(-30 * 24 * time.Hour)}
	if next := old.NextDue(r, zero); zero.Sub(next) > evaluate.OldQueryLimit {
		t.Errorf("a rule that was not evaluated for a month goes on at %v", next)
	}
}

func TestAStateThatIsNotChangedIsNotChanged(t *testing.T) {
	t.Parallel()
	var s stream
	s.add(zero.Add(time.Second), zero, map[string]any{"u": "a"})
	s.now = zero.Add(time.Minute)
	r := anyRule(func(r *rule.Rule) { r.Realert, r.Aggregation.For = time.Minute, time.Minute })
	out, err := evaluate.Evaluate(t.Context(), r, evaluate.State{}, s.source(), s.now)
	if err != nil {
		t.Fatal(err)
	}
	before := through(t, out.State)
	if _, err := evaluate.Evaluate(t.Context(), r, out.State, s.source(), s.now.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(through(t, out.State), before) {
		t.Errorf("the state was changed by an evaluation of it")
	}
}

// An alert of one event gets as loud as its ladder says.
func TestAnAlertIsNotOverBeforeItsLadderHasBeenClimbed(t *testing.T) {
	t.Parallel()
	r := anyRule(nil)
	if got := evaluate.ResolveAfter(r); got != 5*time.Minute {
		t.Errorf("without a ladder it is over after %v", got)
	}
	r.Escalate = []rule.Level{{To: []string{"chat"}}, {After: 30 * time.Minute, To: []string{"sms"}, Repeat: 10 * time.Minute, Repeats: 3}}
	if got := evaluate.ResolveAfter(r); got != 65*time.Minute {
		t.Errorf("with one that takes an hour it is over after %v", got)
	}
	if r.ResolveAfter = time.Minute; evaluate.ResolveAfter(r) != time.Minute {
		t.Error("what the rule says does not go first")
	}
}

func TestTheBaselineOfAKeyOfSeveralPartsIsOfThemTogether(t *testing.T) {
	t.Parallel()
	var s stream
	for i, v := range []map[string]any{{"u": "ann", "n": json.Number("1"), "up": true}, {"u": "ann", "n": json.Number("1"), "up": true}, {"u": "ann", "n": json.Number("1"), "up": false}} {
		at := zero.Add(-24 * time.Hour)
		if i > 0 {
			at = zero.Add(time.Duration(i) * time.Second)
		}
		s.add(at, at, v)
	}
	s.now = zero.Add(time.Minute)
	r := anyRule(func(r *rule.Rule) {
		r.Type, r.QueryKey, r.TermsWindow, r.WindowStep = rule.NewTerm, []string{"u", "n", "up"}, 48*time.Hour, 24*time.Hour
	})
	out, err := evaluate.Evaluate(t.Context(), r, evaluate.State{}, s.source(), s.now)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Matches) != 1 || out.Matches[0]["new_field"] != "u,n,up" || out.Matches[0]["u,n,up"] != "ann, 1, False" {
		t.Errorf("the matches are %v", out.Matches)
	}
}

// A rule that looks at its whole timeframe each time, longer than buffer_time, knows what it has counted.
func TestAnEventOfAWholeTimeframeIsCountedOnce(t *testing.T) {
	t.Parallel()
	for events, want := range map[int]int{3: 0, 5: 1} {
		var s stream
		for i := range events {
			at := zero.Add(time.Duration(i+1) * 10 * time.Second)
			s.add(at, at, nil)
		}
		r := anyRule(func(r *rule.Rule) {
			r.Type, r.NumEvents, r.Timeframe, r.ScanEntire, r.BufferTime = rule.Frequency, 5, time.Hour, true, 15*time.Minute
		})
		state, alerts := evaluate.State{End: zero, Due: zero}, 0
		for m := range 120 {
			s.now = zero.Add(time.Duration(m+1) * time.Minute)
			out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), s.now)
			if err != nil {
				t.Fatal(err)
			}
			alerts += len(out.Alerts)
			state = through(t, out.State)
		}
		if alerts != want {
			t.Errorf("%d events, of which 5 within an hour are wanted, make %d alerts", events, alerts)
		}
	}
}

// Matches of several keys are one alert where they are told together: it is not over as long as any of them goes on.
func TestAnAlertOfSeveralKeysIsNotOverWhileMatchesGoOn(t *testing.T) {
	t.Parallel()
	const last = 50 // minutes in which something matches
	var s stream
	for i := range 2 * last {
		at := zero.Add(time.Duration(i) * 30 * time.Second)
		s.add(at, at, map[string]any{"u": fmt.Sprint(i / 2 % 3), "v": json.Number(fmt.Sprint(i))})
	}
	for name, r := range map[string]*rule.Rule{
		"by time": anyRule(func(r *rule.Rule) {
			r.QueryKey, r.Aggregation.For = []string{"u"}, 20*time.Minute
		}),
		"silent": anyRule(func(r *rule.Rule) {
			r.QueryKey, r.Aggregation.For, r.Realert, r.ResolveAfter = []string{"u"}, time.Minute, 30*time.Minute, 6*time.Minute
		}),
		"by the lights of its type": anyRule(func(r *rule.Rule) {
			r.Type, r.QueryKey, r.Aggregation.For = rule.Cardinality, []string{"u"}, 2*time.Minute
			r.Cardinality, r.MaxCardinality, r.Timeframe = "v", new(int), 2*time.Minute
		}),
	} {
		state := evaluate.State{End: zero, Due: zero}
		alerts, over := 0, []int{}
		for minute := 1; minute <= 3*last; minute++ {
			s.now = zero.Add(time.Duration(minute) * time.Minute)
			out, err := evaluate.Evaluate(t.Context(), r, state, s.source(), s.now)
			if err != nil {
				t.Fatal(err)
			}
			alerts += len(out.Alerts)
			for range out.Resolved {
				over = append(over, minute)
			}
			state = through(t, out.State)
		}
		if alerts == 0 || len(over) != 1 || over[0] < last {
			t.Errorf("%s: %d alerts, over at minutes %v", name, alerts, over)
		}
	}
}
