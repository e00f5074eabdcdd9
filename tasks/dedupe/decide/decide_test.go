package decide_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/dedupe/decide"
)

var now = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// copyOf is a data set in a test: its GUIDs are numbers, written a-b for ranges.
type copyOf struct {
	id       string
	age      time.Duration // since the last sync; negative is the future
	unknown  bool          // when it was synced
	partial  bool          // its upload has not ended
	nulls    int64
	from, to int // its GUIDs: from is one, to is not
	more     []int
	without  []int
	shipped  int64 // GUIDs of template rows
}

func (d copyOf) guids() []int {
	var out []int
	for g := d.from; g < d.to; g++ {
		if !slices.Contains(d.without, g) {
			out = append(out, g)
		}
	}
	return append(out, d.more...)
}

func guid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// customer counts data sets as the analysis does: by the list of those that hold a GUID.
func customer(sets ...copyOf) decide.Customer {
	c := decide.Customer{ID: "17"}
	held := map[int][]int{}
	for i, d := range sets {
		s := decide.Set{Database: d.id, Complete: !d.partial, Templates: d.shipped, Nulls: d.nulls}
		if !d.unknown {
			at := now.Add(-d.age)
			s.LastSync = &at
		}
		for _, g := range d.guids() {
			held[g] = append(held[g], i)
			s.GUIDs++
		}
		s.Rows = s.GUIDs + s.Templates + s.Nulls
		c.Sets = append(c.Sets, s)
	}
	at := map[string]int{}
	for g, sets := range held {
		key := fmt.Sprint(sets)
		k, ok := at[key]
		if !ok {
			k = len(c.Signatures)
			at[key] = k
			c.Signatures = append(c.Signatures, decide.Signature{Sets: sets})
		}
		c.Signatures[k].GUIDs++
		c.Signatures[k].Samples = append(c.Signatures[k].Samples, guid(g))
	}
	return c
}

func rules() decide.Rules {
	r := decide.Defaults()
	r.Now = now
	return r
}

func days(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }

func reasons(v decide.Verdict) map[string]decide.Reason {
	out := map[string]decide.Reason{}
	for _, d := range v.Sets {
		out[d.Database] = d.Reason
	}
	return out
}

