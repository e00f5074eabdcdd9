package datasets

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// ownTables are what the store keeps about deletions, in words that prepareWords translates.
//
// stint_deletions: one row for each data set that a job has held. flag is what the registry's column Deleting held before; at_table
// and at_key say where the next batch begins: behind that key of that table ("" is the first one), in the order of the layout.
//
// stint_deletion_parts: one row for each part of an archive, written in the transaction that deletes its rows. It is what says that
// an artifact is part of an archive; one that no row names is of an attempt that died.
//
// Times are texts in RFC 3339, which a person can read and which no driver bends.
var ownTables = []string{
	`CREATE TABLE IF NOT EXISTS stint_deletions (job @JOB NOT NULL, customer @ID NOT NULL, data_set @ID NOT NULL, witness @ID NOT NULL,
 state @WORD NOT NULL, reason @TEXT NOT NULL, held_at @WORD NOT NULL, last_sync @WORD NOT NULL, flag @TEXT, at_table @TEXT NOT NULL,
 at_key @TEXT NOT NULL, PRIMARY KEY (customer, data_set, job), UNIQUE (job, customer, data_set))`,
	`CREATE TABLE IF NOT EXISTS stint_deletion_parts (job @JOB NOT NULL, customer @ID NOT NULL, data_set @ID NOT NULL, number int NOT NULL,
 table_name @TEXT NOT NULL, row_count bigint NOT NULL, bytes bigint NOT NULL, artifact @TEXT NOT NULL, size bigint NOT NULL,
 digest @TEXT NOT NULL, made_at @WORD NOT NULL, restored_at @WORD NOT NULL, PRIMARY KEY (customer, data_set, job, number),
 UNIQUE (job, customer, data_set, number))`,
}

// prepareWords are the types of ownTables. Ids are sorted byte by byte everywhere. MariaDB's are binary, so that ids that differ in case
// or in blanks at their end differ, and short enough for its keys.
var prepareWords = map[sqldb.Dialect]*strings.Replacer{
	sqldb.Postgres: strings.NewReplacer("@JOB", "text", "@ID", `text COLLATE "C"`, "@WORD", "text", "@TEXT", "text"),
	sqldb.SQLite:   strings.NewReplacer("@JOB", "text", "@ID", "text", "@WORD", "text", "@TEXT", "text"),
	sqldb.MySQL:    strings.NewReplacer("@JOB", "varbinary(128)", "@ID", "varbinary(1000)", "@WORD", "varbinary(40)", "@TEXT", "mediumblob"),
}

// ownLock is the advisory lock of PostgreSQL under which the tables are made: CREATE TABLE IF NOT EXISTS alone fails when two do it
// at the same moment.
const ownLock = 0x7374696e7464 // "stintd"

