package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
)

// part is the body of a step that counts: some customers whole, or one customer between two GUIDs.
type part struct {
	Customers []partCustomer `json:"customers"`
	Range     datasets.Range `json:"range"`
}

type partCustomer struct {
	ID        string   `json:"id"`
	Databases []string `json:"databases"`
}

// countCursor is where the next page of steps begins: after so many customers of the survey, and so many parts of the next one.
type countCursor struct {
	Customers int `json:"customers"`
	Parts     int `json:"parts"`
	Steps     int `json:"steps"`
}

// splitCount puts customers with two data sets or more together, and cuts the large ones. What is cut where stands in the survey, so
// that it is the same each time.
func (f *Family) splitCount(ctx context.Context, job tasks.Job, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	var at countCursor
	if after != nil {
		if err := json.Unmarshal(after, &at); err != nil {
			return nil, nil, tasks.Permanent(fmt.Errorf("read cursor: %w", err))
		}
	}
	_, l, err := f.readSurvey(ctx, job.ID)
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	for range at.Customers {
		if err := l.next(nil); err != nil {
			return nil, nil, err
		}
	}
	p := packer{at: at, limit: limit}
	for {
		var c surveyed
		if err := l.next(&c); errors.Is(err, io.EOF) {
			return nil, nil, tasks.Permanent(errors.New("the survey is cut off"))
		} else if err != nil {
			return nil, nil, err
		}
		if c.Customer == "" && c.Sets == nil {
			return p.end()
		}
		if full, err := p.add(c); err != nil || full {
			return p.steps, p.cursor(), err
		}
	}
}

// packer makes steps of customers.
type packer struct {
	at    countCursor // everything before it is in steps
	limit int
	steps []tasks.Step
	open  part // small customers that are put together
	rows  int64
	taken int // customers since at.Customers
}

// add takes a customer; full is true when there are as many steps as asked for.
func (p *packer) add(c surveyed) (full bool, err error) {
	if len(c.Sets) < 2 { // there is nothing that it could be a copy of
		p.taken++
		if len(p.open.Customers) == 0 {
			p.settle()
		}
		return false, nil
	}
	pc := partCustomer{ID: c.Customer}
	for _, s := range c.Sets {
		pc.Databases = append(pc.Databases, s.Database)
	}
	if len(c.Borders) > 0 {
		if full, err := p.flush(); full || err != nil {
			return full, err
		}
		for i := p.at.Parts; i <= len(c.Borders); i++ {
			if len(p.steps) == p.limit {
				p.at.Parts = i
				return true, nil
			}
			b := part{Customers: []partCustomer{pc}}
			if i > 0 {
				b.Range.From = c.Borders[i-1]
			}
			if i < len(c.Borders) {
				b.Range.To = c.Borders[i]
			}
			if err := p.step(b); err != nil {
				return false, err
			}
		}
		p.at.Parts = 0
		p.taken++
		p.settle()
		return len(p.steps) == p.limit, nil
	}
	size := c.Size
	if size == 0 {
		size = unknownRows
	}
	if len(p.open.Customers) > 0 && (p.rows+size > partRows || len(p.open.Customers) == partCustomers) {
		if full, err := p.flush(); full || err != nil {
			return full, err
		}
	}
	p.open.Customers = append(p.open.Customers, pc)
	p.rows += size
	p.taken++
	return false, nil
}

// settle notes that all customers so far are in steps.
func (p *packer) settle() {
	p.at.Customers += p.taken
	p.taken = 0
}

// flush makes a step of the customers that are put together; full is true when the customer at hand belongs on the next page.
func (p *packer) flush() (full bool, err error) {
	if len(p.open.Customers) == 0 {
		return len(p.steps) == p.limit, nil
	}
	err = p.step(p.open)
	p.open, p.rows = part{}, 0
	p.settle()
	return len(p.steps) == p.limit, err
}

func (p *packer) step(b part) error {
	body, err := json.Marshal(b)
	if err != nil {
		return tasks.Permanent(err)
	}
	p.steps = append(p.steps, tasks.Step{ID: fmt.Sprintf("%08d", p.at.Steps), Body: body})
	p.at.Steps++
	return nil
}

func (p *packer) cursor() tasks.Cursor {
	c, err := json.Marshal(p.at)
	if err != nil {
		panic(err) // three numbers
	}
	return c
}

func (p *packer) end() ([]tasks.Step, tasks.Cursor, error) {
	_, err := p.flush()
	return p.steps, nil, err
}
