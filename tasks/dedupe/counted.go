package dedupe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/signature"
)

// counted is what a part has found about a customer: a line of its file.
type counted struct {
	Customer string       `json:"customer"`
	Whole    bool         `json:"whole,omitempty"` // it is all of the customer, whatever other parts say
	Sets     []countedSet `json:"sets"`
	Shared   []shares     `json:"signatures"`
}

type countedSet struct {
	Database  string          `json:"database"`
	Tally     signature.Tally `json:"tally"`
	Templates int64           `json:"templates,omitempty"`
}

// shares is how many GUIDs stand in exactly some data sets of the customer.
type shares struct {
	Sets    []int    `json:"sets"` // indexes into Sets
	GUIDs   int64    `json:"guids"`
	Samples []string `json:"samples,omitempty"`
	Sketch  []uint64 `json:"sketch,omitempty"`
}

// folderOfCounts is below which the parts' files are, in the order of the survey.
func folderOfCounts(job string) string { return keyOf(job, folderCounts) + "/" }

// counts reads what was counted, customer by customer in the order of the survey, with the parts of each added up. Close it.
type counts struct {
	ctx    context.Context
	shared *shared
	prefix string
	page   []artifact.Info
	last   bool
	after  string
	lines  *lines
	open   *counted
}

// listPage is how many artifacts are listed at a time.
const listPage = 1000

func (s *shared) counts(ctx context.Context, job string) *counts {
	return &counts{ctx: ctx, shared: s, prefix: folderOfCounts(job)}
}

// read returns the next customer; nil at the end.
func (c *counts) read() (*counted, error) {
	for {
		next, err := c.line()
		if err != nil {
			return nil, err
		}
		switch open := c.open; {
		case open != nil && next != nil && open.Customer == next.Customer:
			if err := open.add(*next); err != nil {
				return nil, err
			}
		case open != nil || next == nil:
			c.open = next
			return open, nil
		default:
			c.open = next
		}
	}
}

// line returns the next line of the files; nil at the end.
func (c *counts) line() (*counted, error) {
	for {
		if c.lines == nil {
			if more, err := c.nextFile(); err != nil || !more {
				return nil, err
			}
		}
		var l counted
		err := c.lines.next(&l)
		if err == nil {
			return &l, nil
		}
		c.close()
		if !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
}

func (c *counts) nextFile() (bool, error) {
	if len(c.page) == 0 {
		if c.last {
			return false, nil
		}
		store, err := c.shared.o.Artifacts()
		if err != nil {
			return false, err
		}
		if c.page, err = store.List(c.ctx, c.prefix, c.after, listPage); err != nil {
			return false, err
		}
		if c.last = len(c.page) < listPage; len(c.page) == 0 {
			return false, nil
		}
	}
	c.after = c.page[0].Key
	c.page = c.page[1:]
	var err error
	c.lines, err = c.shared.openLines(c.ctx, c.after)
	return err == nil, err
}

// close ends the reading.
func (c *counts) close() {
	if c.lines != nil {
		_ = c.lines.Close() // it was only read
		c.lines = nil
	}
}

// add adds what another part has found about the same customer.
func (c *counted) add(o counted) error {
	switch {
	case c.Whole:
		return nil
	case o.Whole:
		*c = o
		return nil
	}
	if len(c.Sets) != len(o.Sets) {
		return tasks.Permanent(fmt.Errorf("customer %s has %d data sets in one part and %d in another", c.Customer, len(c.Sets), len(o.Sets)))
	}
	for i := range c.Sets {
		c.Sets[i].Tally.Add(o.Sets[i].Tally)
		c.Sets[i].Templates += o.Sets[i].Templates
	}
	c.Shared = mergeShares(append(c.Shared, o.Shared...))
	return nil
}

// mergeShares adds up what stands in the same data sets, in the order of these.
func mergeShares(list []shares) []shares {
	slices.SortStableFunc(list, func(a, b shares) int { return slices.Compare(a.Sets, b.Sets) })
	out := list[:0]
	for _, sh := range list {
		if n := len(out); n > 0 && slices.Equal(out[n-1].Sets, sh.Sets) {
			last := &out[n-1]
			last.GUIDs += sh.GUIDs
			last.Samples = append(last.Samples, sh.Samples[:min(len(sh.Samples), max(0, 5-len(last.Samples)))]...)
			last.Sketch = append(slices.Clone(last.Sketch), sh.Sketch...)
			slices.Sort(last.Sketch)
			last.Sketch = last.Sketch[:min(len(last.Sketch), signature.SketchSize)]
			continue
		}
		out = append(out, sh)
	}
	return out
}
