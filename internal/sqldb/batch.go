package sqldb

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
)

// ColumnPair says that a column of the source goes into a column of the target.
type ColumnPair struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// Mapping says how the rows of one table become the rows of another. It is read only, and may be shared.
type Mapping struct {
	Source  *Table
	Target  *Table
	Columns []ColumnPair
	// Make makes what the columns of the target are made by; nil when they are those of the source, as they are. With it
	// Columns[i].Source is only a name for people, and Kinds[i] says what comes for Columns[i].
	Make  func() Transform
	Kinds []Kind
	// KeepIDs says that the rows' keys (Transform.Key) are wanted with the rows, for the map of ids.
	KeepIDs bool
	// Keep names the target's columns by which its rows are kept in stint_rows; with nil they are not (see LoaderOptions.Rows).
	Keep []string
}

// MapByName maps each column of the source to the column of the same name in the target, or, where there is none, to the only
// one whose name differs in case alone. It fails when a column of the source has no counterpart, or when the target has a
// column that needs a value and gets none.
func MapByName(source, target *Table) (*Mapping, error) {
	m := &Mapping{Source: source, Target: target}
	taken := map[string]bool{}
	for i := range source.Columns {
		name := source.Columns[i].Name
		found := target.Column(name)
		if found == nil {
			for j := range target.Columns {
				if strings.EqualFold(target.Columns[j].Name, name) {
					if found != nil {
						return nil, fmt.Errorf("map %s: column %s could be several in the target", source.FullName(), name)
					}
					found = &target.Columns[j]
				}
			}
		}
		if found == nil {
			return nil, fmt.Errorf("map %s: the target %s has no column %s", source.FullName(), target.FullName(), name)
		}
		if taken[found.Name] {
			return nil, fmt.Errorf("map %s: two columns would go to %s", source.FullName(), found.Name)
		}
		taken[found.Name] = true
		m.Columns = append(m.Columns, ColumnPair{name, found.Name})
	}
	for i := range target.Columns {
		c := &target.Columns[i]
		if !taken[c.Name] && c.NotNull && c.Default == "" && !c.Identity && !c.Generated {
			return nil, fmt.Errorf("map %s: column %s of the target needs a value and gets none", source.FullName(), c.Name)
		}
	}
	return m, nil
}

// MapByPlace maps each column of the source to the column at the same place in the target, as MapSchema has made it: a name that was
// too long there, or taken, is another one.
func MapByPlace(source, target *Table) (*Mapping, error) {
	if len(source.Columns) != len(target.Columns) {
		return nil, fmt.Errorf("map %s: it has %d columns, and the target %s %d", source.FullName(), len(source.Columns), target.FullName(), len(target.Columns))
	}
	m := &Mapping{Source: source, Target: target}
	for i := range source.Columns {
		m.Columns = append(m.Columns, ColumnPair{source.Columns[i].Name, target.Columns[i].Name})
	}
	return m, nil
}

// Limits bound a batch. The zero value means the defaults.
type Limits struct {
	Rows  int // 0 means 10,000
	Bytes int // encoded; 0 means 1.5 MiB. A single row may be larger: then it is a batch of its own.
}

// The default limits of a batch.
const (
	DefaultBatchRows  = 10_000
	DefaultBatchBytes = 3 << 19
)

// Batch is a number of rows, encoded for their target, that take effect together. Release it when it has been loaded.
type Batch struct {
	From        RowKey // where it starts: the chunk's own border, or the To of the batch before
	To          RowKey // where the next one starts: the key of the first row behind it, or the chunk's own border
	Last        bool   // it ends its chunk
	RowsRead    int    // rows of the source in it, the bad ones included
	RowsEncoded int    // rows that are to be written
	Bytes       int    // of the encoded rows

	plan    *plan
	data    []byte   // PostgreSQL: the rows in COPY's form, without header and trailer
	ends    []int    // PostgreSQL: where each row ends in data
	values  []any    // SQLite: RowsEncoded × columns driver values
	keys    []byte   // the packed keys of the rows
	keyEnds []int    // where each key ends
	bad     []badRow // rows that the target cannot hold
	origins []int    // with a Transform: of each encoded row, the number among all rows of the row that it was made of
	skipped []int    // with a Transform: the numbers of the rows of which nothing was made
	ids     []string // of each encoded row, what the map of ids knows its row by; empty when none are kept
	targets []string // of each encoded row, its key in the target as text; empty when rows are not kept
	hashes  []int64  // of each row of the source; empty when rows are not kept
	parts   int      // of a key
	limits  Limits
	pooled  bool
}

