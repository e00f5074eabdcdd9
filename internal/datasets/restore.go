package datasets

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stint-run/stint/internal/artifact"
	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// RestoreOptions say how rows are put back.
type RestoreOptions struct {
	Artifacts artifact.Store
	// MissingOnly leaves rows that are there, by any unique key, as they are, and counts them: for a data set that somebody went on
	// writing to. Otherwise such a row is an error, and nothing is overwritten either way.
	MissingOnly bool
}

// RestorePart puts the rows of a part back, in one transaction with the note that they are; a part that has been put back is left alone.
// The archive's digest is compared as it is read: one that is not what was put there is an error, and nothing has changed. restored and
// left count rows.
//
// Parts are put back from the last to the first: what other rows refer to comes before them, and the registry's row is the first. With
// it Registry.Deleting is set again, until the last part is there. Without MissingOnly, a data set that is there again, or has any rows,
// is not begun. After the last part the state is Restored.
func (s *Store) RestorePart(ctx context.Context, job string, set ID, number int, o RestoreOptions) (restored, left int64, err error) {
	err = s.inTx(ctx, func(t *txn) error {
		restored, left, err = s.restorePart(ctx, t, job, set, number, o)
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("put back part %d of data set %s: %w", number, set, err)
	}
	return restored, left, nil
}

func (s *Store) restorePart(ctx context.Context, t *txn, job string, set ID, number int, o RestoreOptions) (restored, left int64, err error) {
	v, err := s.readSet(ctx, t, set, t.forUpdate())
	if err != nil {
		return 0, 0, err
	}
	d, err := t.deletion(ctx, job, set)
	if err != nil {
		return 0, 0, err
	}
	if d == nil {
		return 0, 0, refuse("look into the deletions file for the job and the data set", "job %s has deleted nothing of it", job)
	}
	part, open, err := t.choosePart(ctx, job, set, number)
	if err != nil || part.Restored {
		return 0, 0, err
	}
	if d.state == Gone && !o.MissingOnly {
		if err := s.refuseNewer(ctx, t, set, v); err != nil {
			return 0, 0, err
		}
	}
	if restored, left, err = s.insertPart(ctx, t, part, o); err != nil {
		return 0, 0, err
	}
	now, err := t.now(ctx)
	if err != nil {
		return 0, 0, err
	}
	if _, err := t.exec(ctx, "UPDATE stint_deletion_parts SET restored_at = ? WHERE customer = ? AND data_set = ? AND job = ? AND number = ?",
		formatMoment(now), set.Customer, set.Database, job, number); err != nil {
		return 0, 0, err
	}
	return restored, left, s.advance(ctx, t, d, part, open, left)
}

// choosePart finds a part, and counts those that have not been put back.
func (t *txn) choosePart(ctx context.Context, job string, set ID, number int) (part Part, open int, err error) {
	const of = " FROM stint_deletion_parts WHERE customer = ? AND data_set = ? AND job = ? AND "
	found := false
	err = t.each(ctx, "SELECT "+partColumns+of+"number = ?", []any{set.Customer, set.Database, job, number}, func(scan func(...any) error) error {
		found = true
		part, err = scanPart(scan)
		return err
	})
	switch {
	case err != nil:
		return Part{}, 0, err
	case !found:
		return Part{}, 0, refuse("it has the parts that its progress lists", "there is no such part")
	case part.Restored:
		return part, 0, nil
	}
	before := 0
	_, err = t.row(ctx, "SELECT count(*), coalesce(max(CASE WHEN number > ? AND table_name <> ? THEN number END), 0)"+of+"restored_at = ?",
		[]any{number, part.Table, set.Customer, set.Database, job, ""}, &open, &before)
	if err == nil && before > 0 {
		err = refuse("put parts back from the last to the first", "part %d has to be put back before it", before)
	}
	return part, open, err
}

// refuseNewer keeps a restoration from mixing with what has been written since.
func (s *Store) refuseNewer(ctx context.Context, t *txn, set ID, registered *Set) error {
	in := s.registry.FullName()
	if registered == nil {
		var err error
		if in, err = s.tableWithRows(ctx, t, set); err != nil || in == "" {
			return err
		}
	}
	return refuse("newer rows are never overwritten; delete them first if the archive is what is wanted", "the table %s has rows of it again", in)
}

// advance notes what has been put back of a deletion; open counts the parts that were to be put back before this one was.
func (s *Store) advance(ctx context.Context, t *txn, d *deletion, part Part, open int, left int64) error {
	registry := part.Table == s.registry.FullName()
	if d.state != Stopped {
		if d.state == Held {
			d.reason = "what was gone is put back before the deletion has come to its end"
		} else {
			d.reason = "it is put back"
		}
		d.state = Stopped
	}
	switch {
	case open == 1:
		d.state = Restored
		if registry { // it is as it was
			break
		}
		if err := s.lowerFlag(ctx, t, d); err != nil {
			return err
		}
	case registry && left > 0: // a new row: its flag is not ours
		d.flag = nil
	case registry:
		if err := s.setFlag(ctx, t, d.set); err != nil {
			return err
		}
	}
	return d.save(ctx, t)
}

// insertPart reads the archive of a part and inserts its rows.
func (s *Store) insertPart(ctx context.Context, t *txn, p Part, o RestoreOptions) (restored, left int64, err error) {
	info, err := s.archivedTable(p)
	if err != nil {
		return 0, 0, err
	}
	a, err := openArchive(ctx, o.Artifacts, p)
	if err != nil {
		return 0, 0, err
	}
	defer a.close()
	columns, err := a.header.match(t.dialect, info)
	if err != nil {
		return 0, 0, err
	}
	in := insertion{table: info, columns: columns, missingOnly: o.MissingOnly}
	switch t.dialect {
	case sqldb.Postgres:
		restored, err = in.postgres(ctx, t, a)
	case sqldb.MySQL:
		restored, err = in.mysql(ctx, t, a)
	default:
		restored, err = in.sqlite(ctx, t, a)
	}
	if fault := a.verify(p); fault != nil {
		return 0, 0, fault // what went wrong before came of it
	}
	if err != nil {
		return 0, 0, fmt.Errorf("table %s: %w", info.FullName(), taken(err))
	}
	left = p.Rows - restored
	if left < 0 || left > 0 && !o.MissingOnly {
		return 0, 0, agree(p.Rows, restored)
	}
	return restored, left, nil
}

// archivedTable returns the table that a part is of.
func (s *Store) archivedTable(p Part) (*sqldb.Table, error) {
	if p.Table == s.registry.FullName() {
		return &s.registry, nil
	}
	for i := range s.tables {
		if s.tables[i].info.FullName() == p.Table {
			return &s.tables[i].info, nil
		}
	}
	return nil, refuse("use the layout that it was deleted with", "the archive is of the table %s, which is no table of the layout now", p.Table)
}

// match finds the columns of an archive in the table as it is now.
func (h *archiveHeader) match(d sqldb.Dialect, t *sqldb.Table) ([]*sqldb.Column, error) {
	if h.Dialect != d {
		return nil, refuse("use the store that it was deleted from", "the archive is of a database of the kind %s", h.Dialect)
	}
	columns := make([]*sqldb.Column, len(h.Columns))
	for i, c := range h.Columns {
		if columns[i] = t.Column(c.Name); columns[i] == nil || columns[i].Generated {
			return nil, refuse("add the column again, put the rows back, and drop it", "the table %s has no column %s any more, which the archive has (%s)", t.FullName(), c.Name, c.Type)
		}
	}
	return columns, nil
}

// taken gives an error that says that a row is there already its hint.
func taken(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" || isDuplicate(err) {
		return tasks.Permanent(tasks.WithHint(err, "newer rows are never overwritten; delete them first if the archive is what is wanted", "a row of it is there again"))
	}
	return err
}
