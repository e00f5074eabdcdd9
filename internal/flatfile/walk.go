package flatfile

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// place is a key of a row, or a border.
type place struct {
	part int
	pos  int64
}

// find reads a key.
func find(parts []*part, t *sqldb.Table, key sqldb.RowKey) (place, error) {
	if len(key) == 2 {
		name, ok1 := key[0].(string)
		pos, ok2 := key[1].(int64)
		for i, p := range parts {
			if ok1 && ok2 && p.name == name {
				return place{i, pos}, nil
			}
		}
		if ok1 && ok2 {
			return place{}, tasks.Permanent(tasks.WithHint(nil,
				"files must stay where they are during a migration; put it back, or start a new migration",
				"the table %s has no file %s any more", t.Name, name))
		}
	}
	return place{}, fmt.Errorf("%s is no place in the files of %s", key.String(), t.Name)
}

// Boundaries returns the starts of chunks. A compressed file is a chunk by itself, however long it is: whoever starts in its middle
// has to decompress all that comes before.
func (f *folder) Boundaries(ctx context.Context, t *sqldb.Table, after sqldb.RowKey, rows, limit int) ([]sqldb.RowKey, error) {
	parts, err := f.table(t.Name)
	if err != nil {
		return nil, err
	}
	var at place
	if after != nil {
		if at, err = find(parts, t, after); err != nil {
			return nil, err
		}
	}
	var keys []sqldb.RowKey
	room := rows // how many rows the chunk that is open still takes
	for i := at.part; i < len(parts) && len(keys) < limit; i++ {
		p, pos := parts[i], int64(0)
		if i == at.part {
			pos = at.pos
		}
		if p.squeeze != "" {
			if i > at.part {
				keys = append(keys, sqldb.RowKey{p.name, int64(0)})
			}
			room = 0
			continue
		}
		var more []int64
		if more, room, err = f.borders(ctx, parts, i, pos, room, rows, limit-len(keys)); err != nil {
			return nil, err
		}
		for _, b := range more {
			keys = append(keys, sqldb.RowKey{p.name, b})
		}
	}
	return keys, nil
}

// borders finds the borders within one part.
func (f *folder) borders(ctx context.Context, parts []*part, at int, from int64, room, rows, limit int) ([]int64, int, error) {
	s, err := f.form.scan(ctx, parts, at, from)
	if err != nil {
		return nil, 0, err
	}
	var found []int64
	for len(found) < limit {
		n, pos, err := s.skip(room)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, errors.Join(err, s.close())
		}
		room -= n
		if err != nil { // there is no row behind those
			break
		}
		found = append(found, pos)
		room = rows
	}
	return found, room, s.close()
}

// Read streams the rows of a range.
func (f *folder) Read(ctx context.Context, t *sqldb.Table, columns []int, from, to sqldb.RowKey) (sqldb.RowReader, error) {
	parts, err := f.table(t.Name)
	if err != nil {
		return nil, err
	}
	r := &walker{ctx: ctx, form: f.form, parts: parts, table: t, columns: columns}
	if from != nil {
		if r.at, err = find(parts, t, from); err != nil {
			return nil, err
		}
	}
	r.to = place{len(parts), 0}
	if to != nil {
		if r.to, err = find(parts, t, to); err != nil {
			return nil, err
		}
	}
	// The first part is opened at once, so that a border that is none shows here.
	if r.inRange() {
		if err := r.open(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// walker reads rows across parts.
type walker struct {
	ctx     context.Context
	form    form
	parts   []*part
	table   *sqldb.Table
	columns []int
	at      place // the part that is read, and where it was opened
	to      place
	r       partReader
}

// inRange reports whether the part that comes now has rows of the range.
func (r *walker) inRange() bool {
	return r.at.part < len(r.parts) && (r.at.part < r.to.part || r.at.part == r.to.part && r.at.pos < r.to.pos)
}

func (r *walker) open() (err error) {
	r.r, err = r.form.open(r.ctx, r.parts, r.at.part, r.table, r.columns, r.at.pos)
	return err
}

// Next reads the next row.
func (r *walker) Next(cells []sqldb.Cell) (bool, error) {
	for {
		if r.r == nil {
			if !r.inRange() {
				return false, nil
			}
			if err := r.open(); err != nil {
				return false, err
			}
		}
		n := len(r.columns)
		pos, err := r.r.next(cells[:n])
		last := r.at.part == r.to.part
		switch {
		case errors.Is(err, io.EOF):
			if last && r.form.exact() {
				return false, r.parts[r.at.part].changed(r.to.pos, "it ends before this row")
			}
			err = r.r.close()
			r.r, r.at = nil, place{r.at.part + 1, 0}
			if err != nil {
				return false, err
			}
			continue
		case last && (pos == r.to.pos || pos > r.to.pos && !r.form.exact()):
			return false, nil
		case last && pos > r.to.pos:
			return false, r.parts[r.at.part].changed(r.to.pos, "no row begins here")
		}
		cells[n], cells[n+1] = sqldb.TextCell(r.parts[r.at.part].name), sqldb.IntCell(pos)
		if err != nil {
			return false, err
		}
		return true, nil
	}
}

// Close ends the reading.
func (r *walker) Close() error {
	if r.r == nil {
		return nil
	}
	err := r.r.close()
	r.r = nil
	return err
}

// rowSkipper is a partScanner over rows of text.
type rowSkipper struct {
	stream *stream
	next   *csvScanner
	ahead  bool // the row that comes next has been found already
}

func (s *rowSkipper) skip(rows int) (int, int64, error) {
	for n := 0; ; n++ {
		if !s.ahead {
			if _, err := s.next.row(); err != nil {
				return n, 0, err
			}
		}
		if s.ahead = n == rows; s.ahead {
			return n, s.next.pos, nil
		}
	}
}

func (s *rowSkipper) close() error { return s.stream.close() }
