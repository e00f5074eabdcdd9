package pipeline

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// form is a way to write a value: how it is read, and what the schema says of it.
type form[V any] struct {
	schema schema
	// read returns false where the node is nothing of this form, which has been taken down then.
	read func(r *reader, n *yaml.Node, path string) (V, bool)
}

// schema is a JSON Schema.
type schema map[string]any

// field is an entry of an object.
type field[T any] struct {
	name, doc string
	required  bool
	schema    schema
	read      func(r *reader, n *yaml.Node, path string, to *T)
}

// entry makes a field of a form: at says where its value goes.
func entry[T, V any](name string, f form[V], at func(*T) *V, doc string) field[T] {
	return field[T]{name: name, doc: doc, schema: f.schema, read: func(r *reader, n *yaml.Node, path string, to *T) {
		if v, ok := f.read(r, n, path); ok {
			*at(to) = v
		}
	}}
}

// must makes a field one that may not be left out. The check of what was read says so, not the reader.
func must[T any](f field[T]) field[T] {
	f.required = true
	return f
}

// object reads names with values. whole looks at it when it has been read.
func object[T any](fields []field[T], whole func(r *reader, n *yaml.Node, path string, to *T)) form[T] {
	properties, required := schema{}, []string{}
	for _, f := range fields {
		s := maps.Clone(f.schema)
		s["description"] = f.doc
		properties[f.name] = s
		if f.required {
			required = append(required, f.name)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return form[T]{s, func(r *reader, n *yaml.Node, path string) (to T, ok bool) {
		if n.Kind != yaml.MappingNode {
			r.add(n, path, "write NAME: VALUE, one in each line", "must be names with values, not %s", shown(n))
			return to, false
		}
		r.places[path] = or2(r.places[path], n)
		for _, p := range r.pairs(n, path) {
			at := join(path, p.key.Value)
			i := slices.IndexFunc(fields, func(f field[T]) bool { return f.name == p.key.Value })
			if i < 0 {
				if path != "" || !strings.HasPrefix(p.key.Value, ownPrefix) {
					r.unknown(p.key, at, fieldNames(fields))
				}
				continue
			}
			r.places[at] = place(p)
			fields[i].read(r, p.value, at, &to)
		}
		if whole != nil {
			whole(r, n, path, &to)
		}
		return to, true
	}}
}

// place is where an entry is said to be: a value that stands beside its name, else the name.
func place(p pair) *yaml.Node {
	if p.value.Kind == yaml.ScalarNode && !isNull(p.value) {
		return p.value
	}
	return p.key
}

// ownPrefix begins names at the top of a file that are the writer's own: a place for anchors.
const ownPrefix = "x-"

func or2(a, b *yaml.Node) *yaml.Node {
	if a != nil {
		return a
	}
	return b
}

func fieldNames[T any](fields []field[T]) []string {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	return names
}

// foreign are words of other systems, with what they are called here.
var foreign = map[string]string{
	"env": "environment", "variables": "environment", "commands": "run", "command": "run", "cmd": "run", "depends_on": "needs", "dependsOn": "needs",
	"depends": "needs", "artifacts": "produces", "outputs": "produces", "labels": "requires", "tags": "requires", "runs-on": "requires", "agents": "requires",
	"working_directory": "dir", "working-directory": "dir", "workdir": "dir", "timeout-minutes": "timeout", "retry": "retries", "jobs": "steps", "stages": "steps", "ignore": "exclude",
}

func (r *reader) unknown(key *yaml.Node, path string, names []string) {
	meant := yamlplace.DidYouMean(key.Value, names)
	if here := foreign[key.Value]; meant == "" && slices.Contains(names, here) {
		meant = "it is called " + here + " here"
	}
	r.add(key, path, or(meant, "there are "+list(names)), "there is no such entry")
}

// textForm reads one value as the text that is written there: no, 010 and 1.10 stay what they look like.
var textForm = form[string]{schema{"type": []string{"string", "number", "boolean"}}, func(r *reader, n *yaml.Node, path string) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		r.add(n, path, "", "must be a text, not %s", shown(n))
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n, path, "take it away", "a tag such as %s means nothing here", n.Tag)
	case isNull(n):
		r.add(n, path, `write "" for a text without letters, and "null" or "~" in quotes for the word`, "has no value")
	default:
		return n.Value, true
	}
	return "", false
}}

// with is a form with more in its schema.
func with[V any](f form[V], more schema) form[V] {
	s := maps.Clone(f.schema)
	maps.Copy(s, more)
	return form[V]{s, f.read}
}

// wordForm is a text that is one of some words. That it is, is checked later.
func wordForm(words ...string) form[string] {
	return form[string]{schema{"enum": words}, textForm.read}
}

// pattern is a text of a regular form, which is checked later.
func patternForm(pattern string) form[string] {
	return with(textForm, schema{"pattern": pattern})
}

