package flatfile

import (
	"bytes"
	"io"

	"github.com/stint-run/stint/internal/sqldb"
)

// SQLSTATEs of rows that are no rows.
const (
	codeBadRow   = "22P04" // bad_copy_file_format
	codeEncoding = "22021" // character_not_in_repertoire
	codeTooLong  = "54000" // program_limit_exceeded
	codeMisfit   = "22P02" // invalid_text_representation
)

// Where a scanner of CSV is within a row.
type csvState byte

const (
	atField       csvState = iota // before the first byte of a field, or behind blanks that are trimmed
	inPlain                       // in a field without quotes, or behind the closing quote
	inQuoted                      //
	atQuote                       // behind a quote within quotes: the end of them, or the first half of a doubled one
	plainEscaped                  // behind a backslash
	quotedEscaped                 //
	inComment                     //
)

// csvScanner finds the rows of a CSV file. A row ends at a line end that is not within quotes; only this decides what a row is,
// not the number of its fields, so that whoever starts at a border sees the rows that everybody sees.
type csvScanner struct {
	w       *window
	d       *dialect
	one     bool // the table has one column: an empty line is a row
	blank   bool // a line of blanks is empty
	quote   lookout
	escape  lookout
	lf, cr  lookout
	taken   int   // bytes of the row that the caller has now
	pos     int64 // its position
	simple  bool  // it has neither quotes nor escapes
	opened  int   // where in the row the last quote opened; -1 where none did
	cut     bool  // the row is longer than the limit: only its beginning is there
	unended bool  // the file ends within quotes
}

func newCSVScanner(w *window, d *dialect, one bool) *csvScanner {
	return &csvScanner{w: w, d: d, one: one, quote: lookout{c: d.quote}, escape: lookout{c: '\\'}, lf: lookout{c: '\n'}, cr: lookout{c: '\r'}}
}

// row returns the next row, without its end; io.EOF behind the last. It is valid until the next call. Comments, and empty lines
// unless the table has one column, are gone over.
func (s *csvScanner) row() ([]byte, error) {
	for {
		row, comment, err := s.line()
		if err != nil || !comment && (!s.empty(row) || s.one || s.cut) && !s.endMark(row) {
			return row, err
		}
	}
}

// empty reports whether nothing stands in a row.
func (s *csvScanner) empty(row []byte) bool {
	return len(row) == 0 || s.blank && row[0] <= ' ' && len(bytes.Trim(row, " \t\r")) == 0
}

// endMark reports whether a row is the byte with which programs of DOS end a text.
func (s *csvScanner) endMark(row []byte) bool { return len(row) == 1 && row[0] == 26 && s.taken == 1 }

// line returns what ends at the next line end outside of quotes.
func (s *csvScanner) line() (row []byte, comment bool, err error) {
	w := s.w
	w.take(s.taken)
	s.taken, s.simple, s.cut, s.unended, s.opened = 0, false, false, false, -1
	for w.at == w.end {
		if w.eof {
			return nil, false, io.EOF
		}
		if err := w.more(); err != nil {
			return nil, false, err
		}
	}
	s.pos = w.pos
	if n, end := s.fast(); end > 0 {
		row, s.taken, s.simple, s.cut = w.buf[w.at:w.at+n], n+end, true, n > w.limit
		if s.cut {
			row = row[:min(w.limit, headBytes)]
		}
		return row, s.d.comment != 0 && n > 0 && row[0] == s.d.comment, nil
	}
	return s.slow()
}

// fast finds the end of a row without quotes and escapes: its length, and that of its line end; 0 where it cannot tell.
func (s *csvScanner) fast() (n, end int) {
	w := s.w
	if s.d.newline == crEnd {
		i := s.cr.next(w, w.at)
		if i < 0 || !s.clean(i) {
			return 0, 0
		}
		return i - w.at, 1
	}
	i := s.lf.next(w, w.at)
	if i < 0 {
		return 0, 0
	}
	n, end = i-w.at, 1
	if n > 0 && w.buf[i-1] == '\r' {
		n, end = n-1, 2
	}
	if !s.clean(w.at+n) || s.d.newline == anyEnd && s.cr.within(w, w.at, w.at+n) {
		return 0, 0
	}
	return n, end
}

