package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Kinds of a Difference.
const (
	DiffMissing = "missing" // the source has the row, the target has not, and it is not in quarantine
	DiffExtra   = "extra"   // the target has a row that the source has not
	DiffDiffers = "differs" // a cell holds something else
)

// Difference is one thing in which the target is not what the source says.
type Difference struct {
	Table  string `json:"table"` // of the source
	Key    RowKey `json:"key"`   // of the source's walk; of the target's for an extra row
	Column string `json:"column,omitempty"`
	Source string `json:"source,omitempty"` // the values, for people, cut short
	Target string `json:"target,omitempty"`
	Kind   string `json:"kind"`
}

// CompareResult counts what a comparison saw. It proves the range equal when Missing, Extra and Differing are 0; with
// CompareLookup extra rows are not looked for, see FindExtra.
type CompareResult struct {
	SourceRows  int64 `json:"source_rows"`
	TargetRows  int64 `json:"target_rows"`
	Equal       int64 `json:"equal"`
	Differing   int64 `json:"differing"`   // rows with at least one cell that differs
	Missing     int64 `json:"missing"`     //
	Extra       int64 `json:"extra"`       //
	Quarantined int64 `json:"quarantined"` // rows that are missing and known to be
	Skipped     int64 `json:"skipped"`     // rows of the source of which a mapping makes nothing
	Merged      int64 `json:"merged"`      // rows that share the row of the target with another of the same range
	Stopped     bool  `json:"stopped,omitempty"`
}

// CompareMode says how a table can be compared.
type CompareMode string

// The ways to compare.
const (
	// CompareMerge: both sides are read in the order of the same integer keys, side by side. Sees everything.
	CompareMerge CompareMode = "merge"
	// CompareLookup: rows of the source are looked up in the target by key, as the two databases may sort keys differently. It
	// does not see extra rows: when the counts of the tables do not agree, FindExtra names them.
	CompareLookup CompareMode = "lookup"
	// CompareMultiset: the table has no key, so it is compared as a whole, as a multiset: only the range without borders.
	CompareMultiset CompareMode = "multiset"
)

// ModeOf says how the rows of a mapping, walked this way, are compared.
func ModeOf(m *Mapping, w Walk) CompareMode {
	if w.Kind != WalkKey {
		return CompareMultiset
	}
	ints := true
	for _, name := range w.Columns {
		dst := m.Target.Column(m.targetOf(name))
		if dst == nil {
			return CompareMultiset
		}
		ints = ints && isIntKind(dst.Kind) && isIntKind(m.Source.Column(name).Kind)
	}
	if ints {
		return CompareMerge
	}
	return CompareLookup
}

// targetOf returns the target's name of a column of the source; "" when it goes nowhere.
func (m *Mapping) targetOf(source string) string {
	for _, c := range m.Columns {
		if c.Source == source {
			return c.Target
		}
	}
	return ""
}

// Targets returns what columns of the source are called in the target; "" for those that go nowhere.
func (m *Mapping) Targets(columns []string) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = m.targetOf(c)
	}
	return names
}

// CompareRange compares the rows of [from, to) of a mapping's source with the target, cell by cell: as decimals, moments, UUIDs,
// whatever the columns hold, not as they happen to be written. What PostgreSQL holds is read in its own text form, so that a
// mistake in our encoding shows. Both sides are streamed; memory does not grow with the range.
//
// Each difference goes to report, which returns false to stop. Rows that the job (may be "", or AnyJob) has quarantined are expected to be
// missing. A table that cannot be walked by key is compared as a whole, so from and to must be nil then. It holds up to one
// connection of the source and two of the target at a time.
func CompareRange(ctx context.Context, src, dst *DB, m *Mapping, w Walk, from, to RowKey, job string, report func(Difference) bool) (CompareResult, error) {
	c, err := newComparison(ctx, src, dst, m, w, job, report)
	if err != nil {
		return CompareResult{}, fmt.Errorf("compare %s: %w", m.Source.FullName(), Classify(err))
	}
	switch mode := ModeOf(m, w); {
	case mode == CompareMultiset && (from != nil || to != nil):
		err = fmt.Errorf("a table without a key can only be compared as a whole")
	case mode == CompareMultiset:
		err = c.multiset(ctx)
	case mode == CompareMerge && integersOnly(from) && integersOnly(to):
		err = c.merge(ctx, from, to)
	default:
		err = c.lookup(ctx, from, to)
	}
	if err != nil {
		return c.result, fmt.Errorf("compare %s: %w", m.Source.FullName(), Classify(err))
	}
	return c.result, nil
}

