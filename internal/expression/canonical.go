package expression

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendText appends the canonical text of a value, for people and for columns of text. NULL appends nothing.
//
//	bool       true, false
//	decimal    -1234.50, with the scale it has
//	float      the shortest text that gives the same float64
//	bytes      \x and hexadecimal digits
//	date       2024-02-29
//	time       23:59:59.5
//	timestamp  2024-02-29 23:59:59.5
//	moment     2024-02-29T23:59:59.5Z
//	uuid       in lower case, with hyphens
//	json       the document, without blanks, names in order; a text that nobody looked into as it came
func (v Value) AppendText(dst []byte) []byte {
	switch v.kind {
	case Bool:
		return strconv.AppendBool(dst, v.n != 0)
	case Int:
		return strconv.AppendInt(dst, v.n, 10)
	case Decimal:
		d, _ := v.number()
		return d.append(dst)
	case Float:
		return appendFloat(dst, v.Float64())
	case Text:
		return append(dst, v.s()...)
	case Bytes:
		return hex.AppendEncode(append(dst, `\x`...), v.Bytes())
	case Date:
		return appendDate(dst, v.n)
	case Time:
		return appendClock(dst, v.n)
	case Timestamp:
		days, micros := splitDay(v.n)
		return appendClock(append(appendDate(dst, days), ' '), micros)
	case Moment:
		days, micros := splitDay(v.n)
		return append(appendClock(append(appendDate(dst, days), 'T'), micros), 'Z')
	case UUID:
		return appendUUID(dst, v.UUID())
	case JSON:
		if v.x() == nil {
			return append(dst, v.s()...)
		}
		return appendJSON(dst, v.x().doc)
	}
	return dst
}

// String returns the canonical text, and NULL for NULL.
func (v Value) String() string {
	switch v.kind {
	case Any:
		return "NULL"
	case failed:
		return v.x().err.Error()
	}
	return string(v.AppendText(nil))
}

// JSON returns the value as encoding/json takes it: exact numbers as json.Number or int64, bytes in base64, dates and times as
// text (moments and timestamps in RFC 3339, the latter without an offset), what no JSON number can be (NaN) as text, NULL as nil.
func (v Value) JSON() any {
	switch v.kind {
	case Any, failed:
		return nil
	case Bool:
		return v.n != 0
	case Int:
		return v.n
	case Decimal:
		return json.Number(v.String())
	case Float:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return v.String()
		}
		return json.Number(v.String())
	case Bytes:
		return base64.StdEncoding.EncodeToString(v.Bytes())
	case Timestamp:
		return strings.Replace(v.String(), " ", "T", 1)
	case JSON:
		doc, err := v.document()
		if err != nil {
			return v.s()
		}
		return plain(doc)
	}
	return v.String()
}

// plain replaces the Values in a document that an expression has built.
func plain(doc any) any {
	switch d := doc.(type) {
	case Value:
		return d.JSON()
	case []any:
		if !slices.ContainsFunc(d, special) {
			return d
		}
		out := make([]any, len(d))
		for i, e := range d {
			out[i] = plain(e)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(d))
		for k, e := range d {
			out[k] = plain(e)
		}
		return out
	}
	return doc
}

func special(doc any) bool {
	switch doc.(type) {
	case Value, []any, map[string]any:
		return true
	}
	return false
}

// appendJSON writes a document. Names are in order: the same document always has the same bytes.
func appendJSON(dst []byte, doc any) []byte {
	switch d := doc.(type) {
	case nil:
		return append(dst, "null"...)
	case Value:
		return d.appendJSON(dst)
	case string:
		return appendJSONText(dst, d)
	case bool:
		return strconv.AppendBool(dst, d)
	case int64:
		return strconv.AppendInt(dst, d, 10)
	case int:
		return strconv.AppendInt(dst, int64(d), 10)
	case float64:
		return OfFloat(d).appendJSON(dst)
	case json.Number:
		return append(dst, d...)
	case []any:
		dst = append(dst, '[')
		for i, e := range d {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e)
		}
		return append(dst, ']')
	case map[string]any:
		dst = append(dst, '{')
		for i, name := range sortedNames(d) {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendJSONText(dst, name), ':')
			dst = appendJSON(dst, d[name])
		}
		return append(dst, '}')
	}
	return append(dst, "null"...)
}

func sortedNames(d map[string]any) []string {
	names := make([]string, 0, len(d))
	for name := range d {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (v Value) appendJSON(dst []byte) []byte {
	switch v.kind {
	case JSON:
		if v.x() == nil {
			return append(dst, v.s()...)
		}
		return appendJSON(dst, v.x().doc)
	case Bool, Int, Decimal:
		return v.AppendText(dst)
	}
	switch j := v.JSON().(type) {
	case string:
		return appendJSONText(dst, j)
	case json.Number:
		return append(dst, j...)
	}
	return append(dst, "null"...)
}

const hexDigits = "0123456789abcdef"

// appendJSONText quotes a text. Unlike encoding/json it leaves < > & alone, as nothing of ours ends in HTML.
func appendJSONText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}

func parseJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errTrailing
	}
	return doc, nil
}

// appendFloat writes the shortest text that gives the same float64, in the form that JSON and SQL read.
func appendFloat(dst []byte, f float64) []byte {
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) && !math.IsInf(f, 0) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

func appendUUID(dst []byte, u [16]byte) []byte {
	for i, b := range u {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

// parseUUID reads 32 hexadecimal digits, with hyphens or without, in braces or not.
func parseUUID(s string) (u [16]byte, ok bool) {
	s = strings.TrimSpace(s)
	if len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	if len(s) == 36 {
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return u, false
		}
	} else if len(s) != 32 {
		return u, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if len(s) == 36 && (i == 8 || i == 13 || i == 18 || i == 23) {
			continue
		}
		var d byte
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			d = c - '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			d = (c | 0x20) - 'a' + 10
		default:
			return u, false
		}
		u[n/2] = u[n/2]<<4 | d
		n++
	}
	return u, true
}
