package flatfile

import (
	"context"
	"fmt"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/stint-run/stint/internal/sqldb"
)

// csvForm is CSV and TSV.
type csvForm struct {
	set    settings
	folder *folder
}

// exact is true: borders are found by walking the rows.
func (f *csvForm) exact() bool { return true }

// open starts reading a part.
func (f *csvForm) open(ctx context.Context, parts []*part, at int, t *sqldb.Table, columns []int, from int64) (partReader, error) {
	if err := lackColumns(t, columns, parts, "", func(p *part) (*layout, error) { return f.layout(ctx, p) }); err != nil {
		return nil, err
	}
	return f.reader(ctx, parts, at, t, columns, from)
}

// reader opens a part.
func (f *csvForm) reader(ctx context.Context, parts []*part, at int, t *sqldb.Table, columns []int, from int64) (*csvReader, error) {
	p := parts[at]
	l, err := f.layout(ctx, p)
	if err != nil {
		return nil, err
	}
	names, err := f.names(ctx, parts, at)
	if err != nil {
		return nil, err
	}
	w, s, err := l.text.open(ctx, p, max(from, l.start), l.start, f.set.rowBytes, f.set.dialect.newline)
	if err != nil {
		return nil, err
	}
	r := &csvReader{ctx: ctx, part: p, text: l.text, stream: s, d: &f.set.dialect, scan: newCSVScanner(w, &f.set.dialect, len(names) == 1),
		count: len(names), fields: make([]field, 0, len(names))}
	for _, c := range columns {
		at := -1
		for i, name := range names {
			if name == t.Columns[c].Name {
				at = i
			}
		}
		r.at, r.columns = append(r.at, at), append(r.columns, &t.Columns[c])
	}
	return r, nil
}

// csvReader reads the rows of a part.
type csvReader struct {
	ctx     context.Context
	part    *part
	text    text
	stream  *stream
	d       *dialect
	scan    *csvScanner
	count   int             // of fields in a row
	at      []int           // of each column asked for, which field it is; -1 for none
	columns []*sqldb.Column // what it should be
	fields  []field
	spare   []byte // what had to be decoded or unescaped
}

func (r *csvReader) close() error { return r.stream.close() }

func (r *csvReader) next(cells []sqldb.Cell) (int64, error) {
	row, err := r.scan.row()
	if err != nil {
		return 0, err
	}
	pos := r.scan.pos
	if bad := r.scan.bad(row, r.line); bad != nil {
		return pos, bad
	}
	reason := ""
	if r.scan.simple {
		r.fields = r.d.splitSimple(row, r.fields[:0])
	} else {
		r.fields, reason = r.d.split(row, r.fields[:0])
	}
	switch {
	case len(r.fields) != r.count:
		return pos, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the row has %d fields where the table has %d", len(r.fields), r.count),
			Code: codeBadRow, Raw: r.preview(row)}
	case reason != "":
		return pos, &sqldb.UnreadableRow{Reason: reason, Code: codeBadRow, Raw: r.preview(row)}
	case r.text.charset.plain() && !utf8.Valid(row):
		return pos, r.notText(row)
	}
	r.spare = r.spare[:0]
	ascii := r.text.charset.plain() || isASCII(row)
	for i, at := range r.at {
		if at < 0 {
			cells[i] = sqldb.Cell{}
			continue
		}
		value, null, ok := r.value(row, r.fields[at], ascii)
		col := r.columns[i]
		switch {
		case !ok:
			return pos, r.notText(row)
		case null:
			cells[i] = sqldb.Cell{}
		case col.Kind == sqldb.KindText:
			cells[i] = sqldb.TextCell(lend(value))
		default:
			var fits bool
			if cells[i], fits = typedCell(value, col.Kind); !fits && col.Guessed {
				return pos, misfit(col, strconv.Quote(preview(value[:min(len(value), 60)])), r.preview(row))
			}
		}
	}
	return pos, nil
}

// value returns the text of a field; ok is false where it is no text of the file's encoding.
func (r *csvReader) value(row []byte, f field, ascii bool) (value []byte, null, ok bool) {
	b := row[f.start:f.end]
	if r.d.trim && !f.quoted && len(b) > 0 {
		for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
			b = b[1:]
		}
		for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') && !f.escaped {
			b = b[:len(b)-1]
		}
	}
	if !f.quoted && string(b) == r.d.null {
		return nil, true, true
	}
	if f.escaped {
		start := len(r.spare)
		r.spare = r.d.unescape(r.spare, b, f.quoted)
		b = r.spare[start:] // should spare move, the old one lives on with this cell
	}
	if !ascii {
		start := len(r.spare)
		if r.spare, ok = r.text.charset.decode(r.spare, b); !ok {
			return nil, false, false
		}
		if b = r.spare[start:]; !f.quoted && !f.escaped && string(b) == r.d.null {
			return nil, true, true
		}
	}
	return b, false, true
}

// lend shows bytes as a string, which is good only as long as nobody changes them.
func lend(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// notText is the error of a row that is not in the encoding.
func (r *csvReader) notText(row []byte) error {
	return &sqldb.UnreadableRow{Reason: "the row is not valid " + r.text.charset.name, Code: codeEncoding, Raw: preview(row)}
}

// preview shows the beginning of a row in UTF-8, if it can.
func (r *csvReader) preview(row []byte) string {
	if out, ok := r.text.charset.decode(nil, row[:min(len(row), 4*headBytes)]); ok {
		return preview(out)
	}
	return preview(row)
}

// line says in which line a position is.
func (r *csvReader) line(pos int64) string {
	n, err := r.text.lineAt(r.ctx, r.part, pos)
	if err != nil {
		return fmt.Sprintf("at position %d", pos)
	}
	return fmt.Sprintf("in line %d", n)
}

// scan walks the rows of a part.
func (f *csvForm) scan(ctx context.Context, parts []*part, at int, from int64) (partScanner, error) {
	l, err := f.layout(ctx, parts[at])
	if err != nil {
		return nil, err
	}
	names, err := f.names(ctx, parts, at)
	if err != nil {
		return nil, err
	}
	w, s, err := l.text.open(ctx, parts[at], max(from, l.start), l.start, f.set.rowBytes, f.set.dialect.newline)
	if err != nil {
		return nil, err
	}
	return &rowSkipper{stream: s, next: newCSVScanner(w, &f.set.dialect, len(names) == 1)}, nil
}
