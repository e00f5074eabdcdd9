package migration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// stageRepair is under what the ledger has the batches that mended a stage. The steps have the name of the one that compared, and
// behind it what was done.
const (
	stageRepair = "repair:"
	inserted    = ":inserted"
	overwritten = ":overwritten"
	deleted     = ":deleted"
)

// mendRows is how many rows a batch mends.
const mendRows = 200

// faults are what a comparison found, by what mends it.
type faults struct {
	missing, differing, extra []sqldb.RowKey
	found                     map[string]tasks.Finding // by table, key and column
}

func (w *faults) tell(f tasks.Finding, d sqldb.Difference) bool {
	if w.found == nil {
		w.found = map[string]tasks.Finding{}
	}
	w.found[f.Subject+"\x00"+f.Key+"\x00"+f.Field] = f
	switch last := len(w.differing) - 1; {
	case d.Key == nil: // of numbers of rows
	case d.Kind == sqldb.DiffMissing:
		w.missing = append(w.missing, d.Key)
	case d.Kind == sqldb.DiffExtra:
		w.extra = append(w.extra, d.Key)
	case last < 0 || !w.differing[last].Equal(d.Key): // the cells of a row come one after another
		w.differing = append(w.differing, d.Key)
	}
	return true
}

// mend compares a chunk, mends what differs, and compares again: what differs then is told.
func (c *check) mend(ctx, reading context.Context, f *Family, a *tasks.Attempt) error {
	chunk, err := chunkOf(a)
	if err != nil {
		return err
	}
	before := &faults{}
	r, err := c.compare(reading, f, a.Stage, chunk, before.tell)
	if err != nil {
		return err
	}
	left := before
	if len(before.found) > 0 {
		if err := sqldb.EnsureLedger(ctx, c.dst); err != nil {
			return err
		}
		if err := c.mendFaults(ctx, reading, a, before); err != nil {
			return err
		}
		left = &faults{}
		if r, err = c.compare(reading, f, a.Stage, chunk, left.tell); err != nil {
			return err
		}
	}
	left.report(a)
	c.report(a, r)
	return nil
}

// report tells what still differs. What was mended is in the ledger.
func (w *faults) report(a *tasks.Attempt) {
	n := 0
	for _, key := range slices.Sorted(maps.Keys(w.found)) {
		if n++; n <= maxDifferences {
			a.Report(w.found[key])
		}
	}
	if n > maxDifferences {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Message: fmt.Sprintf("%d more differences in one chunk are not named", n-maxDifferences)})
	}
}

// mendFaults writes what is missing or differs once more, and deletes what is too much.
func (c *check) mendFaults(ctx, reading context.Context, a *tasks.Attempt, w *faults) error {
	if c.detail.Of != nil {
		if c.repair != RepairDelete {
			return nil
		}
		return c.deleteExtra(ctx, a, strings.TrimPrefix(a.Stage.Name, stageExtras), w.extra)
	}
	if c.stage.To.Table == "" || !sqldb.IsKey(&c.detail.Target, c.how.Key) || c.walk.Kind != sqldb.WalkKey {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: c.stage.Name, Message: "cannot be mended: its rows have no key by which one could be written again"})
		return nil
	}
	c.opts.Key = c.how.Key
	return c.rewrite(ctx, reading, a, c.stage.Name, w)
}

