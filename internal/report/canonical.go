package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf16"
)

// Canonical returns JSON in the canonical form of RFC 8785: no white space, members by the UTF-16 units of their names, numbers and
// strings as ECMAScript writes them. So two texts that say the same become the same bytes. Numbers are double precision, as the RFC
// has it: of integers beyond 2^53 the last digits are not told apart.
func Canonical(text []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("read JSON: there is more than one value")
	}
	var b bytes.Buffer
	if err := canonical(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Sum returns the SHA-256 of the canonical form of JSON, as hex.
func Sum(text []byte) (string, error) {
	c, err := Canonical(text)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(c)
	return hex.EncodeToString(sum[:]), nil
}

func canonical(b *bytes.Buffer, v any) error {
	switch x := v.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case json.Number:
		f, err := x.Float64()
		if err != nil {
			return fmt.Errorf("the number %s is too large for a canonical form", x)
		}
		if f == 0 {
			f = 0 // minus zero is written as zero
		}
		text, err := json.Marshal(f) // as ECMAScript writes it
		if err != nil {
			return err
		}
		b.Write(text)
	case string:
		canonicalString(b, x)
	case []any:
		b.WriteByte('[')
		for i, e := range x {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := canonical(b, e); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case map[string]any:
		names := slices.SortedFunc(maps.Keys(x), func(p, q string) int { return slices.Compare(utf16.Encode([]rune(p)), utf16.Encode([]rune(q))) })
		b.WriteByte('{')
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			canonicalString(b, name)
			b.WriteByte(':')
			if err := canonical(b, x[name]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	}
	return nil
}

// short are the escapes of two characters; every other control character has six.
var short = map[rune]string{'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`, '"': `\"`, '\\': `\\`}

func canonicalString(b *bytes.Buffer, s string) {
	b.WriteByte('"')
	for _, r := range s {
		switch e, escaped := short[r]; {
		case escaped:
			b.WriteString(e)
		case r < ' ':
			fmt.Fprintf(b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
