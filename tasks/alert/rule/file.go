package rule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// MaxSize is how many bytes a rule file, or a file with the values of a list, may have.
const MaxSize = 1 << 20

// entry is an option as a file has it.
type entry struct {
	key, value *yaml.Node
	// inherited is what comes from defaults or imports: a rule need not make anything of it.
	inherited bool
}

// entries are the options of a rule by their names.
type entries map[string]entry

// file is a YAML file of names and values.
type file struct {
	path    string // as it is opened and shown
	entries entries
	// imports are the files that it takes options from, in its order.
	imports  []*file
	imported bool // by another file
	// unread: it is no YAML, or has no names with values.
	unread bool
	// broken: it, or what it imports, has a mistake that was found while it was read.
	broken bool
}

// read reads a file once.
func (l *loader) read(path string) *file {
	if f := l.files[path]; f != nil {
		return f
	}
	f := &file{path: path, entries: entries{}}
	l.files[path] = f
	content, err := readBounded(path)
	if err != nil {
		f.broken, f.unread = true, true
		l.add(Problem{File: path, Message: "cannot be read: " + reason(err), Hint: "is the path right, and may this user read it?"})
		return f
	}
	root, problem := l.parse(path, content)
	if problem != nil {
		f.broken, f.unread = true, true
		l.add(*problem)
		return f
	}
	before := l.mistakes
	l.reading = true
	l.adopt(root, path)
	f.entries = l.pairs(root)
	l.reading = false
	f.broken = l.mistakes > before
	return f
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it is read only
	content, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err == nil && len(content) > MaxSize {
		err = fmt.Errorf("it is larger than %d bytes", MaxSize)
	}
	return content, err
}

// reason is an error without the path, which the problem has already.
func reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// parse returns the mapping that a file is.
func (l *loader) parse(path string, content []byte) (*yaml.Node, *Problem) {
	content = quoteTokens(path, content)
	d := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, &Problem{File: path, Line: 1, Column: 1, Message: "the file is empty", Hint: "take it away, or write a rule: docs/alert-rules.md"}
	case err != nil:
		return nil, syntaxProblem(path, content, err)
	}
	if err := d.Decode(&more); err == nil {
		return nil, &Problem{File: path, Line: more.Line, Column: max(1, more.Column), Message: "a second document begins here", Hint: "a file has one rule"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxProblem(path, content, err)
	}
	if !yamlplace.Within(&doc, maxDepth, maxNodes) {
		return nil, &Problem{File: path, Line: 1, Column: 1, Message: "its aliases, or its levels, are too many", Hint: "write out what *NAME stands for"}
	}
	root := yamlplace.Plain(doc.Content[0])
	if root.Kind != yaml.MappingNode {
		return nil, &Problem{File: path, Line: root.Line, Column: root.Column, Message: "options with their values are wanted", Hint: "name: value, one in each line"}
	}
	return root, nil
}

// Bounds of a file once its aliases are written out: a few lines of them can stand for more than fits into memory, or for themselves.
const (
	maxNodes = 200_000
	maxDepth = 64
)

// bareToken is a value that is a token alone, without the quotes that YAML wants around it.
var bareToken = regexp.MustCompile(`^(.*?[:-][ ]+)(@@[A-Za-z_][A-Za-z0-9_.-]*@@)(\s*(?:#.*)?\s*)$`)

// quoteTokens puts quotes around values that are a token alone, where YAML cannot read them without. Folders whose tokens were filled in
// before YAML was read have them so. Nothing before a token moves.
func quoteTokens(path string, content []byte) []byte {
	for range bytes.Count(content, []byte("@@")) / 2 {
		err := yaml.Unmarshal(content, new(yaml.Node))
		if err == nil || !strings.Contains(err.Error(), "cannot start any token") {
			break
		}
		at := syntaxProblem(path, content, err).Line
		lines := bytes.SplitAfter(content, []byte("\n"))
		if at > len(lines) || !bareToken.Match(lines[at-1]) {
			break
		}
		lines[at-1] = bareToken.ReplaceAll(lines[at-1], []byte(`$1"$2"$3`))
		content = bytes.Join(lines, nil)
	}
	return content
}

func syntaxProblem(path string, content []byte, err error) *Problem {
	m := yamlplace.Syntax(content, err)
	return &Problem{File: path, Line: m.Line, Column: m.Column, Message: m.Message, Hint: m.Hint}
}

