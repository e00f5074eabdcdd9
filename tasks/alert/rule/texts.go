package rule

import (
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/yamlplace"
)

var (
	dollars   = regexp.MustCompile(`^\$([A-Za-z_][A-Za-z0-9_.-]*)\$$`)
	templates = regexp.MustCompile(`(?s)\{[{%].*?[%}]\}`)
	words     = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
)

// reference returns the option that a text is, which is $option$ as a whole.
func reference(text string) (string, bool) {
	m := dollars.FindStringSubmatch(text)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// collect finds the options that texts refer to: as arguments, as $option$, and in templates.
func (b *builder) collect() {
	for name, e := range b.all {
		switch {
		case strings.HasSuffix(name, "_args"):
			b.referTo(e.value, func(text string) []string { return []string{text} })
		case name == "alert_text_kw" && e.value.Kind == yaml.MappingNode:
			for field := range b.pairs(e.value) {
				b.refer(field, e.value)
			}
		case name == "alert_text" && b.all["alert_text_type"].value != nil && b.all["alert_text_type"].value.Value == "alert_text_jinja":
			b.referTo(e.value, func(text string) []string {
				return words.FindAllString(strings.Join(templates.FindAllString(text, -1), " "), -1)
			})
		case name == "alert": // an entry has texts of its own
			b.ofEntries(e.value)
		}
		b.referTo(e.value, func(text string) []string {
			if name, ok := reference(text); ok {
				return []string{name}
			}
			return nil
		})
	}
}

func (b *builder) ofEntries(n *yaml.Node) {
	n = yamlplace.Plain(n)
	if n.Kind == yaml.MappingNode {
		for name, e := range b.pairs(n) {
			if strings.HasSuffix(name, "_args") {
				b.referTo(e.value, func(text string) []string { return []string{text} })
			}
		}
	}
	for _, c := range n.Content {
		b.ofEntries(c)
	}
}

// referTo looks at all texts within a node.
func (b *builder) referTo(n *yaml.Node, names func(text string) []string) {
	n = yamlplace.Plain(n)
	if n.Kind == yaml.ScalarNode {
		for _, name := range names(n.Value) {
			b.refer(name, n)
		}
	}
	for _, c := range n.Content {
		b.referTo(c, names)
	}
}

func (b *builder) refer(name string, n *yaml.Node) {
	if e, ok := b.all[name]; !ok && name != "name" || ok && e.value == n {
		return
	}
	if o, known := option(name); known && o.Secret {
		b.mistake(n, name, "texts are not secret", "a text would show the value of %s", name)
		return
	}
	b.refs[name] = true
}

// placeholders are what stands in braces in a text, in the way of Python's format: how many by number, and which by name.
func placeholders(text string) (count int, named []string, err error) {
	next := 0
	for i := 0; i < len(text); i++ {
		switch {
		case strings.HasPrefix(text[i:], "{{"), strings.HasPrefix(text[i:], "}}"):
			i++
		case text[i] == '}':
			return 0, nil, fmt.Errorf("a } closes nothing; as itself it is written }}")
		case text[i] == '{':
			end := closing(text[i:])
			if end < 0 {
				return 0, nil, fmt.Errorf("a { is not closed; as itself it is written {{")
			}
			field := text[i+1 : i+end]
			if cut := strings.IndexAny(field, "!:"); cut >= 0 {
				field = field[:cut]
			}
			if cut := strings.IndexAny(field, ".["); cut >= 0 {
				field = field[:cut]
			}
			switch n, err := strconv.Atoi(field); {
			case field == "":
				next++
				count = max(count, next)
			case err == nil:
				count = max(count, n+1)
			default:
				named = append(named, field)
			}
			i += end
		}
	}
	return count, named, nil
}

// closing returns where the brace closes that a text begins with, -1 when it does not.
func closing(text string) int {
	depth := 0
	for i := range text {
		switch text[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// format checks a text against its arguments.
func (b *builder) format(name string, template bool) {
	text := b.str(name)
	args, kw := b.has(name+"_args"), b.has(name+"_kw") && name == "alert_text"
	if !b.has(name) && (args || kw) && name == "alert_subject" {
		b.note(b.place(name+"_args"), name+"_args", "", "does nothing without %s", name)
	}
	if !b.has(name) || template || !args && !kw {
		return // without arguments it stays as it is
	}
	at := b.place(name)
	count, named, err := placeholders(text)
	if err != nil {
		b.mistake(at, name, "", "%v", err)
		return
	}
	given := len(b.list(name + "_args"))
	switch {
	case args && count > given:
		b.mistake(at, name, "add the missing ones to "+name+"_args", "has places for %d arguments, and there are %d", count, given)
	case args && count < given:
		b.note(b.place(name+"_args"), name+"_args", "", "has %d arguments, and the text has places for %d", given, count)
	case !args && count > 0:
		b.mistake(at, name, "add "+name+"_args", "has places for %d arguments, and there are none", count)
	}
	names := map[string]bool{}
	for _, v := range get[map[string]any](b, name+"_kw", nil) {
		names[fmt.Sprint(v)] = true
	}
	for _, n := range named {
		if !names[n] {
			b.mistake(at, name, "add it to alert_text_kw, or write {{ and }} for braces", "has a place for %q, which nothing is given for", n)
		}
	}
}

// SplitTexts divides the options of an entry of the alert list: texts say what is told, the others belong to who tells it.
func SplitTexts(options map[string]any) (texts, others map[string]any) {
	texts, others = map[string]any{}, map[string]any{}
	for name, v := range options {
		if o, known := option(name); known && o.isText() {
			texts[name] = v
		} else {
			others[name] = v
		}
	}
	return texts, others
}

// Reworded returns the rule as it is told by an entry of its alert list that has texts of its own: the texts of SplitTexts.
func (r *Rule) Reworded(texts map[string]any) *Rule {
	w := *r
	t := &w.Text
	for name, to := range map[string]*string{"alert_subject": &t.Subject, "alert_text": &t.Body, "alert_text_type": &t.BodyType, "alert_missing_value": &t.MissingValue,
		"summary_prefix": &t.SummaryPrefix, "summary_suffix": &t.SummarySuffix, "summary_table_type": &t.SummaryType} {
		if v, ok := texts[name].(string); ok {
			*to = v
		}
	}
	if t.BodyType == "alert_text" {
		t.BodyType = ""
	}
	for name, to := range map[string]*[]string{"alert_subject_args": &t.SubjectArgs, "alert_text_args": &t.BodyArgs, "summary_table_fields": &t.SummaryFields} {
		if list, ok := texts[name].([]any); ok {
			*to = make([]string, len(list))
			for i, v := range list {
				(*to)[i] = document.Text(v)
			}
		}
	}
	for name, to := range map[string]*int{"alert_subject_max_len": &t.SubjectMaxLen, "summary_table_max_rows": &t.SummaryMax} {
		if n, ok := document.Number(texts[name]); ok {
			*to = int(n)
		}
	}
	if kw, ok := texts["alert_text_kw"].(map[string]any); ok {
		t.BodyKw = kw
	}
	if root, ok := texts["jinja_root_name"].(string); ok {
		w.Values = maps.Clone(r.Values)
		if w.Values == nil {
			w.Values = map[string]any{}
		}
		w.Values["jinja_root_name"] = root
	}
	return &w
}

// wording checks what is told: the texts of the rule, and those that an entry of its alert list has of its own.
func (b *builder) wording() {
	if b.o.CheckTexts == nil {
		return
	}
	if option, err := b.o.CheckTexts(b.rule); err != nil {
		b.mistake(b.place(option), option, "", "%v", err)
		return
	}
	for i, whole := range b.whole {
		texts, _ := SplitTexts(whole)
		if len(texts) == 0 {
			continue
		}
		if option, err := b.o.CheckTexts(b.rule.Reworded(texts)); err != nil {
			b.mistake(b.entries[i], "alert."+b.rule.Alert[i].Type+"."+option, "", "%v", err)
		}
	}
}
