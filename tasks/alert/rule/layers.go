package rule

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// add takes a problem down.
func (l *loader) add(p Problem) {
	if p.Level == "" {
		p.Level = Mistake
	}
	if p.Level == Mistake {
		l.mistakes++
	}
	l.problems = append(l.problems, p)
}

// mistake takes down what is wrong at a node, the first thing alone where its file was read with a mistake there.
func (l *loader) mistake(n *yaml.Node, option, hint, format string, args ...any) {
	switch {
	case l.reading:
		l.bad[n] = true
	case l.bad[n]:
		return // what follows from a mistake that was told is none
	}
	l.add(Problem{File: l.of[n], Line: n.Line, Column: n.Column, Option: option, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

// isBad reports whether a node, or one within it, has a mistake that was found while its file was read.
func (l *loader) isBad(n *yaml.Node) bool {
	if n = yamlplace.Plain(n); l.bad[n] {
		return true
	}
	return slices.ContainsFunc(n.Content, l.isBad)
}

// note takes down what is to be known of a node.
func (l *loader) note(n *yaml.Node, option, hint, format string, args ...any) {
	l.add(Problem{File: l.of[n], Line: n.Line, Column: n.Column, Option: option, Hint: hint, Message: fmt.Sprintf(format, args...), Level: Note})
}

// follow reads what a file imports, and what that does. A path is relative to the file, or, as ElastAlert has it, to the rule where all
// of it began.
func (l *loader) follow(f, root *file, way []*file) {
	e, ok := f.entries["import"]
	if !ok || f.imports != nil {
		return
	}
	for _, n := range l.importPaths(e) {
		path := n.Value
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(f.path), n.Value)
			if _, err := os.Stat(path); err != nil {
				if other := filepath.Join(filepath.Dir(root.path), n.Value); other != path {
					if _, err := os.Stat(other); err == nil {
						path = other
					}
				}
			}
		}
		if _, err := os.Stat(path); err != nil {
			f.broken = true
			l.mistake(n, "import", "the path is relative to the file that it stands in", "%s cannot be read: %s", n.Value, reason(err))
			continue
		}
		g := l.read(path)
		if slices.Contains(way, g) {
			f.broken = true
			l.mistake(n, "import", "take one of the imports away", "%s imports this file, by way of others or itself", n.Value)
			continue
		}
		g.imported = true
		l.follow(g, root, append(slices.Clone(way), g))
		f.broken = f.broken || g.broken
		f.imports = append(f.imports, g)
	}
}

func (l *loader) importPaths(e entry) []*yaml.Node {
	list := []*yaml.Node{e.value}
	if e.value.Kind == yaml.SequenceNode {
		list = e.value.Content
	}
	out := make([]*yaml.Node, 0, len(list))
	for _, n := range list {
		if n = yamlplace.Plain(n); n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null" {
			l.mistake(n, "import", "import: [base.yaml]", "must be the path of a file, or a list of paths")
			continue
		}
		out = append(out, n)
	}
	return out
}

// layered returns a file's options with those of its imports: its own first, a later import before an earlier one, filters together.
func (l *loader) layered(f *file) entries {
	out := entries{}
	for name, e := range f.entries {
		if name != "import" {
			out[name] = e
		}
	}
	for _, g := range slices.Backward(f.imports) {
		for name, e := range l.layered(g) {
			own, there := out[name]
			switch {
			case !there:
				e.inherited = true
				out[name] = e
			case name == "filter" && own.value.Kind == yaml.SequenceNode && e.value.Kind == yaml.SequenceNode:
				both := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: own.value.Line, Column: own.value.Column,
					Content: slices.Concat(e.value.Content, own.value.Content)}
				l.of[both] = l.of[own.value]
				out[name] = entry{key: own.key, value: both}
			}
		}
	}
	return out
}

// shown is the path of a file within the folder of the rules, with slashes.
func (l *loader) shown(path string) string {
	if l.o.Dir != "" {
		if rel, err := filepath.Rel(l.o.Dir, path); err == nil && !strings.HasPrefix(rel, "..") {
			return filepath.ToSlash(rel)
		}
	}
	return filepath.ToSlash(filepath.Base(path))
}

// rule makes a rule of a file, of what it inherits and of what the environment changes.
func (l *loader) rule(f *file, defaults, overrides, names entries) {
	before := l.mistakes
	all := l.layered(f)
	for name, e := range defaults {
		if _, there := all[name]; !there {
			all[name] = e
		}
	}
	at := &yaml.Node{Line: 1, Column: 1}
	l.of[at] = f.path
	name := strings.TrimSuffix(strings.TrimSuffix(l.shown(f.path), ".yaml"), ".yml")
	if e, ok := all["name"]; ok && e.value.Kind == yaml.ScalarNode && e.value.Tag != "!!null" && strings.TrimSpace(e.value.Value) != "" {
		name, at = e.value.Value, e.value
	}
	if first, twice := names[name]; twice {
		l.mistake(at, "name", "give one of them another name", "the rule %q is in %s:%d:%d already", name, l.of[first.value], first.value.Line, first.value.Column)
	} else {
		names[name] = entry{value: at}
	}
	if o, ok := overrides[name]; ok {
		for option, e := range l.pairs(o.value) {
			if option == "name" || option == "import" {
				l.mistake(e.key, option, "it belongs in the rule's own file", "cannot be changed by an environment")
				continue
			}
			all[option] = e
		}
	}
	b := &builder{loader: l, file: f, all: all, at: at, values: map[string]any{}, refs: map[string]bool{}, rule: &Rule{Name: name, File: l.shown(f.path)}}
	enabled := b.build()
	switch {
	case l.mistakes > before || f.broken || l.refused || b.bad:
	case !enabled:
		l.set.Disabled = append(l.set.Disabled, name)
	default:
		l.set.Rules = append(l.set.Rules, b.rule)
		l.set.secrets[name] = b.whole
	}
}
