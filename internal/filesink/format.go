package filesink

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/stint-run/stint/tasks"
)

// Types of files.
const (
	CSV    = "csv"
	NDJSON = "ndjson"
)

// Encodings of text.
const (
	UTF8        = "utf-8"
	UTF8BOM     = "utf-8-bom" // with the mark by which Excel knows it
	Windows1252 = "windows-1252"
)

// Format says how rows become bytes. The same rows in the same format give the same bytes. Type and Columns are needed; what else is
// zero has a meaning of its own.
type Format struct {
	// Type is csv or ndjson.
	Type string `json:"type"`
	// Columns are the names of the columns, in order: the header of CSV, the keys of JSON.
	Columns []string `json:"columns"`
	// Header puts the names on the first line; nil means true. CSV only.
	Header *bool `json:"header,omitempty"`
	// Delimiter stands between two fields: one character; "" means a comma. CSV only.
	Delimiter string `json:"delimiter,omitempty"`
	// Terminator ends each line: crlf or lf. "" means crlf for CSV, as RFC 4180 has it, and lf for JSON.
	Terminator string `json:"terminator,omitempty"`
	// Encoding is utf-8 ("" means the same), utf-8-bom or windows-1252. A character that it lacks is an error of its row.
	Encoding string `json:"encoding,omitempty"`
	// Null is what stands for NULL, without quotes; a text that is the same is quoted, so that the two are never mixed up. ""
	// means an empty field, where an empty text is "". CSV only.
	Null string `json:"null,omitempty"`
	// Quote is needed ("" means the same) or all: which fields are quoted. NULL never is. CSV only.
	Quote string `json:"quote,omitempty"`
	// Bytes is how binary values are written: base64 ("" means the same) or hex.
	Bytes string `json:"bytes,omitempty"`
	// Compress is gzip, zstd or "" for neither.
	Compress string `json:"compress,omitempty"`
	// Single puts all parts together into one file when the stage has ended.
	Single bool `json:"single,omitempty"`
}

// Check says what is wrong with a format, or a nil error.
func (f Format) Check() error {
	type word struct {
		key, value string
		of         []string
	}
	words := []word{
		{"type", f.Type, []string{CSV, NDJSON}},
		{"terminator", f.Terminator, []string{"", "crlf", "lf"}},
		{"encoding", f.Encoding, []string{"", UTF8, UTF8BOM, Windows1252}},
		{"quote", f.Quote, []string{"", "needed", "all"}},
		{"bytes", f.Bytes, []string{"", "base64", "hex"}},
		{"compress", f.Compress, []string{"", "gzip", "zstd"}},
	}
	for _, w := range words {
		if !slices.Contains(w.of, w.value) {
			return wrong("write "+strings.Join(slices.DeleteFunc(slices.Clone(w.of), func(s string) bool { return s == "" }), " or "), "%s is %q", w.key, w.value)
		}
	}
	if len(f.Columns) == 0 {
		return wrong("name at least one", "columns is empty")
	}
	for i, c := range f.Columns {
		if slices.Contains(f.Columns[:i], c) {
			return wrong("give one of them another name", "the column %q is there twice", c)
		}
		if !utf8.ValidString(c) {
			return wrong("write it in UTF-8", "the column %q is no text", c)
		}
		if r, ok := f.lacks(c); ok {
			return wrong("give the column another name, or choose utf-8", "%s has no %q, which is in the column %q", f.Encoding, r, c)
		}
	}
	if f.Type == NDJSON {
		return f.checkJSON()
	}
	return f.checkCSV()
}

func (f Format) checkJSON() error {
	for _, w := range []struct {
		key string
		set bool
	}{{"header", f.Header != nil}, {"delimiter", f.Delimiter != ""}, {"null", f.Null != ""}, {"quote", f.Quote != ""}} {
		if w.set {
			return wrong("remove it", "%s is for csv", w.key)
		}
	}
	if f.Encoding != "" && f.Encoding != UTF8 {
		return wrong("remove encoding", "JSON is always utf-8, without a mark (RFC 8259)")
	}
	if f.Terminator == "crlf" {
		return wrong("write lf, or remove it", "lines of JSON end with lf")
	}
	return nil
}

func (f Format) checkCSV() error {
	if len(f.Delimiter) > 1 || f.Delimiter != "" && !strings.Contains(",;|\t:^~!#%&*/_", f.Delimiter) {
		return wrong(`write one of , ; | : or "\t"`, "%q is no delimiter", f.Delimiter)
	}
	if r, ok := f.lacks(f.Null); ok || !utf8.ValidString(f.Null) {
		return wrong(`write \N or NULL`, "null cannot be written: %s has no %q", f.Encoding, r)
	}
	if strings.ContainsAny(f.Null, "\"\r\n"+f.delimiter()) || strings.TrimSpace(f.Null) != f.Null {
		return wrong(`write \N or NULL`, "null is %q, which a reader would take apart", f.Null)
	}
	if f.Null != "" && beginsOtherwise([]byte(f.Null)) {
		return wrong(`write \N or NULL`, "null is %q, by which a file would be taken for one of another kind", f.Null)
	}
	if len(f.Columns) == 1 && f.Null == "" {
		return wrong(`set null to \N or NULL`, "with one column, NULL would be an empty line, which readers skip")
	}
	return nil
}

func wrong(hint, format string, args ...any) error {
	return tasks.WithHint(nil, hint, "the format of the file: %s", fmt.Sprintf(format, args...))
}

// lacks returns the first character of a text that the encoding does not have.
func (f Format) lacks(text string) (rune, bool) {
	if f.Encoding != Windows1252 {
		return 0, false
	}
	for _, r := range text {
		if _, ok := charmap.Windows1252.EncodeRune(r); !ok {
			return r, true
		}
	}
	return 0, false
}

func (f Format) delimiter() string {
	if f.Delimiter == "" {
		return ","
	}
	return f.Delimiter
}

func (f Format) terminator() string {
	if f.Terminator == "lf" || f.Terminator == "" && f.Type == NDJSON {
		return "\n"
	}
	return "\r\n"
}

func (f Format) hasHeader() bool { return f.Type == CSV && (f.Header == nil || *f.Header) }

// extension is how names of files end.
func (f Format) extension() string {
	ext := "." + f.Type
	switch f.Compress {
	case "gzip":
		ext += ".gz"
	case "zstd":
		ext += ".zst"
	}
	return ext
}

func (f Format) contentType() string {
	switch {
	case f.Compress == "gzip":
		return "application/gzip"
	case f.Compress == "zstd":
		return "application/zstd"
	case f.Type == NDJSON:
		return "application/x-ndjson"
	case f.Encoding == Windows1252:
		return "text/csv; charset=windows-1252"
	}
	return "text/csv; charset=utf-8"
}
