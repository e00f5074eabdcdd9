// Package datasetstest makes stores of data sets for tests and benchmarks, and knows what is in them.
//
// A store has customers of very different sizes, whose databases were uploaded once, or again under a new id; rows that the product
// ships in every database; and what leads a careless rule astray: databases that forked, pairs at the border of the threshold, chains,
// uploads that have not ended, data sets that nobody synced for a year and that are there once only. What is there follows from a
// seed: Truth is computed from how the store was made, and never from its rows.
package datasetstest

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/stint-run/stint/internal/datasets"
)

// Spec says what store is made. The zero value is a small one, of about 20,000 rows.
type Spec struct {
	Seed      uint64
	Customers int       // 0 is 60
	Rows      int       // of the entity, about; 0 is 20,000
	Payload   int       // bytes of a row beside its keys, about; 0 is 100
	Children  int       // every n-th row has a row in the child table; 0 is 10, a negative one is none
	Now       time.Time // the zero value is the time of the call
}

// Segment is a piece of a data set: the GUIDs From to To, that excluded, of a pool. The n-th GUID of a pool is always the same.
type Segment struct {
	Pool     uint64
	From, To int
}

// DataSet is a data set as it was made.
type DataSet struct {
	Customer int64
	Database int64
	What     string // original, copy, fork, chain, border, half or dormant
	Segments []Segment
	LastSync *time.Time // nil is unknown
	Complete bool
}

// ID returns the data set's id as package datasets writes it.
func (d *DataSet) ID() datasets.ID {
	return datasets.ID{Customer: strconv.FormatInt(d.Customer, 10), Database: strconv.FormatInt(d.Database, 10)}
}

// Rows returns how many GUIDs it has, those of template rows included.
func (d *DataSet) Rows() int64 {
	n := 0
	for _, s := range d.Segments {
		n += s.To - s.From
	}
	return int64(n)
}

// EachGUID calls f for all its GUIDs.
func (d *DataSet) EachGUID(f func(datasets.GUID)) {
	for _, s := range d.Segments {
		for i := s.From; i < s.To; i++ {
			f(PoolGUID(s.Pool, i))
		}
	}
}

// templates is the pool of the rows that the product ships: 20 for all, and 40 more for a few customers.
const (
	templates        = 0
	forAll           = 20
	withEdition      = 60
	editionCustomers = 20 // one in so many
)

// PoolGUID returns the n-th GUID of a pool, which looks random.
func PoolGUID(pool uint64, n int) datasets.GUID {
	a := mix(pool*0x9e3779b97f4a7c15 + uint64(n)*0xd1342543de82ef95 + 1)
	var g datasets.GUID
	binary.BigEndian.PutUint64(g[:8], a)
	binary.BigEndian.PutUint64(g[8:], mix(a^bits.RotateLeft64(pool, 32)^uint64(n)))
	g[6], g[8] = g[6]&0x0f|0x40, g[8]&0x3f|0x80
	return g
}

// mix is the last step of splitmix64: each bit of the input turns half of the output.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Truth is what stands in a store.
type Truth struct {
	Now  time.Time
	Sets []DataSet // by customer and database
}

// Pair are two data sets of one customer, A less than B, and how many GUIDs stand in both.
type Pair struct {
	Customer, A, B int64
	Shared         int64
}

// Rows returns how many rows the entity has.
func (t *Truth) Rows() int64 {
	n := int64(0)
	for i := range t.Sets {
		n += t.Sets[i].Rows()
	}
	return n
}

// Set returns the data set of that id, or nil.
func (t *Truth) Set(id datasets.ID) *DataSet {
	for i := range t.Sets {
		if t.Sets[i].ID() == id {
			return &t.Sets[i]
		}
	}
	return nil
}

// Templates returns the GUIDs of all template rows.
func (t *Truth) Templates() []datasets.GUID {
	all := make([]datasets.GUID, withEdition)
	for i := range all {
		all[i] = PoolGUID(templates, i)
	}
	return all
}

// Pairs returns the pairs that share at least so many GUIDs, with or without those of template rows; by customer, A and B.
func (t *Truth) Pairs(threshold int64, withTemplates bool) []Pair {
	var pairs []Pair
	for i := range t.Sets {
		for j := i + 1; j < len(t.Sets) && t.Sets[j].Customer == t.Sets[i].Customer; j++ {
			a, b := &t.Sets[i], &t.Sets[j]
			if n := a.shared(b, withTemplates); n >= threshold {
				pairs = append(pairs, Pair{a.Customer, a.Database, b.Database, n})
			}
		}
	}
	return pairs
}

// shared counts the GUIDs that stand in both: segments of a data set do not overlap.
func (d *DataSet) shared(of *DataSet, withTemplates bool) int64 {
	n := 0
	for _, x := range d.Segments {
		for _, y := range of.Segments {
			if x.Pool == y.Pool && (withTemplates || x.Pool != templates) {
				n += max(0, min(x.To, y.To)-max(x.From, y.From))
			}
		}
	}
	return int64(n)
}

func (t *Truth) sort() {
	slices.SortFunc(t.Sets, func(a, b DataSet) int {
		if a.Customer != b.Customer {
			return int(a.Customer - b.Customer)
		}
		return int(a.Database - b.Database)
	})
}
