package sqldb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// mysqlMerge brings rows into a table in which some of them may be, or whose ids are kept. They go through a temporary table of the
// session. INSERT ... ON DUPLICATE KEY UPDATE would do with one statement, but it takes any unique key for the one that was
// meant: a row that collides with another one by a second key would overwrite that.
type mysqlMerge struct {
	make   string // makes the temporary table
	fill   string // begins the INSERT into it
	count  string // counts the rows that are in the target already, and the rows there that they are; "" with ModeReplace, and where rows are inserted
	update string // changes these; "" where there is nothing but the key
	remove string // ModeReplace: deletes them
	insert string // inserts the others
	keep   string // keeps the ids; "" for no ids
}

const dropStage = "DROP TEMPORARY TABLE IF EXISTS stint_stage"

func newMySQLMerge(m *Mapping, o *LoaderOptions) *mysqlMerge {
	const d = MySQL
	target := d.QuoteTable(m.Target.Schema, m.Target.Name)
	var names, set, taken []string
	for _, c := range m.Columns {
		names = append(names, c.Target)
		taken = append(taken, "s."+d.Quote(c.Target))
		if !slices.Contains(o.Key, c.Target) {
			set = append(set, "t."+d.Quote(c.Target)+" = s."+d.Quote(c.Target))
		}
	}
	columns := d.QuoteList(names)
	own, staged := "stint_n bigint unsigned NOT NULL AUTO_INCREMENT PRIMARY KEY", columns
	if m.KeepIDs {
		own, staged = own+", stint_key longtext", columns+", stint_key"
	}
	const stage = "stint_stage"
	same := sameKey(d, o.Key)
	if o.Rows != nil { // two rows of the source must not share one of the target: the second is refused by the key
		same = sameExactly(m.Target, o.Key)
	}
	join := stage + " s JOIN " + target + " t ON " + same
	x := &mysqlMerge{
		// With a key of its own, as some servers want one of each table.
		make: "CREATE TEMPORARY TABLE " + stage + " (" + own + ") ENGINE=InnoDB AS SELECT " + columns + " FROM " + target + " WHERE 1 = 0",
		fill: "INSERT INTO " + stage + " (" + staged + ") VALUES ",
	}
	x.insert = "INSERT INTO " + target + " (" + columns + ") SELECT " + strings.Join(taken, ", ") + " FROM " + stage + " s"
	switch o.Mode {
	case ModeReplace:
		x.remove = "DELETE t FROM " + join
	case ModeUpsert:
		var key []string
		for _, k := range o.Key {
			key = append(key, "t."+d.Quote(k))
		}
		x.count = "SELECT count(*), count(DISTINCT " + strings.Join(key, ", ") + ") FROM " + join
		if len(set) > 0 {
			x.update = "UPDATE " + join + " SET " + strings.Join(set, ", ")
		}
		x.insert += " LEFT JOIN " + target + " t ON " + same + " WHERE t." + d.Quote(o.Key[0]) + " IS NULL"
	}
	x.insert += " ORDER BY s.stint_n"
	if !m.KeepIDs {
		return x
	}
	id, from := "s."+d.Quote(o.IDs.Column), stage+" s"
	if m.sourceOf(o.IDs.Column) == nil { // the target gives it
		id, from = "t."+d.Quote(o.IDs.Column), join
	}
	x.keep = fmt.Sprintf("INSERT INTO stint_ids (scope, entity, source_key, target_id, job) SELECT %s, %s, s.stint_key, CAST(%s AS CHAR), %s FROM %s "+
		"ON DUPLICATE KEY UPDATE target_id = VALUES(target_id), job = VALUES(job)", d.Literal(o.IDs.Scope), d.Literal(o.IDs.Entity), id, d.Literal(o.Job), from)
	return x
}

// run brings the rows of the temporary table into the target, and returns how many that were.
func (x *mysqlMerge) run(ctx context.Context, s *mysqlSink) (int64, error) {
	there, rows := int64(0), int64(0)
	if x.count != "" {
		// A locking read sees what others have committed since the transaction began, as the statements that follow do.
		if err := s.conn.QueryRowContext(ctx, x.count+" FOR UPDATE").Scan(&there, &rows); err != nil {
			return 0, err
		}
		if there > rows && x.update != "" {
			return 0, errSharedKey // the UPDATE would take the first of them, and go over the others
		}
	}
	for _, query := range []string{x.remove, x.update} {
		if query == "" {
			continue
		}
		if _, err := s.change(ctx, query); err != nil {
			return 0, err
		}
	}
	n, err := s.change(ctx, x.insert)
	if err == nil && x.keep != "" {
		err = s.run(ctx, x.keep)
	}
	return there + n, err
}

// settle takes rows that were tried again, and are loaded or skipped now, from those that are set aside. Fewer than there should be
// means that somebody else did: ErrTaken.
func (s *mysqlSink) settle(ctx context.Context, b *Batch, first, end int, bad []badRow) error {
	a := s.opts.Again
	if a == nil {
		return nil
	}
	for _, part := range batchesOf(settledKeys(b, first, end, bad), 500) {
		if len(part) == 0 {
			continue
		}
		args := []any{a.Job, a.Stage}
		for _, key := range part {
			args = append(args, key)
		}
		res, err := s.conn.ExecContext(ctx, "DELETE FROM stint_quarantine WHERE job = ? AND stage = ? AND row_key IN ("+
			strings.TrimSuffix(strings.Repeat("?,", len(part)), ",")+")", args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != int64(len(part)) {
			return errors.Join(ErrTaken, err)
		}
	}
	return nil
}

// requarantine says anew why rows that were tried again are still set aside.
func (s *mysqlSink) requarantine(ctx context.Context, b *Batch, bad []badRow) error {
	a := s.opts.Again
	for i := range bad {
		q := &bad[i]
		clean := func(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
		if err := s.run(ctx, "UPDATE stint_quarantine SET column_name = ?, reason = ?, code = ?, row_json = ? WHERE job = ? AND stage = ? AND row_key = ?",
			clean(q.column), clean(q.reason), q.code, clean(q.json), a.Job, a.Stage, b.nameAt(q.at).String()); err != nil {
			return err
		}
	}
	return nil
}
