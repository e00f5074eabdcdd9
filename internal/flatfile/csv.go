package flatfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// csvForm is CSV and TSV.
type csvForm struct {
	set    settings
	folder *folder
}

// layout is what is known of a file before its rows are read. Nobody changes it.
type layout struct {
	text  text
	names []string // of the fields, in their order
	start int64    // where the rows begin
	notes []string
	dbf   *dbfHeader
}

// remember returns what is known of a file, and finds it out where it is not known yet.
func (f *folder) remember(p *part, find func() (*layout, error)) (*layout, error) {
	f.mu.Lock()
	l := f.layouts[p.key()]
	f.mu.Unlock()
	if l != nil {
		return l, nil
	}
	l, err := find()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.layouts) > 1000 {
		clear(f.layouts)
	}
	f.layouts[p.key()] = l
	return l, nil
}

// layout reads the header of a part.
func (f *csvForm) layout(ctx context.Context, p *part) (*layout, error) {
	return f.folder.remember(p, func() (*layout, error) {
		t, err := p.sniff(ctx, f.set.charset)
		if err != nil {
			return nil, err
		}
		w, s, err := t.open(ctx, p, 0, 0, f.set.rowBytes, f.set.dialect.newline)
		if err != nil {
			return nil, err
		}
		l, err := f.header(p, t, w)
		return l, errors.Join(err, s.close())
	})
}

// exact is true: borders are found by walking the rows.
func (f *csvForm) exact() bool { return true }

// names returns the columns of a part. Without a header, the first row of the first part says how many there are.
func (f *csvForm) names(ctx context.Context, parts []*part, at int) ([]string, error) {
	if f.set.header {
		parts = parts[at : at+1]
	}
	for _, p := range parts {
		if l, err := f.layout(ctx, p); err != nil || len(l.names) > 0 {
			if err != nil {
				return nil, err
			}
			return l.names, nil
		}
	}
	return nil, nil
}

// header goes over the lines to be skipped and reads the names of the columns.
func (f *csvForm) header(p *part, t text, w *window) (*layout, error) {
	l := &layout{text: t}
	lines := newCSVScanner(w, &dialect{newline: f.set.dialect.newline}, true)
	for range f.set.skip {
		if _, err := lines.row(); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
	}
	w.take(lines.taken)
	l.start = w.pos
	s := newCSVScanner(w, &f.set.dialect, false)
	row, err := s.row()
	if errors.Is(err, io.EOF) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	if f.set.header {
		l.start = w.pos + w.width(w.buf[w.at:w.at+s.taken])
	}
	fields, reason := f.set.dialect.split(row, nil)
	if f.set.header && (s.cut || s.unended || reason != "") {
		return nil, tasks.Permanent(tasks.WithHint(nil, "see which delimiter, quote and escape the file uses, and whether it has a header",
			"the header of %s cannot be read", p.name))
	}
	var names namer
	for i, fd := range fields {
		if !f.set.header {
			l.names = append(l.names, names.unique("", i+1))
			continue
		}
		name, ok := t.charset.decode(nil, f.set.dialect.unescape(nil, row[fd.start:fd.end], fd.quoted))
		if !ok {
			return nil, tasks.Permanent(tasks.WithHint(nil, "say which encoding it is, for example encoding=cp1252",
				"the header of %s is not valid %s", p.name, t.charset.name))
		}
		said := strings.TrimSpace(string(name))
		got := names.unique(said, i+1)
		if got != said {
			l.notes = append(l.notes, fmt.Sprintf("Column %d of %s is called %q in the header; it becomes %s.", i+1, p.name, said, got))
		}
		l.names = append(l.names, got)
	}
	return l, nil
}

// describe reads headers and a sample.
func (f *csvForm) describe(ctx context.Context, parts []*part) (described, error) {
	var d described
	c := columnSet{at: map[string]int{}}
	var layouts []*layout
	for i, p := range parts {
		l, err := f.layout(ctx, p)
		if err != nil {
			return d, err
		}
		layouts = append(layouts, l)
		d.notes = append(d.notes, l.notes...)
		names, err := f.names(ctx, parts, i)
		if err != nil {
			return d, err
		}
		c.add(names)
	}
	d.notes = append(d.notes, c.missing(parts, layouts, f.set.header)...)
	kinds := make([]kindGuess, len(c.names))
	for i := range parts {
		rows, err := f.sample(ctx, parts, i, &c, kinds)
		if err != nil {
			return d, err
		}
		d.rows += rows
	}
	guessed := 0
	for i, name := range c.names {
		col := sqldb.Column{Name: name, Type: "text", Kind: sqldb.KindText}
		if f.set.infer {
			if k := kinds[i].kind(); k != sqldb.KindText {
				col.Kind, col.Type = k, string(k)
				guessed++
			}
		}
		d.columns = append(d.columns, col)
	}
	if guessed > 0 {
		d.notes = append(d.notes, fmt.Sprintf("The types of %d columns are guessed from a sample; a value that does not fit its column later is set aside.", guessed))
	}
	return d, nil
}

