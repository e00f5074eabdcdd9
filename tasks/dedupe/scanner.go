package dedupe

import (
	"context"
	"errors"
	"slices"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks/dedupe/signature"
)

// scanner counts the data sets of some customers.
type scanner struct {
	scan    func(context.Context, datasets.Scan, func([]datasets.Row) error) error
	borders borderer
	scanned datasets.Scan
	number  map[datasets.ID]int32
	ids     []datasets.ID // by number; those of one customer follow one another
	first   []int         // by customer, the number of its first data set
	sets    int
	apart   bool // each data set is read by itself: the customer has others that nobody asks for
}

// borderer finds GUIDs that cut a data set into parts.
type borderer interface {
	Borders(ctx context.Context, id datasets.ID, r datasets.Range, every int64) ([]string, error)
}

func newScanner(scan func(context.Context, datasets.Scan, func([]datasets.Row) error) error, b borderer, p part) *scanner {
	s := &scanner{scan: scan, borders: b, number: map[datasets.ID]int32{}}
	for _, c := range p.Customers {
		s.scanned.Customers = append(s.scanned.Customers, c.ID)
		s.first = append(s.first, len(s.ids))
		for _, d := range c.Databases {
			id := datasets.ID{Customer: c.ID, Database: d}
			s.number[id] = int32(len(s.ids))
			s.ids = append(s.ids, id)
		}
	}
	s.sets = len(s.ids)
	s.scanned.Lookup = func(id datasets.ID) int32 {
		if n, ok := s.number[id]; ok {
			return n
		}
		return -1 // came after the survey
	}
	return s
}

// inParts counts a range, in as many parts as it takes; each is called after each part, in the order of the GUIDs, with what the
// counter then holds. Where GUIDs are written in more than one way, no range holds all rows of one: it returns datasets.ErrMixed, and
// where they cannot be cut for another reason errUncut; then inShares can.
func (s *scanner) inParts(ctx context.Context, counter *signature.Counter, r datasets.Range, each func(datasets.Range) error) error {
	now := r
	for {
		counter.Reset(s.sets)
		err := s.read(ctx, now, counter.Add)
		if errors.Is(err, signature.ErrFull) {
			middle, err := s.middle(ctx, now)
			if err != nil {
				return err
			}
			now.To = middle
			continue
		}
		if err != nil {
			return err
		}
		if err := each(now); err != nil {
			return err
		}
		if now.To == r.To {
			return nil
		}
		now = datasets.Range{From: now.To, To: r.To}
	}
}

// errUncut: no GUID lies between those of a range, or all data sets are too small to say which.
var errUncut = errors.New("the GUIDs cannot be cut into parts")

// inShares counts everything, share by share of the GUIDs' hashes: as many shares as it takes, each by reading all rows again. It is slow
// and always possible. each is called after each share, with what the counter then holds; restart, before the first one of another try.
func (s *scanner) inShares(ctx context.Context, counter *signature.Counter, restart func(), each func() error) error {
	for n := uint64(2); ; n *= 2 {
		restart()
		err := s.shares(ctx, counter, n, each)
		if !errors.Is(err, signature.ErrFull) {
			return err
		}
	}
}

func (s *scanner) shares(ctx context.Context, counter *signature.Counter, n uint64, each func() error) error {
	mine := make([]datasets.Row, 0, 4096)
	for k := range n {
		counter.Reset(s.sets)
		err := s.read(ctx, datasets.Range{}, func(rows []datasets.Row) error {
			mine = mine[:0]
			for _, r := range rows {
				if r.Null && k == 0 || !r.Null && signature.Hash(r.GUID)>>32%n == k {
					mine = append(mine, r)
				}
			}
			return counter.Add(mine)
		})
		if err != nil {
			return err
		}
		if err := each(); err != nil {
			return err
		}
	}
	return nil
}

// whole counts one customer as inParts does, or else as inShares does, and adds everything up.
func (s *scanner) whole(ctx context.Context, counter *signature.Counter, templates signature.Templates) (*counted, error) {
	var sum *counted
	add := func() error {
		found := s.byCustomer(counter.Counts(templates))[0]
		if sum == nil {
			sum = &found
			return nil
		}
		return sum.add(found)
	}
	err := s.inParts(ctx, counter, datasets.Range{}, func(datasets.Range) error { return add() })
	if cannotCut(err) {
		err = s.inShares(ctx, counter, func() { sum = nil }, add)
	}
	return sum, err
}

func cannotCut(err error) bool { return errors.Is(err, datasets.ErrMixed) || errors.Is(err, errUncut) }

// read scans a range.
func (s *scanner) read(ctx context.Context, r datasets.Range, each func([]datasets.Row) error) error {
	sc := s.scanned
	sc.Range = r
	if !s.apart {
		return s.scan(ctx, sc, each)
	}
	for _, id := range s.ids {
		sc.Customers, sc.Database = []string{id.Customer}, id.Database
		if err := s.scan(ctx, sc, each); err != nil {
			return err
		}
	}
	return nil
}

// middle returns a GUID in the midst of a range: of several data sets, by the one that has the most rows there.
func (s *scanner) middle(ctx context.Context, r datasets.Range) (string, error) {
	var best []string
	for i, id := range s.ids {
		list, err := s.borders.Borders(ctx, id, r, borderEvery)
		if err != nil {
			return "", err
		}
		if len(list) > len(best) {
			best = list
		}
		if i >= maxBorderSets && len(best) > 0 {
			break
		}
	}
	best = slices.DeleteFunc(slices.Clone(best), func(b string) bool { return b == r.From || b == r.To })
	if len(best) == 0 {
		return "", errUncut
	}
	return best[len(best)/2], nil
}

// maxBorderSets is in how many data sets the middle of a range is looked for, unless none of them has rows enough.
const maxBorderSets = 32

// byCustomer divides what was counted among the customers.
func (s *scanner) byCustomer(c signature.Counts) []counted {
	out := make([]counted, len(s.first))
	owner := make([]int, s.sets)
	for i, first := range s.first {
		end := s.sets
		if i+1 < len(s.first) {
			end = s.first[i+1]
		}
		out[i].Customer = s.scanned.Customers[i]
		for n := first; n < end; n++ {
			owner[n] = i
			out[i].Sets = append(out[i].Sets, countedSet{s.ids[n].Database, c.Tallies[n], c.Templates[n]})
		}
	}
	for _, e := range c.Entries {
		for at := 0; at < len(e.Sets); {
			mine := owner[e.Sets[at]]
			sh := shares{GUIDs: e.GUIDs}
			for ; at < len(e.Sets) && owner[e.Sets[at]] == mine; at++ {
				sh.Sets = append(sh.Sets, int(e.Sets[at])-s.first[mine])
			}
			for _, g := range e.Samples {
				sh.Samples = append(sh.Samples, g.String())
			}
			if len(sh.Sets) > 1 {
				sh.Sketch = e.Sketch
			}
			out[mine].Shared = append(out[mine].Shared, sh)
		}
	}
	for i := range out {
		out[i].Shared = mergeShares(out[i].Shared)
	}
	return out
}
