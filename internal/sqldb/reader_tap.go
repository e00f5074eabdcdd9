package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"modernc.org/sqlite"
)

// A row of SQLite is read through a function of our own:
//
//	SELECT stint_row(7, "id", "name", ...) FROM t ... ORDER BY ...
//
// Asked for a column, the driver takes and gives back the connection's mutex up to three times and copies the value; a function
// gets all values of the row at once, as they lie in SQLite's memory. That reads twice as fast. The function keeps the row for the
// reader that is registered under the number and counts the rows it has kept. A query that is sorted may call it for rows
// that come out later, in another order: such queries are read column by column, and the count, which the reader compares row by
// row, would give them away.

// maxTapColumns is how many columns are read this way; SQLite allows a function 127 arguments at least.
const maxTapColumns = 120

// taps are the readers, by their number.
var taps struct {
	sync.RWMutex
	last atomic.Int64
	rows map[int64]*tapRows
}

func init() {
	taps.rows = map[int64]*tapRows{}
	sqlite.MustRegisterFunction("stint_row", &sqlite.FunctionImpl{NArgs: -1, VolatileArgs: true, Scalar: tapRow})
}

// tapRow keeps the values of a row; they are SQLite's own until it returns.
func tapRow(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
	if len(args) == 0 {
		return nil, errors.New("stint_row is for stint's own reading")
	}
	number, _ := args[0].(int64)
	taps.RLock()
	t := taps.rows[number]
	taps.RUnlock()
	if t == nil || len(args) != len(t.kept)+1 {
		return nil, errors.New("stint_row is for stint's own reading")
	}
	buf := t.buf[:0]
	if cap(buf) > maxTapBuffer {
		buf = nil // one giant row must not stay for ever
	}
	for i, v := range args[1:] {
		c := &t.kept[i]
		switch x := v.(type) {
		case nil:
			*c = cell{}
		case int64:
			*c = intCell(x)
		case float64:
			*c = floatCell(x)
		case string:
			start := len(buf)
			buf = append(buf, x...)
			*c = textCell(viewString(buf[start:])) // if buf moves, the old one lives on with this cell
		case []byte:
			start := len(buf)
			buf = append(buf, x...)
			*c = cell{kind: cellBytes, s: viewString(buf[start:])}
		default:
			return nil, fmt.Errorf("stint_row was given a %T", v)
		}
	}
	t.buf = buf
	t.count++
	return t.count & countMask, nil
}

// countMask is what comes out of the count: Go holds numbers so small without allocating them.
const countMask = 0x7f

// maxTapBuffer is how large a buffer for the text of one row may stay.
const maxTapBuffer = 1 << 20

// tapRows reads rows through stint_row.
type tapRows struct {
	number int64
	ctx    context.Context
	conn   *sql.Conn
	rows   driver.Rows
	dest   [1]driver.Value
	kept   []cell // of the row that the function saw last
	buf    []byte // text and bytes of kept
	count  int64  // how many rows the function has seen
	read   int64  // how many rows have come out
}

// tapSQLite starts a query through stint_row. It returns nil, without an error, when the rows would be sorted.
func tapSQLite(ctx context.Context, db *DB, expressions []string, rest string, args []any) (*tapRows, error) {
	conn, err := db.SQL.Conn(ctx)
	if err != nil {
		return nil, err
	}
	t := &tapRows{number: taps.last.Add(1), ctx: ctx, conn: conn, kept: make([]cell, len(expressions))}
	query := "SELECT stint_row(" + strconv.FormatInt(t.number, 10) + ", " + strings.Join(expressions, ", ") + ")" + rest
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	taps.Lock()
	taps.rows[t.number] = t
	taps.Unlock()
	sorted := false
	err = conn.Raw(func(raw any) error {
		q, ok := raw.(driver.QueryerContext)
		if !ok {
			return fmt.Errorf("the driver %T has no QueryContext", raw)
		}
		if sorted, err = sortsRows(ctx, q, query, named); err != nil || sorted {
			return err
		}
		t.rows, err = q.QueryContext(ctx, query, named)
		return err
	})
	if err != nil || sorted {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// sortsRows asks SQLite whether a query sorts what it reads.
func sortsRows(ctx context.Context, q driver.QueryerContext, query string, args []driver.NamedValue) (bool, error) {
	rows, err := q.QueryContext(ctx, "EXPLAIN QUERY PLAN "+query, args)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	dest := make([]driver.Value, len(rows.Columns()))
	for {
		switch err := rows.Next(dest); {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, err
		}
		if detail, ok := dest[len(dest)-1].(string); !ok || strings.Contains(detail, "TEMP B-TREE") {
			return true, nil
		}
	}
}

func (t *tapRows) next(cells []cell) (bool, error) {
	if t.read++; t.read&0xff == 0 && t.ctx.Err() != nil {
		return false, context.Cause(t.ctx)
	}
	// The driver has read the first row already when it opened the query, and each Next reads the next one.
	if err := t.rows.Next(t.dest[:]); err != nil {
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		return false, err
	}
	if n, ok := t.dest[0].(int64); !ok || n != t.read&countMask || t.count != t.read {
		return false, fmt.Errorf("row %d came out as row %v of %d: the plan of the query has changed", t.read, t.dest[0], t.count)
	}
	copy(cells, t.kept)
	return true, nil
}

func (t *tapRows) close() error {
	if t.conn == nil {
		return nil
	}
	var err error
	if t.rows != nil {
		err = t.rows.Close()
	}
	taps.Lock()
	delete(taps.rows, t.number)
	taps.Unlock()
	if e := t.conn.Close(); err == nil {
		err = e
	}
	t.conn = nil
	return err
}
