// Package decide says which data sets of a customer are copies that may go. It is pure: the same input gives the same decisions, in
// the same order, and nothing is read or written.
//
// The rule: data sets are ranked by their last sync, the newest first. One goes only when a data set that stays, its witness, shares
// at least Threshold GUIDs with it and holds at least Containment of its GUIDs, both without the product's own template rows; when
// the witness was synced later and has been uploaded whole; and when it was not itself synced within Recency. So nothing goes by way
// of a third data set, and what stays is never taken away in the same run.
package decide

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Rules are the parameters of a run. The zero value of none is usable: see Defaults.
type Rules struct {
	Threshold   int           `json:"threshold"`   // GUIDs that two data sets must share, 1 or more
	Containment float64       `json:"containment"` // share of the victim's GUIDs that must stand in the witness, above 0 to 1
	Recency     time.Duration `json:"recency"`     // ns; a data set synced within it stays
	// MaxShareCustomer and MaxShare are the shares of a customer's and of all GUIDs, 0 to 1, that may go; more stops the whole run.
	MaxShareCustomer float64 `json:"max_share_customer"`
	MaxShare         float64 `json:"max_share"`
	// Exempt are customers of whom nothing goes.
	Exempt []string `json:"exempt,omitempty"`
	// Now is the time of the analysis by the store's clock.
	Now time.Time `json:"now"`
}

// Skew is how far in the future a last sync may lie and still be taken for now: clocks differ. Beyond it nobody knows when it was.
const Skew = 5 * time.Minute

// Defaults returns the rules of a run that says nothing.
func Defaults() Rules {
	return Rules{Threshold: 25, Containment: 0.9, Recency: 7 * 24 * time.Hour, MaxShareCustomer: 0.75, MaxShare: 0.5}
}

// Check says what is wrong with the rules, in words, or returns nil.
func (r Rules) Check() error {
	switch {
	case r.Threshold < 1:
		return fmt.Errorf("a threshold of %d GUIDs makes duplicates of data sets that share nothing; it is 1 or more", r.Threshold)
	case !(r.Containment > 0 && r.Containment <= 1):
		return fmt.Errorf("a containment of %v is no share: it lies above 0, and 1 is all of it", r.Containment)
	case r.Recency < 0:
		return fmt.Errorf("a recency of %s is negative", r.Recency)
	case !(r.MaxShareCustomer >= 0 && r.MaxShareCustomer <= 1):
		return fmt.Errorf("a share of a customer of %v is none: it is 0 to 1", r.MaxShareCustomer)
	case !(r.MaxShare >= 0 && r.MaxShare <= 1):
		return fmt.Errorf("a share of all data of %v is none: it is 0 to 1", r.MaxShare)
	case r.Now.IsZero():
		return fmt.Errorf("the time of the analysis is not known")
	}
	return nil
}

// strict takes what Check refuses for the strictest there is, so that a rule that was lost on its way deletes nothing.
func (r Rules) strict() Rules {
	r.Threshold, r.Recency = max(r.Threshold, 1), max(r.Recency, 0)
	if !(r.Containment > 0 && r.Containment <= 1) {
		r.Containment = 1
	}
	return r
}

// Set is a data set as it was counted.
type Set struct {
	Database    string     `json:"database"`
	LastSync    *time.Time `json:"last_sync,omitempty"` // nil is unknown, which counts as recent
	Complete    bool       `json:"complete"`            // its first upload has ended
	Rows        int64      `json:"rows"`                // of the entity, all of them
	GUIDs       int64      `json:"guids"`               // different ones, without template rows
	Templates   int64      `json:"templates"`           // GUIDs of template rows
	Nulls       int64      `json:"nulls,omitempty"`     // rows without a GUID: they stand nowhere else
	Fingerprint string     `json:"fingerprint"`         // of all GUIDs, whatever their order
}

