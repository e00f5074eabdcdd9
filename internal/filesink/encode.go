package filesink

import (
	"compress/flate"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/stint-run/stint/tasks"
)

// CellError says why a row cannot be written. It does not quote the value.
type CellError struct {
	Column string // "" when it is the row as a whole
	Err    error  // with a hint
}

// Error returns the reason, with the column.
func (e *CellError) Error() string {
	if e.Column == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("column %q: %v", e.Column, e.Err)
}

// Unwrap returns the reason.
func (e *CellError) Unwrap() error { return e.Err }

// Encoder writes rows in a format. It is for one goroutine. It holds a row in memory, and the window of the compression.
type Encoder struct {
	f      Format
	out    io.Writer
	closer io.Closer // of the compression; nil without
	buf    []byte    // the row that is being written
	text   []byte    // a text that is on its way into buf
	rows   int64
}

// Encode returns an encoder. With head it begins with the mark and the header, if the format has them. Close it: until then the
// last bytes may be missing.
func Encode(w io.Writer, f Format, head bool) (*Encoder, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	e := &Encoder{f: f, out: w}
	switch f.Compress {
	case "gzip":
		// Neither time nor name go into it, so that the same rows give the same bytes.
		z, err := gzip.NewWriterLevel(w, flate.DefaultCompression)
		if err != nil {
			return nil, fmt.Errorf("begin gzip: %w", err)
		}
		e.out, e.closer = z, z
	case "zstd":
		// With more goroutines the blocks would be cut by chance; a window of 4 MiB bounds what a reader needs as well.
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(4<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return nil, fmt.Errorf("begin zstd: %w", err)
		}
		e.out, e.closer = z, z
	}
	if !head {
		return e, nil
	}
	if f.Encoding == UTF8BOM {
		e.buf = append(e.buf, "\ufeff"...)
	}
	if f.hasHeader() {
		for i, name := range f.Columns {
			e.separate(i)
			e.buf = e.csvText(e.buf, []byte(name), true)
		}
		e.buf = append(e.buf, f.terminator()...)
	}
	return e, e.flush()
}

// Rows returns how many rows have been written.
func (e *Encoder) Rows() int64 { return e.rows }

// Close writes what is left. It does not close the writer below.
func (e *Encoder) Close() error {
	if e.closer == nil {
		return nil
	}
	if err := e.closer.Close(); err != nil {
		return fmt.Errorf("end the compression: %w", err)
	}
	return nil
}

func (e *Encoder) flush() error {
	_, err := e.out.Write(e.buf)
	e.buf = e.buf[:0]
	if err != nil {
		return fmt.Errorf("write rows: %w", err)
	}
	return nil
}

// WriteRow writes a row, a value for each column: nil, bool, int64, float64, string (times are formatted already), []byte,
// json.Number (a decimal, as exact as it is written) or json.RawMessage. A row that cannot be written is a *CellError, and nothing
// of it is written; the encoder goes on with the next.
func (e *Encoder) WriteRow(row []any) error {
	if len(row) != len(e.f.Columns) {
		return &CellError{Err: tasks.WithHint(nil, "give a value for each column", "the row has %d values for %d columns", len(row), len(e.f.Columns))}
	}
	appendCell := e.csvCell
	if e.f.Type == NDJSON {
		appendCell = e.jsonCell
	}
	e.buf = e.buf[:0]
	for i, value := range row {
		e.separate(i)
		var err error
		if e.buf, err = appendCell(e.buf, value); err != nil {
			return &CellError{Column: e.f.Columns[i], Err: err}
		}
	}
	if e.f.Type == NDJSON {
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, e.f.terminator()...)
	if err := e.flush(); err != nil {
		return err
	}
	e.rows++
	return nil
}

// separate writes what stands before the value of a column.
func (e *Encoder) separate(i int) {
	if e.f.Type == CSV {
		if i > 0 {
			e.buf = append(e.buf, e.f.delimiter()...)
		}
		return
	}
	if i == 0 {
		e.buf = append(e.buf, '{')
	} else {
		e.buf = append(e.buf, ',')
	}
	e.buf = appendJSONText(e.buf, e.f.Columns[i])
	e.buf = append(e.buf, ':')
}

// What is wrong with a value.
var (
	errNotUTF8     = tasks.WithHint(nil, "decode the column in the source's charset", "the text is not UTF-8")
	errNotNumber   = tasks.WithHint(nil, "write it as 12.50", "the decimal is not a number")
	errNotJSON     = tasks.WithHint(nil, "hand it on as text", "the value is not JSON")
	errNotFinite   = tasks.WithHint(nil, "map it to null or to a text", "JSON has no NaN and no infinity")
	errUnknownType = errors.New("the value is of a type that files do not know")
)

// plain appends a value that is no text, without quotes.
func (e *Encoder) plain(buf []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case bool:
		return strconv.AppendBool(buf, v), nil
	case int64:
		return strconv.AppendInt(buf, v, 10), nil
	case float64:
		return appendFloat(buf, v), nil
	case json.Number:
		if !isNumber(string(v)) {
			return buf, errNotNumber
		}
		return append(buf, v...), nil
	case []byte:
		if e.f.Bytes == "hex" {
			return hex.AppendEncode(buf, v), nil
		}
		return base64.StdEncoding.AppendEncode(buf, v), nil
	case json.RawMessage:
		return appendCompact(buf, v)
	}
	return buf, tasks.WithHint(errUnknownType, "map it to text", "cannot write a %T", value)
}

// isNull reports whether a value is NULL. A nil slice is; an empty one is not.
func isNull(value any) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []byte:
		return v == nil
	case json.RawMessage:
		return v == nil
	}
	return false
}

// appendFloat writes the shortest digits that are the same number, as JSON has it everywhere.
func appendFloat(buf []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(buf, "NaN"...)
	case math.IsInf(v, 1):
		return append(buf, "Infinity"...)
	case math.IsInf(v, -1):
		return append(buf, "-Infinity"...)
	}
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		buf = strconv.AppendFloat(buf, v, 'e', -1, 64)
		if n := len(buf); n >= 4 && buf[n-4] == 'e' && buf[n-3] == '-' && buf[n-2] == '0' { // e-09 is e-9
			buf[n-2] = buf[n-1]
			buf = buf[:n-1]
		}
		return buf
	}
	return strconv.AppendFloat(buf, v, 'f', -1, 64)
}

// isNumber reports whether a text is a number of JSON.
func isNumber(s string) bool {
	return s != "" && (s[0] == '-' || s[0] >= '0' && s[0] <= '9') && s[len(s)-1] >= '0' && s[len(s)-1] <= '9' && json.Valid([]byte(s))
}

// validUTF8 is a check for both formats.
func validUTF8(b []byte) error {
	if !utf8.Valid(b) {
		return errNotUTF8
	}
	return nil
}
