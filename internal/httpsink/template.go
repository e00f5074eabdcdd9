package httpsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template/parse"
	"time"
)

// place is where a template's values go. It decides how a value is written, so that no value can be more than a value: a slash in a
// name makes no other path, a quote in a name ends no JSON string.
type place int

const (
	inPath   place = iota // a path and a query: a value is escaped for the part where it stands
	inHeader              // a header: a value is written as it is, and may hold no control characters
	inJSON                // a JSON text: within quotes a value is escaped, outside of them it is a JSON value
	inText                // any other body: a value is written as it is
)

// template is a parsed text with values of a record in it: {{ .field }}, {{ .field | default "x" | upper }}, {{ if .field }}..{{ end }}.
//
// It has the syntax of text/template, whose parser it uses, and not its executor: that one prints a null as <no value>, numbers as
// 1e+06, calls methods of what it is given, and knows nothing of where a value stands.
type template struct {
	text  string
	place place
	root  *parse.ListNode
}

// functions are what a pipe may call. The map is only for the parser, which wants to know the names.
var functions = map[string]any{"urlpath": 0, "urlquery": 0, "json": 0, "lower": 0, "upper": 0, "default": 0}

// errNoValue: the record has not what the template asks for. It is an error of the record.
var errNoValue = errors.New("no value")

// parseTemplate reads a template and finds what it could not carry out.
func parseTemplate(text string, where place) (*template, error) {
	trees, err := parse.Parse("template", text, "", "", functions)
	if err != nil {
		return nil, errors.New("line " + strings.TrimPrefix(err.Error(), "template: template:"))
	}
	t := &template{text: text, place: where}
	if tree := trees["template"]; tree != nil && tree.Root != nil {
		t.root = tree.Root
		if len(trees) > 1 {
			return nil, errors.New("define is not supported")
		}
		if _, err := checkNodes(tree.Root, 0); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// constant reports whether the template is the same for each record.
func (t *template) constant() bool {
	if t.root == nil {
		return true
	}
	for _, n := range t.root.Nodes {
		if _, ok := n.(*parse.TextNode); !ok {
			return false
		}
	}
	return true
}

// checkNodes walks a list as execution will, with the JSON quotes that are open, and refuses what is not supported.
func checkNodes(list *parse.ListNode, quotes quoting) (quoting, error) {
	if list == nil {
		return quotes, nil
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			quotes = quotes.after(string(n.Text))
		case *parse.ActionNode:
			if err := checkPipe(n.Pipe); err != nil {
				return quotes, err
			}
		case *parse.IfNode:
			if err := checkPipe(n.Pipe); err != nil {
				return quotes, err
			}
			yes, err := checkNodes(n.List, quotes)
			if err != nil {
				return quotes, err
			}
			no, err := checkNodes(n.ElseList, quotes)
			if err != nil {
				return quotes, err
			}
			if yes != no {
				return quotes, fmt.Errorf("%s: a quote is opened in one branch and not in the other", n)
			}
			quotes = yes
		case *parse.CommentNode:
		default:
			return quotes, fmt.Errorf("%s is not supported; there is {{ .field }}, {{ .field | function }} and {{ if .field }}", n)
		}
	}
	return quotes, nil
}

func checkPipe(pipe *parse.PipeNode) error {
	if len(pipe.Decl) > 0 {
		return fmt.Errorf("%s: variables are not supported", pipe)
	}
	for i, c := range pipe.Cmds {
		if id, ok := c.Args[0].(*parse.IdentifierNode); ok {
			want := 1
			if id.Ident == "default" {
				want = 2
			}
			got := len(c.Args) - 1
			if i > 0 {
				got++
			}
			if got != want {
				return fmt.Errorf("%s: %s takes %d value(s), it got %d", pipe, id.Ident, want, got)
			}
			for _, a := range c.Args[1:] {
				if err := checkOperand(pipe, a); err != nil {
					return err
				}
			}
			continue
		}
		if i > 0 || len(c.Args) != 1 {
			return fmt.Errorf("%s: %s is no function", pipe, c.Args[0])
		}
		if err := checkOperand(pipe, c.Args[0]); err != nil {
			return err
		}
	}
	return nil
}

func checkOperand(pipe *parse.PipeNode, n parse.Node) error {
	switch n.(type) {
	case *parse.FieldNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.DotNode:
		return nil
	}
	return fmt.Errorf("%s: %s is neither a field nor a text, a number, true or false", pipe, n)
}

// quoting says whether a JSON string is open: 0 none, 1 open, 2 open and just after a backslash.
type quoting int

func (q quoting) after(text string) quoting {
	for i := range len(text) {
		switch {
		case q == 2:
			q = 1
		case q == 1 && text[i] == '\\':
			q = 2
		case text[i] == '"':
			q = 1 - q
		}
	}
	return q
}

// render writes the template with the values of a record. An error is the record's.
func (t *template) render(fields map[string]any) (string, error) {
	if t.root == nil {
		return "", nil
	}
	w := &writing{place: t.place, fields: fields}
	if err := w.list(t.root); err != nil {
		return "", err
	}
	return w.out.String(), nil
}

// writing is one rendering.
type writing struct {
	out    strings.Builder
	place  place
	fields map[string]any
	quotes quoting
	query  bool // a ? has been written
}

func (w *writing) list(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		switch n := n.(type) {
		case *parse.TextNode:
			w.quotes = w.quotes.after(string(n.Text))
			w.query = w.query || strings.Contains(string(n.Text), "?")
			w.out.Write(n.Text)
		case *parse.ActionNode:
			v, err := w.pipe(n.Pipe)
			if err != nil {
				return err
			}
			text, err := w.written(v)
			if err != nil {
				return fmt.Errorf("%s: %w", n.Pipe, err)
			}
			w.out.WriteString(text)
		case *parse.IfNode:
			v, err := w.pipe(n.Pipe)
			if err != nil && !errors.Is(err, errNoValue) {
				return err
			}
			branch := n.ElseList
			if err == nil && truthy(v) {
				branch = n.List
			}
			if err := w.list(branch); err != nil {
				return err
			}
		}
	}
	return nil
}

