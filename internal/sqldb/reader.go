package sqldb

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/trace"
)

// Rows streams the rows of a range in the order of the walk. Close it. It is for one goroutine.
type Rows struct {
	table  *Table
	walk   Walk
	cols   []selected // the columns asked for, then what the key needs beside them
	n      int        // how many were asked for
	cells  []cell     // the current row
	keyAt  []int      // where in cells the parts of the key are
	key    []cell     // the key of the current row, once asked for
	keyOK  bool
	keyBuf []byte // what text in key points into
	src    rowSource
	last   cell // ctid walks: the place of the row before, to see that they come in order
	err    error
	// unreadable is why the current row, of a file, is none; nil when it is one.
	unreadable *UnreadableRow
	span       trace.Span // nil where nothing is traced
	count      int64      // rows so far
}

// rowSource is what a dialect's reader offers.
type rowSource interface {
	// next fills in the cells of the next row; false at the end.
	next(cells []cell) (bool, error)
	// close ends the query, whatever is left of it.
	close() error
}

// selected is one column of a query: as PostgreSQL's binary form, or as text.
type selected struct {
	column *Column // nil for rowid and ctid
	binary bool
	oid    uint32 // PostgreSQL: the type as it came; set when the query runs
}

// Read starts one streaming query for the rows of [from, to) of a table, with all of its columns. The rows are of one moment:
// a query has one snapshot. The connection is given back by Close.
func Read(ctx context.Context, db *DB, t *Table, w Walk, from, to RowKey) (*Rows, error) {
	cols := make([]selected, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		cols[i] = selected{column: c, binary: db.Dialect.words().binary(c.Kind)}
	}
	return readColumns(ctx, db, t, w, cols, from, to)
}

// readColumns is Read for some columns, each in the form asked for. It is traced, as one span from here to Close; readWhere, which
// looks up some hundred rows at a time, is not.
func readColumns(ctx context.Context, db *DB, t *Table, w Walk, cols []selected, from, to RowKey) (*Rows, error) {
	if db.Dialect == Files {
		return readFiles(ctx, db, t, w, cols, from, to)
	}
	where, args, err := w.where(db.Dialect, t, from, to)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", t.FullName(), err)
	}
	ctx, span := traceStatement(ctx, db.Dialect, "SELECT", t)
	r, err := readWhere(ctx, db, t, w, cols, where+w.orderBy(db.Dialect, t), args)
	if err != nil {
		endRead(span, 0, err)
		return nil, err
	}
	r.span = span
	return r, nil
}

// readFiles is readColumns for files, which know no conditions but a range of places.
func readFiles(ctx context.Context, db *DB, t *Table, w Walk, cols []selected, from, to RowKey) (*Rows, error) {
	ctx, span := traceStatement(ctx, db.Dialect, "SELECT", t)
	r := &Rows{table: t, walk: w, cols: append([]selected(nil), cols...), n: len(cols), span: span}
	r.addKey(db.Dialect)
	r.cells = make([]cell, len(r.cols))
	var err error
	if r.src, err = db.openTabular(ctx, t, cols, from, to); err != nil {
		endRead(span, 0, err)
		return nil, fmt.Errorf("read %s: %w", t.FullName(), err)
	}
	return r, nil
}

// readWhere is readColumns with a condition of the caller's own.
func readWhere(ctx context.Context, db *DB, t *Table, w Walk, cols []selected, tail string, args []any) (*Rows, error) {
	r := &Rows{table: t, walk: w, cols: append([]selected(nil), cols...), n: len(cols)}
	r.addKey(db.Dialect)
	r.cells = make([]cell, len(r.cols))
	words := db.Dialect.words()
	expressions := make([]string, len(r.cols))
	for i := range r.cols {
		expressions[i] = words.expression(r.cols[i], t)
	}
	rest := " FROM " + t.from(db.Dialect) + walked + tail
	var err error
	if r.src, err = words.rows(ctx, db, expressions, rest, args, r.cols); err != nil {
		return nil, fmt.Errorf("read %s: %w", t.FullName(), err)
	}
	return r, nil
}

// from returns a table as FROM wants it, for its own rows alone.
func (t *Table) from(d Dialect) string {
	switch {
	case t.Query != "":
		return "(" + t.Query + "\n)" // a comment at its end ends with the line
	case t.Where != "":
		return "(SELECT * FROM " + d.words().from(t) + " WHERE " + t.Where + "\n)"
	}
	return d.words().from(t)
}

