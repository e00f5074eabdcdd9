package notify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/template"
)

// missing stands for a field that is not there, in texts that are put together here.
const missing = "<MISSING VALUE>"

// templateMost is how long a text may be that a template makes, in bytes.
const templateMost = 64 << 10

// first is the match that a message is about; one that has none is about nothing that could be looked up.
func (m Message) first() map[string]any {
	if len(m.Matches) == 0 {
		return nil
	}
	return m.Matches[0]
}

// look returns a field of a match, or else what the rule knows under the name; nil where neither has it.
func (s Spec) look(match map[string]any, name string) any {
	if v := document.Value(match, name); v != nil {
		return v
	}
	return s.Known[name]
}

// shown is a field as a text.
func (s Spec) shown(match map[string]any, name string) string {
	if v := s.look(match, name); v != nil {
		return document.Text(v)
	}
	return missing
}

// filled is an option that is a text, with the fields filled in that the option with _args names. A text that cannot be filled in stays
// as it is: a message with an ugly text is better than none.
func (s Spec) filled(option string, match map[string]any) string {
	text, _ := s.text(option) // checked when the channel was opened
	args, _ := s.texts(option + "_args")
	if text == "" || len(args) == 0 {
		return text
	}
	values := make([]any, len(args))
	for i, name := range args {
		values[i] = s.shown(match, name)
	}
	out, err := template.Format(text, values, nil)
	if err != nil {
		return text
	}
	return out
}

// named is an option that is a text, with {field} filled in. A text that cannot be filled in stays as it is.
func (s Spec) named(option string, match map[string]any) string {
	text, _ := s.text(option)
	return named(text, match)
}

func named(text string, match map[string]any) string {
	if out, ok := filledWhole(text, match); ok {
		return out
	}
	return text
}

// filledWhole fills {field} in, and reports whether all of them were there.
func filledWhole(text string, values map[string]any) (string, bool) {
	out, err := template.Format(text, nil, values)
	return out, err == nil
}

// object returns an option that is names with values; nil where there is none.
func (s Spec) object(option string) (object, error) {
	o, ok := s.Options[option].(map[string]any)
	if s.Options[option] != nil && !ok {
		return nil, fmt.Errorf("the option %s wants names and values", option)
	}
	return o, nil
}

// flag returns an option that is true or false.
func (s Spec) flag(option string, otherwise bool) (bool, error) {
	switch v := s.Options[option].(type) {
	case nil:
		return otherwise, nil
	case bool:
		return v, nil
	case string:
		if v == "true" || v == "false" {
			return v == "true", nil
		}
	}
	return false, fmt.Errorf("the option %s is true or false", option)
}

// fact is a field of the match that is shown beside a message.
type fact struct {
	title, value string
	short        bool
}

// facts reads an option that is a list of {title or name, value, short}, and of {title, value, args}.
func (s Spec) facts(option string) ([]map[string]any, error) {
	wrong := fmt.Errorf("the option %s wants a list of {title, value}", option)
	list, ok := s.Options[option].([]any)
	if !ok && s.Options[option] != nil {
		return nil, wrong
	}
	var out []map[string]any
	for _, x := range list {
		o, ok := x.(map[string]any)
		if !ok || o["title"] == nil && o["name"] == nil {
			return nil, wrong
		}
		out = append(out, o)
	}
	return out, nil
}

// factsOf are the facts of an option for a match. itself: a value that is no field of the match stands for itself.
func (s Spec) factsOf(option string, match map[string]any, itself bool) []fact {
	list, _ := s.facts(option)
	out := make([]fact, 0, len(list))
	for _, o := range list {
		f := fact{title: textOf(o["title"])}
		if f.title == "" {
			f.title = textOf(o["name"])
		}
		f.short, _ = o["short"].(bool)
		f.value = textOf(o["value"])
		if args, ok := o["args"].([]any); ok {
			f.value = s.fillArgs(f.value, args, match)
		} else if v := s.look(match, f.value); v != nil {
			f.value = document.Text(v)
		} else if !itself {
			f.value = missing
		}
		f.value = cut(f.value, 1000)
		out = append(out, f)
	}
	return out
}

func (s Spec) fillArgs(text string, args []any, match map[string]any) string {
	values := make([]any, len(args))
	for i, a := range args {
		values[i] = s.shown(match, textOf(a))
	}
	out, err := template.Format(text, values, nil)
	if err != nil {
		return text
	}
	return out
}

func textOf(v any) string {
	if v == nil {
		return ""
	}
	return document.Text(v)
}

// textOptions checks that options are texts, or may be filled in as such; those that are something else are named.
func (s Spec) textOptions(others ...string) error {
	for option := range s.Options {
		if slices.Contains(others, option) {
			continue
		}
		if _, err := s.texts(option); err != nil {
			return err
		}
	}
	return nil
}

// root is the name by which templates call the whole of a match, as the rule has it; "" is none but template.JinjaRoot.
func (s Spec) root() string {
	name, _ := s.Known["jinja_root_name"].(string)
	return name
}

// jinja reads a template.
func jinja(text string) (template.Jinja, error) {
	t, err := template.ParseJinja(text)
	if err != nil {
		return t, errors.New("the template cannot be read: " + err.Error())
	}
	return t, nil
}
