package flatfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// restColumn holds the members of a row that are no columns.
const restColumn = "_rest"

// jsonForm is NDJSON: a JSON object a line.
type jsonForm struct {
	set    settings
	folder *folder
}

// jsonLines is how rows of NDJSON end. A line end within a string is written \n there.
var jsonLines = dialect{newline: lfEnd}

func (f *jsonForm) exact() bool { return true }

// layout looks at the beginning of a part.
func (f *jsonForm) layout(ctx context.Context, p *part) (*layout, error) {
	return f.folder.remember(p, func() (*layout, error) {
		t, err := p.sniff(ctx, f.set.charset)
		return &layout{text: t, start: t.start}, err
	})
}

// describe finds the members of a sample.
func (f *jsonForm) describe(ctx context.Context, parts []*part) (described, error) {
	var d described
	names := columnSet{at: map[string]int{}}
	var seen []jsonKinds
	for _, p := range parts {
		rows, err := f.sample(ctx, p, &names, &seen)
		if err != nil {
			return d, err
		}
		d.rows += rows
	}
	if len(names.names) == 0 {
		return d, nil
	}
	for i, name := range names.names {
		k := sqldb.KindText
		if f.set.infer {
			k = seen[i].kind()
		}
		guessed := k != sqldb.KindText && k != sqldb.KindJSON // these hold everything
		d.columns = append(d.columns, sqldb.Column{Name: name, Type: string(k), Kind: k, Guessed: guessed})
	}
	if !f.set.reject {
		d.columns = append(d.columns, sqldb.Column{Name: restColumn, Type: "json", Kind: sqldb.KindJSON})
		d.notes = append(d.notes, "Columns are the members of a sample; members that it does not have are kept in "+restColumn+".")
	} else {
		d.notes = append(d.notes, "Columns are the members of a sample; a row with a member that it does not have is set aside.")
	}
	return d, nil
}

// sample looks at the first rows of a part, and returns how many it has, about.
func (f *jsonForm) sample(ctx context.Context, p *part, names *columnSet, seen *[]jsonKinds) (int64, error) {
	l, err := f.layout(ctx, p)
	if err != nil {
		return 0, err
	}
	r, err := f.reader(ctx, p, l, 0)
	if err != nil {
		return 0, err
	}
	rows, good, pos := int64(0), 0, int64(0)
	var first *sqldb.UnreadableRow
	array := false // over several lines, of which some may look like rows
	for f.set.sample == 0 || rows < int64(f.set.sample) {
		row, at, err := r.row()
		var bad *sqldb.UnreadableRow
		if pos = at; errors.Is(err, io.EOF) {
			pos = -1
			break
		}
		rows++
		if err == nil {
			err = r.members(row)
		}
		if errors.As(err, &bad) {
			if first == nil {
				first = bad
				array = rows == 1 && strings.HasPrefix(strings.TrimSpace(bad.Raw), "[")
			}
			continue
		}
		if err != nil {
			return 0, errors.Join(err, r.close())
		}
		good++
		for _, m := range r.found {
			name := string(m.name)
			if name == "" || name == restColumn {
				continue // always in the rest
			}
			names.add([]string{name})
			if at := names.at[name]; at == len(*seen) {
				*seen = append(*seen, jsonKinds{})
			}
			(*seen)[names.at[name]].see(m.value)
		}
	}
	if array || first != nil && good == 0 {
		return 0, errors.Join(r.close(), tasks.Permanent(tasks.WithHint(nil,
			"each line must be a JSON object; of an array they can be made with jq -c '.[]'", "%s is no NDJSON: %s", p.name, first.Reason)))
	}
	if pos > l.start {
		rows = r.stream.estimate(p, rows, pos-l.start, l.start)
	}
	return rows, r.close()
}

// jsonKinds is what the values of a member are. The zero value is that of one without values.
type jsonKinds struct{ text, integer, number, boolean, nested bool }

func (k *jsonKinds) see(raw []byte) {
	switch raw[0] {
	case '"':
		k.text = true
	case '{', '[':
		k.nested = true
	case 't', 'f':
		k.boolean = true
	case 'n':
	default:
		if _, ok := parseInt(raw); ok {
			k.integer = true
		} else {
			k.number = true
		}
	}
}

