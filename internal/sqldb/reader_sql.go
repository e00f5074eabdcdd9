package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// sqlRows streams a query of database/sql, for databases without a reader of their own. Bytes are views of the driver's buffer:
// nothing is copied but times, which are written out.
type sqlRows struct {
	rows *sql.Rows
	scan []cellScanner
	dest []any
	end  func() error // gives the connection back, where it is ours
	stop func()       // breaks the query off
	done bool         // all rows were read
}

// querySQL starts a query on a connection of its own, which the rows give back. cols say what the columns of the result are;
// convert, when it is not nil, turns what a driver returns for a column into int64, float64, string, []byte, bool, time.Time or nil.
func querySQL(ctx context.Context, db *DB, query string, args []any, cols []selected, convert func(c *Column, v any) (any, error)) (rowSource, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	rows, err := readSQL(ctx, conn, query, args, cols, convert)
	if err != nil {
		stop()
		_ = conn.Close()
		return nil, err
	}
	rows.end, rows.stop = conn.Close, stop
	return rows, nil
}

// readSQL is querySQL on a connection, or in a transaction, that stays with the caller.
func readSQL(ctx context.Context, conn sqlConn, query string, args []any, cols []selected, convert func(c *Column, v any) (any, error)) (*sqlRows, error) {
	rows, err := conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	s := &sqlRows{rows: rows, stop: func() {}, scan: make([]cellScanner, len(cols)), dest: make([]any, len(cols))}
	for i := range cols {
		s.scan[i].column, s.scan[i].convert = cols[i].column, convert
		s.dest[i] = &s.scan[i]
	}
	return s, nil
}

func (s *sqlRows) next(cells []cell) (bool, error) {
	if !s.rows.Next() {
		s.done = true
		return false, s.rows.Err()
	}
	for i := range s.scan {
		s.scan[i].cell = &cells[i]
	}
	return true, s.rows.Scan(s.dest...)
}

func (s *sqlRows) close() error {
	if !s.done && s.rows.Next() {
		s.stop() // breaks the connection, which is cheaper than to read what may be gigabytes
	}
	err := s.rows.Close()
	if !s.done {
		err = nil
	}
	s.stop()
	if s.end != nil {
		if e := s.end(); err == nil {
			err = e
		}
		s.end = nil
	}
	return err
}

// cellScanner is a sql.Scanner, which gets the driver's own value: no other destination does without a copy.
type cellScanner struct {
	column  *Column // nil for the place of a row
	cell    *cell
	buf     []byte // a time, written out
	convert func(c *Column, v any) (any, error)
}

// Scan implements sql.Scanner.
func (s *cellScanner) Scan(v any) error {
	if s.convert != nil {
		var err error
		if v, err = s.convert(s.column, v); err != nil {
			return err
		}
	}
	kind := KindBytes
	if s.column != nil {
		kind = s.column.Kind
	}
	switch x := v.(type) {
	case nil:
		*s.cell = cell{}
	case int64:
		*s.cell = intCell(x)
	case uint64:
		if x <= math.MaxInt64 {
			*s.cell = intCell(int64(x))
		} else {
			*s.cell = s.text(strconv.AppendUint(s.buf[:0], x, 10))
		}
	case float64:
		*s.cell = floatCell(x)
	case float32:
		*s.cell = floatCell(widen(x))
	case bool:
		*s.cell = intCell(0)
		if x {
			*s.cell = intCell(1)
		}
	case string:
		*s.cell = textCell(x)
	case []byte:
		if kind == KindBytes {
			*s.cell = cell{kind: cellBytes, s: viewString(x)}
		} else {
			*s.cell = textCell(viewString(x))
		}
	case time.Time:
		*s.cell = s.text(appendTime(s.buf[:0], x, kind))
	default:
		return fmt.Errorf("the driver returned a %T", v)
	}
	return nil
}

// text keeps what was written, as the buffer for the next value too.
func (s *cellScanner) text(b []byte) cell {
	s.buf = b
	return textCell(viewString(b))
}

// appendTime writes a time as ISO text of what the kind holds; a moment in UTC.
func appendTime(b []byte, t time.Time, kind Kind) []byte {
	switch kind {
	case KindDate:
		return t.AppendFormat(b, "2006-01-02")
	case KindTime:
		return t.AppendFormat(b, "15:04:05.999999999")
	case KindTimestampTZ:
		return t.UTC().AppendFormat(b, "2006-01-02 15:04:05.999999999+00:00")
	}
	return t.AppendFormat(b, "2006-01-02 15:04:05.999999999")
}

// placed is a querier for a driver that writes the places of arguments in another way than $1: each place is written by write,
// which gets its number in the new order; an argument that has several places is given several times.
type placed struct {
	q     sqlQuerier
	write func(n int) string
}

func (p placed) exec(ctx context.Context, query string, args ...any) error {
	query, args = p.places(query, args)
	return p.q.exec(ctx, query, args...)
}

func (p placed) queryAll(ctx context.Context, query string, args []any, row func(scan func(...any) error) error) error {
	query, args = p.places(query, args)
	return p.q.queryAll(ctx, query, args, row)
}

// places rewrites $1, $2, ... outside of quoted texts and names.
func (p placed) places(query string, args []any) (string, []any) {
	if !strings.Contains(query, "$1") { // written for this database already
		return query, args
	}
	var out []byte
	var given []any
	for i := 0; i < len(query); {
		switch c := query[i]; {
		case c == '\'' || c == '"' || c == '`':
			end := afterQuoted(query, i)
			out = append(out, query[i:end]...)
			i = end
		case c == '$' && i+1 < len(query) && query[i+1] >= '1' && query[i+1] <= '9':
			n := 0
			for i++; i < len(query) && query[i] >= '0' && query[i] <= '9'; i++ {
				n = 10*n + int(query[i]-'0')
			}
			given = append(given, args[n-1])
			out = append(out, p.write(len(given))...)
		default:
			out = append(out, c)
			i++
		}
	}
	return string(out), given
}
