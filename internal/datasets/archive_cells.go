package datasets

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/stint-run/stint/internal/artifact"
)

// The cells of rows stand between tabs, as PostgreSQL's COPY writes them: \N is NULL, and a backslash goes before what would end a
// cell or a row.

// appendEscaped appends a text or bytes.
func appendEscaped(dst, text []byte) []byte {
	for _, c := range text {
		switch c {
		case '\\':
			dst = append(dst, '\\', '\\')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// unescape reads a cell; null says that it is \N. The text is a view into the cell where nothing was escaped.
func unescape(cell []byte) (text []byte, null bool, err error) {
	at := bytes.IndexByte(cell, '\\')
	if at < 0 {
		return cell, false, nil
	}
	if len(cell) == 2 && cell[1] == 'N' {
		return nil, true, nil
	}
	text = append(make([]byte, 0, len(cell)), cell[:at]...)
	for ; at < len(cell); at++ {
		c := cell[at]
		if c == '\\' {
			if at++; at == len(cell) {
				return nil, false, errors.New("a cell ends with a backslash")
			}
			switch cell[at] {
			case '\\':
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			default:
				return nil, false, fmt.Errorf("a cell has \\%c in it", cell[at])
			}
		}
		text = append(text, c)
	}
	return text, false, nil
}

// appendTagged appends a value of SQLite, whose columns hold values of any type: a letter says which. i and r are numbers, t is text,
// b bytes in hex. The shortest decimal of a real is read as the same real.
func appendTagged(dst []byte, v any) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return append(dst, '\\', 'N'), nil
	case int64:
		return strconv.AppendInt(append(dst, 'i'), x, 10), nil
	case float64:
		return strconv.AppendFloat(append(dst, 'r'), x, 'g', -1, 64), nil
	case string:
		return appendEscaped(append(dst, 't'), []byte(x)), nil
	case []byte:
		return hex.AppendEncode(append(dst, 'b'), x), nil
	}
	return nil, fmt.Errorf("the driver gave a %T", v)
}

// readTagged reads what appendTagged wrote.
func readTagged(cell []byte) (any, error) {
	text, null, err := unescape(cell)
	if err != nil || null {
		return nil, err
	}
	if len(text) == 0 {
		return nil, errors.New("a cell has no type")
	}
	switch text[0] {
	case 'i':
		return strconv.ParseInt(string(text[1:]), 10, 64)
	case 'r':
		return strconv.ParseFloat(string(text[1:]), 64)
	case 't':
		return string(text[1:]), nil
	case 'b':
		b := make([]byte, hex.DecodedLen(len(text)-1))
		_, err := hex.Decode(b, text[1:])
		return b, err
	}
	return nil, fmt.Errorf("a cell is of the unknown type %q", text[0])
}

// readRow reads the next row and cuts it into so many cells; io.EOF after the last.
func (a *archiveReader) readRow(cells [][]byte) error {
	line, err := a.rows.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		head := bytes.Clone(line)
		var tail []byte
		tail, err = a.rows.ReadBytes('\n')
		line = append(head, tail...)
	}
	switch {
	case errors.Is(err, io.EOF) && len(line) == 0:
		return io.EOF
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	}
	line = line[:len(line)-1]
	for i := range cells {
		tab := bytes.IndexByte(line, '\t')
		if (tab < 0) != (i == len(cells)-1) {
			return fmt.Errorf("a row has not %d cells", len(cells))
		}
		if tab < 0 {
			tab = len(line)
		}
		cells[i] = line[:tab]
		line = line[min(tab+1, len(line)):]
	}
	return nil
}

// digester is the digest of what is written to it.
type digester struct {
	hash hash.Hash
	n    int64
}

func newDigester() *digester { return &digester{hash: sha256.New()} }

// Write implements io.Writer.
func (d *digester) Write(p []byte) (int, error) {
	d.n += int64(len(p))
	return d.hash.Write(p)
}

func (d *digester) sum() (artifact.Digest, int64) {
	return artifact.Digest("sha256:" + hex.EncodeToString(d.hash.Sum(nil))), d.n
}
