package buildlog

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is a text of a log as it may be shown on a terminal: colours and other looks stay (ESC [ ... m), and are ended where the text
// does not; all else that moves, erases, renames or answers is left out. What a program wrote over itself on one line, with a carriage
// return, is left out too. Bytes that are no UTF-8 become the replacement character.
func Printable(text string) string {
	text = strings.TrimRight(text, "\r\n")
	if i := strings.LastIndexByte(text, '\r'); i >= 0 {
		text = text[i+1:]
	}
	if strings.IndexFunc(text, func(r rune) bool { return r != '\t' && !shown(r) }) < 0 && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	coloured := false
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == 0x1b:
			var look bool
			if n, look = sequence(text); look {
				b.WriteString(text[:n])
				coloured = text[:n] != "\x1b[0m" && text[:n] != "\x1b[m"
			}
		case r == '\t' || shown(r):
			b.WriteRune(r)
		case r == 0x9b || r == 0x90 || r >= 0x9d && r <= 0x9f: // the same as ESC [ and others, in one character
			n += end(text[n:], r == 0x9b)
		}
		text = text[n:]
	}
	if coloured {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// shown says whether a character is one to see. Those that turn the direction of writing can make a line say what it does not.
func shown(r rune) bool {
	return !unicode.IsControl(r) && !(r >= 0x202a && r <= 0x202e) && !(r >= 0x2066 && r <= 0x2069)
}

// sequence is how long the sequence is that an ESC begins, and whether it changes the look alone.
func sequence(text string) (n int, look bool) {
	if len(text) < 2 {
		return len(text), false
	}
	switch text[1] {
	case '[':
		n = 2 + end(text[2:], true)
		look = text[n-1] == 'm' && n > 2 && strings.Trim(text[2:n-1], "0123456789;:") == ""
	case ']', 'P', 'X', '^', '_':
		n = 2 + end(text[2:], false)
	default:
		n = 2
		if _, size := utf8.DecodeRuneInString(text[1:]); size > 1 {
			n = 1
		}
	}
	return n, look
}

// end is where the rest of a sequence ends: with a letter, or with BEL or ESC \. One that does not end goes to the end of the text.
func end(rest string, letter bool) int {
	for i := range len(rest) {
		switch c := rest[i]; {
		case letter && c >= 0x40 && c <= 0x7e:
			return i + 1
		case letter && (c < 0x20 || c > 0x7e): // none of it
			return i
		case !letter && c == 0x07:
			return i + 1
		case !letter && c == 0x1b:
			return min(i+2, len(rest))
		}
	}
	return len(rest)
}
