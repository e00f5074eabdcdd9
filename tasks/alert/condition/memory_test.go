package condition_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// everyType is a rule of each type, and of those that can do more than one thing some more.
func everyType() map[string]rule.Rule {
	filter := func(v string) []map[string]any { return []map[string]any{{"v": v}} }
	key := []string{"k"}
	return map[string]rule.Rule{
		"any":                  {Type: rule.Any},
		"blacklist":            {Type: rule.Blacklist, CompareKey: []string{"v"}, List: []any{"a"}},
		"whitelist":            {Type: rule.Whitelist, CompareKey: []string{"v"}, List: []any{"a"}},
		"change":               {Type: rule.Change, CompareKey: []string{"v", "n"}, QueryKey: key, Timeframe: 20 * time.Second},
		"frequency":            {Type: rule.Frequency, NumEvents: 3, Timeframe: 20 * time.Second, QueryKey: key},
		"frequency, all":       {Type: rule.Frequency, NumEvents: 4, Timeframe: 5 * time.Second, AttachRelated: true},
		"spike":                {Type: rule.Spike, Timeframe: 10 * time.Second, SpikeHeight: 1.5, SpikeType: "both"},
		"spike by key":         {Type: rule.Spike, Timeframe: 10 * time.Second, SpikeHeight: 1.5, SpikeType: "up", QueryKey: key, AlertOnNewData: true},
		"spike of a field":     {Type: rule.Spike, Timeframe: 10 * time.Second, SpikeHeight: 1.2, SpikeType: "both", FieldValue: "n"},
		"flatline":             {Type: rule.Flatline, Threshold: 5, Timeframe: 10 * time.Second},
		"flatline by key":      {Type: rule.Flatline, Threshold: 3, Timeframe: 10 * time.Second, QueryKey: key, ForgetKeys: true},
		"new_term":             {Type: rule.NewTerm, Fields: []rule.Field{{"v"}, {"v", "n"}}, TermsWindow: 30 * time.Second, WindowStep: 5 * time.Second, AlertOnMissing: true},
		"cardinality":          {Type: rule.Cardinality, Timeframe: 10 * time.Second, Cardinality: "n", MaxCardinality: ptr(2), QueryKey: key},
		"cardinality, both":    {Type: rule.Cardinality, Timeframe: 10 * time.Second, Cardinality: "n", MaxCardinality: ptr(3), MinCardinality: ptr(2), QueryKey: key},
		"absence":              {Type: rule.Absence, Timeframe: 10 * time.Second, First: filter("a"), Then: filter("b"), QueryKey: key},
		"metric_aggregation":   {Type: rule.MetricAggregation, MetricKey: "n", MetricType: "avg", MaxThreshold: ptr(5.0), QueryKey: key},
		"percentage_match":     {Type: rule.PercentageMatch, MaxPercentage: ptr(50.0), QueryKey: key},
		"spike_aggregation":    {Type: rule.SpikeAggregation, MetricKey: "n", MetricType: "sum", Timeframe: 10 * time.Second, SpikeHeight: 2, SpikeType: "both", QueryKey: key},
		"spike_aggregation of": {Type: rule.SpikeAggregation, MetricKey: "n", MetricType: "min", Timeframe: 10 * time.Second, SpikeHeight: 2, SpikeType: "both"},
	}
}

