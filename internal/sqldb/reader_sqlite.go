package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
)

// openSQLiteRows starts a query, in the faster way where it can.
func openSQLiteRows(ctx context.Context, db *DB, expressions []string, rest string, args []any) (rowSource, error) {
	if len(expressions) <= maxTapColumns {
		if t, err := tapSQLite(ctx, db, expressions, rest, args); err != nil || t != nil {
			return t, err
		}
	}
	return querySQLite(ctx, db, "SELECT "+strings.Join(expressions, ", ")+rest, args)
}

// sqliteRows reads below database/sql, straight from the driver: its scanning would cost as much as the reading.
type sqliteRows struct {
	ctx   context.Context
	conn  *sql.Conn
	rows  driver.Rows
	dest  []driver.Value
	count int
}

func querySQLite(ctx context.Context, db *DB, query string, args []any) (*sqliteRows, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, err
	}
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	s := &sqliteRows{ctx: ctx, conn: conn}
	err = conn.Raw(func(raw any) error {
		q, ok := raw.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("the driver %T has no QueryContext", raw)
		}
		// The rows outlive this function, but not the hold on the connection.
		s.rows, err = q.QueryContext(ctx, query, named)
		return err
	})
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	s.dest = make([]driver.Value, len(s.rows.Columns()))
	return s, nil
}

func (s *sqliteRows) next(cells []cell) (bool, error) {
	if s.count++; s.count&0xff == 0 && s.ctx.Err() != nil {
		return false, context.Cause(s.ctx)
	}
	if err := s.rows.Next(s.dest); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, err
	}
	for i := range cells {
		switch v := s.dest[i].(type) {
		case nil:
			cells[i] = cell{}
		case int64:
			cells[i] = intCell(v)
		case float64:
			cells[i] = floatCell(v)
		case string:
			cells[i] = textCell(v)
		case []byte:
			cells[i] = cell{kind: cellBytes, s: viewString(v)}
		default:
			return false, fmt.Errorf("the driver returned a %T", v)
		}
	}
	return true, nil
}

func (s *sqliteRows) close() error {
	if s.conn == nil {
		return nil
	}
	err := s.rows.Close()
	if e := s.conn.Close(); err == nil {
		err = e
	}
	s.conn = nil
	return err
}
