package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Check says how what a mapping makes of the rows of a source is found again in its target.
type Check struct {
	Mapping *Mapping // with a Transform
	Walk    Walk     // of the source
	// Key are the columns of the target by which a row is found; all are columns of the mapping. Empty: rows cannot be found, and
	// are compared as a multiset.
	Key []string
	// Job and Stage say whose rows in quarantine are not expected in the target: of a job or AnyJob, "" for none, in a stage.
	Job, Stage string
	Alone      bool // the table holds the rows of this mapping and no others: what else is there is extra
	Several    bool // one row of the source may become several
}

// Mode says how the check is made. CompareMerge sees rows that only the target has, if the table holds no others.
func (k *Check) Mode() CompareMode {
	if len(k.Key) == 0 {
		return CompareMultiset
	}
	if k.Several || k.Walk.Kind != WalkKey || len(k.Key) != len(k.Walk.Columns) {
		return CompareLookup
	}
	for _, name := range k.Walk.Columns {
		target := k.Mapping.plainTarget(name)
		if !slices.Contains(k.Key, target) || !isIntKind(k.Mapping.Target.Column(target).Kind) || !isIntKind(k.Mapping.Source.Column(name).Kind) {
			return CompareLookup
		}
	}
	return CompareMerge
}

// plainTarget returns a column of the target that is a column of the source as it stands; "" when there is none.
func (m *Mapping) plainTarget(source string) string {
	t := m.Make()
	inputs := t.Reads()
	for i := range m.Columns {
		if at := t.Plain(i); at >= 0 && inputs[at].Name == source {
			return m.Columns[i].Target
		}
	}
	return ""
}

// CompareMade makes the rows of [from, to) of a source again, by the same mapping as a migration, and compares them with those of the
// target, cell by cell. What it says of connections and of report is what CompareRange says. With CompareMultiset the range has no
// borders. Rows that only the target has are seen by CompareMerge and by CompareMultiset; for the others there is CompareKeys.
func CompareMade(ctx context.Context, src, dst *DB, k *Check, from, to RowKey, report func(Difference) bool) (CompareResult, error) {
	fail := func(c CompareResult, err error) (CompareResult, error) {
		return c, fmt.Errorf("compare %s: %w", k.Mapping.Target.FullName(), Classify(err))
	}
	c, err := newCheck(ctx, src, dst, k, report)
	if err != nil {
		return fail(CompareResult{}, err)
	}
	switch mode := k.Mode(); {
	case mode == CompareMultiset && (from != nil || to != nil):
		err = errors.New("rows without a key can only be compared as a whole")
	case mode == CompareMultiset:
		err = c.multiset(ctx)
	case mode == CompareMerge && integersOnly(from) && integersOnly(to):
		err = c.mergeMade(ctx, k, from, to)
	default:
		err = c.lookupMade(ctx, from, to)
	}
	if err != nil {
		return fail(c.result, err)
	}
	return c.result, nil
}

// newCheck makes a comparison of what a mapping makes.
func newCheck(ctx context.Context, src, dst *DB, k *Check, report func(Difference) bool) (*comparison, error) {
	c, err := newComparison(ctx, src, dst, k.Mapping, k.Walk, k.Job, report)
	if err != nil {
		return nil, err
	}
	c.stage = k.Stage
	c.targetWalk = Walk{Kind: WalkKey, Columns: k.Key}
	if k.Mode() == CompareMerge { // in the order of the source
		c.targetWalk.Columns = nil
		for _, name := range k.Walk.Columns {
			c.targetWalk.Columns = append(c.targetWalk.Columns, k.Mapping.plainTarget(name))
		}
	}
	return c, c.readQuarantine(ctx)
}

