package datasets_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/internal/datasets/datasetstest"
	"github.com/stint-run/stint/internal/sqldb"
)

// generated makes a store and opens it.
func generated(t *testing.T, db *sqldb.DB, spec datasetstest.Spec) (*datasets.Store, *datasetstest.Truth) {
	t.Helper()
	truth, err := datasetstest.Generate(t.Context(), db, spec)
	if err != nil {
		t.Fatal(err)
	}
	s, err := datasets.Open(t.Context(), db, datasets.Layout{Registry: datasets.Registry{Complete: "complete", Deleting: "deleting"}})
	if err != nil {
		t.Fatal(err)
	}
	return s, truth
}

func TestAStoreIsReadAsItWasMade(t *testing.T) {
	t.Parallel()
	datasets.InEachStore(t, func(t *testing.T, db *sqldb.DB) {
		s, truth := generated(t, db, datasetstest.Spec{Seed: 7})
		if got := s.Entity(); got != "entity_row" {
			t.Errorf("the entity is %s", got)
		}
		if l := s.Layout(); len(l.Tables) != 2 || l.Tables[0].Table != "entity_note" || l.Tables[1].GUID != "guid" {
			t.Errorf("tables: %+v", l.Tables)
		}
		if err := s.Deletable(t.Context()); err != nil {
			t.Error(err)
		}
		var customers []string
		at := 0
		err := s.EachSet(t.Context(), func(x datasets.Set) error {
			want := truth.Sets[at]
			at++
			if x.ID != want.ID() || x.Complete != want.Complete || (x.LastSync == nil) != (want.LastSync == nil) ||
				x.LastSync != nil && !x.LastSync.Equal(*want.LastSync) {
				t.Errorf("got %+v (%v), want %+v (%v)", x, x.LastSync, want, want.LastSync)
			}
			if len(customers) == 0 || customers[len(customers)-1] != x.Customer {
				customers = append(customers, x.Customer)
			}
			return nil
		})
		if err != nil || at != len(truth.Sets) {
			t.Fatalf("%d of %d data sets: %v", at, len(truth.Sets), err)
		}
		rows, _, err := datasets.Contents(t.Context(), s, datasets.Scan{Customers: customers})
		if err != nil {
			t.Fatal(err)
		}
		for i := range truth.Sets {
			d := &truth.Sets[i]
			got := rows[d.ID()]
			if int64(len(got)) != d.Rows() {
				t.Errorf("%s has %d rows, want %d", d.ID(), len(got), d.Rows())
			}
			d.EachGUID(func(g datasets.GUID) {
				if got[g] != 1 {
					t.Errorf("%s has %s %d times", d.ID(), g, got[g])
				}
			})
		}
	})
}

func TestTheTruthIsWhatASelfJoinFinds(t *testing.T) {
	t.Parallel()
	datasets.InEachStore(t, func(t *testing.T, db *sqldb.DB) {
		_, truth := generated(t, db, datasetstest.Spec{Seed: 11, Rows: 12_000})
		for _, withTemplates := range []bool{true, false} {
			got, err := datasetstest.Oracle(t.Context(), db, 25, withTemplates)
			if err != nil {
				t.Fatal(err)
			}
			if want := truth.Pairs(25, withTemplates); !slices.Equal(got, want) || len(want) < 20 {
				t.Errorf("with templates %v: the join finds %d pairs, the truth has %d", withTemplates, len(got), len(want))
			}
		}
	})
}

