package flatfile

import "bytes"

// field is where a field of a row is, without its quotes.
type field struct {
	start, end int
	quoted     bool
	escaped    bool // it holds doubled quotes, or backslashes
}

// splitSimple finds the fields of a row that has neither quotes nor escapes.
func (d *dialect) splitSimple(row []byte, fields []field) []field {
	start := 0
	for {
		i := bytes.IndexByte(row[start:], d.delimiter)
		if i < 0 {
			return append(fields, field{start: start, end: len(row)})
		}
		fields = append(fields, field{start: start, end: start + i})
		start += i + 1
	}
}

// split finds the fields of any row. It goes through the same states as the scanner. It returns what is wrong with the row, or "".
func (d *dialect) split(row []byte, fields []field) ([]field, string) {
	reason := ""
	for i := 0; ; {
		f := field{start: i}
		j := i
		for d.trim && j < len(row) && row[j] != d.delimiter && (row[j] == ' ' || row[j] == '\t') {
			j++
		}
		if d.quote != 0 && j < len(row) && row[j] == d.quote {
			f.quoted, f.start = true, j+1
			j = d.splitQuoted(row, &f)
			rest := j
			j = d.fieldEnd(row, j, &field{})
			if len(bytes.Trim(row[rest:j], " \t")) > 0 || rest < j && !d.trim {
				reason = "a field goes on behind its closing quote"
			}
		} else {
			j = d.fieldEnd(row, j, &f)
			f.end = j
		}
		fields = append(fields, f)
		if j >= len(row) {
			return fields, reason
		}
		i = j + 1
	}
}

// splitQuoted finds the closing quote of a field, and returns where the row goes on.
func (d *dialect) splitQuoted(row []byte, f *field) int {
	for j := f.start; j < len(row); j++ {
		switch {
		case d.backslash && row[j] == '\\':
			f.escaped = true
			j++
		case row[j] != d.quote:
		case j+1 < len(row) && row[j+1] == d.quote:
			f.escaped = true
			j++
		default:
			f.end = j
			return j + 1
		}
	}
	f.end = len(row)
	return len(row)
}

// fieldEnd returns where the delimiter behind what is not quoted is.
func (d *dialect) fieldEnd(row []byte, j int, f *field) int {
	for ; j < len(row); j++ {
		switch {
		case d.backslash && row[j] == '\\':
			f.escaped = true
			j++
		case row[j] == d.delimiter:
			return j
		}
	}
	return len(row)
}

// unescape appends what a field means. Behind a backslash stand the letters of MySQL and PostgreSQL, and else the character itself.
func (d *dialect) unescape(dst, b []byte, quoted bool) []byte {
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case d.backslash && c == '\\' && i+1 < len(b):
			i++
			c = b[i]
			if at := bytes.IndexByte([]byte("0bfnrtvZ"), c); at >= 0 {
				c = "\x00\b\f\n\r\t\v\x1a"[at]
			}
		case quoted && c == d.quote:
			i++ // the second half of a doubled quote
		}
		dst = append(dst, c)
	}
	return dst
}
