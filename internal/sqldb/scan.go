package sqldb

import (
	"context"
	"fmt"
	"strings"
)

// Since bounds a scan to the rows whose column, which grows with each change, has come at least as far as a mark; and to those
// where it is NULL, of which nothing is known.
type Since struct {
	Column string
	Mark   RowKey // of one part
}

// Scanner reads the keys and hashes of rows, as a mapping that keeps rows would hash them. Close it. It is for one goroutine.
type Scanner struct{ rows *Rows }

// NewScanner starts to read the rows [from, end) of a mapping's source table; since may be nil.
func NewScanner(ctx context.Context, src *DB, m *Mapping, w Walk, to Dialect, from, end RowKey, since *Since) (*Scanner, error) {
	p, err := newPlan(src.Dialect, to, m)
	if err != nil {
		return nil, err
	}
	if since == nil {
		rows, err := readColumns(ctx, src, m.Source, w, p.selected, from, end)
		if err != nil {
			return nil, Classify(err)
		}
		return &Scanner{rows}, nil
	}
	where, args, err := w.where(src.Dialect, m.Source, from, end)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.Source.FullName(), err)
	}
	changed, err := Walk{Kind: WalkKey, Columns: []string{since.Column}}.compare(src.Dialect, m.Source, ">=", since.Mark, &args)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", m.Source.FullName(), err)
	}
	word := " WHERE "
	if where != "" {
		word = " AND "
	}
	rows, err := readWhere(ctx, src, m.Source, w, p.selected, where+word+"("+changed+" OR "+src.Dialect.Quote(since.Column)+" IS NULL)"+w.orderBy(src.Dialect, m.Source), args)
	if err != nil {
		return nil, Classify(err)
	}
	return &Scanner{rows}, nil
}

// Next goes to the next row; false at the end and after an error.
func (s *Scanner) Next() bool { return s.rows.Next() }

// Key returns the key of the row.
func (s *Scanner) Key() RowKey { return s.rows.Key() }

// Hash returns the hash of the row.
func (s *Scanner) Hash() int64 { return hashCells(s.rows.cells[:s.rows.n]) }

// Err returns what ended the reading early, or nil.
func (s *Scanner) Err() error { return Classify(s.rows.Err()) }

// Close ends the reading.
func (s *Scanner) Close() error { return s.rows.Close() }

// NewEmptyBatch returns a batch without rows, by which the ledger learns that there was nothing to do in a range.
func NewEmptyBatch(src *DB, m *Mapping, w Walk, to Dialect, from, end RowKey) (*Batch, error) {
	p, err := newPlan(src.Dialect, to, m)
	if err != nil {
		return nil, err
	}
	b := newBatch()
	b.plan, b.From, b.To, b.Last, b.parts = p, from, end, true, w.Parts()
	return b, nil
}

// FindKeys returns which keys, at most some hundred, a mapping's source table has, as text.
func FindKeys(ctx context.Context, src *DB, t *Table, w Walk, keys []RowKey) (map[string]bool, error) {
	found := make(map[string]bool, len(keys))
	if len(keys) == 0 {
		return found, nil
	}
	cond, args := keyList(src.Dialect, t, w.Columns, keys)
	rows, err := readWhere(ctx, src, t, w, nil, " WHERE "+cond, args)
	if err != nil {
		return nil, Classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		found[rows.Key().String()] = true
	}
	if err := rows.Err(); err != nil {
		return nil, Classify(err)
	}
	return found, nil
}

// Furthest returns how far a column has come in a table: its greatest value, as a key of one part; nil when there is none.
func Furthest(ctx context.Context, db *DB, t *Table, column string) (RowKey, error) {
	words := db.Dialect.words()
	w := Walk{Kind: WalkKey, Columns: []string{column}}
	r := &Rows{table: t, walk: w}
	r.addKey(db.Dialect)
	parts := make([]string, len(r.cols))
	for i := range r.cols {
		parts[i] = words.expression(r.cols[i], t)
	}
	head, tail := words.page(1, 0)
	parts[0] = head + parts[0]
	name := db.Dialect.Quote(column)
	key, err := firstKey(ctx, db, r, parts, " FROM "+t.from(db.Dialect)+walked+" WHERE "+name+" IS NOT NULL ORDER BY stint_t."+name+" DESC"+tail, nil)
	if err != nil {
		return nil, fmt.Errorf("look how far %s of %s has come: %w", column, t.FullName(), Classify(err))
	}
	return key, nil
}

// textKey returns the key of a row as the map of ids knows it: a list of its parts as text. False for parts that have no one text.
func textKey(key RowKey) (string, bool) {
	b := []byte{'['}
	for i, v := range key {
		if i > 0 {
			b = append(b, ',')
		}
		switch x := v.(type) {
		case int64:
			b = fmt.Appendf(b, `"%d"`, x)
		case string:
			b = appendJSONString(b, strings.ToValidUTF8(x, "\uFFFD"))
		default:
			return "", false
		}
	}
	return string(append(b, ']')), true
}
