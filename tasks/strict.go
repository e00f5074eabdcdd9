package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// DecodeStrictly reads a spec into a value. A field that the value does not have is an error, and so is whatever follows the one value
// of the spec. Families add the hint that says what form theirs has.
func DecodeStrictly(spec json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(spec))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}
