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