// escaped is a text that urlpath or urlquery has made, or a JSON text: it is not escaped again for the same place.
type escaped struct {
	text string
	json bool
}

func (w *writing) pipe(pipe *parse.PipeNode) (any, error) {
	var v any
	var err error
	for i, c := range pipe.Cmds {
		id, isFunction := c.Args[0].(*parse.IdentifierNode)
		if !isFunction {
			v, err = w.operand(c.Args[0])
			continue
		}
		args := c.Args[1:]
		otherwise := args
		if i == 0 {
			v, err = w.operand(args[len(args)-1])
			otherwise = args[:len(args)-1]
		}
		if id.Ident == "default" {
			if errors.Is(err, errNoValue) || err == nil && (v == nil || v == "") {
				v, err = w.operand(otherwise[0])
			}
			continue
		}
		if err == nil {
			v, err = apply(id.Ident, v)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("{{ %s }}: %w", pipe, err)
	}
	return v, nil
}

func apply(function string, v any) (any, error) {
	if function == "json" {
		if e, ok := v.(escaped); ok {
			v = e.text
		}
		text, err := json.Marshal(v)
		return escaped{string(text), true}, err
	}
	text, err := scalar(v)
	if err != nil {
		return nil, err
	}
	switch function {
	case "lower":
		return strings.ToLower(text), nil
	case "upper":
		return strings.ToUpper(text), nil
	case "urlquery":
		return escaped{text: url.QueryEscape(text)}, nil
	}
	return escaped{text: url.PathEscape(text)}, checkSegment(text)
}

func (w *writing) operand(n parse.Node) (any, error) {
	switch n := n.(type) {
	case *parse.StringNode:
		return n.Text, nil
	case *parse.NumberNode:
		return json.Number(n.Text), nil
	case *parse.BoolNode:
		return n.True, nil
	case *parse.DotNode:
		return w.fields, nil
	}
	var v any = w.fields
	for _, name := range n.(*parse.FieldNode).Ident { // the check has let nothing else in
		object, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%w", errNoValue)
		}
		if v, ok = object[name]; !ok {
			return nil, fmt.Errorf("%w: the record has no field %q", errNoValue, name)
		}
	}
	return v, nil
}

// written returns a value as it is written where the template stands.
func (w *writing) written(v any) (string, error) {
	e, done := v.(escaped)
	switch {
	case w.place == inJSON && w.quotes == 0:
		if done && e.json {
			return e.text, nil
		}
		if done {
			v = e.text
		}
		text, err := json.Marshal(v)
		return string(text), err
	case done && (w.place != inJSON) && !(e.json && w.place == inPath):
		return e.text, nil
	case done:
		v = e.text
	}
	text, err := scalar(v)
	if err != nil {
		return "", err
	}
	switch {
	case w.place == inJSON:
		quoted, err := json.Marshal(text)
		return string(quoted[1 : len(quoted)-1]), err
	case w.place == inPath && w.query:
		return url.QueryEscape(text), nil
	case w.place == inPath:
		return url.PathEscape(text), checkSegment(text)
	case w.place == inHeader && strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return "", errors.New("the value has control characters")
	}
	return text, nil
}

// checkSegment refuses what would make a path mean something else: an empty part (the record's path would be its collection's), and
// dots, which servers resolve.
func checkSegment(text string) error {
	if text == "" || text == "." || text == ".." {
		return fmt.Errorf("%q cannot be a part of a path", text)
	}
	return nil
}

// scalar returns a value as a text. Null has none: where it may be, say what to write instead, by default.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", fmt.Errorf("%w: it is null", errNoValue)
	case string:
		return v, nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32), nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case escaped:
		return v.text, nil
	case bool, int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, json.Number, fmt.Stringer:
		return fmt.Sprint(v), nil
	}
	return "", errors.New("it is not a single value; write it by json")
}

// truthy is what counts as true in an if: anything but null, false, 0 and "".
func truthy(v any) bool {
	if v == nil {
		return false
	}
	text, err := scalar(v)
	return err != nil || text != "" && text != "false" && text != "0"
}
