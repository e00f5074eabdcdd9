package filesink

import (
	"bytes"
	"encoding/json"
	"math"
	"unicode/utf8"
)

// jsonCell appends a value as JSON.
func (e *Encoder) jsonCell(buf []byte, value any) ([]byte, error) {
	if isNull(value) {
		return append(buf, "null"...), nil
	}
	switch v := value.(type) {
	case string:
		if !utf8.ValidString(v) {
			return buf, errNotUTF8
		}
		return appendJSONText(buf, v), nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return buf, errNotFinite
		}
	case []byte: // its text has no characters to escape
		buf = append(buf, '"')
		buf, err := e.plain(buf, v)
		return append(buf, '"'), err
	}
	return e.plain(buf, value)
}

// appendCompact appends JSON without the spaces in it, so that it stays on its line.
func appendCompact(buf []byte, v json.RawMessage) ([]byte, error) {
	if err := validUTF8(v); err != nil {
		return buf, err
	}
	out := bytes.NewBuffer(buf)
	if err := json.Compact(out, v); err != nil {
		return buf, errNotJSON
	}
	return out.Bytes(), nil
}

// appendJSONText appends a text in quotes. Escaped is what JSON wants escaped, and the two line separators that JavaScript ends
// lines at; all else stays as it is.
func appendJSONText(buf []byte, s string) []byte {
	const hexDigits = "0123456789abcdef"
	buf = append(buf, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == '\u2028' || r == '\u2029' {
				buf = append(append(buf, s[begin:i]...), `\u202`...)
				buf = append(buf, hexDigits[r&15])
				begin = i + n
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		buf = append(buf, s[begin:i]...)
		switch c {
		case '"', '\\':
			buf = append(buf, '\\', c)
		case '\n':
			buf = append(buf, `\n`...)
		case '\r':
			buf = append(buf, `\r`...)
		case '\t':
			buf = append(buf, `\t`...)
		default:
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		begin = i
	}
	buf = append(buf, s[begin:]...)
	return append(buf, '"')
}