// ofMade completes a comparison of what a Transform makes: when values are alike follows from what is made, and from the target.
func (c *comparison) ofMade() error {
	t := c.m.Make()
	inputs := t.Reads()
	for i, p := range c.m.Columns {
		dst := c.m.Target.Column(p.Target)
		if dst == nil {
			return fmt.Errorf("there is no column %s in the target", p.Target)
		}
		from, made := Postgres, &Column{Name: p.Source, Kind: c.m.Kinds[i]} // what expressions make is of its type
		if at := t.Plain(i); at >= 0 {
			if from, made = c.src.Dialect, c.m.Source.Column(inputs[at].Name); made == nil {
				return fmt.Errorf("there is no column %s", inputs[at].Name)
			}
		}
		c.made = append(c.made, madeColumn{from, made})
		c.comparer.like = append(c.comparer.like, likenessOf(from, c.dst.Dialect, made, dst))
	}
	return nil
}

// madeColumn is what comes for a column of the target.
type madeColumn struct {
	from   Dialect
	column *Column
}

// madeRows streams what becomes of the rows of a range.
type madeRows struct {
	*Rows
	x    *transformer
	outs [][]cell  // of the current row; n of them
	n    int       //
	bad  *BadValue // nothing can be made of the current row
	buf  []byte
	keep func(out []Cell) *BadValue // is given what becomes of the current row
}

func (c *comparison) readMade(ctx context.Context, from, to RowKey) (*madeRows, error) {
	t := c.m.Make()
	r := &madeRows{x: &transformer{t: t, inputs: t.Reads()}}
	r.keep = r.keepMade // once for all rows
	r.x.oids, r.x.in = make([]uint32, len(r.x.inputs)), make([]cell, len(r.x.inputs))
	cols := make([]selected, len(r.x.inputs))
	for i, in := range r.x.inputs {
		col := c.m.Source.Column(in.Name)
		if col == nil {
			return nil, fmt.Errorf("there is no column %s", in.Name)
		}
		// What only passes through is read in PostgreSQL's own text form, so that a mistake in our decoding shows.
		cols[i] = selected{column: col, binary: c.src.Dialect.words().binary(col.Kind) && (in.Seen || evident(col.Kind) || slices.Contains(c.walk.Columns, in.Name))}
	}
	for i := range c.m.Columns {
		r.x.plain = append(r.x.plain, t.Plain(i))
	}
	rows, err := readColumns(ctx, c.src, c.m.Source, c.walk, cols, from, to)
	if err != nil {
		return nil, err
	}
	for i := range r.x.oids {
		r.x.oids[i] = rows.cols[i].oid
	}
	if t.Ahead() {
		rows.src = &window{ctx: ctx, src: rows.src, x: r.x}
	}
	r.Rows = rows
	return r, nil
}

// next goes to the next row of the source, and makes what becomes of it.
func (r *madeRows) next() (bool, error) {
	if !r.Next() {
		return false, r.Err()
	}
	r.n, r.bad, r.buf = 0, nil, r.buf[:0]
	if r.unreadable != nil {
		r.bad = &BadValue{Column: r.unreadable.Column, Reason: r.unreadable.Reason, Code: r.unreadable.Code}
		return true, nil
	}
	in, err := r.x.decode(r.cells)
	if err != nil {
		r.bad = &BadValue{Reason: "cannot be read: " + err.Error(), Code: codeType}
		return true, nil
	}
	if err = r.x.t.Apply(in, r.keep); err != nil && errors.As(err, &r.bad) {
		r.n, err = 0, nil
	}
	return true, err
}

// keepMade takes a row that was made of the current one.
func (r *madeRows) keepMade(out []Cell) *BadValue {
	if len(r.outs) == r.n {
		r.outs = append(r.outs, make([]cell, len(out)))
	}
	made := r.outs[r.n]
	copy(made, out)
	for i, from := range r.x.plain {
		if from < 0 {
			continue
		}
		made[i] = r.cells[from]
		if made[i].kind == cellRaw {
			var err error
			if made[i], r.buf, err = decodePostgres(r.cols[from].oid, made[i].s, r.buf); err != nil {
				return &BadValue{Column: r.cols[from].column.Name, Reason: "cannot be read: " + err.Error(), Code: codeType}
			}
		}
	}
	r.n++
	return nil
}