// aStep is something for a condition of a rule, made of random data, and the end of it.
func aStep(r rule.Rule, rnd *rand.Rand, from, to float64) []func(condition.Condition) error {
	steps := []func(condition.Condition) error{end(to)}
	if rnd.IntN(4) == 0 {
		return steps
	}
	values := []string{`"a"`, `"b"`, `["c", 1]`, `null`, `1`, `1.0`, `0.1`, `"` + strings.Repeat("long ", 20) + `"`}
	value := func() string { return values[rnd.IntN(len(values))] }
	if r.Aggregates() {
		n := []string{"0.1", "0.2", "7", "null", "0"}[rnd.IntN(5)]
		leaf := fmt.Sprintf(`"metric_n_%s": {"value": %s}, "percentage_match_aggs": {"buckets": {"match_bucket": {"doc_count": %d}, "_other_": {"doc_count": 2}}}`, r.MetricType, n, rnd.IntN(5))
		if len(r.QueryKey) > 0 {
			leaf = `"bucket_aggs": {"buckets": [{"key": "x", ` + leaf + `}, {"key": 1, ` + leaf + `}]}`
		}
		return append([]func(condition.Condition) error{metrics(to, "{"+leaf+"}")}, steps...)
	}
	var hits []source.Hit
	for range 1 + rnd.IntN(6) {
		when := from + (to-from)*rnd.Float64()
		if rnd.IntN(5) == 0 {
			when = max(0, when-20)
		}
		hits = append(hits, event(when, fmt.Sprintf(`"k": %s, "v": %s, "n": %s`, value(), value(), value())))
	}
	return append([]func(condition.Condition) error{add(hits...)}, steps...)
}

func TestAConditionThatIsTakenUpAgainBehavesAsOneThatLivedOn(t *testing.T) {
	t.Parallel()
	for name, r := range everyType() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := 0
			for seed := range uint64(10) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				live, again := newCondition(t, r), newCondition(t, r)
				for now := 0.0; now < 120; {
					from := now
					now += 1 + float64(rnd.IntN(8))
					for _, do := range aStep(r, rnd, from, now) {
						memory, err := again.Save()
						if err != nil {
							t.Fatal(err)
						}
						again = newCondition(t, r)
						if err := again.Restore(memory); err != nil {
							t.Fatal(err)
						}
						for _, c := range []condition.Condition{live, again} {
							if err := do(c); err != nil {
								t.Fatal(err)
							}
						}
						a, b := live.Matches(), again.Matches()
						if found += len(a); !reflect.DeepEqual(plain(t, a), plain(t, b)) {
							t.Fatalf("seed %d at %v: the one found %v, the other %v", seed, now, plain(t, a), plain(t, b))
						}
						for _, key := range []string{"", "a", "1", "None", "x"} {
							w1, k1 := live.Quiet(key)
							if w2, k2 := again.Quiet(key); w1 != w2 || k1 != k2 {
								t.Fatalf("seed %d at %v: %q is %v, %v to the one and %v, %v to the other", seed, now, key, w1, k1, w2, k2)
							}
						}
					}
				}
				a, err := live.Save()
				if err != nil {
					t.Fatal(err)
				}
				if b, err := again.Save(); err != nil || string(a) != string(b) {
					t.Fatalf("seed %d: their memories are not the same: %s and %s, %v", seed, a, b, err)
				}
			}
			if found == 0 {
				t.Error("nothing was found at all")
			}
		})
	}
}

