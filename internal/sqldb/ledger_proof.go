package sqldb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stint-run/stint/tasks"
)

// StageProof is what a ledger proves of a stage.
type StageProof struct {
	Stage       string
	Step        string // "" for all of the stage's steps together
	Counters    tasks.Counters
	Commits     int64
	First, Last time.Time // zero when the database's clock could not be read
	Workers     []string  // in order
	Hash        uint64    // the sum of the hashes of all batches: of their stage, step, borders and checksum
}

// Proof adds up what the ledger of a target says of a job, stage by stage in the order of their names; nothing when there is no ledger.
// bySteps keeps the steps apart.
func Proof(ctx context.Context, db *DB, job string, bySteps bool) ([]StageProof, error) {
	there, err := HasTable(ctx, db, &Table{Name: "stint_ledger"})
	if err != nil || !there {
		return nil, err
	}
	var all []StageProof
	at := map[[2]string]int{}
	err = db.queryAll(ctx, "SELECT stage, step, from_key, to_key, checksum, rows_read, rows_written, rows_quarantined, rows_skipped, bytes, worker, committed_at FROM stint_ledger WHERE job = $1",
		[]any{job}, func(scan func(...any) error) error {
			var stage, step, from, to, checksum, worker string
			var c tasks.Counters
			var when any
			if err := scan(&stage, &step, &from, &to, &checksum, &c.Read, &c.Written, &c.Quarantined, &c.Skipped, &c.Bytes, &worker, &when); err != nil {
				return err
			}
			key := [2]string{stage}
			if bySteps {
				key[1] = step
			}
			i, ok := at[key]
			if !ok {
				i = len(all)
				at[key] = i
				all = append(all, StageProof{Stage: stage, Step: key[1]})
			}
			p := &all[i]
			p.Counters, p.Commits = p.Counters.Add(c), p.Commits+1
			p.Hash += xxhash.Sum64String(stage + "\x00" + step + "\x00" + from + "\x00" + to + "\x00" + checksum)
			if t := committedAt(when); !t.IsZero() {
				if p.First.IsZero() || t.Before(p.First) {
					p.First = t
				}
				if t.After(p.Last) {
					p.Last = t
				}
			}
			if n, found := slices.BinarySearch(p.Workers, worker); !found {
				p.Workers = slices.Insert(p.Workers, n, worker)
			}
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("add the ledger up: %w", Classify(err))
	}
	slices.SortFunc(all, func(a, b StageProof) int { return slices.Compare([]string{a.Stage, a.Step}, []string{b.Stage, b.Step}) })
	return all, nil
}

// committedAt reads a time of the ledger in whatever form a driver gives it.
func committedAt(v any) time.Time {
	text := ""
	switch v := v.(type) {
	case time.Time:
		return v.UTC()
	case string:
		text = v
	case []byte:
		text = string(v)
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// SetAsideReason is why rows of a stage were set aside.
type SetAsideReason struct {
	Stage, Column, Code string
	Example             string // one of the reasons, always the same of the same rows
	Rows                int64
}

// SetAsideReasons counts the rows of a job that are set aside, by stage, column and code, the most frequent first.
func SetAsideReasons(ctx context.Context, db *DB, job string) ([]SetAsideReason, error) {
	var all []SetAsideReason
	err := queryQuarantine(ctx, db, "SELECT stage, column_name, code, min(reason), count(*) FROM stint_quarantine WHERE job = $1 "+
		"GROUP BY stage, column_name, code ORDER BY count(*) DESC, stage, column_name, code", []any{job}, func(scan func(...any) error) error {
		var r SetAsideReason
		err := scan(&r.Stage, &r.Column, &r.Code, &r.Example, &r.Rows)
		all = append(all, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count the quarantine: %w", Classify(err))
	}
	return all, nil
}
