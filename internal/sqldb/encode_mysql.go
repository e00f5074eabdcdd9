package sqldb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// sameMySQL reports whether the values of a column go through as they are.
func sameMySQL(from, to Dialect, src, dst *Column) bool {
	return from == MySQL && to == MySQL && src.Type == dst.Type
}

// addSQL appends a row as the VALUES of an INSERT have it.
func (p *plan) addSQL(b *Batch, cells []cell) *BadValue {
	start := len(b.data)
	data := append(b.data, '(')
	for i := range p.codecs {
		if i > 0 {
			data = append(data, ',')
		}
		var bad *BadValue
		if data, bad = p.codecs[i].appendSQL(data, &cells[i]); bad != nil {
			b.data = data[:start]
			return bad
		}
	}
	if p.m.KeepIDs {
		data = appendQuoted(append(data, ','), p.made.t.Key())
	}
	data = append(data, ')', ',')
	b.data = data
	b.ends = append(b.ends, len(data))
	b.Bytes += len(data) - start
	return nil
}

// appendSQL appends a value as a literal of MySQL, for sessions without backslash escapes: a number as it is, text in quotes,  Nothing is left to the server to round, cut or guess.
func (c *codec) appendSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	if v.kind == cellNull {
		if c.dst.NotNull {
			return dst, c.bad(v, codeNull, "in a column that is NOT NULL")
		}
		return append(dst, "NULL"...), nil
	}
	p, bad := c.plain(v)
	if bad != nil {
		return dst, bad
	}
	switch p.kind { // what transformations make
	case cellDecimal:
		p = textCell(string(appendScaled(nil, p.int(), int(p.scale))))
	case cellMicros:
		p = textCell(string(c.writtenMoment(nil, &p)))
	}
	if c.same {
		if c.dst.Kind == KindNumeric && p.kind == cellText {
			return append(dst, p.s...), nil // digits; in quotes a BIT would take them for bytes
		}
		return appendSame(dst, &p), nil
	}
	switch c.dst.Kind {
	case KindInt64, KindInt32, KindInt16:
		n, bad := c.integer(&p)
		if bad == nil && (c.dst.Kind == KindInt16 && n != int64(int16(n)) || c.dst.Kind == KindInt32 && n != int64(int32(n))) {
			bad = c.bad(&p, codeRange, "is out of range for "+c.dst.Type)
		}
		return strconv.AppendInt(dst, n, 10), bad
	case KindNumeric:
		return c.appendDecimalSQL(dst, &p)
	case KindBool:
		b, bad := c.boolean(&p)
		return append(dst, '0'+b), bad
	case KindFloat64, KindFloat32:
		return c.appendFloatSQL(dst, &p)
	case KindTimestamp, KindTimestampTZ, KindDate, KindTime:
		return c.appendMomentSQL(dst, &p)
	case KindUUID:
		return c.appendUUIDSQL(dst, &p)
	case KindBytes:
		if p.kind != cellBytes && p.kind != cellText {
			return dst, c.bad(&p, codeType, "is a number in a column of bytes")
		}
		if n := c.dst.Length; n > 0 && len(p.s) > n {
			return dst, c.bad(&p, codeTooLong, fmt.Sprintf("is longer than the %d bytes of the column", n))
		}
		return appendBinary(dst, p.s), nil
	case KindJSON:
		return c.appendJSONSQL(dst, &p)
	}
	return c.appendTextSQL(dst, &p)
}

// appendSame appends a value that goes back into the type it was read from.
func appendSame(dst []byte, v *cell) []byte {
	switch v.kind {
	case cellInt:
		return strconv.AppendInt(dst, v.int(), 10)
	case cellFloat:
		return strconv.AppendFloat(dst, v.float(), 'g', -1, 64)
	case cellBytes:
		return appendBinary(dst, v.s)
	}
	return appendQuoted(dst, v.s)
}

// appendBinary appends bytes as a literal that no character set is applied to.
func appendBinary(dst []byte, s string) []byte { return appendQuoted(append(dst, binaryWord...), s) }

const binaryWord = "_binary"

// appendQuoted appends a string literal.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '\'')
	for {
		i := strings.IndexByte(s, '\'')
		if i < 0 {
			break
		}
		dst = append(append(dst, s[:i]...), '\'', '\'')
		s = s[i+1:]
	}
	return append(append(dst, s...), '\'')
}

func (c *codec) appendTextSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	var num [32]byte
	t := *v
	switch v.kind {
	case cellInt:
		t = textCell(viewString(strconv.AppendInt(num[:0], v.int(), 10)))
	case cellFloat:
		t = textCell(viewString(strconv.AppendFloat(num[:0], v.float(), 'g', -1, 64)))
	}
	if !utf8.ValidString(t.s) {
		return dst, c.bad(v, codeEncoding, c.noText())
	}
	if n := c.dst.Length; n > 0 && len(t.s) > n && utf8.RuneCountInString(t.s) > n {
		return dst, c.bad(v, codeTooLong, fmt.Sprintf("is longer than the %d characters of the column", n))
	}
	return appendQuoted(dst, t.s), nil
}

