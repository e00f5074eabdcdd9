package migration

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// runSchema carries out a step on one table's definition. Every statement may be run again.
func (f *Family) runSchema(ctx context.Context, a *tasks.Attempt) error {
	if a.IsDraining() {
		return tasks.ErrDrained
	}
	spec, err := parseSpec(a.Job)
	if err != nil {
		return err
	}
	var d schemaDetail
	if err := json.Unmarshal(a.Stage.Detail, &d); err != nil {
		return tasks.Permanent(fmt.Errorf("read stage %s: %w", a.Stage.Name, err))
	}
	i, err := strconv.Atoi(a.Step.ID)
	if err != nil || i < 0 || i >= len(d.Tables) {
		return tasks.Permanent(fmt.Errorf("stage %s has no step %q", a.Stage.Name, a.Step.ID))
	}
	// A statement that takes long, such as an index, is cut off by a drain: it leaves nothing behind, and the next attempt makes
	// it anew.
	ctx, cancel := a.UntilDraining(ctx)
	defer cancel()
	dst, err := f.dbs.target(ctx, spec.Target)
	if err == nil && spec.KeepRows && a.Stage.Name == stageForeignKeys && dst.Dialect.ChecksEachRow() {
		if len(d.Tables[i].ForeignKeys) > 0 { // rounds would not get rows past them that refer to each other
			a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: d.Tables[i].FullName(), Message: "its foreign keys are added by the cutover"})
		}
		return nil
	}
	if err == nil {
		err = f.define(ctx, dst, a, &d, i)
		if spec.KeepRows && sqldb.IsUnsettled(err) {
			a.Report(postponed(&d.Tables[i]))
			err = nil
		}
	}
	return unlessDraining(a, err)
}

// unlessDraining returns an error of work on a context of UntilDraining; while the attempt drains it is no failure.
func unlessDraining(a *tasks.Attempt, err error) error {
	if err != nil && a.IsDraining() {
		return tasks.ErrDrained
	}
	return err
}

// define makes what this stage wants of table i.
func (f *Family) define(ctx context.Context, dst *sqldb.DB, a *tasks.Attempt, d *schemaDetail, i int) error {
	t := &d.Tables[i]
	switch a.Stage.Name {
	case stageSchema:
		if i == 0 {
			for _, finding := range d.Findings {
				a.Report(finding)
			}
		}
		if d.Planned { // the claim first: it says afterwards that the table is ours
			if err := sqldb.Claim(ctx, dst, t, a.Job.ID); err != nil {
				return err
			}
		}
		if err := sqldb.EnsureTable(ctx, dst, t); err != nil || d.Planned {
			return err
		}
		load := stageLoad + d.Sources[i]
		if err := expected(ctx, dst, a.Job.ID, load, t); err != nil {
			return err
		}
		// A table that is loaded to its end has the foreign keys that this migration has added.
		if left, err := sqldb.Unfinished(ctx, dst, a.Job.ID, []string{load}); err != nil || len(left) == 0 {
			return err
		}
		return sqldb.CheckLoadable(ctx, dst, t)
	case stageIndexes:
		leftOut, err := sqldb.FinishTable(ctx, dst, t)
		reportLeftOut(a, t, leftOut)
		return err
	case stageForeignKeys:
		orphans, err := sqldb.ReferTable(ctx, dst, t)
		for _, o := range orphans {
			a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: t.FullName(), Message: orphanText(o)})
		}
		return err
	}
	return tasks.Permanent(fmt.Errorf("a migration has no stage %q", a.Stage.Name))
}

// reportLeftOut notes which indexes a table has to do without.
func reportLeftOut(a *tasks.Attempt, t *sqldb.Table, indexes []string) {
	for _, text := range indexes {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: t.FullName(), Message: text})
	}
}

// expected refuses a table that does not hold what the ledger says of it: rows which this migration has not put there could not
// be told apart afterwards, and rows which are gone would not be loaded again.
func expected(ctx context.Context, dst *sqldb.DB, job, stage string, t *sqldb.Table) error {
	chunks, err := sqldb.SavedChunks(ctx, dst, job, stage, -1, 1)
	if err != nil {
		return err
	}
	if len(chunks) > 0 {
		return stillThere(ctx, dst, job, stage, t)
	}
	rows, err := sqldb.HasRows(ctx, dst, t)
	if err != nil || !rows {
		return err
	}
	return tasks.Permanent(tasks.WithHint(nil, "empty the table, choose other tables with --tables, or migrate into another database",
		"table %s of the target holds rows already, and not from this migration", t.FullName()))
}

// stillThere refuses a table without rows where the ledger says that this migration has written some: somebody has dropped or
// emptied it, and what the ledger knows is not loaded a second time.
func stillThere(ctx context.Context, dst *sqldb.DB, job, stage string, t *sqldb.Table) error {
	totals, err := sqldb.StageTotals(ctx, dst, job, stage)
	if err != nil || totals.Written == 0 {
		return err
	}
	rows, err := sqldb.HasRows(ctx, dst, t)
	if err != nil || rows {
		return err
	}
	var forget []string
	for _, table := range []string{"stint_ledger", "stint_chunks", "stint_quarantine"} {
		forget = append(forget, fmt.Sprintf("DELETE FROM %s WHERE job = %s AND stage = %s;", table, dst.Dialect.Literal(job), dst.Dialect.Literal(stage)))
	}
	return tasks.Permanent(tasks.WithHint(nil, "bring the rows back; or let them be loaded anew: run this in the target, then the same command again: "+
		strings.Join(forget, " "), "the ledger says that %d rows of this migration are in %s, but the table is empty", totals.Written, t.FullName()))
}

// postponed says that a key of a table has to wait. Rows of a live source are read at different moments, so that for a while what is
// unique there need not be so in the target.
func postponed(t *sqldb.Table) tasks.Finding {
	return tasks.Finding{Level: tasks.LevelNote, Subject: t.FullName(), Message: "a unique key waits for a later round: rows have changed while they were read"}
}

func orphanText(o sqldb.Orphans) string {
	text := fmt.Sprintf("%d rows name a row of %s that is not there", o.Rows, o.Parent)
	if o.Constraint != "" {
		text = "foreign key " + o.Constraint + ": " + text
	}
	if o.Enforced {
		text += "; it holds for new rows and stays unvalidated"
	}
	return text
}
