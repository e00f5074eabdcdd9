package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
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
	clear   driver.StmtExecContext // ModeReplace: deletes the row of a key
	keepID  driver.StmtExecContext // with KeepIDs: keeps the id of a row
	keyAt   []int                  // where the columns of the key are in a row, for clear and keepID
	idAt    int                    // where the id is in a row; -1 when the target gives it
	rows    int                    // of many
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
		if s.many, err = s.prepare(s.insertSQL(s.rows)); err == nil {
			s.one, err = s.prepare(s.insertSQL(1))
		}
	}
	if err == nil {
		err = s.prepareKeyed()
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

// insertSQL is an INSERT of n rows. OR ABORT overrides what the table says of conflicts: IGNORE and REPLACE would lose rows.
func (s *sqliteSink) insertSQL(n int) string {
	names := make([]string, len(s.m.Columns))
	for i, c := range s.m.Columns {
		names[i] = c.Target
	}
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", len(names)), ",") + ")"
	sql := "INSERT OR ABORT INTO " + SQLite.QuoteTable("", s.m.Target.Name) + " (" + SQLite.QuoteList(names) + ") VALUES " +
		strings.TrimSuffix(strings.Repeat(row+",", n), ",")
	if s.opts.Mode == ModeUpsert {
		sql += onConflict(SQLite, names, s.opts.Key)
	}
	return sql
}

// onConflict makes an INSERT overwrite the mapped columns of a row that is there; of one that has no others it touches the key, so
// that the row counts.
func onConflict(d Dialect, names, key []string) string {
	var set []string
	for _, name := range names {
		if !slices.Contains(key, name) {
			set = append(set, d.Quote(name)+" = EXCLUDED."+d.Quote(name))
		}
	}
	if len(set) == 0 {
		set = append(set, d.Quote(key[0])+" = EXCLUDED."+d.Quote(key[0]))
	}
	return " ON CONFLICT (" + d.QuoteList(key) + ") DO UPDATE SET " + strings.Join(set, ", ")
}

// overwriting makes an INSERT into one of stint's own tables overwrite columns where the key is there.
func overwriting(insert, key string, columns []string) string {
	set := make([]string, len(columns))
	for i, c := range columns {
		set[i] = c + " = EXCLUDED." + c
	}
	return insert + " ON CONFLICT (" + key + ") DO UPDATE SET " + strings.Join(set, ", ")
}

// prepareKeyed makes the statements that know a row by its key, where they are needed.
func (s *sqliteSink) prepareKeyed() error {
	s.idAt = -1
	var where []string
	for _, k := range s.opts.Key {
		at := slices.IndexFunc(s.m.Columns, func(c ColumnPair) bool { return c.Target == k })
		if at < 0 {
			return tasks.Permanent(fmt.Errorf("the key's column %s is not in the mapping", k))
		}
		s.keyAt = append(s.keyAt, at)
		where = append(where, SQLite.Quote(k)+" = ?")
	}
	table := SQLite.QuoteTable("", s.m.Target.Name)
	var err error
	if s.opts.Mode == ModeReplace {
		if s.clear, err = s.prepare("DELETE FROM " + table + " WHERE " + strings.Join(where, " AND ")); err != nil {
			return err
		}
	}
	if !s.m.KeepIDs {
		return nil
	}
	const conflict = " ON CONFLICT (scope, entity, source_key) DO UPDATE SET target_id = excluded.target_id, job = excluded.job"
	s.idAt = slices.IndexFunc(s.m.Columns, func(c ColumnPair) bool { return c.Target == s.opts.IDs.Column })
	sql := "INSERT INTO stint_ids (scope, entity, source_key, target_id, job) VALUES (?, ?, ?, CAST(? AS TEXT), ?)"
	if s.idAt < 0 {
		sql = "INSERT INTO stint_ids (scope, entity, source_key, job, target_id) SELECT ?, ?, ?, ?, CAST(" + SQLite.Quote(s.opts.IDs.Column) + " AS TEXT) FROM " +
			table + " WHERE " + strings.Join(where, " AND ")
	}
	s.keepID, err = s.prepare(sql + conflict)
	return err
}

