package sqldb

import (
	"math"
	"strconv"
	"strings"
)

// writtenKey returns a value of a key as a dialect that writes keys into its queries holds it, and false when it cannot hold
// it: no row there has this key then.
func (c *codec) writtenKey(v *cell) (any, bool) {
	if v.kind == cellNull {
		return nil, false
	}
	p, bad := c.plain(v)
	if bad != nil {
		return nil, false
	}
	switch p.kind {
	case cellDecimal:
		p = textCell(string(appendScaled(nil, p.int(), int(p.scale))))
	case cellMicros:
		p = textCell(string(c.writtenMoment(nil, &p)))
	}
	switch c.dst.Kind {
	case KindInt16, KindInt32, KindInt64:
		n, bad := c.integer(&p)
		return n, bad == nil
	case KindBool:
		b, bad := c.boolean(&p)
		return int64(b), bad == nil
	case KindFloat32, KindFloat64:
		f, bad := c.double(&p)
		return f, bad == nil
	case KindNumeric:
		return c.keyNumber(&p)
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		return c.keyMoment(&p)
	case KindBytes:
		return []byte(p.s), p.kind == cellBytes || p.kind == cellText
	}
	switch p.kind {
	case cellInt:
		return strconv.FormatInt(p.int(), 10), true
	case cellFloat:
		return strconv.FormatFloat(p.float(), 'g', -1, 64), true
	}
	return strings.Clone(p.s), true
}

// keyMoment returns a day or a time without zeros at its end, which neither Firebird nor SQL Server reads beyond their own
// precision, and false for one that is finer.
func (c *codec) keyMoment(v *cell) (any, bool) {
	if v.kind != cellText {
		return nil, false
	}
	var m moment
	if reason, _ := m.parse(v.s, c.dst.Kind); reason != "" {
		return nil, false
	}
	grain := int64(1)
	switch {
	case c.to == Firebird:
		grain = 100
	case c.dst.Type == "datetime":
		grain = 1000
	case c.dst.Type == "smalldatetime":
		grain = 60_000_000
	}
	if m.hasDay && v.s[4] != '-' || m.us%grain != 0 { // four digits of a year are all there are
		return nil, false
	}
	before, after, fraction := strings.Cut(v.s, ".")
	if !fraction {
		return strings.Clone(v.s), true
	}
	digits := strings.TrimLeft(after, "0123456789")
	zone := after[len(after)-len(digits):]
	if after = strings.TrimRight(after[:len(after)-len(digits)], "0"); after != "" {
		after = "." + after
	}
	return before + after + zone, true
}

// keyNumber returns a decimal as text without an exponent.
func (c *codec) keyNumber(v *cell) (any, bool) {
	switch v.kind {
	case cellInt:
		return v.int(), true
	case cellFloat:
		f := v.float()
		return strconv.FormatFloat(f, 'f', -1, 64), !math.IsInf(f, 0) && !math.IsNaN(f)
	case cellText:
		var d decimal
		s := strings.Trim(v.s, " ")
		return strings.Clone(s), d.parse(s) && !strings.ContainsAny(s, "eE")
	}
	return nil, false
}
