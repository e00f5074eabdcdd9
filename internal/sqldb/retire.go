package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
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
		return o.Rows.holds(ctx, q)
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
		if err := q.exec(ctx, "UPDATE stint_rows SET stale = 1 WHERE job = $1 AND stage = $2 AND row_key IN "+
			keyLiterals(db.Dialect, pairs[0].Row)+" AND target_key IN "+keyLiterals(db.Dialect, pairs[0].Target), k.Job, k.Stage); err != nil {
			return err
		}
		return k.holds(ctx, q)
	})
	if err != nil {
		return Retired{}, fmt.Errorf("mark rows of %s: %w", target.FullName(), Classify(err))
	}
	return Retired{Left: 1}, nil
}

func retire(ctx context.Context, q querier, d Dialect, target *Table, o *LoaderOptions, pairs []Pair) (int, error) {
	k := o.Rows
	ours := map[Pair]bool{}
	var targets, rows []string
	for _, p := range pairs {
		ours[p] = true
		targets, rows = append(targets, p.Target), append(rows, p.Row)
	}
	// A rival may have done it; and of what is marked another row may have made the same again.
	there, err := selectPairs(ctx, q, d, k, "(row_key IN "+keyLiterals(d, rows...)+" OR stale = 0 AND target_key IN "+keyLiterals(d, targets...)+")")
	if err != nil {
		return 0, err
	}
	still, others, alive := map[Pair]bool{}, map[string]bool{}, map[string]bool{}
	for _, p := range there {
		if ours[p] {
			still[p] = true
		} else {
			others[p.Target], alive[p.Row] = true, true
		}
	}
	gone := map[string]bool{}
	var keys []RowKey
	for p := range still {
		if others[p.Target] || gone[p.Target] {
			continue
		}
		gone[p.Target] = true
		key, err := ParseRowKey(p.Target)
		if err != nil {
			return 0, err
		}
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		cond, args := keyList(d, target, k.Key, keys)
		if err := q.exec(ctx, "DELETE FROM "+d.QuoteTable(target.Schema, target.Name)+" WHERE "+cond, args...); err != nil {
			return 0, err
		}
	}
	if err := forgetPairs(ctx, q, d, o, still, alive); err != nil {
		return 0, err
	}
	if o.Step == "" || len(still) == 0 {
		return len(keys), nil
	}
	from := RowKey{pairs[0].Row, pairs[0].Target}
	p := part{from: from, to: from, read: len(still), written: len(keys)}
	return len(keys), q.exec(ctx, ledgerInsert+"$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", o.Job, o.Stage, o.Step, storedKey(d, p.from.String()), p.to.String(), p.doneInt(),
		p.read, p.written, p.quarantined, p.skipped, p.bytes, p.checksumText(), o.Worker, o.Attempt)
}

// forgetPairs takes away what was kept of rows, and the ids of those that are not alive by another name.
func forgetPairs(ctx context.Context, q querier, d Dialect, o *LoaderOptions, pairs map[Pair]bool, alive map[string]bool) error {
	k := o.Rows
	var both, ids []string
	for p := range pairs {
		both = append(both, literals(d, []string{p.Row, p.Target}))
		if row, target := storedKey(d, p.Row), storedKey(d, p.Target); row != p.Row || target != p.Target {
			both = append(both, literals(d, []string{row, target}))
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
		if err := q.exec(ctx, "DELETE FROM stint_rows WHERE job = $1 AND stage = $2 AND (row_key, target_key) IN (VALUES "+strings.Join(part, ",")+")", k.Job, k.Stage); err != nil {
			return err
		}
	}
	return deleteKeys(ctx, q, d, "DELETE FROM stint_ids WHERE scope = "+d.Literal(o.IDs.Scope)+" AND entity = "+d.Literal(o.IDs.Entity)+" AND source_key IN ", ids)
}

// isReferred reports whether a row could not be deleted because others refer to it.
func isReferred(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23503" || pg.Code == "23001"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && (lite.Code() == sqlitelib.SQLITE_CONSTRAINT_FOREIGNKEY || lite.Code() == sqlitelib.SQLITE_CONSTRAINT_TRIGGER)
}

// IsUnsettled reports whether an index or a key could not be made because the rows are not unique, or because what it refers to is
// not yet: with rows of a live source, which were read at different moments, that may pass.
func IsUnsettled(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505" || pg.Code == "42830"
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE
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
		return k.holds(ctx, q)
	})
	if err != nil {
		return fmt.Errorf("take rows from the quarantine: %w", Classify(err))
	}
	return nil
}