func (s *sqliteSink) prepare(sql string) (driver.StmtExecContext, error) {
	stmt, err := s.drv.Prepare(sql)
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
	for _, stmt := range []driver.StmtExecContext{s.many, s.one, s.clear, s.keepID} {
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
	_, err := s.conn.ExecContext(ctx, ledgerInsert+"?,?,?,?,?,?,?,?,?,?,?,?,?,?)", o.Job, o.Stage, o.Step, p.from.String(), p.to.String(), p.doneInt(),
		p.read, p.written, p.quarantined, p.skipped, p.bytes, p.checksumText(), o.Worker, o.Attempt)
	if err != nil {
		if isSQLiteConflict(err) {
			return Loaded{}, ErrTaken
		}
		return Loaded{}, err
	}
	if err := holdSQL(ctx, s.conn, SQLite, b, o.Again, 0, ""); err != nil { // the file is ours until COMMIT
		return Loaded{}, err
	}
	bad, err := s.insertRows(ctx, b)
	if err != nil {
		return Loaded{}, err
	}
	if o.Stop && len(bad) > 0 {
		return Loaded{}, o.stopped(b, &bad[0])
	}
	if len(bad) > 0 {
		for i := range bad {
			p.written -= bad[i].rows
		}
		p.quarantined += len(bad)
		// The checksum of the rows that were written would be another one; "" says that it is not known.
		if _, err := s.conn.ExecContext(ctx, "UPDATE stint_ledger SET rows_written = ?, rows_quarantined = ?, checksum = ? "+
			"WHERE job = ? AND stage = ? AND step = ? AND from_key = ?", p.written, p.quarantined, "", o.Job, o.Stage, o.Step, p.from.String()); err != nil {
			return Loaded{}, err
		}
	}
	all := append(bad, b.bad...)
	if o.Again != nil {
		if err := s.settle(ctx, b, all); err != nil {
			return Loaded{}, err
		}
		all = nil
	}
	if err := keepRows(ctx, sqlQuerier{s.conn}, SQLite, o, s.m.Source.FullName(), b, 0, b.RowsRead, append(bad, b.bad...)); err != nil {
		return Loaded{}, err
	}
	if o.inRound() {
		all = nil
	}
	for _, q := range all {
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
		if b.RowsEncoded-row >= s.rows && s.rows > 1 && s.clear == nil && s.keepID == nil && b.groupEnd(row+s.rows) == row+s.rows {
			err := s.insert(s.many, b.values[row*n:(row+s.rows)*n], s.rows)
			if err == nil {
				row += s.rows
				continue
			}
			if _, _, _, ok := rowFault(err); !ok {
				return nil, err
			}
			if err := s.stands(ctx, err); err != nil {
				return nil, err
			}
		}
		for end := min(row+s.rows, b.RowsEncoded); row < end; {
			next := b.groupEnd(row + 1)
			fault, err := s.insertGroup(ctx, b, row, next)
			if err != nil {
				return nil, err
			}
			if fault != nil {
				bad = append(bad, *fault)
			}
			row = next
		}
	}
	return bad, nil
}

// stands returns an error when the transaction is no more that a row was refused in: a trigger may end it by RAISE(ROLLBACK), and
// what is written after that would stay without its row of the ledger.
func (s *sqliteSink) stands(ctx context.Context, fault error) error {
	if _, err := s.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return nil //nolint:nilerr // there is one already, as there should be
	}
	if _, err := s.conn.ExecContext(ctx, "ROLLBACK"); err != nil {
		return err
	}
	return tasks.Permanent(tasks.WithHint(fault, "let the trigger refuse the row alone, by RAISE(ABORT, ...)",
		"the target rolls whole transactions back when it refuses a row of %s", s.m.Target.FullName()))
}

// insertGroup inserts what was made of one row of the source, all of it or nothing. It returns the row as one to be set aside when
// SQLite rejects any of it.
func (s *sqliteSink) insertGroup(ctx context.Context, b *Batch, row, end int) (*badRow, error) {
	n := len(s.m.Columns)
	several := end-row > 1 || s.clear != nil || s.keepID != nil
	if several {
		if _, err := s.conn.ExecContext(ctx, "SAVEPOINT stint"); err != nil {
			return nil, err
		}
	}
	for at := row; at < end; at++ {
		err := s.insertOne(b, at, b.values[at*n:(at+1)*n])
		if err == nil {
			continue
		}
		code, reason, _, ok := rowFault(err)
		if !ok {
			return nil, err
		}
		if err := s.stands(ctx, err); err != nil {
			return nil, err
		}
		if several {
			if _, err := s.conn.ExecContext(ctx, "ROLLBACK TO stint; RELEASE stint"); err != nil {
				return nil, err
			}
		}
		return &badRow{at: b.readIndex(at), rows: end - row, reason: reason, code: code, json: b.encodedJSON(at)}, nil
	}
	if several {
		_, err := s.conn.ExecContext(ctx, "RELEASE stint")
		return nil, err
	}
	return nil, nil
}

// insertOne inserts one row, in the mode of the loader, and keeps its id.
func (s *sqliteSink) insertOne(b *Batch, at int, values []any) error {
	key := make([]any, len(s.keyAt))
	for i, k := range s.keyAt {
		key[i] = values[k]
	}
	if s.clear != nil {
		if _, err := s.execute(s.clear, key); err != nil {
			return err
		}
	}
	if err := s.insert(s.one, values, 1); err != nil || s.keepID == nil {
		return err
	}
	o := &s.opts
	args := []any{o.IDs.Scope, o.IDs.Entity, b.ids[at]}
	if s.idAt >= 0 {
		args = append(args, values[s.idAt], o.Job)
	} else {
		args = append(append(args, o.Job), key...)
	}
	_, err := s.execute(s.keepID, args)
	return err
}

func (s *sqliteSink) execute(stmt driver.StmtExecContext, values []any) (driver.Result, error) {
	args := make([]driver.NamedValue, len(values))
	for i, v := range values {
		args[i] = driver.NamedValue{Ordinal: i + 1, Value: v}
	}
	return stmt.ExecContext(context.Background(), args)
}

// settle takes rows that were tried again, and are loaded or skipped now, from those that are set aside, and says of the others why
// they still are.
func (s *sqliteSink) settle(ctx context.Context, b *Batch, bad []badRow) error {
	a := s.opts.Again
	for _, key := range settledKeys(b, 0, b.RowsRead, bad) {
		res, err := s.conn.ExecContext(ctx, "DELETE FROM stint_quarantine WHERE job = ? AND stage = ? AND row_key = ?", a.Job, a.Stage, key)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n != 1 {
			return errors.Join(ErrTaken, err)
		}
	}
	for i := range bad {
		q := &bad[i]
		if _, err := s.conn.ExecContext(ctx, "UPDATE stint_quarantine SET column_name = ?, reason = ?, code = ?, row_json = ? WHERE job = ? AND stage = ? AND row_key = ?",
			q.column, q.reason, q.code, q.json, a.Job, a.Stage, b.keyAt(q.at, b.parts).String()); err != nil {
			return err
		}
	}
	return nil
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
