package sqldb

import (
	"context"
	"fmt"
	"slices"
)

// DeleteRows deletes the rows of some keys of a table, in transactions of some hundred, each with its row of the ledger: a batch of the
// step that opts name, which starts at from with one more part, its number. It returns how many rows were deleted.
func DeleteRows(ctx context.Context, db *DB, t *Table, columns []string, keys []RowKey, opts LoaderOptions, from RowKey) (int64, error) {
	deleted := int64(0)
	for i, part := range batchesOf(keys, 500) {
		if len(part) == 0 {
			continue
		}
		at := append(slices.Clone(from), int64(i)).String()
		n := int64(0)
		err := inTransaction(ctx, db, func(q querier) error {
			cond, args := keyList(db.Dialect, t, columns, part)
			there := t.from(db.Dialect) + " WHERE " + cond
			if err := q.queryAll(ctx, "SELECT count(*) FROM "+there, args, func(scan func(...any) error) error { return scan(&n) }); err != nil {
				return err
			}
			if err := q.exec(ctx, "DELETE FROM "+there, args...); err != nil {
				return err
			}
			return q.exec(ctx, ledgerInsert+"$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", opts.Job, opts.Stage, opts.Step, at, at, 0, n, n, 0, 0, 0, "", opts.Worker, opts.Attempt)
		})
		if err != nil {
			return deleted, fmt.Errorf("delete rows of %s: %w", t.FullName(), Classify(err))
		}
		deleted += n
	}
	return deleted, nil
}

// differs is the checksum of a verdict that says that something differs.
const differs = "differs"

// Verdict is what a migration found when it compared a chunk, as it keeps it in its ledger.
type Verdict struct {
	Stage, Step string
	Chunk       Chunk // without its number
}

// KeepVerdict keeps what a comparison of a chunk has found, in place of what an earlier one has.
func KeepVerdict(ctx context.Context, db *DB, opts LoaderOptions, chunk Chunk, r CompareResult, different bool) error {
	word := ""
	if different {
		word = differs
	}
	err := inTransaction(ctx, db, func(q querier) error {
		if err := q.exec(ctx, "DELETE FROM stint_ledger WHERE job = $1 AND stage = $2 AND step = $3", opts.Job, opts.Stage, opts.Step); err != nil {
			return err
		}
		if whole := keepWhole(db.Dialect, []string{chunk.From.String()}); whole != "" {
			if err := q.exec(ctx, whole); err != nil {
				return err
			}
		}
		// A rival that compares the same chunk may be faster, and says the same.
		insert := db.Dialect.words().insertNew(ledgerInsert+"$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14)", "job, stage, step, from_key")
		return q.exec(ctx, insert, opts.Job, opts.Stage, opts.Step, storedKey(db.Dialect, chunk.From.String()), chunk.To.String(), 1,
			r.SourceRows, r.Equal, r.Quarantined, r.Skipped, 0, word, opts.Worker, opts.Attempt)
	})
	if err != nil {
		return fmt.Errorf("keep what was compared: %w", Classify(err))
	}
	return nil
}

// Different returns the chunks of some stages of a job that differed when they were compared last, in the order of their stages and
// steps.
func Different(ctx context.Context, db *DB, job string, stages []string) ([]Verdict, error) {
	var all []Verdict
	var froms []string
	err := db.queryAll(ctx, "SELECT stage, step, from_key, to_key FROM stint_ledger WHERE job = $1 AND checksum = $2 ORDER BY stage, step", []any{job, differs},
		func(scan func(...any) error) error {
			var v Verdict
			var from, to string
			err := scan(&v.Stage, &v.Step, &from, &to)
			if err == nil {
				v.Chunk.To, err = ParseRowKey(to)
			}
			if slices.Contains(stages, v.Stage) {
				all, froms = append(all, v), append(froms, from)
			}
			return err
		})
	var keys []RowKey
	if err == nil {
		keys, err = parseKeys(ctx, db.querier(), db.Dialect, froms)
	}
	if err != nil {
		return nil, fmt.Errorf("read what was compared: %w", Classify(err))
	}
	for i := range all {
		all[i].Chunk.From = keys[i]
	}
	return all, nil
}
