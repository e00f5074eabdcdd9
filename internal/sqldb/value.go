package sqldb

import (
	"fmt"
	"math"
	"unsafe"
)

// cellKind says what a cell holds.
type cellKind byte

const (
	cellNull    cellKind = iota
	cellInt              // n, as an int64
	cellFloat            // n, as the bits of a float64
	cellText             // s; not necessarily valid UTF-8
	cellBytes            // s
	cellRaw              // s: the binary form of PostgreSQL; the column's decoder knows what it means
	cellDecimal          // n / 10^scale, n as an int64: made by transformations only
	cellMicros           // n, microseconds since 1970-01-01, or since midnight: made by transformations only
)

// cell is one value on its way, without an allocation of its own. Text and bytes may lie in a buffer of the driver and are
// valid until the next row is read.
type cell struct {
	kind  cellKind
	scale int16 // cellDecimal: 0 or more
	n     uint64
	s     string
}

func intCell(i int64) cell     { return cell{kind: cellInt, n: uint64(i)} }
func floatCell(f float64) cell { return cell{kind: cellFloat, n: math.Float64bits(f)} }
func textCell(s string) cell   { return cell{kind: cellText, s: s} }

func (c *cell) int() int64     { return int64(c.n) }
func (c *cell) float() float64 { return math.Float64frombits(c.n) }

// value returns a copy that outlives the row.
func (c *cell) value() any {
	switch c.kind {
	case cellInt:
		return c.int()
	case cellFloat:
		return c.float()
	case cellText:
		return string([]byte(c.s))
	case cellBytes, cellRaw:
		return []byte(c.s)
	case cellDecimal:
		return string(appendScaled(nil, c.int(), int(c.scale)))
	case cellMicros:
		return c.int()
	}
	return nil
}

// viewString lends bytes as a string: valid, and constant, only as long as the bytes are.
func viewString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// viewBytes lends a string as bytes that nobody may change.
func viewBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// BadValue is a value that the target column cannot hold as it is. Nothing is bent to fit: the row is set aside with it.
type BadValue struct {
	Column string // of the source
	Reason string // for people: what is wrong, with the beginning of the value
	Code   string // the SQLSTATE that PostgreSQL would answer with, such as 22003
}

// Error returns the reason, with column and code.
func (e *BadValue) Error() string {
	return fmt.Sprintf("column %s: %s (%s)", e.Column, e.Reason, e.Code)
}
