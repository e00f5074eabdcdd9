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
	return multiset(ctx, []*comparison{c})
}

// multiset compares what several comparisons expect in one table with that table. What is found is the first one's.
func multiset(ctx context.Context, parts []*comparison) error {
	c := parts[0]
	sums := make([][2]bucket, multisetBuckets)
	if err := hashes(ctx, parts, func(side int, h rowHash, _ *comparison, _ func() RowKey) bool {
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
	return nameRows(ctx, parts, sums)
}

// nameRows looks at the parts that differ again, and names the rows that one side has more often than the other.
func nameRows(ctx context.Context, parts []*comparison, sums [][2]bucket) error {
	c, quietly := parts[0], parts[0].quietly
	counts := map[rowHash]int{}
	counted := c.result
	full := false
	for _, p := range parts {
		p.quietly = true // the rows of which nothing can be made have been reported
	}
	if err := hashes(ctx, parts, func(side int, h rowHash, _ *comparison, _ func() RowKey) bool {
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
	err := hashes(ctx, parts, func(side int, h rowHash, of *comparison, key func() RowKey) bool {
		if s := &sums[h.a%multisetBuckets]; s[0] == s[1] {
			return true
		}
		n, known := counts[h]
		switch {
		case !known: // more differences than are held: counted below, not named
		case side == 0 && n > 0:
			counts[h] = n - 1
			counted.Missing++
			goOn := quietly || of.tell(Difference{Key: key(), Kind: DiffMissing})
			c.result.Stopped = !goOn
			return goOn
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

// hashes hands out the hash of each row that is expected (side 0), and of each of the target (side 1).
func hashes(ctx context.Context, parts []*comparison, each func(side int, h rowHash, of *comparison, key func() RowKey) bool) error {
	for _, c := range parts {
		c.result.SourceRows, c.result.TargetRows, c.result.Quarantined, c.result.Skipped, c.result.Missing = 0, 0, 0, 0, 0
		read := c.sourceHashes
		if c.made != nil {
			read = c.madeHashes
		}
		goOn, err := read(ctx, func(h rowHash, key func() RowKey) bool { return each(0, h, c, key) })
		if err != nil || !goOn {
			return err
		}
	}
	return parts[0].targetHashes(ctx, func(h rowHash, key func() RowKey) bool { return each(1, h, parts[0], key) })
}

func (c *comparison) sourceHashes(ctx context.Context, each func(h rowHash, key func() RowKey) bool) (goOn bool, err error) {
	rows, err := readColumns(ctx, c.src, c.m.Source, c.walk, c.sourceColumns(), nil, nil)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := c.readSource(rows); err != nil {
			return false, err
		}
		if len(c.quarantine) > 0 || c.askEach {
			if set, err := c.inQuarantine(ctx, rows.Key()); err != nil {
				return false, err
			} else if set {
				c.result.Quarantined++
				continue
			}
		}
		if !each(c.hash(c.sourceCells), rows.Key) {
			return false, nil
		}
	}
	return true, rows.Err()
}

func (c *comparison) madeHashes(ctx context.Context, each func(h rowHash, key func() RowKey) bool) (goOn bool, err error) {
	rows, err := c.readMade(ctx, nil, nil)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for {
		ok, err := rows.next()
		if err != nil || !ok {
			return true, err
		}
		expected, goOn, err := c.expects(ctx, rows)
		if err == nil && expected && c.askEach {
			if expected, err = c.inQuarantine(ctx, rows.Key()); expected {
				c.result.Quarantined++
			}
			expected = !expected
		}
		if err != nil || !goOn {
			return false, err
		}
		if !expected {
			continue
		}
		for _, out := range rows.outs[:rows.n] {
			if !each(c.hash(out), rows.Key) {
				return false, nil
			}
		}
	}
}

func (c *comparison) targetHashes(ctx context.Context, each func(h rowHash, key func() RowKey) bool) error {
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
		if !each(c.hash(c.targetCells), target.Key) {
			return nil
		}
	}
	return target.Err()
}

func (c *comparison) hash(cells []cell) rowHash {
	b := c.comparer.a[:0]
	for n := range c.comparer.like {
		i := n
		if c.hashed != nil {
			if n == len(c.hashed) {
				break
			}
			i = c.hashed[n]
		}
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
