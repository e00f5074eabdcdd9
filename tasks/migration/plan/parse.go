package plan

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// MaxSize is how many bytes a plan may have.
const MaxSize = 4 << 20

// Parse reads a plan from YAML, of which JSON is a part, and checks it. The error is Problems, with file, line and column. Places
// are for what is found out later, such as a column that the source does not have.
func Parse(file string, content []byte) (*Plan, *Places, error) {
	places := &Places{file: file, at: map[string][2]int{}, texts: map[string]scalar{}, lines: strings.Split(strings.ReplaceAll(string(content), "\r\n", "\n"), "\n")}
	if len(content) > MaxSize {
		return nil, places, Problems{{File: file, Message: fmt.Sprintf("a plan of %d bytes is too large", len(content)), Hint: "the most is 4 MiB"}}
	}
	d := yaml.NewDecoder(bytes.NewReader(content))
	var doc, more yaml.Node
	if err := d.Decode(&doc); err != nil {
		return nil, places, Problems{syntax(file, content, err)}
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, places, Problems{{File: file, Line: more.Line, Column: more.Column, Message: "a second document begins here", Hint: "a file has one plan"}}
	}
	r := &reader{places: places}
	p := &Plan{}
	r.read(&doc, reflect.ValueOf(p).Elem(), "")
	unread := r.problems // what Check finds explains nothing else that it finds
	for _, found := range p.Check() {
		if !explained(found.Path, unread) {
			r.problems = append(r.problems, found)
		}
	}
	return p, places, places.Locate(r.problems).asError()
}

// explained reports whether what is wrong with an entry may be for want of another one that could not be read: itself, one around or
// beside it, or one that its stage has misspelled. Expressions speak for themselves.
func explained(path string, unread Problems) bool {
	for _, p := range unread {
		around := parent(p.Path)
		switch {
		case path == p.Path || within(path, p.Path):
			return true
		case isExpression(path):
		case path == around || parent(path) == around || around != "" && within(path, around):
			return true
		}
	}
	return false
}

// within reports whether an entry is one of another one's.
func within(path, around string) bool {
	rest, ok := strings.CutPrefix(path, around)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

var expressionPath = regexp.MustCompile(`^stages\[\d+\]\.(map\.|filter$|each)`)

func isExpression(path string) bool { return expressionPath.MatchString(path) }

// FromJSON reads a plan from the JSON of a job's spec. It does not pass over an entry that it does not know.
func FromJSON(body []byte) (*Plan, error) {
	p := &Plan{}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	return p, p.Check().asError()
}

func syntax(file string, content []byte, err error) Problem {
	if errors.Is(err, io.EOF) {
		return Problem{File: file, Line: 1, Column: 1, Message: "the plan is empty", Hint: "stint plan --from SOURCE --to TARGET writes one to begin with"}
	}
	m := yamlplace.Syntax(content, err)
	return Problem{File: file, Line: m.Line, Column: m.Column, Message: m.Message, Hint: m.Hint}
}

// reader turns nodes into the types of this package, and collects what is wrong.
type reader struct {
	places   *Places
	problems Problems
}

func (r *reader) problem(n *yaml.Node, path, hint, format string, args ...any) {
	r.problems = append(r.problems, Problem{Path: path, File: r.places.file, Line: n.Line, Column: n.Column, Hint: hint, Message: fmt.Sprintf(format, args...)})
}

var (
	mapType  = reflect.TypeFor[Map]()
	rowsType = reflect.TypeFor[Lookup]()
	idsType  = reflect.TypeFor[IDs]()
	textType = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonType = reflect.TypeFor[json.Unmarshaler]()
)

// read fills v in from a node.
func (r *reader) read(n *yaml.Node, v reflect.Value, path string) {
	for n.Kind == yaml.DocumentNode || n.Kind == yaml.AliasNode {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
			continue
		}
		n = n.Content[0]
	}
	if _, there := r.places.at[path]; !there {
		r.places.at[path] = [2]int{n.Line, n.Column}
	}
	r.text(n, path)
	switch {
	case v.Type() == mapType:
		r.assignments(n, v, path)
		return
	case v.Type() == rowsType:
		r.rows(n, v, path)
		return
	case v.Type() == idsType:
		if n.Kind == yaml.ScalarNode { // the connection alone
			r.scalar(n, v.Field(0), path)
			return
		}
		r.object(n, v, path)
		return
	case reflect.PointerTo(v.Type()).Implements(textType):
		if n.Kind != yaml.ScalarNode {
			r.problem(n, path, "", "must be one value")
		} else if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.Value)); err != nil {
			r.problem(n, path, "", "%s", err)
		}
		return
	case reflect.PointerTo(v.Type()).Implements(jsonType):
		r.generic(n, v, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if n.Tag == "!!null" {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		r.read(n, v.Elem(), path)
	case reflect.Struct:
		r.object(n, v, path)
	case reflect.Map:
		if r.is(n, yaml.MappingNode, path, "names with values") {
			v.Set(reflect.MakeMap(v.Type()))
			r.pairs(n, path, func(name string, value *yaml.Node, path string) {
				e := reflect.New(v.Type().Elem()).Elem()
				r.read(value, e, path)
				v.SetMapIndex(reflect.ValueOf(name), e)
			})
		}
	case reflect.Slice:
		if n.Kind == yaml.ScalarNode && n.Tag != "!!null" && v.Type().Elem().Kind() == reflect.String {
			n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}, Line: n.Line, Column: n.Column} // one name is a list of one
		}
		if r.is(n, yaml.SequenceNode, path, "a list") {
			for i, item := range n.Content {
				e := reflect.New(v.Type().Elem()).Elem()
				r.read(item, e, fmt.Sprintf("%s[%d]", path, i))
				v.Set(reflect.Append(v, e))
			}
		}
	default:
		r.scalar(n, v, path)
	}
}

