package sqldb

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// The frame of a binary COPY: signature, flags and length of the extension; and the count of -1 that ends it.
const (
	copyHeader  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrailer = "\xff\xff"
)

// CopyFrom is pgx's, for a COPY ... FROM STDIN, but when it returns nobody looks at the rows any more. pgx returns when the connection
// breaks while a goroutine of its own may still be reading. It waits for a Read that is under way: that one has to end by itself.
func CopyFrom(ctx context.Context, pg *pgconn.PgConn, rows io.Reader, sql string) (pgconn.CommandTag, error) {
	lent := lentReader{from: rows}
	tag, err := pg.CopyFrom(ctx, &lent, sql)
	lent.takeBack()
	return tag, err
}

// lentReader reads until it is taken back.
type lentReader struct {
	mu   sync.Mutex
	from io.Reader // nil when it has been taken back
}

// Read implements io.Reader.
func (r *lentReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.from == nil {
		return 0, io.EOF
	}
	return r.from.Read(p)
}

func (r *lentReader) takeBack() {
	r.mu.Lock()
	r.from = nil
	r.mu.Unlock()
}

// copyReader hands out the rows of one COPY with their frame.
type copyReader struct {
	parts [3]string
	at    int
}

func newCopyReader(data []byte, text bool) *copyReader {
	r := &copyReader{parts: [3]string{copyHeader, viewString(data), copyTrailer}}
	if text {
		r.parts[0], r.parts[2] = "", ""
	}
	return r
}

// Read implements io.Reader.
func (r *copyReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && r.at < len(r.parts) {
		c := copy(p[n:], r.parts[r.at])
		n += c
		r.parts[r.at] = r.parts[r.at][c:]
		if r.parts[r.at] == "" {
			r.at++
		}
	}
	if n == 0 && r.at == len(r.parts) {
		return 0, io.EOF
	}
	return n, nil
}

// copySQL returns the COPY statement of a plan.
func (p *plan) copySQL() string {
	sql := "COPY " + Postgres.QuoteTable(p.m.Target.Schema, p.m.Target.Name) + " (" + Postgres.QuoteList(p.targetColumns()) + ") FROM STDIN"
	if !p.text {
		sql += " (FORMAT binary)"
	}
	return sql
}

// appendText appends a field of COPY's text form. Types whose binary form we know are checked and encoded by it first, so
// that both forms hold the same values.
func (p *plan) appendText(dst []byte, c *codec, v *cell) ([]byte, *BadValue) {
	if v.kind == cellNull {
		if c.dst.NotNull {
			return dst, c.bad(v, codeNull, "in a column that is NOT NULL")
		}
		return append(dst, '\\', 'N'), nil
	}
	if c.dst.Kind == KindOther {
		t, bad := c.plain(v)
		if bad != nil {
			return dst, bad
		}
		if t.kind != cellText {
			return append(dst, fmt.Sprint(t.value())...), nil
		}
		if bad := c.checkText(&t); bad != nil {
			return dst, bad
		}
		return appendCopyText(dst, t.s), nil
	}
	field, bad := c.appendField(p.field[:0], v)
	p.field = field
	if bad != nil {
		return dst, bad
	}
	t, _, err := decodePostgres(c.targetOID(), viewString(field[4:]), nil)
	if err != nil {
		return dst, c.bad(v, codeType, err.Error())
	}
	switch t.kind {
	case cellBytes:
		return fmt.Appendf(dst, `\\x%x`, t.s), nil
	case cellText:
		return appendCopyText(dst, t.s), nil
	case cellFloat:
		if c.dst.Kind == KindFloat32 {
			return fmt.Append(dst, float32(t.float())), nil
		}
	}
	return fmt.Append(dst, t.value()), nil
}

// appendCopyText escapes what means something to COPY.
func appendCopyText(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// targetOID returns the type by which a field that the codec wrote can be read again; 0 when it cannot.
func (c *codec) targetOID() uint32 {
	if c.raw {
		return c.oid
	}
	switch c.dst.Kind {
	case KindBool:
		return pgtype.BoolOID
	case KindInt16:
		return pgtype.Int2OID
	case KindInt32:
		return pgtype.Int4OID
	case KindInt64:
		return pgtype.Int8OID
	case KindFloat32:
		return pgtype.Float4OID
	case KindFloat64:
		return pgtype.Float8OID
	case KindNumeric:
		return pgtype.NumericOID
	case KindText:
		return pgtype.TextOID
	case KindBytes:
		return pgtype.ByteaOID
	case KindDate:
		return pgtype.DateOID
	case KindTime:
		return pgtype.TimeOID
	case KindTimestamp:
		return pgtype.TimestampOID
	case KindTimestampTZ:
		return pgtype.TimestamptzOID
	case KindUUID:
		return pgtype.UUIDOID
	case KindJSON:
		if strings.EqualFold(c.dst.Type, "jsonb") {
			return pgtype.JSONBOID
		}
		return pgtype.JSONOID
	}
	return 0
}

// encodedJSON shows an encoded row of a batch, for quarantine.
func (b *Batch) encodedJSON(row int) string {
	p := b.plan
	out := []byte{'{'}
	name := func(i int) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendJSONString(out, strings.ToValidUTF8(p.m.Columns[i].Target, "\uFFFD")), ':')
	}
	if p.encoding == encodeValues {
		n := len(p.codecs)
		for i, v := range b.values[row*n : (row+1)*n] {
			name(i)
			c := cellOf(v)
			out = appendRowValue(out, &c)
		}
		return string(append(out, '}'))
	}
	data := b.row(row)
	if p.encoding == encodeSQL {
		data = data[1:]
		for i := range p.codecs {
			var v cell
			v, data = cutLiteral(data)
			name(i)
			out = appendRowValue(out, &v)
		}
		return string(append(out, '}'))
	}
	if p.text {
		line := textCell(strings.TrimSuffix(viewString(data), "\n"))
		return string(append(appendRowValue(append(out, `"COPY":`...), &line), '}'))
	}
	data = data[2:]
	for i := range p.codecs {
		name(i)
		size := int32(binary.BigEndian.Uint32(data))
		data = data[4:]
		v := cell{}
		if size >= 0 {
			field := viewString(data[:size])
			var err error
			if v, _, err = decodePostgres(p.codecs[i].targetOID(), field, nil); err != nil {
				v = cell{kind: cellBytes, s: field}
			}
			data = data[size:]
		}
		out = appendRowValue(out, &v)
	}
	return string(append(out, '}'))
}

// cellOf views a driver value as a cell.
func cellOf(v any) cell {
	switch x := v.(type) {
	case int64:
		return intCell(x)
	case float64:
		return floatCell(x)
	case string:
		return textCell(x)
	case []byte:
		return cell{kind: cellBytes, s: viewString(x)}
	}
	return cell{}
}

// row returns an encoded row of COPY's data.
func (b *Batch) row(i int) []byte { return b.span(i, i+1) }

// span returns the encoded rows [lo, hi) of COPY's data.
func (b *Batch) span(lo, hi int) []byte {
	start := 0
	if lo > 0 {
		start = b.ends[lo-1]
	}
	if hi == lo {
		return nil
	}
	return b.data[start:b.ends[hi-1]]
}
