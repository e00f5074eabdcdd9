package flatfile

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

// windowBytes is how much of a file is looked at, at once; a longer row widens the window.
const windowBytes = 256 << 10

// window slides over the bytes of a part. What it shows is valid until more is called.
type window struct {
	r     io.Reader
	buf   []byte
	at    int   // where what has not been taken begins
	end   int   // where it ends
	base  int64 // how many bytes stood before buf[0]
	pos   int64 // the position in the file of buf[at]
	wide  bool  // the file is UTF-16: its positions are those of two bytes a unit
	eof   bool
	limit int // how wide the window may become, about
}

// more reads on. It moves what is there to the front of the buffer, or makes the buffer larger.
func (w *window) more() error {
	if w.at > 0 {
		copy(w.buf, w.buf[w.at:w.end])
		w.base += int64(w.at)
		w.end -= w.at
		w.at = 0
	}
	if w.end == len(w.buf) {
		larger := make([]byte, 2*len(w.buf))
		copy(larger, w.buf[:w.end])
		w.buf = larger
	}
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		if errors.Is(err, io.EOF) {
			w.eof = true
			return nil
		}
		if n > 0 || err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// take goes over n bytes.
func (w *window) take(n int) {
	w.pos += w.width(w.buf[w.at : w.at+n])
	w.at += n
}

// width returns how many bytes of the file some of its text takes.
func (w *window) width(b []byte) int64 {
	if !w.wide {
		return int64(len(b))
	}
	units := 0
	for _, c := range b {
		switch {
		case c >= 0xf0:
			units += 2 // a pair of surrogates
		case c < 0x80 || c >= 0xc0:
			units++
		}
	}
	return int64(2 * units)
}

// lookout remembers where the next one of a byte is, so that no byte of a window is searched for it twice.
type lookout struct {
	c     byte
	at    int64 // where it is, or up to where there is none
	found bool
}

// next returns the index in the buffer of the first c at or behind from, or -1.
func (l *lookout) next(w *window, from int) int {
	f := w.base + int64(from)
	if l.found && l.at >= f {
		return int(l.at - w.base)
	}
	if l.found || l.at < f {
		l.at = f
	}
	s := int(l.at - w.base)
	i := bytes.IndexByte(w.buf[s:w.end], l.c)
	l.found = i >= 0
	if !l.found {
		l.at = w.base + int64(w.end)
		return -1
	}
	l.at += int64(i)
	return s + i
}

// within reports whether c stands between from and to.
func (l *lookout) within(w *window, from, to int) bool {
	i := l.next(w, from)
	return i >= 0 && i < to
}

// utf16Reader turns UTF-16 into UTF-8. Half a pair of surrogates becomes the three bytes that it would have, which are not valid
// UTF-8: so the row is set aside, and each unit of the file still has its width.
type utf16Reader struct {
	r    io.Reader
	big  bool
	raw  []byte
	kept []byte // what out is a part of
	out  []byte
	half rune   // a high surrogate that waits for its low one
	odd  []byte // half a unit
	err  error
}

// Read reads on.
func (u *utf16Reader) Read(b []byte) (int, error) {
	for len(u.out) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		u.fill()
	}
	n := copy(b, u.out)
	u.out = u.out[n:]
	return n, nil
}

// fill turns the next bytes.
func (u *utf16Reader) fill() {
	if u.raw == nil {
		u.raw = make([]byte, 64<<10)
	}
	n, err := u.r.Read(u.raw[copy(u.raw, u.odd):])
	b := u.raw[:len(u.odd)+n]
	u.err = err
	out := u.kept[:0]
	for ; len(b) >= 2; b = b[2:] {
		r := rune(b[0]) | rune(b[1])<<8
		if u.big {
			r = rune(b[0])<<8 | rune(b[1])
		}
		if u.half != 0 {
			if pair := utf16.DecodeRune(u.half, r); pair != utf8.RuneError {
				out, u.half = utf8.AppendRune(out, pair), 0
				continue
			}
			out, u.half = appendSurrogate(out, u.half), 0
		}
		switch {
		case r >= 0xd800 && r < 0xdc00:
			u.half = r
		case utf16.IsSurrogate(r):
			out = appendSurrogate(out, r)
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	u.odd = append(u.odd[:0], b...)
	if err != nil {
		if u.half != 0 {
			out, u.half = appendSurrogate(out, u.half), 0
		}
		if len(u.odd) > 0 {
			out, u.odd = append(out, 0xff), u.odd[:0] // half a unit: not valid either
		}
	}
	u.kept, u.out = out, out
}

func appendSurrogate(b []byte, r rune) []byte {
	return append(b, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
}