// variableUse is how ElastAlert lets the environment into a file; a text such as $5 is none.
var variableUse = regexp.MustCompile(`\$\{[A-Z][A-Z0-9_]*\}|\$[A-Z][A-Z0-9_]+`)

var tokenUse = regexp.MustCompile(`@@@@|@@([A-Za-z_][A-Za-z0-9_.-]*)@@`)

// adopt remembers which file the nodes are of, says which names stand twice, and fills in tokens. Each node is looked at once.
func (l *loader) adopt(n *yaml.Node, path string) {
	if l.of[n] != "" {
		return
	}
	l.of[n] = path
	switch n.Kind {
	case yaml.AliasNode:
		l.adopt(n.Alias, path)
	case yaml.ScalarNode:
		l.fill(n)
	case yaml.MappingNode:
		seen := map[string]*yaml.Node{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			l.of[key] = path
			switch first := seen[key.Value]; {
			case key.Kind != yaml.ScalarNode:
				l.mistake(key, "", "write a text", "a name cannot be a list or a map")
			case first != nil:
				l.mistake(key, key.Value, "take one of them away: the second would be forgotten, or the first", "stands here a second time; the first is in line %d, column %d", first.Line, first.Column)
			default:
				seen[key.Value] = key
			}
			l.adopt(n.Content[i+1], path)
		}
	default:
		for _, c := range n.Content {
			l.adopt(c, path)
		}
	}
}

// fill puts the values of tokens into a scalar, and, as ElastAlert does, of variables. What they bring in is not looked at again.
func (l *loader) fill(n *yaml.Node) {
	l.fillVariables(n)
	if l.filled[n] != "" || !strings.Contains(n.Value, "@@") {
		return
	}
	raw := n.Value
	n.Value = tokenUse.ReplaceAllStringFunc(raw, func(use string) string {
		name := strings.Trim(use, "@")
		if name == "" {
			return "@@"
		}
		l.filled[n] = raw
		if l.o.Tokens != nil {
			if value, ok := l.o.Tokens(name); ok {
				return value
			}
		}
		l.mistake(n, "", fmt.Sprintf("set it below tokens: of the configuration, or as the variable %s", name), "token %s has no value", use)
		return use
	})
	if raw == n.Value || !slices.Contains(tokenUse.FindAllString(raw, -1), raw) {
		return
	}
	l.whole[n] = true // "@@N@@" alone may be a number
}

// fillVariables puts values in for ${NAME}, and for a text that is $NAME as a whole: within one, ElastAlert would put the home of its user
// into a regular expression that has $HOME in it. Those without a value are left, for variables to find where they matter.
func (l *loader) fillVariables(n *yaml.Node) {
	raw := n.Value
	if l.o.Tokens == nil || !strings.Contains(raw, "$") {
		return
	}
	n.Value = variableUse.ReplaceAllStringFunc(raw, func(use string) string {
		if value, ok := l.o.Tokens(strings.Trim(use, "${}")); ok && (use == raw || strings.HasPrefix(use, "${")) {
			l.filled[n], l.whole[n] = raw, use == raw
			return value
		}
		return use
	})
}

// variables says which variables of the environment have no value.
func (l *loader) variables(option string, n *yaml.Node) {
	n = yamlplace.Plain(n)
	for _, c := range n.Content {
		l.variables(option, c)
	}
	use := variableUse.FindString(n.Value)
	switch name := strings.Trim(use, "${}"); {
	case n.Kind != yaml.ScalarNode || use == "" || l.filled[n] != "":
	case use == n.Value:
		l.mistake(n, option, fmt.Sprintf("set it below tokens: of the configuration, or as the variable %s", name), "%s has no value", use)
	case strings.HasPrefix(use, "${"):
		l.note(n, option, "", "%s has no value, and stays as it is", use)
	}
}

// pairs are the entries of a mapping, those that it merges (<<) behind its own.
func (l *loader) pairs(n *yaml.Node) entries {
	out := entries{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag != "!!merge" {
			out[key.Value] = entry{key: key, value: yamlplace.Plain(value)}
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
				l.mistake(m, "<<", "write <<: *NAME", "only names with values can be merged")
				continue
			}
			for name, e := range l.pairs(m) {
				if _, ok := out[name]; !ok {
					out[name] = e
				}
			}
		}
	}
	return out
}
