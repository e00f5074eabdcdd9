package config

import (
	"bytes"
	"encoding/json"

	"go.yaml.in/yaml/v3"
)

// Bounds of a value that becomes JSON. An alias may stand for another that stands for others, so that a short file could
// mean a very long value, or one without an end.
const (
	maxJSONNodes = 100_000
	maxJSONDepth = 100
)

// json turns a mapping into JSON: the keys in their order and their case, tokens filled in in texts.
func (r *reader) json(d document, key string, n *yaml.Node) (json.RawMessage, bool) {
	if n.Kind != yaml.MappingNode {
		r.problem(d.at(n), key, "write keys and values below it", "want a mapping")
		return nil, false
	}
	w := jsonWriter{r: r, d: d, key: key, ok: true}
	w.write(n, 0)
	if !w.ok {
		return nil, false
	}
	return w.out.Bytes(), true
}

type jsonWriter struct {
	r     *reader
	d     document
	key   string
	out   bytes.Buffer
	nodes int
	ok    bool // until there is a problem
}

func (w *jsonWriter) problem(n *yaml.Node, hint, message string) {
	w.r.problem(w.d.at(n), w.key, hint, "%s", message)
	w.ok = false
}

func (w *jsonWriter) write(n *yaml.Node, depth int) {
	n = resolve(n)
	if w.nodes++; w.nodes > maxJSONNodes || depth > maxJSONDepth {
		if w.ok {
			w.problem(n, "does an alias (*) stand for too much, or for itself?", "is too large")
		}
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.out.WriteByte('{')
		first := true
		problems := len(w.r.problems)
		w.r.pairs(w.d, n, func(name string, _, value *yaml.Node) {
			if !first {
				w.out.WriteByte(',')
			}
			first = false
			w.text(name)
			w.out.WriteByte(':')
			w.write(value, depth+1)
		})
		w.ok = w.ok && len(w.r.problems) == problems
		w.out.WriteByte('}')
	case yaml.SequenceNode:
		w.out.WriteByte('[')
		for i, value := range n.Content {
			if i > 0 {
				w.out.WriteByte(',')
			}
			w.write(value, depth+1)
		}
		w.out.WriteByte(']')
	default:
		w.scalar(n)
	}
}

func (w *jsonWriter) scalar(n *yaml.Node) {
	switch n.ShortTag() {
	case "!!null":
		w.out.WriteString("null")
	case "!!bool", "!!int", "!!float":
		if json.Valid([]byte(n.Value)) { // as it was written, however long a number it is
			w.out.WriteString(n.Value)
			return
		}
		var value any
		if err := n.Decode(&value); err != nil {
			w.problem(n, "put it in quotes if it is a text", err.Error())
			return
		}
		encoded, err := json.Marshal(value)
		if err != nil { // .inf and .nan
			w.problem(n, "put it in quotes if it is a text", "JSON has no "+n.Value)
			return
		}
		w.out.Write(encoded)
	default:
		text, ok := w.r.fill(w.d.at(n), w.key, n.Value)
		w.ok = w.ok && ok
		w.text(text)
	}
}

func (w *jsonWriter) text(s string) {
	e := json.NewEncoder(&w.out)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string can always be encoded
	w.out.Truncate(w.out.Len() - 1)
}