func (c *codec) appendFloatSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	f, bad := c.exactDouble(v)
	switch {
	case bad != nil:
		return dst, bad
	case math.IsNaN(f) || math.IsInf(f, 0):
		return dst, c.bad(v, codeRange, "is not a finite number")
	case c.dst.Kind == KindFloat32 && float64(float32(f)) != f && widen(float32(f)) != f:
		return dst, c.bad(v, codeRange, "has more digits, or a larger range, than "+c.dst.Type+" keeps")
	}
	return strconv.AppendFloat(dst, f, 'e', -1, 64), nil
}

// appendDecimalSQL appends a decimal, exactly or not at all.
func (c *codec) appendDecimalSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	field, bad := c.appendNumeric(c.numeric[:0], v)
	c.numeric = field
	if bad != nil {
		return dst, bad
	}
	out, ok := appendNumericText(dst, field[4:])
	if !ok || out[len(out)-1] == 'N' || out[len(out)-1] == 'y' {
		return dst, c.bad(v, codeRange, "is not a finite number")
	}
	return out, nil
}

// maxYear is the last year of MySQL's calendar.
const maxYear = 9999

func (c *codec) appendMomentSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	if v.kind != cellText {
		return dst, c.bad(v, codeDate, "is not a date or time as text")
	}
	var m moment
	if reason, code := m.parse(v.s, c.dst.Kind); reason != "" {
		return dst, c.bad(v, code, reason)
	}
	if c.grain > 1 && m.us%c.grain != 0 {
		return dst, c.bad(v, codeDateRange, "has more digits behind the second than "+c.dst.Type+" keeps")
	}
	switch c.dst.Kind {
	case KindTime:
		if m.hasDay || m.hasZone {
			return dst, c.bad(v, codeDate, "is more than a time of day")
		}
		return append(appendClock(append(dst, '\''), m.us), '\''), nil
	case KindDate:
		if m.us != 0 || m.hasZone {
			return dst, c.bad(v, codeDate, "has a time of day, or a zone, which a date would lose")
		}
	case KindTimestamp:
		if m.offset != 0 {
			return dst, c.bad(v, codeDate, "has an offset from UTC, which a timestamp without time zone would lose")
		}
	}
	us := m.days*usPerDay + m.us - m.offset*1e6
	days := us / usPerDay
	if us%usPerDay < 0 {
		days--
	}
	if y, _, _ := civil(days); y > maxYear || y < 1 {
		return dst, c.bad(v, codeDateRange, "lies beyond the calendar of MySQL")
	}
	dst = append(dst, '\'')
	if c.dst.Kind == KindDate {
		dst, _ = appendDay(dst, days)
	} else {
		dst = appendTimestamp(dst, us, false)
	}
	return append(dst, '\''), nil
}

func (c *codec) appendUUIDSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	var id [16]byte
	if v.kind == cellBytes && len(v.s) == 16 {
		copy(id[:], v.s)
	} else if out, ok := appendUUIDBytes(id[:0], v.s); v.kind != cellText || !ok || len(out) != 16 {
		return dst, c.bad(v, codeSyntax, "is not a UUID")
	}
	return append(appendUUIDText(append(dst, '\''), id[:]), '\''), nil
}

func (c *codec) appendJSONSQL(dst []byte, v *cell) ([]byte, *BadValue) {
	switch v.kind {
	case cellInt, cellFloat:
		if f := v.float(); v.kind == cellFloat && (math.IsInf(f, 0) || math.IsNaN(f)) {
			return dst, c.bad(v, codeSyntax, "is not JSON")
		}
		return append(appendSame(append(dst, '\''), v), '\''), nil
	}
	if !utf8.ValidString(v.s) {
		return dst, c.bad(v, codeEncoding, c.noText())
	}
	if !json.Valid(viewBytes(v.s)) {
		return dst, c.bad(v, codeSyntax, "is not JSON")
	}
	return appendQuoted(dst, v.s), nil
}

// sqlKey returns a value of a key as the target holds it, and false when it cannot.
func (c *codec) sqlKey(v *cell) (any, bool) {
	field, bad := c.appendSQL(nil, v)
	if bad != nil || v.kind == cellNull {
		return nil, false
	}
	got, _ := cutLiteral(append(field, ','))
	if got.kind == cellText && (c.dst.Kind == KindFloat64 || c.dst.Kind == KindFloat32) {
		f, err := strconv.ParseFloat(got.s, 64)
		return f, err == nil
	}
	return got.value(), true
}

// cutLiteral reads a literal that appendSQL wrote from the front of a row, and returns what is behind it and its comma.
// Numbers that are not whole come as text.
func cutLiteral(data []byte) (cell, []byte) {
	raw := bytes.HasPrefix(data, []byte(binaryWord))
	if raw {
		data = data[len(binaryWord):]
	}
	if data[0] == '\'' {
		end := afterQuoted(viewString(data), 0)
		v := textCell(strings.ReplaceAll(string(data[1:end-1]), "''", "'"))
		if raw {
			v.kind = cellBytes
		}
		return v, data[end+1:]
	}
	end := bytes.IndexAny(data, ",)")
	word := string(data[:end])
	if word == "NULL" {
		return cell{}, data[end+1:]
	}
	if n, err := strconv.ParseInt(word, 10, 64); err == nil {
		return intCell(n), data[end+1:]
	}
	return textCell(word), data[end+1:]
}