func integersOnly(k RowKey) bool {
	return !slices.ContainsFunc(k, func(v any) bool { _, ok := v.(int64); return !ok })
}

// comparison is one run of CompareRange.
type comparison struct {
	src, dst    *DB
	m           *Mapping
	walk        Walk // of the source
	targetWalk  Walk // the same columns in the target
	job         string
	stage       string // of the job, whose quarantine counts; "" for all of the source's table
	report      func(Difference) bool
	result      CompareResult
	comparer    comparer
	sourceOIDs  []uint32 // of raw columns, the types as they came
	targetOIDs  []uint32
	raw         []bool // columns that are read as the same bytes on both sides, and decoded only where they differ
	hashed      []int  // the columns that hash looks at, in their order; nil for all
	quietly     bool   // rows of which nothing can be made, and those that are missing in a multiset, are not reported
	made        []madeColumn
	quarantine  map[string]bool
	askEach     bool // too many are in quarantine to hold them all
	sourceCells []cell
	targetCells []cell
	sourceBuf   []byte
	targetBuf   []byte
	second      xxhash.Digest
}

// maxQuarantineKeys bounds the keys that are held in memory.
const maxQuarantineKeys = 50_000

func newComparison(ctx context.Context, src, dst *DB, m *Mapping, w Walk, job string, report func(Difference) bool) (*comparison, error) {
	target, err := asItIs(ctx, dst, m.Target)
	if err != nil {
		return nil, err
	}
	m = &Mapping{Source: m.Source, Target: target, Columns: m.Columns, Make: m.Make, Kinds: m.Kinds}
	c := &comparison{src: src, dst: dst, m: m, walk: w, job: job, report: report, quarantine: map[string]bool{}}
	c.sourceCells, c.targetCells, c.raw = make([]cell, len(m.Columns)), make([]cell, len(m.Columns)), make([]bool, len(m.Columns))
	c.sourceOIDs, c.targetOIDs = make([]uint32, len(m.Columns)), make([]uint32, len(m.Columns))
	if m.Make != nil {
		return c, c.ofMade()
	}
	c.targetWalk = Walk{Kind: w.Kind}
	for _, name := range w.Columns {
		c.targetWalk.Columns = append(c.targetWalk.Columns, m.targetOf(name))
	}
	for _, p := range m.Columns {
		a, b := m.Source.Column(p.Source), m.Target.Column(p.Target)
		if a == nil || b == nil {
			return nil, fmt.Errorf("there is no column %s, or no column %s in the target", p.Source, p.Target)
		}
		c.comparer.like = append(c.comparer.like, likenessOf(src.Dialect, dst.Dialect, a, b))
		// Bytes that went through as they are prove themselves. Keys are decoded anyway.
		c.raw[len(c.comparer.like)-1] = src.Dialect == Postgres && dst.Dialect == Postgres && a.Type == b.Type && a.Kind == b.Kind &&
			a.Kind != KindOther && w.Kind == WalkKey && !slices.Contains(w.Columns, a.Name)
	}
	return c, c.readQuarantine(ctx)
}

// readQuarantine finds out which rows of the source are not expected in the target.
func (c *comparison) readQuarantine(ctx context.Context) error {
	if c.job == "" {
		return nil
	}
	keys, err := quarantineKeys(ctx, c.dst, c.job, c.stage, c.m.Source.FullName(), maxQuarantineKeys+1)
	c.quarantine = keys
	if c.askEach = len(c.quarantine) > maxQuarantineKeys; c.askEach {
		clear(c.quarantine)
	}
	return err
}

// columns returns what to read of one side: keys, what is the same type on both, and numbers whose bytes leave no doubt as they are,
// everything else of PostgreSQL as text of its own making.
func (c *comparison) columns(db *DB, t *Table, w Walk, name func(ColumnPair) string) []selected {
	cols := make([]selected, len(c.m.Columns))
	for i, p := range c.m.Columns {
		col := t.Column(name(p))
		cols[i].column = col
		cols[i].binary = db.Dialect.words().binary(col.Kind) && (c.raw[i] || evident(col.Kind) || slices.Contains(w.Columns, col.Name))
	}
	return cols
}

