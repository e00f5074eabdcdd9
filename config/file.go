package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setting is a value of one layer, and where it was set.
type setting struct {
	value any // of the leaf's own type
	place Place
	ref   string
}

// layer is what one file, the environment or the flags set.
type layer struct {
	settings map[string]setting
	items    map[string][]item // by the key of the named list
}

func newLayer() layer { return layer{settings: map[string]setting{}, items: map[string][]item{}} }

// reader collects what the layers say and what is wrong with them.
type reader struct {
	env      Env
	tokens   map[string]string
	problems []Problem
	warnings []Problem
}

func (r *reader) problem(at Place, key, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{Place: at, Key: key, Message: fmt.Sprintf(format, args...), Hint: hint})
}

func (r *reader) warn(at Place, key, hint, format string, args ...any) {
	r.warnings = append(r.warnings, Problem{Place: at, Key: key, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// document is a file that has been parsed, but not yet understood.
type document struct {
	path string
	root *yaml.Node // a mapping; nil when the file is empty
}

func (d document) at(n *yaml.Node) Place { return Place{File: d.path, Line: n.Line, Column: n.Column} }

// parse reads a file as YAML.
func (r *reader) parse(path string) (document, bool) {
	d := document{path: path}
	content, err := os.ReadFile(path)
	if err != nil {
		r.problem(Place{File: path}, "", "give the right path with --config", "cannot be read: %v", errors.Unwrap(err))
		return d, false
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return d, true
	} else if err != nil {
		at := syntaxAt(path, content, err)
		message, hint := syntaxProblem(err, content, at)
		r.problem(at, "", hint, "%s", message)
		return d, false
	}
	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		at := d.at(&second)
		if err != nil {
			at = syntaxAt(path, content, err)
		}
		r.problem(at, "", "leave one, without ---", "has more than one document")
		return d, false
	}
	root := resolve(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		if isNull(root) {
			return d, true
		}
		r.problem(d.at(root), "", "docs/stint.example.yaml shows the form", "is no mapping of keys to values")
		return d, false
	}
	d.root = root
	return d, true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// resolve follows an alias to what it stands for.
func resolve(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// pairs calls f for each key of a mapping, and reports keys that are there twice.
func (r *reader) pairs(d document, n *yaml.Node, f func(name string, key, value *yaml.Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], resolve(n.Content[i+1])
		switch line, twice := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.Value == "<<":
			r.problem(d.at(key), "", "write the keys out", "only plain words are keys here")
		case twice:
			r.problem(d.at(key), "", "leave one of them away", "key %q stands in line %d already", key.Value, line)
		default:
			seen[key.Value] = key.Line
			f(key.Value, key, value)
		}
	}
}

// readTokens takes in the tokens: of a file. Those of a later file win.
func (r *reader) readTokens(d document) {
	if d.root == nil {
		return
	}
	for i := 0; i+1 < len(d.root.Content); i += 2 {
		if d.root.Content[i].Value != "tokens" {
			continue
		}
		n := resolve(d.root.Content[i+1])
		if n.Kind != yaml.MappingNode {
			r.problem(d.at(n), "tokens", "write NAME: value below it", "want names and values")
			return
		}
		r.pairs(d, n, func(name string, key, value *yaml.Node) {
			if !tokenName.MatchString(name) {
				r.problem(d.at(key), "tokens", "use letters, digits and _", "%q is no name for a token", name)
			} else if value.Kind != yaml.ScalarNode {
				r.problem(d.at(value), "tokens."+name, "write one text", "want one value")
			} else {
				r.tokens[name] = value.Value
			}
		})
	}
}

// read understands a file.
func (r *reader) read(d document) layer {
	l := newLayer()
	if d.root != nil {
		r.section(d, d.root, "", &l)
	}
	return l
}

func (r *reader) section(d document, n *yaml.Node, prefix string, l *layer) {
	r.pairs(d, n, func(name string, keyNode, value *yaml.Node) {
		key := prefix + name
		f, leaf := fieldOf(key)
		switch {
		case prefix == "" && name == "tokens": // read before
		case isNull(value) && (leaf || isSection(key)): // as if it were not there
		case leaf && f.isList():
			l.items[key] = r.items(d, listOf(key), value)
		case leaf:
			if v, ref, ok := r.leaf(d, f, value); ok {
				l.settings[key] = setting{v, d.at(value), ref}
			}
		case isSection(key) && value.Kind == yaml.MappingNode:
			r.section(d, value, key+".", l)
		case isSection(key):
			r.problem(d.at(value), key, "write its keys below it, indented", "want keys and values")
		default:
			hint := "docs/configuration.md names the keys"
			if meant := nearestKey(key); meant != "" {
				hint = fmt.Sprintf("did you mean %q?", meant)
			}
			r.problem(d.at(keyNode), "", hint, "unknown key %q", key)
		}
	})
}

// nearestKey returns the key or section that a mistyped one most likely meant.
func nearestKey(key string) string {
	candidates := append(Keys(), "tokens")
	for _, f := range fields {
		if section, _, found := strings.Cut(f.key, "."); found {
			candidates = append(candidates, section)
		}
	}
	if meant := nearest(key, candidates); meant != "" {
		return meant
	}
	// The right word in the wrong section.
	_, last, _ := strings.Cut(key, ".")
	if last == "" {
		last = key
	}
	for _, f := range fields {
		if strings.HasSuffix(f.key, "."+last) {
			return f.key
		}
	}
	return ""
}

// leaf reads one value.
func (r *reader) leaf(d document, f field, n *yaml.Node) (value any, ref string, ok bool) {
	at := d.at(n)
	if f.typ == jsonType {
		value, ok := r.json(d, f.key, n)
		return value, "", ok
	}
	if f.typ == listType && n.Kind == yaml.SequenceNode {
		list := make([]string, 0, len(n.Content))
		for _, item := range n.Content {
			item = resolve(item)
			if item.Kind != yaml.ScalarNode {
				r.problem(d.at(item), f.key, "write it as [a, b]", "want a list of words")
				return nil, "", false
			}
			text, ok := r.fill(d.at(item), f.key, item.Value)
			if !ok {
				return nil, "", false
			}
			list = append(list, text)
		}
		return list, "", true
	}
	if n.Kind != yaml.ScalarNode {
		r.problem(at, f.key, f.hint(), "want one value")
		return nil, "", false
	}
	text, ok := r.fill(at, f.key, n.Value)
	if !ok {
		return nil, "", false
	}
	if f.typ == secretType && !isReference(text) && text != "" {
		r.warn(at, f.key, "write file:PATH or env:NAME instead", "a password stands in a file")
	}
	return r.text(at, f, text)
}

// text turns one text into a value, wherever it comes from.
func (r *reader) text(at Place, f field, text string) (value any, ref string, ok bool) {
	if f.isSecret(text) {
		if text, ref, ok = r.reveal(at, f.key, text); !ok {
			return nil, "", false
		}
	}
	value, err := f.parse(text)
	if err != nil {
		r.problem(at, f.key, f.hint(), "%v", err)
		return nil, "", false
	}
	if u, isURL := value.(URL); isURL && ref == "" && at.File != "" && u.hasPassword() {
		r.warn(at, f.key, "set the password apart, as file:PATH or env:NAME", "a password stands in a file")
	}
	return value, ref, true
}

// reveal follows file:PATH and env:NAME.
func (r *reader) reveal(at Place, key, text string) (value, ref string, ok bool) {
	if name, is := strings.CutPrefix(text, "env:"); is {
		value, ok := r.env.Lookup(name)
		if !ok {
			r.problem(at, key, "set it, or write file:PATH", "the variable %s is not set", name)
		}
		return value, text, ok
	}
	if path, is := strings.CutPrefix(text, "file:"); is {
		content, err := os.ReadFile(path)
		if err != nil {
			r.problem(at, key, "give the right path, and this user the right to read it", "cannot read the secret: %v", err)
			return "", "", false
		}
		return strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"), text, true
	}
	return text, "", true
}

var (
	tokenName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	tokenUse  = regexp.MustCompile(`@@@@|@@([A-Za-z_][A-Za-z0-9_]*)@@`)
)

// fill puts the values of tokens in. What a token brings in is not looked at again.
func (r *reader) fill(at Place, key, text string) (string, bool) {
	ok := true
	filled := tokenUse.ReplaceAllStringFunc(text, func(use string) string {
		name := strings.Trim(use, "@")
		if name == "" {
			return "@@"
		}
		if value, has := r.tokens[name]; has {
			return value
		}
		if value, has := r.env.Lookup(name); has {
			return value
		}
		ok = false
		r.problem(at, key, fmt.Sprintf("set it below tokens: or as the variable %s", name), "token @@%s@@ has no value", name)
		return use
	})
	return filled, ok
}
