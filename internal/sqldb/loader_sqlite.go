package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/stint-run/stint/tasks"
	"modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"
)

// maxInsertValues bounds the places of one INSERT. SQLite allows 32,766; beyond a few hundred nothing is won.
const maxInsertValues = 400

// sqliteSink loads by INSERTs of many rows, below database/sql.
type sqliteSink struct {
	opts    LoaderOptions
	m       *Mapping
	conn    *sql.Conn
	drv     driver.Conn
	timeout int64 // of the connection, in milliseconds, before we set ours
	many    driver.StmtExecContext
	one     driver.StmtExecContext
	rows    int // of many
	args    []driver.NamedValue
}

func newSQLiteSink(ctx context.Context, db *DB, m *Mapping, opts LoaderOptions) (*sqliteSink, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &sqliteSink{opts: opts, m: m, conn: conn}
	err = conn.Raw(func(raw any) error {
		var ok bool
		if s.drv, ok = raw.(driver.Conn); !ok {
			return fmt.Errorf("the driver's connection is a %T", raw)
		}
		return nil
	})
	if err == nil {
		err = conn.QueryRowContext(ctx, "PRAGMA busy_timeout").Scan(&s.timeout)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", max(opts.LockTimeout.Milliseconds(), 1)))
	}
	if err == nil {
		s.rows = max(1, maxInsertValues/len(m.Columns))
		if s.many, err = s.prepare(s.rows); err == nil {
			s.one, err = s.prepare(1)
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.args = make([]driver.NamedValue, s.rows*len(m.Columns))
	for i := range s.args {
		s.args[i].Ordinal = i + 1
	}
	return s, nil
}

// prepare makes an INSERT of n rows. OR ABORT overrides what the table says of conflicts: IGNORE and REPLACE would lose rows.
func (s *sqliteSink) prepare(n int) (driver.StmtExecContext, error) {
	names := make([]string, len(s.m.Columns))
	for i, c := range s.m.Columns {
		names[i] = c.Target
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
	stmt, err := s.drv.Prepare("INSERT OR ABORT INTO " + SQLite.QuoteTable("", s.m.Target.Name) + " (" + SQLite.QuoteList(names) + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(row+",", n), ","))
	if err != nil {
		return nil, err
	}
	exec, ok := stmt.(driver.StmtExecContext)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's statement is a %T", stmt), stmt.Close())
	}
	return exec, nil
}

func (s *sqliteSink) close() {
	for _, stmt := range []driver.StmtExecContext{s.many, s.one} {
		if c, ok := stmt.(driver.Stmt); ok {
			_ = c.Close() // nothing to do about it; the connection stays usable
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = s.conn.ExecContext(ctx, "ROLLBACK") // fails when there is nothing to roll back
	if s.timeout > 0 {
		_, _ = s.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", s.timeout))
	}
	_ = s.conn.Close()
}

func (s *sqliteSink) load(ctx context.Context, b *Batch) (Loaded, error) {
	got, err := s.tryLoad(ctx, b)
	if err == nil {
		return got, nil
	}
	back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_, _ = s.conn.ExecContext(back, "ROLLBACK") // fails when SQLite has rolled back by itself
	return Loaded{}, Classify(err)
}

func (s *sqliteSink) tryLoad(ctx context.Context, b *Batch) (Loaded, error) {
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return Loaded{}, err
	}
	p := wholeBatch(b)
	p.bytes = b.Bytes
	p.checksum = checksumValues(b.values)
	o := &s.opts
	_, err := s.conn.ExecContext(ctx, ledgerInsert+"?,?,?,?,?,?,?,?,?,?,?,?,?)", o.Job, o.Stage, o.Step, p.from.String(), p.to.String(), p.doneInt(),
		p.read, p.written, p.quarantined, p.bytes, p.checksumText(), o.Worker, o.Attempt)
	if err != nil {
		if isSQLiteConflict(err) {
			return Loaded{}, ErrTaken
		}
		return Loaded{}, err
	}
	bad, err := s.insertRows(ctx, b)
	if err != nil {
		return Loaded{}, err
	}
	if len(bad) > 0 {
		p.written -= len(bad)
		p.quarantined += len(bad)
		// The checksum of the rows that were written would be another one; "" says that it is not known.
		if _, err := s.conn.ExecContext(ctx, "UPDATE stint_ledger SET rows_written = ?, rows_quarantined = ?, checksum = ? "+
			"WHERE job = ? AND stage = ? AND step = ? AND from_key = ?", p.written, p.quarantined, "", o.Job, o.Stage, o.Step, p.from.String()); err != nil {
			return Loaded{}, err
		}
	}
	for _, q := range append(bad, b.bad...) {
		if _, err := s.conn.ExecContext(ctx, quarantineInsert+"(?,?,?,?,?,?,?,?,?) ON CONFLICT (job, stage, step, row_key) DO UPDATE SET "+
			"column_name = excluded.column_name, reason = excluded.reason, code = excluded.code, row_json = excluded.row_json", o.Job, o.Stage,
			o.Step, s.m.Source.FullName(), b.nameAt(q.at).String(), q.column, q.reason, q.code, q.json); err != nil {
			return Loaded{}, err
		}
	}
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return Loaded{}, err
	}
	return p.loaded(), nil
}

func isSQLiteConflict(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && (e.Code() == sqlitelib.SQLITE_CONSTRAINT_PRIMARYKEY || e.Code() == sqlitelib.SQLITE_CONSTRAINT_UNIQUE)
}

// insertRows inserts the encoded rows and returns those that SQLite rejects. A statement that fails leaves nothing behind, so
// its rows are tried one by one.
func (s *sqliteSink) insertRows(ctx context.Context, b *Batch) ([]badRow, error) {
	var bad []badRow
	n := len(s.m.Columns)
	for row := 0; row < b.RowsEncoded; {
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
		if b.RowsEncoded-row >= s.rows && s.rows > 1 {
			err := s.insert(s.many, b.values[row*n:(row+s.rows)*n], s.rows)
			if err == nil {
				row += s.rows
				continue
			}
			if _, _, _, ok := rowFault(err); !ok {
				return nil, err
			}
		}
		for end := min(row+s.rows, b.RowsEncoded); row < end; row++ {
			err := s.insert(s.one, b.values[row*n:(row+1)*n], 1)
			if err == nil {
				continue
			}
			code, reason, _, ok := rowFault(err)
			if !ok {
				return nil, err
			}
			bad = append(bad, badRow{at: b.readIndex(row), reason: reason, code: code, json: b.encodedJSON(row)})
		}
	}
	return bad, nil
}

func (s *sqliteSink) insert(stmt driver.StmtExecContext, values []any, rows int) error {
	args := s.args[:len(values)]
	for i, v := range values {
		args[i].Value = v
	}
	// Without a deadline the driver needs no goroutine to watch it; the caller looks at the context between statements.
	res, err := stmt.ExecContext(context.Background(), args)
	if err != nil {
		return err
	}
	if got, err := res.RowsAffected(); err != nil || got != int64(rows) {
		return tasks.Permanent(tasks.WithHint(err, "a trigger of the table drops rows; remove it for the load",
			"the target %s took %d of %d rows without an error", s.m.Target.FullName(), got, rows))
	}
	return nil
}

// checksumValues hashes rows for SQLite in the form of RowKey.
func checksumValues(values []any) uint64 {
	hash := xxhash.New()
	var buf [512]byte
	for _, v := range values {
		_, _ = hash.Write(append(appendTagged(buf[:0], v), ',')) // a hash never fails
	}
	return hash.Sum64()
}