func TestAPlannedStoreHasAllThatLeadsARuleAstray(t *testing.T) {
	t.Parallel()
	truth := datasetstest.Plan(datasetstest.Spec{Seed: 3})
	if again := datasetstest.Plan(datasetstest.Spec{Seed: 3, Now: truth.Now}); !slices.EqualFunc(again.Sets, truth.Sets, func(a, b datasetstest.DataSet) bool {
		return a.ID() == b.ID() && a.What == b.What && slices.Equal(a.Segments, b.Segments)
	}) {
		t.Error("the same seed made another store")
	}
	what := map[string]int{}
	unknown, future := 0, 0
	for i := range truth.Sets {
		d := &truth.Sets[i]
		what[d.What]++
		switch {
		case d.LastSync == nil:
			unknown++
		case d.LastSync.After(truth.Now.Add(time.Hour)):
			future++
		}
	}
	for _, w := range []string{"original", "copy", "fork", "chain", "border", "half", "dormant"} {
		if what[w] == 0 {
			t.Errorf("there is no %s: %v", w, what)
		}
	}
	if unknown == 0 || future == 0 {
		t.Error("all last syncs are in the past")
	}
	for _, withTemplates := range []bool{true, false} {
		shared := map[int64]bool{}
		for _, p := range truth.Pairs(24, withTemplates) {
			shared[p.Shared] = true
		}
		if !shared[24] || !shared[25] || !shared[26] {
			t.Errorf("with templates %v: no pairs at the border", withTemplates)
		}
	}
}

func TestRangesAddUpToTheWhole(t *testing.T) {
	t.Parallel()
	datasets.InEachStore(t, func(t *testing.T, db *sqldb.DB) {
		s, truth := generated(t, db, datasetstest.Spec{Seed: 5, Customers: 3, Rows: 9000})
		largest := &truth.Sets[0]
		for i := range truth.Sets {
			if truth.Sets[i].Rows() > largest.Rows() {
				largest = &truth.Sets[i]
			}
		}
		id := largest.ID()
		borders, err := s.Borders(t.Context(), id, datasets.Range{}, 300)
		if err != nil || int64(len(borders)) != (largest.Rows()-1)/300 {
			t.Fatalf("%d borders of %d rows: %v", len(borders), largest.Rows(), err)
		}
		whole, _, err := datasets.Contents(t.Context(), s, datasets.Scan{Customers: []string{id.Customer}})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0
		for i := range len(borders) + 1 {
			var r datasets.Range
			if i > 0 {
				r.From = borders[i-1]
			}
			if i < len(borders) {
				r.To = borders[i]
			}
			part, _, err := datasets.Contents(t.Context(), s, datasets.Scan{Customers: []string{id.Customer}, Range: r})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(part[id]); n > 300 || n < 300 && i < len(borders) {
				t.Errorf("range %d has %d rows of the data set", i, n)
			}
			for set, guids := range part {
				sum += len(guids)
				for g := range guids {
					if whole[set][g] != 1 {
						t.Errorf("%s is not in %s", g, set)
					}
				}
			}
			inner, err := s.Borders(t.Context(), id, r, 100)
			if want := max(0, (len(part[id])-1)/100); err != nil || len(inner) != want {
				t.Errorf("range %d: %d inner borders, want %d: %v", i, len(inner), want, err)
			}
		}
		total := 0
		for _, guids := range whole {
			total += len(guids)
		}
		if sum != total {
			t.Errorf("the ranges have %d rows, all have %d", sum, total)
		}
	})
}

func TestSizesAreAboutRight(t *testing.T) {
	t.Parallel()
	datasets.InEachStore(t, func(t *testing.T, db *sqldb.DB) {
		s, truth := generated(t, db, datasetstest.Spec{Seed: 9, Customers: 70})
		want := map[string]int64{}
		for i := range truth.Sets {
			want[truth.Sets[i].ID().Customer] += truth.Sets[i].Rows()
		}
		customers := make([]string, 0, len(want))
		for c := range want {
			customers = append(customers, c)
		}
		got, err := s.Sizes(t.Context(), customers)
		if err != nil || len(got) != len(want) {
			t.Fatalf("%d of %d: %v", len(got), len(want), err)
		}
		for c, n := range want {
			if n > 1000 && (got[c] < n/3 || got[c] > n*3) {
				t.Errorf("customer %s: got %d, want %d", c, got[c], n)
			}
		}
	})
}
