package dedupe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/datasets"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/dedupe/signature"
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