// asItIs returns a table as it is in the target, which may be partitioned there, or have tables that inherit from it, whatever
// the plan says.
func asItIs(ctx context.Context, db *DB, t *Table) (*Table, error) {
	there := *t
	there.Only = false
	err := db.Dialect.words().asItIs(ctx, db, &there)
	return &there, err
}

// addKey finds the parts of the key among the columns, and adds those that are not there.
func (r *Rows) addKey(d Dialect) {
	if r.walk.Kind == WalkPlace {
		r.keyAt = []int{len(r.cols), len(r.cols) + 1}
		r.cols = append(r.cols, selected{}, selected{})
		r.key = make([]cell, r.walk.Parts())
		return
	}
	if r.walk.Kind != WalkKey {
		r.keyAt = []int{len(r.cols)}
		r.cols = append(r.cols, selected{binary: r.walk.Kind == WalkCTID})
		r.key = make([]cell, r.walk.Parts())
		return
	}
	r.key = make([]cell, len(r.walk.Columns))
	for _, name := range r.walk.Columns {
		at := -1
		for i := range r.cols {
			c := r.cols[i].column
			// A key of a type whose binary form we cannot read travels as text, beside the bytes.
			if c != nil && c.Name == name && !(r.cols[i].binary && c.Kind == KindOther) {
				at = i
				break
			}
		}
		if at < 0 {
			c := r.table.Column(name)
			at = len(r.cols)
			r.cols = append(r.cols, selected{column: c, binary: c != nil && d.words().binary(c.Kind)})
		}
		r.keyAt = append(r.keyAt, at)
	}
}

// Next goes to the next row. It returns false at the end and after an error; Err tells them apart.
func (r *Rows) Next() bool {
	if r.err != nil {
		return false
	}
	r.keyOK = false
	r.unreadable = nil
	ok, err := r.src.next(r.cells)
	if errors.As(err, &r.unreadable) {
		ok, err = true, nil
	}
	if err != nil {
		r.err = fmt.Errorf("read %s: %w", r.table.FullName(), err)
		return false
	}
	if ok {
		r.count++
	}
	if ok && r.walk.Kind == WalkCTID {
		key := r.keyCells()
		at := intCell(key[0].int()<<16 | key[1].int())
		if r.last.kind == cellInt && at.int() <= r.last.int() {
			r.err = errors.New("read " + r.table.FullName() + ": rows without a key came out of order")
			return false
		}
		r.last = at
	}
	return ok
}

// keyCells returns the key of the current row, valid until the next one.
func (r *Rows) keyCells() []cell {
	if r.keyOK {
		return r.key
	}
	r.keyOK = true
	if r.walk.Kind == WalkCTID {
		r.key[0], r.key[1] = decodeTID(r.cells[r.keyAt[0]].s)
		return r.key
	}
	r.keyBuf = r.keyBuf[:0]
	for i, at := range r.keyAt {
		c := &r.cells[at]
		if c.kind == cellRaw {
			var err error
			// Text may point into keyBuf; should it move, the old array stays alive through the cell.
			if r.key[i], r.keyBuf, err = decodePostgres(r.cols[at].oid, c.s, r.keyBuf); err != nil {
				r.err = fmt.Errorf("read %s: %w", r.table.FullName(), err)
			}
			continue
		}
		r.key[i] = *c
	}
	return r.key
}

// Key returns the key of the current row: a copy.
func (r *Rows) Key() RowKey { return keyOf(r.keyCells()) }

func keyOf(cells []cell) RowKey {
	k := make(RowKey, len(cells))
	for i := range cells {
		k[i] = cells[i].value()
	}
	return k
}

// Values returns the current row as int64, float64, string, []byte and nil: a copy. What PostgreSQL holds beside these comes
// as text: decimals exactly, times in ISO form; booleans come as 0 and 1.
func (r *Rows) Values() ([]any, error) {
	out := make([]any, r.n)
	for i := range out {
		c := r.cells[i]
		if c.kind == cellRaw {
			var err error
			if c, _, err = decodePostgres(r.cols[i].oid, c.s, nil); err != nil {
				return nil, fmt.Errorf("read %s, column %s: %w", r.table.FullName(), r.cols[i].column.Name, err)
			}
		}
		out[i] = c.value()
	}
	return out, nil
}

// Err returns what ended the stream early, or nil.
func (r *Rows) Err() error { return r.err }

// Close ends the query and gives the connection back. Closing in the middle of the rows does not read the rest.
func (r *Rows) Close() error {
	if r.span != nil {
		endRead(r.span, r.count, r.err)
	}
	return r.src.close()
}
