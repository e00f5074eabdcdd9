package migration

import (
	"context"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// giveUp sets those aside for good that still wait, unless a rival attempt loads some of them.
func (r *round) giveUp(ctx, reading context.Context, a *tasks.Attempt, l *load) error {
	since, err := sqldb.StageTotals(reading, r.dst, a.Job.ID, a.Stage.Name)
	if err != nil {
		return err
	}
	done, err := sqldb.GiveUpWaiting(ctx, r.dst, &l.opts.Rows.Aside, a.Job.ID, a.Stage.Name, since)
	if err == nil && !done {
		err = tasks.ErrStale
	}
	return err
}
