package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/stint-run/stint/tasks"
)

const (
	// statementBytes is how large one INSERT becomes: beyond that nothing is won.
	statementBytes = 1 << 20
	// rivalSlots is how many attempts at one step can be found at the same time.
	rivalSlots = 16
)

// mysqlSink loads by INSERTs of many rows as text, whose literals the codecs have written. That is strict, where LOAD DATA makes
// warnings of errors. A failed statement leaves nothing of itself behind.
type mysqlSink struct {
	opts   LoaderOptions
	m      *Mapping
	merge  *mysqlMerge // nil: rows go straight into the table
	conn   *sql.Conn
	plan   *plan // that insert was made for
	insert string
	packet int // the largest statement that the server takes
	// How long the session waits for locks of rows and of tables, in seconds, before we set ours.
	rowPatience, tablePatience int64
}

// lockName returns the name of a lock of MySQL, which is the server's and not a database's: at most 64 characters.
func lockName(what, job, stage, step string) string {
	h := fnv.New128a()
	for _, part := range []string{what, job, stage, step} {
		_, _ = h.Write([]byte(part + "\x00")) // a hash never fails
	}
	return fmt.Sprintf("stint/%x", h.Sum(nil))
}

// slotName returns the lock by which a session at a step can be found.
func slotName(job, stage, step string, slot int) string {
	return fmt.Sprintf("%s/%d", lockName("step", job, stage, step), slot)
}

func newMySQLSink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (*mysqlSink, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &mysqlSink{opts: opts, m: m, conn: conn}
	patience := wholeSeconds(opts.LockTimeout)
	err = conn.QueryRowContext(ctx, "SELECT @@max_allowed_packet, @@innodb_lock_wait_timeout, @@lock_wait_timeout").Scan(&s.packet, &s.rowPatience, &s.tablePatience)
	if err == nil {
		err = s.setPatience(ctx, int64(patience), int64(patience))
	}
	if err == nil {
		err = s.takeSlot(ctx)
	}
	if err == nil && (m.KeepIDs || opts.Mode != "") {
		s.merge = newMySQLMerge(m, &s.opts)
		if err = s.run(ctx, dropStage); err == nil {
			err = s.run(ctx, s.merge.make)
		}
	}
	if err != nil {
		endSession(conn)
		_ = conn.Close()
		return nil, err
	}
	s.packet -= 1 << 10
	return s, nil
}

// takeSlot takes the first lock of the step that is free. It keeps nobody out: it says who is there, for EndRivals.
func (s *mysqlSink) takeSlot(ctx context.Context) error {
	for slot := range rivalSlots {
		got := 0
		name := slotName(s.opts.Job, s.opts.Stage, s.opts.Step, slot)
		if err := s.conn.QueryRowContext(ctx, "SELECT COALESCE(GET_LOCK(CONCAT(?, '/', CRC32(DATABASE())), 0), 0)", name).Scan(&got); err != nil || got == 1 {
			return err
		}
	}
	return tasks.RetryAfter(fmt.Errorf("%d attempts at this step are there already", rivalSlots), lockPatience)
}

// endMySQLRivals ends the sessions that hold a lock of the step. A session may always end those of its own user.
func endMySQLRivals(ctx context.Context, db *DB, job, stage, step string) (int, error) {
	n := 0
	for slot := range rivalSlots {
		var id *int64
		err := queryRow(ctx, db, "SELECT IS_USED_LOCK(CONCAT($1, '/', CRC32(DATABASE())))", []any{slotName(job, stage, step, slot)}, &id)
		if err == nil && id != nil {
			err = db.exec(ctx, fmt.Sprintf("KILL CONNECTION %d", *id))
			n++
		}
		if err != nil && mysqlNumber(err) != 1094 { // it has ended by itself
			return n, fmt.Errorf("end the sessions of other attempts: %w", Classify(err))
		}
	}
	return n, nil
}

func (mysqlDialect) endRivals(ctx context.Context, db *DB, job, stage, step string) (int, error) {
	return endMySQLRivals(ctx, db, job, stage, step)
}

// close gives the connection back without its locks, or ends it.
func (s *mysqlSink) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := s.rollback(ctx)
	if err == nil {
		err = s.setPatience(ctx, s.rowPatience, s.tablePatience)
	}
	if err == nil && s.merge != nil {
		err = s.run(ctx, dropStage)
	}
	if err == nil {
		releaseLocks(ctx, s.conn)
	} else {
		endSession(s.conn)
	}
	_ = s.conn.Close() // nothing to do about it
}