func plain(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRestoreOfNothingBeginsAnew(t *testing.T) {
	t.Parallel()
	for name, r := range everyType() {
		fresh, err := newCondition(t, r).Save()
		if err != nil {
			t.Fatal(err)
		}
		c := newCondition(t, r)
		for _, do := range aStep(r, rand.New(rand.NewPCG(7, 7)), 0, 10) {
			if err := do(c); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Restore(nil); err != nil {
			t.Fatal(err)
		}
		if again, err := c.Save(); err != nil || string(again) != string(fresh) {
			t.Errorf("%s: it still has %s, %v", name, again, err)
		}
	}
}

func TestAMemoryThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	for name, r := range everyType() {
		if name == "any" || name == "blacklist" || name == "whitelist" {
			continue
		}
		if err := newCondition(t, r).Restore(json.RawMessage(`{"keys": 7`)); err == nil {
			t.Errorf("%s takes it", name)
		}
	}
}

func TestAMemoryIsBoundedHoweverManyKeysAndEventsThereAre(t *testing.T) {
	t.Parallel()
	const limit, events = 300, 1000
	for _, name := range []string{"change", "frequency", "spike by key", "flatline by key", "cardinality", "cardinality, both", "absence"} {
		r := everyType()[name]
		r.Name, r.Timeframe, r.NumEvents, r.Threshold = "r", time.Hour, 1_000_000, 1_000_000
		c, err := condition.New(&r, condition.Options{MaxKeys: limit, Matches: fieldIs})
		if err != nil {
			t.Fatal(err)
		}
		filler := strings.Repeat("x", 20_000) // of which more than 4 MiB come together
		hits := make([]source.Hit, events)
		for i := range hits {
			when := at(float64(i) / 100)
			hits[i] = source.Hit{At: when, Doc: map[string]any{"@timestamp": condition.TimeText(when), "k": fmt.Sprint(i, filler), "v": "a", "n": fmt.Sprint(filler, i), "filler": filler}}
		}
		if err := c.AddData(hits); err != nil {
			t.Fatal(err)
		}
		if err := c.Collect(at(41)); err != nil {
			t.Fatal(err)
		}
		memory, err := c.Save()
		if err != nil {
			t.Fatal(err)
		}
		if most := condition.MaxDocuments + limit*3000; len(memory) > most { // of a key at most 1 KiB is kept, and as much of a value
			t.Errorf("%s: it has %d bytes of at most %d", name, len(memory), most)
		}
		if n := c.(interface{ Forgotten() int }).Forgotten(); n != events-limit {
			t.Errorf("%s: %d keys are forgotten", name, n)
		}
	}
}

func TestAMemoryIsBoundedForAKeyWithVeryManyEvents(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"frequency, all", "spike", "spike of a field", "flatline"} {
		r := everyType()[name]
		r.Timeframe, r.NumEvents, r.Threshold, r.AttachRelated = time.Hour, 1_000_000, 1_000_000, false
		c := newCondition(t, r)
		hits := make([]source.Hit, 10_000)
		for i := range hits {
			when := at(float64(i))
			hits[i] = source.Hit{At: when, Doc: map[string]any{"@timestamp": condition.TimeText(when), "n": json.Number("1")}}
		}
		if err := c.AddData(hits); err != nil {
			t.Fatal(err)
		}
		memory, err := c.Save()
		if err != nil {
			t.Fatal(err)
		}
		if len(memory) > 600_000 {
			t.Errorf("%s: it has %d bytes", name, len(memory))
		}
	}
}

func TestFrequencyOfVeryManyEventsIsRightToAThousandthOfItsTimeframe(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Frequency, NumEvents: 5_000, Timeframe: 100 * time.Second}
	for perSecond, want := range map[int]int{49: 0, 51: 1} {
		c := newCondition(t, r)
		found := 0
		for second := range 120 {
			hits := make([]source.Hit, perSecond)
			for j := range hits {
				hits[j] = event(float64(second)+float64(j)/float64(perSecond), "")
			}
			if err := c.AddData(hits); err != nil {
				t.Fatal(err)
			}
			found += len(c.Matches())
		}
		if found != want {
			t.Errorf("with %d a second it found %d", perSecond, found)
		}
	}
}

