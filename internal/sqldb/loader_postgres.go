package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stint-run/stint/tasks"
)

// postgresSink loads by COPY. A batch costs two round trips: everything up to the end of the COPY, and COMMIT.
type postgresSink struct {
	opts LoaderOptions
	m    *Mapping
	conn *pgxpool.Conn
	pg   *pgconn.PgConn
	plan *plan // that sql was made for
	sql  string
	// staged says that rows go into a temporary table first, and merge from there into the target.
	staged bool
	merge  string
	used   bool // the temporary table may hold rows of this transaction
	// pending ends the last savepoint of isolate; it goes with the next statement.
	pending string
}

func newPostgresSink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (*postgresSink, error) {
	conn, err := db.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	s := &postgresSink{opts: opts, m: m, conn: conn, pg: conn.Conn().PgConn()}
	// The advisory lock is how EndRivals finds the session.
	if err := s.run(ctx, fmt.Sprintf("SET application_name = %s; SELECT pg_advisory_lock_shared(%d)",
		Postgres.Literal(AppName(opts.Worker, opts.Attempt)), stepLock(opts.Job, opts.Stage, opts.Step))); err != nil {
		conn.Release()
		return nil, err
	}
	if s.staged = m.KeepIDs || opts.Mode != ""; s.staged {
		if err := s.run(ctx, s.stageTable()); err != nil {
			s.close()
			return nil, err
		}
		s.merge = s.mergeSQL()
	}
	return s, nil
}

// close gives the connection back. One that is in the middle of something is broken off by the pool.
func (s *postgresSink) close() {
	if !s.pg.IsClosed() && s.pg.TxStatus() == 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.run(ctx, "DROP TABLE IF EXISTS pg_temp.stint_stage; RESET application_name; SELECT pg_advisory_unlock_all()") // if this fails the connection is broken, and the pool drops it
	}
	s.conn.Release()
}

// run sends statements in one message.
func (s *postgresSink) run(ctx context.Context, sql string) error {
	return s.pg.Exec(ctx, sql).Close()
}

func (s *postgresSink) load(ctx context.Context, b *Batch) (Loaded, error) {
	if s.plan != b.plan {
		s.plan, s.sql = b.plan, b.plan.copySQL()
		if s.staged {
			s.sql = b.plan.copyStageSQL()
		}
	}
	part := wholeBatch(b)
	sql := s.begin() + s.ledgerInsert(part)
	var err error
	if s.opts.Again != nil {
		if err = s.run(ctx, sql); err == nil {
			err = s.hold(ctx, b, 0)
		}
		sql = ""
	}
	if err == nil {
		err = s.copy(ctx, sql+s.quarantineInsert(b, b.bad), b, 0, b.RowsEncoded)
	}
	if err == nil {
		err = s.settled(ctx, b, 0, b.RowsRead, b.bad)
	}
	if err == nil {
		err = keepRows(ctx, postgresQuerier{s.conn}, Postgres, &s.opts, s.m.Source.FullName(), b, 0, b.RowsRead, b.bad)
	}
	if err == nil {
		err = s.commit(ctx)
	}
	if err == nil {
		return part.loaded(), nil
	}
	if e := s.rollback(ctx); e != nil {
		return Loaded{}, Classify(err)
	}
	if isLedgerConflict(err) {
		return Loaded{}, ErrTaken
	}
	if _, _, _, ok := s.rowFault(err); !ok || b.RowsEncoded == 0 {
		return Loaded{}, Classify(err)
	}
	return isolate(ctx, s, &s.opts, b)
}

// part is what one transaction commits of a batch: its rows from one to another, counted among all rows of the batch.
type part struct {
	from, to    RowKey
	done        bool
	read        int
	written     int
	quarantined int // those that are deferred are not
	skipped     int
	bytes       int
	checksum    uint64
}

func wholeBatch(b *Batch) part {
	return part{from: b.From, to: b.To, done: b.Last, read: b.RowsRead, written: b.RowsEncoded, quarantined: setAside(b.bad), skipped: len(b.skipped),
		bytes: len(b.data), checksum: xxhash.Sum64(b.data)}
}

