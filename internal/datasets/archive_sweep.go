package datasets

import (
	"context"
	"fmt"

	"github.com/stint-run/stint/internal/artifact"
)

// SweepOrphans removes the artifacts of a data set, below prefix, that no part of any job names, and returns how many: those whose
// transaction never was committed. It holds the locks that DeleteBatch holds, so that no artifact is on its way to be named.
func (s *Store) SweepOrphans(ctx context.Context, job string, set ID, from artifact.Store, prefix string) (removed int, err error) {
	err = s.inTx(ctx, func(t *txn) error {
		removed = 0
		if _, err := s.readSet(ctx, t, set, t.forUpdate()); err != nil {
			return err
		}
		if _, err := t.deletion(ctx, job, set); err != nil {
			return err
		}
		named, err := t.namedArtifacts(ctx, set)
		if err != nil {
			return err
		}
		const page = 1000
		for after := ""; ; {
			list, err := from.List(ctx, archivePrefix(prefix, set), after, page)
			if err != nil {
				return err
			}
			for _, info := range list {
				after = info.Key
				if named[info.Key] {
					continue
				}
				if err := from.Delete(ctx, info.Key); err != nil {
					return err
				}
				removed++
			}
			if len(list) < page {
				return nil
			}
		}
	})
	if err != nil {
		return 0, fmt.Errorf("remove what attempts have left of data set %s: %w", set, err)
	}
	return removed, nil
}

// namedArtifacts are the keys that parts of a data set name, of any job.
func (t *txn) namedArtifacts(ctx context.Context, set ID) (map[string]bool, error) {
	named := map[string]bool{}
	err := t.each(ctx, "SELECT artifact FROM stint_deletion_parts WHERE customer = ? AND data_set = ?", []any{set.Customer, set.Database},
		func(scan func(...any) error) error {
			var key string
			err := scan(&key)
			named[key] = true
			return err
		})
	return named, err
}