func (s *mysqlSink) run(ctx context.Context, query string, args ...any) error {
	_, err := s.conn.ExecContext(ctx, query, args...)
	return err
}

func (s *mysqlSink) setPatience(ctx context.Context, rows, tables int64) error {
	return s.run(ctx, fmt.Sprintf("SET innodb_lock_wait_timeout = %d, lock_wait_timeout = %d", rows, tables))
}

func (s *mysqlSink) rollback(ctx context.Context) error { return s.run(ctx, "ROLLBACK") }

func (s *mysqlSink) load(ctx context.Context, b *Batch) (Loaded, error) {
	if s.plan != b.plan {
		s.plan, s.insert = b.plan, "INSERT INTO "+MySQL.QuoteTable(s.m.Target.Schema, s.m.Target.Name)+" ("+MySQL.QuoteList(b.plan.targetColumns())+") VALUES "
		if s.merge != nil {
			s.insert = s.merge.fill
		}
	}
	p := wholeBatch(b)
	err := s.begin(ctx, p)
	if err == nil {
		err = holdSQL(ctx, s.conn, MySQL, b, s.opts.Again, 0, " FOR UPDATE")
	}
	if err == nil {
		err = s.quarantine(ctx, b, b.bad)
	}
	for row := 0; err == nil && row < b.RowsEncoded; {
		end := s.statementEnd(b, row)
		err = s.write(ctx, b, row, end)
		row = end
	}
	if err == nil {
		err = s.settle(ctx, b, 0, b.RowsRead, b.bad)
	}
	if err == nil {
		err = s.keep(ctx, b, 0, b.RowsRead, b.bad)
	}
	if err == nil {
		err = s.run(ctx, "COMMIT")
	}
	if err == nil {
		return p.loaded(), nil
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if e := s.rollback(back); e != nil || errors.Is(err, ErrTaken) {
		return Loaded{}, Classify(err)
	}
	if _, _, _, ok := s.rowFault(err); !ok || b.RowsEncoded == 0 {
		return Loaded{}, Classify(err)
	}
	return isolate(ctx, s, &s.opts, b)
}

// begin begins the transaction with the row of the ledger, whose key a rival waits for.
func (s *mysqlSink) begin(ctx context.Context, p part) error {
	if err := s.run(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	o := &s.opts
	err := s.run(ctx, ledgerInsert+"?,?,?,?,?,?,?,?,?,?,?,?,?,?)", o.Job, o.Stage, o.Step, p.from.String(),
		p.to.String(), p.doneInt(), p.read, p.written, p.quarantined, p.skipped, p.bytes, p.checksumText(), o.Worker, o.Attempt)
	if mysqlNumber(err) == 1062 {
		return ErrTaken
	}
	return err
}

// statementEnd returns the end of the rows from one on that make a good statement.
func (s *mysqlSink) statementEnd(b *Batch, row int) int {
	start := 0
	if row > 0 {
		start = b.ends[row-1]
	}
	at, _ := slices.BinarySearch(b.ends[row:b.RowsEncoded], start+statementBytes)
	return b.groupEnd(min(row+max(at, 1), b.RowsEncoded))
}

// write inserts the encoded rows [lo, hi) by one statement. What the server warns of is an error.
func (s *mysqlSink) write(ctx context.Context, b *Batch, lo, hi int) error {
	rows := b.span(lo, hi)
	if size := len(s.insert) + len(rows); size > s.packet {
		return &largeRowError{size, s.packet}
	}
	if s.merge != nil {
		if err := s.run(ctx, "DELETE FROM stint_stage"); err != nil {
			return err
		}
	}
	n, err := s.change(ctx, s.insert+viewString(rows[:len(rows)-1]))
	if err == nil && s.merge != nil {
		n, err = s.merge.run(ctx, s)
	}
	if err == nil && n != int64(hi-lo) {
		err = tasks.Permanent(tasks.WithHint(nil, "a trigger or the engine of the table drops rows; change it for the load",
			"the target %s took %d of %d rows without an error", s.m.Target.FullName(), n, hi-lo))
	}
	return err
}

// change runs a statement that writes rows, and returns how many. A warning is an error.
func (s *mysqlSink) change(ctx context.Context, query string) (int64, error) {
	res, err := s.conn.ExecContext(ctx, query)
	if err != nil {
		return 0, err
	}
	warnings := 0
	if err := s.conn.QueryRowContext(ctx, "SELECT @@warning_count").Scan(&warnings); err != nil {
		return 0, err
	}
	if warnings > 0 {
		return 0, s.warning(ctx)
	}
	return res.RowsAffected()
}

// rowFault is rowFault, where a foreign key of the target is a rule for rows like any other if the plan says so.
func (s *mysqlSink) rowFault(err error) (code, reason, column string, ok bool) {
	var said *mysql.MySQLError
	if s.opts.Rules && errors.As(err, &said) && (said.Number == 1452 || said.Number == 1451) {
		return codeReference, said.Message, "", true
	}
	return rowFault(err)
}

func (s *mysqlSink) warning(ctx context.Context) error {
	var level string
	w := &warnedError{}
	rows, err := s.conn.QueryContext(ctx, "SHOW WARNINGS LIMIT 1")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&level, &w.number, &w.message); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w
}

// keep keeps what became of the rows [first, end).
func (s *mysqlSink) keep(ctx context.Context, b *Batch, first, end int, bad []badRow) error {
	return keepRows(ctx, placed{sqlQuerier{s.conn}, mysqlPlace}, MySQL, &s.opts, s.m.Source.FullName(), b, first, end, bad)
}

// quarantine keeps bad rows, a few hundred at a time.
func (s *mysqlSink) quarantine(ctx context.Context, b *Batch, bad []badRow) error {
	o := &s.opts
	if o.inRound() {
		return nil // keep does
	}
	if o.Again != nil {
		return s.requarantine(ctx, b, bad)
	}
	const columns, each = 9, 200
	for _, part := range batchesOf(bad, each) {
		if len(part) == 0 {
			continue
		}
		args := make([]any, 0, len(part)*columns)
		for i := range part {
			q := &part[i]
			for _, text := range []string{o.Job, o.Stage, o.Step, s.m.Source.FullName(), b.nameAt(q.at).String(), q.column, q.reason, q.code, q.json} {
				args = append(args, strings.ToValidUTF8(text, "\uFFFD"))
			}
		}
		places := strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?,?,?,?),", len(part)), ",")
		if err := s.run(ctx, quarantineInsert+places+" ON DUPLICATE KEY UPDATE column_name = VALUES(column_name), "+
			"reason = VALUES(reason), code = VALUES(code), row_json = VALUES(row_json)", args...); err != nil {
			return err
		}
	}
	return nil
}

