package sqldb

import (
	"context"
	"fmt"
	"time"

	"github.com/stint-run/stint/tasks"
)

// BeginKeeping says that a migration keeps what becomes of its rows from its first one on. Without that nobody could tell later
// which rows of the target were deleted in the source meanwhile.
func BeginKeeping(ctx context.Context, db *DB, job string) error {
	if err := db.exec(ctx, db.Dialect.words().insertNew("INSERT INTO stint_catchup (job, round, cut_over) VALUES ($1, $2, 0)", "job"), job, job); err != nil {
		return fmt.Errorf("begin to keep rows: %w", Classify(err))
	}
	return nil
}

// errSuperseded says that a round is not the last one any more.
func errSuperseded(job string) error {
	return tasks.Permanent(tasks.WithHint(nil, "leave it: the later round finds what this one would have", "a later round of catching up with job %s has begun", job))
}

// standing reads which round has the right to write, and whether there will be none any more. It holds the row until the
// transaction ends, so nobody begins another round before.
func standing(ctx context.Context, q querier, d Dialect, job string) (round string, cutOver, found bool, err error) {
	if err = q.exec(ctx, "UPDATE stint_catchup SET round = round WHERE job = $1", job); err != nil {
		return
	}
	err = q.queryAll(ctx, "SELECT round, cut_over FROM stint_catchup WHERE job = $1"+d.words().lockingRead(), []any{job}, func(scan func(...any) error) error {
		var over int
		err := scan(&round, &over)
		cutOver, found = over == 1, true
		return err
	})
	return
}

// holds is an error when the round is not the last one any more, or when the migration was cut over: an attempt that was taken for
// dead must not bring an old state of a row over a newer one. It is the last thing that a transaction does: who holds what it holds
// waits for nothing any more.
func (k *KeepRows) holds(ctx context.Context, q querier, d Dialect) error {
	round, over, _, err := standing(ctx, q, d, k.Job)
	switch {
	case err != nil:
		return err
	case over:
		return errCutOver(k.Job)
	case round != k.Round:
		return errSuperseded(k.Job)
	}
	return nil
}

func errCutOver(job string) error {
	return tasks.Permanent(tasks.WithHint(nil, "what was changed in the source since belongs to nobody: bring it over by hand, or migrate into another database",
		"job %s was cut over: the target is on its own", job))
}

// BeginRound gives a round the right to write, and takes it from the round before. It may be called again.
func BeginRound(ctx context.Context, db *DB, k *KeepRows) error {
	err := inTransaction(ctx, db, func(q querier) error {
		now, over, found, err := standing(ctx, q, db.Dialect, k.Job)
		switch {
		case err != nil:
			return err
		case !found:
			return tasks.Permanent(tasks.WithHint(nil, "migrate into another database with --catch-up from the beginning",
				"job %s has kept nothing of its rows, so nobody can tell what has changed since", k.Job))
		case over:
			return errCutOver(k.Job)
		case now == k.Round:
			return nil
		}
		known := 0
		if err := q.queryAll(ctx, "SELECT 1 FROM stint_rounds WHERE job = $1 AND stage = '' AND round = $2", []any{k.Job, k.Round},
			func(scan func(...any) error) error { return scan(&known) }); err != nil {
			return err
		}
		if known == 1 {
			return errSuperseded(k.Job)
		}
		if err := q.exec(ctx, "INSERT INTO stint_rounds (job, stage, round, mark, taken_at, complete) VALUES ($1, '', $2, '', 0, 0)", k.Job, k.Round); err != nil {
			return err
		}
		return q.exec(ctx, "UPDATE stint_catchup SET round = $1 WHERE job = $2", k.Round, k.Job)
	})
	if err != nil {
		return fmt.Errorf("begin a round: %w", Classify(err))
	}
	return nil
}

// EndRound says that a round has brought everything; with cutOver there will be no other. It may be called again.
func EndRound(ctx context.Context, db *DB, k *KeepRows, cutOver bool) error {
	err := inTransaction(ctx, db, func(q querier) error {
		now, over, _, err := standing(ctx, q, db.Dialect, k.Job)
		switch {
		case err != nil:
			return err
		case now != k.Round:
			return errSuperseded(k.Job)
		case over:
			return nil
		}
		if err := q.exec(ctx, "UPDATE stint_rounds SET complete = 1 WHERE job = $1 AND round = $2", k.Job, k.Round); err != nil || !cutOver {
			return err
		}
		return q.exec(ctx, "UPDATE stint_catchup SET cut_over = 1 WHERE job = $1", k.Job)
	})
	if err != nil {
		return fmt.Errorf("end a round: %w", Classify(err))
	}
	return nil
}

