package dedupe

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
)

// surveyHead is the first line of a survey: the store as it was found. All later steps go by it.
type surveyHead struct {
	Address string          `json:"address"`
	Layout  datasets.Layout `json:"layout"` // resolved
	Entity  string          `json:"entity"`
	Now     time.Time       `json:"now"` // by the store's clock
	Notes   []string        `json:"notes,omitempty"`
}

// surveyed is a customer: all later lines but the last.
type surveyed struct {
	Customer string         `json:"customer,omitempty"`
	Sets     []datasets.Set `json:"sets,omitempty"`
	Size     int64          `json:"size,omitempty"`    // estimated rows; 0 is unknown
	Borders  []string       `json:"borders,omitempty"` // GUIDs that cut a large customer into parts
	// Samples are on the last line: the data sets in which template rows are looked for.
	Samples []datasets.ID `json:"samples,omitempty"`
}

// How large parts are, in rows. Estimates may be wrong: a part that does not fit is cut again when it is counted.
const (
	partRows      = 250_000 // customers are put together up to this
	partCustomers = 64
	unknownRows   = 8_000   // of a customer whose size nobody knows
	largeRows     = 800_000 // above it a customer is cut
	rangeRows     = 400_000
	borderEvery   = 1_000
	borderSets    = 4 // data sets in which borders are looked for
)

// survey lists the data sets. It is one step, and as long as it reads it may be repeated: the first survey that is whole counts.
func (f *Family) survey(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	store, err := f.store(ctx, spec.Store, true, spec.Layout)
	if err != nil {
		return err
	}
	now, err := store.Now(ctx)
	if err != nil {
		return err
	}
	head := surveyHead{Address: store.Address(), Layout: store.Layout(), Entity: store.Entity(), Now: now.UTC(), Notes: store.Notes()}
	var done tasks.Counters
	err = f.putLines(ctx, keyOf(a.Job.ID, fileSurvey), func(line func(any) error) error {
		if err := line(head); err != nil {
			return err
		}
		s := &surveyor{ctx: ctx, store: store, line: line}
		err := store.EachSet(ctx, func(set datasets.Set) error {
			done.Read++
			if len(s.open.Sets) > 0 && s.open.Customer != set.Customer {
				if err := s.close(); err != nil {
					return err
				}
			}
			s.open.Customer = set.Customer
			s.open.Sets = append(s.open.Sets, set)
			return nil
		})
		if err != nil {
			return err
		}
		return s.end()
	})
	if err != nil {
		return fmt.Errorf("list the data sets: %w", err)
	}
	a.Count(done)
	return nil
}

// surveyor puts data sets together by customers.
type surveyor struct {
	ctx     context.Context
	store   *datasets.Store
	line    func(any) error
	open    surveyed   // the customer whose data sets are being listed
	waiting []surveyed // customers whose size is asked for together
	samples samples    // by order, the greatest first: a heap
}

// sampled is a data set to look for template rows in. Which customers are looked at, and which first, goes by what their ids hash to:
// every so-manieth customer may be just those that have another edition of the product.
type sampled struct {
	id    datasets.ID
	order uint64
}

// maxSamples is how many data sets are looked at for template rows at most, one of a customer.
const maxSamples = 512

type samples []sampled

func (s samples) Len() int           { return len(s) }
func (s samples) Less(i, j int) bool { return s[i].order > s[j].order }
func (s samples) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *samples) Push(x any)        { *s = append(*s, x.(sampled)) }
func (s *samples) Pop() any {
	last := (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return last
}

// offer takes a data set of a customer into the sample, or not.
func (s *samples) offer(id datasets.ID) {
	sum := sha256.Sum256([]byte(id.Customer))
	heap.Push(s, sampled{id, binary.BigEndian.Uint64(sum[:])})
	if len(*s) > maxSamples {
		heap.Pop(s)
	}
}

// take empties the sample; what comes first is looked at first.
func (s *samples) take() []datasets.ID {
	ids := make([]datasets.ID, len(*s))
	for i := range ids {
		ids[len(ids)-1-i] = heap.Pop(s).(sampled).id
	}
	return ids
}

// close ends a customer.
func (s *surveyor) close() error {
	s.samples.offer(s.open.Sets[len(s.open.Sets)-1].ID)
	s.waiting = append(s.waiting, s.open)
	s.open = surveyed{}
	if len(s.waiting) >= partCustomers {
		return s.flush()
	}
	return nil
}

// flush writes the customers that wait.
func (s *surveyor) flush() error {
	var ask []string
	for _, c := range s.waiting {
		ask = append(ask, c.Customer)
	}
	sizes := map[string]int64{}
	var err error
	if len(ask) > 0 {
		if sizes, err = s.store.Sizes(s.ctx, ask); err != nil {
			return err
		}
	}
	for _, c := range s.waiting {
		c.Size = sizes[c.Customer]
		if c.Size > largeRows && len(c.Sets) > 1 {
			if c.Borders, err = s.borders(c); err != nil {
				return err
			}
		}
		if err := s.line(c); err != nil {
			return err
		}
	}
	s.waiting = s.waiting[:0]
	return nil
}

// borders cuts a large customer: by GUIDs out of one of its data sets, of a few the one with the most rows.
func (s *surveyor) borders(c surveyed) ([]string, error) {
	var best []string
	for i := range min(borderSets, len(c.Sets)) {
		set := c.Sets[i*len(c.Sets)/min(borderSets, len(c.Sets))]
		list, err := s.store.Borders(s.ctx, set.ID, datasets.Range{}, borderEvery)
		if errors.Is(err, datasets.ErrMixed) {
			return nil, nil // no GUID can be a border: see scanner.inShares
		}
		if err != nil {
			return nil, err
		}
		if len(list) > len(best) {
			best = list
		}
	}
	return evenly(best, int((c.Size+rangeRows-1)/rangeRows)-1), nil
}

// evenly chooses n of a list, at even distances, or all where there are no more.
func evenly(list []string, n int) []string {
	if n >= len(list) {
		return list
	}
	out := make([]string, 0, max(n, 0))
	for i := 1; i <= n; i++ {
		out = append(out, list[i*len(list)/(n+1)])
	}
	return out
}

func (s *surveyor) end() error {
	if len(s.open.Sets) > 0 {
		if err := s.close(); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.line(surveyed{Samples: s.samples.take()})
}

// readSurvey opens a survey and reads its head.
func (s *shared) readSurvey(ctx context.Context, job string) (surveyHead, *lines, error) {
	l, err := s.openLines(ctx, keyOf(job, fileSurvey))
	if err != nil {
		return surveyHead{}, nil, err
	}
	var head surveyHead
	if err := l.next(&head); err != nil {
		return head, nil, errors.Join(err, l.Close())
	}
	return head, l, nil
}

// eachSurveyed calls a function for each customer of a survey, and returns the data sets to look for template rows in.
func (s *shared) eachSurveyed(ctx context.Context, job string, each func(surveyHead, surveyed) error) ([]datasets.ID, error) {
	head, l, err := s.readSurvey(ctx, job)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	for {
		var c surveyed
		switch err := l.next(&c); {
		case errors.Is(err, io.EOF):
			return nil, tasks.Permanent(errors.New("the survey is cut off"))
		case err != nil:
			return nil, err
		case c.Customer == "" && c.Sets == nil:
			return c.Samples, nil
		}
		if each == nil {
			continue
		}
		if err := each(head, c); err != nil {
			return nil, err
		}
	}
}
