package signature

import (
	"math"
	"slices"

	"github.com/stint-run/stint/internal/datasets"
)

// How much of each signature is kept besides its count.
const (
	sampleGUIDs = 5
	// SketchSize is about how many hashes of the GUIDs that stand in two data sets or more are kept: all of them where there are fewer.
	SketchSize = 64
)

// Templates are GUIDs of rows that the product ships in every database: they are counted apart.
type Templates map[datasets.GUID]struct{}

// Entry is how many GUIDs stand in exactly some data sets.
type Entry struct {
	Sets    []int32         `json:"sets"` // ascending
	GUIDs   int64           `json:"guids"`
	Samples []datasets.GUID `json:"-"` // a few of them
	// Sketch are hashes of the GUIDs, the smallest ones, so that the same GUIDs are chosen wherever they stand; ascending. Only of those in
	// two data sets or more.
	Sketch []uint64 `json:"-"`
}

// Counts are what a counter has counted.
type Counts struct {
	Tallies   []Tally // by data set
	Templates []int64 // GUIDs of template rows, by data set
	Entries   []Entry // in no order that means anything, but always in the same one for the same rows in the same order
}

// Counts returns what has been counted. The counter may be counted on with.
func (c *Counter) Counts(templates Templates) Counts {
	out := Counts{Tallies: slices.Clone(c.tallies), Templates: make([]int64, len(c.tallies))}
	counts := make([]int64, len(c.sets))
	for at, state := range c.states {
		if state == 0 {
			continue
		}
		if len(templates) > 0 {
			if _, ok := templates[c.guids[at]]; ok {
				for _, set := range c.sets[state-1] {
					out.Templates[set]++
				}
				continue
			}
		}
		counts[state-1]++
	}
	index := make([]int, len(c.sets))
	for s, n := range counts {
		if n > 0 {
			index[s] = len(out.Entries)
			out.Entries = append(out.Entries, Entry{Sets: c.sets[s], GUIDs: n})
		}
	}
	for at, state := range c.states {
		if state == 0 || counts[state-1] == 0 {
			continue
		}
		e := &out.Entries[index[state-1]]
		few, shared := len(e.Samples) < sampleGUIDs, len(e.Sets) > 1
		if !few && !shared {
			continue
		}
		g := c.guids[at]
		if len(templates) > 0 {
			if _, ok := templates[g]; ok {
				continue
			}
		}
		if few {
			e.Samples = append(e.Samples, g)
		}
		if h := Hash(g); shared && h <= sketchBound(e.GUIDs) {
			e.Sketch = append(e.Sketch, h)
		}
	}
	for i := range out.Entries {
		e := &out.Entries[i]
		slices.Sort(e.Sketch)
		e.Sketch = e.Sketch[:min(len(e.Sketch), SketchSize)]
	}
	return out
}

// sketchBound is the hash below which about one and a half times as many of n GUIDs lie as a sketch takes.
func sketchBound(n int64) uint64 {
	if n <= 2*SketchSize {
		return math.MaxUint64
	}
	return math.MaxUint64 / uint64(n) * (SketchSize + SketchSize/2)
}

// Held is a GUID and how many data sets hold it.
type Held struct {
	GUID datasets.GUID
	Sets int
}
