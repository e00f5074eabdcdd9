package sqldb

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"
)

// OIDs of types that pgtype does not name.
const oidChar = 18 // "char", one byte

// decodePostgres reads the binary form of one value. Text comes as a view of b or of buf, to which it appends what it has to
// write out; the rest as integers and floats.
func decodePostgres(oid uint32, s string, buf []byte) (cell, []byte, error) {
	b := viewBytes(s)
	short := func(n int) bool { return len(b) != n }
	switch oid {
	case pgtype.BoolOID:
		if short(1) {
			break
		}
		return intCell(int64(b[0])), buf, nil
	case pgtype.Int2OID:
		if short(2) {
			break
		}
		return intCell(int64(int16(binary.BigEndian.Uint16(b)))), buf, nil
	case pgtype.Int4OID:
		if short(4) {
			break
		}
		return intCell(int64(int32(binary.BigEndian.Uint32(b)))), buf, nil
	case pgtype.OIDOID:
		if short(4) {
			break
		}
		return intCell(int64(binary.BigEndian.Uint32(b))), buf, nil
	case pgtype.Int8OID:
		if short(8) {
			break
		}
		return intCell(int64(binary.BigEndian.Uint64(b))), buf, nil
	case pgtype.Float4OID:
		if short(4) {
			break
		}
		return floatCell(widen(math.Float32frombits(binary.BigEndian.Uint32(b)))), buf, nil
	case pgtype.Float8OID:
		if short(8) {
			break
		}
		return floatCell(math.Float64frombits(binary.BigEndian.Uint64(b))), buf, nil
	case pgtype.ByteaOID:
		return cell{kind: cellBytes, s: s}, buf, nil
	case pgtype.JSONBOID:
		if len(b) < 1 {
			break
		}
		return textCell(s[1:]), buf, nil
	case pgtype.TextOID, pgtype.VarcharOID, pgtype.BPCharOID, pgtype.NameOID, oidChar, pgtype.JSONOID, pgtype.UnknownOID, pgtype.XMLOID:
		return textCell(s), buf, nil
	}
	return decodeWritten(oid, s, buf)
}

// widen turns a float32 into the float64 that reads the same: 0.1 stays 0.1.
func widen(f float32) float64 {
	var buf [32]byte
	w, err := strconv.ParseFloat(viewString(strconv.AppendFloat(buf[:0], float64(f), 'g', -1, 32)), 64)
	if err != nil {
		return float64(f)
	}
	return w
}

// decodeWritten reads the types that we hold as text.
func decodeWritten(oid uint32, s string, buf []byte) (cell, []byte, error) {
	b := viewBytes(s)
	start := len(buf)
	text := func(buf []byte) (cell, []byte, error) { return textCell(viewString(buf[start:])), buf, nil }
	switch oid {
	case pgtype.NumericOID:
		if out, ok := appendNumericText(buf, b); ok {
			return text(out)
		}
	case pgtype.DateOID:
		if len(b) == 4 {
			return text(appendDate(buf, int32(binary.BigEndian.Uint32(b))))
		}
	case pgtype.TimeOID:
		if len(b) == 8 {
			return text(appendClock(buf, int64(binary.BigEndian.Uint64(b))))
		}
	case pgtype.TimestampOID:
		if len(b) == 8 {
			return text(appendTimestamp(buf, int64(binary.BigEndian.Uint64(b)), false))
		}
	case pgtype.TimestamptzOID:
		if len(b) == 8 {
			return text(appendTimestamp(buf, int64(binary.BigEndian.Uint64(b)), true))
		}
	case pgtype.UUIDOID:
		if len(b) == 16 {
			return text(appendUUIDText(buf, b))
		}
	default:
		if oid >= 16384 { // a type of an extension that is declared to be text, such as citext
			return textCell(s), buf, nil
		}
		return cell{}, buf, fmt.Errorf("the type with OID %d cannot be read in binary form", oid)
	}
	return cell{}, buf, fmt.Errorf("%d bytes are no value of the type with OID %d", len(b), oid)
}

// decodeTID reads the place of a row: block and item.
func decodeTID(s string) (block, item cell) {
	b := viewBytes(s)
	if len(b) != 6 {
		return intCell(-1), intCell(0)
	}
	return intCell(int64(binary.BigEndian.Uint32(b))), intCell(int64(binary.BigEndian.Uint16(b[4:])))
}

// Words for what lies outside the calendar.
const (
	infinity      = "infinity"
	minusInfinity = "-infinity"
)

