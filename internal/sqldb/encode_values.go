package sqldb

import (
	"database/sql/driver"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// driverValue returns a value for SQLite's driver.
func (c *codec) driverValue(v *cell) (driver.Value, *BadValue) {
	if v.kind == cellNull {
		if c.dst.NotNull {
			return nil, c.bad(v, codeNull, "in a column that is NOT NULL")
		}
		return nil, nil
	}
	p, bad := c.plain(v)
	if bad != nil {
		return nil, bad
	}
	switch p.kind {
	case cellInt:
		if c.typed && c.affinity == affinityReal && int64(float64(p.int())) != p.int() {
			return nil, c.bad(&p, codeRange, "has more digits than a REAL column keeps")
		}
		return p.int(), nil
	case cellFloat:
		if math.IsNaN(p.float()) {
			return nil, c.bad(&p, codeSyntax, "would become NULL in SQLite")
		}
		return p.float(), nil
	case cellDecimal:
		return c.scaledValue(&p)
	case cellMicros:
		return string(c.writtenMoment(nil, &p)), nil
	case cellBytes:
		if len(p.s) == 0 {
			return []byte{}, nil
		}
		return []byte(p.s), nil
	}
	if c.typed && !utf8.ValidString(p.s) { // SQLite itself would take it
		return nil, c.bad(&p, codeEncoding, c.noText())
	}
	if c.typed && c.affinity != affinityText && c.affinity != affinityBlob && !c.keepsText(p.s) {
		return nil, c.bad(&p, codeRange, "would be changed by the affinity of the column, "+c.dst.Type)
	}
	return strings.Clone(p.s), nil
}

// scaledValue returns a decimal for SQLite: a number where the column makes one of it anyway.
func (c *codec) scaledValue(v *cell) (driver.Value, *BadValue) {
	text := string(appendScaled(c.scratch[:0], v.int(), int(v.scale)))
	if c.affinity == affinityText || c.affinity == affinityBlob {
		return text, nil
	}
	if v.scale == 0 {
		return v.int(), nil
	}
	var d, e decimal
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !d.parse(text) || !e.parse(strconv.FormatFloat(f, 'f', -1, 64)) || !d.equal(&e) {
		return nil, c.bad(v, codeRange, "would be changed by the affinity of the column, "+c.dst.Type)
	}
	return text, nil
}

// writtenMoment writes microseconds as the kind of the value is written.
func (c *codec) writtenMoment(dst []byte, v *cell) []byte {
	us := v.int() - microsTo2000
	switch c.src.Kind {
	case KindTime:
		return appendClock(dst, v.int())
	case KindDate:
		return appendDate(dst, int32(us/usPerDay))
	case KindTimestampTZ:
		return appendTimestamp(dst, us, true)
	}
	return appendTimestamp(dst, us, false)
}

// keepsText reports whether text that SQLite may turn into a number, by the affinity of the column, stays the same value. A
// decimal must stay the same number, other text the same text.
func (c *codec) keepsText(s string) bool {
	var d, e decimal
	if !d.parse(strings.Trim(s, " \t\n\r\f\v")) {
		return true
	}
	if c.src.Kind != KindNumeric {
		n, err := strconv.ParseInt(s, 10, 64)
		return err == nil && c.affinity != affinityReal && strconv.FormatInt(n, 10) == s
	}
	if c.affinity != affinityReal {
		if _, ok := parseInteger(s); ok {
			return true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return false
	}
	return e.parse(strconv.FormatFloat(f, 'f', -1, 64)) && d.equal(&e)
}

// affinity is what SQLite does to values of a column when it stores them.
type affinity byte

const (
	affinityBlob affinity = iota
	affinityText
	affinityNumeric // also INTEGER, which stores the same
	affinityReal
)

// affinityOf follows SQLite's rules for declared types, in their order.
func affinityOf(typ string) affinity {
	t := strings.ToUpper(typ)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(t, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return affinityNumeric
	case has("CHAR", "CLOB", "TEXT"):
		return affinityText
	case t == "" || has("BLOB") || t == "ANY":
		return affinityBlob
	case has("REAL", "FLOA", "DOUB"):
		return affinityReal
	}
	return affinityNumeric
}
