package signature

import (
	"errors"
	"testing"

	"github.com/stint-run/stint/internal/datasets"
)

func TestFrequencyFindsWhatAPlainMapFinds(t *testing.T) {
	t.Parallel()
	const sets, least = 300, 40
	want := map[datasets.GUID]int{}
	f := NewFrequency(least)
	for s := range sets {
		var rows []datasets.Row
		for n := range 400 {
			if n != 0 && s%n != 0 { // n stands in sets/n of them
				continue
			}
			for range 1 + n%2 { // some twice in the same one
				rows = append(rows, datasets.Row{GUID: guid(n)})
			}
			want[guid(n)]++
		}
		for n := range 50 { // of one set alone
			rows = append(rows, datasets.Row{GUID: guid(1000 + 50*s + n)})
		}
		rows = append(rows, datasets.Row{Null: true})
		if err := f.Add(uint16(s), rows); err != nil {
			t.Fatal(err)
		}
	}
	found := f.Found()
	for i, h := range found {
		if h.Sets != want[h.GUID] || h.Sets < least {
			t.Errorf("%v stands in %d sets, found %d", h.GUID, want[h.GUID], h.Sets)
		}
		if i > 0 && found[i-1].Sets < h.Sets {
			t.Errorf("%d sets stand before %d", found[i-1].Sets, h.Sets)
		}
		delete(want, h.GUID)
	}
	for g, n := range want {
		if n >= least {
			t.Errorf("%v stands in %d sets and was not found", g, n)
		}
	}
	if len(found) == 0 {
		t.Error("nothing was found")
	}
}

func TestFrequencySaysWhenItIsFull(t *testing.T) {
	t.Parallel()
	f := NewFrequency(2)
	rows := make([]datasets.Row, 1<<16)
	for from := 0; ; from += len(rows) {
		for i := range rows {
			rows[i].GUID = guid(from + i)
		}
		if err := f.Add(0, rows); errors.Is(err, ErrFull) {
			break
		} else if err != nil || from > frequencySlots {
			t.Fatalf("after %d GUIDs: %v", from, err)
		}
	}
}
