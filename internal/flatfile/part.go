package flatfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
	"github.com/stint-run/stint/tasks"
)

// part is one file of a table.
type part struct {
	name     string // within the folder, with slashes: the first part of the keys of its rows
	path     string
	squeeze  string // "", ".gz" or ".zst"
	size     int64  // as it lies there
	modified time.Time
}

func newPart(name, path string) (*part, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	_, squeeze := cutSqueeze(name)
	return &part{name: name, path: path, squeeze: squeeze, size: info.Size(), modified: info.ModTime()}, nil
}

// cutSqueeze cuts the extension of a compressed file.
func cutSqueeze(name string) (plain, squeeze string) {
	for _, ext := range []string{".gz", ".zst"} {
		if len(name) > len(ext) && strings.EqualFold(name[len(name)-len(ext):], ext) {
			return name[:len(name)-len(ext)], ext
		}
	}
	return name, ""
}

func (p *part) key() layoutKey { return layoutKey{p.path, p.size, p.modified} }

// stream is the uncompressed bytes of a part.
type stream struct {
	io.Reader
	file *os.File
	ends []func() error // in the order of opening
}

// estimate returns how many rows a part has, about, when some of them took so many bytes.
func (s *stream) estimate(p *part, rows, bytes, start int64) int64 {
	if bytes <= 0 {
		return rows
	}
	if p.squeeze == "" {
		return int64(float64(rows) * float64(p.size-start) / float64(bytes))
	}
	w, ok := s.Reader.(*watched)
	if read, err := s.file.Seek(0, io.SeekCurrent); ok && err == nil && read > 0 {
		whole := float64(p.size) / float64(read) * float64(w.read)
		return int64(float64(rows) * (whole - float64(start)) / float64(bytes))
	}
	return rows
}

// close gives back what is held, the last first.
func (s *stream) close() error {
	var errs []error
	for i := len(s.ends) - 1; i >= 0; i-- {
		errs = append(errs, s.ends[i]())
	}
	return errors.Join(errs...)
}

// openAt opens a part at a position of its uncompressed bytes. A compressed file is decompressed up to there.
func (p *part) openAt(ctx context.Context, pos int64) (*stream, error) {
	f, err := os.Open(p.path)
	if err != nil {
		return nil, unreadable(err, p.path)
	}
	s := &stream{Reader: f, file: f, ends: []func() error{f.Close}}
	switch p.squeeze {
	case "":
		if _, err = f.Seek(pos, io.SeekStart); err != nil {
			return nil, errors.Join(unreadable(err, p.path), s.close())
		}
		s.Reader = &watched{ctx: ctx, r: f, part: p}
		return s, nil
	case ".gz":
		var z *gzip.Reader
		if z, err = gzip.NewReader(bufio.NewReaderSize(f, 16<<10)); err == nil {
			s.Reader, s.ends = z, append(s.ends, z.Close)
		}
	default:
		var z *zstd.Decoder
		if z, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20)); err == nil {
			s.Reader, s.ends = z, append(s.ends, func() error { z.Close(); return nil })
		}
	}
	if errors.Is(err, io.EOF) && p.size == 0 {
		s.Reader, err = bytes.NewReader(nil), nil
	}
	s.Reader = &watched{ctx: ctx, r: s.Reader, part: p, squeeze: true}
	if err == nil {
		_, err = io.CopyN(io.Discard, s.Reader, pos)
		if errors.Is(err, io.EOF) {
			err = p.changed(pos, "it is shorter now")
		}
	} else {
		err = p.broken(err)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// watched ends reading with its context, and says of what file an error is.
type watched struct {
	ctx     context.Context
	r       io.Reader
	part    *part
	squeeze bool
	read    int64 // bytes so far
}

// Read reads on.
func (w *watched) Read(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(b)
	w.read += int64(n)
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return n, err
	case w.squeeze:
		return n, w.part.broken(err)
	}
	return n, unreadable(err, w.part.path)
}

// broken is the error of a compressed file that cannot be decompressed.
func (p *part) broken(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return unreadable(err, p.path)
	}
	// The cause is named, not wrapped: an unexpected EOF is not that of a connection, and no retry helps.
	return tasks.Permanent(tasks.WithHint(nil, "it may have been cut off; copy it again, or decompress it by hand",
		"%s cannot be decompressed: %v", p.name, err))
}

// changed is the error of a file that is not what it was when its chunks were planned.
func (p *part) changed(pos int64, why string) error {
	return tasks.Permanent(tasks.WithHint(nil, "files must stay as they are during a migration; put the old file back, or start a new migration",
		"%s has changed since its chunks were planned: %s (position %d)", p.name, why, pos))
}

