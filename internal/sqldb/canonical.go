package sqldb

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// likeness says when two values of a pair of columns are the same, in spite of how each database writes them.
type likeness byte

const (
	likeExact   likeness = iota // same storage class, same bytes
	likeText                    // same text; a number is its decimal text
	likePadded                  // same text but for blanks at the end
	likeNumber                  // same exact decimal
	likeFloat                   // same bits; zero has no sign, and there is one NaN
	likeFloat32                 // same bits as a float32
	likeBool                    //
	likeDate                    // same day
	likeMoment                  // same microsecond, in UTC
	likeTime                    // same microsecond of a day
	likeUUID                    // same 16 bytes
	likeBytes                   // same bytes
	likeJSON                    // same document; the order of members and blanks do not count
)

// likenessOf decides by the richer of the two types: that of a database which enforces its types, on the side of the target
// when both do.
func likenessOf(from, to Dialect, src, dst *Column) likeness {
	c := dst
	switch {
	case from == SQLite && to == SQLite:
		switch affinityOf(dst.Type) {
		case affinityNumeric, affinityReal:
			return likeNumber
		}
		return likeExact
	case !to.words().enforces():
		c = src
	}
	switch c.Kind {
	case KindBool:
		return likeBool
	case KindInt16, KindInt32, KindInt64, KindNumeric:
		return likeNumber
	case KindFloat32:
		return likeFloat32
	case KindFloat64:
		return likeFloat
	case KindDate:
		return likeDate
	case KindTimestamp, KindTimestampTZ:
		return likeMoment
	case KindTime:
		return likeTime
	case KindUUID:
		return likeUUID
	case KindBytes:
		return likeBytes
	case KindJSON:
		return likeJSON
	}
	if isPadded(src) || isPadded(dst) {
		return likePadded
	}
	return likeText
}

// isPadded reports whether PostgreSQL fills the values of a column up with blanks.
func isPadded(c *Column) bool {
	return strings.HasPrefix(c.Type, "character(") || c.Type == "bpchar" || c.Type == "character"
}

// The first byte of a canonical value: nothing that differs in it can be equal.
const (
	canonNull  = 'n'
	canonValue = 'v'
	canonOdd   = '!' // not a value of its type; compared as it is written
)

// appendCanonical appends a value in the one form that all values like it share.
func appendCanonical(dst []byte, like likeness, v *cell) []byte {
	if v.kind == cellNull {
		return append(dst, canonNull)
	}
	start := len(dst)
	if out, ok := appendLike(append(dst, canonValue), like, v); ok {
		return out
	}
	dst = append(dst[:start], canonOdd, byte(v.kind))
	if v.kind == cellInt || v.kind == cellFloat || v.kind == cellMicros {
		return binary.BigEndian.AppendUint64(dst, v.n)
	}
	return append(dst, v.s...)
}

func appendLike(dst []byte, like likeness, v *cell) ([]byte, bool) {
	switch like {
	case likeText, likePadded:
		switch v.kind {
		case cellInt:
			return strconv.AppendInt(dst, v.int(), 10), true
		case cellFloat:
			return strconv.AppendFloat(dst, v.float(), 'g', -1, 64), true
		case cellDecimal:
			return appendScaled(dst, v.int(), int(v.scale)), true
		}
		if like == likePadded {
			return append(dst, strings.TrimRight(v.s, " ")...), true
		}
		return append(dst, v.s...), true
	case likeNumber:
		return appendLikeNumber(dst, v)
	case likeFloat, likeFloat32:
		return appendLikeFloat(dst, like, v)
	case likeBool:
		var c codec
		c.src, c.dst = &Column{}, &Column{}
		b, bad := c.boolean(v)
		return append(dst, b), bad == nil
	case likeDate, likeMoment, likeTime:
		return appendLikeMoment(dst, like, v)
	case likeUUID:
		if v.kind == cellBytes {
			return append(dst, v.s...), len(v.s) == 16
		}
		return appendUUIDBytes(dst, v.s)
	case likeBytes:
		return append(dst, v.s...), v.kind == cellBytes || v.kind == cellText
	case likeJSON:
		return appendLikeJSON(dst, v)
	}
	return dst, false // likeExact: as it is written
}

func appendLikeNumber(dst []byte, v *cell) ([]byte, bool) {
	var d decimal
	switch v.kind {
	case cellDecimal:
		d.setInt(v.int(), int(v.scale))
	case cellInt:
		if v.int() == 0 {
			return append(dst, '0'), true
		}
		var buf [20]byte
		d.parse(viewString(strconv.AppendInt(buf[:0], v.int(), 10)))
	case cellFloat:
		f := v.float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return strconv.AppendFloat(dst, f, 'g', -1, 64), true
		}
		d.setFloat(f, -1)
	case cellText:
		s := strings.Trim(v.s, " ")
		if !d.parse(s) {
			switch s {
			case "NaN":
				return append(dst, s...), true
			case "Infinity", "-Infinity":
				f, _ := strconv.ParseFloat(s, 64) // cannot fail
				return strconv.AppendFloat(dst, f, 'g', -1, 64), true
			}
			return dst, false
		}
	default:
		return dst, false
	}
	return d.appendCanonical(dst), true
}

