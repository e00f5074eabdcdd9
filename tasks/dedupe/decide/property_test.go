package decide_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// anyCustomer draws data sets whose GUIDs are windows on the same numbers, so that all ways of sharing come about.
func anyCustomer(t *rapid.T) []copyOf {
	n := rapid.IntRange(1, 9).Draw(t, "sets")
	sets := make([]copyOf, n)
	for i := range sets {
		from := rapid.IntRange(0, 40).Draw(t, "from")
		sets[i] = copyOf{
			id: fmt.Sprint("d", i), from: from, to: from + rapid.IntRange(0, 60).Draw(t, "length"),
			without: rapid.SliceOfN(rapid.IntRange(0, 100), 0, 4).Draw(t, "without"),
			age:     time.Duration(rapid.IntRange(-1, 12).Draw(t, "days")) * 24 * time.Hour,
			unknown: rapid.IntRange(0, 9).Draw(t, "unknown") == 0,
			partial: rapid.IntRange(0, 9).Draw(t, "partial") == 0,
			nulls:   int64(max(0, rapid.IntRange(-8, 4).Draw(t, "nulls"))),
			shipped: int64(rapid.IntRange(0, 2).Draw(t, "shipped")),
		}
	}
	return sets
}

func TestEveryDataSetThatGoesHasANewerWholeWitnessThatStaysAndHoldsIt(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sets := anyCustomer(t)
		r := rules()
		r.Threshold = rapid.SampledFrom([]int{1, 5, 25}).Draw(t, "threshold")
		r.Containment = rapid.SampledFrom([]float64{0.1, 0.5, 0.9, 1}).Draw(t, "containment")
		v := decide.Decide(customer(sets...), r)
		if len(v.Sets) != len(sets) {
			t.Fatalf("%d decisions of %d data sets", len(v.Sets), len(sets))
		}
		of, input, stays := map[string]decide.Decision{}, map[string]copyOf{}, map[int]int{}
		for i, d := range v.Sets {
			of[d.Database] = d
			if d.Rank != i+1 {
				t.Fatalf("rank %d at %d", d.Rank, i)
			}
		}
		for _, s := range sets {
			input[s.id] = s
			if of[s.id].Decision != decide.Delete {
				for _, g := range s.guids() {
					stays[g]++
				}
			}
		}
		for _, s := range sets {
			d := of[s.id]
			var only int64
			for _, g := range s.guids() {
				others := stays[g]
				if d.Decision != decide.Delete {
					others--
				}
				if others == 0 {
					only++
				}
			}
			if d.OnlyHere != only+s.nulls {
				t.Fatalf("%s: only here %d, want %d", s.id, d.OnlyHere, only+s.nulls)
			}
			if d.Decision != decide.Delete {
				continue
			}
			w, ok := input[d.Witness]
			shared := int64(len(common(s, w)))
			switch {
			case !ok || of[d.Witness].Decision == decide.Delete:
				t.Fatalf("%s goes, its witness %q does not stay", s.id, d.Witness)
			case s.unknown || s.age < r.Recency:
				t.Fatalf("%s goes, synced %s ago", s.id, s.age)
			case w.unknown || w.age < 0 || w.age >= s.age || w.partial:
				t.Fatalf("%s goes by %+v", s.id, w)
			case shared != d.Shared || shared < int64(r.Threshold):
				t.Fatalf("%s shares %d with its witness, says %d", s.id, shared, d.Shared)
			case float64(shared) < r.Containment*float64(len(s.guids())+int(s.nulls))-1e-9:
				t.Fatalf("%s is held to %d", s.id, shared)
			}
		}
		checkPairs(t, sets, v, r)
	})
}

