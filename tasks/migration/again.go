package migration

import (
	"context"
	"errors"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// againStages are the stages of a job that tries rows again which another has set aside.
func (d *drafted) againStages() ([]tasks.Stage, error) {
	b := &stageList{}
	b.add(stageSchema, nil, schemaDetail{Planned: true}, 0)
	before := []string{stageSchema}
	for _, i := range d.referredFirst() {
		name := stageAgain + d.plan.Stages[i].Name
		b.add(name, before, d.stages[i].detail, 0)
		before = []string{name} // one after the other: rows of one may wait for rows of another
		if d.plan.Stages[i].To.File != nil {
			b.add(stageFiles+d.plan.Stages[i].Name, before, d.stages[i].detail, 0)
		}
	}
	return b.stages, b.err
}

// referredFirst returns the stages of the plan, each behind those that it refers to as far as that can be.
func (d *drafted) referredFirst() []int {
	var order []int
	seen := make([]bool, len(d.stages))
	var visit func(i int)
	visit = func(i int) {
		if seen[i] {
			return
		}
		seen[i] = true
		for _, name := range d.stages[i].detail.Refers {
			visit(d.index(name))
		}
		order = append(order, i)
	}
	for i := range d.stages {
		visit(i)
	}
	return order
}

// runAgain tries rows again that are set aside: within a migration those that referred to rows which were not there yet, and in a
// job of its own all those of another.
func (f *Family) runAgain(ctx context.Context, a *tasks.Attempt) error {
	reading, cancel := a.UntilDraining(ctx)
	defer cancel()
	l, err := f.loadOf(reading, a.Job, a.Stage)
	if err != nil {
		return unlessDraining(a, err)
	}
	job, only := a.Job.ID, sqldb.CodeDeferred
	if l.spec.Again != "" {
		job, only = l.spec.Again, ""
		l.opts.Stop = false // who sends rows again wants to know of all that still fail
	}
	again := &sqldb.Again{Job: job, Stage: stageLoad + strings.TrimPrefix(a.Stage.Name, stageAgain)}
	l.opts.Again = again
	n := int64(0)
	for {
		before, err := sqldb.StageTotals(reading, l.dst, a.Job.ID, a.Stage.Name)
		if err != nil {
			return unlessDraining(a, err)
		}
		moved, err := f.tryAll(ctx, reading, a, l, only, &n)
		switch {
		case err != nil:
			return err
		case moved: // what has been loaded may be what others wait for
			continue
		}
		if err := l.stopAt(reading, again); err != nil {
			return unlessDraining(a, err)
		}
		done, err := sqldb.GiveUpWaiting(ctx, l.dst, again, a.Job.ID, a.Stage.Name, before)
		if err != nil {
			return err
		}
		if done {
			break
		}
	}
	totals, err := l.againTotals(reading, a, again)
	if err != nil {
		return unlessDraining(a, err)
	}
	a.Count(totals)
	return l.tooMany(ctx, a.Job.ID)
}

// tryAll tries each row once that is set aside, and reports whether any of them is so no more.
func (f *Family) tryAll(ctx, reading context.Context, a *tasks.Attempt, l *load, only string, n *int64) (moved bool, err error) {
	for after := ""; ; {
		if err := f.settle(reading, a, l); err != nil {
			return moved, unlessDraining(a, err)
		}
		keys, last, err := sqldb.SetAside(reading, l.dst, l.opts.Again, only, after, 200)
		if err != nil {
			return moved, unlessDraining(a, err)
		}
		if len(keys) == 0 {
			return moved, nil
		}
		after = last
		*n++
		from := sqldb.RowKey{a.ID, *n} // unlike any other of this step; what keeps a row from being loaded twice is that it is set aside once
		done, err := f.tryKeys(ctx, reading, a, l, keys, from)
		switch {
		case errors.Is(err, sqldb.ErrTaken) && ctx.Err() == nil:
			return true, nil // somebody else has loaded some of them: look again which are left
		case err != nil:
			return moved, err
		}
		moved = moved || done.Written+done.Skipped > 0
		totals, err := l.againTotals(reading, a, l.opts.Again)
		if err != nil {
			return moved, unlessDraining(a, err)
		}
		a.Count(totals)
	}
}

// againTotals counts what has become of the rows that were tried again, by the ledger. Within a migration their load has read them.
func (l *load) againTotals(ctx context.Context, a *tasks.Attempt, again *sqldb.Again) (tasks.Counters, error) {
	totals, err := sqldb.StageTotals(ctx, l.dst, a.Job.ID, a.Stage.Name)
	if err != nil {
		return totals, err
	}
	if totals.Quarantined, err = sqldb.SetAsideCount(ctx, l.dst, again, ""); err != nil {
		return totals, err
	}
	if l.spec.Again != "" {
		totals.Read = totals.Written + totals.Skipped + totals.Quarantined
		return totals, nil
	}
	loaded, err := sqldb.StageTotals(ctx, l.dst, again.Job, again.Stage)
	totals.Read, totals.Quarantined = 0, max(0, totals.Quarantined-loaded.Quarantined)
	return totals, err
}

// stopAt is an error when a row waits for another in vain, and the plan stops at the first that cannot be loaded.
func (l *load) stopAt(ctx context.Context, again *sqldb.Again) error {
	if !l.opts.Stop {
		return nil
	}
	keys, _, err := sqldb.SetAside(ctx, l.dst, again, sqldb.CodeDeferred, "", 1)
	if err != nil || len(keys) == 0 {
		return err
	}
	return tasks.Permanent(tasks.WithHint(nil, "mend the row or the plan, then retry; or let rows be set aside with policy.on_reject: quarantine",
		"row %s cannot be loaded: it refers to a row that has not been loaded", keys[0]))
}

// tryKeys tries the rows of some keys.
func (f *Family) tryKeys(ctx, reading context.Context, a *tasks.Attempt, l *load, keys []sqldb.RowKey, from sqldb.RowKey) (tasks.Counters, error) {
	batches, err := sqldb.NewKeyBatcher(reading, l.src, l.m, l.walk, l.to, keys, from, from, sqldb.Limits{})
	if err != nil {
		return tasks.Counters{}, unlessDraining(a, err)
	}
	defer batches.Close()
	w, err := f.writer(reading, a, l, from)
	if err != nil {
		return tasks.Counters{}, unlessDraining(a, err)
	}
	defer w.Close()
	batch, err := batches.Next()
	if err != nil {
		return tasks.Counters{}, unlessDraining(a, err)
	}
	defer batch.Release()
	if a.IsDraining() {
		return tasks.Counters{}, tasks.ErrDrained
	}
	done, err := w.Load(ctx, batch)
	return done.Counters, err
}