// kind returns the kind that loses nothing: scalars of several kinds are text, and what is nested at times is always JSON.
func (k *jsonKinds) kind() sqldb.Kind {
	switch numbers := k.integer || k.number; {
	case k.nested:
		return sqldb.KindJSON
	case k.text || numbers && k.boolean:
		return sqldb.KindText
	case k.boolean:
		return sqldb.KindBool
	case k.number:
		return sqldb.KindNumeric
	case k.integer:
		return sqldb.KindInt64
	}
	return sqldb.KindText
}

// open starts reading a part.
func (f *jsonForm) open(ctx context.Context, parts []*part, at int, t *sqldb.Table, columns []int, from int64) (partReader, error) {
	l, err := f.layout(ctx, parts[at])
	if err != nil {
		return nil, err
	}
	r, err := f.reader(ctx, parts[at], l, from)
	if err != nil {
		return nil, err
	}
	r.reject = f.set.reject
	for i := range t.Columns {
		r.known[t.Columns[i].Name] = i
	}
	r.wanted, r.columns = make([]int, len(t.Columns)), make([]*sqldb.Column, len(columns))
	r.stamp = make([]int64, len(t.Columns))
	for i := range r.wanted {
		r.wanted[i] = -1
	}
	r.rest = -1
	for i, c := range columns {
		r.wanted[c], r.columns[i] = i, &t.Columns[c]
		if t.Columns[c].Name == restColumn {
			r.rest = i
		}
	}
	delete(r.known, restColumn)
	delete(r.known, "")
	return r, nil
}

func (f *jsonForm) reader(ctx context.Context, p *part, l *layout, from int64) (*jsonReader, error) {
	w, s, err := l.text.open(ctx, p, from, l.start, f.set.rowBytes, jsonLines.newline)
	if err != nil {
		return nil, err
	}
	r := &jsonReader{text: l.text, stream: s, scan: newCSVScanner(w, &jsonLines, false), known: map[string]int{}}
	r.scan.blank = true
	return r, nil
}

// scan walks the rows of a part.
func (f *jsonForm) scan(ctx context.Context, parts []*part, at int, from int64) (partScanner, error) {
	l, err := f.layout(ctx, parts[at])
	if err != nil {
		return nil, err
	}
	r, err := f.reader(ctx, parts[at], l, from)
	if err != nil {
		return nil, err
	}
	return &rowSkipper{stream: r.stream, next: r.scan}, nil
}

// member is one member of a row.
type member struct {
	name  []byte // without quotes and escapes
	quote []byte // as it stands there
	value []byte // as it stands there
}

// jsonReader reads the rows of a part.
type jsonReader struct {
	text    text
	stream  *stream
	scan    *csvScanner
	known   map[string]int  // the columns of the table
	wanted  []int           // of each, which cell it is; -1 for none
	columns []*sqldb.Column // of the cells
	rest    int             // which cell is for the rest; -1 for none
	reject  bool
	found   []member
	stamp   []int64 // of each column, the position behind the row that had it last
	buf     []byte  // the row in UTF-8
	spare   []byte
}

func (r *jsonReader) close() error { return r.stream.close() }

// row returns the next row in UTF-8, with its position.
func (r *jsonReader) row() ([]byte, int64, error) {
	row, err := r.scan.row()
	if err != nil {
		return nil, 0, err
	}
	pos := r.scan.pos
	if bad := r.scan.bad(row, nil); bad != nil {
		return nil, pos, bad
	}
	ok := true
	if r.text.charset.plain() {
		ok = utf8.Valid(row)
	} else if !isASCII(row) {
		r.buf, ok = r.text.charset.decode(r.buf[:0], row)
		row = r.buf
	}
	if !ok {
		return nil, pos, &sqldb.UnreadableRow{Reason: "the row is not valid " + r.text.charset.name, Code: codeEncoding, Raw: preview(row)}
	}
	return row, pos, nil
}