// ForgetRounds deletes what the ledger has of the rounds before this one, which nobody asks for any more: of many rounds it would
// grow without bound.
func ForgetRounds(ctx context.Context, db *DB, k *KeepRows) error {
	err := inTransaction(ctx, db, func(q querier) error {
		for _, table := range []string{"stint_ledger", "stint_chunks"} {
			// Looked for first, as some servers lock each row that a DELETE looks at.
			var rounds []string
			err := q.queryAll(ctx, "SELECT DISTINCT r.round FROM stint_rounds r JOIN "+table+" l ON l.job = r.round WHERE r.job = $1 AND r.stage = '' AND r.round <> $2",
				[]any{k.Job, k.Round}, func(scan func(...any) error) error {
					var round string
					err := scan(&round)
					rounds = append(rounds, round)
					return err
				})
			if err != nil {
				return err
			}
			if err := deleteKeys(ctx, q, db.Dialect, "DELETE FROM "+table+" WHERE job IN ", rounds); err != nil {
				return err
			}
		}
		return k.holds(ctx, q, db.Dialect)
	})
	if err != nil {
		return fmt.Errorf("forget rounds: %w", Classify(err))
	}
	return nil
}

// SaveMark keeps how far a column that grows with each change had come at a moment, before the round reads anything. What was kept
// first holds.
func SaveMark(ctx context.Context, db *DB, k *KeepRows, mark RowKey, at time.Time) error {
	err := db.exec(ctx, db.Dialect.words().insertNew("INSERT INTO stint_rounds (job, stage, round, mark, taken_at, complete) VALUES ($1, $2, $3, $4, $5, 0)", "job, stage, round"),
		k.Job, k.Stage, k.Round, mark.String(), at.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep a mark: %w", Classify(err))
	}
	return nil
}

// MarkBefore returns the mark of the last complete round that took it before a moment; nil when there is none.
func MarkBefore(ctx context.Context, db *DB, k *KeepRows, before time.Time) (RowKey, error) {
	text := ""
	err := db.queryAll(ctx, "SELECT mark FROM stint_rounds WHERE job = $1 AND stage = $2 AND complete = 1 AND taken_at <= $3 ORDER BY taken_at DESC LIMIT 1",
		[]any{k.Job, k.Stage, before.UnixMilli()}, func(scan func(...any) error) error { return scan(&text) })
	if err != nil {
		return nil, fmt.Errorf("read a mark: %w", Classify(err))
	}
	return ParseRowKey(text)
}

// Doubt makes every row of some stages look changed, to this round if it has still to come to them, else to the next.
func Doubt(ctx context.Context, db *DB, k *KeepRows, stages []string) error {
	if len(stages) == 0 {
		return nil
	}
	err := inTransaction(ctx, db, func(q querier) error {
		list := literals(db.Dialect, stages)
		if err := q.exec(ctx, "UPDATE stint_rows"+keptRows(db.Dialect, nil).hint+" SET hash = 0 WHERE job = $1 AND hash <> 0 AND stage IN "+list, k.Job); err != nil {
			return err
		}
		if err := q.exec(ctx, "UPDATE stint_rounds SET mark = '' WHERE job = $1 AND stage IN "+list, k.Job); err != nil { // no mark: each row is compared
			return err
		}
		return k.holds(ctx, q, db.Dialect)
	})
	if err != nil {
		return fmt.Errorf("doubt rows: %w", Classify(err))
	}
	return nil
}

// RoundWritten returns how many rows a round has written or deleted, by the ledger.
func RoundWritten(ctx context.Context, db *DB, round string) (n int64, err error) {
	err = queryRow(ctx, db, "SELECT "+db.Dialect.words().bigint("coalesce(sum(rows_written), 0)")+" FROM stint_ledger WHERE job = $1", []any{round}, &n)
	if err != nil {
		return 0, fmt.Errorf("add up the ledger: %w", Classify(err))
	}
	return n, nil
}

// StaleCount counts the rows of the target that should go and to which others refer.
func StaleCount(ctx context.Context, db *DB, k *KeepRows) (n int64, err error) {
	err = queryRow(ctx, db, "SELECT count(*) FROM stint_rows WHERE job = $1 AND stage = $2 AND stale = 1", []any{k.Job, k.Stage}, &n)
	if err != nil {
		return 0, fmt.Errorf("read stint_rows: %w", Classify(err))
	}
	return n, nil
}