// expects reports whether the current row is expected in the target, and counts it when it is not.
func (c *comparison) expects(ctx context.Context, r *madeRows) (expected, goOn bool, err error) {
	c.result.SourceRows++
	switch {
	case len(c.quarantine) > 0 && c.quarantine[r.Key().String()]:
		c.result.Quarantined++
		return false, true, nil
	case r.bad != nil:
		goOn, err := c.lost(ctx, r.Key(), r.bad)
		return false, goOn, err
	case r.n == 0:
		c.result.Skipped++
		return false, true, nil
	}
	return true, true, nil
}

// lost is missing for a row of which nothing can be made.
func (c *comparison) lost(ctx context.Context, key RowKey, bad *BadValue) (bool, error) {
	known, err := c.inQuarantine(ctx, key)
	switch {
	case err != nil:
		return false, err
	case known:
		c.result.Quarantined++
		return true, nil
	}
	c.result.Missing++
	return c.quietly || c.tell(Difference{Key: key, Column: bad.Column, Source: bad.Reason, Kind: DiffMissing}), nil
}

// differs compares the current rows of both sides; one that differs may be in quarantine, if there are too many to be held.
func (c *comparison) differs(ctx context.Context, key func() RowKey) (goOn bool, err error) {
	if c.askEach && !c.equal() {
		known, err := c.inQuarantine(ctx, key())
		if known || err != nil {
			c.result.Quarantined++
			return true, err
		}
	}
	return c.compareCells(key), nil
}

func (c *comparison) equal() bool {
	for i := range c.sourceCells {
		if !c.comparer.same(i, &c.sourceCells[i], &c.targetCells[i]) {
			return false
		}
	}
	return true
}

// mergeMade is merge for what a mapping makes, of which each row keeps the integer key of its source.
func (c *comparison) mergeMade(ctx context.Context, k *Check, from, to RowKey) error {
	a, err := c.readMade(ctx, from, to)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := readColumns(ctx, c.dst, c.m.Target, c.targetWalk, c.targetColumns(), from, to)
	if err != nil {
		return err
	}
	defer b.Close()
	nextB := func() (bool, error) {
		if !b.Next() {
			return false, b.Err()
		}
		return true, c.readTarget(b)
	}
	okB, err := nextB()
	if err != nil {
		return err
	}
	var last []cell // integers: the key that was found last, to see a second row of it
	for {
		okA, err := a.next()
		if err != nil {
			return err
		}
		// What the target has before the row of the source.
		for okB && (!okA || compareIntegers(a.keyCells(), b.keyCells()) > 0) {
			if k.Alone || slices.Equal(last, b.keyCells()) {
				c.result.Extra++
				if !c.tell(Difference{Key: b.Key(), Kind: DiffExtra}) {
					return nil
				}
			}
			if okB, err = nextB(); err != nil {
				return err
			}
		}
		if !okA {
			return nil
		}
		expected, goOn, err := c.expects(ctx, a)
		if err != nil || !goOn {
			return err
		}
		found := okB && compareIntegers(a.keyCells(), b.keyCells()) == 0
		switch {
		case !expected && found && a.bad == nil && !c.quarantine[a.Key().String()]: // skipped: left for the next round, as a row of the target alone
			continue
		case expected && found:
			last = append(last[:0], b.keyCells()...)
			copy(c.sourceCells, a.outs[0])
			goOn, err = c.differs(ctx, a.Key)
		case expected:
			goOn, err = c.missing(ctx, a.Key())
		}
		if err != nil || !goOn {
			return err
		}
		if found {
			if okB, err = nextB(); err != nil {
				return err
			}
		}
	}
}
