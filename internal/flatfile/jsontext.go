package flatfile

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unquote returns what a string of valid JSON means, in spare where it has escapes. Half a pair of surrogates becomes three bytes
// that are not valid UTF-8, for the target to set aside: what Go's own decoder does, a replacement character, would lose it.
func (r *jsonReader) unquote(b []byte) []byte {
	b = b[1 : len(b)-1]
	if bytes.IndexByte(b, '\\') < 0 {
		return b
	}
	start := len(r.spare)
	for i := 0; i < len(b); i++ {
		if b[i] != '\\' {
			r.spare = append(r.spare, b[i])
			continue
		}
		i++
		switch c := b[i]; c {
		case 'u':
			u := hex4(b[i+1:])
			i += 4
			switch pair := secondHalf(u, b[i+1:]); {
			case pair != 0:
				r.spare = utf8.AppendRune(r.spare, pair)
				i += 6
			case utf16.IsSurrogate(u):
				r.spare = appendSurrogate(r.spare, u)
			default:
				r.spare = utf8.AppendRune(r.spare, u)
			}
		default:
			if at := bytes.IndexByte([]byte("bfnrt"), c); at >= 0 {
				c = "\b\f\n\r\t"[at]
			}
			r.spare = append(r.spare, c)
		}
	}
	return r.spare[start:]
}

// hex4 reads the four digits of an escape.
func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 32) // they are digits: the row is valid
	return rune(n)
}

// secondHalf returns the character that a high surrogate makes with the escape behind it, or 0.
func secondHalf(high rune, b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0
	}
	if r := utf16.DecodeRune(high, hex4(b[2:])); r != utf8.RuneError {
		return r
	}
	return 0
}

// The functions that skip find where a part of JSON text ends, and are as strict as encoding/json, at a multiple of its speed. They
// return -1 where there is no such part. The text is valid UTF-8.

// maxDepth is how deep values may be nested, as in encoding/json.
const maxDepth = 10_000

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipColon goes over the colon of a member, to its value.
func skipColon(b []byte, i int) int {
	if i = skipBlanks(b, i); i == len(b) || b[i] != ':' {
		return -1
	}
	return skipBlanks(b, i+1)
}

// skipValue goes over a value; depth is how many objects and arrays it is in.
func skipValue(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxDepth {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return skipString(b, i)
	case c == '{' || c == '[':
		return skipNested(b, i, depth)
	case c == '-' || c >= '0' && c <= '9':
		return skipNumber(b, i)
	}
	for _, word := range []string{"true", "false", "null"} {
		if i+len(word) <= len(b) && string(b[i:i+len(word)]) == word {
			return i + len(word)
		}
	}
	return -1
}

// skipNested goes over an object or an array.
func skipNested(b []byte, i, depth int) int {
	object, end := b[i] == '{', b[i]+2 // } is two behind {, and ] two behind [
	if i = skipBlanks(b, i+1); i < len(b) && b[i] == end {
		return i + 1
	}
	for {
		if object {
			if i = skipString(b, i); i < 0 {
				return -1
			}
			if i = skipColon(b, i); i < 0 {
				return -1
			}
		}
		if i = skipValue(b, i, depth+1); i < 0 {
			return -1
		}
		i = skipBlanks(b, i)
		switch {
		case i == len(b):
			return -1
		case b[i] == end:
			return i + 1
		case b[i] != ',':
			return -1
		}
		i = skipBlanks(b, i+1)
	}
}

func skipString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < ' ':
			return -1
		case c != '\\':
		case i+1 < len(b) && bytes.IndexByte([]byte("\"\\/bfnrt"), b[i+1]) >= 0:
			i++
		case i+5 < len(b) && b[i+1] == 'u' && areHex(b[i+2:i+6]):
			i += 5
		default:
			return -1
		}
	}
	return -1
}

func areHex(b []byte) bool {
	for _, c := range b {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

func skipNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	whole := i
	if i = skipDigits(b, i); i < 0 || b[whole] == '0' && i > whole+1 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = skipDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return skipDigits(b, i)
	}
	return i
}

// skipDigits goes over one digit at least.
func skipDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
