package sqldb

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// decimal is an exact decimal number: digits with a point somewhere among, before or behind them. It does not point into itself, so
// that one that is needed for a moment stays on the stack.
type decimal struct {
	neg   bool
	point int      // how many digits are before the point; may be negative, or more than there are
	n     int      // how many of few are digits
	few   [48]byte // '0'..'9', without leading zeros
	many  []byte   // instead, when there are more
}

// digits returns '0'..'9', without leading zeros.
func (d *decimal) digits() []byte {
	if d.many != nil {
		return d.many
	}
	return d.few[:d.n]
}

func (d *decimal) push(digit byte) {
	switch {
	case d.many != nil:
		d.many = append(d.many, digit)
	case d.n == len(d.few):
		d.many = append(append(make([]byte, 0, 4*len(d.few)), d.few[:]...), digit)
	default:
		d.few[d.n] = digit
		d.n++
	}
}

// setDigits takes a whole number.
func (d *decimal) setDigits(u uint64) {
	d.many, d.n = nil, 0
	if u > 0 {
		d.n = len(strconv.AppendUint(d.few[:0], u, 10))
	}
}

// The bounds of PostgreSQL's numeric.
const (
	maxNumericWhole = 131072
	maxNumericScale = 16383
)

// parse reads [+-]digits[.digits][e[+-]digits], nothing else.
func (d *decimal) parse(s string) bool {
	d.neg, d.point, d.n, d.many = false, 0, 0, nil
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		d.neg = s[i] == '-'
		i++
	}
	seen, pointed := false, false
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && !pointed {
			pointed = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		seen = true
		if d.n == 0 && c == '0' {
			if pointed {
				d.point--
			}
			continue
		}
		d.push(c)
		if !pointed {
			d.point++
		}
	}
	if !seen {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		e, err := strconv.Atoi(strings.TrimPrefix(s[i+1:], "+"))
		if err != nil || e > 1e6 || e < -1e6 || strings.HasPrefix(s[i+1:], "+-") || strings.Contains(s[i+1:], "_") {
			return false
		}
		d.point += e
		i = len(s)
	}
	return i == len(s)
}

// significant returns the digits without trailing zeros; none for zero.
func (d *decimal) significant() []byte {
	all := d.digits()
	n := len(all)
	for n > 0 && all[n-1] == '0' {
		n--
	}
	return all[:n]
}

// equal reports whether two decimals are the same number, however they are written.
func (d *decimal) equal(e *decimal) bool {
	a, b := d.significant(), e.significant()
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	return d.neg == e.neg && d.point == e.point && string(a) == string(b)
}

// appendCanonical writes the number in the one way that equal numbers share.
func (d *decimal) appendCanonical(dst []byte) []byte {
	digits := d.significant()
	if len(digits) == 0 {
		return append(dst, '0')
	}
	if d.neg {
		dst = append(dst, '-')
	}
	dst = append(dst, '.')
	dst = append(dst, digits...)
	return strconv.AppendInt(append(dst, 'e'), int64(d.point), 10)
}

// setInt takes n / 10^scale.
func (d *decimal) setInt(n int64, scale int) {
	d.neg = n < 0
	u := uint64(n)
	if d.neg {
		u = -u
	}
	d.setDigits(u)
	d.point = d.n - scale
}

// pow10 holds the powers of ten that a float64 holds exactly.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6}

// scaledFloat returns f as n / 10^scale, if that is the shortest decimal that reads as f. It is the common case, money, without the
// search for the shortest: a decimal of at most 15 digits that reads as f is the only one, so it is the shortest.
func scaledFloat(f float64, scale int) (n int64, ok bool) {
	if scale < 0 || scale >= len(pow10) {
		return 0, false
	}
	r := math.Round(f * pow10[scale])
	return int64(r), math.Abs(r) < 1e15 && r/pow10[scale] == f
}

// ShortDecimal returns the shortest decimal that reads as f, as n / 10^scale, if it has at most 15 digits and 6 of them behind the
// point; false for all others, which strconv knows.
func ShortDecimal(f float64) (n int64, scale int, ok bool) {
	for ; scale < len(pow10); scale++ {
		if n, ok = scaledFloat(f, scale); ok {
			return n, scale, true
		}
	}
	return 0, 0, false
}

