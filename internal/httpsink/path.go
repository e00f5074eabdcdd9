package httpsink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// jsonPath names values within a JSON document: $.data[0].id, $['odd name'], $.results[*].id. It is the small part of RFC 9535 that
// answers of APIs need, so that an expression means the same in every tool that knows JSON paths. Names are compared exactly.
type jsonPath struct {
	text  string
	steps []pathStep
}

type pathStep struct {
	name  string // of a member, where index is noIndex
	index int    // of an element; allElements means each
}

const (
	noIndex     = -1
	allElements = -2
)

// errAbsent: the document has no member of a name that the path expects. An element that a list does not have, and what is below a
// null, is not absent but empty: "nothing found" and "another shape than the plan says" must not be mistaken for each other.
var errAbsent = errors.New("is not there")

// parsePath reads a path. Errors say at which character.
func parsePath(text string) (jsonPath, error) {
	p := jsonPath{text: text}
	if !strings.HasPrefix(text, "$") {
		return p, fmt.Errorf("%q does not begin with $", text)
	}
	rest := text[1:]
	for rest != "" {
		at := len(text) - len(rest) + 1
		step, n, err := parseStep(rest)
		if err != nil {
			return p, fmt.Errorf("%q, character %d: %w", text, at, err)
		}
		p.steps = append(p.steps, step)
		rest = rest[n:]
	}
	return p, nil
}

func parseStep(s string) (pathStep, int, error) {
	switch {
	case strings.HasPrefix(s, "['") || strings.HasPrefix(s, `["`):
		quote := s[1:2]
		name, _, found := strings.Cut(s[2:], quote+"]")
		if !found || name == "" {
			return pathStep{}, 0, fmt.Errorf("a name that begins with [%s has to end with %s]", quote, quote)
		}
		return pathStep{name: name, index: noIndex}, len(name) + 4, nil
	case s[0] == '[':
		inner, _, found := strings.Cut(s[1:], "]")
		if !found {
			return pathStep{}, 0, errors.New("[ without ]")
		}
		if inner == "*" {
			return pathStep{index: allElements}, 3, nil
		}
		i, err := strconv.Atoi(inner)
		if err != nil || i < 0 {
			return pathStep{}, 0, fmt.Errorf("[%s] is neither a number from 0, nor *, nor a quoted name", inner)
		}
		return pathStep{index: i}, len(inner) + 2, nil
	case s[0] == '.':
		end := strings.IndexAny(s[1:], ".[")
		if end < 0 {
			end = len(s) - 1
		}
		name := s[1 : end+1]
		if name == "" || strings.ContainsAny(name, " \t*'\"]") {
			return pathStep{}, 0, errors.New("expected a name after the dot; quote one that is unusual: ['a b']")
		}
		return pathStep{name: name, index: noIndex}, end + 1, nil
	}
	return pathStep{}, 0, errors.New("expected . or [")
}

// many reports whether the path may name more than one value.
func (p jsonPath) many() bool {
	for _, s := range p.steps {
		if s.index == allElements {
			return true
		}
	}
	return false
}

// find returns the values that the path names: none where a list is too short or a value on the way is null, errAbsent where an object
// has not the member, or where there is another kind of value on the way.
func (p jsonPath) find(doc any) ([]any, error) { return follow(doc, p.steps) }

func follow(v any, steps []pathStep) ([]any, error) {
	if len(steps) == 0 {
		return []any{v}, nil
	}
	if v == nil {
		return nil, nil
	}
	s := steps[0]
	if s.index == noIndex {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, errAbsent
		}
		member, ok := object[s.name]
		if !ok {
			return nil, errAbsent
		}
		return follow(member, steps[1:])
	}
	list, ok := v.([]any)
	if !ok {
		return nil, errAbsent
	}
	if s.index != allElements {
		if s.index >= len(list) {
			return nil, nil
		}
		return follow(list[s.index], steps[1:])
	}
	var out []any
	for _, e := range list {
		found, err := follow(e, steps[1:])
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	return out, nil
}

// decode reads one JSON document. Numbers keep their digits: an id of 20 digits is no float.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON document")
	}
	return v, nil
}

// identifier returns a value as an id in JSON: a text or a number, in the API's own digits. Anything else is no id.
func identifier(v any) (json.RawMessage, bool) {
	switch v := v.(type) {
	case string:
		if v == "" {
			return nil, false
		}
		text, err := json.Marshal(v)
		return text, err == nil
	case json.Number:
		return json.RawMessage(v), true
	}
	return nil, false
}

// plain returns a scalar as a text, without quotes; "" for anything else.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}
