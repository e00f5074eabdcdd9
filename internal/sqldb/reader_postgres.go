package sqldb

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgresRows hands out the bytes of the connection's own buffer; nothing is copied or decoded.
type postgresRows struct {
	conn   *pgxpool.Conn
	rr     *pgconn.ResultReader
	cancel context.CancelFunc
	cols   []selected
	ended  bool
}

func queryPostgres(ctx context.Context, db *DB, query string, args []any, cols []selected) (*postgresRows, error) {
	conn, err := db.Pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	formats := make([]int16, len(cols))
	for i := range cols {
		if cols[i].binary {
			formats[i] = 1
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &postgresRows{conn: conn, cancel: cancel, cols: cols}
	s.rr = conn.Conn().PgConn().ExecParams(ctx, query, textParams(args), nil, nil, formats)
	fields := s.rr.FieldDescriptions()
	if len(fields) != len(cols) {
		_, err := s.rr.Close()
		cancel()
		conn.Release()
		if err == nil {
			err = fmt.Errorf("asked for %d columns, got %d", len(cols), len(fields))
		}
		return nil, err
	}
	for i := range cols {
		cols[i].oid = fields[i].DataTypeOID
	}
	return s, nil
}

func (s *postgresRows) next(cells []cell) (bool, error) {
	if !s.rr.NextRow() {
		s.ended = true
		_, err := s.rr.Close()
		return false, err
	}
	for i, b := range s.rr.Values() {
		switch {
		case b == nil:
			cells[i] = cell{}
		case s.cols[i].binary:
			cells[i] = cell{kind: cellRaw, s: viewString(b)}
		default:
			cells[i] = cell{kind: cellText, s: viewString(b)}
		}
	}
	return true, nil
}

func (s *postgresRows) close() error {
	if s.conn == nil {
		return nil
	}
	if !s.ended {
		s.cancel() // breaks the connection, which is cheaper than to read what may be gigabytes
		_, _ = s.rr.Close()
	}
	s.cancel()
	s.conn.Release()
	s.conn = nil
	return nil
}

// textParams writes arguments in PostgreSQL's text form; the casts in the query say what they mean.
func textParams(args []any) [][]byte {
	out := make([][]byte, len(args))
	for i, a := range args {
		switch v := a.(type) {
		case nil:
		case int64:
			out[i] = strconv.AppendInt(nil, v, 10)
		case float64:
			out[i] = strconv.AppendFloat(nil, v, 'g', -1, 64)
		case string:
			out[i] = []byte(v)
		case []byte:
			out[i] = fmt.Appendf(nil, `\x%x`, v)
		default:
			out[i] = fmt.Append(nil, v)
		}
	}
	return out
}

// postgresKeys returns the rows of a query as keys.
func postgresKeys(ctx context.Context, db *DB, query string, args []any, cols []selected) ([]RowKey, error) {
	s, err := queryPostgres(ctx, db, query, args, cols)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var keys []RowKey
	cells := make([]cell, len(cols))
	for {
		ok, err := s.next(cells)
		if err != nil || !ok {
			return keys, err
		}
		key := make(RowKey, len(cells))
		for i := range cells {
			c := cells[i]
			if c.kind == cellRaw {
				if c, _, err = decodePostgres(cols[i].oid, c.s, nil); err != nil {
					return nil, err
				}
			}
			key[i] = c.value()
		}
		keys = append(keys, key)
	}
}