// freeBatches keeps the buffers of a few batches. They are too large, and used too often, to be grown anew after each garbage
// collection, as a sync.Pool would have it.
var freeBatches = make(chan *Batch, 4)

func newBatch() *Batch {
	select {
	case b := <-freeBatches:
		b.pooled = false
		return b
	default:
		return new(Batch)
	}
}

// roomy returns the encoded rows with room for more. A batch that becomes more than a few rows gets the memory of a full one at once:
// growing by and by, it would be copied again and again, and leave as much garbage as several batches.
func (b *Batch) roomy() []byte {
	const few = 64 << 10
	if have := len(b.data); have > few && b.RowsRead > 0 {
		full := min(b.limits.Bytes, b.limits.Rows*(have/b.RowsRead+1))
		if full += full / 16; cap(b.data) < full {
			b.data = append(make([]byte, 0, full), b.data...)
		}
	}
	return b.data
}

// Release gives the batch's buffers back; it must not be used afterwards. Batches that are not released are merely garbage.
func (b *Batch) Release() {
	if b == nil || b.pooled {
		return
	}
	clear(b.values)
	clear(b.bad)
	clear(b.ids)
	clear(b.targets)
	kept := Batch{data: b.data[:0], ends: b.ends[:0], values: b.values[:0], keys: b.keys[:0], keyEnds: b.keyEnds[:0], bad: b.bad[:0],
		origins: b.origins[:0], skipped: b.skipped[:0], ids: b.ids[:0], targets: b.targets[:0], hashes: b.hashes[:0], pooled: true}
	if cap(kept.data) > 2*DefaultBatchBytes {
		kept.data = nil // one giant row must not stay for ever
	}
	*b = kept
	select {
	case freeBatches <- b:
	default:
	}
}

// batchers counts the Batchers that are open.
var batchers atomic.Int32

// fewBatchers is how many Batchers may be open that read ahead. With more of them, some read while others load anyway, and all would
// hold the memory of two batches for nothing.
const fewBatchers = 2

// Batcher cuts a range of a table into batches. While only a few are at work it reads and encodes one batch ahead, as its caller loads
// the one before. It is for one goroutine. Close it.
type Batcher struct {
	cancel  context.CancelFunc
	ahead   chan readAhead // the batch that is being read, nil when none is
	rows    *Rows
	plan    *plan
	limits  Limits
	from    RowKey // of the next batch
	end     RowKey
	pending bool // rows stands on a row that belongs to the next batch
	ended   bool
	closed  bool
}

// NewBatcher starts to read [from, end) of the mapping's source table, to encode it for a target of the dialect to.
// The source is read by one query, so all of its batches are of one moment.
func NewBatcher(ctx context.Context, src *DB, m *Mapping, w Walk, to Dialect, from, end RowKey, limits Limits) (*Batcher, error) {
	p, err := newPlan(src.Dialect, to, m)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	rows, err := readColumns(ctx, src, m.Source, w, p.selected, from, end)
	return startBatcher(ctx, cancel, p, rows, err, from, end, limits)
}

// NewKeyBatcher is NewBatcher for the rows of some keys, at most some hundred, wherever they are; those that are not there any more
// are left out. All rows of a batch have from as their beginning in the ledger, and end as their end.
func NewKeyBatcher(ctx context.Context, src *DB, m *Mapping, w Walk, to Dialect, keys []RowKey, from, end RowKey, limits Limits) (*Batcher, error) {
	p, err := newPlan(src.Dialect, to, m)
	if err != nil {
		return nil, err
	}
	limits.Rows, limits.Bytes = len(keys)+1, max(limits.Bytes, 1<<30) // one batch
	ctx, cancel := context.WithCancel(ctx)
	rows, err := readKeys(ctx, src, m.Source, w, p.selected, keys)
	return startBatcher(ctx, cancel, p, rows, err, from, end, limits)
}

