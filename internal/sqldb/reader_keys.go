package sqldb

import (
	"context"
	"slices"
)

// readKeys reads the rows of some keys, wherever they are; those that are not there any more are left out. Rows that have no key,
// and are named by their place, are looked for one by one.
func readKeys(ctx context.Context, db *DB, t *Table, w Walk, cols []selected, keys []RowKey) (*Rows, error) {
	if w.Kind == WalkKey {
		cond, args := keyList(db.Dialect, t, w.Columns, keys)
		return readWhere(ctx, db, t, w, cols, " WHERE "+cond+w.orderBy(db.Dialect, t), args)
	}
	if w.Kind == WalkCTID { // Rows sees to it that they come in order
		keys = slices.SortedFunc(slices.Values(keys), func(a, b RowKey) int { return slices.CompareFunc(a, b, compareNumbers) })
	}
	r := &Rows{table: t, walk: w, cols: append([]selected(nil), cols...), n: len(cols)}
	r.addKey(db.Dialect)
	r.cells = make([]cell, len(r.cols))
	p := &placedRows{keys: keys, open: func(key RowKey) (*Rows, error) { return readColumns(ctx, db, t, w, cols, key, nil) }}
	first, err := p.open(keys[0])
	if err != nil {
		return nil, err
	}
	copy(r.cols, first.cols) // what the database has said of their types
	p.at, r.src = first, p
	return r, nil
}

func compareNumbers(a, b any) int {
	x, _ := a.(int64)
	y, _ := b.(int64)
	switch {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// placedRows reads the rows of keys that are places.
type placedRows struct {
	keys []RowKey
	open func(key RowKey) (*Rows, error)
	at   *Rows // stands at the row that was given last, or before that of keys[0]; nil when it is to be opened
	gave bool  // that of keys[0]
}

func (p *placedRows) next(cells []cell) (bool, error) {
	for len(p.keys) > 0 {
		if p.gave { // the values of its row were used until now
			if err := p.close(); err != nil {
				return false, err
			}
			p.keys, p.gave = p.keys[1:], false
			continue
		}
		if p.at == nil {
			var err error
			if p.at, err = p.open(p.keys[0]); err != nil {
				return false, err
			}
		}
		p.gave = true
		there := p.at.Next()
		if err := p.at.Err(); err != nil {
			return false, err
		}
		if !there || !p.at.Key().Equal(p.keys[0]) {
			continue
		}
		copy(cells, p.at.cells)
		if p.at.unreadable != nil {
			return true, p.at.unreadable
		}
		return true, nil
	}
	return false, nil
}

func (p *placedRows) close() error {
	if p.at == nil {
		return nil
	}
	r := p.at
	p.at = nil
	return r.Close()
}