// evident says of which kinds the binary form is the value itself.
func evident(k Kind) bool {
	return isIntKind(k) || k == KindBool || k == KindFloat64 || k == KindBytes
}

func sourceName(p ColumnPair) string { return p.Source }
func targetName(p ColumnPair) string { return p.Target }

func (c *comparison) sourceColumns() []selected {
	return c.columns(c.src, c.m.Source, c.walk, sourceName)
}

func (c *comparison) targetColumns() []selected {
	return c.columns(c.dst, c.m.Target, c.targetWalk, targetName)
}

// decoded fills in the current row of one side, but for columns of the same bytes; text is valid until the next row.
func (c *comparison) decoded(r *Rows, cells []cell, oids []uint32, buf []byte) ([]byte, error) {
	buf = buf[:0]
	for i := range cells {
		cells[i] = r.cells[i]
		if c.raw[i] {
			oids[i] = r.cols[i].oid
		}
		if cells[i].kind == cellRaw && !c.raw[i] {
			var err error
			if cells[i], buf, err = decodePostgres(r.cols[i].oid, cells[i].s, buf); err != nil {
				return buf, err
			}
		}
	}
	return buf, nil
}

func (c *comparison) readSource(r *Rows) (err error) {
	c.sourceBuf, err = c.decoded(r, c.sourceCells, c.sourceOIDs, c.sourceBuf)
	c.result.SourceRows++
	return err
}

func (c *comparison) readTarget(r *Rows) (err error) {
	c.targetBuf, err = c.decoded(r, c.targetCells, c.targetOIDs, c.targetBuf)
	c.result.TargetRows++
	return err
}

// tell reports a difference; false means to stop.
func (c *comparison) tell(d Difference) bool {
	d.Table = c.m.Source.FullName()
	if !c.report(d) {
		c.result.Stopped = true
	}
	return !c.result.Stopped
}

// compareCells compares the current rows of both sides.
func (c *comparison) compareCells(key func() RowKey) bool {
	same, goOn := true, true
	for i := range c.sourceCells {
		a, b := &c.sourceCells[i], &c.targetCells[i]
		sameType := !c.raw[i] || c.sourceOIDs[i] == c.targetOIDs[i] // a type may have been altered since it was planned
		if sameType && c.comparer.same(i, a, b) {
			continue
		}
		if c.raw[i] {
			*a, *b = opened(c.sourceOIDs[i], a), opened(c.targetOIDs[i], b)
			if c.comparer.same(i, a, b) {
				continue
			}
		}
		same = false
		if goOn {
			goOn = c.tell(Difference{Key: key(), Column: c.m.Columns[i].Source, Source: c.comparer.show(i, a), Target: c.comparer.show(i, b), Kind: DiffDiffers})
		}
	}
	if same {
		c.result.Equal++
	} else {
		c.result.Differing++
	}
	return goOn
}

// opened decodes a value that was read as bytes. What cannot be decoded stays as it is, and equals nothing but itself.
func opened(oid uint32, v *cell) cell {
	if v.kind != cellRaw {
		return *v
	}
	out, _, err := decodePostgres(oid, v.s, nil)
	if err != nil {
		return *v
	}
	return out
}

// missing counts a row that the target does not have.
func (c *comparison) missing(ctx context.Context, key RowKey) (bool, error) {
	known, err := c.inQuarantine(ctx, key)
	if err != nil {
		return false, err
	}
	if known {
		c.result.Quarantined++
		return true, nil
	}
	c.result.Missing++
	return c.tell(Difference{Key: key, Kind: DiffMissing}), nil
}

func (c *comparison) inQuarantine(ctx context.Context, key RowKey) (bool, error) {
	if !c.askEach {
		return c.quarantine[storedKey(c.dst.Dialect, key.String())], nil
	}
	return inQuarantine(ctx, c.dst, c.job, c.stage, c.m.Source.FullName(), key)
}

