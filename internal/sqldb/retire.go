package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Retired says what Retire has done.
type Retired struct {
	Deleted int // rows of the target
	Left    int // rows that others refer to: they are marked, and have to be tried again when those are gone
}

// Retire deletes rows of a target of which the source has nothing any more, with what was kept of them, in one transaction with a row
// of the ledger, where o.Step is given. A row that another row of the source makes, too, stays. Rows that others refer to stay, and
// are marked.
func Retire(ctx context.Context, db *DB, target *Table, o *LoaderOptions, pairs []Pair) (Retired, error) {
	if len(pairs) == 0 {
		return Retired{}, nil
	}
	n := 0
	err := inTransaction(ctx, db, func(q querier) (err error) {
		if n, err = retire(ctx, q, db.Dialect, target, o, pairs); err != nil {
			return err
		}
		return o.Rows.holds(ctx, q, db.Dialect)
	})
	switch {
	case err == nil:
		return Retired{Deleted: n}, nil
	case !isReferred(err):
		return Retired{}, fmt.Errorf("delete rows of %s: %w", target.FullName(), Classify(err))
	case len(pairs) > 1: // one of them is referred to
		a, err := Retire(ctx, db, target, o, pairs[:len(pairs)/2])
		if err != nil {
			return a, err
		}
		b, err := Retire(ctx, db, target, o, pairs[len(pairs)/2:])
		return Retired{a.Deleted + b.Deleted, a.Left + b.Left}, err
	}
	k := o.Rows
	err = inTransaction(ctx, db, func(q querier) error {
		some := keptRows(db.Dialect, []string{pairs[0].Row})
		if err := q.exec(ctx, "UPDATE stint_rows"+some.hint+" SET stale = 1 WHERE job = $1 AND stage = $2 AND "+some.condition+" AND target_key IN "+
			keyLiterals(db.Dialect, pairs[0].Target), k.Job, k.Stage); err != nil {
			return err
		}
		return k.holds(ctx, q, db.Dialect)
	})
	if err != nil {
		return Retired{}, fmt.Errorf("mark rows of %s: %w", target.FullName(), Classify(err))
	}
	return Retired{Left: 1}, nil
}

func retire(ctx context.Context, q querier, d Dialect, target *Table, o *LoaderOptions, pairs []Pair) (int, error) {
	k := o.Rows
	still, others, alive, err := standingPairs(ctx, q, d, target, k, pairs)
	if err != nil {
		return 0, err
	}
	gone := map[string]bool{}
	var leaving []string
	for p := range still {
		if !others[p.Target] && !gone[p.Target] {
			gone[p.Target] = true
			leaving = append(leaving, p.Target)
		}
	}
	if err := onTargets(target, d, k, leaving, func(some someRows) error { return q.exec(ctx, some.remove(), some.args...) }); err != nil {
		return 0, err
	}
	if err := forgetPairs(ctx, q, d, o, still, alive); err != nil {
		return 0, err
	}
	if o.Step == "" || len(still) == 0 {
		return len(leaving), nil
	}
	from := RowKey{pairs[0].Row, pairs[0].Target}
	p := part{from: from, to: from, read: len(still), written: len(leaving)}
	return len(leaving), q.exec(ctx, d.words().insertNew(ledgerInsert+"$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", "job, stage, step, from_key"), o.Job, o.Stage, o.Step, storedKey(d, p.from.String()), p.to.String(), p.doneInt(),
		p.read, p.written, p.quarantined, p.skipped, p.bytes, p.checksumText(), o.Worker, o.Attempt)
}

// standingPairs returns which of some pairs are still kept, as a rival may have retired them, and what else is: the targets that another row
// makes, too, and the rows that make another target.
func standingPairs(ctx context.Context, q querier, d Dialect, target *Table, k *KeepRows, pairs []Pair) (still map[Pair]bool, others, alive map[string]bool, err error) {
	still, others, alive = map[Pair]bool{}, map[string]bool{}, map[string]bool{}
	ours := make(map[Pair]bool, len(pairs))
	var targets, rows []string
	for _, p := range pairs {
		ours[p] = true
		targets, rows = append(targets, p.Target), append(rows, p.Row)
	}
	// First the lock: a transaction may see what there was at its first look, whatever others commit later.
	if err := lockTargets(ctx, q, d, target, k, targets); err != nil {
		return nil, nil, nil, err
	}
	look := func(some someRows) error {
		there, err := selectPairs(ctx, q, d, k, some)
		for _, p := range there {
			if ours[p] {
				still[p] = true
			} else {
				others[p.Target], alive[p.Row] = true, true
			}
		}
		return err
	}
	for i, part := range batchesOf(rows, 500) {
		err = look(keptRows(d, part))
		if err == nil { // of what is marked another row may have made the same again
			err = look(keptTargets(d, batchesOf(targets, 500)[i]).with("stale = 0"))
		}
		if err != nil {
			return nil, nil, nil, err
		}
	}
	return still, others, alive, nil
}

