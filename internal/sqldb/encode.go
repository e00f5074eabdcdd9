package sqldb

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// codec turns the values of one column into what its target takes, one at a time. It holds a buffer, so it is for one
// goroutine.
type codec struct {
	src, dst *Column
	from, to Dialect
	typed    bool     // the source enforces its types
	oid      uint32   // PostgreSQL source: the type as it came
	raw      bool     // both sides are the same type of PostgreSQL: bytes go through as they are
	same     bool     // both sides are the same type of MySQL: values go through as they are
	affinity affinity // SQLite target
	grain    int64    // target of times: the microseconds that its precision keeps apart; 0 means 1
	scratch  []byte
	numeric  []byte // MySQL target: a decimal on its way
}

// SQLSTATEs of values that cannot be held, as PostgreSQL would give them.
const (
	codeNull       = "23502" // not_null_violation
	codeTooLong    = "22001" // string_data_right_truncation
	codeRange      = "22003" // numeric_value_out_of_range
	codeDate       = "22007" // invalid_datetime_format
	codeDateRange  = "22008" // datetime_field_overflow
	codeSyntax     = "22P02" // invalid_text_representation
	codeEncoding   = "22021" // character_not_in_repertoire
	codeJSONEscape = "22P05" // untranslatable_character
	codeType       = "42804" // datatype_mismatch
)

// bad says why a value cannot be held.
func (c *codec) bad(v *cell, code, reason string) *BadValue {
	return &BadValue{Column: c.src.Name, Reason: preview(v) + " " + reason, Code: code}
}

// preview shows a value to people, cut short.
func preview(v *cell) string {
	const most = 60
	switch v.kind {
	case cellNull:
		return "NULL"
	case cellInt:
		return strconv.FormatInt(v.int(), 10)
	case cellFloat:
		return strconv.FormatFloat(v.float(), 'g', -1, 64)
	case cellDecimal:
		return string(appendScaled(nil, v.int(), int(v.scale)))
	case cellMicros:
		return string(appendTimestamp(nil, v.int()-microsTo2000, false))
	case cellText:
		if len(v.s) > most {
			return fmt.Sprintf("%+q… (%d bytes)", v.s[:most], len(v.s))
		}
		return fmt.Sprintf("%+q", v.s)
	}
	if len(v.s) > most/2 {
		return fmt.Sprintf("x'%x'… (%d bytes)", v.s[:most/2], len(v.s))
	}
	return fmt.Sprintf("x'%x'", v.s)
}

// plain decodes a raw value; others stay as they are. Text is valid until the codec's next value.
func (c *codec) plain(v *cell) (cell, *BadValue) {
	if v.kind != cellRaw {
		return *v, nil
	}
	out, buf, err := decodePostgres(c.oid, v.s, c.scratch[:0])
	c.scratch = buf
	if err != nil {
		return cell{}, c.bad(v, codeType, "cannot be read: "+err.Error())
	}
	return out, nil
}

// appendField appends a field of binary COPY: its length and its bytes.
func (c *codec) appendField(dst []byte, v *cell) ([]byte, *BadValue) {
	if v.kind == cellNull {
		if c.dst.NotNull {
			return dst, c.bad(v, codeNull, "in a column that is NOT NULL")
		}
		return append(dst, 0xff, 0xff, 0xff, 0xff), nil
	}
	if c.raw {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.s)))
		return append(dst, v.s...), nil
	}
	p, bad := c.plain(v)
	if bad != nil {
		return dst, bad
	}
	switch c.dst.Kind {
	case KindText:
		return c.appendTextField(dst, &p)
	case KindInt64, KindInt32, KindInt16:
		return c.appendInt(dst, &p)
	case KindNumeric:
		return c.appendNumeric(dst, &p)
	case KindBool:
		b, bad := c.boolean(&p)
		if bad != nil {
			return dst, bad
		}
		return append(dst, 0, 0, 0, 1, b), nil
	case KindFloat64, KindFloat32:
		return c.appendFloat(dst, &p)
	case KindTimestamp, KindTimestampTZ, KindDate, KindTime:
		return c.appendMoment(dst, &p)
	case KindUUID:
		return c.appendUUID(dst, &p)
	case KindBytes:
		if p.kind != cellBytes && p.kind != cellText {
			return dst, c.bad(&p, codeType, "is a number in a column of bytes")
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(p.s)))
		return append(dst, p.s...), nil
	case KindJSON:
		return c.appendJSON(dst, &p)
	}
	return dst, c.bad(&p, codeType, "has no binary form for "+c.dst.Type)
}