// listOf reads a list, and where single is set one value as a list of one.
func listOf[V any](one form[V], single bool) form[[]V] {
	array := schema{"type": "array", "items": one.schema}
	s := array
	if single {
		s = schema{"anyOf": []schema{one.schema, array}}
	}
	return form[[]V]{s, func(r *reader, n *yaml.Node, path string) ([]V, bool) {
		items := n.Content
		switch {
		case n.Kind == yaml.SequenceNode:
		case single && !isNull(n):
			v, ok := one.read(r, n, path)
			return []V{v}, ok
		default:
			hint := "begin each with - in a line of its own"
			if isNull(n) {
				hint = "take it away, or write []"
			}
			r.add(n, path, hint, "must be a list, not %s", shown(n))
			return nil, false
		}
		out := make([]V, 0, len(items))
		for i, item := range items {
			item = yamlplace.Plain(item)
			at := fmt.Sprintf("%s[%d]", path, i)
			r.places[at] = item
			v, _ := one.read(r, item, at) // one that cannot be read keeps its place, so that the others keep their numbers
			out = append(out, v)
		}
		return out, true
	}}
}

// mapOf reads names with texts.
func mapOf(value form[string], names string) form[map[string]string] {
	s := schema{"type": "object", "additionalProperties": value.schema}
	if names != "" {
		s["propertyNames"] = schema{"pattern": names}
	}
	return form[map[string]string]{s, func(r *reader, n *yaml.Node, path string) (map[string]string, bool) {
		if n.Kind != yaml.MappingNode {
			r.add(n, path, "write NAME: VALUE, one in each line", "must be names with values, not %s", shown(n))
			return nil, false
		}
		out := map[string]string{}
		for _, p := range r.pairs(n, path) {
			at := join(path, p.key.Value)
			r.places[at] = place(p)
			if v, ok := value.read(r, p.value, at); ok {
				out[p.key.Value] = v
			}
		}
		return out, true
	}}
}

// boolForm reads true and false, and none of the other words that some readers of YAML take for them.
var boolForm = form[bool]{schema{"type": "boolean"}, func(r *reader, n *yaml.Node, path string) (bool, bool) {
	if n.Kind == yaml.ScalarNode && isPlain(n) && n.Style&yaml.TaggedStyle == 0 && (n.Value == "true" || n.Value == "false") {
		return n.Value == "true", true
	}
	r.add(n, path, "write true or false", "must be true or false, not %s", shown(n))
	return false, false
}}

// intForm reads a whole number from one to another. 010, 1_000 and 0x10 are numbers that not everybody reads in the same way.
func intForm(from, to int) form[int] {
	return form[int]{schema{"type": "integer", "minimum": from, "maximum": to}, func(r *reader, n *yaml.Node, path string) (int, bool) {
		i, err := strconv.Atoi(n.Value)
		switch {
		case n.Kind != yaml.ScalarNode || isNull(n) || n.Style&yaml.TaggedStyle != 0:
			r.add(n, path, "", "must be a whole number, not %s", shown(n))
		case !isPlain(n):
			r.add(n, path, "take the quotes away", "must be a whole number, not the text %s", shown(n))
		case err != nil || strconv.Itoa(i) != n.Value:
			r.add(n, path, "write it with the digits 0-9, without a 0 in front", "must be a whole number, not %s", shown(n))
		case i < from || i > to:
			r.add(n, path, fmt.Sprintf("from %d to %d", from, to), "%d is out of range", i)
		default:
			return i, true
		}
		return 0, false
	}}
}

// durationForm reads 90s, 10m, 1h30m, 30d.
func durationForm(from, to time.Duration) form[time.Duration] {
	return form[time.Duration]{schema{"type": "string", "pattern": durationPattern}, func(r *reader, n *yaml.Node, path string) (time.Duration, bool) {
		text, ok := textForm.read(r, n, path)
		if !ok {
			return 0, false
		}
		d, err := parseDuration(text)
		switch {
		case err != nil:
			r.add(n, path, err.Error(), "%s is no duration", shown(n))
		case d < from || d > to:
			r.add(n, path, fmt.Sprintf("from %s to %s", shortDuration(from), shortDuration(to)), "%s is out of range", shown(n))
		default:
			return d, true
		}
		return 0, false
	}}
}

// sizeForm reads 512KiB, 500MB, 2GiB.
func sizeForm(from, to int64) form[int64] {
	return form[int64]{schema{"type": "string", "pattern": sizePattern}, func(r *reader, n *yaml.Node, path string) (int64, bool) {
		text, ok := textForm.read(r, n, path)
		if !ok {
			return 0, false
		}
		size, err := parseSize(text)
		switch {
		case err != nil:
			r.add(n, path, err.Error(), "%s is no size", shown(n))
		case size < from || size > to:
			r.add(n, path, "from "+shortSize(from)+" to "+shortSize(to), "%s is out of range", shown(n))
		default:
			return size, true
		}
		return 0, false
	}}
}
