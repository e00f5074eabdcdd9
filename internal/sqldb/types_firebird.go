package sqldb

import (
	"fmt"
	"strconv"
	"strings"
)

// Field types of Firebird, as RDB$FIELDS counts them.
const (
	fbSmallint    = 7
	fbInteger     = 8
	fbFloat       = 10
	fbDate        = 12
	fbTime        = 13
	fbChar        = 14
	fbBigint      = 16
	fbBoolean     = 23
	fbDecFloat16  = 24 // from here to fbTimestampTZ: Firebird 4
	fbDecFloat34  = 25
	fbInt128      = 26
	fbDouble      = 27
	fbTimeTZ      = 28
	fbTimestampTZ = 29
	fbTimestamp   = 35
	fbVarchar     = 37
	fbBlob        = 261
)

// fbField is what RDB$FIELDS says of the type of a column.
type fbField struct {
	typ, subType, scale, precision int
	length                         int    // of text, in characters
	charset                        string // of text, also of blobs; "" for none
}

// column sets type and kind of a column. charset is what text of CHARACTER SET NONE is read as, "" for UTF-8.
//
// Firebird checks the range of what a number is stored in, not its digits: 327.67 fits into NUMERIC(4,2). The precision is
// therefore that of the storage.
func (f fbField) column(c *Column, charset string) error {
	switch f.typ {
	case fbSmallint, fbInteger, fbBigint, fbInt128:
		f.number(c)
	case fbFloat:
		c.Type, c.Kind = "FLOAT", KindFloat32
	case fbDouble:
		c.Type, c.Kind = "DOUBLE PRECISION", KindFloat64
	case fbDecFloat16, fbDecFloat34:
		c.Type, c.Kind = "DECFLOAT("+strconv.Itoa(map[int]int{fbDecFloat16: 16, fbDecFloat34: 34}[f.typ])+")", KindNumeric
	case fbDate:
		c.Type, c.Kind = "DATE", KindDate
	case fbTime:
		c.Type, c.Kind = "TIME", KindTime
	case fbTimestamp:
		c.Type, c.Kind = "TIMESTAMP", KindTimestamp
	case fbTimestampTZ:
		c.Type, c.Kind = "TIMESTAMP WITH TIME ZONE", KindTimestampTZ
	case fbTimeTZ:
		c.Type, c.Kind = "TIME WITH TIME ZONE", KindOther
	case fbBoolean:
		c.Type, c.Kind = "BOOLEAN", KindBool
	case fbChar, fbVarchar, fbBlob:
		f.text(c, charset)
	default:
		return fmt.Errorf("a type with the number %d is not known", f.typ)
	}
	return nil
}

// number is a whole number or, with a scale, a decimal.
func (f fbField) number(c *Column) {
	type storage struct {
		name   string
		kind   Kind
		digits int
	}
	in := map[int]storage{fbSmallint: {"SMALLINT", KindInt16, 5}, fbInteger: {"INTEGER", KindInt32, 10},
		fbBigint: {"BIGINT", KindInt64, 19}, fbInt128: {"INT128", KindNumeric, 39}}[f.typ]
	if f.subType == 0 && f.scale == 0 {
		c.Type, c.Kind = in.name, in.kind
		if in.kind == KindNumeric {
			c.Precision = in.digits
		}
		return
	}
	name, precision := "NUMERIC", f.precision
	if f.subType == 2 {
		name = "DECIMAL"
	}
	if precision == 0 {
		precision = in.digits - 1
	}
	c.Type, c.Kind = fmt.Sprintf("%s(%d,%d)", name, precision, -f.scale), KindNumeric
	c.Precision, c.Scale = max(in.digits, -f.scale), -f.scale
}

// text is text or bytes. The type of text says of what character set it is, and, where the database does not know, what it
// is read as.
func (f fbField) text(c *Column, charset string) {
	octets := f.charset == "OCTETS"
	switch {
	case f.typ == fbBlob && f.subType != 1:
		c.Type, c.Kind = "BLOB SUB_TYPE "+strconv.Itoa(f.subType), KindBytes
		return
	case f.typ == fbBlob:
		c.Type = "BLOB SUB_TYPE TEXT"
	case f.typ == fbChar:
		c.Type = "CHAR(" + strconv.Itoa(f.length) + ")"
	default:
		c.Type = "VARCHAR(" + strconv.Itoa(f.length) + ")"
	}
	c.Kind = KindText
	if octets {
		c.Kind = KindBytes
	} else if f.typ != fbBlob {
		c.Length = f.length
	}
	if f.charset == "" {
		f.charset = "NONE"
	}
	c.Type += fbCharset + f.charset
	if f.charset == "NONE" && charset != "" {
		c.Type += fbReadAs + charset
	}
}

// The words between which the type of text says its character set.
const (
	fbCharset = " CHARACTER SET "
	fbReadAs  = " READ AS "
)

// fbTextOf returns the parts of a type that text wrote: the type without its character set, the character set, and what
// bytes are read as, "" for what the character set says.
func fbTextOf(typ string) (base, charset, readAs string) {
	base, rest, _ := strings.Cut(typ, fbCharset)
	charset, readAs, _ = strings.Cut(rest, fbReadAs)
	return base, charset, readAs
}
