package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// How many customers and deletions Totals remembers by name.
const (
	MaxShares  = 20
	MaxLargest = 10
)

// Tally adds up data sets.
type Tally struct {
	Sets     int64 `json:"sets"`
	Rows     int64 `json:"rows"`      // of the entity
	GUIDs    int64 `json:"guids"`     // different ones of each data set, without template rows; of one that nobody read, its rows
	OnlyHere int64 `json:"only_here"` // Decision.OnlyHere of each, so that what two of them hold counts twice
}

func (t *Tally) add(s *Set, d *Decision) {
	t.Sets++
	t.Rows += s.Rows
	t.GUIDs += s.GUIDs
	if s.unread() {
		t.GUIDs += s.Rows
	}
	t.OnlyHere += d.OnlyHere
}

// plus returns the sum of two tallies.
func (t Tally) plus(o Tally) Tally {
	return Tally{Sets: t.Sets + o.Sets, Rows: t.Rows + o.Rows, GUIDs: t.GUIDs + o.GUIDs, OnlyHere: t.OnlyHere + o.OnlyHere}
}

// Totals adds up a run. Its size does not depend on the number of customers. The zero value is ready.
type Totals struct {
	Customers int64            `json:"customers"`
	All       Tally            `json:"all"`
	Reasons   map[Reason]Tally `json:"reasons,omitempty"`
	Pairs     int64            `json:"pairs"`
	Lost      int64            `json:"lost"`              // Verdict.Lost of all: each GUID once
	Affected  int64            `json:"affected"`          // customers of whom something goes
	Shares    []Share          `json:"shares,omitempty"`  // of the customers who lose the largest shares, these first
	Largest   []Deletion       `json:"largest,omitempty"` // the largest data sets that go, by rows
}

// Share is how much of a customer's data goes.
type Share struct {
	Customer string  `json:"customer"`
	Share    float64 `json:"share"` // 0 to 1: of the rows or of the GUIDs, whichever is more
	Sets     int64   `json:"sets"`  // that go
	Of       int64   `json:"of"`    // data sets that there are
	Rows     int64   `json:"rows"`  // that go
}

// Deletion is a data set that goes.
type Deletion struct {
	Customer string `json:"customer"`
	Database string `json:"database"`
	Witness  string `json:"witness"`
	Rows     int64  `json:"rows"`
	OnlyHere int64  `json:"only_here"`
}

// Add counts a customer and what was decided of it. A customer with one data set, which nobody has to read, counts too: its rows, if
// they are known or estimated, are a part of all.
func (t *Totals) Add(c Customer, v Verdict) {
	byID := make(map[string]*Set, len(c.Sets))
	for i := range c.Sets {
		byID[c.Sets[i].Database] = &c.Sets[i]
	}
	if t.Reasons == nil {
		t.Reasons = map[Reason]Tally{}
	}
	var all, goes Tally
	for i := range v.Sets {
		d := &v.Sets[i]
		s := byID[d.Database]
		if s == nil {
			s = &Set{Database: d.Database}
		}
		all.add(s, d)
		of := t.Reasons[d.Reason]
		of.add(s, d)
		t.Reasons[d.Reason] = of
		if d.Decision == Delete {
			goes.add(s, d)
			t.Largest = keepFirst(t.Largest, Deletion{Customer: c.ID, Database: d.Database, Witness: d.Witness, Rows: s.Rows, OnlyHere: d.OnlyHere}, MaxLargest, largerDeletion)
		}
	}
	t.Customers++
	t.All = t.All.plus(all)
	t.Pairs += int64(len(v.Pairs))
	t.Lost += v.Lost
	if goes.Sets > 0 {
		t.Affected++
		t.Shares = keepFirst(t.Shares, Share{Customer: c.ID, Share: shareOf(goes, all), Sets: goes.Sets, Of: all.Sets, Rows: goes.Rows}, MaxShares, largerShare)
	}
}

// keepFirst puts an item into a list in its order and lets go of what is then too much.
func keepFirst[T any](list []T, item T, most int, compare func(a, b T) int) []T {
	at, _ := slices.BinarySearchFunc(list, item, compare)
	if at >= most {
		return list
	}
	list = slices.Insert(list, at, item)
	return list[:min(len(list), most)]
}

func largerDeletion(a, b Deletion) int {
	return cmp.Or(cmp.Compare(b.Rows, a.Rows), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Database, b.Database))
}

func largerShare(a, b Share) int {
	return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Customer, b.Customer))
}

// shareOf is the share that goes, of rows or of GUIDs, whichever is more: neither many rows with one GUID nor template rows hide it.
func shareOf(goes, all Tally) float64 {
	var of float64
	if all.Rows > 0 {
		of = float64(goes.Rows) / float64(all.Rows)
	}
	if all.GUIDs > 0 {
		of = max(of, float64(goes.GUIDs)/float64(all.GUIDs))
	}
	return of
}

// Of adds up what has the action.
func (t Totals) Of(a Action) Tally {
	var sum Tally
	for r, of := range t.Reasons {
		if r.Action() == a {
			sum = sum.plus(of)
		}
	}
	return sum
}

// Share returns the share of all data that goes, 0 to 1: of the rows or of the GUIDs, whichever is more.
func (t Totals) Share() float64 { return shareOf(t.Of(Delete), t.All) }

// Stop says why nothing of the run may go, and what to do about it; "" is that it may. It is asked when all customers have been added.
func (t Totals) Stop(r Rules) (why string) {
	var over []string
	for _, s := range t.Shares {
		// Written so that a bound that is no number stops too.
		if !(s.Share <= r.MaxShareCustomer) {
			over = append(over, fmt.Sprintf("%s (%s)", s.Customer, excess(s.Share)))
		}
	}
	var reasons []string
	if n := len(over); n > 0 {
		who := "1 customer would lose"
		switch {
		case n == MaxShares && t.Affected > MaxShares:
			who = fmt.Sprintf("%d customers or more would lose", n)
		case n > 1:
			who = fmt.Sprintf("%d customers would lose", n)
		}
		reasons = append(reasons, fmt.Sprintf("%s more than %s of their data: %s. Look at them; then exempt them, or raise max_share_customer", who, share(r.MaxShareCustomer), strings.Join(over, ", ")))
	}
	if all := t.Share(); t.Affected > 0 && !(all <= r.MaxShare) {
		reasons = append(reasons, fmt.Sprintf("%s of all data would go, and %s may. Look at the largest deletions; then exempt customers, or raise max_share", excess(all), share(r.MaxShare)))
	}
	return strings.Join(reasons, ". ")
}
