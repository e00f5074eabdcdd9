package sqldb

import (
	"bytes"
	"context"
	"fmt"
)

// lookupRows is how many rows are held while they are looked up; lookupBytes bounds them too.
const (
	lookupRows  = 500
	lookupBytes = 4 << 20
)

// heldRow is a row of one side that waits to be looked up on the other.
type heldRow struct {
	key   RowKey // of the walk it was found by
	other RowKey // the same as the other side writes it; nil when the other side cannot hold it
	canon string // the same in the form that both sides share
	cells []cell
	found bool
}

// keyCodecs turns the key of one side into that of the other.
func keyCodecs(m *Mapping, from, to Dialect, columns []string, reverse bool) ([]codec, []likeness, error) {
	var codecs []codec
	var likes []likeness
	for _, name := range columns {
		found := false
		for _, p := range m.Columns {
			a, b := m.Source.Column(p.Source), m.Target.Column(p.Target)
			if !reverse && p.Source == name {
				codecs = append(codecs, codec{src: a, dst: b, from: from, to: to, typed: from.words().enforces(), same: sameMySQL(from, to, a, b), affinity: affinityOf(b.Type)})
				likes = append(likes, likenessOf(from, to, a, b))
				found = true
			} else if reverse && p.Target == name {
				codecs = append(codecs, codec{src: b, dst: a, from: from, to: to, typed: from.words().enforces(), same: sameMySQL(from, to, b, a), affinity: affinityOf(a.Type)})
				likes = append(likes, likenessOf(to, from, a, b))
				found = true
			}
		}
		if !found {
			return nil, nil, fmt.Errorf("the key column %s is not mapped", name)
		}
	}
	return codecs, likes, nil
}

// otherKey returns a key as the other side holds it, and false when it cannot.
func otherKey(codecs []codec, key []cell) (RowKey, bool) {
	out := make(RowKey, len(key))
	for i := range codecs {
		c := &codecs[i]
		if _, ok := c.to.words().(keyWriter); ok {
			v, ok := c.writtenKey(&key[i])
			if !ok {
				return nil, false
			}
			out[i] = v
			continue
		}
		if c.to.words().encoding() == encodeSQL {
			v, ok := c.sqlKey(&key[i])
			if !ok {
				return nil, false
			}
			out[i] = v
			continue
		}
		if c.to.words().encoding() == encodeValues {
			v, bad := c.driverValue(&key[i])
			if bad != nil {
				return nil, false
			}
			out[i] = v
			continue
		}
		if c.dst.Kind == KindOther {
			out[i] = key[i].value()
			continue
		}
		field, bad := c.appendField(nil, &key[i])
		if bad != nil || key[i].kind == cellNull {
			return nil, false
		}
		v, _, err := decodePostgres(c.targetOID(), viewString(field[4:]), nil)
		if err != nil {
			return nil, false
		}
		out[i] = v.value()
	}
	return out, true
}

// canonKey returns a key in the form that both sides share.
func canonKey(likes []likeness, key []cell) string {
	var b []byte
	for i := range key {
		start := len(b)
		b = append(b, 0, 0, 0, 0)
		b = sized(appendCanonical(b, likes[i], &key[i]), start)
	}
	return string(b)
}