// merge reads both sides in the order of their integer keys.
func (c *comparison) merge(ctx context.Context, from, to RowKey) error {
	a, err := readColumns(ctx, c.src, c.m.Source, c.walk, c.sourceColumns(), from, to)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := readColumns(ctx, c.dst, c.m.Target, c.targetWalk, c.targetColumns(), from, to)
	if err != nil {
		return err
	}
	defer b.Close()
	nextA := func() (bool, error) {
		if !a.Next() {
			return false, a.Err()
		}
		return true, c.readSource(a)
	}
	nextB := func() (bool, error) {
		if !b.Next() {
			return false, b.Err()
		}
		return true, c.readTarget(b)
	}
	okA, err := nextA()
	if err != nil {
		return err
	}
	okB, err := nextB()
	if err != nil {
		return err
	}
	for okA || okB {
		order := 0
		switch {
		case !okB:
			order = -1
		case !okA:
			order = 1
		default:
			order = compareIntegers(a.keyCells(), b.keyCells())
		}
		goOn := true
		switch {
		case order == 0:
			goOn = c.compareCells(a.Key)
		case order < 0:
			goOn, err = c.missing(ctx, a.Key())
		default:
			c.result.Extra++
			goOn = c.tell(Difference{Key: b.Key(), Kind: DiffExtra})
		}
		if err == nil && order <= 0 {
			okA, err = nextA()
		}
		if err == nil && order >= 0 {
			okB, err = nextB()
		}
		if err != nil || !goOn {
			return err
		}
	}
	return nil
}

// compareIntegers orders two keys. What is no integer can only come from SQLite, which sorts integers and floats by value, and
// behind them the rest; the target cannot have it.
func compareIntegers(a, b []cell) int {
	for i := range a {
		x, y := &a[i], &b[i]
		switch {
		case x.kind == cellFloat:
			if x.float() > float64(y.int()) {
				return 1
			}
			return -1
		case x.kind != cellInt:
			return 1
		case x.int() < y.int():
			return -1
		case x.int() > y.int():
			return 1
		}
	}
	return 0
}

// CountRows counts the rows of a table.
func CountRows(ctx context.Context, db *DB, t *Table) (int64, error) {
	t, err := asItIs(ctx, db, t)
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", t.FullName(), Classify(err))
	}
	var n int64
	if err := queryRow(ctx, db, "SELECT count(*) FROM "+t.from(db.Dialect)+walked, nil, &n); err != nil {
		return 0, fmt.Errorf("count %s: %w", t.FullName(), Classify(err))
	}
	return n, nil
}

// keyList returns a condition that names rows by their keys.
func keyList(d Dialect, t *Table, columns []string, keys []RowKey) (string, []any) {
	words := d.words()
	list, ok := words.valuesList()
	if len(columns) > 1 && !ok {
		return keyChoice(d, t, columns, keys)
	}
	var sql strings.Builder
	args := make([]any, 0, len(keys)*len(columns))
	if len(columns) == 1 {
		sql.WriteString(d.Quote(columns[0]) + " IN (")
	} else {
		sql.WriteString("(" + d.QuoteList(columns) + ") IN (" + list)
	}
	for i, key := range keys {
		if i > 0 {
			sql.WriteByte(',')
		}
		if len(columns) > 1 {
			sql.WriteByte('(')
		}
		for j, v := range key {
			if j > 0 {
				sql.WriteByte(',')
			}
			sql.WriteString(d.operand(t.Column(columns[j]), v, &args))
		}
		if len(columns) > 1 {
			sql.WriteByte(')')
		}
	}
	sql.WriteByte(')')
	return sql.String(), args
}

// keyChoice is keyList for databases that have no lists of rows: a = x AND b = y OR ...
func keyChoice(d Dialect, t *Table, columns []string, keys []RowKey) (string, []any) {
	var sql strings.Builder
	args := make([]any, 0, len(keys)*len(columns))
	for i, key := range keys {
		sql.WriteString([]string{"((", " OR ("}[min(i, 1)])
		for j, v := range key {
			if j > 0 {
				sql.WriteString(" AND ")
			}
			sql.WriteString(d.Quote(columns[j]) + " = " + d.operand(t.Column(columns[j]), v, &args))
		}
		sql.WriteByte(')')
	}
	sql.WriteByte(')')
	return sql.String(), args
}
