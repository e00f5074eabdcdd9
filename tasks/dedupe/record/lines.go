package record

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/stint-run/stint/tasks"
)

// lineWriter writes values as lines. After an error it writes no more, and each call returns that error.
type lineWriter struct {
	out   *bufio.Writer
	hash  hash.Hash
	lines int64
	err   error
	text  bytes.Buffer
	json  *json.Encoder
}

func newLineWriter(dst io.Writer) *lineWriter {
	w := &lineWriter{out: bufio.NewWriterSize(dst, 64<<10), hash: sha256.New()}
	w.json = json.NewEncoder(&w.text)
	w.json.SetEscapeHTML(false) // addresses and names are for people to read
	return w
}

func (w *lineWriter) write(v any) error {
	if w.err != nil {
		return w.err
	}
	w.text.Reset()
	if w.err = w.json.Encode(v); w.err != nil {
		return w.err
	}
	w.hash.Write(w.text.Bytes())
	w.lines++
	_, w.err = w.out.Write(w.text.Bytes())
	return w.err
}

// fail remembers an error of the caller's, so that no end makes the file look whole.
func (w *lineWriter) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}

// flush is called behind the last line.
func (w *lineWriter) flush() error {
	if w.err == nil {
		w.err = w.out.Flush()
	}
	return w.err
}

func (w *lineWriter) sum() string { return hex.EncodeToString(w.hash.Sum(nil)) }

// lineReader reads lines and checks what all files have in common.
type lineReader struct {
	what   string // the file, in messages: analysis
	in     *bufio.Reader
	hash   hash.Hash
	number int64 // of the line read last
	line   []byte
}

func newLineReader(what string, r io.Reader) *lineReader {
	return &lineReader{what: what, in: bufio.NewReaderSize(r, 16<<10), hash: sha256.New()}
}

// next reads a line; it is valid until the next call. The end of the file is an error: the last line says that it is the last.
func (r *lineReader) next() ([]byte, error) {
	r.hash.Write(r.line)
	r.line = r.line[:0]
	r.number++
	for {
		piece, err := r.in.ReadSlice('\n')
		r.line = append(r.line, piece...)
		switch {
		case len(r.line) > MaxLine:
			return nil, r.bad("it is longer than %d MiB", MaxLine>>20)
		case err == nil:
			return r.line, nil
		case err == io.EOF:
			return nil, r.cutOff()
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("read line %d of the %s: %w", r.number, r.what, err)
		}
	}
}

// kind returns what the line is.
func (r *lineReader) kind() (string, error) {
	var l struct {
		Type string `json:"type"`
	}
	if err := r.parse(&l); err != nil {
		return "", err
	}
	return l.Type, nil
}

func (r *lineReader) parse(v any) error {
	if err := json.Unmarshal(r.line, v); err != nil {
		return r.bad("%v", err)
	}
	return nil
}

// header reads the first line into v when it is of the type and the version.
func (r *lineReader) header(kind string, v any) error {
	if _, err := r.next(); err != nil {
		return err
	}
	var l struct {
		Type    string `json:"type"`
		Version int    `json:"version"`
	}
	if err := r.parse(&l); err != nil {
		return err
	}
	if l.Type != kind {
		return r.bad("it begins with %q, where %q is wanted", l.Type, kind)
	}
	if l.Version != Version {
		return tasks.WithHint(ErrVersion, "use the stint that made it, or make it anew", "the %s has version %d, and this stint reads %d", r.what, l.Version, Version)
	}
	return r.parse(v)
}

// ends checks the last line, which has been read: its digest and its count, and that nothing comes behind it. It returns the digest of
// the whole file.
func (r *lineReader) ends(lines int64, digest string) (string, error) {
	if got := hex.EncodeToString(r.hash.Sum(nil)); got != digest {
		return "", r.changed("the lines before it have the digest %s, and it says %s", got, digest)
	}
	if lines != r.number-1 {
		return "", r.changed("%d lines are before it, and it says %d", r.number-1, lines)
	}
	r.hash.Write(r.line)
	r.line = r.line[:0]
	if _, err := r.in.ReadByte(); err == nil {
		r.number++
		return "", r.changed("something stands behind the end")
	} else if err != io.EOF {
		return "", fmt.Errorf("read the end of the %s: %w", r.what, err)
	}
	return hex.EncodeToString(r.hash.Sum(nil)), nil
}

func (r *lineReader) cutOff() error {
	return tasks.WithHint(ErrCutOff, "fetch it again, or make it anew", "line %d of the %s", r.number, r.what)
}

func (r *lineReader) changed(format string, args ...any) error {
	return tasks.WithHint(ErrChanged, "fetch it again, or make it anew: it is not meant to be edited", "line %d of the %s: %s", r.number, r.what, fmt.Sprintf(format, args...))
}

func (r *lineReader) bad(format string, args ...any) error {
	return tasks.WithHint(ErrForm, "check that this is the right file, and that nobody has edited it", "line %d of the %s: %s", r.number, r.what, fmt.Sprintf(format, args...))
}
