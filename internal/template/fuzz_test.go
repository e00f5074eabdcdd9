package template_test

import (
	"encoding/json"
	"regexp"
	"testing"
	"unicode/utf8"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/template"
)

// many is what counts for as long as its text says.
var many = regexp.MustCompile(`range|\*|lipsum|random|\d{4}|e\d`)

// FuzzAnyTextIsFilledInOrSaysWhy holds that both ways of filling in end, in a text or in words, the same each time, and that neither
// makes a long text of a short one.
func FuzzAnyTextIsFilledInOrSaysWhy(f *testing.F) {
	for _, text := range []string{"{0} {1[b]} {name:>10.2f} {{ }}", "{!r:^40s}", "{0:+,.3e} {0:%} {0:#x}", "{0:1000000}", "{0:.99999999}", "{a.b}", "{-1}", "{ }", "{{ a }} {% for x in l %}{{ loop.index }}{% endfor %}", "{{ _data['a.b'] | default('x') | upper }}", "{% set a = 'x' * 100000 %}{{ a * 100000 }}",
		"{{ 'a' | center(100) }}", "{{ 1 / 0 }}", "{{ m() }}{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1) }}", "{% block b %}{{ self.b() }}{% endblock %}", "{% extends '/text' %}", "{% call m() %}{% endcall %}", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{% include '/text' %}", "{% raw %}{{ {% endraw %}", "{{ range(0, 10, 0) }}", "{{ l | batch(0) }}", "{{ 'x' | replace('', 'y') | wordwrap(0) }}", "{# #}{{- a -}}", "{{ 'a' % 1 }}"} {
		f.Add(text, `{"a": 1.5, "name": "x", "l": [1, {"b": null}], "a.b": true}`)
	}
	f.Fuzz(func(t *testing.T, text, values string) {
		var v map[string]any
		if len(text) > 2000 || document.Decode([]byte(values), &v) != nil || !utf8.ValidString(text) {
			t.Skip()
		}
		once, err := template.Format(text, []any{v["a"], v["l"]}, v)
		again, errAgain := template.Format(text, []any{v["a"], v["l"]}, v)
		if once != again || (err == nil) != (errAgain == nil) || len(once) > 4<<20 || !utf8.ValidString(once) {
			t.Errorf("%q is %d bytes, %v and then %d bytes, %v", text, len(once), err, len(again), errAgain)
		}
		if many.MatchString(text) { // such texts may count for long, or differ
			return
		}
		j, err := template.ParseJinja(text)
		if err != nil {
			return
		}
		if filled, err := j.Fill(document.Clone(v), "r", 10_000); err == nil && len(filled) > 4<<20 {
			t.Errorf("%q makes %d bytes", text, len(filled))
		}
		if _, err := json.Marshal(v); err != nil {
			t.Errorf("the values have been changed: %v", err)
		}
	})
}