var scenarios = map[string]struct {
	sets []copyOf
	want map[string]decide.Reason
	why  map[string]string // a part of the sentence
}{
	"a database that was registered again leaves its older copy": {
		sets: []copyOf{{id: "old", age: days(40), from: 0, to: 1000, more: []int{5000}}, {id: "new", age: days(1), from: 0, to: 1020}},
		want: map[string]decide.Reason{"old": decide.Duplicate, "new": decide.Newest},
		why:  map[string]string{"old": "99.9 % of its 1,001 GUIDs stand in new, which was synced 39 days later; 1 row of it in no data set that stays"},
	},
	"a database that was registered three times keeps the newest": {
		sets: []copyOf{{id: "a", age: days(90), from: 0, to: 100}, {id: "b", age: days(40), from: 0, to: 100}, {id: "c", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Duplicate, "b": decide.Duplicate, "c": decide.Newest},
	},
	"a fork that lived on apart is held for a person": {
		sets: []copyOf{{id: "old", age: days(30), from: 0, to: 1000}, {id: "fork", age: days(1), from: 600, to: 1900}},
		want: map[string]decide.Reason{"old": decide.LowContainment, "fork": decide.Newest},
		why:  map[string]string{"old": "only 40.0 % of its 1,000 GUIDs stand in fork, and 90.0 % are needed"},
	},
	"nothing goes by way of a third data set": {
		sets: []copyOf{{id: "a", age: days(90), from: 0, to: 100}, {id: "b", age: days(40), from: 5, to: 105}, {id: "c", age: days(1), from: 15, to: 115}},
		want: map[string]decide.Reason{"a": decide.LowContainment, "b": decide.Duplicate, "c": decide.Newest},
	},
	"a data set whose only partner goes stays": {
		sets: []copyOf{{id: "a", age: days(90), from: 0, to: 30}, {id: "b", age: days(40), from: 0, to: 1000}, {id: "c", age: days(1), from: 25, to: 1000}},
		want: map[string]decide.Reason{"a": decide.NoLiveWitness, "b": decide.Duplicate, "c": decide.Newest},
		why:  map[string]string{"a": "b, the newer data set that it shares 30 GUIDs with, goes itself"},
	},
	"a half upload is no witness though all of it stands in the old copy": {
		sets: []copyOf{{id: "old", age: days(30), from: 0, to: 3000}, {id: "new", from: 0, to: 90}},
		want: map[string]decide.Reason{"old": decide.LowContainment, "new": decide.Newest},
	},
	"a copy that is still uploading is no witness whatever it holds": {
		sets: []copyOf{{id: "old", age: days(30), from: 0, to: 3000}, {id: "new", from: 0, to: 2990, partial: true}},
		want: map[string]decide.Reason{"old": decide.WitnessUploading, "new": decide.Newest},
		why:  map[string]string{"old": "99.6 % of its 3,000 GUIDs stand in new, but the first upload of that one has not ended"},
	},
	"an old upload that never ended may go": {
		sets: []copyOf{{id: "old", age: days(30), from: 0, to: 90, partial: true}, {id: "new", from: 0, to: 3000}},
		want: map[string]decide.Reason{"old": decide.Duplicate, "new": decide.Newest},
	},
	"24 common GUIDs are no pair": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 24}, {id: "b", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.NotDuplicate, "b": decide.NotDuplicate},
	},
	"25 are one": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 25}, {id: "b", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Duplicate, "b": decide.Newest},
	},
	"26 as well": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 500}, {id: "b", from: 474, to: 900}},
		want: map[string]decide.Reason{"a": decide.LowContainment, "b": decide.Newest},
	},
	"exactly the containment is enough": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 30}, {id: "b", from: 3, to: 100}},
		want: map[string]decide.Reason{"a": decide.Duplicate, "b": decide.Newest},
	},
	"a data set of template rows alone matches nothing": {
		sets: []copyOf{{id: "fresh", age: days(30), shipped: 60}, {id: "b", from: 0, to: 100, shipped: 60}},
		want: map[string]decide.Reason{"fresh": decide.TemplateOnly, "b": decide.NotDuplicate},
	},
	"two that were synced at the same time both stay": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 100}, {id: "b", age: days(30), from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.SameSync, "b": decide.SameSync},
	},
	"two that were synced at the same time may both go by a third": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 100}, {id: "b", age: days(30), from: 0, to: 100}, {id: "c", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Duplicate, "b": decide.Duplicate, "c": decide.Newest},
	},
	"what was synced within seven days stays": {
		sets: []copyOf{{id: "a", age: days(7) - time.Second, from: 0, to: 100}, {id: "b", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Recent, "b": decide.Newest},
		why:  map[string]string{"a": "last synced 2026-11-15, within the last 7 days"},
	},
	"seven days are long enough": {
		sets: []copyOf{{id: "a", age: days(7), from: 0, to: 100}, {id: "b", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Duplicate, "b": decide.Newest},
	},
	"an unknown sync is neither victim nor witness": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 100}, {id: "b", unknown: true, from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Newest, "b": decide.UnknownSync},
	},
	"a sync in the future is neither victim nor witness": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 100}, {id: "b", age: -time.Hour, from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Newest, "b": decide.FutureSync},
	},
	"clocks that differ by minutes do no harm": {
		sets: []copyOf{{id: "a", age: days(30), from: 0, to: 100}, {id: "b", age: -decide.Skew, from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.Duplicate, "b": decide.Newest},
	},
	"the only data set of a customer stays": {
		sets: []copyOf{{id: "a", age: days(300), from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.OnlyCopy},
	},
	"rows without a GUID stand nowhere else": {
		sets: []copyOf{{id: "a", age: days(300), from: 0, to: 100, nulls: 50}, {id: "b", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.LowContainment, "b": decide.Newest},
		why:  map[string]string{"a": "only 66.6 % of its 100 GUIDs and 50 rows without one stand in b"},
	},
	"a data set without rows stays": {
		sets: []copyOf{{id: "a", age: days(300)}, {id: "b", from: 0, to: 100}},
		want: map[string]decide.Reason{"a": decide.NotDuplicate, "b": decide.NotDuplicate},
	},
	"one that was not synced for long but is unique stays": {
		sets: []copyOf{{id: "dormant", age: days(400), from: 0, to: 500}, {id: "b", from: 1000, to: 1100}},
		want: map[string]decide.Reason{"dormant": decide.NotDuplicate, "b": decide.NotDuplicate},
	},
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := decide.Decide(customer(s.sets...), rules())
			got := reasons(v)
			for id, want := range s.want {
				if got[id] != want {
					t.Errorf("%s: %s, want %s\n%+v", id, got[id], want, v.Sets)
				}
			}
			for _, d := range v.Sets {
				if !strings.Contains(d.Why, s.why[d.Database]) {
					t.Errorf("%s says %q, want %q in it", d.Database, d.Why, s.why[d.Database])
				}
				if d.Decision != d.Reason.Action() || d.Why == "" {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

func TestTheWitnessIsTheOneThatHoldsMostThenTheNewest(t *testing.T) {
	t.Parallel()
	v := decide.Decide(customer(
		copyOf{id: "old", age: days(90), from: 0, to: 1000},
		copyOf{id: "most", age: days(5), from: 0, to: 990},
		copyOf{id: "alike", age: days(4), from: 0, to: 990},
		copyOf{id: "newest", age: days(1), from: 0, to: 950, more: []int{7000}},
	), rules())
	for _, d := range v.Sets {
		if d.Database == "old" && (d.Decision != decide.Delete || d.Witness != "alike" || d.Shared != 990 || d.ContainmentVictim != 0.99 || d.ContainmentWitness != 1) {
			t.Errorf("%+v", d)
		}
	}
}

func TestWhatOnlyAVictimHasIsCountedAndSampledAgainstAllThatStay(t *testing.T) {
	t.Parallel()
	// Both old copies hold 1000 to 1030, which nothing that stays has; 2000 stands in a data set of another kind, too.
	c := customer(
		copyOf{id: "a", age: days(90), from: 0, to: 1000, more: append(span(1000, 1030), 2000, 3000)},
		copyOf{id: "b", age: days(60), from: 0, to: 1000, more: span(1000, 1030), nulls: 2},
		copyOf{id: "c", age: days(1), from: 0, to: 1000},
		copyOf{id: "d", age: days(1), from: 2000, to: 2010},
	)
	v := decide.Decide(c, rules())
	by := map[string]decide.Decision{}
	for _, d := range v.Sets {
		by[d.Database] = d
	}
	if a := by["a"]; a.Decision != decide.Delete || a.OnlyHere != 31 || len(a.Samples) != decide.MaxSamples || a.Samples[0] != guid(1000) {
		t.Errorf("a: %+v", a)
	}
	if b := by["b"]; b.Decision != decide.Delete || b.OnlyHere != 32 {
		t.Errorf("b: %+v", b)
	}
	if v.Lost != 33 {
		t.Errorf("lost %d, want 33: 1000 to 1030 count once", v.Lost)
	}
	if d := by["d"]; d.OnlyHere != 10 || d.Samples != nil {
		t.Errorf("d: %+v", d)
	}
	// GUIDs of which no signature speaks count as standing nowhere else.
	c.Signatures = slices.DeleteFunc(c.Signatures, func(s decide.Signature) bool { return len(s.Sets) == 1 })
	again := decide.Decide(c, rules())
	for i, d := range again.Sets {
		if d.OnlyHere != v.Sets[i].OnlyHere || d.Decision != v.Sets[i].Decision {
			t.Errorf("%+v, want %+v", d, v.Sets[i])
		}
	}
	if again.Lost < v.Lost {
		t.Errorf("lost %d, want at least %d", again.Lost, v.Lost)
	}
}

func span(from, to int) []int {
	var out []int
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

func TestSharedGUIDsThatStandWithOtherCustomersHoldTheVictim(t *testing.T) {
	t.Parallel()
	for found, want := range map[int64]decide.Reason{0: decide.Duplicate, 1: decide.Duplicate, 2: decide.ForeignShared, 20: decide.ForeignShared} {
		c := customer(copyOf{id: "a", age: days(90), from: 0, to: 40}, copyOf{id: "b", age: days(1), from: 0, to: 40})
		c.Foreign = map[int]decide.Foreign{0: {Looked: 20, Found: found}}
		if got := reasons(decide.Decide(c, rules()))["a"]; got != want {
			t.Errorf("%d of 20: %s, want %s", found, got, want)
		}
	}
}

func TestAFewForeignGUIDsBesideManyThatWereLookedAtDoNoHarm(t *testing.T) {
	t.Parallel()
	// a and c share 40 GUIDs of which many are foreign, and 1,000 that stand in b as well.
	c := customer(copyOf{id: "a", age: days(90), from: 0, to: 1040}, copyOf{id: "b", age: days(1), from: 0, to: 1000, more: []int{5000}}, copyOf{id: "c", age: days(1), from: 0, to: 1040})
	c.Foreign = map[int]decide.Foreign{}
	for k, s := range c.Signatures {
		if s.GUIDs == 40 {
			c.Foreign[k] = decide.Foreign{Looked: 16, Found: 16}
		}
	}
	if got := reasons(decide.Decide(c, rules()))["a"]; got != decide.Duplicate {
		t.Errorf("40 of 1,040: %s", got)
	}
	for k, s := range c.Signatures {
		if s.GUIDs == 1000 {
			c.Foreign[k] = decide.Foreign{Looked: 16, Found: 1}
		}
	}
	v := decide.Decide(c, rules())
	for _, d := range v.Sets {
		if d.Database == "a" && (d.Reason != decide.ForeignShared || !strings.Contains(d.Why, "about 9.8 % of these")) {
			t.Errorf("102 of 1,040: %+v", d)
		}
	}
}

func TestNothingGoesOfACustomerWhoseCountsContradictThemselves(t *testing.T) {
	t.Parallel()
	c := customer(copyOf{id: "a", age: days(90), from: 0, to: 40}, copyOf{id: "b", age: days(1), from: 0, to: 40})
	c.Signatures = append(c.Signatures, c.Signatures[0])
	if got := reasons(decide.Decide(c, rules())); got["a"] != decide.Miscounted {
		t.Errorf("%v", got)
	}
}

func TestOfAnExemptCustomerNothingGoesAndThePairsAreSaid(t *testing.T) {
	t.Parallel()
	r := rules()
	r.Exempt = []string{"16", "17"}
	v := decide.Decide(customer(copyOf{id: "a", age: days(90), from: 0, to: 40}, copyOf{id: "b", age: days(1), from: 0, to: 40}), r)
	if got := reasons(v); got["a"] != decide.Exempt || got["b"] != decide.Exempt || len(v.Pairs) != 1 {
		t.Errorf("%+v", v)
	}
}

func TestRulesThatWereLostOnTheirWayDeleteNothing(t *testing.T) {
	t.Parallel()
	c := customer(copyOf{id: "a", age: days(90), from: 0, to: 40, more: []int{99}}, copyOf{id: "b", age: days(1), from: 0, to: 40}, copyOf{id: "c", age: days(1)})
	for _, r := range []decide.Rules{{}, {Now: now}, {Now: now, Threshold: -1, Containment: 2}} {
		if r.Check() == nil {
			t.Errorf("%+v is taken for usable", r)
		}
		for id, reason := range reasons(decide.Decide(c, r)) {
			if reason.Action() == decide.Delete {
				t.Errorf("%+v deletes %s", r, id)
			}
		}
	}
	if err := rules().Check(); err != nil {
		t.Error(err)
	}
}

func TestPairsSayWhatFollowsFromThem(t *testing.T) {
	t.Parallel()
	v := decide.Decide(customer(copyOf{id: "a", age: days(90), from: 0, to: 100}, copyOf{id: "b", age: days(60), from: 0, to: 100}, copyOf{id: "c", from: 0, to: 125}), rules())
	want := []decide.Pair{
		{A: "c", B: "b", Shared: 100, ContainmentA: 0.8, ContainmentB: 1, Why: "b goes, c is its witness"},
		{A: "c", B: "a", Shared: 100, ContainmentA: 0.8, ContainmentB: 1, Why: "a goes, c is its witness"},
		{A: "b", B: "a", Shared: 100, ContainmentA: 1, ContainmentB: 1, Why: "both go: b by c, a by c"},
	}
	if !slices.Equal(v.Pairs, want) {
		t.Errorf("%+v", v.Pairs)
	}
}
