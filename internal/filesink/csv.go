package filesink

import (
	"bytes"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/stint-run/stint/tasks"
)

// csvCell appends a value as a field.
func (e *Encoder) csvCell(buf []byte, value any) ([]byte, error) {
	if isNull(value) {
		return e.encode(buf, []byte(e.f.Null)), nil
	}
	var err error
	e.text = e.text[:0]
	if s, ok := value.(string); ok {
		e.text = append(e.text, s...)
	} else if e.text, err = e.plain(e.text, value); err != nil {
		return buf, err
	}
	if err := validUTF8(e.text); err != nil {
		return buf, err
	}
	if e.f.Encoding == Windows1252 {
		if r, ok := e.f.lacks(string(e.text)); ok {
			return buf, tasks.WithHint(nil, "choose utf-8, or replace the character in the mapping", "%s has no character %U", e.f.Encoding, r)
		}
	}
	return e.csvText(buf, e.text, false), nil
}

// csvText appends a text as a field, in quotes where a reader would not get back the same text without them.
func (e *Encoder) csvText(buf, text []byte, header bool) []byte {
	if e.f.Quote != "all" && !e.needsQuotes(text, header) {
		return e.encode(buf, text)
	}
	buf = append(buf, '"')
	for {
		i := bytes.IndexByte(text, '"')
		if i < 0 {
			buf = e.encode(buf, text)
			return append(buf, '"')
		}
		buf = e.encode(buf, text[:i])
		buf = append(buf, `""`...)
		text = text[i+1:]
	}
}

// needsQuotes reports whether a field has to be quoted: it would be taken apart, trimmed, or taken for NULL or, alone on its line,
// for the end of the data (\. in PostgreSQL) or a line to skip.
func (e *Encoder) needsQuotes(text []byte, header bool) bool {
	if len(text) == 0 || string(text) == e.f.Null && !header || string(text) == `\.` {
		return true
	}
	first, last := text[0], text[len(text)-1]
	if first == ' ' || first == '\t' || last == ' ' || last == '\t' {
		return true
	}
	if beginsOtherwise(text) {
		return true
	}
	delimiter := e.f.delimiter()[0]
	for _, c := range text {
		if c == delimiter || c == '"' || c == '\r' || c == '\n' {
			return true
		}
	}
	// Readers skip spaces of every kind before a field.
	r, _ := utf8.DecodeRune(text)
	return r == '\u00a0' || r == '\u0085' || r == '\v' || r == '\f' || r >= '\u1680' && isWideSpace(r)
}

// beginsOtherwise reports whether a file that begins with a text would be taken for one of another encoding or kind: the marks of UTF-8
// and UTF-16, as they are and as windows-1252 has them, and what ZIP, Parquet, gzip, Zstandard and old documents of Office begin with.
func beginsOtherwise(text []byte) bool {
	switch text[0] { // most texts begin with something else
	case 0xEF, 0xC3, 'P', 0x1f, '(':
		for _, mark := range []string{"\ufeff", "ÿþ", "þÿ", "ï»¿", "PK\x03\x04", "PAR1", "\x1f‹", "(µ/ý", "ÐÏ\x11à"} {
			if bytes.HasPrefix(text, []byte(mark)) {
				return true
			}
		}
	}
	return false
}

func isWideSpace(r rune) bool {
	return r == '\u1680' || r >= '\u2000' && r <= '\u200a' || r == '\u2028' || r == '\u2029' || r == '\u202f' || r == '\u205f' || r == '\u3000'
}

// encode appends a text in the encoding of the file. That the encoding has all of its characters has been checked.
func (e *Encoder) encode(buf, text []byte) []byte {
	if e.f.Encoding != Windows1252 {
		return append(buf, text...)
	}
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		b, _ := charmap.Windows1252.EncodeRune(r)
		buf, text = append(buf, b), text[n:]
	}
	return buf
}
