package migration

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// mostTries is how often rows that wait for each other are tried in one round; the next one goes on.
const mostTries = 3

// How many rows are compared, brought and looked for at a time.
const (
	compareRows = 1_000
	bringRows   = 400
)

// Run carries out one attempt of a step.
func (c *CatchUp) Run(ctx context.Context, a *tasks.Attempt) error {
	s, err := parseCatchUp(a.Job)
	if err != nil {
		return err
	}
	reading, cancel := a.UntilDraining(ctx)
	defer cancel()
	leave, err := c.enter(reading, &s)
	if err != nil {
		return unlessDraining(a, err)
	}
	defer leave()
	r, err := c.roundOf(reading, a.Job)
	if err != nil {
		return unlessDraining(a, err)
	}
	switch {
	case a.Stage.Name == stageBegin:
		return unlessDraining(a, r.begin(reading))
	case a.Stage.Name == stageGone:
		return r.gone(ctx, reading, a)
	case strings.HasPrefix(a.Stage.Name, stageChanged):
		return r.changed(ctx, reading, a)
	case a.Stage.Name == stageRetry:
		return r.again(ctx, reading, a)
	case a.Stage.Name == stageRest:
		return r.rest(ctx, reading, a)
	}
	return unlessDraining(a, r.end(reading, a))
}

// begin takes the right to write from the round before.
func (r *round) begin(ctx context.Context) error {
	if err := sqldb.EnsureLedger(ctx, r.dst); err != nil {
		return err
	}
	k := r.load(0).opts.Rows
	if err := sqldb.BeginRound(ctx, r.dst, k); err != nil {
		return err
	}
	return sqldb.ForgetRounds(ctx, r.dst, k)
}

// options are a loader's for one stage of the ledger.
func (l *load) options(a *tasks.Attempt, stage string) *sqldb.LoaderOptions {
	o := l.opts
	o.Job, o.Stage, o.Step, o.Worker, o.Attempt, o.Draining = a.Job.ID, stage, a.Step.ID, a.Worker, a.ID, a.Draining
	return &o
}

// gone deletes the rows of a stage that the source does not have any more. Keys are looked up in the source a page at a time, in the
// order in which they are kept, which need not be the source's.
func (r *round) gone(ctx, reading context.Context, a *tasks.Attempt) error {
	i, err := strconv.Atoi(a.Step.ID)
	if err != nil || i < 0 || i >= len(r.d.stages) {
		return tasks.Permanent(fmt.Errorf("the plan has no stage %s", a.Step.ID))
	}
	l := r.load(i)
	k, ledger := l.opts.Rows, stageGone+":"+l.stage.Name
	totals, err := sqldb.StageTotals(reading, r.dst, a.Job.ID, ledger)
	if err != nil {
		return unlessDraining(a, err)
	}
	a.Count(totals)
	for after := string(a.Cursor()); ; {
		keys, last, err := sqldb.KeptKeys(reading, r.dst, k, false, after, compareRows)
		if err != nil {
			return unlessDraining(a, err)
		}
		if len(keys) == 0 {
			break
		}
		lost, err := r.lost(reading, l, keys)
		if err != nil {
			return unlessDraining(a, err)
		}
		pairs, err := sqldb.KeptPairs(reading, r.dst, k, lost)
		if err != nil {
			return unlessDraining(a, err)
		}
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		done, err := sqldb.Retire(ctx, r.dst, &r.d.stages[i].detail.Target, l.options(a, ledger), pairs)
		totals.Read, totals.Written = totals.Read+int64(done.Deleted), totals.Written+int64(done.Deleted)
		a.Count(totals)
		if err != nil {
			return err
		}
		after = last
		if err := a.Checkpoint(ctx, tasks.Cursor(after)); err != nil {
			return err
		}
	}
	return r.goneAside(ctx, reading, a, l)
}

