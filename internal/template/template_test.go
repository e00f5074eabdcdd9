package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/template"
)

func TestATemplateFindsAllValuesUnderTheirRoots(t *testing.T) {
	t.Parallel()
	values := map[string]any{"a.b": "x", "n": json.Number("2"), "gone": nil}
	j, err := template.ParseJinja(`{{ _data['a.b'] }} {{ root['a.b'] }} {{ n + 1 }}{{ gone }}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Fill(values, "root", 100); err != nil || got != "x x 3" {
		t.Errorf("%q, %v", got, err)
	}
	if _, there := values[template.JinjaRoot]; there {
		t.Error("the values have been changed")
	}
}

func TestATemplateEndsWhereThereIsNoMoreRoom(t *testing.T) {
	t.Parallel()
	j, err := template.ParseJinja(`{% for i in range(10000) %}{{ i }} {% endfor %}`)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Fill(nil, "", 100); err != nil || len(got) > 200 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestATextThatCannotBeFilledInSaysWhy(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"{": "a single {", "{1}": "there are 1 arguments", "{x}": `nothing is named "x"`, "{0:d}": "is for numbers"} {
		if _, err := template.Format(text, []any{"a"}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"{% if %}", "{{ '%.1f' % n }}", "{% include '/etc/passwd' %}"} {
		j, err := template.ParseJinja(text)
		if err == nil {
			_, err = j.Fill(nil, "", 100)
		}
		if err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// A stack that is too deep cannot be recovered from.
func TestATemplateOfBracketsIsAnErrorAndNotTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{{ " + strings.Repeat("(", 2_000_000), "{{ " + strings.Repeat("(", 32_000) + " }}", strings.Repeat("{% if a %}", 300)} {
		if _, err := template.ParseJinja(text); err == nil || len(err.Error()) > 1000 {
			t.Errorf("%.20s...: %v", text, err)
		}
	}
}

func TestATemplateCannotComeBackToItself(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{% include '/text' %}", "{% extends '/text' %}", "{% import '/text' as x %}", "{% from '/text' import x %}", "{% block b %}{{ self.b() }}{% endblock %}", "{% call m() %}{% endcall %}",
		"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{%- macro a() -%}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", "{% macro m(f) %}{{ f(f) }}{% endmacro %}{{ m(m) }}", "{% macro m(x=m()) %}{% endmacro %}{{ m() }}",
		"{% macro m() %}{{ _data.f() }}{% endmacro %}{% set _data.f = m %}"} {
		if _, err := template.ParseJinja(text); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
	j, err := template.ParseJinja("{% macro row(a, m='row') %}[{{ a }} row]{% endmacro %}row {{ row(1) }}{{ row (2) }}")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.Fill(map[string]any{}, "", 1000); err != nil || got != "row [1 row][2 row]" {
		t.Errorf("%q, %v", got, err)
	}
}
