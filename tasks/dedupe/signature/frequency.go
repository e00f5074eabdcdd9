package signature

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/stint-run/stint/internal/datasets"
)

// frequencySlots of 12 bytes each: 24 MiB at most.
const frequencySlots = 1 << 21

// Frequency finds the GUIDs that stand in several data sets, and not in which: with less memory than a Counter. GUIDs are
// told apart by 64 bits of them, so that two of a million are taken for one in one of ten million stores. It is used by one goroutine.
type Frequency struct {
	least  int
	hashes []uint64 // open addressing, linear probing; 0 is a free slot
	last   []uint16 // the data set that a GUID was last seen in
	sets   []uint16 // in how many, up to least
	used   int
	found  map[uint64]*Held
}

// NewFrequency makes one that finds the GUIDs of at least so many data sets, 2 to 65,535.
func NewFrequency(least int) *Frequency {
	return &Frequency{least: min(max(least, 2), math.MaxUint16), hashes: make([]uint64, minSlots), last: make([]uint16, minSlots), sets: make([]uint16, minSlots), found: map[uint64]*Held{}}
}

// Add takes rows of a data set. Data sets come one after the other; a number is used for one of them alone. After ErrFull nothing more
// can be added, and what has been found is right for the data sets before this one.
func (f *Frequency) Add(set uint16, rows []datasets.Row) error {
	for i := range rows {
		if rows[i].Null {
			continue
		}
		if err := f.add(set, rows[i].GUID); err != nil {
			return err
		}
	}
	return nil
}

func (f *Frequency) add(set uint16, guid datasets.GUID) error {
	if f.used >= len(f.hashes)/8*7 {
		if len(f.hashes) >= frequencySlots {
			return ErrFull
		}
		f.grow()
	}
	h := mix(binary.LittleEndian.Uint64(guid[:8]), binary.LittleEndian.Uint64(guid[8:]))
	h += uint64(1 - min(h, 1)) // 0 is no hash
	at := f.at(h)
	switch {
	case f.hashes[at] == 0:
		f.hashes[at], f.last[at], f.sets[at] = h, set, 1
		f.used++
	case f.last[at] != set:
		f.last[at] = set
		if int(f.sets[at]) < f.least {
			f.sets[at]++
		}
		if held := f.found[h]; held != nil {
			held.Sets++
		} else if int(f.sets[at]) == f.least {
			f.found[h] = &Held{guid, f.least}
		}
	}
	return nil
}

// at is the slot of a hash, or the free one that it would have.
func (f *Frequency) at(h uint64) uint64 {
	mask := uint64(len(f.hashes) - 1)
	at := h & mask
	for f.hashes[at] != 0 && f.hashes[at] != h {
		at = (at + 1) & mask
	}
	return at
}

func (f *Frequency) grow() {
	hashes, last, sets := f.hashes, f.last, f.sets
	n := 2 * len(hashes)
	f.hashes, f.last, f.sets = make([]uint64, n), make([]uint16, n), make([]uint16, n)
	for i, h := range hashes {
		if h != 0 {
			at := f.at(h)
			f.hashes[at], f.last[at], f.sets[at] = h, last[i], sets[i]
		}
	}
}

// Found returns the GUIDs, those in the most data sets first, and equal ones by their bytes.
func (f *Frequency) Found() []Held {
	out := make([]Held, 0, len(f.found))
	for _, h := range f.found {
		out = append(out, *h)
	}
	slices.SortFunc(out, func(a, b Held) int {
		if a.Sets != b.Sets {
			return b.Sets - a.Sets
		}
		return bytes.Compare(a.GUID[:], b.GUID[:])
	})
	return out
}