// text remembers where the text of an entry stands.
func (r *reader) text(n *yaml.Node, path string) {
	if n.Kind == yaml.ScalarNode {
		r.places.texts[path] = scalar{n.Line, n.Column, n.Style, n.Value}
	}
}

func (r *reader) is(n *yaml.Node, kind yaml.Kind, path, want string) bool {
	if n.Kind != kind {
		r.problem(n, path, "", "must be %s", want)
	}
	return n.Kind == kind
}

func (r *reader) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		r.problem(n, path, "", "must be one value")
		return
	}
	switch v.Kind() {
	case reflect.String:
		if n.Tag != "!!null" {
			v.SetString(n.Value)
		}
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(n.Value, "_", ""), 10, 64)
		if err != nil {
			r.problem(n, path, "", "must be a whole number, not %q", n.Value)
		}
		v.SetInt(i)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil {
			r.problem(n, path, "", "must be true or false, not %q", n.Value)
		}
		v.SetBool(b)
	default:
		r.problem(n, path, "", "cannot be set")
	}
}

// generic reads a value of any form by way of JSON.
func (r *reader) generic(n *yaml.Node, v reflect.Value, path string) {
	var x any
	err := n.Decode(&x)
	var body []byte
	if err == nil {
		body, err = json.Marshal(x)
	}
	if err == nil {
		err = json.Unmarshal(body, v.Addr().Interface())
	}
	if err != nil {
		r.problem(n, path, "", "%s", err)
	}
}

// pairs goes through the entries of a mapping, and says which stand there twice.
func (r *reader) pairs(n *yaml.Node, path string, each func(name string, value *yaml.Node, path string)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		if seen[key.Value] {
			r.problem(key, at, "leave one of them", "stands here twice")
			continue
		}
		seen[key.Value] = true
		r.places.at[at] = [2]int{key.Line, key.Column}
		each(key.Value, value, at)
	}
}

func (r *reader) object(n *yaml.Node, v reflect.Value, path string) {
	if !r.is(n, yaml.MappingNode, path, "an object") {
		return
	}
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = i
			names = append(names, name)
		}
	}
	r.pairs(n, path, func(name string, value *yaml.Node, at string) {
		i, ok := fields[name]
		if !ok {
			r.problem(&yaml.Node{Line: r.places.at[at][0], Column: r.places.at[at][1]}, at, Near(name, names), "there is no such entry")
			return
		}
		r.read(value, v.Field(i), at)
	})
}

// assignments reads a map.
func (r *reader) assignments(n *yaml.Node, v reflect.Value, path string) {
	if !r.is(n, yaml.MappingNode, path, "column: expression") {
		return
	}
	m := Map{}
	r.pairs(n, path, func(name string, value *yaml.Node, at string) {
		a := Assignment{Column: name, Expr: value.Value}
		r.text(value, at)
		switch {
		case value.Kind != yaml.ScalarNode:
			r.problem(value, at, `put it in quotes: an expression with { or [ in front needs them`, "must be an expression")
		case value.Tag == "!!null":
			a.Expr = "nil"
		case value.Tag == "!!bool":
			a.Expr = strings.ToLower(value.Value) // True is no column
		case value.Tag == "!!timestamp":
			r.problem(value, at, fmt.Sprintf(`write date("%s"), or timestamp("...")`, value.Value[:min(len(value.Value), len(time.DateOnly))]), "is a subtraction, and looks like a date")
		}
		m = append(m, a)
	})
	v.Set(reflect.ValueOf(m))
}

// rows reads a constant table. Its numbers keep their digits, and what YAML takes for a date is the text that it is.
func (r *reader) rows(n *yaml.Node, v reflect.Value, path string) {
	if !r.is(n, yaml.MappingNode, path, "key: value") {
		return
	}
	rows := Lookup{}
	r.pairs(n, path, func(key string, value *yaml.Node, at string) {
		for value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		switch number := strings.ReplaceAll(value.Value, "_", ""); {
		case value.Kind != yaml.ScalarNode:
			r.problem(value, at, "", "must be one value")
		case value.Tag == "!!null":
			rows[key] = nil
		case value.Tag == "!!bool":
			rows[key] = strings.EqualFold(value.Value, "true")
		case (value.Tag == "!!int" || value.Tag == "!!float") && json.Valid([]byte(number)):
			rows[key] = json.Number(number)
		default:
			rows[key] = value.Value
		}
	})
	v.Set(reflect.ValueOf(rows))
}

// Near says, as a hint, which of some names may be meant by a word.
func Near(word string, names []string) string {
	best, least := "", len(word)/2+1
	for _, name := range names {
		if d := yamlplace.Distance(word, name); d < least {
			best, least = name, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	sorted := slices.Sorted(slices.Values(names))
	return "there are: " + strings.Join(sorted, ", ")
}