// clean reports whether there are no quotes and escapes before an index.
func (s *csvScanner) clean(to int) bool {
	return (s.d.quote == 0 || !s.quote.within(s.w, s.w.at, to)) && (!s.d.backslash || !s.escape.within(s.w, s.w.at, to))
}

// slow goes byte by byte, and through as much of the file as the row takes.
func (s *csvScanner) slow() (row []byte, comment bool, err error) {
	w, state := s.w, atField
	if s.d.comment != 0 && w.buf[w.at] == s.d.comment {
		state = inComment
	}
	comment = state == inComment
	n, gone := 0, 0 // how far we are in what is there; how much of the row went by
	var head []byte
	for {
		var end int
		var done bool
		state, n, end, done = s.walk(state, n, gone)
		if !done && w.eof {
			done, s.unended = true, state == inQuoted || state == quotedEscaped
		}
		if done {
			row, s.taken, s.cut = w.buf[w.at:w.at+n], n+end, gone+n > w.limit
			if gone > 0 {
				row = head
			}
			if s.cut {
				row = row[:min(w.limit, headBytes)] // so that it is the same each time
			}
			return row, comment, nil
		}
		if n > w.limit {
			if gone == 0 {
				head = append(head, w.buf[w.at:w.at+min(n, headBytes)]...)
			}
			w.take(n)
			gone, n = gone+n, 0
		}
		if err := w.more(); err != nil {
			return nil, false, err
		}
	}
}

// headBytes is how much is kept of a row that is too long, at most.
const headBytes = 1024

// walk goes on from byte n of what is there to the end of the row, of which end bytes are the line end. It is not done when it
// needs to see more.
func (s *csvScanner) walk(state csvState, n, gone int) (_ csvState, at, end int, done bool) {
	w, d := s.w, s.d
	b := w.buf[w.at:w.end]
	for ; n < len(b); n++ {
		c := b[n]
		switch state {
		case inQuoted:
			if !d.backslash {
				i := bytes.IndexByte(b[n:], d.quote)
				if i < 0 {
					return state, len(b), 0, false
				}
				n, c = n+i, d.quote
			}
			switch {
			case d.backslash && c == '\\':
				state = quotedEscaped
			case c == d.quote:
				state = atQuote
			}
			continue
		case plainEscaped:
			state = inPlain
			continue
		case quotedEscaped:
			state = inQuoted
			continue
		case atQuote:
			if c == d.quote {
				state = inQuoted
				continue
			}
			state = inPlain
		case atField:
			if d.quote != 0 && c == d.quote {
				state, s.opened = inQuoted, gone+n
				continue
			}
			if d.trim && c != d.delimiter && (c == ' ' || c == '\t') {
				continue
			}
			state = inPlain
		}
		switch {
		case c == '\n' && d.newline != crEnd, c == '\r' && d.newline == crEnd:
			return state, n, 1, true
		case c == '\r' && n+1 == len(b) && !w.eof:
			return state, n, 0, false // what is behind it decides; in this state it is seen again for what it is
		case c == '\r' && n+1 < len(b) && b[n+1] == '\n':
			return state, n, 2, true
		case c == '\r' && d.newline == anyEnd:
			return state, n, 1, true
		case state == inComment:
		case c == d.delimiter:
			state = atField
		case d.backslash && c == '\\':
			state = plainEscaped
		}
	}
	return state, n, 0, false
}

// bad returns what is wrong with the row as such, or nil.
func (s *csvScanner) bad(row []byte, line func(opened int64) string) *sqldb.UnreadableRow {
	switch {
	case s.unended:
		return &sqldb.UnreadableRow{Reason: "the quote that begins " + line(s.openedAt(row)) +
			" is never closed: everything up to the end of the file is in this row", Code: codeBadRow, Raw: preview(row)}
	case s.cut:
		reason := "the row is longer than row_bytes allows"
		if s.opened >= 0 {
			reason += "; perhaps a quote that begins " + line(s.openedAt(row)) + " is not closed"
		}
		return &sqldb.UnreadableRow{Reason: reason, Code: codeTooLong, Raw: preview(row)}
	}
	return nil
}

// openedAt returns the position of the last quote that opened; that of the row, where the beginning of the row is gone.
func (s *csvScanner) openedAt(row []byte) int64 {
	switch {
	case s.opened <= len(row):
		return s.pos + s.w.width(row[:s.opened])
	case !s.w.wide:
		return s.pos + int64(s.opened)
	}
	return s.pos
}