func (r *jsonReader) next(cells []sqldb.Cell) (int64, error) {
	row, pos, err := r.row()
	if err != nil {
		return pos, err
	}
	if err := r.members(row); err != nil {
		return pos, err
	}
	clear(cells)
	rest := false
	for _, m := range r.found {
		at, ok := r.known[lend(m.name)]
		switch {
		case ok && r.stamp[at] == pos+1:
			return pos, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the member %q is there twice", m.name), Code: codeBadRow, Raw: preview(row)}
		case ok:
			r.stamp[at] = pos + 1
			if to := r.wanted[at]; to >= 0 {
				var fits bool
				if cells[to], fits = r.cell(m.value, r.columns[to].Kind); !fits && r.columns[to].Guessed {
					return pos, misfit(r.columns[to], preview(m.value[:min(len(m.value), 60)]), preview(row))
				}
			}
		case r.reject:
			return pos, &sqldb.UnreadableRow{Reason: fmt.Sprintf("the member %q is no column of the table", m.name), Code: codeBadRow, Raw: preview(row)}
		case r.rest >= 0:
			rest = true
		}
	}
	if rest {
		cells[r.rest] = r.restCell()
	}
	return pos, nil
}

// restCell makes an object of the members that are no columns.
func (r *jsonReader) restCell() sqldb.Cell {
	start, sep := len(r.spare), byte('{')
	for _, m := range r.found {
		if _, ok := r.known[lend(m.name)]; !ok {
			r.spare = append(append(r.spare, sep), m.quote...)
			r.spare = append(append(r.spare, ':'), m.value...)
			sep = ','
		}
	}
	r.spare = append(r.spare, '}')
	return sqldb.TextCell(lend(r.spare[start:]))
}

// cell makes the cell of a value. A value of another kind than its column's becomes text. It reports whether the value is what a
// column has to hold for that kind to be guessed: a text is of no kind but text, whatever stands in it.
func (r *jsonReader) cell(raw []byte, kind sqldb.Kind) (c sqldb.Cell, fits bool) {
	switch {
	case raw[0] == 'n':
		return sqldb.Cell{}, true
	case kind == sqldb.KindJSON:
		return sqldb.TextCell(lend(raw)), true
	case raw[0] == '"':
		return sqldb.TextCell(lend(r.unquote(raw))), kind == sqldb.KindText
	case kind == sqldb.KindText:
		return sqldb.TextCell(lend(raw)), true
	case kind == sqldb.KindNumeric: // all numbers are, also with an exponent
		return sqldb.TextCell(lend(raw)), raw[0] == '-' || raw[0] >= '0' && raw[0] <= '9'
	}
	return typedCell(raw, kind)
}

// members finds the members of a row.
func (r *jsonReader) members(row []byte) error {
	r.found, r.spare = r.found[:0], r.spare[:0]
	i := skipBlanks(row, 0)
	if i < len(row) && row[i] == '{' {
		if end := r.object(row, i+1); end >= 0 && skipBlanks(row, end) == len(row) {
			return nil
		}
	} else if end := skipValue(row, i, 0); end >= 0 && skipBlanks(row, end) == len(row) {
		return &sqldb.UnreadableRow{Reason: "the row is JSON, but no object", Code: codeBadRow, Raw: preview(row)}
	}
	return &sqldb.UnreadableRow{Reason: "the row is no JSON: " + whyNoJSON(row), Code: codeBadRow, Raw: preview(row)}
}

// object finds the members of an object behind its brace. It returns where the object ends, or -1.
func (r *jsonReader) object(row []byte, i int) int {
	for first := true; ; first = false {
		if i = skipBlanks(row, i); i < len(row) && row[i] == '}' && first {
			return i + 1
		}
		start, end, value := i, -1, -1
		if end = skipString(row, i); end < 0 {
			return -1
		}
		if value = skipColon(row, end); value < 0 {
			return -1
		}
		if i = skipValue(row, value, 1); i < 0 {
			return -1
		}
		r.found = append(r.found, member{name: r.unquote(row[start:end]), quote: row[start:end], value: row[value:i]})
		if i = skipBlanks(row, i); i == len(row) {
			return -1
		}
		switch row[i] {
		case '}':
			return i + 1
		case ',':
			i++
		default:
			return -1
		}
	}
}

// whyNoJSON asks Go's own decoder.
func whyNoJSON(row []byte) string {
	var v json.RawMessage
	if err := json.Unmarshal(row, &v); err != nil {
		return err.Error()
	}
	return "it cannot be read"
}
