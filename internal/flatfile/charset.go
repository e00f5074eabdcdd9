package flatfile

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// width is how the characters of an encoding lie in bytes.
type width byte

const (
	widthUTF8   width = iota
	widthASCII        // bytes above 127 are nobody knows what
	widthSingle       // one byte each
	widthMulti        // one byte or more; ASCII is as it is
	widthUTF16        // turned into UTF-8 before anybody looks at it
)

// charset turns the bytes of a file into UTF-8. It may be used by many goroutines.
type charset struct {
	name  string
	width width
	big   bool         // UTF-16, the high byte first
	high  *[128]string // of widthSingle: the UTF-8 of the bytes above 127; "" for none
	multi encoding.Encoding
}

var (
	charsetUTF8  = &charset{name: "utf-8"}
	charsetASCII = &charset{name: "ascii", width: widthASCII}
	charsetLE    = &charset{name: "utf-16le", width: widthUTF16}
	charsetBE    = &charset{name: "utf-16be", width: widthUTF16, big: true}
)

// suggestions are the names that people mean most often.
var suggestions = []string{"utf-8", "utf-16le", "utf-16be", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1257", "cp437", "cp850",
	"cp852", "cp858", "cp866", "iso-8859-1", "iso-8859-2", "iso-8859-15", "koi8-r", "macintosh", "shift_jis", "gbk", "big5", "euc-kr", "auto"}

// findCharset knows the names of golang.org/x/text: those of IANA and of the web, and cp with a number.
func findCharset(name string) (*charset, error) {
	lower := strings.ToLower(strings.TrimSpace(name))
	switch lower {
	case "utf-8", "utf8":
		return charsetUTF8, nil
	case "ascii", "us-ascii":
		return charsetASCII, nil
	case "utf-16le", "utf16le", "utf-16", "utf16":
		return charsetLE, nil
	case "utf-16be", "utf16be":
		return charsetBE, nil
	}
	if number, err := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(lower, "cp"), "windows-")); err == nil {
		if c, ok := codePage(number); ok {
			return c, nil
		}
	}
	// IANA first: the web takes iso-8859-1 for another name of windows-1252.
	enc, err := ianaindex.IANA.Encoding(lower)
	if err != nil || enc == nil {
		enc, err = htmlindex.Get(lower)
	}
	if err != nil || enc == nil {
		hint := "for example " + strings.Join(suggestions[:13], ", ")
		if meant := sqldb.Nearest(name, suggestions); len(meant) > 0 {
			hint = "did you mean " + meant[0] + "? " + hint
		}
		return nil, tasks.WithHint(nil, hint, "the encoding %q is not known", name)
	}
	c := charsetOf(lower, enc)
	if c == nil {
		return nil, tasks.WithHint(nil, "turn the files into UTF-8 first, for example with iconv -f "+lower+" -t utf-8",
			"files in the encoding %q cannot be read: its ASCII characters are not single bytes of their own", name)
	}
	return c, nil
}

// charsetOf makes a charset of an encoding; nil where ASCII is not as it is.
func charsetOf(name string, enc encoding.Encoding) *charset {
	switch strings.ReplaceAll(name, "_", "-") {
	case "utf-7", "iso-2022-jp", "hz-gb-2312", "replacement", "x-user-defined", "utf-32", "utf-32le", "utf-32be":
		return nil // shifts, or characters of four bytes
	}
	m, ok := enc.(*charmap.Charmap)
	if !ok {
		return &charset{name: name, width: widthMulti, multi: enc}
	}
	c := &charset{name: name, width: widthSingle, high: new([128]string)}
	for b := range 256 {
		r := m.DecodeByte(byte(b))
		switch {
		case b < 128 && int(r) != b:
			return nil
		case b >= 128 && r != utf8.RuneError:
			c.high[b-128] = string(r)
		}
	}
	return c
}

// check refuses a character of the dialect that may be the second byte of another one. A nil charset is UTF-8.
func (c *charset) check(p *parser, b byte) {
	if c != nil && c.width == widthMulti && b >= 0x30 {
		p.fail("encoding", "turn the files into UTF-8 first, for example with iconv -f "+c.name+" -t utf-8",
			"in "+c.name+" the byte of "+strconv.QuoteRune(rune(b))+" may be a part of another character")
	}
}

// plain reports whether valid bytes are UTF-8 as they are.
func (c *charset) plain() bool { return c.width == widthUTF8 || c.width == widthUTF16 }

// isASCII reports whether all bytes are below 128.
func isASCII(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] {
		if binary.LittleEndian.Uint64(b)&0x8080808080808080 != 0 {
			return false
		}
	}
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// decode appends the UTF-8 of bytes; false where they are no text of this encoding.
func (c *charset) decode(dst, src []byte) ([]byte, bool) {
	switch c.width {
	case widthASCII:
		return append(dst, src...), isASCII(src)
	case widthSingle:
		for _, b := range src {
			if b < 0x80 {
				dst = append(dst, b)
				continue
			}
			s := c.high[b-0x80]
			if s == "" {
				return dst, false
			}
			dst = append(dst, s...)
		}
		return dst, true
	case widthMulti:
		out, err := c.multi.NewDecoder().Bytes(src)
		if err != nil || strings.ContainsRune(string(out), utf8.RuneError) {
			return dst, false
		}
		return append(dst, out...), true
	}
	return append(dst, src...), utf8.Valid(src)
}

// codePages are the code pages that have no name with IANA or the web, or another one.
var codePages = map[int]encoding.Encoding{
	437: charmap.CodePage437, 850: charmap.CodePage850, 852: charmap.CodePage852, 855: charmap.CodePage855, 858: charmap.CodePage858,
	860: charmap.CodePage860, 862: charmap.CodePage862, 863: charmap.CodePage863, 865: charmap.CodePage865, 866: charmap.CodePage866,
	874: charmap.Windows874, 1250: charmap.Windows1250, 1251: charmap.Windows1251, 1252: charmap.Windows1252, 1253: charmap.Windows1253,
	1254: charmap.Windows1254, 1255: charmap.Windows1255, 1256: charmap.Windows1256, 1257: charmap.Windows1257, 1258: charmap.Windows1258,
	10000: charmap.Macintosh, 10007: charmap.MacintoshCyrillic,
}

// eastern are the code pages of more than one byte, by the names that the web has for them.
var eastern = map[int]string{932: "shift_jis", 936: "gbk", 949: "euc-kr", 950: "big5"}

// codePage returns the encoding of a code page, if it is known.
func codePage(number int) (*charset, bool) {
	name := "cp" + strconv.Itoa(number)
	switch number {
	case 65001:
		return charsetUTF8, true
	case 1200:
		return charsetLE, true
	case 1201:
		return charsetBE, true
	}
	if enc, ok := codePages[number]; ok {
		return charsetOf(name, enc), true
	}
	if web, ok := eastern[number]; ok {
		if enc, err := htmlindex.Get(web); err == nil {
			return charsetOf(name, enc), true
		}
	}
	return nil, false
}