// goneAside takes rows from those that are set aside that the source does not have any more.
func (r *round) goneAside(ctx, reading context.Context, a *tasks.Attempt, l *load) error {
	for after := ""; ; {
		keys, last, err := sqldb.SetAside(reading, r.dst, &l.opts.Rows.Aside, "", after, bringRows)
		if err != nil || len(keys) == 0 {
			return unlessDraining(a, err)
		}
		after = last
		texts := make([]string, len(keys))
		for i, k := range keys {
			texts[i] = k.String()
		}
		lost, err := r.lost(reading, l, texts)
		if err == nil {
			err = sqldb.ForgetAside(ctx, r.dst, l.opts.Rows, lost)
		}
		if err != nil {
			return unlessDraining(a, err)
		}
	}
}

// lost returns the keys that the source does not have.
func (r *round) lost(ctx context.Context, l *load, keys []string) (lost []string, err error) {
	for len(keys) > 0 {
		part := keys[:min(len(keys), bringRows)]
		keys = keys[len(part):]
		rows := make([]sqldb.RowKey, len(part))
		for i, text := range part {
			if rows[i], err = sqldb.ParseRowKey(text); err != nil {
				return nil, tasks.Permanent(fmt.Errorf("read stint_rows: %w", err))
			}
		}
		found, err := sqldb.FindKeys(ctx, r.src, l.source, l.walk, rows)
		if err != nil {
			return nil, err
		}
		for _, text := range part {
			if !found[text] {
				lost = append(lost, text)
			}
		}
	}
	return lost, nil
}

// changed compares the rows of a chunk by their hashes, and brings those that are new or differ.
func (r *round) changed(ctx, reading context.Context, a *tasks.Attempt) error {
	l, err := r.loadOf(a.Stage)
	if err != nil {
		return err
	}
	var chunk sqldb.Chunk
	if err := json.Unmarshal(a.Step.Body, &chunk); err != nil {
		return tasks.Permanent(fmt.Errorf("read chunk: %w", err))
	}
	return contend(ctx, reading, a, r.dst, func() error { return r.compare(ctx, reading, a, l, chunk) })
}

// compare goes through the ledger's rest of a chunk once.
func (r *round) compare(ctx, reading context.Context, a *tasks.Attempt, l *load, chunk sqldb.Chunk) error {
	from, ended, totals, err := sqldb.Progress(reading, r.dst, a.Job.ID, a.Stage.Name, a.Step.ID)
	if err != nil {
		return unlessDraining(a, err)
	}
	a.Count(totals)
	if ended {
		return nil
	}
	if from == nil {
		from = chunk.From
	}
	since, err := r.since(reading, l, false)
	if err != nil {
		return unlessDraining(a, err)
	}
	scan, err := sqldb.NewScanner(reading, r.src, l.m, l.walk, l.to, from, chunk.To, since)
	if err != nil {
		return unlessDraining(a, err)
	}
	defer scan.Close()
	b := &bringer{r: r, l: l, a: a, stage: a.Stage.Name}
	defer b.close()
	var pending []sqldb.RowKey
	flush := func(to sqldb.RowKey, last bool) error {
		done, err := b.bring(ctx, reading, pending, from, to, last)
		totals = totals.Add(done)
		a.Count(totals)
		from, pending = to, nil
		return err
	}
	more := scan.Next()
	for more {
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		keys, differ, err := r.window(reading, l, scan, &more)
		if err != nil {
			return unlessDraining(a, err)
		}
		for i, key := range keys {
			if !differ[i] {
				continue
			}
			if len(pending) == bringRows {
				if err := flush(key, false); err != nil {
					return err
				}
			}
			pending = append(pending, key)
		}
	}
	if err := scan.Err(); err != nil {
		return unlessDraining(a, err)
	}
	return flush(chunk.To, true)
}

// window reads some rows and says which of them differ from what is kept of them. The scan stands on the first row, and then on the one
// behind those that were read; more turns false at the end.
func (r *round) window(ctx context.Context, l *load, scan *sqldb.Scanner, more *bool) (keys []sqldb.RowKey, differ []bool, err error) {
	var texts []string
	var hashes []int64
	for *more && len(keys) < compareRows {
		key := scan.Key()
		keys, texts, hashes = append(keys, key), append(texts, key.String()), append(hashes, scan.Hash())
		*more = scan.Next()
	}
	known, err := sqldb.KnownRows(ctx, r.dst, l.opts.Rows, texts)
	differ = make([]bool, len(keys))
	for i, text := range texts {
		hash, ok := known[text]
		differ[i] = !ok || hash != hashes[i]
	}
	return keys, differ, err
}