func (s *mysqlSink) beginPart(ctx context.Context, b *Batch, p part, first int) error {
	if err := s.begin(ctx, p); err != nil {
		return err
	}
	return holdSQL(ctx, s.conn, MySQL, b, s.opts.Again, first, " FOR UPDATE")
}

func (s *mysqlSink) reach(b *Batch, row, width int) int {
	return min(b.groupEnd(min(row+width, b.RowsEncoded)), s.statementEnd(b, row))
}

// try needs a savepoint even for one statement: one with warnings has taken effect.
func (s *mysqlSink) try(ctx context.Context, b *Batch, row, end int) error {
	if err := s.run(ctx, "SAVEPOINT stint"); err != nil {
		return err
	}
	return s.write(ctx, b, row, end)
}

func (s *mysqlSink) untry(ctx context.Context) error { return s.run(ctx, "ROLLBACK TO stint") }
func (s *mysqlSink) stoppedAt(err error) int         { return rowIn(err) }

func (s *mysqlSink) giveUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = s.rollback(ctx) // the error that counts is the first one
}

func (s *mysqlSink) endPart(ctx context.Context, b *Batch, p part, first, end int, bad []badRow) error {
	err := s.quarantine(ctx, b, bad)
	if err == nil {
		err = s.run(ctx, "UPDATE stint_ledger SET to_key = ?, done = ?, rows_read = ?, rows_written = ?, rows_quarantined = ?, rows_skipped = ?, bytes = ?, checksum = ? "+
			"WHERE job = ? AND stage = ? AND step = ? AND from_key = ?", p.to.String(), p.doneInt(), p.read, p.written, p.quarantined, p.skipped, p.bytes, p.checksumText(),
			s.opts.Job, s.opts.Stage, s.opts.Step, p.from.String())
	}
	if err == nil {
		err = s.settle(ctx, b, first, end, bad)
	}
	if err == nil {
		err = s.keep(ctx, b, first, end, bad)
	}
	if err == nil {
		err = s.run(ctx, "COMMIT")
	}
	return err
}

// sourceColumn returns the source's name of a column of the target; "" for none.
func (s *mysqlSink) sourceColumn(target string) string {
	for _, c := range s.m.Columns {
		if strings.EqualFold(c.Target, target) {
			return c.Source
		}
	}
	return ""
}