// sized appends a field whose length is known only when it is written.
func sized(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}

// checkText says why text cannot be stored as text.
func (c *codec) checkText(v *cell) *BadValue {
	if strings.IndexByte(v.s, 0) >= 0 {
		return c.bad(v, codeEncoding, "holds a NUL character, which text cannot")
	}
	if !utf8.ValidString(v.s) {
		return c.bad(v, codeEncoding, c.noText())
	}
	if n := c.dst.Length; n > 0 && len(v.s) > n && utf8.RuneCountInString(v.s) > n {
		return c.bad(v, codeTooLong, fmt.Sprintf("is longer than the %d characters of the column", n))
	}
	return nil
}

func (c *codec) appendTextField(dst []byte, v *cell) ([]byte, *BadValue) {
	t := *v
	var num [48]byte
	if v.kind == cellInt || v.kind == cellFloat || v.kind == cellDecimal {
		var b []byte
		switch v.kind {
		case cellInt:
			b = strconv.AppendInt(num[:0], v.int(), 10)
		case cellDecimal:
			b = appendScaled(num[:0], v.int(), int(v.scale))
		default:
			b = strconv.AppendFloat(num[:0], v.float(), 'g', -1, 64)
		}
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		dst = append(dst, b...)
		if n := c.dst.Length; n > 0 && len(b) > n {
			return dst[:start], c.bad(v, codeTooLong, fmt.Sprintf("is longer than the %d characters of the column", n))
		}
		return sized(dst, start), nil
	}
	if v.kind == cellMicros {
		return sized(c.writtenMoment(append(dst, 0, 0, 0, 0), v), len(dst)), nil
	}
	if bad := c.checkText(&t); bad != nil {
		return dst, bad
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(t.s)))
	return append(dst, t.s...), nil
}

// integer returns a value as a whole number, without loss.
func (c *codec) integer(v *cell) (int64, *BadValue) {
	switch v.kind {
	case cellInt:
		return v.int(), nil
	case cellFloat:
		f := v.float()
		if f != math.Trunc(f) || math.IsInf(f, 0) || math.IsNaN(f) {
			return 0, c.bad(v, codeSyntax, "is not a whole number")
		}
		if f < -1<<63 || f >= 1<<63 {
			return 0, c.bad(v, codeRange, "is out of range for "+c.dst.Type)
		}
		return int64(f), nil
	case cellDecimal:
		n := v.int()
		for range v.scale {
			if n%10 != 0 {
				return 0, c.bad(v, codeSyntax, "is not a whole number")
			}
			n /= 10
		}
		return n, nil
	case cellText:
		s := strings.Trim(v.s, " ")
		if n, ok := parseInteger(s); ok {
			return n, nil
		}
		var d decimal
		if d.parse(s) && len(d.digits()) > 0 && d.point >= len(d.significant()) {
			return 0, c.bad(v, codeRange, "is out of range for "+c.dst.Type)
		}
		return 0, c.bad(v, codeSyntax, "is not a whole number")
	}
	return 0, c.bad(v, codeType, "is bytes in a column of numbers")
}