// Prepare makes the tables in which the store keeps what it knows about deletions, where they are not there yet. Any number of
// processes may do so at once. Where they are there it needs no right to make tables.
func (s *Store) Prepare(ctx context.Context) error {
	if s.prepared(ctx) == nil {
		return nil
	}
	err := s.inTx(ctx, func(t *txn) error {
		if t.pg != nil {
			if _, err := t.exec(ctx, "SELECT pg_advisory_xact_lock(?)", int64(ownLock)); err != nil {
				return err
			}
		}
		for _, statement := range ownTables {
			if _, err := t.exec(ctx, prepareWords[t.dialect].Replace(statement)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return tasks.WithHint(err, "the user of this connection needs the right to create tables here; or let an owner create stint_deletions and "+
			"stint_deletion_parts", "the tables about deletions cannot be made in %s", s.Address())
	}
	return nil
}

// prepared asks for a column of the table that is made last.
func (s *Store) prepared(ctx context.Context) error {
	return s.inTx(ctx, func(t *txn) error {
		return t.each(ctx, "SELECT number FROM stint_deletion_parts WHERE 1 = 0", nil, func(func(...any) error) error { return nil })
	})
}

// deletion is a row of stint_deletions.
type deletion struct {
	job     string
	set     ID
	witness string
	state   State
	reason  string
	heldAt  string
	sync    string
	flag    *string // what Registry.Deleting held, as a cell of an archive; nil where there is no such column
	atTable string
	atKey   string
}

const deletionColumns = "job, customer, data_set, witness, state, reason, held_at, last_sync, flag, at_table, at_key"

func (d *deletion) scan(scan func(...any) error) error {
	var state string
	err := scan(&d.job, &d.set.Customer, &d.set.Database, &d.witness, &state, &d.reason, &d.heldAt, &d.sync, &d.flag, &d.atTable, &d.atKey)
	d.state = State(state)
	return err
}

// deletion reads, and locks, what a job has done to a data set; nil when nothing.
func (t *txn) deletion(ctx context.Context, job string, set ID) (*deletion, error) {
	d := &deletion{}
	found := false
	err := t.each(ctx, "SELECT "+deletionColumns+" FROM stint_deletions WHERE customer = ? AND data_set = ? AND job = ?"+t.forUpdate(),
		[]any{set.Customer, set.Database, job}, func(scan func(...any) error) error {
			found = true
			return d.scan(scan)
		})
	if err != nil || !found {
		return nil, err
	}
	return d, nil
}

// save writes the row as it is now.
func (d *deletion) save(ctx context.Context, t *txn) error {
	_, err := t.exec(ctx, "UPDATE stint_deletions SET witness = ?, state = ?, reason = ?, held_at = ?, last_sync = ?, flag = ?, at_table = ?, at_key = ? "+
		"WHERE customer = ? AND data_set = ? AND job = ?",
		d.witness, string(d.state), d.reason, d.heldAt, d.sync, d.flag, d.atTable, d.atKey, d.set.Customer, d.set.Database, d.job)
	return err
}

// insert writes a new row.
func (d *deletion) insert(ctx context.Context, t *txn) error {
	_, err := t.exec(ctx, "INSERT INTO stint_deletions ("+deletionColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		d.job, d.set.Customer, d.set.Database, d.witness, string(d.state), d.reason, d.heldAt, d.sync, d.flag, d.atTable, d.atKey)
	return err
}

const partColumns = "job, customer, data_set, number, table_name, row_count, bytes, artifact, size, digest, made_at, restored_at"

func scanPart(scan func(...any) error) (Part, error) {
	var p Part
	var made, restored string
	err := scan(&p.Job, &p.Set.Customer, &p.Set.Database, &p.Number, &p.Table, &p.Rows, &p.Bytes, &p.Key, &p.Size, &p.Digest, &made, &restored)
	if err != nil {
		return p, err
	}
	p.Restored = restored != ""
	p.At, err = parseMoment(made)
	return p, err
}

// insertPart writes the row of a part. Its primary key lets only one attempt commit a part of that number.
func (t *txn) insertPart(ctx context.Context, p Part) error {
	_, err := t.exec(ctx, "INSERT INTO stint_deletion_parts ("+partColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		p.Job, p.Set.Customer, p.Set.Database, p.Number, p.Table, p.Rows, p.Bytes, p.Key, p.Size, p.Digest, formatMoment(p.At), "")
	return err
}

// parts reads the parts of a data set, in their order.
func (t *txn) parts(ctx context.Context, job string, set ID) ([]Part, error) {
	var parts []Part
	err := t.each(ctx, "SELECT "+partColumns+" FROM stint_deletion_parts WHERE customer = ? AND data_set = ? AND job = ? ORDER BY number",
		[]any{set.Customer, set.Database, job}, func(scan func(...any) error) error {
			p, err := scanPart(scan)
			parts = append(parts, p)
			return err
		})
	return parts, err
}

// Progress returns what is known about the deletion of a data set by a job; the zero value when it never held it.
func (s *Store) Progress(ctx context.Context, job string, set ID) (Progress, error) {
	var p Progress
	err := s.inTx(ctx, func(t *txn) error {
		p = Progress{}
		d := &deletion{}
		found := false
		err := t.each(ctx, "SELECT "+deletionColumns+" FROM stint_deletions WHERE customer = ? AND data_set = ? AND job = ?",
			[]any{set.Customer, set.Database, job}, func(scan func(...any) error) error {
				found = true
				return d.scan(scan)
			})
		if err != nil || !found {
			return err
		}
		if p, err = d.progress(); err != nil {
			return err
		}
		p.Parts, err = t.parts(ctx, job, set)
		return err
	})
	if err != nil {
		return Progress{}, fmt.Errorf("read the deletion of %s: %w", set, err)
	}
	return p, nil
}

func (d *deletion) progress() (Progress, error) {
	p := Progress{State: d.state, Reason: d.reason}
	var err error
	if p.Since, err = parseMoment(d.heldAt); err == nil {
		p.Sync, err = parseMoment(d.sync)
	}
	return p, err
}

// progressPage is how many data sets EachProgress reads at a time.
const progressPage = 500

// EachProgress calls a function for each data set that a job has held, in the order of customer and database, byte by byte. It reads
// them page by page and holds no connection while the function runs, so that may use the store. An error of the function ends it.
func (s *Store) EachProgress(ctx context.Context, job string, each func(ID, Progress) error) error {
	var after ID
	for first := true; ; first = false {
		var page []ID
		all := map[ID]*Progress{}
		err := s.inTx(ctx, func(t *txn) error {
			page, all = nil, map[ID]*Progress{}
			return t.progressPage(ctx, job, after, first, func(id ID, p Progress) {
				page = append(page, id)
				all[id] = &p
			}, func(p Part) {
				if at := all[p.Set]; at != nil {
					at.Parts = append(at.Parts, p)
				}
			})
		})
		if err != nil {
			return fmt.Errorf("read the deletions of job %s: %w", job, err)
		}
		for _, id := range page {
			if err := each(id, *all[id]); err != nil {
				return err
			}
		}
		if len(page) < progressPage {
			return nil
		}
		after = page[len(page)-1]
	}
}

// progressPage reads the next data sets of a job, and all of their parts.
func (t *txn) progressPage(ctx context.Context, job string, after ID, first bool, one func(ID, Progress), part func(Part)) error {
	const behind = "(customer > ? OR (customer = ? AND data_set > ?))"
	where, args := "job = ?", []any{job}
	if !first {
		where += " AND " + behind
		args = append(args, after.Customer, after.Customer, after.Database)
	}
	var last ID
	n := 0
	err := t.each(ctx, fmt.Sprintf("SELECT %s FROM stint_deletions WHERE %s ORDER BY customer, data_set LIMIT %d", deletionColumns, where, progressPage),
		args, func(scan func(...any) error) error {
			var d deletion
			if err := d.scan(scan); err != nil {
				return err
			}
			p, err := d.progress()
			one(d.set, p)
			last = d.set
			n++
			return err
		})
	if err != nil || n == 0 {
		return err
	}
	where += " AND NOT " + behind
	args = append(args, last.Customer, last.Customer, last.Database)
	return t.each(ctx, "SELECT "+partColumns+" FROM stint_deletion_parts WHERE "+where+" ORDER BY number", args, func(scan func(...any) error) error {
		p, err := scanPart(scan)
		part(p)
		return err
	})
}

// formatMoment writes a moment as stint's tables hold it; the zero time is "".
func formatMoment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseMoment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("read stint_deletions: %w", err)
	}
	return t.UTC(), nil
}
