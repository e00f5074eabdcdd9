package template

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
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
)

// JinjaRoot is the name under which a template finds all there is, and so fields whose names have dots in them; ElastAlert's default.
const JinjaRoot = "_data"

// jinjaRange is the longest range that a template can count through.
const jinjaRange = 10_000

// jinjaEnvironment is what templates know. Their range is a list: the library's is a goroutine that outlives a loop that is left early.
func jinjaEnvironment() *exec.Environment {
	functions := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(builtins.GlobalVariables)
	functions.Set("range", numbers)
	// A template is all the files there are: what brings in another one could only bring in itself, without an end. So could a block.
	statements := exec.NewControlStructureSet(map[string]parser.ControlStructureParser{}).Update(builtins.ControlStructures)
	for _, name := range []string{"include", "extends", "import", "from", "block", "call"} {
		_ = statements.Replace(name, func(*parser.Parser, *parser.Parser) (nodes.ControlStructure, error) {
			return nil, fmt.Errorf("{%% %s %%} is not known here: a template stands alone", name)
		})
	}
	return &exec.Environment{Context: functions, Filters: builtins.Filters, Tests: builtins.Tests, ControlStructures: statements, Methods: builtins.Methods}
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

var (
	macro    = regexp.MustCompile(`^\{%[-+]?\s*macro\s+([A-Za-z_]\w*)`)
	endMacro = regexp.MustCompile(`^\{%[-+]?\s*endmacro\b`)
	word     = regexp.MustCompile(`[A-Za-z_]\w*`)
)

// checkMacros lets macros be called from outside of macros alone, by their names, so that none can come back to itself: the end of a stack
// is the end of the process.
func checkMacros(text string) error {
	tags := tag.FindAllString(text, -1)
	names := map[string]bool{}
	for i, t := range tags {
		tags[i] = literal.ReplaceAllString(t, "''")
		if m := macro.FindStringSubmatch(tags[i]); m != nil {
			names[m[1]] = true
		}
	}
	inside := 0
	for _, t := range tags {
		switch at := macro.FindStringIndex(t); {
		case at != nil:
			inside++
			t = t[at[1]:]
		case endMacro.MatchString(t):
			inside--
		}
		for _, at := range word.FindAllStringIndex(t, -1) {
			if name := t[at[0]:at[1]]; names[name] && (inside > 0 || !strings.HasPrefix(strings.TrimSpace(t[at[1]:]), "(")) {
				return fmt.Errorf("the macro %s can only be called, and not from within a macro", name)
			}
		}
	}
	return nil
}

// Jinja is a template that has been read. The zero value is not for use.
type Jinja struct{ t *exec.Template }

// maxJinja is how long a template may be, in bytes. The library reads what stands in brackets by calling itself: out of megabytes of
// brackets it would not come back, and the end of its stack is the end of the process.
const maxJinja = 32 << 10

// maxReason is how much of an error of the library is shown, in bytes.
const maxReason = 500

// ParseJinja reads a template. It can include nothing: a loader that has this text alone is all there is.
func ParseJinja(text string) (j Jinja, err error) {
	defer recovered(&err)
	if len(text) > maxJinja {
		return Jinja{}, fmt.Errorf("the template has %d bytes, and may have %d", len(text), maxJinja)
	}
	for _, t := range tag.FindAllString(text, -1) {
		if textModulo.MatchString(literal.ReplaceAllString(t, "''")) {
			return Jinja{}, errors.New("a text before % is not filled in here; write '%.1f' | format(took) for '%.1f' % took")
		}
	}
	if err := checkMacros(text); err != nil {
		return Jinja{}, err
	}
	const name = "/text"
	loader, err := loaders.NewMemoryLoader(map[string]string{name: text})
	if err != nil {
		return Jinja{}, err
	}
	t, err := exec.NewTemplate(name, config.New(), loader, jinjaEnvironment())
	if err != nil { // the library quotes the whole of the template
		why := strings.TrimPrefix(err.Error(), "failed to parse template '"+text+"': ")
		if len(why) > maxReason { // it says for each level that it could not be read
			why = strings.ToValidUTF8(why[:maxReason], "") + "..."
		}
		return Jinja{}, errors.New("the template cannot be read: " + why)
	}
	return Jinja{t}, nil
}

// recovered makes an error of a panic of the library: a template is somebody's text.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the template cannot be carried out: %v", r)
	}
}

// Fill fills in the template. Under JinjaRoot, and under root where that is not "", it finds all of the values, and so those whose names
// have dots in them. Null is written as nothing, and not as None. The text ends soon after most bytes.
func (j Jinja) Fill(values map[string]any, root string, most int) (filled string, err error) {
	defer recovered(&err)
	values = native(values).(map[string]any)
	all := maps.Clone(values)
	values[JinjaRoot] = all
	if root != "" {
		values[root] = all
	}
	out := limited{most: most}
	if err := j.t.Execute(&out, exec.NewContext(values)); err != nil && !out.full {
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

// limited is a text that ends when it is longer than it may be.
type limited struct {
	strings.Builder
	most int
	full bool
}

func (l *limited) Write(p []byte) (int, error) {
	if l.Len() > l.most {
		l.full = true
		return 0, errors.New("the text is too long")
	}
	return l.Builder.Write(p)
}

func (l *limited) WriteString(s string) (int, error) { return l.Write([]byte(s)) }
