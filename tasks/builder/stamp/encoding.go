package stamp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// encoding is how a file writes its letters. Visual Studio writes .rc files in UTF-16, and compilers read what they wrote.
type encoding struct {
	mark  []byte    // the byte order mark that stands before the text; may be empty
	order byteOrder // of UTF-16; nil is bytes as they are: UTF-8, or any code page that has ASCII in it
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var errUTF16 = errors.New("it is no valid UTF-16")

// decode gives the text of a file. In bytes of a code page it has what Go takes for broken UTF-8; they pass through untouched,
// since only ASCII is ever looked for or put in.
func decode(b []byte) (string, encoding, error) {
	var e encoding
	switch {
	case bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		e.mark = b[:3]
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		e = encoding{b[:2], binary.LittleEndian}
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		e = encoding{b[:2], binary.BigEndian}
	case len(b) >= 2 && b[0] != 0 && b[1] == 0:
		e.order = binary.LittleEndian
	case len(b) >= 2 && b[0] == 0 && b[1] != 0:
		e.order = binary.BigEndian
	}
	rest := b[len(e.mark):]
	if e.order == nil {
		return string(rest), e, nil
	}
	if len(rest)%2 != 0 {
		return "", e, errUTF16
	}
	units := make([]uint16, len(rest)/2)
	for i := range units {
		units[i] = e.order.Uint16(rest[2*i:])
	}
	text := string(utf16.Decode(units))
	if !bytes.Equal(e.encode(text), b) { // half a pair would come back as another letter
		return "", e, errUTF16
	}
	return text, e, nil
}

// encode gives the bytes of a text.
func (e encoding) encode(text string) []byte {
	out := bytes.Clone(e.mark)
	if e.order == nil {
		return append(out, text...)
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = e.order.AppendUint16(out, unit)
	}
	return out
}

// language is how comments and strings are written.
type language int

const (
	cLike language = iota // C#, F# and resource scripts: // and /* */
	basic                 // Visual Basic: '
)

// masked gives a text of the same length, in which comments are blanks, and strings, too, where they are not wanted. What is
// looked for there is found in the code alone.
func masked(text string, l language, keepStrings bool) string {
	out := []byte(text)
	blank := func(from, to int) {
		for i := from; i < to; i++ {
			if out[i] != '\n' && out[i] != '\r' {
				out[i] = ' '
			}
		}
	}
	for i := 0; i < len(text); {
		from := i
		switch rest := text[i:]; {
		case l == cLike && strings.HasPrefix(rest, "//"), l == basic && rest[0] == '\'':
			i += lineEnd(rest)
			blank(from, i)
		case l == cLike && strings.HasPrefix(rest, "/*"):
			i += 2
			if end := strings.Index(text[i:], "*/"); end >= 0 {
				i += end + 2
			} else {
				i = len(text)
			}
			blank(from, i)
		case l == cLike && (strings.HasPrefix(rest, `'"'`) || strings.HasPrefix(rest, `'\"'`)): // a quote that begins no string
			i += strings.IndexByte(rest, '"') + 2
		case rest[0] == '"':
			verbatim := l == basic || i > 0 && text[i-1] == '@'
			i += stringEnd(rest, verbatim)
			if !keepStrings {
				blank(from, i)
			}
		default:
			i++
		}
	}
	return string(out)
}

// lineEnd is the length of a line without its break.
func lineEnd(s string) int {
	if end := strings.IndexAny(s, "\r\n"); end >= 0 {
		return end
	}
	return len(s)
}

// stringEnd is the length of a string with its quotes. It ends with its line at the latest, unless it is a verbatim one.
func stringEnd(s string, verbatim bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && !verbatim:
			i++
		case s[i] == '"':
			return i + 1
		case s[i] == '\n' && !verbatim:
			return i
		}
	}
	return len(s)
}