func TestAKeyThatWasSeenLongestAgoIsForgottenFirst(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Name: "r", Type: rule.Frequency, NumEvents: 2, Timeframe: time.Minute, QueryKey: []string{"k"}}
	c, err := condition.New(&r, condition.Options{MaxKeys: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.AddData([]source.Hit{event(0, `"k": "a"`), event(1, `"k": "b"`), event(2, `"k": "c"`), event(3, `"k": "b"`), event(4, `"k": "a"`)}); err != nil {
		t.Fatal(err)
	}
	if m := c.Matches(); len(m) != 1 || m[0]["k"] != "b" {
		t.Errorf("found %v", m)
	}
	if n := c.(interface{ Forgotten() int }).Forgotten(); n != 1 {
		t.Errorf("%d are forgotten", n)
	}
}

func TestAMatchWhoseDocumentDidNotFitHasItsTimeAndKey(t *testing.T) {
	t.Parallel()
	r := rule.Rule{Type: rule.Frequency, NumEvents: 2, Timeframe: time.Minute, QueryKey: []string{"k"}}
	big := event(10, `"k": "a", "x": "`+strings.Repeat("x", 1<<20)+`"`)
	big.Doc["@timestamp"] = "2026-03-01T02:00:10+02:00"
	runSteps(t, r, []step{{add(big), nil}, {end(10), nil}})
	c := newCondition(t, r)
	if err := c.AddData([]source.Hit{big}); err != nil {
		t.Fatal(err)
	}
	memory, err := c.Save()
	if err != nil || len(memory) > 1000 {
		t.Fatalf("%d bytes, %v", len(memory), err)
	}
	c = newCondition(t, r)
	if err := c.Restore(memory); err != nil {
		t.Fatal(err)
	}
	if err := c.AddData([]source.Hit{event(9, `"k": "a"`)}); err != nil {
		t.Fatal(err)
	}
	if m := c.Matches(); len(m) != 1 || m[0]["@timestamp"] != "2026-03-01T02:00:10+02:00" || m[0]["k"] != "a" || m[0]["x"] != nil {
		t.Errorf("found %v", m)
	}
}

// FuzzDocuments gives random documents to each type: whatever stands in them, nothing panics, and the memory can be taken up again.
func FuzzDocuments(f *testing.F) {
	for _, doc := range []string{`{}`, `{"k": null, "v": {}, "n": []}`, `{"k": {"k": 1}, "v": [[1]], "n": 1e400}`, `{"k": "` + strings.Repeat("é", 700) + `", "v": "a", "n": "12"}`,
		`{"k.x": 1, "v": "b", "n": -0.0, "@timestamp": 7}`, `{"v": true, "n": 99999999999999999999}`} {
		f.Add([]byte(doc), int64(5), int64(0))
	}
	f.Fuzz(func(t *testing.T, raw []byte, seconds, collect int64) {
		d := json.NewDecoder(strings.NewReader(string(raw)))
		d.UseNumber()
		var doc map[string]any
		if d.Decode(&doc) != nil || doc == nil {
			return
		}
		seconds, collect = seconds%100_000, collect%100_000
		for name, r := range everyType() {
			c := newCondition(t, r)
			for range 2 {
				var err error
				if r.Aggregates() {
					_ = c.AddAggregation(at(float64(seconds)), doc) // it may say what is missing
				} else {
					hits := []source.Hit{{At: at(float64(seconds)), Doc: doc}, {At: at(float64(seconds / 2)), Doc: doc}}
					condition.Prepare(&r, hits)
					err = c.AddData(hits)
				}
				if err == nil {
					err = c.Collect(at(float64(collect)))
				}
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				c.Matches()
				c.Quiet("a")
				memory, err := c.Save()
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				c = newCondition(t, r)
				if err := c.Restore(memory); err != nil {
					t.Fatalf("%s: %v of %s", name, err, memory)
				}
			}
		}
	})
}

func TestManyAlertsOfManyKeysAreLookedAtInTime(t *testing.T) {
	t.Parallel()
	r := &rule.Rule{Type: rule.Flatline, QueryKey: []string{"k"}, Threshold: 5, Timeframe: time.Minute, UseTermsQuery: true, Timestamp: rule.Timestamp{Field: "@timestamp"}}
	c, err := condition.New(r)
	if err != nil {
		t.Fatal(err)
	}
	buckets := make([]source.Bucket, condition.MaxKeys)
	for i := range buckets {
		buckets[i] = source.Bucket{Key: json.Number(strconv.Itoa(i)), Count: 9}
	}
	if err := c.AddTerms(time.Unix(1772323200, 0), buckets); err != nil {
		t.Fatal(err)
	}
	if err := c.Collect(time.Unix(1772323200, 0)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i := range condition.MaxKeys {
		if _, known := c.Quiet(strconv.Itoa(i)); !known {
			t.Fatalf("key %d is not known", i)
		}
		if _, known := c.Quiet("gone " + strconv.Itoa(i)); known {
			t.Fatalf("what is gone is known")
		}
	}
	if took := time.Since(began); took > 2*time.Second { // with each looked for among all it is many times as long
		t.Errorf("it took %s", took)
	}
}