// sample reads the first rows of a part, and returns how many rows the part has, about.
func (f *csvForm) sample(ctx context.Context, parts []*part, at int, c *columnSet, kinds []kindGuess) (int64, error) {
	p := parts[at]
	l, err := f.layout(ctx, p)
	if err != nil {
		return 0, err
	}
	columns := make([]int, len(c.names))
	t := &sqldb.Table{Columns: make([]sqldb.Column, len(c.names))}
	for i, name := range c.names {
		columns[i], t.Columns[i] = i, sqldb.Column{Name: name, Kind: sqldb.KindText}
	}
	r, err := f.reader(ctx, parts, at, t, columns, 0)
	if err != nil {
		return 0, err
	}
	cells := make([]sqldb.Cell, len(columns))
	rows, last, ended := int64(0), int64(0), false
	for f.set.sample == 0 || rows < int64(f.set.sample) {
		var bad *sqldb.UnreadableRow
		last, err = r.next(cells)
		if errors.Is(err, io.EOF) {
			ended = true
			break
		}
		rows++
		if errors.As(err, &bad) {
			continue
		}
		if err != nil {
			return 0, errors.Join(err, r.close())
		}
		if f.set.infer {
			for i := range cells {
				if s, ok := cells[i].Value().(string); ok {
					kinds[i].see(s)
				}
			}
		}
	}
	if seen := last - l.start; !ended && seen > 0 && p.squeeze == "" {
		rows = int64(float64(rows) * float64(p.size-l.start) / float64(seen))
	}
	return rows, r.close()
}

// columnSet is the columns of all parts of a table.
type columnSet struct {
	names []string
	at    map[string]int
}

func (c *columnSet) add(names []string) {
	for _, n := range names {
		if _, ok := c.at[n]; !ok {
			c.at[n] = len(c.names)
			c.names = append(c.names, n)
		}
	}
}

// missing says which parts lack which columns.
func (c *columnSet) missing(parts []*part, layouts []*layout, header bool) []string {
	var notes []string
	for i, l := range layouts {
		if len(l.names) == 0 || !header {
			continue
		}
		has := map[string]bool{}
		for _, n := range l.names {
			has[n] = true
		}
		for _, n := range c.names {
			if !has[n] {
				notes = append(notes, fmt.Sprintf("%s has no column %s; it is NULL in its rows.", parts[i].name, n))
			}
		}
	}
	return notes
}

// open starts reading a part.
func (f *csvForm) open(ctx context.Context, parts []*part, at int, t *sqldb.Table, columns []int, from int64) (partReader, error) {
	if err := lackColumns(t, columns, parts, "", func(p *part) (*layout, error) { return f.layout(ctx, p) }); err != nil {
		return nil, err
	}
	return f.reader(ctx, parts, at, t, columns, from)
}

// lackColumns is the error of columns that no part has: those of a plan that was made for other files.
func lackColumns(t *sqldb.Table, columns []int, parts []*part, except string, layoutOf func(*part) (*layout, error)) error {
	lack := map[string]bool{}
	for _, c := range columns {
		lack[t.Columns[c].Name] = true
	}
	delete(lack, except)
	empty := true
	for _, p := range parts {
		if len(lack) == 0 {
			return nil
		}
		l, err := layoutOf(p)
		if err != nil {
			return err
		}
		for _, name := range l.names {
			delete(lack, name)
			empty = false
		}
	}
	if empty {
		return nil // no rows either
	}
	for _, c := range columns {
		if name := t.Columns[c].Name; lack[name] {
			return tasks.Permanent(tasks.WithHint(nil, "make the plan anew from the files as they are, or put the old ones back",
				"the files of %s have no column %s", t.Name, name))
		}
	}
	return nil
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
		r.at, r.kinds = append(r.at, at), append(r.kinds, t.Columns[c].Kind)
	}
	return r, nil
}

// csvReader reads the rows of a part.
type csvReader struct {
	ctx    context.Context
	part   *part
	text   text
	stream *stream
	d      *dialect
	scan   *csvScanner
	count  int          // of fields in a row
	at     []int        // of each column asked for, which field it is; -1 for none
	kinds  []sqldb.Kind // what it should be
	fields []field
	spare  []byte // what had to be decoded or unescaped
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
		var ok bool
		if cells[i], ok = r.cell(row, r.fields[at], r.kinds[i], ascii); !ok {
			return pos, r.notText(row)
		}
	}
	return pos, nil
}

// cell makes the cell of a field; false where it is no text of the file's encoding.
func (r *csvReader) cell(row []byte, f field, kind sqldb.Kind, ascii bool) (sqldb.Cell, bool) {
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
		return sqldb.Cell{}, true
	}
	if f.escaped {
		start := len(r.spare)
		r.spare = r.d.unescape(r.spare, b, f.quoted)
		b = r.spare[start:] // should spare move, the old one lives on with this cell
	}
	if !ascii {
		start := len(r.spare)
		var ok bool
		if r.spare, ok = r.text.charset.decode(r.spare, b); !ok {
			return sqldb.Cell{}, false
		}
		b = r.spare[start:]
	}
	if kind != sqldb.KindText {
		return typedCell(b, kind), true
	}
	return sqldb.TextCell(lend(b)), true
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