// again brings rows once more that are set aside because another row was not there yet, or was there still.
func (r *round) again(ctx, reading context.Context, a *tasks.Attempt) error {
	totals, err := sqldb.StageTotals(reading, r.dst, a.Job.ID, a.Stage.Name)
	if err != nil {
		return unlessDraining(a, err)
	}
	totals.Read, totals.Quarantined = 0, 0
	n := 0
	for i := range r.d.stages {
		l := r.load(i)
		b := &bringer{r: r, l: l, a: a, stage: a.Stage.Name}
		for try, progress := 0, true; progress && try < mostTries; try++ {
			before := totals.Written + totals.Skipped
			for _, code := range sqldb.CodesOfOthers {
				for after := ""; err == nil; {
					var keys []sqldb.RowKey
					keys, after, err = sqldb.SetAside(reading, r.dst, &l.opts.Rows.Aside, code, after, bringRows)
					if err != nil || len(keys) == 0 {
						break
					}
					n++
					// A step of the ledger of its own: where bad rows are isolated, rows that were tried before are borders again.
					b.step = fmt.Sprintf("%s/%d", a.ID, n)
					b.close()
					var done tasks.Counters
					done, err = b.bring(ctx, reading, keys, sqldb.RowKey{a.ID, int64(n)}, sqldb.RowKey{a.ID, int64(n)}, true)
					totals.Written, totals.Skipped, totals.Bytes = totals.Written+done.Written, totals.Skipped+done.Skipped, totals.Bytes+done.Bytes
					a.Count(totals)
				}
			}
			progress = err == nil && totals.Written+totals.Skipped > before
		}
		b.close()
		if errors.Is(err, sqldb.ErrTaken) {
			return tasks.ErrStale
		}
		if err == nil {
			err = r.giveUp(ctx, reading, a, l)
		}
		if err == nil {
			err = l.tooMany(ctx, r.spec.Of)
		}
		if err != nil {
			return unlessDraining(a, err)
		}
	}
	return nil
}

// rest deletes what others referred to, as long as that gets anywhere.
func (r *round) rest(ctx, reading context.Context, a *tasks.Attempt) error {
	totals, err := sqldb.StageTotals(reading, r.dst, a.Job.ID, a.Stage.Name)
	if err != nil {
		return unlessDraining(a, err)
	}
	for progress := true; progress; {
		progress = false
		for i := len(r.d.stages) - 1; i >= 0; i-- {
			l := r.load(i)
			for after := ""; ; {
				keys, last, err := sqldb.KeptKeys(reading, r.dst, l.opts.Rows, true, after, bringRows)
				if err != nil {
					return unlessDraining(a, err)
				}
				if len(keys) == 0 {
					break
				}
				after = last
				pairs, err := sqldb.StalePairs(reading, r.dst, l.opts.Rows, keys)
				if err != nil {
					return unlessDraining(a, err)
				}
				if a.IsDraining() {
					return tasks.ErrDrained
				}
				done, err := sqldb.Retire(ctx, r.dst, &r.d.stages[i].detail.Target, l.options(a, a.Stage.Name), pairs)
				totals.Read, totals.Written = totals.Read+int64(done.Deleted), totals.Written+int64(done.Deleted)
				a.Count(totals)
				if err != nil {
					return err
				}
				progress = progress || done.Left < len(pairs)
			}
		}
	}
	return nil
}

// end says that the round has brought everything, and that it is the last one, where it should be and has found nothing.
func (r *round) end(ctx context.Context, a *tasks.Attempt) error {
	left := int64(0)
	for i := range r.d.stages {
		l := r.load(i)
		n, err := sqldb.StaleCount(ctx, r.dst, l.opts.Rows)
		if err != nil {
			return err
		}
		if left += n; n > 0 {
			a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: l.stage.Name, Message: fmt.Sprintf("%d rows of the target should go, but others refer to them", n)})
		}
	}
	found, err := sqldb.RoundWritten(ctx, r.dst, r.job.ID)
	if err != nil {
		return err
	}
	last := r.spec.CutOver && found == 0 && left == 0
	for i := range r.d.stages {
		if err := r.finish(ctx, a, &r.d.stages[i].detail, last); err != nil {
			return err
		}
	}
	if err := sqldb.EndRound(ctx, r.dst, r.load(0).opts.Rows, last); err != nil {
		return err
	}
	if last {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: CutOverSubject, Message: "the source had nothing new: the target is on its own from now on"})
	}
	return nil
}