// parseInteger reads [+-]digits, also with a fraction of zeros, in the range of an int64.
func parseInteger(s string) (int64, bool) {
	if whole, frac, ok := strings.Cut(s, "."); ok && strings.Trim(frac, "0") == "" {
		s = whole
	}
	if s == "" {
		return 0, false
	}
	for i := 0; i < len(s); i++ {
		if (s[i] < '0' || s[i] > '9') && (i > 0 || s[i] != '-' && s[i] != '+') {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func (c *codec) appendInt(dst []byte, v *cell) ([]byte, *BadValue) {
	n, bad := c.integer(v)
	if bad != nil {
		return dst, bad
	}
	switch c.dst.Kind {
	case KindInt16:
		if n == int64(int16(n)) {
			return binary.BigEndian.AppendUint16(append(dst, 0, 0, 0, 2), uint16(n)), nil
		}
	case KindInt32:
		if n == int64(int32(n)) {
			return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(n)), nil
		}
	default:
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(n)), nil
	}
	return dst, c.bad(v, codeRange, "is out of range for "+c.dst.Type)
}

// boolean knows the spellings that leave no doubt.
func (c *codec) boolean(v *cell) (byte, *BadValue) {
	switch v.kind {
	case cellInt:
		if n := v.int(); n == 0 || n == 1 {
			return byte(n), nil
		}
	case cellFloat:
		if f := v.float(); f == 0 || f == 1 {
			return byte(f), nil
		}
	case cellText:
		if len(v.s) <= 5 {
			switch strings.ToLower(v.s) {
			case "1", "t", "true", "y", "yes", "on":
				return 1, nil
			case "0", "f", "false", "n", "no", "off":
				return 0, nil
			}
		}
	}
	return 0, c.bad(v, codeSyntax, "is neither true nor false")
}

// double returns a value as a float64 that reads the same.
func (c *codec) double(v *cell) (float64, *BadValue) {
	switch v.kind {
	case cellFloat:
		return v.float(), nil
	case cellInt:
		n := v.int()
		f := float64(n)
		if f >= 1<<63 || int64(f) != n {
			return 0, c.bad(v, codeRange, "has more digits than "+c.dst.Type+" keeps")
		}
		return f, nil
	case cellDecimal:
		f, err := strconv.ParseFloat(string(appendScaled(c.scratch[:0], v.int(), int(v.scale))), 64)
		if err != nil {
			return 0, c.bad(v, codeRange, "is out of range for "+c.dst.Type)
		}
		return f, nil
	case cellText:
		var d decimal
		s := strings.Trim(v.s, " ")
		if d.parse(s) {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || f == 0 && len(d.significant()) > 0 {
				return 0, c.bad(v, codeRange, "is out of range for "+c.dst.Type)
			}
			return f, nil
		}
		if c.from == Postgres {
			switch s {
			case "NaN":
				return math.NaN(), nil
			case "Infinity":
				return math.Inf(1), nil
			case "-Infinity":
				return math.Inf(-1), nil
			}
		}
		return 0, c.bad(v, codeSyntax, "is not a number")
	}
	return 0, c.bad(v, codeType, "is bytes in a column of numbers")
}

// exactDouble is double for a value that is written: a decimal that stands in the source must not lose digits. What an expression
// makes for a column of floats, a third for example, is meant to become the nearest one, and what a float says of itself is one.
func (c *codec) exactDouble(v *cell) (float64, *BadValue) {
	f, bad := c.double(v)
	if bad == nil && c.from != "" && c.src.Kind != KindFloat64 && c.src.Kind != KindFloat32 && !keepsDecimal(f, v) {
		return 0, c.bad(v, codeRange, "has more digits than "+c.dst.Type+" keeps; in a plan, float(...) makes the nearest number of it")
	}
	return f, bad
}

// keepsDecimal reports whether a decimal can be told again from the nearest float: by as many digits as it has, or as it is the
// float exactly. What is no decimal is none of its business.
func keepsDecimal(f float64, v *cell) bool {
	const (
		always   = 15  // digits that every float of the normal range keeps
		most     = 17  // digits that tell every float from every other one
		all      = 767 // digits of the longest float, written out
		smallest = 0x1p-1022
	)
	var d, e decimal
	switch {
	case v.kind == cellDecimal:
		d.setInt(v.int(), int(v.scale))
	case v.kind != cellText || !d.parse(strings.Trim(v.s, " ")):
		return true
	}
	n := len(d.significant())
	if n == 0 || n <= always && math.Abs(f) >= smallest {
		return true
	}
	if n > most {
		n = all
	}
	var buf [40]byte
	return e.parse(viewString(strconv.AppendFloat(buf[:0], f, 'e', n-1, 64))) && d.equal(&e)
}

func (c *codec) appendFloat(dst []byte, v *cell) ([]byte, *BadValue) {
	f, bad := c.exactDouble(v)
	if bad != nil {
		return dst, bad
	}
	if c.dst.Kind == KindFloat64 {
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), math.Float64bits(f)), nil
	}
	s := float32(f)
	if float64(s) != f && widen(s) != f && !math.IsNaN(f) {
		return dst, c.bad(v, codeRange, "has more digits, or a larger range, than "+c.dst.Type+" keeps")
	}
	return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), math.Float32bits(s)), nil
}

