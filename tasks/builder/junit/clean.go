package junit

import (
	"bufio"
	"bytes"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
)

var declared = regexp.MustCompile(`^\s*<\?xml[^>]*encoding\s*=\s*["']([A-Za-z0-9._:-]+)["']`)

// clean returns a text as UTF-8 that an XML parser reads to its end: without what no XML may have in it, and without the greater part of
// texts that are far too long.
func clean(r io.Reader) (io.Reader, error) {
	const look = 512
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(look)
	if err != nil && len(head) == 0 && err != io.EOF {
		return nil, err
	}
	var from io.Reader = in
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		_, _ = in.Discard(3)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		from = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Reader(in)
	default:
		if m := declared.FindSubmatch(head); m != nil {
			if e := known(string(m[1])); e != nil {
				from = e.NewDecoder().Reader(in)
			}
		}
	}
	return &cleaner{in: bufio.NewReaderSize(from, 64<<10)}, nil
}

// known is an encoding that is not the one that all are; nil is UTF-8, too, for what nobody knows. A text that says of itself that it is
// UTF-16 and can be read so far is not.
func known(name string) encoding.Encoding {
	name = strings.ToLower(name)
	if name == "utf-8" || name == "utf8" || strings.HasPrefix(name, "utf-16") {
		return nil
	}
	e, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	return e
}

// part is the kind of text that a cleaner is in. Each has a mark that ends it.
type part int

const (
	content part = iota
	tag
	single  // '...' in a tag
	double  // "..." in a tag
	cdata   // <![CDATA[ ... ]]>
	comment // <!-- ... -->
)

// cleaner copies characters, those of one text no more than maxRun.
type cleaner struct {
	in   *bufio.Reader
	out  []byte
	part part
	run  int
	err  error
}

// maxRun is how many bytes of one text an XML parser gets to see: it holds each in memory.
const maxRun = 64 << 10

// Read implements io.Reader.
func (c *cleaner) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.out = c.out[:0]
		for len(c.out) < 4<<10 && c.err == nil {
			c.next()
		}
	}
	n := copy(p, c.out)
	c.out = append(c.out[:0], c.out[n:]...)
	return n, nil
}

// plain copies letters that mean nothing in any part, as many as are there.
func (c *cleaner) plain() {
	b, _ := c.in.Peek(c.in.Buffered())
	n := 0
	for n < len(b) && plain[b[n]] {
		n++
	}
	if n == 0 {
		return
	}
	if room := maxRun - c.run; room > 0 {
		kept := min(n, room)
		c.out = append(c.out, b[:kept]...)
		c.run += kept
	}
	_, _ = c.in.Discard(n)
}

// plain are the bytes of ASCII but for control characters and those that begin or end something.
var plain = func() (out [256]bool) {
	for b := ' '; b < 0x7f; b++ {
		out[b] = !strings.ContainsRune("<>&'\"-]", b)
	}
	return out
}()

func (c *cleaner) next() {
	c.plain()
	r, n, err := c.in.ReadRune()
	if err != nil {
		c.err = err
		return
	}
	if r == utf8.RuneError && n == 1 || !allowed(r) {
		r = utf8.RuneError
	}
	switch c.part {
	case content:
		if r == '<' {
			c.open()
			return
		}
	case tag:
		switch r {
		case '>':
			c.turn(content)
			c.out = append(c.out, '>')
			return
		case '\'':
			c.turn(single)
			c.out = append(c.out, '\'')
			return
		case '"':
			c.turn(double)
			c.out = append(c.out, '"')
			return
		}
	case single, double:
		if r == '\'' && c.part == single || r == '"' && c.part == double {
			c.turn(tag)
			c.out = append(c.out, byte(r))
			return
		}
	case cdata:
		if c.closes(r, "]]>", content) {
			return
		}
	case comment:
		if c.closes(r, "-->", content) {
			return
		}
	}
	if r == '&' && c.part != cdata && c.part != comment {
		r = c.reference()
	}
	if c.run < maxRun {
		c.out = utf8.AppendRune(c.out, r)
		c.run += utf8.RuneLen(r)
	}
}

func (c *cleaner) turn(to part) { c.part, c.run = to, 0 }

// open is at a <, which begins one of three.
func (c *cleaner) open() {
	for mark, to := range map[string]part{"![CDATA[": cdata, "!--": comment} {
		if b, _ := c.in.Peek(len(mark)); string(b) == mark {
			_, _ = c.in.Discard(len(mark))
			c.turn(to)
			c.out = append(append(c.out, '<'), mark...)
			return
		}
	}
	c.turn(tag)
	c.out = append(c.out, '<')
}

// closes takes the mark that ends a part, if it stands here.
func (c *cleaner) closes(r rune, mark string, to part) bool {
	if r != rune(mark[0]) {
		return false
	}
	if b, _ := c.in.Peek(len(mark) - 1); string(b) != mark[1:] {
		return false
	}
	_, _ = c.in.Discard(len(mark) - 1)
	c.turn(to)
	c.out = append(c.out, mark...)
	return true
}

// reference is at a &: a number of a character that no XML may have becomes the replacement character.
func (c *cleaner) reference() rune {
	const most = 12
	b, _ := c.in.Peek(most)
	end := bytes.IndexByte(b, ';')
	if end < 2 || b[0] != '#' {
		return '&'
	}
	digits, base := string(b[1:end]), 10
	if digits[0] == 'x' || digits[0] == 'X' {
		digits, base = digits[1:], 16
	}
	if n, err := strconv.ParseInt(digits, base, 32); err == nil && allowed(rune(n)) {
		return '&'
	}
	_, _ = c.in.Discard(end + 1)
	return utf8.RuneError
}

// allowed says which characters XML 1.0 may have.
func allowed(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff || r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= 0x10ffff
}
