package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/idmap"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/migration/plan"
)

// Split lists the steps of a stage: chunks of rows, or tables.
func (f *Family) Split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	spec, err := parseSpec(job)
	if err != nil {
		return nil, nil, err
	}
	leave, err := f.enter(ctx, spec)
	if err != nil {
		return nil, nil, err
	}
	defer leave()
	switch {
	case isCheck(stage.Name):
		return f.splitCheck(ctx, job, spec, stage, after, limit)
	case strings.HasPrefix(stage.Name, stageLoad):
		return f.splitLoad(ctx, job, stage, after, limit)
	case strings.HasPrefix(stage.Name, stageAgain), strings.HasPrefix(stage.Name, stageFiles):
		return []tasks.Step{{ID: "0"}}, nil, nil
	}
	var d schemaDetail
	if err := json.Unmarshal(stage.Detail, &d); err != nil {
		return nil, nil, tasks.Permanent(fmt.Errorf("read stage %s: %w", stage.Name, err))
	}
	if stage.Name == stageSchema && after == nil {
		if err := f.prepareTarget(ctx, job, d.Enums); err != nil {
			return nil, nil, err
		}
	}
	if stage.Name == stageIndexes && after == nil {
		if err := f.allLoaded(ctx, job, &d); err != nil {
			return nil, nil, err
		}
	}
	from := 0
	if after != nil {
		from, _ = strconv.Atoi(string(after))
	}
	var steps []tasks.Step
	for i := from; i < len(d.Tables) && len(steps) < limit; i++ {
		steps = append(steps, tasks.Step{ID: strconv.Itoa(i)})
	}
	if from+len(steps) < len(d.Tables) {
		return steps, tasks.Cursor(strconv.Itoa(from + len(steps))), nil
	}
	return steps, nil, nil
}

// allLoaded sees that the target still has every chunk that it has confirmed, and that no table has been emptied meanwhile.
func (f *Family) allLoaded(ctx context.Context, job tasks.Job, d *schemaDetail) error {
	spec, err := parseSpec(job)
	if err != nil {
		return err
	}
	dst, err := f.dbs.target(ctx, spec.state())
	if err != nil {
		return err
	}
	missing, err := sqldb.Unfinished(ctx, dst, job.ID, d.Loads)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return tasks.Permanent(tasks.WithHint(nil, "did the server crash with synchronous_commit=off, or a replica take over? Run the same command again: it loads what is missing",
			"the target has lost batches that it had confirmed, in %s", strings.Join(missing, ", ")))
	}
	if d.Planned {
		return nil
	}
	for i := range d.Loads {
		if err := stillThere(ctx, dst, job.ID, d.Loads[i], &d.Tables[i]); err != nil {
			return err
		}
	}
	return nil
}

// prepareTarget makes stint's own tables in the target, and the types that its tables need.
func (f *Family) prepareTarget(ctx context.Context, job tasks.Job, enums []sqldb.Enum) error {
	spec, err := parseSpec(job)
	if err != nil {
		return err
	}
	dst, err := f.dbs.target(ctx, spec.state())
	if err != nil {
		return err
	}
	if err := sqldb.EnsureLedger(ctx, dst); err != nil {
		return err
	}
	if err := f.markLoads(ctx, job, &spec, dst); err != nil {
		return err
	}
	if err := f.beginIDs(ctx, job, &spec, dst); err != nil {
		return err
	}
	if spec.KeepRows {
		if err := sqldb.BeginKeeping(ctx, dst, job.ID); err != nil {
			return err
		}
	}
	return sqldb.EnsureTypes(ctx, dst, enums)
}

// splitLoad decides the next chunks of a table. What was decided is kept in the target, so that the chunks stay the same
// when the queue is lost and the source has changed meanwhile. The cursor is the number of the next chunk.
func (f *Family) splitLoad(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	l, err := f.loadOf(ctx, job, stage)
	if err != nil {
		return nil, nil, err
	}
	return splitChunks(ctx, l, job, stage, after, limit)
}

func splitChunks(ctx context.Context, l *load, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	last := int64(-1)
	var err error
	if after != nil {
		if last, err = strconv.ParseInt(string(after), 10, 64); err != nil {
			return nil, nil, tasks.Permanent(fmt.Errorf("read split cursor %q: %w", after, err))
		}
	}
	chunks, err := sqldb.SavedChunks(ctx, l.dst, job.ID, stage.Name, last, limit)
	if err != nil {
		return nil, nil, err
	}
	if len(chunks) == 0 {
		if chunks, err = l.decide(ctx, job, stage, last, limit); err != nil {
			return nil, nil, err
		}
	}
	steps := make([]tasks.Step, len(chunks))
	for i, c := range chunks {
		body, err := json.Marshal(c)
		if err != nil {
			return nil, nil, fmt.Errorf("encode chunk: %w", err)
		}
		steps[i] = tasks.Step{ID: strconv.FormatInt(c.Seq, 10), Body: body}
	}
	end := chunks[len(chunks)-1]
	if end.To == nil {
		return steps, nil, nil
	}
	return steps, tasks.Cursor(strconv.FormatInt(end.Seq, 10)), nil
}

