package signature

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stint-run/stint/internal/datasets"
)

func guid(n int) datasets.GUID {
	var g datasets.GUID
	r := rand.New(rand.NewPCG(uint64(n), 7))
	for i := range g {
		g[i] = byte(r.UintN(256))
	}
	return g
}

// TestSignaturesAreThoseOfAPlainMap counts random rows, in random orders, beside a map of sets.
func TestSignaturesAreThoseOfAPlainMap(t *testing.T) {
	t.Parallel()
	c := NewCounter(0)
	for seed := range 50 {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		sets, guids := 1+r.IntN(9), 1+r.IntN(9000)
		templates := Templates{}
		for i := range r.IntN(5) {
			templates[guid(i)] = struct{}{}
		}
		want := map[int]map[int32]bool{}
		tallies := make([]Tally, sets)
		var rows []datasets.Row
		for range 3 * guids {
			g, s := r.IntN(guids), int32(r.IntN(sets))
			tallies[s].Rows++
			if g == guids-1 {
				rows = append(rows, datasets.Row{Set: s, Null: true})
				tallies[s].Nulls++
				continue
			}
			rows = append(rows, datasets.Row{Set: s, GUID: guid(g)})
			if want[g] == nil {
				want[g] = map[int32]bool{}
			}
			want[g][s] = true
		}
		expected, inTemplates := map[string]int64{}, make([]int64, sets)
		for g, in := range want {
			var list []int32
			for s := range in {
				list = append(list, s)
			}
			slices.Sort(list)
			if _, ok := templates[guid(g)]; ok {
				for _, s := range list {
					inTemplates[s]++
				}
				continue
			}
			expected[fmt.Sprint(list)]++
		}
		first := ""
		for range 2 {
			c.Reset(sets)
			if err := c.Add(rows); err != nil {
				t.Fatal(err)
			}
			got := c.Counts(templates)
			if len(got.Entries) != len(expected) {
				t.Fatalf("seed %d: %d signatures, want %d", seed, len(got.Entries), len(expected))
			}
			for _, e := range got.Entries {
				if expected[fmt.Sprint(e.Sets)] != e.GUIDs {
					t.Errorf("seed %d: %v has %d GUIDs, want %d", seed, e.Sets, e.GUIDs, expected[fmt.Sprint(e.Sets)])
				}
				if len(e.Sets) > 1 && len(e.Sketch) != int(min(e.GUIDs, SketchSize)) {
					t.Errorf("seed %d: a sketch of %d of %d GUIDs", seed, len(e.Sketch), e.GUIDs)
				}
				if len(e.Samples) != int(min(e.GUIDs, sampleGUIDs)) {
					t.Errorf("seed %d: %d samples of %d", seed, len(e.Samples), e.GUIDs)
				}
			}
			prints := ""
			for s := range tallies {
				if got.Tallies[s].Rows != tallies[s].Rows || got.Tallies[s].Nulls != tallies[s].Nulls || got.Templates[s] != inTemplates[s] {
					t.Errorf("seed %d: data set %d: %+v and %d templates, want %+v and %d", seed, s, got.Tallies[s], got.Templates[s], tallies[s], inTemplates[s])
				}
				prints += got.Tallies[s].Fingerprint() + " "
			}
			if first == "" {
				first = prints
			} else if first != prints {
				t.Errorf("seed %d: another order of rows has other fingerprints", seed)
			}
			r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		}
	}
}

func TestAFingerprintChangesWithEveryRow(t *testing.T) {
	t.Parallel()
	of := func(guids ...int) string {
		c := NewCounter(1)
		var rows []datasets.Row
		for _, g := range guids {
			rows = append(rows, datasets.Row{GUID: guid(g)})
		}
		if err := c.Add(rows); err != nil {
			t.Fatal(err)
		}
		return c.Counts(nil).Tallies[0].Fingerprint()
	}
	seen := map[string]bool{}
	for _, f := range []string{of(), of(1), of(2), of(1, 1), of(1, 2), of(1, 3), of(2, 2), of(1, 1, 1)} {
		if seen[f] {
			t.Errorf("%s is the fingerprint of two", f)
		}
		seen[f] = true
	}
	if of(1, 2, 3) != of(3, 1, 2) {
		t.Error("the order matters")
	}
}

func TestACounterSaysWhenItIsFull(t *testing.T) {
	t.Parallel()
	c := NewCounter(1)
	var rows []datasets.Row
	for n := 0; ; n++ {
		rows = rows[:0]
		for i := range 4096 {
			g := guid(1)
			g[0], g[1], g[2], g[3], g[4] = byte(i), byte(i>>8), byte(n), byte(n>>8), byte(n>>16)
			rows = append(rows, datasets.Row{GUID: g})
		}
		err := c.Add(rows)
		if err == nil {
			if c.used > MaxGUIDs {
				t.Fatal("it took more than it may")
			}
			continue
		}
		if !errors.Is(err, ErrFull) || c.used != MaxGUIDs {
			t.Errorf("%v after %d GUIDs", err, c.used)
		}
		break
	}
	c.Reset(1)
	if err := c.Add(rows); err != nil {
		t.Errorf("after Reset: %v", err)
	}
}

// TestTwoHundredCopiesCostNoMoreThanTheirSignatures counts copies of one data set: 200 signatures, not 19,900 pairs for each GUID.
func TestTwoHundredCopiesCostNoMoreThanTheirSignatures(t *testing.T) {
	t.Parallel()
	const sets, guids = 200, 500
	c := NewCounter(sets)
	var rows []datasets.Row
	for s := range int32(sets) {
		for g := range guids {
			rows = append(rows, datasets.Row{Set: s, GUID: guid(g)})
		}
	}
	if err := c.Add(rows); err != nil {
		t.Fatal(err)
	}
	got := c.Counts(nil)
	if len(c.sets) != sets || len(got.Entries) != 1 || got.Entries[0].GUIDs != guids || len(got.Entries[0].Sets) != sets {
		t.Errorf("%d signatures on the way, at the end %d", len(c.sets), len(got.Entries))
	}
}

func BenchmarkAdd(b *testing.B) {
	const sets, guids = 4, 100_000
	var rows []datasets.Row
	for s := range int32(sets) {
		for g := range guids {
			rows = append(rows, datasets.Row{Set: s, GUID: guid(g)})
		}
	}
	c := NewCounter(sets)
	b.ReportAllocs()
	for b.Loop() {
		c.Reset(sets)
		if err := c.Add(rows); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(rows))*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