// setFloat takes the shortest decimal that reads as this float: 0.99 is 0.99, not what its bits add up to.
func (d *decimal) setFloat(f float64, scale int) {
	d.neg = f < 0
	f = math.Abs(f)
	if n, ok := scaledFloat(f, scale); ok {
		d.setDigits(uint64(n))
		d.point = d.n - scale
		return
	}
	neg := d.neg
	var buf [32]byte
	d.parse(viewString(strconv.AppendFloat(buf[:0], f, 'e', -1, 64)))
	d.neg = neg
}

// appendNumeric appends a field of KindNumeric, exactly or not at all.
func (c *codec) appendNumeric(dst []byte, v *cell) ([]byte, *BadValue) {
	if out, ok := c.appendScaledNumeric(dst, v); ok {
		return out, nil
	}
	return c.appendLongNumeric(dst, v)
}

// appendLongNumeric is appendNumeric for numbers of any length; it says what is wrong with one that does not fit.
func (c *codec) appendLongNumeric(dst []byte, v *cell) ([]byte, *BadValue) {
	var d decimal
	switch v.kind {
	case cellInt:
		d.setInt(v.int(), 0)
	case cellDecimal:
		d.setInt(v.int(), int(v.scale))
	case cellFloat:
		f := v.float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return c.notFinite(dst, v, f)
		}
		scale := c.dst.Scale
		if c.dst.Precision == 0 {
			scale = 0
		}
		d.setFloat(f, scale)
	case cellText:
		s := strings.Trim(v.s, " ")
		if !d.parse(s) {
			if c.from == Postgres {
				if f, err := strconv.ParseFloat(s, 64); err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
					return c.notFinite(dst, v, f)
				}
			}
			return dst, c.bad(v, codeSyntax, "is not a number")
		}
	default:
		return dst, c.bad(v, codeType, "is bytes in a column of numbers")
	}
	digits := d.significant()
	scale := max(len(d.digits())-d.point, 0)
	if c.dst.Precision > 0 {
		if frac := len(digits) - d.point; len(digits) > 0 && frac > c.dst.Scale {
			return dst, c.bad(v, codeRange, fmt.Sprintf("has %d digits behind the point, the column keeps %d", frac, c.dst.Scale))
		}
		if len(digits) > 0 && d.point > c.dst.Precision-c.dst.Scale {
			return dst, c.bad(v, codeRange, fmt.Sprintf("is too large for numeric(%d,%d)", c.dst.Precision, c.dst.Scale))
		}
		scale = max(c.dst.Scale, 0)
	} else if d.point > maxNumericWhole || scale > maxNumericScale {
		return dst, c.bad(v, codeRange, "has more digits than numeric keeps")
	}
	return appendNumericField(dst, d.neg, digits, d.point, scale), nil
}

// notFinite appends what PostgreSQL's numeric can hold beside numbers, when the source is PostgreSQL too. From elsewhere it is
// a mistake: '1e400' is infinite in SQLite.
func (c *codec) notFinite(dst []byte, v *cell, f float64) ([]byte, *BadValue) {
	if c.from != Postgres || c.dst.Precision > 0 && !math.IsNaN(f) {
		return dst, c.bad(v, codeRange, "is not a finite number")
	}
	sign := uint16(0xC000)
	if math.IsInf(f, 1) {
		sign = 0xD000
	} else if math.IsInf(f, -1) {
		sign = 0xF000
	}
	dst = append(dst, 0, 0, 0, 8, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint16(dst, sign)
	return append(dst, 0, 0), nil
}

// appendNumericField appends the binary form of a numeric: groups of four digits around the point.
func appendNumericField(dst []byte, neg bool, digits []byte, point, scale int) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if len(digits) == 0 {
		dst = append(dst, 0, 0, 0, 0, 0, 0)
		return sized(binary.BigEndian.AppendUint16(dst, uint16(scale)), start)
	}
	weight := (point - 1) >> 2 // rounds down
	first := point - 4*weight - 4
	groups := (len(digits) - first + 3) / 4
	sign := uint16(0)
	if neg {
		sign = 0x4000
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(groups))
	dst = binary.BigEndian.AppendUint16(dst, uint16(int16(weight)))
	dst = binary.BigEndian.AppendUint16(dst, sign)
	dst = binary.BigEndian.AppendUint16(dst, uint16(scale))
	for at := first; at < len(digits); at += 4 {
		var g uint16
		for i := at; i < at+4; i++ {
			g *= 10
			if i >= 0 && i < len(digits) {
				g += uint16(digits[i] - '0')
			}
		}
		dst = binary.BigEndian.AppendUint16(dst, g)
	}
	return sized(dst, start)
}
