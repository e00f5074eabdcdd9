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
	"go.opentelemetry.io/otel/trace"
)

// isolationBudget is how long one transaction may go on isolating bad rows before it commits what it has: a drain, and whoever
// waits for our locks, must not wait for a batch of ten thousand bad rows.
const isolationBudget = 500 * time.Millisecond

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
	return s.isolate(ctx, b)
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
	rows := newCopyReader(b.span(lo, hi), b.plan.text)
	tag, err := s.pg.CopyFrom(ctx, rows, before+s.sql)
	rows.stop()
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

// isolate loads a batch of which the server rejected something: it finds the rows, quarantines them and loads the rest, in
// transactions of a bounded time.
func (s *postgresSink) isolate(ctx context.Context, b *Batch) (Loaded, error) {
	trace.SpanFromContext(ctx).AddEvent("isolating rejected rows")
	var sum Loaded
	sum.To = b.From
	from, row := b.From, 0
	for {
		p, next, err := s.isolatePart(ctx, b, from, row)
		if err != nil {
			_ = s.rollback(ctx) // the error that counts is the first one
			if isLedgerConflict(err) {
				err = ErrTaken
			}
			return sum, Classify(err)
		}
		sum = Loaded{To: p.to, Done: p.done, Counters: sum.Counters.Add(p.loaded().Counters)}
		if next == b.RowsEncoded {
			return sum, nil
		}
		from, row = p.to, next
		if isClosed(s.opts.Draining) {
			return sum, tasks.ErrDrained
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// isolatePart commits one transaction of isolate, starting at an encoded row, and returns the row that the next one starts at.
func (s *postgresSink) isolatePart(ctx context.Context, b *Batch, from RowKey, row int) (part, int, error) {
	first := 0
	if row > 0 {
		first = b.readIndex(row)
	}
	planned := part{from: from, to: b.To, done: b.Last}
	// A border that is checked only at COMMIT would not say which row it was.
	before := s.begin() + "SET CONSTRAINTS ALL IMMEDIATE;\n" + s.ledgerInsert(planned)
	if err := s.run(ctx, before); err != nil {
		return part{}, 0, err
	}
	if err := s.hold(ctx, b, first); err != nil {
		return part{}, 0, err
	}
	found, next, sum, size, err := s.isolateRows(ctx, b, row)
	if err != nil {
		return part{}, 0, err
	}
	if s.opts.Stop && len(found) > 0 {
		return part{}, 0, s.opts.stopped(b, &found[0])
	}
	p := planned
	end := b.RowsRead
	if next < b.RowsEncoded {
		end = b.readIndex(next)
		p.to, p.done = b.keyAt(end, b.parts), false
	}
	bad := found
	for _, q := range b.bad {
		if q.at >= first && q.at < end {
			bad = append(bad, q)
		}
	}
	p.read, p.quarantined, p.skipped, p.bytes, p.checksum = end-first, setAside(bad), b.skippedWithin(first, end), size, sum
	p.written = next - row
	for _, q := range found {
		p.written -= q.rows
	}
	l := Postgres.Literal
	err = s.run(ctx, s.quarantineInsert(b, bad)+fmt.Sprintf("UPDATE stint_ledger SET to_key = %s, done = %d, rows_read = %d, rows_written = %d, "+
		"rows_quarantined = %d, rows_skipped = %d, bytes = %d, checksum = %s WHERE job = %s AND stage = %s AND step = %s AND from_key = %s", l(p.to.String()),
		p.doneInt(), p.read, p.written, p.quarantined, p.skipped, p.bytes, l(p.checksumText()), l(s.opts.Job), l(s.opts.Stage), l(s.opts.Step), l(storedKey(Postgres, from.String()))))
	if err == nil {
		err = s.settled(ctx, b, first, end, bad)
	}
	if err == nil {
		err = keepRows(ctx, postgresQuerier{s.conn}, Postgres, &s.opts, s.m.Source.FullName(), b, first, end, bad)
	}
	if err == nil {
		err = s.commit(ctx)
	}
	return p, next, err
}

// isolateRows loads encoded rows from row on, each COPY under a savepoint, until the end of the batch or of the budget. The
// server says in which line it stopped; what is before it is loaded, the line itself is tried alone, so that only a row that
// fails by itself is blamed. All that was made of one row of the source stands and falls together.
func (s *postgresSink) isolateRows(ctx context.Context, b *Batch, row int) (found []badRow, next int, sum uint64, size int, err error) {
	hash := xxhash.New()
	deadline := time.Now().Add(isolationBudget)
	start, width, suspect := row, b.RowsEncoded-row, false
	savepoint := ""
	for row < b.RowsEncoded {
		over := time.Now().After(deadline) || isClosed(s.opts.Draining)
		if over && row > start && b.canCutAt(b.readIndex(row)) { // never before it has moved: each part has a From of its own
			break
		}
		end := b.groupEnd(min(row+width, b.RowsEncoded))
		err := s.copy(ctx, savepoint+"SAVEPOINT stint;\n", b, row, end)
		if err == nil {
			savepoint = "RELEASE stint;\n"
			_, _ = hash.Write(b.span(row, end)) // a hash never fails
			size += len(b.span(row, end))
			row = end
			width *= 8
			if suspect {
				width, suspect = 1, false
			}
			continue
		}
		code, reason, column, ok := s.rowFault(err)
		if !ok {
			return nil, 0, 0, 0, err
		}
		savepoint = "ROLLBACK TO stint; RELEASE stint;\n" // the temporary table holds again what it held at the savepoint
		if b.readIndex(row) == b.readIndex(end-1) {
			found = append(found, badRow{at: b.readIndex(row), rows: end - row, column: s.sourceColumn(column), reason: reason, code: code, json: b.encodedJSON(row)})
			row = end
			width, suspect = 64, false
			continue
		}
		switch line := copyLine(err); {
		case line == 1 || end-row == 2:
			width, suspect = 1, false
		case line > 1 && line <= end-row:
			width, suspect = line-1, true
		default:
			width, suspect = (end-row)/2, false
		}
	}
	if savepoint != "" {
		err = s.run(ctx, savepoint)
	}
	return found, row, hash.Sum64(), size, err
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
