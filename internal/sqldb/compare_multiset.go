package sqldb

import (
	"context"
	"fmt"

	"github.com/cespare/xxhash/v2"
)

// multisetBuckets is into how many parts the rows of a table without a key are sorted by their hash, to find where two tables
// differ; multisetRows is how many rows of those parts are held to name them.
const (
	multisetBuckets = 4096
	multisetRows    = 50_000
)

// bucket is the sum of the hashes of its rows: the same for the same rows in any order.
type bucket struct {
	rows int64
	a, b uint64
}

// rowHash is the hash of a row, of 128 bits.
type rowHash struct{ a, b uint64 }

// multiset compares whole tables without regard to order. The first pass sums up hashes; only when the sums differ a second
// one looks at the parts that do.
func (c *comparison) multiset(ctx context.Context) error {
	sums := make([][2]bucket, multisetBuckets)
	if err := c.hashes(ctx, func(side int, h rowHash, _ func() RowKey) bool {
		b := &sums[h.a%multisetBuckets][side]
		b.rows, b.a, b.b = b.rows+1, b.a+h.a, b.b+h.b
		return true
	}); err != nil {
		return err
	}
	differing := false
	for i := range sums {
		if sums[i][0] != sums[i][1] {
			differing = true
		} else {
			c.result.Equal += sums[i][0].rows
		}
	}
	if !differing {
		return nil
	}
	return c.nameRows(ctx, sums)
}

// nameRows looks at the parts that differ again, and names the rows that one side has more often than the other.
func (c *comparison) nameRows(ctx context.Context, sums [][2]bucket) error {
	counts := map[rowHash]int{}
	counted := c.result
	full := false
	if err := c.hashes(ctx, func(side int, h rowHash, _ func() RowKey) bool {
		if s := &sums[h.a%multisetBuckets]; s[0] == s[1] {
			return true
		}
		n, ok := counts[h]
		if !ok && len(counts) >= multisetRows {
			full = true
			return true
		}
		counts[h] = n + 1 - 2*side
		return true
	}); err != nil {
		return err
	}
	equal := int64(0)
	err := c.hashes(ctx, func(side int, h rowHash, key func() RowKey) bool {
		if s := &sums[h.a%multisetBuckets]; s[0] == s[1] {
			return true
		}
		n, known := counts[h]
		switch {
		case !known: // more differences than are held: counted below, not named
		case side == 0 && n > 0:
			counts[h] = n - 1
			counted.Missing++
			return c.tell(Difference{Key: key(), Kind: DiffMissing})
		case side == 1 && n < 0:
			counts[h] = n + 1
			counted.Extra++
			return c.tell(Difference{Key: key(), Kind: DiffExtra})
		case side == 0:
			equal++
		}
		return true
	})
	counted.Stopped = c.result.Stopped
	c.result = counted
	c.result.Equal += equal
	if err == nil && full && c.result.Missing+c.result.Extra == 0 {
		return fmt.Errorf("the tables differ in so many rows that none of them could be named")
	}
	return err
}

// hashes hands out the hash of each row of the source (side 0) and of the target (side 1).
func (c *comparison) hashes(ctx context.Context, each func(side int, h rowHash, key func() RowKey) bool) error {
	c.result.SourceRows, c.result.TargetRows, c.result.Quarantined = 0, 0, 0
	rows, err := readColumns(ctx, c.src, c.m.Source, c.walk, c.sourceColumns(), nil, nil)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := c.readSource(rows); err != nil {
			return err
		}
		if len(c.quarantine) > 0 || c.askEach {
			if set, err := c.inQuarantine(ctx, rows.Key()); err != nil {
				return err
			} else if set {
				c.result.Quarantined++
				continue
			}
		}
		if !each(0, c.hash(c.sourceCells), rows.Key) {
			return nil
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	w := WalkOf(c.m.Target)
	target, err := readColumns(ctx, c.dst, c.m.Target, w, c.columns(c.dst, c.m.Target, w, targetName), nil, nil)
	if err != nil {
		return err
	}
	defer target.Close()
	for target.Next() {
		if err := c.readTarget(target); err != nil {
			return err
		}
		if !each(1, c.hash(c.targetCells), target.Key) {
			return nil
		}
	}
	return target.Err()
}

func (c *comparison) hash(cells []cell) rowHash {
	b := c.comparer.a[:0]
	for i := range cells {
		start := len(b)
		b = append(b, 0, 0, 0, 0)
		b = sized(appendCanonical(b, c.comparer.like[i], &cells[i]), start)
	}
	h := rowHash{a: xxhash.Sum64(b)}
	c.second.ResetWithSeed(1)
	_, _ = c.second.Write(b) // a hash never fails
	h.b = c.second.Sum64()
	c.comparer.a = b
	return h
}