// foreign is the error of a file that holds no text, by its first bytes.
func (p *part) foreign(head []byte) error {
	for magic, f := range map[string][2]string{
		"\x1f\x8b":         {"compressed with gzip", "call it " + p.name + ".gz"},
		"\x28\xb5\x2f\xfd": {"compressed with Zstandard", "call it " + p.name + ".zst"},
		"PK\x03\x04":       {"a ZIP archive or a spreadsheet", "unpack it, or save it as text"},
		"\xd0\xcf\x11\xe0": {"a document of an old Office", "save it as text"},
		"PAR1":             {"a Parquet file", "turn it into NDJSON first"},
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return tasks.Permanent(tasks.WithHint(nil, f[1], "%s is %s", p.name, f[0]))
		}
	}
	return nil
}

// text is what is known of the bytes of a part that holds text.
type text struct {
	charset *charset
	start   int64 // behind the byte order mark
}

// sniff looks for a byte order mark, which wins over what the URL says.
func (p *part) sniff(ctx context.Context, said *charset) (text, error) {
	s, err := p.openAt(ctx, 0)
	if err != nil {
		return text{}, err
	}
	head := make([]byte, 4)
	n, err := io.ReadFull(s, head)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err = errors.Join(err, s.close()); err != nil {
		return text{}, err
	}
	head = head[:n]
	if err := p.foreign(head); err != nil {
		return text{}, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return text{charsetUTF8, 3}, nil
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")) || bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return text{}, tasks.Permanent(tasks.WithHint(nil, "turn it into UTF-8 first, for example with iconv -f utf-32 -t utf-8",
			"%s is written in UTF-32", p.name))
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return text{charsetLE, 2}, nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return text{charsetBE, 2}, nil
	case said != nil:
		return text{said, 0}, nil
	case n == 4 && (head[0] == 0) != (head[1] == 0) && (head[2] == 0) != (head[3] == 0) && (head[0] == 0) == (head[2] == 0):
		guess := "utf-16le"
		if head[0] == 0 {
			guess = "utf-16be"
		}
		return text{}, tasks.Permanent(tasks.WithHint(nil, "say encoding="+guess+" in the URL",
			"%s looks like UTF-16 without a byte order mark", p.name))
	}
	return text{charsetUTF8, 0}, nil
}

// open opens the text of a part at a position, which must be behind a line end unless it is start, where the rows begin.
func (t text) open(ctx context.Context, p *part, pos, start int64, limit int, ends newline) (*window, *stream, error) {
	unit := int64(1)
	if t.charset.width == widthUTF16 {
		unit = 2
	}
	start = max(start, t.start)
	pos = max(pos, start)
	from := pos
	if pos > start {
		from = pos - unit
	}
	if (from-t.start)%unit != 0 {
		return nil, nil, p.changed(pos, "no row begins here")
	}
	s, err := p.openAt(ctx, from)
	if err != nil {
		return nil, nil, err
	}
	w := &window{r: s, buf: make([]byte, windowBytes), pos: from, limit: limit}
	if unit == 2 {
		w.r, w.wide = &utf16Reader{r: s, big: t.charset.big}, true
	}
	if pos == from {
		return w, s, nil
	}
	if err = t.checkStart(w, p, pos, ends); err != nil {
		return nil, nil, errors.Join(err, s.close())
	}
	return w, s, nil
}

// checkStart looks at the byte before a border: a file that was changed has its line ends elsewhere, as a rule.
func (t text) checkStart(w *window, p *part, pos int64, ends newline) error {
	for w.end-w.at < 2 && !w.eof {
		if err := w.more(); err != nil {
			return err
		}
	}
	b := w.buf[w.at:w.end]
	if len(b) < 2 {
		return p.changed(pos, "it ends before this row") // no border stands at the very end
	}
	if lf, cr := b[0] == '\n' && ends != crEnd, b[0] == '\r' && ends != lfEnd && (ends == crEnd || b[1] != '\n'); !lf && !cr {
		return p.changed(pos, "no row begins here")
	}
	w.take(1)
	return nil
}

// lineAt returns the number of the line at a position, from 1: for people, after an error.
func (t text) lineAt(ctx context.Context, p *part, pos int64) (int64, error) {
	s, err := p.openAt(ctx, t.start)
	if err != nil {
		return 0, err
	}
	w := &window{r: s, buf: make([]byte, windowBytes), pos: t.start}
	if t.charset.width == widthUTF16 {
		w.r, w.wide = &utf16Reader{r: s, big: t.charset.big}, true
	}
	lines, cr := int64(1), false
	for w.pos < pos {
		if w.at == w.end {
			if w.eof {
				break
			}
			if err = w.more(); err != nil {
				return 0, errors.Join(err, s.close())
			}
			continue
		}
		c := w.buf[w.at]
		if c == '\r' || c == '\n' && !cr {
			lines++
		}
		cr = c == '\r'
		w.take(1)
	}
	return lines, s.close()
}

// preview shows the beginning of a row to people. Bytes that are no UTF-8 are written \xNN.
func preview(b []byte) string {
	const most = 1000
	var out []byte
	for i := 0; i < len(b); {
		if i >= most {
			return string(out) + fmt.Sprintf("… (%d bytes)", len(b))
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			out, n = fmt.Appendf(out, `\x%02x`, b[i]), 1
		} else {
			out = append(out, b[i:i+n]...)
		}
		i += n
	}
	return string(out)
}