// lookup reads the source and looks its rows up in the target, some at a time.
func (c *comparison) lookup(ctx context.Context, from, to RowKey) error {
	codecs, likes, err := keyCodecs(c.m, c.src.Dialect, c.dst.Dialect, c.walk.Columns, false)
	if err != nil {
		return err
	}
	rows, err := readColumns(ctx, c.src, c.m.Source, c.walk, c.sourceColumns(), from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	var held []heldRow
	size := 0
	for rows.Next() {
		if err := c.readSource(rows); err != nil {
			return err
		}
		key := rows.keyCells()
		row := heldRow{key: keyOf(key), canon: canonKey(likes, key), cells: make([]cell, len(c.sourceCells))}
		row.other, _ = otherKey(codecs, key)
		for i := range row.cells {
			row.cells[i] = c.sourceCells[i]
			row.cells[i].s = string(bytes.Clone(viewBytes(row.cells[i].s)))
			size += len(row.cells[i].s)
		}
		held = append(held, row)
		if len(held) >= lookupRows || size >= lookupBytes {
			if err := c.lookupHeld(ctx, held, likes); err != nil || c.result.Stopped {
				return err
			}
			held, size = held[:0], 0
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return c.lookupHeld(ctx, held, likes)
}

func (c *comparison) lookupHeld(ctx context.Context, held []heldRow, likes []likeness) error {
	byKey := make(map[string]int, len(held))
	var keys []RowKey
	for i := range held {
		if held[i].other != nil {
			byKey[held[i].canon] = i
			keys = append(keys, held[i].other)
		}
	}
	if len(keys) > 0 {
		cond, args := keyList(c.dst.Dialect, c.m.Target, c.targetWalk.Columns, keys)
		rows, err := readWhere(ctx, c.dst, c.m.Target, c.targetWalk, c.targetColumns(), " WHERE "+cond, args)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			at, ok := byKey[canonKey(likes, rows.keyCells())]
			if !ok {
				continue // equal by the collation of the target alone
			}
			if err := c.readTarget(rows); err != nil {
				return err
			}
			if held[at].found {
				c.result.Extra++
				if !c.tell(Difference{Key: held[at].key, Kind: DiffExtra}) {
					return nil
				}
				continue
			}
			held[at].found = true
			copy(c.sourceCells, held[at].cells)
			if goOn, err := c.differs(ctx, func() RowKey { return held[at].key }); err != nil || !goOn {
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	for i := range held {
		if !held[i].found {
			if goOn, err := c.missing(ctx, held[i].key); err != nil || !goOn {
				return err
			}
		}
	}
	return nil
}

// FindExtra reports the rows of the target that the source does not have, for tables that are compared by CompareLookup: there
// are some when the target counts more rows than the source less its quarantine, and all rows of the source were found. It
// reads the keys of the whole target. It returns how many it found.
func FindExtra(ctx context.Context, src, dst *DB, m *Mapping, w Walk, report func(Difference) bool) (int64, error) {
	n, err := findExtra(ctx, src, dst, m, w, report)
	if err != nil {
		return n, fmt.Errorf("look for extra rows of %s: %w", m.Target.FullName(), Classify(err))
	}
	return n, nil
}

func findExtra(ctx context.Context, src, dst *DB, m *Mapping, w Walk, report func(Difference) bool) (int64, error) {
	c, err := newComparison(ctx, src, dst, m, w, "", report)
	if err != nil {
		return 0, err
	}
	codecs, likes, err := keyCodecs(m, dst.Dialect, src.Dialect, c.targetWalk.Columns, true)
	if err != nil {
		return 0, err
	}
	rows, err := readColumns(ctx, dst, c.m.Target, c.targetWalk, nil, nil, nil)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var held []heldRow
	flush := func() error {
		var keys []RowKey
		for i := range held {
			if held[i].other != nil {
				keys = append(keys, held[i].other)
			}
		}
		there := map[string]bool{}
		if len(keys) > 0 {
			cond, args := keyList(src.Dialect, m.Source, w.Columns, keys)
			found, err := readWhere(ctx, src, m.Source, w, nil, " WHERE "+cond, args)
			if err != nil {
				return err
			}
			defer found.Close()
			for found.Next() {
				there[canonKey(likes, found.keyCells())] = true
			}
			if err := found.Err(); err != nil {
				return err
			}
		}
		for i := range held {
			if !there[held[i].canon] {
				c.result.Extra++
				if !c.tell(Difference{Key: held[i].key, Kind: DiffExtra}) {
					break
				}
			}
		}
		held = held[:0]
		return nil
	}
	for rows.Next() {
		key := rows.keyCells()
		row := heldRow{key: keyOf(key), canon: canonKey(likes, key)}
		row.other, _ = otherKey(codecs, key)
		if held = append(held, row); len(held) >= lookupRows {
			if err := flush(); err != nil || c.result.Stopped {
				return c.result.Extra, err
			}
		}
	}
	if err := rows.Err(); err != nil {
		return c.result.Extra, err
	}
	return c.result.Extra, flush()
}
