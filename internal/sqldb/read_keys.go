package sqldb

import (
	"context"
	"fmt"
	"strings"
)

// readKeys starts reading the rows of some keys.
func readKeys(ctx context.Context, db *DB, t *Table, w Walk, cols []selected, keys []RowKey) (*Rows, error) {
	switch w.Kind {
	case WalkPlace:
		r := &Rows{table: t, walk: w, cols: append([]selected(nil), cols...), n: len(cols)}
		r.addKey(db.Dialect)
		r.cells = make([]cell, len(r.cols))
		r.src = &placeRows{ctx: ctx, db: db, t: t, cols: cols, keys: keys}
		return r, nil
	case WalkKey:
		cond, args := keyList(db.Dialect, t, w.Columns, keys)
		return readWhere(ctx, db, t, w, cols, " WHERE "+cond+w.orderBy(db.Dialect, t), args)
	}
	var args []any
	conds := make([]string, len(keys))
	for i, key := range keys {
		var err error
		if conds[i], err = w.compare(db.Dialect, t, "=", key, &args); err != nil {
			return nil, fmt.Errorf("read %s: %w", t.FullName(), err)
		}
	}
	return readWhere(ctx, db, t, w, cols, " WHERE "+strings.Join(conds, " OR ")+w.orderBy(db.Dialect, t), args)
}

// placeRows reads single rows of files, by where they stand.
type placeRows struct {
	ctx  context.Context
	db   *DB
	t    *Table
	cols []selected
	keys []RowKey
	open rowSource
}

func (p *placeRows) next(cells []cell) (bool, error) {
	for len(p.keys) > 0 {
		if err := p.close(); err != nil {
			return false, err
		}
		key := p.keys[0]
		p.keys = p.keys[1:]
		var err error
		if p.open, err = p.db.openTabular(p.ctx, p.t, p.cols, key, nil); err != nil {
			return false, err
		}
		if ok, err := p.open.next(cells); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

func (p *placeRows) close() error {
	if p.open == nil {
		return nil
	}
	err := p.open.close()
	p.open = nil
	return err
}