// load is what a load stage works with.
type load struct {
	spec    Spec
	src     *sqldb.DB
	dst     *sqldb.DB // where stint's own tables are: the target, or a database of its own when that is an API or files
	source  *sqldb.Table
	claims  *sqldb.Table // the table that the job alone may load; nil when several may
	walk    sqldb.Walk
	m       *sqldb.Mapping
	stage   *plan.Stage // nil without a plan
	opts    sqldb.LoaderOptions
	to      sqldb.Dialect // what rows are encoded for
	scope   string        // of the map of ids
	ids     *idmap.Scope  // keeps the ids of what an API is sent; nil: stint_ids does
	settled settled       // of files: where the rows stand that are tried again
}

func (f *Family) loadOf(ctx context.Context, job tasks.Job, stage tasks.Stage) (*load, error) {
	l := &load{}
	var err error
	if l.spec, err = parseSpec(job); err != nil {
		return nil, err
	}
	if l.src, err = f.dbs.source(ctx, l.spec.Source); err != nil {
		return nil, err
	}
	if l.dst, err = f.dbs.target(ctx, l.spec.state()); err != nil {
		return nil, err
	}
	l.to = l.dst.Dialect
	if l.spec.Plan != nil {
		return l, f.planned(ctx, l, job, stage)
	}
	d := &tableDetail{}
	if err := json.Unmarshal(stage.Detail, d); err != nil {
		return nil, tasks.Permanent(fmt.Errorf("read stage %s: %w", stage.Name, err))
	}
	l.source, l.claims, l.walk = &d.Source, &d.Target, sqldb.WalkOf(&d.Source)
	l.opts.Rules = l.spec.Again != "" // the foreign keys are there by then
	target, err := f.asThere(ctx, l.dst, job, stage, &d.Target)
	if err != nil {
		return nil, err
	}
	if l.m, err = sqldb.MapByPlace(&d.Source, target); err != nil {
		return nil, tasks.Permanent(err)
	}
	return l, nil
}

// asThere returns the target of a stage with the types that it has, which may be narrower than those it would have been made with.
// They are read once by each process: the table was there, and checked, before the first step of the stage.
func (f *Family) asThere(ctx context.Context, dst *sqldb.DB, job tasks.Job, stage tasks.Stage, t *sqldb.Table) (*sqldb.Table, error) {
	key := "there:" + job.ID + ":" + stage.Name
	if known, ok := f.plans.Load(key); ok {
		return known.(*sqldb.Table), nil
	}
	target, err := sqldb.AsThere(ctx, dst, t)
	if err != nil {
		return nil, err
	}
	f.forget()
	f.plans.Store(key, target)
	return target, nil
}

// chunkIsGone is the error of a target that has forgotten what it had confirmed.
func chunkIsGone(seq int64, stage string) error {
	return tasks.Permanent(tasks.WithHint(nil, "did the server crash with synchronous_commit=off, or a replica take over? Start the migration again with the same command: the target's ledger says what is left",
		"chunk %d of stage %s is not in the target's ledger any more", seq, stage))
}

// decide finds the borders of the chunks behind number last and keeps them in the target.
func (l *load) decide(ctx context.Context, job tasks.Job, stage tasks.Stage, last int64, limit int) ([]sqldb.Chunk, error) {
	var from sqldb.RowKey
	if last >= 0 {
		before, err := sqldb.SavedChunks(ctx, l.dst, job.ID, stage.Name, last-1, 1)
		if err != nil {
			return nil, err
		}
		if len(before) == 0 {
			return nil, chunkIsGone(last, stage.Name)
		}
		from = before[0].To
	}
	borders, err := sqldb.Boundaries(ctx, l.src, l.source, l.walk, from, l.chunkRows(), limit)
	if err != nil {
		return nil, err
	}
	var chunks []sqldb.Chunk
	for _, b := range borders {
		last++
		chunks = append(chunks, sqldb.Chunk{Seq: last, From: from, To: b})
		from = b
	}
	if len(borders) < limit {
		chunks = append(chunks, sqldb.Chunk{Seq: last + 1, From: from})
	}
	if err := sqldb.EnsureLedger(ctx, l.dst); err != nil { // an older stint, which began this job, did not make all of its tables
		return nil, err
	}
	return sqldb.SaveChunks(ctx, l.dst, l.claims, job.ID, stage.Name, chunks)
}