// rewrite loads the rows of some keys again.
func (l *load) rewrite(ctx, reading context.Context, a *tasks.Attempt, stage string, w *faults) error {
	n := 0
	for _, part := range []struct {
		what string
		keys []sqldb.RowKey
	}{{inserted, w.missing}, {overwritten, w.differing}} {
		for len(part.keys) > 0 {
			keys := part.keys[:min(mendRows, len(part.keys))]
			part.keys = part.keys[len(keys):]
			if a.IsDraining() {
				return tasks.ErrDrained
			}
			n++
			if err := l.rewriteKeys(ctx, reading, a, stage, part.what, keys, sqldb.RowKey{a.ID, int64(n)}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *load) rewriteKeys(ctx, reading context.Context, a *tasks.Attempt, stage, what string, keys []sqldb.RowKey, from sqldb.RowKey) error {
	batches, err := sqldb.NewKeyBatcher(reading, l.src, l.m, l.walk, l.to, keys, from, from, sqldb.Limits{})
	if err != nil {
		return err
	}
	defer batches.Close()
	o := l.opts
	o.Mode = sqldb.ModeUpsert
	o.Job, o.Stage, o.Step, o.Worker, o.Attempt, o.Draining = a.Job.ID, stageRepair+stage, a.Step.ID+what, a.Worker, a.ID, a.Draining
	loader, err := sqldb.NewLoader(reading, l.dst, l.m, o)
	if err != nil {
		return err
	}
	defer loader.Close()
	batch, err := batches.Next()
	if err != nil {
		return err
	}
	defer batch.Release()
	_, err = loader.Load(ctx, batch)
	return err
}

func (c *check) deleteExtra(ctx context.Context, a *tasks.Attempt, table string, keys []sqldb.RowKey) error {
	if len(keys) == 0 {
		return nil
	}
	key := c.detail.keyOf(c.spec.planned(c.detail.Of[0].Name))
	if !sqldb.IsKey(&c.detail.Target, key) {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: table, Message: "nothing is deleted: its rows have no key by which one could be told from another"})
		return nil
	}
	o := sqldb.LoaderOptions{Job: a.Job.ID, Stage: stageRepair + table, Step: a.Step.ID + deleted, Worker: a.Worker, Attempt: a.ID}
	_, err := sqldb.DeleteRows(ctx, c.dst, &c.detail.Target, key, keys, o, sqldb.RowKey{a.ID})
	return err
}

// mendTable is mend for a table as it is. The step that looks for rows that only the target has deletes them, the others do not see
// them then.
func (f *Verifier) mendTable(ctx, reading context.Context, a *tasks.Attempt, l *load, spec VerifySpec) error {
	extras := strings.HasPrefix(a.Stage.Name, stageExtras)
	deletes := spec.Repair == RepairDelete && sqldb.ModeOf(l.m, l.walk) != sqldb.CompareMultiset
	chunk, err := chunkOf(a)
	if err != nil {
		return err
	}
	compare := func(w *faults) (r sqldb.CompareResult, err error) {
		tell := func(d sqldb.Difference) bool {
			return deletes && !extras && d.Kind == sqldb.DiffExtra || w.tell(findingOf(d), d)
		}
		switch {
		case !extras:
			return sqldb.CompareRange(reading, l.src, l.dst, l.m, l.walk, chunk.From, chunk.To, spec.Job, tell)
		case !deletes:
			return r, f.extras(reading, l.src, l.dst, spec, l.m, l.walk, tell)
		}
		_, err = sqldb.FindExtra(reading, l.src, l.dst, l.m, l.walk, tell)
		return r, err
	}
	before := &faults{}
	r, err := compare(before)
	if err != nil {
		return err
	}
	left := before
	if len(before.found) > 0 {
		if err := sqldb.EnsureLedger(ctx, l.dst); err != nil {
			return err
		}
		if err := f.mendRows(ctx, reading, a, l, spec, before); err != nil {
			return err
		}
		left = &faults{}
		if r, err = compare(left); err != nil {
			return err
		}
	}
	left.report(a)
	if !extras {
		a.Count(tasks.Counters{Read: r.SourceRows, Written: r.Equal, Quarantined: r.Quarantined})
	}
	return nil
}

// mendRows mends rows of a table as it is.
func (f *Verifier) mendRows(ctx, reading context.Context, a *tasks.Attempt, l *load, spec VerifySpec, w *faults) error {
	table := l.source.FullName()
	key := l.m.Targets(l.walk.Columns)
	if l.walk.Kind != sqldb.WalkKey || !sqldb.IsKey(l.m.Target, key) {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: table, Message: "cannot be mended: its rows have no key by which one could be written again"})
		return nil
	}
	if !strings.HasPrefix(a.Stage.Name, stageExtras) {
		l.opts.Key, l.opts.Rules = key, true
		return l.rewrite(ctx, reading, a, table, w)
	}
	if spec.Repair != RepairDelete {
		return nil
	}
	owner := spec.Job
	if owner == "" {
		owner = sqldb.AnyJob
	}
	if own, err := sqldb.Claimed(reading, l.dst, l.m.Target, owner); err != nil || !own {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: table, Message: "nothing is deleted: no migration has made this table"})
		return err
	}
	o := sqldb.LoaderOptions{Job: a.Job.ID, Stage: stageRepair + table, Step: a.Step.ID + deleted, Worker: a.Worker, Attempt: a.ID}
	_, err := sqldb.DeleteRows(ctx, l.dst, l.m.Target, key, w.extra, o, sqldb.RowKey{a.ID})
	return err
}