func startBatcher(ctx context.Context, cancel context.CancelFunc, p *plan, rows *Rows, err error, from, end RowKey, limits Limits) (*Batcher, error) {
	if err != nil {
		cancel()
		return nil, Classify(err)
	}
	p.opened(rows.cols)
	if limits.Rows <= 0 {
		limits.Rows = DefaultBatchRows
	}
	if limits.Bytes <= 0 {
		limits.Bytes = DefaultBatchBytes
	}
	if p.made != nil && p.made.t.Ahead() {
		rows.src = &window{ctx: ctx, src: rows.src, x: p.made}
	}
	batchers.Add(1)
	return &Batcher{cancel: cancel, rows: rows, plan: p, limits: limits, from: from, end: end}, nil
}

// readAhead is what reading a batch came to.
type readAhead struct {
	batch *Batch
	err   error
}

// Next returns the next batch, and io.EOF after the last. The last batch has Last set; it may be empty, as that of an empty
// chunk is: it must be loaded all the same, for it is what tells the ledger that the chunk is done.
func (b *Batcher) Next() (*Batch, error) {
	var got readAhead
	if b.ahead != nil {
		got = <-b.ahead
		b.ahead = nil
	} else {
		got.batch, got.err = b.read()
	}
	if got.err == nil && !got.batch.Last && batchers.Load() <= fewBatchers {
		ahead := make(chan readAhead, 1)
		b.ahead = ahead
		go func() {
			batch, err := b.read()
			ahead <- readAhead{batch, err}
		}()
	}
	return got.batch, got.err
}

// read reads and encodes the next batch.
func (b *Batcher) read() (*Batch, error) {
	if b.ended {
		return nil, io.EOF
	}
	batch := newBatch()
	batch.plan, batch.From, batch.parts, batch.limits = b.plan, b.from, b.rows.walk.Parts(), b.limits
	for {
		if !b.pending && !b.rows.Next() {
			if err := b.rows.Err(); err != nil {
				batch.Release()
				return nil, Classify(err)
			}
			b.ended = true
			batch.To, batch.Last = b.end, true
			return batch, nil
		}
		b.pending = false
		if (batch.RowsRead >= b.limits.Rows || batch.Bytes >= b.limits.Bytes) && b.canCut(batch) {
			b.pending = true
			b.from = b.rows.Key()
			batch.To = b.from
			if err := b.rows.Err(); err != nil {
				batch.Release()
				return nil, Classify(err)
			}
			return batch, nil
		}
		if err := b.plan.add(batch, b.rows); err != nil {
			batch.Release()
			return nil, Classify(err)
		}
	}
}

// groupEnd returns the end of the encoded rows that were made of the same row of the source as the one before end.
func (b *Batch) groupEnd(end int) int {
	for len(b.origins) > 0 && end < b.RowsEncoded && b.origins[end] == b.origins[end-1] {
		end++
	}
	return end
}

// skippedWithin counts the rows of which nothing was made among the rows [first, end) of all.
func (b *Batch) skippedWithin(first, end int) int {
	n := 0
	for _, at := range b.skipped {
		if at >= first && at < end {
			n++
		}
	}
	return n
}

// canCut reports whether the current row may start the next batch.
func (b *Batcher) canCut(batch *Batch) bool {
	n := len(batch.keyEnds)
	return n == 0 || mayPart(batch.keyAt(n-1, batch.parts), b.rows.Key())
}

// canCutAt reports whether a batch may be cut before a row, by its number among all rows.
func (b *Batch) canCutAt(at int) bool {
	return at == 0 || mayPart(b.keyAt(at-1, b.parts), b.keyAt(at, b.parts))
}

// mayPart reports whether a border may be set between two neighbours. A unique index can be finer than the collation of its
// column ('a' and 'A' under NOCASE): such rows lie on the same side of every border, so they must not be parted.
func mayPart(a, b RowKey) bool {
	for i := range a {
		s, ok := a[i].(string)
		t, also := b[i].(string)
		if ok && also && strings.EqualFold(strings.TrimRight(s, " "), strings.TrimRight(t, " ")) {
			continue
		}
		if !(RowKey{a[i]}).Equal(RowKey{b[i]}) {
			return true
		}
	}
	return false
}

// Close ends the reading, and waits for the batch that is being read ahead.
func (b *Batcher) Close() error {
	if !b.closed {
		b.closed = true
		batchers.Add(-1)
	}
	b.cancel()
	if b.ahead != nil {
		got := <-b.ahead
		got.batch.Release()
		b.ahead = nil
	}
	return b.rows.Close()
}
