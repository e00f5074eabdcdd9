// Package signature counts which GUIDs stand in which data sets. The state of a GUID is the number of a signature: the set of data
// sets that hold it. A row moves its GUID from one signature to the next, so that one pass over the rows, in any order, gives for
// each signature how many GUIDs it has; pairs of data sets are expanded once for each signature, not for each GUID. So 200 copies
// of one data set cost no more than two, and what only one of them holds comes out of the same table.
package signature

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"slices"

	"github.com/stint-run/stint/internal/datasets"
)

// ErrFull: the counter holds as many GUIDs, or as many signatures, as it may. Count a part of the GUIDs at a time.
var ErrFull = errors.New("too many different GUIDs to count at once")

// Bounds of a counter's memory.
const (
	// maxSlots of 20 bytes each: about 10 MiB.
	maxSlots = 1 << 19
	// MaxGUIDs is how many different GUIDs a counter takes.
	MaxGUIDs = maxSlots / 8 * 7
	// maxMembers bounds the lengths of all signatures together, 4 bytes each.
	maxMembers = 4 << 20

	minSlots = 1 << 12
)

// Counter counts the GUIDs of data sets that are numbered from 0. It is used by one goroutine. Reset makes it as new and keeps its
// memory. The zero value is not usable: see NewCounter.
type Counter struct {
	guids   []datasets.GUID // open addressing, linear probing
	states  []uint32        // signature + 1; 0 is a free slot
	used    int
	max     int // GUIDs
	sets    [][]int32
	number  map[uint64][]uint32 // signatures by the hash of their sets
	steps   []step              // by signature: the last move from it
	moves   map[uint64]uint32   // all moves
	members int
	tallies []Tally
}

// step is a move from a signature by a data set to another.
type step struct {
	set  int32
	next uint32
}

// Tally is what is counted of each row of a data set, whatever its GUID. Tallies of parts add up.
type Tally struct {
	Rows  int64 `json:"rows"`
	Nulls int64 `json:"nulls,omitempty"` // rows without a GUID
	// Sum is over the GUIDs of all rows, whatever their order: a row more, less, or another makes it another.
	Sum [2]uint64 `json:"sum"`
}

// Add adds the tally of another part of the same data set.
func (t *Tally) Add(o Tally) {
	t.Rows += o.Rows
	t.Nulls += o.Nulls
	t.Sum[0] += o.Sum[0]
	t.Sum[1] += o.Sum[1]
}

// Fingerprint returns the tally in one word.
func (t Tally) Fingerprint() string {
	return fmt.Sprintf("%d-%d-%016x%016x", t.Rows, t.Nulls, t.Sum[0], t.Sum[1])
}

// NewCounter makes a counter for so many data sets.
func NewCounter(sets int) *Counter {
	c := &Counter{}
	c.Reset(sets)
	return c
}

// Reset makes the counter as new, for so many data sets.
func (c *Counter) Reset(sets int) {
	if c.guids == nil {
		c.guids, c.states = make([]datasets.GUID, minSlots), make([]uint32, minSlots)
		c.max = MaxGUIDs
	}
	clear(c.states)
	c.used, c.members = 0, 0
	c.sets, c.steps = c.sets[:0], c.steps[:0]
	c.number, c.moves = map[uint64][]uint32{}, map[uint64]uint32{}
	c.tallies = append(c.tallies[:0], make([]Tally, sets)...)
}

// Add counts rows. Rows whose Set is none of the counter's are left out. After ErrFull the counter is of no use until Reset.
func (c *Counter) Add(rows []datasets.Row) error {
	for i := range rows {
		r := &rows[i]
		if r.Set < 0 || int(r.Set) >= len(c.tallies) {
			continue
		}
		t := &c.tallies[r.Set]
		t.Rows++
		if r.Null {
			t.Nulls++
			continue
		}
		lo, hi := binary.LittleEndian.Uint64(r.GUID[:8]), binary.LittleEndian.Uint64(r.GUID[8:])
		h := mix(lo, hi)
		t.Sum[0] += h
		t.Sum[1] += mix(hi^0x2545f4914f6cdd1d, lo)
		if err := c.add(r, h); err != nil {
			return err
		}
	}
	return nil
}

// mix spreads two words over one, such that each bit of either moves about half of the result's (the multiply and fold of wyhash).
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	hi, lo = bits.Mul64(hi^lo^0x8ebc6af09c88c6e3, a+b^0x589965cc75374cc3)
	return hi ^ lo
}

// Hash returns the hash by which samples of GUIDs are taken: the same GUIDs everywhere.
func Hash(g datasets.GUID) uint64 {
	return mix(binary.LittleEndian.Uint64(g[:8]), binary.LittleEndian.Uint64(g[8:]))
}

func (c *Counter) add(r *datasets.Row, h uint64) error {
	mask := uint64(len(c.states) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		state := c.states[at]
		switch {
		case state == 0:
			if c.used >= len(c.states)/8*7 {
				if err := c.grow(); err != nil {
					return err
				}
				return c.add(r, h)
			}
			first, err := c.single(r.Set)
			if err != nil {
				return err
			}
			c.guids[at], c.states[at] = r.GUID, first+1
			c.used++
			return nil
		case c.guids[at] == r.GUID:
			next, err := c.next(state-1, r.Set)
			if err != nil {
				return err
			}
			c.states[at] = next + 1
			return nil
		}
	}
}

// grow doubles the table.
func (c *Counter) grow() error {
	if c.used >= c.max {
		return ErrFull
	}
	guids, states := c.guids, c.states
	c.guids, c.states = make([]datasets.GUID, 2*len(guids)), make([]uint32, 2*len(states))
	mask := uint64(len(c.states) - 1)
	for i, state := range states {
		if state == 0 {
			continue
		}
		at := Hash(guids[i]) & mask
		for c.states[at] != 0 {
			at = (at + 1) & mask
		}
		c.guids[at], c.states[at] = guids[i], state
	}
	return nil
}

// none is the signature that no data set has: from it the first move of each GUID goes.
const none = ^uint32(0)

// single returns the signature of one data set.
func (c *Counter) single(set int32) (uint32, error) {
	key := uint64(none)<<32 | uint64(uint32(set))
	if s, ok := c.moves[key]; ok {
		return s, nil
	}
	s, err := c.intern([]int32{set})
	c.moves[key] = s
	return s, err
}

// next returns the signature of s and one data set more.
func (c *Counter) next(s uint32, set int32) (uint32, error) {
	if last := c.steps[s]; last.set == set {
		return last.next, nil
	}
	key := uint64(s)<<32 | uint64(uint32(set))
	n, ok := c.moves[key]
	if !ok {
		members := c.sets[s]
		at, there := slices.BinarySearch(members, set)
		n = s
		if !there {
			var err error
			if n, err = c.intern(slices.Insert(slices.Clone(members), at, set)); err != nil {
				return 0, err
			}
		}
		c.moves[key] = n
	}
	c.steps[s] = step{set, n}
	return n, nil
}

// intern returns the number of a signature.
func (c *Counter) intern(members []int32) (uint32, error) {
	h := uint64(len(members))
	for _, m := range members {
		h = mix(h, uint64(m))
	}
	for _, s := range c.number[h] {
		if slices.Equal(c.sets[s], members) {
			return s, nil
		}
	}
	if c.members += len(members); c.members > maxMembers {
		return 0, ErrFull
	}
	s := uint32(len(c.sets))
	c.sets, c.steps = append(c.sets, members), append(c.steps, step{set: -1})
	c.number[h] = append(c.number[h], s)
	return s, nil
}