// checkPairs compares the pairs with those of a count that is plain to see, and finds that something of each cluster stays.
func checkPairs(t *rapid.T, sets []copyOf, v decide.Verdict, r decide.Rules) {
	got := map[[2]string]int64{}
	for _, p := range v.Pairs {
		got[[2]string{min(p.A, p.B), max(p.A, p.B)}] = p.Shared
	}
	want := map[[2]string]int64{}
	cluster := map[string]string{}
	for i, a := range sets {
		cluster[a.id] = a.id
		for _, b := range sets[i+1:] {
			if n := int64(len(common(a, b))); n >= int64(r.Threshold) {
				want[[2]string{min(a.id, b.id), max(a.id, b.id)}] = n
			}
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("pairs %v, want %v", got, want)
	}
	for range sets { // as often as a name can have to travel
		for p := range want {
			least := min(cluster[p[0]], cluster[p[1]])
			cluster[p[0]], cluster[p[1]] = least, least
		}
	}
	left := map[string]bool{}
	for _, d := range v.Sets {
		if d.Decision != decide.Delete {
			left[cluster[d.Database]] = true
		}
	}
	for id, name := range cluster {
		if !left[name] {
			t.Fatalf("nothing of the cluster of %s stays", id)
		}
	}
}

func common(a, b copyOf) []int {
	var out []int
	have := b.guids()
	for _, g := range a.guids() {
		if slices.Contains(have, g) {
			out = append(out, g)
		}
	}
	return out
}

func TestTheOrderInWhichThingsAreGivenDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		sets := anyCustomer(t)
		c := customer(sets...)
		c.Foreign = map[int]decide.Foreign{}
		for k := range c.Signatures {
			if rapid.Bool().Draw(t, "looked") {
				c.Foreign[k] = decide.Foreign{Looked: 20, Found: int64(rapid.IntRange(0, 3).Draw(t, "found"))}
			}
		}
		r := rules()
		r.Threshold = 5
		want := decide.Decide(c, r)
		if got := decide.Decide(shuffle(c, rapid.Uint64().Draw(t, "seed")), r); !reflect.DeepEqual(got, want) {
			t.Fatalf("in another order\n%+v\nwant\n%+v", got, want)
		}
	})
}

// shuffle puts data sets and signatures into another order.
func shuffle(c decide.Customer, seed uint64) decide.Customer {
	r := rand.New(rand.NewPCG(seed, 1))
	out := decide.Customer{ID: c.ID, Sets: make([]decide.Set, len(c.Sets)), Foreign: map[int]decide.Foreign{}}
	place := r.Perm(len(c.Sets))
	for i, s := range c.Sets {
		out.Sets[place[i]] = s
	}
	for _, k := range r.Perm(len(c.Signatures)) {
		s := c.Signatures[k]
		moved := decide.Signature{GUIDs: s.GUIDs, Samples: slices.Clone(s.Samples)}
		for _, i := range s.Sets {
			moved.Sets = append(moved.Sets, place[i])
		}
		slices.Sort(moved.Sets)
		if f, ok := c.Foreign[k]; ok {
			out.Foreign[len(out.Signatures)] = f
		}
		out.Signatures = append(out.Signatures, moved)
	}
	return out
}

func TestTwoHundredDataSetsInAHundredThousandSignaturesAreDecidedInSeconds(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	c := decide.Customer{ID: "17"}
	for i := range 200 {
		at := now.Add(-days(10 + i))
		c.Sets = append(c.Sets, decide.Set{Database: fmt.Sprint("d", i), LastSync: &at, Complete: true})
	}
	// Most GUIDs stand in all of them; the others in random ones, each in a different list.
	for k := range 100_000 {
		s := decide.Signature{GUIDs: 1}
		for i := range 200 {
			if k == 0 || r.IntN(20) == 0 {
				s.Sets = append(s.Sets, i)
			}
		}
		if k == 0 {
			s.GUIDs = 1_000_000
		}
		for _, i := range s.Sets {
			c.Sets[i].GUIDs += s.GUIDs
			c.Sets[i].Rows += s.GUIDs
		}
		c.Signatures = append(c.Signatures, s)
	}
	began := time.Now()
	v := decide.Decide(c, rules())
	if took := time.Since(began); took > time.Minute { // a fifth of a second on a quiet core; GUID by GUID it would be many minutes
		t.Errorf("it took %s", took)
	}
	var goes int
	for _, d := range v.Sets {
		if d.Decision == decide.Delete {
			goes++
		}
	}
	if goes != 199 || len(v.Pairs) != 19_900 {
		t.Errorf("%d go, %d pairs", goes, len(v.Pairs))
	}
}
