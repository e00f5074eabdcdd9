package datasets

import (
	"crypto/sha256"
)

// writing is how a GUID was written. Two that are written in different ways can be the same GUID and yet stand far from one another
// in the order of the store.
type writing byte

const (
	asBytes writing = 1 << iota // 16 bytes, or the database's own type
	dashes                      // 8-4-4-4-12
	braces
	urn
	upper
	lower
	padded
	other // no GUID
)

// same reports whether GUIDs that are written in these two ways stand in one order: one without letters is in either case.
func (w writing) same(of writing) bool {
	const letters = upper | lower
	return w&^letters == of&^letters && (w|of)&letters != letters
}

// nibbles are the values of hexadecimal digits, with the bit of their case; 0xff is none.
var nibbles = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(10) {
		t['0'+i] = i
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = 10+i|lowerBit, 10+i|upperBit
	}
	return t
}()

// The bits of the case of a digit, in nibbles.
const (
	lowerBit = 0x10
	upperBit = 0x20
)

// ParseGUID reads a GUID as text: 8-4-4-4-12 or 32 hexadecimal digits, in either case, in braces or behind urn:uuid:, with spaces
// around it. Any other text becomes the first 16 bytes of its SHA-256, without the spaces behind it, with which some databases fill up
// columns.
func ParseGUID(s []byte) GUID {
	g, _ := parseGUID(s)
	return g
}

func parseGUID(s []byte) (GUID, writing) {
	if g, w, ok := parseDigits(s); ok { // nearly all
		return g, w
	}
	end := len(s)
	for end > 0 && s[end-1] == ' ' {
		end--
	}
	unpadded, start := s[:end], 0
	for start < end && (s[start] == ' ' || s[start] == '\t') {
		start++
	}
	trimmed := unpadded[start:]
	var w writing
	if len(trimmed) != len(s) {
		w |= padded
	}
	if len(trimmed) > 9 && foldsTo(trimmed[:9], "urn:uuid:") {
		trimmed, w = trimmed[9:], w|urn
	}
	if n := len(trimmed); n > 2 && trimmed[0] == '{' && trimmed[n-1] == '}' {
		trimmed, w = trimmed[1:n-1], w|braces
	}
	if g, x, ok := parseDigits(trimmed); ok {
		return g, w | x
	}
	sum := sha256.Sum256(unpadded)
	return GUID(sum[:16]), other
}

// blank is what an empty text, or one of spaces, becomes.
var blank = ParseGUID(nil)

// none reports whether a GUID says that there is none: an empty text, or only zeros, which is what programs write that have none to write
// (Guid.Empty of .NET, the nil UUID of RFC 9562). Rows with it have nothing in common.
func (g GUID) none() bool { return g == GUID{} || g == blank }

// foldsTo reports whether a text is a word of lower-case letters, in any case.
func foldsTo(s []byte, word string) bool {
	for i := range s {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != word[i] {
			return false
		}
	}
	return true
}

// parseDigits reads 32 hexadecimal digits, with or without dashes at their places.
func parseDigits(s []byte) (g GUID, w writing, ok bool) {
	switch len(s) {
	case 36:
		if s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
			return g, 0, false
		}
		w = dashes
	case 32:
	default:
		return g, 0, false
	}
	var seen, wrong byte
	at := 0
	for i := range g {
		if w == dashes && (i == 4 || i == 6 || i == 8 || i == 10) {
			at++
		}
		high, low := nibbles[s[at]], nibbles[s[at+1]]
		at += 2
		seen |= high | low
		wrong |= (high | low) & 0xc0
		g[i] = high<<4 | low&0x0f
	}
	if wrong != 0 {
		return GUID{}, 0, false
	}
	if seen&lowerBit != 0 {
		w |= lower
	}
	if seen&upperBit != 0 {
		w |= upper
	}
	return g, w, true
}

// bytesGUID reads a GUID that is stored as bytes: 16 of them, or a text.
func bytesGUID(b []byte) (GUID, writing) {
	if len(b) == 16 {
		return GUID(b), asBytes
	}
	return parseGUID(b)
}
