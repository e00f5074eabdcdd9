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
		return c.writtenNumber(&p)
	case KindDate, KindTime, KindTimestamp, KindTimestampTZ:
		var m moment
		if p.kind != cellText {
			return nil, false
		}
		if reason, _ := m.parse(p.s, c.dst.Kind); reason != "" {
			return nil, false
		}
		// Four digits of a year are all there are, and in Firebird four behind the second.
		if m.hasDay && p.s[4] != '-' || c.to == Firebird && m.us%100 != 0 {
			return nil, false
		}
		return strings.Clone(p.s), true
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

// writtenNumber returns a decimal as text without an exponent.
func (c *codec) writtenNumber(v *cell) (any, bool) {
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