func appendLikeFloat(dst []byte, like likeness, v *cell) ([]byte, bool) {
	var f float64
	switch v.kind {
	case cellFloat:
		f = v.float()
	case cellInt:
		f = float64(v.int())
		if f >= 1<<63 || int64(f) != v.int() {
			return dst, false
		}
	case cellDecimal:
		n, err := strconv.ParseFloat(string(appendScaled(nil, v.int(), int(v.scale))), 64)
		if err != nil {
			return dst, false
		}
		f = n
	case cellText:
		bits := 64
		if like == likeFloat32 {
			bits = 32
		}
		n, err := strconv.ParseFloat(strings.Trim(v.s, " "), bits)
		if err != nil {
			return dst, false
		}
		f = n
	default:
		return dst, false
	}
	if like == likeFloat32 {
		f = float64(float32(f))
	}
	if f == 0 {
		return binary.BigEndian.AppendUint64(dst, 0), true // no sign
	}
	if math.IsNaN(f) {
		f = math.NaN()
	}
	return binary.BigEndian.AppendUint64(dst, math.Float64bits(f)), true
}

func appendLikeMoment(dst []byte, like likeness, v *cell) ([]byte, bool) {
	if v.kind == cellMicros {
		us := v.int()
		if like != likeTime {
			us -= microsTo2000
		}
		if like == likeDate && us%usPerDay != 0 {
			return dst, false
		}
		return binary.BigEndian.AppendUint64(dst, uint64(us)), true
	}
	if v.kind != cellText {
		return dst, false
	}
	want := KindTimestamp
	switch like {
	case likeDate:
		want = KindDate
	case likeTime:
		want = KindTime
	}
	var m moment
	if reason, _ := m.parse(v.s, want); reason != "" {
		return dst, false
	}
	if like == likeDate && m.us != 0 {
		return dst, false
	}
	return binary.BigEndian.AppendUint64(dst, uint64(m.days*usPerDay+m.us-m.offset*1e6)), true
}

func appendLikeJSON(dst []byte, v *cell) ([]byte, bool) {
	switch v.kind {
	case cellInt, cellFloat, cellDecimal:
		return appendLikeNumber(append(dst, '#'), v)
	}
	dec := json.NewDecoder(strings.NewReader(v.s))
	dec.UseNumber()
	var doc any
	if err := dec.Decode(&doc); err != nil || dec.More() {
		return dst, false
	}
	return appendDocument(dst, doc), true
}

// appendDocument writes decoded JSON with its members in order, and its numbers as equal numbers are.
func appendDocument(dst []byte, doc any) []byte {
	switch x := doc.(type) {
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		dst = append(dst, '{')
		for _, k := range keys {
			dst = append(appendJSONString(dst, k), ':')
			dst = append(appendDocument(dst, x[k]), ',')
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for _, e := range x {
			dst = append(appendDocument(dst, e), ',')
		}
		return append(dst, ']')
	case json.Number:
		c := textCell(string(x))
		out, _ := appendLikeNumber(append(dst, '#'), &c)
		return out
	case string:
		return appendJSONString(dst, x)
	case bool:
		return strconv.AppendBool(dst, x)
	}
	return append(dst, "null"...)
}

// comparer compares the values of mapped columns. It holds buffers, so it is for one goroutine.
type comparer struct {
	like []likeness
	a, b []byte
}

// same reports whether the values of a column are alike.
func (c *comparer) same(col int, a, b *cell) bool {
	if a.kind == b.kind && a.n == b.n && a.s == b.s && a.scale == b.scale && a.kind != cellFloat {
		return true
	}
	switch like := c.like[col]; {
	case (like == likeNumber || like == likeBool) && a.kind == cellInt && b.kind == cellInt:
		return false
	case like == likeNumber:
		if same, sure := sameScaled(a, b); sure {
			return same
		}
	}
	c.a = appendCanonical(c.a[:0], c.like[col], a)
	c.b = appendCanonical(c.b[:0], c.like[col], b)
	return bytes.Equal(c.a, c.b)
}

// show writes a value for people: numbers, days and the like without quotes, whether they came as text or not.
func (c *comparer) show(col int, v *cell) string {
	like := c.like[col]
	switch like {
	case likeExact, likeText, likePadded, likeBytes, likeJSON:
		return preview(v)
	case likeDate, likeTime:
		if v.kind == cellMicros {
			if us := v.int() - microsTo2000; like == likeDate && us%usPerDay == 0 {
				return string(appendDate(nil, int32(us/usPerDay)))
			}
			return string(appendClock(nil, v.int()))
		}
	}
	if c.a = appendCanonical(c.a[:0], like, v); v.kind == cellText && c.a[0] == canonValue {
		return strings.Clone(v.s)
	}
	return preview(v)
}
