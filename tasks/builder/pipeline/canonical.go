package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/glob"
)

// Canonical is the form that is frozen into a job: JSON, of which two files that mean the same have the same bytes.
func (p *Pipeline) Canonical() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil { // there is nothing in it that JSON does not have
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Decode reads what Canonical wrote. It is as strict as Read, as anybody who may submit a job can write one: an entry that it does not
// know is an error, and so is one that Read would refuse (Problems, without places).
func Decode(canonical []byte) (*Pipeline, error) {
	if len(canonical) > 2*MaxSize {
		return nil, tasks.WithHint(nil, "keep data in files of their own", "a pipeline of %d bytes is too large", len(canonical))
	}
	p := &Pipeline{}
	d := json.NewDecoder(bytes.NewReader(canonical))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("read the pipeline: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read the pipeline: something stands behind it")
	}
	return p, check(p).sorted().Err()
}

// Match reports whether a path, with slashes, is meant by a pattern: see package glob.
func Match(pattern, path string) bool { return glob.Match(pattern, path) }