// lockTargets locks rows of the target that are to be deleted. Who is writing one of them for another row of the source is waited for,
// and what that has kept of it is seen by whoever looks then.
func lockTargets(ctx context.Context, q querier, d Dialect, target *Table, k *KeepRows, targets []string) error {
	lock := d.words().lockRows()
	if lock == "" { // the transaction has the database for itself
		return nil
	}
	return onTargets(target, d, k, targets, func(some someRows) error {
		one := 0
		return q.queryAll(ctx, "SELECT 1"+some.from()+lock, some.args, func(scan func(...any) error) error { return scan(&one) })
	})
}

// onTargets calls do with rows of the target, by their keys as text, some hundred at a time.
func onTargets(target *Table, d Dialect, k *KeepRows, targets []string, do func(some someRows) error) error {
	for _, part := range batchesOf(targets, 500) {
		if len(part) == 0 {
			continue
		}
		keys := make([]RowKey, len(part))
		for i, text := range part {
			var err error
			if keys[i], err = ParseRowKey(text); err != nil {
				return err
			}
		}
		some := someRows{table: d.QuoteTable(target.Schema, target.Name)}
		if w, ok := d.words().(exactKeys); ok {
			some = w.exactRows(target, k.Key, keys)
		} else {
			some.condition, some.args = keyList(d, target, k.Key, keys)
		}
		if err := do(some); err != nil {
			return err
		}
	}
	return nil
}

// forgetPairs takes away what was kept of rows, and the ids of those that are not alive by another name.
func forgetPairs(ctx context.Context, q querier, d Dialect, o *LoaderOptions, pairs map[Pair]bool, alive map[string]bool) error {
	k := o.Rows
	var both []Pair
	var ids []string
	for p := range pairs {
		both = append(both, p)
		if stored := (Pair{storedKey(d, p.Row), storedKey(d, p.Target)}); stored != p {
			both = append(both, stored)
		}
		if o.IDs.Column == "" || alive[p.Row] {
			continue
		}
		key, err := ParseRowKey(p.Row)
		if err != nil {
			return err
		}
		if id, ok := textKey(key); ok {
			ids = append(ids, id)
		}
	}
	for _, part := range batchesOf(both, 500) {
		if len(part) == 0 {
			continue
		}
		rows, each := make([]string, len(part)), make([]string, len(part))
		for i, p := range part {
			rows[i], each[i] = p.Row, literals(d, []string{p.Row, p.Target})
		}
		word, _ := d.words().valuesList()
		some := keptRows(d, rows).with("job = $1 AND stage = $2 AND (row_key, target_key) IN (" + word + strings.Join(each, ",") + ")")
		if err := q.exec(ctx, some.remove(), k.Job, k.Stage); err != nil {
			return err
		}
	}
	return deleteKeys(ctx, q, d, "DELETE FROM stint_ids WHERE scope = "+d.Literal(o.IDs.Scope)+" AND entity = "+d.Literal(o.IDs.Entity)+" AND source_key IN ", ids)
}

// isReferred reports whether a row could not be deleted because others refer to it.
func isReferred(err error) bool {
	return slices.ContainsFunc(dialects, func(d Dialect) bool { return d.words().referred(err) })
}

// IsUnsettled reports whether an index or a key could not be made because the rows are not unique, or because what it refers to is
// not yet: with rows of a live source, which were read at different moments, that may pass.
func IsUnsettled(err error) bool {
	return slices.ContainsFunc(dialects, func(d Dialect) bool { return d.words().unsettled(err) })
}

// ForgetAside takes rows that the source does not have any more from those that are set aside.
func ForgetAside(ctx context.Context, db *DB, k *KeepRows, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	err := inTransaction(ctx, db, func(q querier) error {
		if err := deleteKeys(ctx, q, db.Dialect, "DELETE FROM stint_quarantine"+k.aside(db.Dialect), keys); err != nil {
			return err
		}
		return k.holds(ctx, q, db.Dialect)
	})
	if err != nil {
		return fmt.Errorf("take rows from the quarantine: %w", Classify(err))
	}
	return nil
}
