package sqldb

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// RowKey names a row by the values of the columns its table is walked by, in the order of the walk; each is an int64, a
// float64, a string, a []byte or nil. As a border of a chunk, a nil RowKey stands for "no border": before the first row as
// From, behind the last as To.
//
// Its JSON form is lossless and the same each time, so that it can serve as a key of the ledger: integers are numbers,
// text is a string, and the rest is tagged: {"f":"0.1"} a float, {"b":"base64"} bytes, {"t":"base64"} text that is not
// valid UTF-8.
type RowKey []any

// String returns the JSON form; "" for a nil key.
func (k RowKey) String() string {
	if k == nil {
		return ""
	}
	b, err := k.MarshalJSON()
	if err != nil {
		return fmt.Sprintf("!%v", err)
	}
	return string(b)
}

// ParseRowKey reads what String wrote; "" gives a nil key.
func ParseRowKey(s string) (RowKey, error) {
	if s == "" {
		return nil, nil
	}
	var k RowKey
	if err := k.UnmarshalJSON([]byte(s)); err != nil {
		return nil, err
	}
	return k, nil
}

// Equal reports whether two keys are the same, type by type. A nil key equals only a nil key.
func (k RowKey) Equal(o RowKey) bool {
	if (k == nil) != (o == nil) || len(k) != len(o) {
		return false
	}
	for i := range k {
		switch a := k[i].(type) {
		case []byte:
			b, ok := o[i].([]byte)
			if !ok || !bytes.Equal(a, b) {
				return false
			}
		case float64:
			b, ok := o[i].(float64)
			if !ok || math.Float64bits(a) != math.Float64bits(b) {
				return false
			}
		default:
			if _, ok := o[i].([]byte); ok || k[i] != o[i] {
				return false
			}
		}
	}
	return true
}

// MarshalJSON writes the lossless form. It fails on values that no key can hold.
func (k RowKey) MarshalJSON() ([]byte, error) {
	if k == nil {
		return []byte("null"), nil
	}
	b := append(make([]byte, 0, 16*len(k)+2), '[')
	for i, v := range k {
		if i > 0 {
			b = append(b, ',')
		}
		switch v.(type) {
		case nil, int64, float64, string, []byte:
			b = appendTagged(b, v)
		default:
			return nil, fmt.Errorf("write row key: a %T cannot be part of it", v)
		}
	}
	return append(b, ']'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (k *RowKey) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var raw []any
	if err := dec.Decode(&raw); err != nil {
		return fmt.Errorf("read row key: %v", err) // its EOF is not that of a connection
	}
	if raw == nil {
		*k = nil
		return nil
	}
	out := make(RowKey, len(raw))
	for i, v := range raw {
		var err error
		if out[i], err = untag(v); err != nil {
			return fmt.Errorf("read row key: part %d: %w", i+1, err)
		}
	}
	*k = out
	return nil
}

// untag turns one decoded JSON value back into what appendTagged wrote.
func untag(v any) (any, error) {
	switch x := v.(type) {
	case nil, string:
		return x, nil
	case json.Number:
		n, err := strconv.ParseInt(string(x), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number", x)
		}
		return n, nil
	case map[string]any:
		for tag, val := range x {
			s, ok := val.(string)
			if !ok || len(x) != 1 {
				break
			}
			switch tag {
			case "f":
				f, err := strconv.ParseFloat(s, 64)
				if err != nil && !errors.Is(err, strconv.ErrRange) {
					return nil, err
				}
				return f, nil
			case "b":
				b, err := base64.StdEncoding.DecodeString(s)
				return b, err
			case "t":
				b, err := base64.StdEncoding.DecodeString(s)
				return string(b), err
			}
		}
	}
	return nil, fmt.Errorf("unknown form %v", v)
}

// appendTagged appends one value in the JSON form of RowKey.
func appendTagged(b []byte, v any) []byte {
	switch x := v.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return strconv.AppendInt(b, x, 10)
	case float64:
		b = append(b, `{"f":"`...)
		b = strconv.AppendFloat(b, x, 'g', -1, 64)
		return append(b, `"}`...)
	case string:
		if utf8.ValidString(x) {
			return appendJSONString(b, x)
		}
		b = append(b, `{"t":"`...)
		b = base64.StdEncoding.AppendEncode(b, []byte(x))
		return append(b, `"}`...)
	case []byte:
		b = append(b, `{"b":"`...)
		b = base64.StdEncoding.AppendEncode(b, x)
		return append(b, `"}`...)
	}
	return appendJSONString(b, fmt.Sprint(v))
}

// appendJSONString appends valid UTF-8 text as a JSON string, escaping no more than JSON asks for.
func appendJSONString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// packKey appends a key in a compact form for the arena of a batch, unpackKey reads it. A batch keeps the key of each of
// its rows, for the case that the target rejects one, at a few bytes a row.
func packKey(b []byte, cells []cell) []byte {
	for i := range cells {
		c := &cells[i]
		b = append(b, byte(c.kind))
		switch c.kind {
		case cellInt, cellFloat:
			b = binary.LittleEndian.AppendUint64(b, c.n)
		case cellText, cellBytes, cellRaw:
			b = binary.AppendUvarint(b, uint64(len(c.s)))
			b = append(b, c.s...)
		}
	}
	return b
}

// unpackKey reads one packed key of n parts.
func unpackKey(b []byte, n int) RowKey {
	key := make(RowKey, 0, n)
	for range n {
		kind := cellKind(b[0])
		b = b[1:]
		switch kind {
		case cellInt:
			key = append(key, int64(binary.LittleEndian.Uint64(b)))
			b = b[8:]
		case cellFloat:
			key = append(key, math.Float64frombits(binary.LittleEndian.Uint64(b)))
			b = b[8:]
		case cellText, cellBytes, cellRaw:
			l, w := binary.Uvarint(b)
			b = b[w:]
			if kind == cellText {
				key = append(key, string(b[:l]))
			} else {
				key = append(key, bytes.Clone(b[:l]))
			}
			b = b[l:]
		default:
			key = append(key, nil)
		}
	}
	return key
}
