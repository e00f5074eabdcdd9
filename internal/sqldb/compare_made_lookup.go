package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/tasks"
)

// targetCodecs turns the key that a mapping makes into that of the target; at says where its parts are among the columns.
func (c *comparison) targetCodecs() (codecs []codec, likes []likeness, at []int) {
	for _, name := range c.targetWalk.Columns {
		i := slices.IndexFunc(c.m.Columns, func(p ColumnPair) bool { return p.Target == name })
		dst, made := c.m.Target.Column(name), c.made[i]
		codecs = append(codecs, codec{src: made.column, dst: dst, from: made.from, to: c.dst.Dialect, typed: made.from.words().enforces(), affinity: affinityOf(dst.Type)})
		likes, at = append(likes, c.comparer.like[i]), append(at, i)
	}
	return codecs, likes, at
}

// lookupMade makes rows of the source and looks them up in the target, some at a time.
func (c *comparison) lookupMade(ctx context.Context, from, to RowKey) error {
	codecs, likes, at := c.targetCodecs()
	rows, err := c.readMade(ctx, from, to)
	if err != nil {
		return err
	}
	defer rows.Close()
	var held []heldRow
	size := 0
	key := make([]cell, len(at))
	for {
		ok, err := rows.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		expected, goOn, err := c.expects(ctx, rows)
		if err != nil || !goOn {
			return err
		}
		if !expected {
			continue
		}
		source := rows.Key()
		for _, out := range rows.outs[:rows.n] {
			row := heldRow{key: source, cells: make([]cell, len(out))}
			for i := range out {
				row.cells[i] = out[i]
				row.cells[i].s = strings.Clone(out[i].s)
				size += len(out[i].s)
			}
			for i, a := range at {
				key[i] = row.cells[a]
			}
			row.canon = canonKey(likes, key)
			row.other, _ = otherKey(codecs, key)
			held = append(held, row)
		}
		if len(held) >= lookupRows || size >= lookupBytes {
			if err := c.lookupHeld(ctx, c.merged(held), likes); err != nil || c.result.Stopped {
				return err
			}
			held, size = held[:0], 0
		}
	}
	return c.lookupHeld(ctx, c.merged(held), likes)
}

// merged leaves of rows that become the same row of the target the last, whose values are there in the end.
func (c *comparison) merged(held []heldRow) []heldRow {
	last := make(map[string]int, len(held))
	for i := range held {
		last[held[i].canon] = i
	}
	if len(last) == len(held) {
		return held
	}
	kept := held[:0]
	for i := range held {
		if last[held[i].canon] == i {
			kept = append(kept, held[i])
		} else {
			c.result.Merged++
		}
	}
	return kept
}

// CompareKeys looks for rows that the target has and the source has not, where comparing the rows of the source does not show them:
// it compares the keys of all rows of a table with those that some mappings make, all into this table and found by the same columns, as
// multisets. It reads the sources and the table as a whole. Rows of the source that are missing are not reported. It returns how many
// extra rows it found.
func CompareKeys(ctx context.Context, src, dst *DB, checks []*Check, report func(Difference) bool) (int64, error) {
	r, err := compareTogether(ctx, src, dst, checks, checks[0].Key, true, report)
	return r.Extra, err
}

// CompareTogether compares all rows of a table without a key with those that some mappings make, which all fill in the same columns of
// it, as multisets.
func CompareTogether(ctx context.Context, src, dst *DB, checks []*Check, report func(Difference) bool) (CompareResult, error) {
	var columns []string
	for _, p := range checks[0].Mapping.Columns {
		columns = append(columns, p.Target)
	}
	return compareTogether(ctx, src, dst, checks, columns, false, report)
}

func compareTogether(ctx context.Context, src, dst *DB, checks []*Check, columns []string, quietly bool, report func(Difference) bool) (CompareResult, error) {
	fail := func(err error) (CompareResult, error) {
		return CompareResult{}, fmt.Errorf("compare %s: %w", checks[0].Mapping.Target.FullName(), Classify(err))
	}
	parts := make([]*comparison, len(checks))
	for i, k := range checks {
		c, err := newCheck(ctx, src, dst, k, report)
		if err != nil {
			return fail(err)
		}
		for _, name := range columns {
			at := slices.IndexFunc(c.m.Columns, func(p ColumnPair) bool { return p.Target == name })
			if at < 0 {
				return fail(tasks.Permanent(fmt.Errorf("two mappings into one table do not fill in the same columns: %s", name)))
			}
			if c.hashed = append(c.hashed, at); i > 0 { // one table has one way to be hashed
				c.comparer.like[at] = parts[0].comparer.like[parts[0].hashed[len(c.hashed)-1]]
			}
		}
		c.quietly = quietly
		parts[i] = c
	}
	if err := multiset(ctx, parts); err != nil {
		return fail(err)
	}
	sum := parts[0].result
	for _, p := range parts[1:] {
		sum.SourceRows, sum.Quarantined, sum.Skipped = sum.SourceRows+p.result.SourceRows, sum.Quarantined+p.result.Quarantined, sum.Skipped+p.result.Skipped
	}
	return sum, nil
}
