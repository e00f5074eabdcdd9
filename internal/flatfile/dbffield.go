package flatfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// isMemo reports whether a field is a pointer into the memo file. B is that in dBase V, and a double in Visual FoxPro.
func (fd *dbfField) isMemo() bool {
	switch fd.kind {
	case 'M', 'G', 'P', 'W':
		return true
	case 'B':
		return fd.length != 8
	}
	return false
}

// hasMemo reports whether a file needs a memo file.
func (h *dbfHeader) hasMemo() bool {
	for i := range h.fields {
		if h.fields[i].isMemo() {
			return true
		}
	}
	return false
}

// column says what a field is.
func (fd *dbfField) column() sqldb.Column {
	c := sqldb.Column{Name: fd.name, Type: string(fd.kind)}
	binary := fd.flags&flagBinary != 0
	switch fd.kind {
	case 'C', 'V':
		c.Type = fmt.Sprintf("%c(%d)", fd.kind, fd.length)
		if c.Kind, c.Length = sqldb.KindText, fd.length; binary {
			c.Kind, c.Length = sqldb.KindBytes, 0
		}
	case 'N', 'F':
		c.Type = fmt.Sprintf("%c(%d,%d)", fd.kind, fd.length, fd.decimals)
		c.Kind, c.Precision, c.Scale = sqldb.KindNumeric, fd.length, fd.decimals
		switch {
		case fd.kind == 'F':
			c.Precision, c.Scale = 0, 0 // it may be written with an exponent
		case fd.decimals == 0 && fd.length <= 18:
			c.Kind, c.Precision = sqldb.KindInt64, 0
		}
	case 'L':
		c.Kind = sqldb.KindBool
	case 'D':
		c.Kind = sqldb.KindDate
	case 'T', '@':
		c.Kind = sqldb.KindTimestamp
	case 'Y':
		c.Kind, c.Precision, c.Scale = sqldb.KindNumeric, 19, 4
	case 'I', '+':
		c.Kind = sqldb.KindInt32
	case 'Q':
		c.Kind, c.Type = sqldb.KindBytes, fmt.Sprintf("Q(%d)", fd.length)
	case 'B':
		if c.Kind = sqldb.KindFloat64; fd.isMemo() {
			c.Kind = sqldb.KindBytes
		}
	case 'M':
		if c.Kind = sqldb.KindText; binary {
			c.Kind = sqldb.KindBytes
		}
	default:
		c.Kind = sqldb.KindBytes
	}
	return c
}

// bit reports whether one of the flags of a record is set.
func (h *dbfHeader) bit(record []byte, bit int) bool {
	return bit >= 0 && record[h.nullAt+bit/8]>>(bit%8)&1 == 1
}

// cell makes the cell of a field of a record. Its errors are those of the row.
func (r *dbfReader) cell(fd *dbfField, record []byte) (sqldb.Cell, *sqldb.UnreadableRow) {
	if r.header.bit(record, fd.nullBit) {
		return sqldb.Cell{}, nil
	}
	b := record[fd.at : fd.at+fd.length]
	switch fd.kind {
	case 'C':
		if fd.flags&flagBinary != 0 {
			return sqldb.BytesCell(b), nil
		}
		return r.text(trimText(b, r.trim))
	case 'V', 'Q':
		if r.header.bit(record, fd.sizeBit) {
			n := int(b[len(b)-1])
			if n >= len(b) {
				return sqldb.Cell{}, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the field %s says that it has %d bytes, of %d", fd.name, n, len(b)), Code: codeBadRow}
			}
			b = b[:n]
		}
		if fd.kind == 'Q' || fd.flags&flagBinary != 0 {
			return sqldb.BytesCell(b), nil
		}
		return r.text(b)
	case 'N', 'F':
		return numberCell(b, fd), nil
	case 'L':
		return logicalCell(b[0]), nil
	case 'D':
		return dateCell(b, r), nil
	case 'T', '@':
		return r.timeCell(b), nil
	case 'Y':
		return r.currencyCell(int64(binary.LittleEndian.Uint64(b))), nil
	case 'I', '+':
		return sqldb.IntCell(int64(int32(binary.LittleEndian.Uint32(b)))), nil
	case 'B':
		if !fd.isMemo() {
			return sqldb.FloatCell(math.Float64frombits(binary.LittleEndian.Uint64(b))), nil
		}
	}
	return r.memoCell(fd, b)
}

