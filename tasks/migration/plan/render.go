package plan

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MarshalYAML writes an object in the order of the map.
func (m Map) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, a := range m {
		var key, value yaml.Node
		if err := key.Encode(a.Column); err != nil {
			return nil, err
		}
		if err := value.Encode(a.Expr); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &key, &value)
	}
	return n, nil
}

// MarshalYAML writes numbers as numbers, in the order of the keys.
func (l Lookup) MarshalYAML() (any, error) {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, k := range slices.Sorted(maps.Keys(l)) {
		var key, value yaml.Node
		if err := key.Encode(k); err != nil {
			return nil, err
		}
		if number, ok := l[k].(json.Number); ok {
			value = yaml.Node{Kind: yaml.ScalarNode, Value: number.String()}
		} else if err := value.Encode(l[k]); err != nil {
			return nil, err
		}
		n.Content = append(n.Content, &key, &value)
	}
	return n, nil
}

// Render writes a plan as YAML, with comments beside entries, by their paths, and notes in front.
func Render(p *Plan, comments map[string]string, notes []string) []byte {
	var root yaml.Node
	if err := root.Encode(p); err != nil {
		return fmt.Appendf(nil, "# %s\n", err) // a plan is always YAML
	}
	comment(&root, "", comments)
	var b bytes.Buffer
	for _, n := range notes {
		b.WriteString("# " + strings.Join(strings.Fields(n), " ") + "\n")
	}
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	_ = e.Encode(&root) // into memory
	return b.Bytes()
}

// comment puts comments beside scalars.
func comment(n *yaml.Node, path string, comments map[string]string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			at := n.Content[i].Value
			if path != "" {
				at = path + "." + at
			}
			if text, ok := comments[at]; ok && n.Content[i+1].Kind == yaml.ScalarNode {
				n.Content[i+1].LineComment = strings.Join(strings.Fields(text), " ")
			}
			comment(n.Content[i+1], at, comments)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			comment(c, fmt.Sprintf("%s[%d]", path, i), comments)
		}
	}
}
