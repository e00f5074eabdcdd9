package flatfile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stint-run/stint/internal/sqldb"
)

// dbfForm is DBF.
type dbfForm struct {
	set    settings
	folder *folder
}

// exact is false: borders are computed, and a record there may be deleted.
func (f *dbfForm) exact() bool { return false }

// open starts reading a part at a record.
func (f *dbfForm) open(ctx context.Context, parts []*part, at int, t *sqldb.Table, columns []int, from int64) (partReader, error) {
	p := parts[at]
	l, err := f.layout(ctx, p)
	if err != nil {
		return nil, err
	}
	deleted := ""
	if f.set.deleted {
		deleted = t.Columns[len(t.Columns)-1].Name
	}
	if err := lackColumns(t, columns, parts, deleted, func(p *part) (*layout, error) { return f.layout(ctx, p) }); err != nil {
		return nil, err
	}
	h := l.dbf
	record := max(from, 1)
	if n, _ := h.count(p.size); p.squeeze == "" && record > n+1 {
		return nil, p.changed(from, "it has fewer records")
	}
	r := &dbfReader{part: p, header: h, trim: f.set.trim, deleted: f.set.deleted, record: record - 1, buf: make([]byte, h.length)}
	memo := false
	for _, c := range columns {
		var field *dbfField
		for i := range h.fields {
			if fd := &h.fields[i]; !fd.hidden() && fd.name == t.Columns[c].Name {
				field, memo = fd, memo || fd.isMemo()
			}
		}
		r.fields = append(r.fields, field)
		r.marks = append(r.marks, deleted != "" && c == len(t.Columns)-1)
	}
	if memo && !f.set.noMemo {
		if r.memo, err = f.openMemo(p, h); err != nil {
			return nil, err
		}
	}
	if r.stream, err = p.openAt(ctx, h.start+(record-1)*int64(h.length)); err != nil {
		return nil, errors.Join(err, r.memo.close())
	}
	r.in = bufio.NewReaderSize(r.stream, windowBytes)
	return r, nil
}

// dbfReader reads the records of a part.
type dbfReader struct {
	part    *part
	header  *dbfHeader
	stream  *stream
	in      *bufio.Reader
	memo    *memoFile
	trim    trimming
	deleted bool        // deleted records are rows
	fields  []*dbfField // of the columns asked for; nil where the part has none
	marks   []bool      // which of them says whether the record is deleted
	record  int64       // the number of the last one read
	buf     []byte
	spare   []byte
}

func (r *dbfReader) close() error { return errors.Join(r.stream.close(), r.memo.close()) }

func (r *dbfReader) next(cells []sqldb.Cell) (int64, error) {
	for {
		n, err := io.ReadFull(r.in, r.buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, err
		}
		r.record++
		said := r.record <= r.header.records
		flag := r.buf[0]
		live := flag == ' ' || flag == '*'
		switch {
		case n == 0, flag == 26 && n == 1, !said && !live:
			return 0, io.EOF // the end, its mark, or what an operating system fills up with
		case n < len(r.buf):
			return r.record, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the file ends within record %d", r.record), Code: codeBadRow, Raw: r.raw(n)}
		case !live:
			return r.record, &sqldb.UnreadableRow{Reason: fmt.Sprintf("record %d begins with the byte %#02x, and neither with a blank nor with a star", r.record, flag),
				Code: codeBadRow, Raw: r.raw(n)}
		case flag == '*' && !r.deleted:
			continue
		}
		return r.record, r.fill(cells)
	}
}

// fill makes the cells of the record that was read.
func (r *dbfReader) fill(cells []sqldb.Cell) error {
	r.spare = r.spare[:0]
	for i, fd := range r.fields {
		cells[i] = sqldb.Cell{}
		if r.marks[i] {
			cells[i] = sqldb.IntCell(0)
			if r.buf[0] == '*' {
				cells[i] = sqldb.IntCell(1)
			}
			continue
		}
		if fd == nil {
			continue
		}
		var bad *sqldb.UnreadableRow
		if cells[i], bad = r.cell(fd, r.buf); bad != nil {
			bad.Raw = r.raw(len(r.buf))
			return bad
		}
	}
	return nil
}

// raw shows a record to people.
func (r *dbfReader) raw(n int) string {
	if out, ok := r.header.charset.decode(nil, r.buf[:n]); ok {
		return preview(out)
	}
	return preview(r.buf[:n])
}

// scan walks records without reading them.
func (f *dbfForm) scan(ctx context.Context, parts []*part, at int, from int64) (partScanner, error) {
	l, err := f.layout(ctx, parts[at])
	if err != nil {
		return nil, err
	}
	// Records that the header does not know of are rows as long as one follows the other: they are read in one go, with the last that it
	// knows, since whoever began in the midst of what lies behind them could not tell.
	n, _ := l.dbf.count(parts[at].size)
	return &recordSkipper{record: max(from, 1), records: min(n, l.dbf.records)}, nil
}

// recordSkipper is a partScanner over records.
type recordSkipper struct{ record, records int64 }

func (s *recordSkipper) skip(rows int) (int, int64, error) {
	left := max(s.records-s.record+1, 0)
	if left <= int64(rows) {
		s.record = s.records + 1
		return int(left), 0, io.EOF
	}
	s.record += int64(rows)
	return rows, s.record, nil
}

func (s *recordSkipper) close() error { return nil }