// Signature is how many GUIDs stand in exactly these data sets of a customer, template rows left out.
type Signature struct {
	Sets    []int    `json:"sets"` // indexes into Customer.Sets, ascending, each once
	GUIDs   int64    `json:"guids"`
	Samples []string `json:"samples,omitempty"` // some of them
}

// Customer is what was counted of a customer.
type Customer struct {
	ID         string      `json:"customer"`
	Sets       []Set       `json:"sets"`
	Signatures []Signature `json:"signatures,omitempty"`
	// Foreign are GUIDs, out of those that data sets share, which other customers turned out to hold too though they are not on the list
	// of template rows, by signature (index into Signatures): how many of how many looked at. A signature that is absent has none.
	Foreign map[int]Foreign `json:"foreign,omitempty"`
}

// ForeignShare is the share of the GUIDs that two data sets share, 0 to 1, up to which they may stand with other customers too. Beyond it
// they may be rows that the product ships and the list of template rows lacks, or one customer's database under two names.
const ForeignShare = 0.05

// Foreign says how many of the GUIDs of a signature that were looked at stand with other customers too.
type Foreign struct {
	Looked int64 `json:"looked"`
	Found  int64 `json:"found"`
}

// thousandths estimates how many of so many GUIDs stand with other customers too, in thousandths, as a whole number, so that sums do not
// depend on their order.
func (f Foreign) thousandths(guids int64) int64 {
	if f.Looked <= 0 {
		return 0
	}
	return int64(float64(guids) * 1000 * float64(f.Found) / float64(f.Looked))
}

// Decide decides of all data sets of a customer. It goes from the newest to the oldest, so that it is known of each newer one whether
// it stays, and asks of each, in this order:
//
//	exempt, only_copy                      its customer
//	template_only, not_duplicate           what it has, and whether anything shares enough with it
//	unknown_sync, future_sync              whether it can be compared at all
//	same_sync, newest                      whether any of those is newer
//	recent                                 whether it may go
//	no_live_witness, witness_uploading,    which of the newer ones can be its witness; the reason is that of the one which came
//	low_containment, foreign, duplicate    furthest in this order
//
// The time is that of the signatures' lengths squared at worst, one addition for each two data sets of a signature; the number of GUIDs
// does not matter. It may be called at the same time. An index of a signature that is not one of Sets panics.
func Decide(c Customer, r Rules) Verdict {
	r = r.strict()
	d := decision{c: &c, r: r, order: rankSets(&c, r), rank: make([]int, len(c.Sets)), of: make([]Decision, len(c.Sets)), goes: make([]bool, len(c.Sets))}
	for k, i := range d.order {
		d.rank[i] = k
	}
	d.broken = miscounted(&c)
	d.pairs = findPairs(&c, int64(r.Threshold), d.rank)
	d.partners = make([][]int, len(c.Sets))
	for k, p := range d.pairs {
		d.partners[p.a] = append(d.partners[p.a], k)
		d.partners[p.b] = append(d.partners[p.b], k)
	}
	exempt := slices.Contains(r.Exempt, c.ID)
	for _, i := range d.order {
		d.decide(i, exempt)
		d.goes[i] = d.of[i].Decision == Delete
	}
	return d.verdict()
}

// rankSets returns the indexes of the data sets, the newest first. Those of which nobody knows when they were synced come last.
func rankSets(c *Customer, r Rules) []int {
	order := make([]int, len(c.Sets))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(x, y int) int {
		a, b := &c.Sets[x], &c.Sets[y]
		if n := cmp.Compare(r.clarity(a), r.clarity(b)); n != 0 {
			return n
		}
		if a.LastSync != nil {
			if n := b.LastSync.Compare(*a.LastSync); n != 0 {
				return n
			}
		}
		return cmp.Compare(a.Database, b.Database)
	})
	return order
}

// clarity is 0 for a last sync that can be compared, 1 for one in the future and 2 for none.
func (r Rules) clarity(s *Set) int {
	switch {
	case s.LastSync == nil:
		return 2
	case s.LastSync.Sub(r.Now) > Skew:
		return 1
	}
	return 0
}
