package record

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/decide"
)

// Order is a data set that an analysis gives up.
type Order struct {
	Customer    string
	Set         decide.Set // as it was counted
	Witness     string
	Shared      int64   // GUIDs that stand in the witness too
	Containment float64 // of the data set in its witness, 0 to 1
	OnlyHere    int64   // GUIDs and rows that nothing has that stays
}

// Orders reads an analysis to its end and returns the data sets that go: the first limit of them in the order of their containment,
// the highest first, then of their last sync, the oldest first, then of their ids; and those that are over the limit. Nothing is
// returned of an analysis that is damaged, that contradicts itself, or whose totals stop it (ErrStopped). A limit of 0 or less deletes
// none. It takes some hundred bytes for each data set that goes.
func Orders(r *Reader, limit int) (first, over []Order, err error) {
	var all []Order
	var group customer
	for {
		line, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if line.Set == nil {
			continue
		}
		s := line.Set
		if s.Customer != group.id || group.sets == nil {
			if err := group.check(r); err != nil {
				return nil, nil, err
			}
			group = customer{id: s.Customer, sets: map[string]fact{}}
		}
		d := &s.Decision
		if _, twice := group.sets[d.Database]; twice {
			return nil, nil, r.lines.bad("data set %s/%s is there twice", s.Customer, d.Database)
		}
		f := fact{complete: s.Set.Complete, sync: s.Set.LastSync}
		if d.Decision == decide.Delete {
			f.witness, f.goes = d.Witness, true
			all = append(all, Order{Customer: s.Customer, Set: s.Set, Witness: d.Witness, Shared: d.Shared, Containment: d.ContainmentVictim, OnlyHere: d.OnlyHere})
		}
		group.sets[d.Database] = f
	}
	if err := group.check(r); err != nil {
		return nil, nil, err
	}
	if why := r.End().Stop; why != "" {
		return nil, nil, tasks.WithHint(ErrStopped, "do what it says, and make a new analysis", "%s", why)
	}
	slices.SortFunc(all, compareOrders)
	n := min(max(limit, 0), len(all))
	return all[:n:n], all[n:], nil
}

// compareOrders puts the surest deletion first. Each data set that goes has a last sync: Orders has checked it.
func compareOrders(a, b Order) int {
	return cmp.Or(cmp.Compare(b.Containment, a.Containment), a.Set.LastSync.Compare(*b.Set.LastSync),
		cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Set.Database, b.Set.Database))
}

// customer collects what is known of one, to be checked when all of its data sets have been read.
type customer struct {
	id   string
	sets map[string]fact
}

type fact struct {
	witness        string
	goes, complete bool
	sync           *time.Time
}

// check makes sure that each data set that goes has a newer, whole witness that stays, whoever has written the file.
func (c customer) check(r *Reader) error {
	for id, f := range c.sets {
		if !f.goes {
			continue
		}
		w, ok := c.sets[f.witness]
		switch {
		case !ok || w.goes || !w.complete:
			return r.lines.bad("data set %s/%s goes, but its witness %q does not stay, or is not whole", c.id, id, f.witness)
		case f.sync == nil || w.sync == nil || !w.sync.After(*f.sync):
			return r.lines.bad("data set %s/%s goes, but its witness %s was not synced later", c.id, id, f.witness)
		}
	}
	return nil
}
