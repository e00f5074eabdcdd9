package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/signature"
)

// counting is where a step is: what comes before is in files already, so many of them.
type counting struct {
	Customer int    `json:"customer"` // index into part.Customers
	From     string `json:"from"`     // of that customer's GUIDs
	Files    int    `json:"files"`
	Rows     int64  `json:"rows"`
}

// counter of a step.
type countingStep struct {
	*Family
	a         *tasks.Attempt
	p         part
	at        counting
	store     *datasets.Store
	templates signature.Templates
	counter   *signature.Counter
}

// count counts a part. What does not fit into the counter's bound is cut: customers one by one, and of a customer the lower half of the
// GUIDs first, written and noted, so that memory is bounded whatever the estimates said, and little is done again after a kill.
func (f *Family) count(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	c := countingStep{Family: f, a: a}
	if err := json.Unmarshal(a.Step.Body, &c.p); err != nil {
		return tasks.Permanent(fmt.Errorf("read step: %w", err))
	}
	c.at.From = c.p.Range.From
	if cursor := a.Cursor(); cursor != nil {
		if err := json.Unmarshal(cursor, &c.at); err != nil {
			return tasks.Permanent(fmt.Errorf("read cursor: %w", err))
		}
	}
	var err error
	if c.store, err = f.surveyedStore(ctx, a.Job.ID, spec.Store, true); err != nil {
		return err
	}
	if _, _, c.templates, err = f.templates(ctx, a.Job.ID); err != nil {
		return err
	}
	c.counter = f.counter(0)
	defer f.counters.Put(c.counter)
	if c.at == (counting{}) && len(c.p.Customers) > 1 {
		if err := c.together(ctx); !errors.Is(err, signature.ErrFull) {
			return err
		}
	}
	for c.at.Customer < len(c.p.Customers) {
		if err := c.alone(ctx, c.p.Customers[c.at.Customer]); err != nil {
			return err
		}
		c.at.Customer, c.at.From = c.at.Customer+1, ""
		if err := c.checkpoint(ctx); err != nil {
			return err
		}
	}
	return nil
}

// together counts all customers of the step in one pass, as far as they fit.
func (c *countingStep) together(ctx context.Context) error {
	sc := newScanner(c.store.Scan, c.store, c.p)
	c.counter.Reset(sc.sets)
	if err := sc.read(ctx, datasets.Range{}, c.counter.Add); err != nil {
		return err
	}
	return c.write(ctx, sc.byCustomer(c.counter.Counts(c.templates)))
}

// alone counts one customer, from where an earlier attempt has come to.
func (c *countingStep) alone(ctx context.Context, customer partCustomer) error {
	sc := newScanner(c.store.Scan, c.store, part{Customers: []partCustomer{customer}})
	rest := datasets.Range{From: c.at.From, To: c.p.Range.To}
	err := sc.inParts(ctx, c.counter, rest, func(done datasets.Range) error {
		if err := c.write(ctx, sc.byCustomer(c.counter.Counts(c.templates))); err != nil {
			return err
		}
		if c.at.From = done.To; done.To == rest.To {
			return nil
		}
		return c.checkpoint(ctx)
	})
	if !cannotCut(err) {
		return err
	}
	found, err := sc.whole(ctx, c.counter, c.templates)
	if err != nil {
		return err
	}
	found.Whole = true
	return c.write(ctx, []counted{*found})
}

// write writes what was counted into the next file.
func (c *countingStep) write(ctx context.Context, found []counted) error {
	c.at.Files++
	c.at.Rows += rowsOf(found)
	c.a.Count(tasks.Counters{Read: c.at.Rows})
	return c.putLines(ctx, keyOf(c.a.Job.ID, fmt.Sprintf("%s/%s/%06d", folderCounts, c.a.Step.ID, c.at.Files)), func(line func(any) error) error {
		for _, l := range found {
			if err := line(l); err != nil {
				return err
			}
		}
		return nil
	})
}

func (c *countingStep) checkpoint(ctx context.Context) error {
	cursor, err := json.Marshal(c.at)
	if err != nil {
		return tasks.Permanent(err)
	}
	return c.a.Checkpoint(ctx, cursor)
}

func rowsOf(list []counted) int64 {
	var n int64
	for _, c := range list {
		for _, s := range c.Sets {
			n += s.Tally.Rows
		}
	}
	return n
}