func (c *codec) appendUUID(dst []byte, v *cell) ([]byte, *BadValue) {
	if v.kind == cellBytes && len(v.s) == 16 {
		return append(append(dst, 0, 0, 0, 16), v.s...), nil
	}
	start := len(dst)
	if v.kind == cellText {
		if out, ok := appendUUIDBytes(append(dst, 0, 0, 0, 16), v.s); ok {
			return out, nil
		}
	}
	return dst[:start], c.bad(v, codeSyntax, "is not a UUID")
}

// appendUUIDBytes reads 32 hexadecimal digits, in groups or not, in braces or not.
func appendUUIDBytes(dst []byte, s string) ([]byte, bool) {
	if len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	dashes := len(s) == 36
	if !dashes && len(s) != 32 {
		return dst, false
	}
	for i := 0; i < len(s); i += 2 {
		if dashes && (i == 8 || i == 13 || i == 18 || i == 23) {
			if s[i] != '-' {
				return dst, false
			}
			i++
		}
		hi, lo := unhex(s[i]), unhex(s[i+1])
		if hi|lo > 15 {
			return dst, false
		}
		dst = append(dst, hi<<4|lo)
	}
	return dst, true
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

func (c *codec) appendJSON(dst []byte, v *cell) ([]byte, *BadValue) {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if strings.EqualFold(c.dst.Type, "jsonb") {
		dst = append(dst, 1)
	}
	switch v.kind {
	case cellDecimal:
		return sized(appendScaled(dst, v.int(), int(v.scale)), start), nil
	case cellInt:
		return sized(strconv.AppendInt(dst, v.int(), 10), start), nil
	case cellFloat:
		if f := v.float(); math.IsInf(f, 0) || math.IsNaN(f) {
			return dst[:start], c.bad(v, codeSyntax, "is not JSON")
		}
		return sized(strconv.AppendFloat(dst, v.float(), 'g', -1, 64), start), nil
	}
	if !utf8.ValidString(v.s) {
		return dst[:start], c.bad(v, codeEncoding, "is not valid UTF-8")
	}
	if !json.Valid(viewBytes(v.s)) {
		return dst[:start], c.bad(v, codeSyntax, "is not JSON")
	}
	if escapesNUL(v.s) {
		return dst[:start], c.bad(v, codeJSONEscape, `holds \u0000, which cannot become text`)
	}
	return sized(append(dst, v.s...), start), nil
}

// escapesNUL reports whether valid JSON holds the escape \u0000; an escaped backslash before u0000 is none.
func escapesNUL(s string) bool {
	for {
		i := strings.IndexByte(s, '\\')
		if i < 0 {
			return false
		}
		if strings.HasPrefix(s[i+1:], "u0000") {
			return true
		}
		s = s[i+2:]
	}
}
