package datasets

import (
	"context"
	"fmt"
	"time"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// BatchOptions say how a batch is deleted.
type BatchOptions struct {
	Rows      int            // at most so many; 0 is 5,000
	Artifacts artifact.Store // where the archive goes, before the transaction is committed
	Prefix    string         // keys of artifacts begin with it
}

// Batch is what DeleteBatch came to.
type Batch struct {
	Part    *Part  // what was archived and deleted; nil when nothing was
	Done    bool   // all rows and the registry's row are gone
	Stopped string // why nothing more is deleted, in words: put back what is gone (RestorePart)
}

const (
	defaultBatchRows = 5_000
	// batchBytes bounds a batch of large rows, by what those of the part before came to.
	batchBytes = 64 << 20
)

// DeleteBatch archives and deletes the next rows of a data set that the job holds, in one transaction: table by table, in the order of
// their keys, at last the registry's row. The rows that the DELETE returns are the archive; it is in the artifact store before the
// transaction is committed, and a row of stint_deletion_parts says so in the same transaction. So whatever dies, what is gone is
// archived, and an artifact that no part names is of an attempt that was rolled back (SweepOrphans).
//
// Before, under the locks of both data sets' rows in the registry, it looks again: when the victim was synced since it was held, or the
// witness has gone, nothing is deleted and the deletion is Stopped; likewise when rows came in behind the deletion, and when rows that are
// not part of the data set refer to some that are. Of any number of callers at once one works, the others wait.
func (s *Store) DeleteBatch(ctx context.Context, job string, victim, witness ID, o BatchOptions) (Batch, error) {
	if o.Rows <= 0 {
		o.Rows = defaultBatchRows
	}
	var b Batch
	err := s.inTx(ctx, func(t *txn) error {
		b = Batch{}
		v, w, err := s.lockPair(ctx, t, victim, witness, false)
		if err != nil {
			return err
		}
		d, err := t.deletion(ctx, job, victim)
		switch {
		case err != nil:
			return err
		case d == nil || d.witness != witness.Database:
			return tasks.Permanent(fmt.Errorf("job %s does not hold it, or not with the witness %s", job, witness))
		case d.state == Gone:
			b.Done = true
			return nil
		case d.state != Held:
			b.Stopped = d.reason
			return nil
		}
		if why := changed(d, v, w); why != "" {
			b.Stopped = why
			return s.stop(ctx, t, d, why)
		}
		return s.next(ctx, t, d, o, &b)
	})
	if why := referred(err); why != "" { // in a transaction of its own: PostgreSQL ends one that a foreign key has stopped
		b = Batch{Stopped: why}
		err = s.Release(ctx, job, victim, why)
	}
	if err != nil {
		return Batch{}, fmt.Errorf("delete from data set %s: %w", victim, err)
	}
	return b, nil
}

// changed says what has happened since a data set was held that stops its deletion.
func changed(d *deletion, v, w *Set) string {
	switch {
	case v == nil:
		return "it has gone from the registry"
	case v.LastSync == nil:
		return "nobody knows any more when it was last synced"
	case formatMoment(*v.LastSync) != d.sync:
		return fmt.Sprintf("it was synced at %s, after it had been checked", v.LastSync.UTC().Format(time.RFC3339))
	case w == nil:
		return fmt.Sprintf("its witness %s has gone from the registry", d.witness)
	}
	return ""
}

// stop ends a deletion. Where nothing is gone yet there is nothing to put back.
func (s *Store) stop(ctx context.Context, t *txn, d *deletion, why string) error {
	parts, _, err := t.lastPart(ctx, d, 0)
	if err != nil {
		return err
	}
	d.state, d.reason = Stopped, why
	if parts == 0 {
		d.state = Restored
		if err := s.lowerFlag(ctx, t, d); err != nil {
			return err
		}
	}
	return d.save(ctx, t)
}

// Release lets go of a data set that a job holds and will not delete any further: nothing more of it can be deleted by this job. Its
// state is Stopped, and what is gone can be put back; where nothing is gone it is Restored at once, and Registry.Deleting what it was.
// One that is not held stays as it is.
func (s *Store) Release(ctx context.Context, job string, set ID, reason string) error {
	err := s.inTx(ctx, func(t *txn) error {
		if _, err := s.readSet(ctx, t, set, t.forUpdate()); err != nil {
			return err
		}
		d, err := t.deletion(ctx, job, set)
		if err != nil || d == nil || d.state != Held {
			return err
		}
		return s.stop(ctx, t, d, reason)
	})
	if err != nil {
		return fmt.Errorf("let go of data set %s: %w", set, err)
	}
	return nil
}

// next deletes the next range that has rows, or the registry's row when no table has any.
func (s *Store) next(ctx context.Context, t *txn, d *deletion, o BatchOptions, b *Batch) error {
	last, rows, err := t.lastPart(ctx, d, o.Rows)
	if err != nil {
		return err
	}
	after, err := sqldb.ParseRowKey(d.atKey)
	if err != nil {
		return tasks.Permanent(err)
	}
	at, err := s.tableAt(d.atTable)
	if err != nil {
		return err
	}
	for ; at < len(s.tables); at, after = at+1, nil {
		info := &s.tables[at].info
		a, err := newArchive(newHeader(t.dialect, info, d.job, d.set, last+1))
		if err != nil {
			return err
		}
		defer a.close()
		r := slice{table: info, after: after, rows: rows, dependents: s.dependentsOf(info)}
		r.order(t.dialect, &s.tables[at])
		if r.where, err = s.whole(&s.tables[at], d.set); err != nil {
			return err
		}
		to, more, err := r.delete(ctx, t, a)
		if err != nil {
			return fmt.Errorf("table %s: %w", info.FullName(), err)
		}
		if a.rows == 0 && !more {
			continue
		}
		if d.atTable, d.atKey = info.FullName(), to.String(); !more {
			d.atTable = s.nameAt(at + 1)
		}
		if err := d.save(ctx, t); err != nil {
			return err
		}
		b.Part, err = t.keep(ctx, a, d, o, last+1, info)
		return err
	}
	return s.finish(ctx, t, d, o, last+1, b)
}

// keep puts an archive into the artifact store and notes the part.
func (t *txn) keep(ctx context.Context, a *archive, d *deletion, o BatchOptions, number int, table *sqldb.Table) (*Part, error) {
	info, err := a.put(ctx, o, d.set, number, table.FullName())
	if err != nil {
		return nil, err
	}
	now, err := t.now(ctx)
	if err != nil {
		return nil, err
	}
	p := Part{Job: d.job, Set: d.set, Number: number, Table: table.FullName(), Rows: a.rows, Bytes: a.bytes, Key: info.Key, Size: info.Size,
		Digest: string(info.Digest), At: now}
	return &p, t.insertPart(ctx, p)
}

// finish deletes the registry's row, when no table has a row of the data set any more.
func (s *Store) finish(ctx context.Context, t *txn, d *deletion, o BatchOptions, number int, b *Batch) error {
	in, err := s.tableWithRows(ctx, t, d.set)
	if err != nil {
		return err
	}
	if in != "" {
		b.Stopped = fmt.Sprintf("rows came into the table %s behind the deletion: somebody writes to it", in)
		return s.stop(ctx, t, d, b.Stopped)
	}
	if err := s.lowerFlag(ctx, t, d); err != nil { // so that the archive has the row as it was
		return err
	}
	a, err := newArchive(newHeader(t.dialect, &s.registry, d.job, d.set, number))
	if err != nil {
		return err
	}
	defer a.close()
	r := slice{table: &s.registry, dependents: s.dependentsOf(&s.registry)}
	if r.where, err = s.registered(d.set); err != nil {
		return err
	}
	if _, _, err := r.delete(ctx, t, a); err != nil {
		return fmt.Errorf("table %s: %w", s.registry.FullName(), err)
	}
	if a.rows != 1 {
		return tasks.Permanent(tasks.WithHint(nil, "does a trigger or a rule keep it from going?", "%d rows of the registry %s would go with the data set", a.rows, s.registry.FullName()))
	}
	d.state, d.atTable, d.atKey = Gone, s.nameAt(len(s.tables)), ""
	if err := d.save(ctx, t); err != nil {
		return err
	}
	b.Done = true
	b.Part, err = t.keep(ctx, a, d, o, number, &s.registry)
	return err
}

// tableWithRows returns a table that has a row of a data set; "" when none has.
func (s *Store) tableWithRows(ctx context.Context, t *txn, set ID) (string, error) {
	for i := range s.tables {
		x := &s.tables[i]
		where, err := s.whole(x, set)
		if err != nil {
			return "", err
		}
		found := false
		err = t.each(ctx, "SELECT 1 FROM "+quoted(t.dialect, &x.info)+" WHERE "+where+" LIMIT 1", nil, func(func(...any) error) error {
			found = true
			return nil
		})
		if err != nil || found {
			return x.info.FullName(), err
		}
	}
	return "", nil
}

// tableAt returns the place of the table that a deletion is at: the first where it has not begun, the registry's where all are done.
func (s *Store) tableAt(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	for at := range len(s.tables) + 1 {
		if s.nameAt(at) == name {
			return at, nil
		}
	}
	return 0, tasks.Permanent(tasks.WithHint(nil, "use the layout that it was begun with, or put back what is gone",
		"the deletion stands in the table %s, which is no table of the layout now", name))
}

func (s *Store) nameAt(at int) string {
	if at < len(s.tables) {
		return s.tables[at].info.FullName()
	}
	return s.registry.FullName()
}

// lastPart returns the number of the last part of a data set, 0 when there is none, and how many rows the next may have.
func (t *txn) lastPart(ctx context.Context, d *deletion, rows int) (number, atMost int, err error) {
	var had, bytes int64
	_, err = t.row(ctx, "SELECT number, row_count, bytes FROM stint_deletion_parts WHERE customer = ? AND data_set = ? AND job = ? ORDER BY number DESC LIMIT 1",
		[]any{d.set.Customer, d.set.Database, d.job}, &number, &had, &bytes)
	if had > 0 && bytes > 0 {
		rows = int(min(int64(rows), max(1, batchBytes*had/bytes)))
	}
	return number, rows, err
}