// appendNumericText writes a binary numeric as an exact decimal, with the digits behind the point that it was stored with.
func appendNumericText(buf, b []byte) ([]byte, bool) {
	if len(b) < 8 {
		return buf, false
	}
	n := int(binary.BigEndian.Uint16(b))
	weight := int(int16(binary.BigEndian.Uint16(b[2:])))
	scale := int(binary.BigEndian.Uint16(b[6:]))
	switch binary.BigEndian.Uint16(b[4:]) {
	case 0xC000:
		return append(buf, "NaN"...), true
	case 0xD000:
		return append(buf, "Infinity"...), true
	case 0xF000:
		return append(buf, "-Infinity"...), true
	case 0x4000:
		buf = append(buf, '-')
	}
	if len(b) != 8+2*n {
		return buf, false
	}
	group := func(i int) uint16 {
		if i < 0 || i >= n {
			return 0
		}
		return binary.BigEndian.Uint16(b[8+2*i:])
	}
	if weight < 0 {
		buf = append(buf, '0')
	}
	for i := 0; i <= weight; i++ {
		if i == 0 {
			buf = strconv.AppendUint(buf, uint64(group(0)), 10)
		} else {
			buf = append4(buf, group(i))
		}
	}
	if scale > 0 {
		buf = append(buf, '.')
		end := len(buf) + scale
		for i := weight + 1; len(buf) < end; i++ {
			buf = append4(buf, group(i))
		}
		buf = buf[:end]
	}
	return buf, true
}

func append4(buf []byte, v uint16) []byte {
	return append(buf, byte('0'+v/1000), byte('0'+v/100%10), byte('0'+v/10%10), byte('0'+v%10))
}

func append2(buf []byte, v int) []byte { return append(buf, byte('0'+v/10), byte('0'+v%10)) }

// appendDate writes a day, counted from 2000-01-01; years before 1 as PostgreSQL writes them, with BC behind.
func appendDate(buf []byte, days int32) []byte {
	switch days {
	case math.MaxInt32:
		return append(buf, infinity...)
	case math.MinInt32:
		return append(buf, minusInfinity...)
	}
	buf, bc := appendDay(buf, int64(days))
	if bc {
		buf = append(buf, " BC"...)
	}
	return buf
}

func appendDay(buf []byte, days int64) ([]byte, bool) {
	y, m, d := civil(days)
	bc := y < 1
	if bc {
		y = 1 - y
	}
	if y < 10000 {
		buf = append4(buf, uint16(y))
	} else {
		buf = strconv.AppendInt(buf, y, 10)
	}
	buf = append2(append(buf, '-'), m)
	return append2(append(buf, '-'), d), bc
}

// appendClock writes microseconds since midnight, with a fraction only where there is one.
func appendClock(buf []byte, us int64) []byte {
	sec := us / 1e6
	buf = append2(buf, int(sec/3600))
	buf = append2(append(buf, ':'), int(sec/60%60))
	buf = append2(append(buf, ':'), int(sec%60))
	if f := us % 1e6; f != 0 {
		buf = append(buf, '.')
		buf = append2(append4(buf, uint16(f/100)), int(f%100))
		for buf[len(buf)-1] == '0' {
			buf = buf[:len(buf)-1]
		}
	}
	return buf
}

// appendTimestamp writes microseconds since 2000-01-01 in ISO form; with a zone it is UTC and says so.
func appendTimestamp(buf []byte, us int64, zone bool) []byte {
	switch us {
	case math.MaxInt64:
		return append(buf, infinity...)
	case math.MinInt64:
		return append(buf, minusInfinity...)
	}
	days := us / usPerDay
	us -= days * usPerDay
	if us < 0 {
		days--
		us += usPerDay
	}
	buf, bc := appendDay(buf, days)
	buf = appendClock(append(buf, ' '), us)
	if zone {
		buf = append(buf, "+00:00"...)
	}
	if bc {
		buf = append(buf, " BC"...)
	}
	return buf
}

const usPerDay = 86400 * 1e6

// civil turns days since 2000-01-01 into a day of the Gregorian calendar, extended into the past without end. The year is
// counted from 1 March, so that the leap day comes last, in cycles of 400 years of 146,097 days.
func civil(days int64) (y int64, m, d int) {
	days += 730425 // from 0000-03-01
	era := days / 146097
	if days < 0 {
		era = (days - 146096) / 146097
	}
	doe := days - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = int(doy - (153*mp+2)/5 + 1)
	m = int(mp + 3)
	y = yoe + era*400
	if m > 12 {
		m -= 12
		y++
	}
	return y, m, d
}

// dayNumber is the reverse of civil, for years from 1 on.
func dayNumber(y int64, m, d int) int64 {
	mp := int64(m - 3)
	if m <= 2 {
		y--
		mp += 12
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*mp+2)/5 + int64(d) - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 730425
}

func appendUUIDText(buf, b []byte) []byte {
	const hex = "0123456789abcdef"
	for i, c := range b {
		switch i {
		case 4, 6, 8, 10:
			buf = append(buf, '-')
		}
		buf = append(buf, hex[c>>4], hex[c&15])
	}
	return buf
}
