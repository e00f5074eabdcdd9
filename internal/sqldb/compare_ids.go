package sqldb

import (
	"context"
	"fmt"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// CompareIDs compares the keys that the map of ids holds for rows which have arrived with those that a mapping makes of its source:
// what an API has confirmed, which cannot be read back. A row without an id is missing, an id whose row is gone is extra. It reads the
// source and the map as a whole.
func CompareIDs(ctx context.Context, src, state *DB, k *Check, ids KeepIDs, report func(Difference) bool) (CompareResult, error) {
	c := &comparison{src: src, dst: state, m: k.Mapping, walk: k.Walk, job: k.Job, stage: k.Stage, report: report}
	err := c.readQuarantine(ctx)
	if err == nil {
		err = c.compareIDs(ctx, ids, func(lost bool, key RowKey, source, _ string) (bool, error) {
			if lost {
				c.result.Missing++
				return c.tell(Difference{Key: key, Kind: DiffMissing}), nil
			}
			c.result.Extra++
			if strings.HasPrefix(source, digestMark) { // of a long key that the source does not have the map knows no more
				return c.tell(Difference{Key: RowKey{source}, Kind: DiffExtra}), nil
			}
			key, err := ParseRowKey(source)
			return c.tell(Difference{Key: key, Kind: DiffExtra}), err
		})
	}
	if err != nil {
		return c.result, fmt.Errorf("compare what was confirmed of %s: %w", ids.Entity, Classify(err))
	}
	c.result.Equal = c.result.SourceRows - c.result.Missing - c.result.Quarantined - c.result.Skipped
	return c.result, nil
}

// FindGone reports the rows of a target that have come from a source, by the map of ids, and whose rows there are gone. column names
// them in the target. It returns how many it found.
func FindGone(ctx context.Context, src, dst *DB, k *Check, ids KeepIDs, column string, report func(Difference) bool) (int64, error) {
	c := &comparison{src: src, dst: dst, m: k.Mapping, walk: k.Walk, report: report, quietly: true} // rows in quarantine are there
	err := c.compareIDs(ctx, ids, func(lost bool, _ RowKey, _, id string) (bool, error) {
		if lost {
			return true, nil
		}
		key := RowKey{id}
		cond, args := keyList(dst.Dialect, k.Mapping.Target, []string{column}, []RowKey{key})
		var n int64
		if err := queryRow(ctx, dst, "SELECT count(*) FROM "+k.Mapping.Target.from(dst.Dialect)+walked+" WHERE "+cond, args, &n); err != nil || n == 0 {
			return true, err
		}
		c.result.Extra++
		return c.tell(Difference{Key: key, Column: column, Kind: DiffExtra}), nil
	})
	if err != nil {
		return 0, fmt.Errorf("look for rows of %s whose source is gone: %w", k.Mapping.Target.FullName(), Classify(err))
	}
	return c.result.Extra, nil
}

// compareIDs finds the keys that only the source has (lost), and those that only the map has, with the id there, as a multiset finds
// rows: it names at most multisetRows of them.
func (c *comparison) compareIDs(ctx context.Context, ids KeepIDs, found func(lost bool, key RowKey, source, id string) (bool, error)) error {
	sums := make([][2]bucket, multisetBuckets)
	err := c.eachKey(ctx, ids, func(side int, h rowHash, _ RowKey, _, _ string) (bool, error) {
		b := &sums[h.a%multisetBuckets][side]
		b.rows, b.a, b.b = b.rows+1, b.a+h.a, b.b+h.b
		return true, nil
	})
	same := true
	for i := range sums {
		same = same && sums[i][0] == sums[i][1]
	}
	if err != nil || same {
		return err
	}
	c.quietly = true // what cannot be made has been reported
	counts := map[rowHash]int{}
	count := func(side int, h rowHash, _ RowKey, _, _ string) (bool, error) {
		s := &sums[h.a%multisetBuckets]
		if _, ok := counts[h]; s[0] != s[1] && (ok || len(counts) < multisetRows) {
			counts[h] += 1 - 2*side
		}
		return true, nil
	}
	missing := c.result.Missing
	if err := c.eachKey(ctx, ids, count); err != nil {
		return err
	}
	counted := c.result
	err = c.eachKey(ctx, ids, func(side int, h rowHash, key RowKey, source, id string) (bool, error) {
		n := counts[h]
		if side == 0 && n > 0 || side == 1 && n < 0 {
			counts[h] = n - 1 + 2*side
			return found(side == 0, key, source, id)
		}
		return true, nil
	})
	extra, lost, stopped := c.result.Extra, c.result.Missing, c.result.Stopped
	c.result = counted
	c.result.Extra, c.result.Missing, c.result.Stopped = extra, max(lost, missing), stopped
	return err
}

// eachKey hands out the keys that a mapping makes (side 0), and those of the map of ids (side 1).
func (c *comparison) eachKey(ctx context.Context, ids KeepIDs, each func(side int, h rowHash, key RowKey, source, id string) (bool, error)) error {
	nameOf := func(key string) string { return key }
	if ids.Elsewhere != nil {
		nameOf = ids.Elsewhere.Name
	}
	goOn, err := c.eachMadeKey(ctx, nameOf, each)
	if err != nil || !goOn {
		return err
	}
	if m := ids.Elsewhere; m != nil {
		return m.Walk(ctx, ids.Entity, func(name, id string) (bool, error) { return each(1, c.hashText(name), nil, m.Key(name), id) })
	}
	for after := ""; ; {
		n := 0
		err := c.dst.queryAll(ctx, "SELECT source_key, target_id FROM stint_ids WHERE scope = $1 AND entity = $2 AND target_id <> '' AND source_key > $3 ORDER BY source_key LIMIT $4",
			[]any{ids.Scope, ids.Entity, after, 2_000}, func(scan func(...any) error) error {
				var id string
				if err := scan(&after, &id); err != nil || !goOn {
					return err
				}
				n++
				var err error
				goOn, err = each(1, c.hashText(storedKey(c.dst.Dialect, after)), nil, after, id)
				return err
			})
		if err != nil || n < 2_000 || !goOn {
			return err
		}
	}
}

func (c *comparison) eachMadeKey(ctx context.Context, nameOf func(key string) string, each func(side int, h rowHash, key RowKey, source, id string) (bool, error)) (goOn bool, err error) {
	c.result.SourceRows, c.result.Quarantined, c.result.Skipped, c.result.Missing = 0, 0, 0, 0
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
		if err == nil && goOn && expected {
			name := rows.x.t.Key()
			goOn, err = each(0, c.hashText(storedKey(c.dst.Dialect, nameOf(name))), rows.Key(), name, "")
		}
		if err != nil || !goOn {
			return false, err
		}
	}
}

func (c *comparison) hashText(s string) rowHash {
	h := rowHash{a: xxhash.Sum64String(s)}
	c.second.ResetWithSeed(1)
	_, _ = c.second.WriteString(s) // a hash never fails
	h.b = c.second.Sum64()
	return h
}
