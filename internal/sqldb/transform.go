package sqldb

import (
	"context"
	"errors"
)

// Transform makes the rows of a target of the rows of a source. Each reader makes one of its own; it is for one goroutine.
type Transform interface {
	// Reads names the columns of the source whose cells Look and Apply are given, in this order.
	Reads() []Input
	// Plain returns which input column i of the mapping is, when it is one as it stands: then Apply leaves it alone, and it takes
	// the road of columns that no Transform is between. -1 when it is made.
	Plain(i int) int
	// Ahead reports whether rows are shown to Look, some hundred at a time and then to Resolve, before they come to Apply.
	Ahead() bool
	// Look is shown a row that Apply will be given later.
	Look(row []Cell)
	// Resolve finds out what the rows seen by Look need. Its error is that of the reading.
	Resolve(ctx context.Context) error
	// Apply makes rows of one row, and gives the cells of each, in the order of the mapping's columns, to emit; they may be used
	// again afterwards. A row of which nothing is made counts as skipped. A *BadValue sets the row aside, with all that was made
	// of it; any other error ends the reading.
	Apply(row []Cell, emit func(out []Cell) *BadValue) error
	// Key names the row that Apply was given last, in the words of its own data, as the map of ids keeps it; "" when no ids are
	// kept.
	Key() string
}

// Input is a column that a Transform reads.
type Input struct {
	Name string
	Seen bool // it looks at its values; otherwise they only pass through Plain, and come as nothing
}

// CodeDeferred is the code of a BadValue that is none yet: the row refers to one that is not there, or not yet. It is kept like a
// row that is set aside, is not counted as one, and is tried again later.
const CodeDeferred = "STREF"

// transformer runs a Transform within a plan.
type transformer struct {
	t      Transform
	inputs []Input // the cells that are read; the key's may come behind
	plain  []int   // of each column of the mapping
	oids   []uint32
	in     []cell // what the rows hold, decoded
	buf    []byte
	emit   func(out []Cell) *BadValue // encodes a row that was made of the current one
	now    current
}

// current is the row that is being transformed.
type current struct {
	batch *Batch
	cells []cell
	made  int // rows made of it
}

// emitter makes what a Transform gives its rows to: once for all rows, as a function for each would be garbage of each.
func (p *plan) emitter(x *transformer) func(out []Cell) *BadValue {
	return func(out []Cell) *BadValue {
		b := x.now.batch
		for i, from := range x.plain {
			if from >= 0 {
				out[i] = x.now.cells[from]
			}
		}
		bad := p.encode(b, out)
		if bad == nil && p.keyAt != nil {
			var key string
			key, bad = p.targetKey(out)
			b.targets = append(b.targets, key)
		}
		if bad == nil {
			x.now.made++
			b.origins = append(b.origins, b.RowsRead-1)
		}
		return bad
	}
}

// decode turns what was read into what a Transform is given. Text is valid until the next row.
func (x *transformer) decode(cells []cell) ([]cell, error) {
	x.buf = x.buf[:0]
	for i := range x.inputs {
		c := cells[i]
		if !x.inputs[i].Seen {
			c = cell{}
		}
		if c.kind == cellRaw {
			var err error
			if c, x.buf, err = decodeTyped(x.oids[i], c.s, x.buf); err != nil {
				return nil, err
			}
		}
		x.in[i] = c
	}
	return x.in, nil
}

// transform makes what becomes of the current row, and encodes it. It returns a BadValue when the row is to be set aside.
func (p *plan) transform(b *Batch, cells []cell) (*BadValue, error) {
	x := p.made
	in, err := x.decode(cells)
	if err != nil {
		return &BadValue{Reason: "cannot be read: " + err.Error(), Code: codeType}, nil
	}
	before := marks{len(b.data), len(b.ends), len(b.origins), len(b.values), len(b.targets), b.Bytes}
	x.now = current{batch: b, cells: cells}
	if err := x.t.Apply(in, x.emit); err != nil {
		var bad *BadValue
		if !errors.As(err, &bad) {
			return nil, err
		}
		b.takeBack(before)
		return bad, nil
	}
	switch made := x.now.made; {
	case made == 0:
		b.skipped = append(b.skipped, b.RowsRead-1)
	default:
		b.RowsEncoded += made
		if p.m.KeepIDs && p.encoding != encodeCopy { // there it goes with the row
			for range made {
				b.ids = append(b.ids, x.t.Key())
			}
		}
	}
	return nil, nil
}

// marks are how far a batch was filled.
type marks struct{ data, ends, origins, values, targets, bytes int }

// takeBack removes from a batch what was made of a row that is set aside.
func (b *Batch) takeBack(to marks) {
	b.data, b.ends, b.origins, b.Bytes = b.data[:to.data], b.ends[:to.ends], b.origins[:to.origins], to.bytes
	clear(b.values[to.values:])
	b.values = b.values[:to.values]
	b.targets = b.targets[:to.targets]
}

// encode appends a row that was made.
func (p *plan) encode(b *Batch, out []cell) *BadValue {
	switch p.encoding {
	case encodeValues:
		return p.addValues(b, out)
	case encodeSQL:
		return p.addSQL(b, out)
	}
	return p.addCopy(b, out)
}

// window reads rows ahead, and shows them to a Transform before they go on.
type window struct {
	ctx   context.Context
	src   rowSource
	x     *transformer
	rows  [][]cell
	odd   []*UnreadableRow // of each of rows, why it is none
	arena []byte
	have  int
	at    int
	err   error // what ended the reading, once rows is used up
	ended bool
}

// The most rows, and bytes of them, that are read ahead.
const (
	windowRows  = 1_000
	windowBytes = 1 << 20
)

func (w *window) next(cells []cell) (bool, error) {
	if w.at == w.have {
		if w.ended {
			return false, w.err
		}
		if err := w.fill(cells); err != nil {
			return false, err
		}
		if w.have == 0 {
			return false, w.err
		}
	}
	copy(cells, w.rows[w.at])
	w.at++
	if odd := w.odd[w.at-1]; odd != nil {
		return false, odd
	}
	return true, nil
}

func (w *window) fill(cells []cell) error {
	w.have, w.at, w.arena = 0, 0, make([]byte, 0, cap(w.arena)) // rows point into the old one until they are overwritten
	for w.have < windowRows && len(w.arena) < windowBytes {
		ok, err := w.src.next(cells)
		var odd *UnreadableRow
		if errors.As(err, &odd) {
			ok, err = true, nil
		}
		if !ok || err != nil {
			w.ended, w.err = true, err
			break
		}
		if len(w.rows) == w.have {
			w.rows = append(w.rows, make([]cell, len(cells)))
			w.odd = append(w.odd, nil)
		}
		w.odd[w.have] = odd
		row := w.rows[w.have]
		for i, c := range cells {
			if c.s != "" {
				start := len(w.arena)
				w.arena = append(w.arena, c.s...) // should it move, the old one lives on with the cells that point into it
				c.s = viewString(w.arena[start:])
			}
			row[i] = c
		}
		w.have++
		if odd != nil {
			continue
		}
		if in, err := w.x.decode(row); err == nil { // an error comes again, to Apply's caller
			w.x.t.Look(in)
		}
	}
	if w.have == 0 {
		return nil
	}
	return w.x.t.Resolve(w.ctx)
}

func (w *window) close() error { return w.src.close() }
