package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// DecodeStrictly reads a spec into a value. A field that the value does not have is an error, and so are one that stands twice in its
// object, of which JSON would take the last, and whatever follows the one value of the spec. Families add the hint that says what form theirs has.
func DecodeStrictly(spec json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	if at := doubled(spec); at != "" {
		return fmt.Errorf("%s stands there twice", at)
	}
	return nil
}

// doubled returns where a key stands that its object has twice, such as stages[1].from; "" when there is none. The text is whole JSON.
func doubled(text []byte) string {
	type level struct {
		keys map[string]bool // nil in a list
		key  string          // whose value is read; "" before a key
		n    int             // of a list
	}
	var at []level
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		in := len(at) - 1
		if key, ok := token.(string); ok && in >= 0 && at[in].keys != nil && at[in].key == "" {
			at[in].key = "." + key
			if at[in].keys[key] {
				var path strings.Builder
				for _, l := range at {
					if l.keys == nil {
						fmt.Fprintf(&path, "[%d]", l.n)
					}
					path.WriteString(l.key)
				}
				return strings.TrimPrefix(path.String(), ".")
			}
			at[in].keys[key] = true
			continue
		}
		switch token {
		case json.Delim('{'):
			at = append(at, level{keys: map[string]bool{}})
			continue
		case json.Delim('['):
			at = append(at, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			at = at[:in]
		}
		if in = len(at) - 1; in >= 0 { // a value is over
			at[in].key = ""
			at[in].n++
		}
	}
}
