package sqldb

import (
	"encoding/binary"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
)

// CellKind says what a Cell holds.
type CellKind = cellKind

// The kinds of cells.
const (
	CellNull    = cellNull
	CellInt     = cellInt
	CellFloat   = cellFloat
	CellText    = cellText    // not necessarily valid UTF-8
	CellBytes   = cellBytes   //
	CellDecimal = cellDecimal // exact; made and seen by transformations only
	CellMicros  = cellMicros  // a date, timestamp or time of day; made and seen by transformations only
)

// microsTo2000 is what lies between the epochs of Unix and PostgreSQL, in microseconds.
const microsTo2000 = 10957 * usPerDay

// DecimalCell makes a Cell of coefficient / 10^scale; the scale is 0 to 1,000.
func DecimalCell(coefficient int64, scale int) Cell {
	return cell{kind: cellDecimal, n: uint64(coefficient), scale: int16(scale)}
}

// MicrosCell makes a Cell of microseconds: of a date or timestamp since 1970-01-01, of a time of day since midnight.
func MicrosCell(us int64) Cell { return cell{kind: cellMicros, n: uint64(us)} }

// Kind says what the cell holds.
func (c *cell) Kind() CellKind { return c.kind }

// Int returns an integer, the coefficient of a decimal, or microseconds.
func (c *cell) Int() int64 { return int64(c.n) }

// Float returns a float.
func (c *cell) Float() float64 { return c.float() }

// Scale returns the scale of a decimal.
func (c *cell) Scale() int { return int(c.scale) }

// Text returns text, or bytes as a string, without a copy: valid as long as the cell is.
func (c *cell) Text() string { return c.s }

// appendScaled writes coefficient / 10^scale with all of its digits.
func appendScaled(dst []byte, coefficient int64, scale int) []byte {
	u := uint64(coefficient)
	if coefficient < 0 {
		dst = append(dst, '-')
		u = -u
	}
	start := len(dst)
	dst = strconv.AppendUint(dst, u, 10)
	if scale <= 0 {
		return dst
	}
	for len(dst)-start <= scale { // a digit before the point
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	dst = append(dst, 0)
	at := len(dst) - 1 - scale
	copy(dst[at+1:], dst[at:])
	dst[at] = '.'
	return dst
}

// decodeTyped is decodePostgres for transformations: times come as microseconds and decimals as coefficient and scale, where they
// fit; what does not (infinity, 30 digits) comes as text all the same.
func decodeTyped(oid uint32, s string, buf []byte) (cell, []byte, error) {
	switch oid {
	case pgtype.TimestampOID, pgtype.TimestamptzOID:
		if len(s) == 8 {
			if us := int64(binary.BigEndian.Uint64(viewBytes(s))); us > -1<<62 && us < 1<<62 {
				return MicrosCell(us + microsTo2000), buf, nil
			}
		}
	case pgtype.DateOID:
		if len(s) == 4 {
			if days := int64(int32(binary.BigEndian.Uint32(viewBytes(s)))); days > -1<<25 && days < 1<<25 {
				return MicrosCell(days*usPerDay + microsTo2000), buf, nil
			}
		}
	case pgtype.TimeOID:
		if len(s) == 8 {
			return MicrosCell(int64(binary.BigEndian.Uint64(viewBytes(s)))), buf, nil
		}
	case pgtype.NumericOID:
		if n, scale, ok := smallNumeric(viewBytes(s)); ok {
			return DecimalCell(n, scale), buf, nil
		}
	}
	return decodePostgres(oid, s, buf)
}

// smallNumeric reads a binary numeric of at most 18 digits.
func smallNumeric(b []byte) (n int64, scale int, ok bool) {
	if len(b) < 8 {
		return 0, 0, false
	}
	groups := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	sign := binary.BigEndian.Uint16(b[4:])
	scale = int(binary.BigEndian.Uint16(b[6:]))
	if sign != 0 && sign != 0x4000 || len(b) != 8+2*groups || weight > 3 || (weight+1)*4+scale > 18 {
		return 0, 0, false
	}
	for i := range groups {
		n = n*10000 + int64(binary.BigEndian.Uint16(b[8+2*i:]))
	}
	// n counts in units of 10000^(weight-groups+1); bring it to units of 10^-scale.
	for shift := scale + 4*(weight-groups+1); shift != 0; {
		if shift > 0 {
			n *= 10
			shift--
		} else {
			n /= 10 // digits behind the scale are zeros
			shift++
		}
	}
	if sign != 0 {
		n = -n
	}
	return n, scale, true
}

// ParseMicros reads a date, time or timestamp in ISO form as microseconds: since 1970-01-01, in UTC where the kind is a moment and
// the text has an offset; of a time of day since midnight.
func ParseMicros(kind Kind, text string) (int64, *BadValue) {
	var m moment
	v := textCell(text)
	c := codec{src: &Column{}}
	if reason, code := m.parse(text, kind); reason != "" {
		return 0, c.bad(&v, code, reason)
	}
	if kind == KindTime {
		if m.hasDay || m.hasZone {
			return 0, c.bad(&v, codeDate, "is more than a time of day")
		}
		return m.us, nil
	}
	if kind != KindTimestampTZ && m.offset != 0 {
		return 0, c.bad(&v, codeDate, "has an offset from UTC, which it would lose")
	}
	if kind == KindDate && m.us != 0 {
		return 0, c.bad(&v, codeDate, "has a time of day, which a date would lose")
	}
	return m.days*usPerDay + m.us - m.offset*1e6 + microsTo2000, nil
}

// ParseUUID reads 32 hexadecimal digits, in groups or not, in braces or not.
func ParseUUID(text string) (u [16]byte, ok bool) {
	_, ok = appendUUIDBytes(u[:0], text)
	return u, ok
}
