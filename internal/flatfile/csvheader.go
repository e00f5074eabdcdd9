package flatfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

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
	if f.set.header && len(l.names) == 1 {
		for c, name := range map[string]string{";": "semicolon", "\t": "tab", "|": "pipe", ",": "comma"} {
			if n := strings.Count(l.names[0], c); n > 0 {
				l.notes = append(l.notes, fmt.Sprintf("%s has one column, and %d times %q in its name; perhaps delimiter=%s is missing in the URL.", p.name, n, c, name))
			}
		}
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
				col.Kind, col.Type, col.Guessed = k, string(k), true
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
	if !ended {
		rows = r.stream.estimate(p, rows, last-l.start, l.start)
	}
	return rows, r.close()
}
