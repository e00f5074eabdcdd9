package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"

	"github.com/stint-run/stint/tasks/alert/condition"
)

// jinjaRoot is the name under which a template finds all there is, and so fields whose names have dots in them; ElastAlert's default.
const jinjaRoot = "_data"

// jinjaRange is the longest range that a template can count through.
const jinjaRange = 10_000

// jinjaEnvironment is what templates know. Their range is a list: the library's is a goroutine that outlives a loop that is left early.
func jinjaEnvironment() *exec.Environment {
	functions := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables)
	functions.Set("range", numbers)
	return &exec.Environment{Context: functions, Filters: builtins.Filters, Tests: builtins.Tests, ControlStructures: builtins.ControlStructures, Methods: builtins.Methods}
}

func numbers(_ *exec.Evaluator, params *exec.VarArgs) ([]int, error) {
	if len(params.Args) < 1 || len(params.Args) > 3 {
		return nil, errors.New("range wants one to three numbers")
	}
	n := []int{0, 0, 1}
	for i, a := range params.Args {
		n[i] = a.Integer()
	}
	if len(params.Args) == 1 {
		n[0], n[1] = 0, n[0]
	}
	var out []int
	for i := n[0]; n[2] > 0 && i < n[1] || n[2] < 0 && i > n[1]; i += n[2] {
		if out = append(out, i); len(out) > jinjaRange {
			return nil, fmt.Errorf("range counts to %d at most", jinjaRange)
		}
	}
	return out, nil
}

// The library takes '%.1f' % took for arithmetic, and its result is 0.
var (
	tag        = regexp.MustCompile(`(?s)\{\{.*?\}\}|\{%.*?%\}`)
	literal    = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	textModulo = regexp.MustCompile(`'\s*%\s*[^}\s]`)
)

// parseJinja reads a template. It can include nothing: a loader that has this text alone is all there is.
func parseJinja(text string) (t *exec.Template, err error) {
	defer recovered(&err)
	for _, t := range tag.FindAllString(text, -1) {
		if textModulo.MatchString(literal.ReplaceAllString(t, "''")) {
			return nil, errors.New("a text before % is not filled in here; write '%.1f' | format(took) for '%.1f' % took")
		}
	}
	const name = "/text"
	loader, err := loaders.NewMemoryLoader(map[string]string{name: text})
	if err != nil {
		return nil, err
	}
	return exec.NewTemplate(name, config.New(), loader, jinjaEnvironment())
}

// recovered makes an error of a panic of the library: a template is somebody's text.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the template cannot be carried out: %v", r)
	}
}

// jinja fills in a template with the fields of a match, and the options of the rule where those have none of that name. Null is
// written as nothing, and not as None.
func (w *writer) jinja(text string, m condition.Match) (filled string, err error) {
	defer recovered(&err)
	t, err := parseJinja(text)
	if err != nil {
		return "", err
	}
	values := make(map[string]any, len(w.options)+len(m)+1)
	maps.Copy(values, w.options)
	maps.Copy(values, m)
	values = native(values).(map[string]any)
	all := maps.Clone(values)
	values[jinjaRoot] = all
	if root, _ := w.options["jinja_root_name"].(string); root != "" {
		values[root] = all
	}
	var out limited
	if err := t.Execute(&out, exec.NewContext(values)); err != nil && !out.full {
		return "", err
	}
	return out.String(), nil
}

// native makes numbers of json.Number, with which templates count.
func native(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		if f, err := v.Float64(); err == nil {
			return f
		}
		return v.String()
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = native(x)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, x := range v {
			l[i] = native(x)
		}
		return l
	}
	return v
}

// limited is a text that ends when it is longer than a message can be.
type limited struct {
	strings.Builder
	full bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len() > MaxText {
		l.full = true
		return 0, errors.New("the text is too long")
	}
	return l.Builder.Write(p)
}

func (l *limited) WriteString(s string) (int, error) { return l.Write([]byte(s)) }
