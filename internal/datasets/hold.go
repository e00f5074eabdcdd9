package datasets

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// Check decides, under the locks of Hold, whether a data set may still go: "" is yes, else why it is spared, in words. now is the
// database's clock; victim and witness are as the registry has them at this moment, nil when they are not in it; scan reads rows
// through the same transaction. An error gives up, and nothing has happened.
type Check func(now time.Time, victim, witness *Set, scan func(Scan, func([]Row) error) error) (spare string, err error)

// Hold takes a data set for deletion by a job, in one transaction: it locks the rows of both data sets in the registry, has them
// checked, notes the victim's last sync, and sets Registry.Deleting. What is held by another job, is somebody's witness, or has no
// living witness is spared, whatever the check says; spared says why, and nothing has changed then. The first hold of a Store asks
// Deletable, whose error is returned as it is.
//
// Held by the same job it is held still: it is checked anew as long as no row has gone, and not later; DeleteBatch sees what happened
// meanwhile. Locks are taken in the order of ids, so no two holds wait for one another for ever; one that is not had within some
// seconds is a tasks.RetryAfter.
func (s *Store) Hold(ctx context.Context, job string, victim, witness ID, check Check) (spared string, err error) {
	if !s.sound.Load() {
		if err := s.Deletable(ctx); err != nil {
			return "", err
		}
		s.sound.Store(true)
	}
	err = s.inTx(ctx, func(t *txn) error {
		spared, err = s.hold(ctx, t, job, victim, witness, check)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("hold data set %s: %w", victim, err)
	}
	return spared, nil
}

func (s *Store) hold(ctx context.Context, t *txn, job string, victim, witness ID, check Check) (spared string, err error) {
	if victim == witness || victim.Customer != witness.Customer {
		return "", tasks.Permanent(fmt.Errorf("%s cannot be the witness of %s", witness, victim))
	}
	v, w, err := s.lockPair(ctx, t, victim, witness, true)
	if err != nil {
		return "", err
	}
	now, err := t.now(ctx)
	if err != nil {
		return "", err
	}
	d, err := t.deletion(ctx, job, victim)
	if err != nil {
		return "", err
	}
	if d != nil && d.witness == witness.Database {
		begun := d.atTable != "" || d.state == Gone
		unchanged := v != nil && v.LastSync != nil && formatMoment(*v.LastSync) == d.sync
		if d.state == Gone || d.state == Held && (begun || unchanged) {
			return "", nil
		}
	}
	if spared, err = t.rivals(ctx, job, victim, witness, d); err != nil || spared != "" {
		return spared, err
	}
	spared, err = check(now, v, w, func(sc Scan, each func([]Row) error) error { return s.scanIn(ctx, t.reading(), sc, each) })
	switch {
	case err != nil || spared != "":
	case v == nil:
		spared = "it is not in the registry"
	case w == nil:
		spared = fmt.Sprintf("its witness %s is not in the registry", witness)
	case v.LastSync == nil:
		spared = "nobody knows when it was last synced"
	}
	if err != nil {
		return "", err
	}
	if spared != "" && d != nil { // it was held, and nothing is gone
		return spared, s.stop(ctx, t, d, spared)
	}
	if spared != "" {
		return spared, nil
	}
	next := deletion{job: job, set: victim, witness: witness.Database, state: Held, heldAt: formatMoment(now), sync: formatMoment(*v.LastSync)}
	if d != nil {
		next.flag = d.flag
		return "", next.save(ctx, t)
	}
	if spared, err = s.raiseFlag(ctx, t, &next); err != nil || spared != "" {
		return spared, err
	}
	return "", next.insert(ctx, t)
}

// rivals says which deletion stands in the way of another one: of the data set itself, or of its witness, or one that the data set is
// the witness of. mine is what this job has done to the data set before.
func (t *txn) rivals(ctx context.Context, job string, victim, witness ID, mine *deletion) (spared string, err error) {
	if mine != nil {
		switch mine.state {
		case Stopped, Restored:
			return "this job has stopped deleting it: " + mine.reason, nil
		}
		if mine.witness != witness.Database {
			return fmt.Sprintf("this job holds it with another witness, %s", mine.witness), nil
		}
	}
	err = t.each(ctx, "SELECT "+deletionColumns+" FROM stint_deletions WHERE customer = ? AND state IN (?, ?)",
		[]any{victim.Customer, string(Held), string(Stopped)}, func(scan func(...any) error) error {
			var d deletion
			if err := d.scan(scan); err != nil {
				return err
			}
			var why string
			switch {
			case d.set == victim && d.job == job:
			case d.set == victim && d.state == Stopped:
				why = fmt.Sprintf("its deletion by job %s was stopped, and what was gone has not all been put back", d.job)
			case d.set == victim:
				why = fmt.Sprintf("job %s is deleting it", d.job)
			case d.set == witness:
				why = fmt.Sprintf("job %s is deleting its witness %s", d.job, witness)
			case d.state == Held && d.witness == victim.Database:
				why = fmt.Sprintf("it is the witness of %s, which job %s is deleting", d.set, d.job)
			}
			if why != "" && spared == "" {
				spared = why
			}
			return nil
		})
	return spared, err
}

// lockPair locks and reads the rows of two data sets in the registry, in the order of their ids; nil is one that is not there. Of the
// witness, whole is false where it is enough that its row stays.
func (s *Store) lockPair(ctx context.Context, t *txn, victim, witness ID, whole bool) (v, w *Set, err error) {
	share := t.forUpdate()
	if !whole && t.dialect == sqldb.Postgres {
		share = " FOR KEY SHARE" // its client may go on and sync it
	}
	lockVictim := func() { v, err = s.readSet(ctx, t, victim, t.forUpdate()) }
	lockWitness := func() { w, err = s.readSet(ctx, t, witness, share) }
	first, second := lockVictim, lockWitness
	if strings.Compare(witness.Database, victim.Database) < 0 {
		first, second = lockWitness, lockVictim
	}
	if first(); err == nil {
		second()
	}
	return v, w, err
}

// nowQuery asks for the time, in UTC and to the microsecond.
var nowQuery = map[sqldb.Dialect]string{
	sqldb.Postgres: `SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`,
	sqldb.MySQL:    `SELECT date_format(utc_timestamp(6), '%Y-%m-%dT%H:%i:%s.%fZ')`,
	sqldb.SQLite:   `SELECT strftime('%Y-%m-%dT%H:%M:%fZ', 'now')`,
}

// now returns the time by the database's clock, UTC.
func (t *txn) now(ctx context.Context) (time.Time, error) {
	var text string
	if _, err := t.row(ctx, nowQuery[t.dialect], nil, &text); err != nil {
		return time.Time{}, err
	}
	return parseMoment(text)
}

// raiseFlag sets Registry.Deleting and notes what it was. One that is set already is somebody else's: the data set is spared.
func (s *Store) raiseFlag(ctx context.Context, t *txn, d *deletion) (spared string, err error) {
	name := s.layout.Registry.Deleting
	if name == "" {
		return "", nil
	}
	column := s.registry.Column(name)
	switch column.Kind {
	case sqldb.KindBool, sqldb.KindInt16, sqldb.KindInt32, sqldb.KindInt64:
	default:
		if t.dialect != sqldb.SQLite {
			return "", refuse("name a boolean or an integer column in the layout (registry, deleting), or none", "the column %s of %s is of type %s, and cannot say that a "+
				"data set is being deleted", name, s.registry.FullName(), column.Type)
		}
	}
	was, set, err := s.readFlag(ctx, t, column, d.set)
	if err != nil {
		return "", err
	}
	if set {
		return fmt.Sprintf("somebody has set %s already", name), nil
	}
	d.flag = &was
	if err := s.setFlag(ctx, t, d.set); err != nil {
		return "", err
	}
	after, err := s.readSet(ctx, t, d.set, "")
	if err == nil && (after == nil || after.LastSync == nil || formatMoment(*after.LastSync) != d.sync) {
		err = refuse("let the trigger leave it alone, or take deleting out of the layout", "setting %s changes %s too, by which it is known when a data set was synced",
			name, s.layout.Registry.LastSync)
	}
	return "", err
}

// setFlag sets Registry.Deleting.
func (s *Store) setFlag(ctx context.Context, t *txn, set ID) error {
	if s.layout.Registry.Deleting == "" {
		return nil
	}
	column := s.registry.Column(s.layout.Registry.Deleting)
	value := "1"
	if t.dialect == sqldb.Postgres && column.Kind == sqldb.KindBool {
		value = "true"
	}
	return s.updateFlag(ctx, t, set, value)
}

// updateFlag writes Registry.Deleting and nothing else: MariaDB's columns that note the time of an update are set to what they are.
func (s *Store) updateFlag(ctx context.Context, t *txn, set ID, value string, args ...any) error {
	where, err := s.registered(set)
	if err != nil {
		return err
	}
	assign := t.dialect.Quote(s.layout.Registry.Deleting) + " = " + value
	for i := range s.registry.Columns {
		c := &s.registry.Columns[i]
		if t.dialect == sqldb.MySQL && !c.Generated && (c.Kind == sqldb.KindTimestamp || c.Kind == sqldb.KindTimestampTZ) {
			assign += ", " + t.dialect.Quote(c.Name) + " = " + t.dialect.Quote(c.Name)
		}
	}
	_, err = t.exec(ctx, "UPDATE "+quoted(t.dialect, &s.registry)+" SET "+assign+" WHERE "+where, args...)
	return err
}

// readFlag returns what Registry.Deleting holds, as a cell of an archive, and whether it is set.
func (s *Store) readFlag(ctx context.Context, t *txn, column *sqldb.Column, set ID) (was string, isSet bool, err error) {
	where, err := s.registered(set)
	if err != nil {
		return "", false, err
	}
	name := t.dialect.Quote(column.Name)
	condition := name + " <> 0"
	if t.dialect == sqldb.Postgres && column.Kind == sqldb.KindBool {
		condition = name
	}
	expression := archivedExpression(t.dialect, column)
	if t.dialect == sqldb.Postgres {
		expression += "::text"
	}
	var value any
	var text *string
	dest := any(&text)
	if t.dialect == sqldb.SQLite {
		dest = &value
	}
	_, err = t.row(ctx, "SELECT "+expression+", CASE WHEN "+condition+" THEN 1 ELSE 0 END = 1 FROM "+quoted(t.dialect, &s.registry)+" WHERE "+where, nil, dest, &isSet)
	if err != nil {
		return "", false, err
	}
	if text != nil {
		value = *text
	}
	cell, err := appendCell(t.dialect, nil, value)
	return string(cell), isSet, err
}

// lowerFlag puts back what Registry.Deleting held before.
func (s *Store) lowerFlag(ctx context.Context, t *txn, d *deletion) error {
	name := s.layout.Registry.Deleting
	if name == "" || d.flag == nil {
		return nil
	}
	value, err := readCell(t.dialect, s.registry.Column(name), []byte(*d.flag))
	if err != nil {
		return err
	}
	return s.updateFlag(ctx, t, d.set, "?", value)
}

// registered is the condition that a row of the registry is that of a data set.
func (s *Store) registered(set ID) (string, error) {
	r := s.layout.Registry
	return s.whole(&table{Table{Customer: r.Customer, Database: r.Database}, s.registry}, set)
}

// whole is the condition that rows of a table are of a data set: that their ids are the very same characters, as the scan takes them, also
// where the collation of a column, or its type, has others be equal. The plain comparison beside that is for the index.
func (s *Store) whole(t *table, set ID) (string, error) {
	d, where := s.db.Dialect, ""
	for _, x := range [][2]string{{t.Customer, set.Customer}, {t.Database, set.Database}} {
		column := t.info.Column(x[0])
		id, err := s.id(column, x[1])
		if err != nil {
			return "", err
		}
		if where != "" {
			where += " AND "
		}
		name := d.Quote(column.Name)
		where += name + " = " + id
		if idForm(column) != text {
			continue
		}
		switch {
		case d == sqldb.SQLite:
			where += " AND " + name + " = " + id + " COLLATE BINARY"
		case d == sqldb.MySQL:
			where += " AND CAST(CONVERT(" + name + " USING utf8mb4) AS BINARY) = CAST(" + id + " AS BINARY)"
		case strings.HasSuffix(strings.ToLower(column.Type), "citext"):
			where += " AND " + name + "::text = " + id + ` COLLATE "C"`
		default: // padded ones are equal to others without blanks, as they were read
			where += " AND " + name + " = " + id + ` COLLATE "C"`
		}
	}
	return where, nil
}

// readSet reads a row of the registry; lock says how it is locked. It is nil when it is not there.
func (s *Store) readSet(ctx context.Context, t *txn, id ID, lock string) (*Set, error) {
	where, err := s.registered(id)
	if err != nil {
		return nil, err
	}
	var found []Set
	err = t.each(ctx, "SELECT "+s.registryColumns()+" FROM "+quoted(t.dialect, &s.registry)+" WHERE "+where+lock, nil, func(scan func(...any) error) error {
		set, err := s.scanSet(scan)
		found = append(found, set)
		return err
	})
	switch {
	case err != nil || len(found) == 0:
		return nil, err
	case len(found) > 1:
		return nil, refuse("give the registry a unique key over both columns, and take one of the two away", "the registry %s has the data set %s twice", s.layout.Registry.Table, id)
	}
	return &found[0], nil
}

// reading is where a scan reads in this transaction.
func (t *txn) reading() reading {
	if t.pg != nil {
		return reading{pg: t.pg.Conn().PgConn()}
	}
	return reading{sql: t.sql}
}
