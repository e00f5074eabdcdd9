package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// Bounds of a pipeline file. Aliases count as what they stand for: a few lines of them can stand for more than fits into memory.
const (
	MaxSize  = 1 << 20 // bytes
	maxNodes = 100_000
	maxDepth = 32
)

// Read reads a pipeline file and checks it. All that is wrong with it is said at once, each with its line and column, what to do, and
// which word may be meant. Where anything is, the pipeline is nil and the error is the Problems. What the file leaves out is filled in:
// needs, channels, timeouts; so that the pipeline, once frozen, does not change its meaning with a later version of this package. file is what the
// problems call it; nothing is opened.
func Read(file string, content []byte) (*Pipeline, Problems, error) {
	r := &reader{places: map[string]*yaml.Node{}, broken: map[string]bool{}}
	p := &Pipeline{}
	if root := r.parse(content); root != nil {
		if read, ok := document.read(r, root, ""); ok {
			*p = read
			r.check(p)
		}
	}
	for i := range r.problems {
		r.problems[i].File = file
	}
	if found := r.problems.sorted(); len(found) > 0 {
		return nil, found, found.Err()
	}
	return p, nil, nil
}

// check adds what is wrong with the pipeline as it was read. It says nothing of what could not be read.
func (r *reader) check(p *Pipeline) {
	fill(p, r)
	for _, found := range check(p) {
		if !r.isBroken(found.Path) {
			r.problems = append(r.problems, r.locate(found))
		}
	}
	p.normalize()
}

// reader turns nodes into a pipeline, and takes down what is wrong.
type reader struct {
	problems Problems
	places   map[string]*yaml.Node // of entries, by their paths
	// broken are the paths of entries that could not be read: what is missing there is not missing in the file.
	broken map[string]bool
}

// parse returns the mapping that a file is; nil where it is none, which has been taken down then.
func (r *reader) parse(content []byte) *yaml.Node {
	whole := &yaml.Node{Line: 1, Column: 1}
	switch {
	case len(content) > MaxSize:
		r.add(whole, "", "the most is 1 MiB: keep data in files of their own", "a pipeline of %d bytes is too large", len(content))
		return nil
	case !utf8.Valid(content) && !bytes.HasPrefix(content, []byte("\xff\xfe")) && !bytes.HasPrefix(content, []byte("\xfe\xff")):
		r.add(r.notUTF8(content), "", "save the file as UTF-8", "what stands here is no UTF-8")
		return nil
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		r.add(whole, "", "begin with name: and steps:", "the file is empty")
		return nil
	case err != nil:
		r.syntax(content, err)
		return nil
	}
	if err := d.Decode(&more); err == nil {
		r.add(&more, "", "a file has one pipeline", "a second document begins here")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(content, err)
		return nil
	}
	if !yamlplace.Within(&doc, maxDepth, maxNodes) {
		r.add(whole, "", "write out what *NAME stands for", "its aliases, or its levels, are too many")
		return nil
	}
	return doc.Content[0]
}

func (r *reader) notUTF8(content []byte) *yaml.Node {
	at := &yaml.Node{Line: 1}
	for line := range bytes.Lines(content) {
		if !utf8.Valid(line) {
			at.Column = 1
			for rest := line; ; at.Column++ {
				c, size := utf8.DecodeRune(rest)
				if c == utf8.RuneError && size == 1 {
					return at
				}
				rest = rest[size:]
			}
		}
		at.Line++
	}
	return at
}

func (r *reader) syntax(content []byte, err error) {
	m := yamlplace.Syntax(content, err)
	r.add(&yaml.Node{Line: m.Line, Column: m.Column}, "", m.Hint, "%s", m.Message)
}

// add takes a problem down, and the entry as one that could not be read.
func (r *reader) add(n *yaml.Node, path, hint, format string, args ...any) {
	r.broken[path] = path != ""
	r.problems = append(r.problems, Problem{Line: n.Line, Column: max(1, n.Column), Path: path, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

func (r *reader) isBroken(path string) bool {
	for ; path != ""; path = parent(path) {
		if r.broken[path] {
			return true
		}
	}
	return false
}

// locate adds line and column to what was found in the pipeline as it was read. An entry that is not in the file is said to be where
// the nearest one around it is.
func (r *reader) locate(found Problem) Problem {
	for path := found.Path; ; path = parent(path) {
		if n := r.places[path]; n != nil {
			found.Line, found.Column = n.Line, n.Column
			return found
		}
		if path == "" {
			found.Line, found.Column = 1, 1
			return found
		}
	}
}

// pair is a name with its value, as a file has it.
type pair struct{ key, value *yaml.Node }

// pairs are the entries of a mapping; what it merges (<<) comes after its own, and gives way to them. It says which stand there twice.
func (r *reader) pairs(n *yaml.Node, path string) []pair {
	var out []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := yamlplace.Plain(n.Content[i])
		switch line := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			r.add(key, path, "write a word", "a name cannot be a list or a map")
		case key.Tag == "!!merge":
		case line > 0:
			r.add(key, join(path, key.Value), "take one of them away", "stands here a second time; the first is in line %d", line)
		default:
			seen[key.Value] = key.Line
			out = append(out, pair{key, yamlplace.Plain(n.Content[i+1])})
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Tag != "!!merge" {
			continue
		}
		from := []*yaml.Node{yamlplace.Plain(n.Content[i+1])}
		if from[0].Kind == yaml.SequenceNode {
			from = from[0].Content
		}
		for _, m := range from {
			if m = yamlplace.Plain(m); m.Kind != yaml.MappingNode {
				r.add(m, join(path, "<<"), "write <<: *NAME", "only names with values can be merged")
				continue
			}
			for _, p := range r.pairs(m, path) {
				if seen[p.key.Value] == 0 {
					seen[p.key.Value] = p.key.Line
					out = append(out, p)
				}
			}
		}
	}
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// shown is a node as a message may quote it.
func shown(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "names with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	}
	return quoted(n.Value)
}

// quoted is a text as a message may have it: in one line, and not too long.
func quoted(text string) string {
	if letters := []rune(text); len(letters) > 60 {
		text = string(letters[:59]) + "…"
	}
	return fmt.Sprintf("%q", text)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// isPlain reports whether a scalar stands there without quotes.
func isPlain(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
}

// or returns the first text that is none of nothing.
func or(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// list writes words for people.
func list(words []string) string { return strings.Join(words, ", ") }