// trimText cuts the blanks, and the NULs that some writers fill up with.
func trimText(b []byte, how trimming) []byte {
	if how == trimNone {
		return b
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == 0) {
		b = b[:len(b)-1]
	}
	for how == trimBoth && len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	return b
}

// text decodes text.
func (r *dbfReader) text(b []byte) (sqldb.Cell, *sqldb.UnreadableRow) {
	if isASCII(b) {
		return sqldb.TextCell(lend(b)), nil
	}
	start := len(r.spare)
	var ok bool
	if r.spare, ok = r.header.charset.decode(r.spare, b); !ok {
		reason := "the row is not valid " + r.header.charset.name
		if r.header.doubt != "" {
			reason = "the row has other characters than ASCII, and of its file " + r.header.doubt
		}
		return sqldb.Cell{}, &sqldb.UnreadableRow{Reason: reason, Code: codeEncoding}
	}
	return sqldb.TextCell(lend(r.spare[start:])), nil
}

// numberCell reads digits. Blanks are NULL, and so are stars, which dBase writes where a number did not fit.
func numberCell(b []byte, fd *dbfField) sqldb.Cell {
	b = bytes.Trim(b, " \x00")
	if len(b) == 0 || len(bytes.Trim(b, "*")) == 0 {
		return sqldb.Cell{}
	}
	if fd.kind == 'N' && fd.decimals == 0 && fd.length <= 18 {
		if n, err := strconv.ParseInt(lend(b), 10, 64); err == nil {
			return sqldb.IntCell(n)
		}
	}
	return sqldb.TextCell(lend(b))
}

func logicalCell(b byte) sqldb.Cell {
	switch b {
	case 'T', 't', 'Y', 'y':
		return sqldb.IntCell(1)
	case 'F', 'f', 'N', 'n':
		return sqldb.IntCell(0)
	case ' ', '?', 0:
		return sqldb.Cell{}
	}
	return sqldb.TextCell(strconv.Quote(string(rune(b)))) // no target takes it, and says so
}

// dateCell reads YYYYMMDD, also where a writer left out the zeros of an early year. Blanks and zeros are NULL; what is no day stays as
// it is, for the target to set aside.
func dateCell(b []byte, r *dbfReader) sqldb.Cell {
	if len(bytes.Trim(b, " 0\x00")) == 0 {
		return sqldb.Cell{}
	}
	start := len(r.spare)
	leading := true
	for i, c := range b {
		if leading = leading && c == ' '; leading {
			c = '0'
		}
		if c < '0' || c > '9' { // no day: shown as it stands
			r.spare = append(r.spare[:start], bytes.TrimRight(b, " \x00")...)
			return sqldb.TextCell(lend(r.spare[start:]))
		}
		if i == 4 || i == 6 {
			r.spare = append(r.spare, '-')
		}
		r.spare = append(r.spare, c)
	}
	return sqldb.TextCell(lend(r.spare[start:]))
}

// Days of the Julian calendar: of 1970-01-01 and of 9999-12-31.
const (
	julianEpoch = 2440588
	julianLast  = 5373484
)

// timeCell reads a Julian day and the milliseconds of the day.
func (r *dbfReader) timeCell(b []byte) sqldb.Cell {
	day, ms := int64(binary.LittleEndian.Uint32(b)), int64(binary.LittleEndian.Uint32(b[4:]))
	if day == 0 && ms == 0 || len(bytes.Trim(b, " ")) == 0 {
		return sqldb.Cell{}
	}
	start := len(r.spare)
	if day > julianLast || day < 1721426 || ms > 24*60*60*1000 {
		r.spare = fmt.Appendf(r.spare, "day %d, millisecond %d", day, ms) // no target takes it, and says so
		return sqldb.TextCell(lend(r.spare[start:]))
	}
	at := time.UnixMilli((day-julianEpoch)*24*60*60*1000 + ms).UTC()
	r.spare = at.AppendFormat(r.spare, "2006-01-02 15:04:05.999")
	return sqldb.TextCell(lend(r.spare[start:]))
}

// currencyCell writes ten thousandths exactly.
func (r *dbfReader) currencyCell(n int64) sqldb.Cell {
	start := len(r.spare)
	u := uint64(n)
	if n < 0 {
		r.spare, u = append(r.spare, '-'), -u
	}
	r.spare = fmt.Appendf(r.spare, "%d.%04d", u/10000, u%10000)
	return sqldb.TextCell(lend(r.spare[start:]))
}