// setAside counts the rows that are set aside for good: not those that are deferred.
func setAside(bad []badRow) int {
	n := 0
	for i := range bad {
		if bad[i].code != CodeDeferred {
			n++
		}
	}
	return n
}

func (p part) loaded() Loaded {
	return Loaded{To: p.to, Done: p.done, Counters: tasks.Counters{Read: int64(p.read), Written: int64(p.written),
		Quarantined: int64(p.quarantined), Skipped: int64(p.skipped), Bytes: int64(p.bytes)}}
}

func (p part) checksumText() string { return fmt.Sprintf("%016x", p.checksum) }

func (p part) doneInt() int {
	if p.done {
		return 1
	}
	return 0
}

const ledgerInsert = "INSERT INTO stint_ledger (job, stage, step, from_key, to_key, done, rows_read, rows_written, rows_quarantined, rows_skipped, " +
	"bytes, checksum, worker, attempt) VALUES ("

func (s *postgresSink) begin() string {
	return "BEGIN; SET LOCAL lock_timeout = " + strconv.FormatInt(max(s.opts.LockTimeout.Milliseconds(), 1), 10) + ";\n"
}

func (s *postgresSink) ledgerInsert(p part) string {
	l := Postgres.Literal
	return ledgerInsert + l(s.opts.Job) + "," + l(s.opts.Stage) + "," + l(s.opts.Step) + "," + l(storedKey(Postgres, p.from.String())) + "," + l(p.to.String()) +
		fmt.Sprintf(",%d,%d,%d,%d,%d,%d,", p.doneInt(), p.read, p.written, p.quarantined, p.skipped, p.bytes) + l(p.checksumText()) + "," +
		l(s.opts.Worker) + "," + l(s.opts.Attempt) + ");\n"
}

func (s *postgresSink) quarantineInsert(b *Batch, bad []badRow) string {
	if len(bad) == 0 || s.opts.inRound() {
		return ""
	}
	if a := s.opts.Again; a != nil {
		return requarantine(a, b, bad)
	}
	names := make([]string, len(bad))
	for i := range bad {
		names[i] = b.nameAt(bad[i].at).String()
	}
	whole := keepWhole(Postgres, names)
	if whole != "" {
		whole += ";\n"
	}
	return whole + quarantineInsert + quarantineValues(Postgres, &s.opts, s.m.Source.FullName(), b, bad) +
		"\nON CONFLICT (job, stage, step, row_key) DO UPDATE SET column_name = EXCLUDED.column_name, reason = EXCLUDED.reason, " +
		"code = EXCLUDED.code, row_json = EXCLUDED.row_json;\n"
}

// copy sends statements and, behind them, the encoded rows [lo, hi) of a batch, all in one message. The server works
// through them in order and stops at the first error.
func (s *postgresSink) copy(ctx context.Context, before string, b *Batch, lo, hi int) error {
	if lo == hi {
		return s.run(ctx, before)
	}
	if s.used { // of this transaction: a COPY that was tried before
		before += "DELETE FROM pg_temp.stint_stage;\n"
	}
	tag, err := CopyFrom(ctx, s.pg, newCopyReader(b.span(lo, hi), b.plan.text), before+s.sql)
	if err == nil && tag.RowsAffected() != int64(hi-lo) {
		err = tasks.Permanent(tasks.WithHint(nil, "a trigger or a rule of the table drops rows; disable it for the load",
			"the target %s took %d of %d rows without an error", s.m.Target.FullName(), tag.RowsAffected(), hi-lo))
	}
	if err == nil && s.staged {
		s.used = true
		err = s.mergeStage(ctx, hi-lo)
	}
	return err
}

// rowFault is rowFault, where a foreign key of the target is a rule for rows like any other if the plan says so.
func (s *postgresSink) rowFault(err error) (code, reason, column string, ok bool) {
	var pg *pgconn.PgError
	if s.opts.Rules && errors.As(err, &pg) && pg.Code == "23503" {
		return pg.Code, pg.Message + ": " + pg.Detail, pg.ColumnName, true
	}
	return rowFault(err)
}