// Run carries out one attempt of a step.
func (f *Family) Run(ctx context.Context, a *tasks.Attempt) error {
	spec, err := parseSpec(a.Job)
	if err != nil {
		return err
	}
	waiting, cancel := a.UntilDraining(ctx)
	leave, err := f.enter(waiting, spec)
	cancel()
	if err != nil {
		return unlessDraining(a, err)
	}
	defer leave()
	switch {
	case isCheck(a.Stage.Name):
		return f.runCheck(ctx, a, spec)
	case strings.HasPrefix(a.Stage.Name, stageLoad):
		return f.runLoad(ctx, a)
	case strings.HasPrefix(a.Stage.Name, stageAgain):
		return f.runAgain(ctx, a)
	case strings.HasPrefix(a.Stage.Name, stageFiles):
		return f.runFiles(ctx, a)
	default:
		return f.runSchema(ctx, a)
	}
}

// runLoad loads a chunk from where the ledger says that it stands. A drain cuts off all that only reads or waits, so that it does
// not wait for a database that does not answer; a batch that is being written goes on to its end.
func (f *Family) runLoad(ctx context.Context, a *tasks.Attempt) error {
	reading, cancel := a.UntilDraining(ctx)
	defer cancel()
	l, err := f.loadOf(reading, a.Job, a.Stage)
	if err != nil {
		return unlessDraining(a, err)
	}
	var chunk sqldb.Chunk
	if err := json.Unmarshal(a.Step.Body, &chunk); err != nil {
		return tasks.Permanent(fmt.Errorf("read chunk: %w", err))
	}
	return contend(ctx, reading, a, l.dst, func() error { return f.runChunk(ctx, reading, a, l, chunk) })
}

// contend goes through the ledger's rest of a step, again and again, as long as another attempt is at it, too. The lease says that this
// one is to go on.
func contend(ctx, reading context.Context, a *tasks.Attempt, dst *sqldb.DB, once func() error) error {
	for {
		err := once()
		_, passes := tasks.RetryAfterOf(err)
		switch {
		case a.IsDraining() && (passes || sqldb.IsLockTimeout(err)):
			return tasks.ErrDrained // what there is has been committed; whoever comes next waits for what passes
		case sqldb.IsLockTimeout(err):
			// Somebody sits on this step's row of the ledger. It is not the lock that says who may go on, but the lease.
			if err := a.Checkpoint(ctx, a.Cursor()); err != nil {
				return err
			}
			if n, e := sqldb.EndRivals(reading, dst, a.Job.ID, a.Stage.Name, a.Step.ID); e != nil || n == 0 {
				return err
			}
		case !errors.Is(err, sqldb.ErrTaken):
			return err
		}
		// Somebody committed the range that this attempt was about to, or has been cut off: read again where the ledger stands.
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// runChunk goes through the ledger's rest of a chunk once. The context reading ends when the attempt drains.
func (f *Family) runChunk(ctx, reading context.Context, a *tasks.Attempt, l *load, chunk sqldb.Chunk) error {
	from, ended, totals, err := sqldb.Progress(reading, l.dst, a.Job.ID, a.Stage.Name, a.Step.ID)
	if err != nil {
		return unlessDraining(a, err)
	}
	a.Count(totals)
	switch {
	case ended && !from.Equal(chunk.To):
		return tasks.Permanent(tasks.WithHint(nil, "somebody has changed stint_ledger or stint_chunks by hand: restore them, or migrate the table into a new database",
			"the ledger says that step %s of stage %s is done and ends at %q, but its chunk ends at %q", a.Step.ID, a.Stage.Name, from, chunk.To))
	case ended:
		return nil
	}
	// Rows of a chunk that the target has forgotten could not be told from those of others when the migration is started again.
	if kept, err := sqldb.HasChunk(reading, l.dst, a.Job.ID, a.Stage.Name, chunk); err != nil || !kept {
		if err == nil {
			err = chunkIsGone(chunk.Seq, a.Stage.Name)
		}
		return unlessDraining(a, err)
	}
	if a.IsDraining() {
		return tasks.ErrDrained
	}
	if from == nil {
		from = chunk.From
	}
	batches, err := sqldb.NewBatcher(reading, l.src, l.m, l.walk, l.to, from, chunk.To, l.limits())
	if err != nil {
		return unlessDraining(a, err)
	}
	defer batches.Close()
	w, err := f.writer(reading, a, l, from)
	if err != nil {
		return unlessDraining(a, err)
	}
	defer w.Close()
	for {
		batch, err := batches.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unlessDraining(a, err)
		case a.IsDraining(): // what was read is read again by the next attempt; what was committed is in the ledger
			batch.Release()
			return tasks.ErrDrained
		}
		done, err := w.Load(ctx, batch)
		batch.Release()
		totals = totals.Add(done.Counters)
		a.Count(totals)
		if err == nil && done.Counters.Quarantined > 0 {
			err = l.tooMany(ctx, a.Job.ID)
		}
		if err != nil {
			return err
		}
		if done.Done {
			return nil
		}
	}
}
