package message_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/message"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// What is wanted here was printed by Python 3.11, texttable 1.6.7 and Jinja2 3.1.2.

func TestValuesAreFormattedAsPythonDoes(t *testing.T) {
	t.Parallel()
	values := match(t, `{"n": 1234567, "f": 12.5, "neg": -2.25, "share": 0.6667, "big": 1e20, "near": 99.999, "one": 1.0, "s": "web-1", "yes": true, "null": null, "list": ["a", 1], "map": {"k": "v"}}`)
	for _, c := range []struct{ text, arg, want string }{
		{"{0}", "n", "1234567"}, {"{0:,}", "n", "1,234,567"}, {"{0:_}", "n", "1_234_567"}, {"{0:d}", "n", "1234567"}, {"{0:010}", "n", "0001234567"}, {"{0:x}", "n", "12d687"}, {"{0:#X}", "n", "0X12D687"},
		{"{0:e}", "n", "1.234567e+06"}, {"{0:.2f}", "n", "1234567.00"}, {"{0:+d}", "n", "+1234567"}, {"{0:<10}|", "n", "1234567   |"}, {"{0:*^11}", "n", "**1234567**"},
		{"{0:.1f}", "f", "12.5"}, {"{0:08.2f}", "f", "00012.50"}, {"{0:<08}", "f", "12.50000"}, {"{0:g}", "f", "12.5"}, {"{0:.0f}", "f", "12"}, {"{0:.3}", "near", "1e+02"}, {"{0:.3}", "one", "1.0"}, {"{0:n}", "one", "1"},
		{"{0:=+8}", "neg", "-   2.25"}, {"{0: }", "f", " 12.5"}, {"{0:.1%}", "share", "66.7%"}, {"{0}", "big", "1e+20"}, {"{0:,.2f}", "big", "100,000,000,000,000,000,000.00"},
		{"{0:>8}", "s", "   web-1"}, {"{0:.3}", "s", "web"}, {"{0!r:>9}", "s", "  'web-1'"}, {"{0}", "yes", "True"}, {"{0}", "null", "<MISSING VALUE>"}, {"{0}", "list", "['a', 1]"}, {"{0[0]}", "list", "a"}, {"{0[k]}", "map", "v"},
		{"{} {{{}}}", "s", "web-1 {web-1}"}, {"{0:d}", "f", ""}, {"{0:d}", "s", ""}, {"{0:.3}", "n", ""}, {"{0:q}", "n", ""}, {"{0.x}", "map", ""}, {"{1000}", "n", ""}, {"}", "n", ""}, {"{0:9999}", "n", ""},
	} {
		r := ruleOf(rule.Any, func(r *rule.Rule) {
			r.Text.Body, r.Text.BodyArgs, r.Text.BodyType = c.text, []string{c.arg, c.arg}, message.TextOnly
		})
		_, text := message.Render(r, []condition.Match{values}, message.Extra{})
		if c.want == "" {
			if !strings.HasPrefix(text, c.text+"\n[this text could not be filled in: ") {
				t.Errorf("%s of %s is %q, want an error", c.text, c.arg, text)
			}
		} else if text != c.want+"\n\n" {
			t.Errorf("%s of %s is %q, want %q", c.text, c.arg, text, c.want)
		}
	}
}

func TestAWideTableIsWrappedAsTexttableDoes(t *testing.T) {
	t.Parallel()
	r := ruleOf(rule.Any, func(r *rule.Rule) {
		r.Aggregation.For = time.Minute
		r.Text.SummaryFields, r.Text.BodyType = []string{"a", "b", "c", "d"}, message.SummaryOnly
	})
	_, text := message.Render(r, []condition.Match{
		{"a": "https://shop.example.com/x/y/z tail  ", "b": "a\tb 12.5", "c": "https://shop.example.com/x/y/z Überlänge", "d": "state-of-the-art thing"},
		{"a": "non-breaking-hyphen-words-that-go-on-and-on", "b": "https://shop.example.com/x/y/z a\tb", "c": "line1\nline2 non-breaking-hyphen-words-that-go-on-and-on",
			"d": "https://shop.example.com/x/y/z https://shop.example.com/x/y/z"},
	}, message.Extra{})
	const want = `+-----------------+-----------------+-----------------+----------------+-------+
|        a        |        b        |        c        |       d        | count |
+=================+=================+=================+================+=======+
| https://shop.ex | a       b 12.5  | https://shop.ex | state-of-the-  | 1     |
| ample.com/x/y/z |                 | ample.com/x/y/z | art thing      |       |
| tail            |                 | Überlänge       |                |       |
+-----------------+-----------------+-----------------+----------------+-------+
| non-breaking-   | https://shop.ex | line1           | https://shop.e | 1     |
| hyphen-words-   | ample.com/x/y/z | line2 non-      | xample.com/x/y |       |
| that-go-on-and- | a        b      | breaking-       | /z https://sho |       |
| on              |                 | hyphen-words-   | p.example.com/ |       |
|                 |                 | that-go-on-and- | x/y/z          |       |
|                 |                 | on              |                |       |
+-----------------+-----------------+-----------------+----------------+-------+
`
	if _, table, _ := strings.Cut(text, "\n\n"); table != want+"\n" {
		t.Errorf("got\n%s\nwant\n%s", table, want)
	}
}

func TestTemplatesAreFilledInAsJinjaDoes(t *testing.T) {
	t.Parallel()
	values := match(t, `{"host": "web-1", "took": 12.5, "n": 3, "yes": true, "user": {"name": "bob", "tags": ["a", "b"], "geo": {"c": "AU"}}, "@timestamp": "2026-11-26T08:00:30Z", "a.b": "dotted",
		"list": [{"k": 1, "v": "x"}, {"k": 2, "v": "y"}]}`)
	for text, want := range map[string]string{
		"{{ took }} {{ n }} {{ yes }} {{ user.tags }}":                                                                     "12.5 3 True ['a', 'b']",
		"{{ _data['@timestamp'] }} {{ _data['a.b'] }} {{ user.geo.c | lower }}":                                            "2026-11-26T08:00:30Z dotted au",
		"{{ gone | default('x') }}{{ gone }} {{ user.tags | join(', ') }} {{ user.tags | length }}":                        "x a, b 2",
		"{{ took | round(1) }} {{ took | int }} {{ '%s is %d' | format(host, n) }}":                                        "12.5 12 web-1 is 3",
		"{% for i in list %}{{ loop.index }}:{{ i.k }}={{ i.v }}{% if not loop.last %}, {% endif %}{% endfor %}":           "1:1=x, 2:2=y",
		"{% set x = n * 2 %}{{ x }} {{ n / 2 }} {{ n // 2 }} {{ host[:3] }} {{ host ~ '-' ~ n }} {{ host.upper() }}":       "6 1.5 1 web web-1-3 WEB-1",
		"{{ list | selectattr('k','equalto',2) | map(attribute='v') | first }} {{ user.get('name') }} {{ 'web' in host }}": "y bob True",
		"{%- if yes -%} x {%- endif %} {# nothing #}{% for i in range(3) %}{{ i }}{% endfor %}":                            "x 012",
		"line\n{% if yes %}\nin\n{% endif %}\nend":                                                                         "line\n\nin\n\nend",
	} {
		r := ruleOf(rule.Any, func(r *rule.Rule) { r.Text.Body, r.Text.BodyType = text, message.Jinja })
		if _, got := message.Render(r, []condition.Match{values}, message.Extra{}); got != want+"\n\n" {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