// commit ends the transaction, and takes the server's word only when it says COMMIT.
func (s *postgresSink) commit(ctx context.Context) error {
	results, err := s.pg.Exec(ctx, "COMMIT").ReadAll()
	s.used = false
	if err != nil {
		return err
	}
	if n := len(results); n == 0 || results[n-1].CommandTag.String() != "COMMIT" {
		return errors.New("the server rolled the transaction back")
	}
	return nil
}

// rollback ends a transaction that failed. An error means that the connection is of no use any more.
func (s *postgresSink) rollback(ctx context.Context) error {
	if s.pg.IsClosed() {
		return errors.New("the connection is closed")
	}
	s.used = false
	if s.pg.TxStatus() == 'I' {
		return nil
	}
	return s.run(ctx, "ROLLBACK")
}

func isLedgerConflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505" && pg.TableName == "stint_ledger"
}

func (s *postgresSink) beginPart(ctx context.Context, b *Batch, p part, first int) error {
	s.pending = ""
	// A border that is checked only at COMMIT would not say which row it was.
	if err := s.run(ctx, s.begin()+"SET CONSTRAINTS ALL IMMEDIATE;\n"+s.ledgerInsert(p)); err != nil {
		if isLedgerConflict(err) {
			return ErrTaken
		}
		return err
	}
	return s.hold(ctx, b, first)
}

func (s *postgresSink) reach(b *Batch, row, width int) int {
	return b.groupEnd(min(row+width, b.RowsEncoded))
}

// try sends the end of the savepoint before with its own.
func (s *postgresSink) try(ctx context.Context, b *Batch, row, end int) error {
	err := s.copy(ctx, s.pending+"SAVEPOINT stint;\n", b, row, end)
	if err == nil {
		s.pending = "RELEASE stint;\n"
	}
	return err
}

func (s *postgresSink) untry(context.Context) error {
	s.pending = "ROLLBACK TO stint; RELEASE stint;\n" // the temporary table holds again what it held at the savepoint
	return nil
}

func (s *postgresSink) stoppedAt(err error) int { return copyLine(err) }

func (s *postgresSink) giveUp(ctx context.Context) {
	_ = s.rollback(ctx) // the error that counts is the first one
}

func (s *postgresSink) endPart(ctx context.Context, b *Batch, p part, first, end int, bad []badRow) error {
	l := Postgres.Literal
	err := s.run(ctx, s.pending+s.quarantineInsert(b, bad)+fmt.Sprintf("UPDATE stint_ledger SET to_key = %s, done = %d, rows_read = %d, rows_written = %d, "+
		"rows_quarantined = %d, rows_skipped = %d, bytes = %d, checksum = %s WHERE job = %s AND stage = %s AND step = %s AND from_key = %s", l(p.to.String()),
		p.doneInt(), p.read, p.written, p.quarantined, p.skipped, p.bytes, l(p.checksumText()), l(s.opts.Job), l(s.opts.Stage), l(s.opts.Step), l(storedKey(Postgres, p.from.String()))))
	if err == nil {
		err = s.settled(ctx, b, first, end, bad)
	}
	if err == nil {
		err = keepRows(ctx, postgresQuerier{s.conn}, Postgres, &s.opts, s.m.Source.FullName(), b, first, end, bad)
	}
	if err == nil {
		err = s.commit(ctx)
	}
	return err
}

// sourceColumn returns the source's name of a column of the target; "" for none.
func (s *postgresSink) sourceColumn(target string) string {
	for _, c := range s.m.Columns {
		if c.Target == target {
			return c.Source
		}
	}
	return ""
}

// copyLine returns the line in which a COPY failed, from 1, or 0.
func copyLine(err error) int {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return 0
	}
	_, after, ok := strings.Cut(pg.Where, "COPY ")
	if !ok {
		return 0
	}
	_, after, ok = strings.Cut(after, ", line ")
	if !ok {
		return 0
	}
	end := 0
	for end < len(after) && after[end] >= '0' && after[end] <= '9' {
		end++
	}
	n, _ := strconv.Atoi(after[:end])
	return n
}