// finish makes what had to wait when the rows of a table were loaded: unique keys for which they were not unique yet, and, in the last
// round, foreign keys; and it sets sequences behind the rows that came.
func (r *round) finish(ctx context.Context, a *tasks.Attempt, d *stageDetail, last bool) error {
	if !d.Made {
		return nil
	}
	leftOut, err := sqldb.FinishTable(ctx, r.dst, &d.Target)
	reportLeftOut(a, &d.Target, leftOut)
	if sqldb.IsUnsettled(err) && !last {
		a.Report(postponed(&d.Target))
		err = nil
	}
	if err != nil || !last {
		return err
	}
	orphans, err := sqldb.ReferTable(ctx, r.dst, &d.Target)
	for _, o := range orphans {
		a.Report(tasks.Finding{Level: tasks.LevelNote, Subject: d.Target.FullName(), Message: orphanText(o)})
	}
	return err
}

// bringer brings rows of one stage by their keys.
type bringer struct {
	r     *round
	l     *load
	a     *tasks.Attempt
	stage string        // of the ledger
	step  string        // of the ledger; "" is the attempt's
	w     *sqldb.Loader // nil as long as there was nothing to write
}

func (b *bringer) close() {
	if b.w != nil {
		b.w.Close()
	}
	b.w = nil
}

// bring reads the rows of some keys and makes them take effect, together with the ledger's row of [from, to).
func (b *bringer) bring(ctx, reading context.Context, keys []sqldb.RowKey, from, to sqldb.RowKey, last bool) (tasks.Counters, error) {
	l := b.l
	batch, err := b.read(reading, keys, from, to)
	if err != nil {
		return tasks.Counters{}, unlessDraining(b.a, err)
	}
	defer batch.Release()
	batch.Last = last
	o := l.options(b.a, b.stage)
	o.Step = cmp.Or(b.step, o.Step)
	moved := sqldb.Retired{}
	if len(keys) > 0 {
		before, err := sqldb.KeptPairs(reading, b.r.dst, o.Rows, batch.Keys())
		if err != nil {
			return tasks.Counters{}, unlessDraining(b.a, err)
		}
		if b.a.IsDraining() {
			return tasks.Counters{}, tasks.ErrDrained
		}
		retire := *o
		retire.Stage = stageMoved + l.stage.Name
		if renamed := len(batch.Moved(before)) > 0 || len(before) > 0 && l.opts.Mode == sqldb.ModeReplace; renamed {
			// Rows that refer to these have not changed, but what they refer to is called otherwise now.
			if err := sqldb.Doubt(ctx, b.r.dst, o.Rows, b.r.referring(l.stage.Name)); err != nil {
				return tasks.Counters{}, err
			}
		}
		if moved, err = sqldb.Retire(ctx, b.r.dst, l.m.Target, &retire, batch.Moved(before)); err != nil {
			return tasks.Counters{}, err
		}
	}
	if b.w == nil {
		if b.w, err = sqldb.NewLoader(reading, b.r.dst, l.m, *o); err != nil {
			b.w = nil
			return tasks.Counters{}, unlessDraining(b.a, err)
		}
	}
	done, err := b.w.Load(ctx, batch)
	if err != nil {
		b.close() // a loader is of no use after an error
		return done.Counters, err
	}
	done.Counters.Written += int64(moved.Deleted)
	return done.Counters, nil
}

func (b *bringer) read(ctx context.Context, keys []sqldb.RowKey, from, to sqldb.RowKey) (*sqldb.Batch, error) {
	l := b.l
	if len(keys) == 0 {
		return sqldb.NewEmptyBatch(b.r.src, l.m, l.walk, l.to, from, to)
	}
	batches, err := sqldb.NewKeyBatcher(ctx, b.r.src, l.m, l.walk, l.to, keys, from, to, sqldb.Limits{})
	if err != nil {
		return nil, err
	}
	defer batches.Close()
	return batches.Next()
}
