package httpsink

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

var sample = map[string]any{
	"name": `O'Neil & "Sons"/x?y=1#z`, "n": json.Number("12345678901234567890"), "f": 1234567.5, "big": 1e21, "null": nil, "empty": "", "dots": "..",
	"yes": true, "no": false, "at": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "list": []any{1, "a"}, "nested": map[string]any{"a": "ä"}, "lines": "a\r\nX-Evil: 1",
}

func TestATemplateWritesValuesSoThatTheyAreNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		place      place
		text, want string
	}{
		{inPath, "/v1/{{ .name }}", "/v1/O%27Neil%20&%20%22Sons%22%2Fx%3Fy=1%23z"},
		{inPath, "/v1/{{ .name | urlpath }}", "/v1/O%27Neil%20&%20%22Sons%22%2Fx%3Fy=1%23z"},
		{inPath, "/v1?q={{ .name }}&n={{ .n }}", "/v1?q=O%27Neil+%26+%22Sons%22%2Fx%3Fy%3D1%23z&n=12345678901234567890"},
		{inPath, "/v1?q={{ .name | urlquery }}", "/v1?q=O%27Neil+%26+%22Sons%22%2Fx%3Fy%3D1%23z"},
		{inPath, "/v1?q={{ .list | json }}", "/v1?q=%5B1%2C%22a%22%5D"},
		{inPath, "/{{ .f }}/{{ .big }}/{{ .yes }}/{{ .at }}", "/1234567.5/1000000000000000000000/true/2026-01-02T03:04:05Z"},
		{inPath, "/{{ .nested.a | upper }}", "/%C3%84"},
		{inPath, `/{{ .null | default "none" }}/{{ .empty | default "none" | upper }}/{{ .missing | default 7 }}/{{ default "x" .missing }}`, "/none/NONE/7/x"},
		{inPath, "/a{{ if .missing }}/b{{ else }}/c{{ end }}{{ if .yes }}/d{{ end }}{{ if .no }}/e{{ end }}", "/a/c/d"},
		{inHeader, "v={{ .name }}", `v=O'Neil & "Sons"/x?y=1#z`},
		{inJSON, `{"a": {{ .name }}, "b": "{{ .name }}!", "c": {{ .n }}, "d": {{ .null }}, "e": {{ .list }}, "f": {{ .nested }}}`,
			`{"a": "O'Neil \u0026 \"Sons\"/x?y=1#z", "b": "O'Neil \u0026 \"Sons\"/x?y=1#z!", "c": 12345678901234567890, "d": null, "e": [1,"a"], "f": {"a":"ä"}}`},
		{inJSON, `{"a": {{ .name | json }}, "text": "{{ .list | json }}", "q": "\"{{ .n }}\""}`, `{"a": "O'Neil \u0026 \"Sons\"/x?y=1#z", "text": "[1,\"a\"]", "q": "\"12345678901234567890\""}`},
		{inText, "<n>{{ .n }}</n>", "<n>12345678901234567890</n>"},
	} {
		parsed, err := parseTemplate(c.text, c.place)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got, err := parsed.render(sample)
		if err != nil || got != c.want {
			t.Errorf("%s\n gave %s %v\n want %s", c.text, got, err, c.want)
		}
		if c.place == inJSON && !json.Valid([]byte(got)) {
			t.Errorf("%s gave no JSON: %s", c.text, got)
		}
	}
}

func TestARecordThatATemplateCannotWriteIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		place      place
		text, want string
	}{
		{inPath, "/{{ .missing }}", `the record has no field "missing"`},
		{inPath, "/{{ .null }}", "it is null"},
		{inPath, "/{{ .null.deeper }}", "no value"},
		{inPath, "/{{ .empty }}", "cannot be a part of a path"},
		{inPath, "/{{ .dots }}", "cannot be a part of a path"},
		{inPath, "/{{ .dots | urlpath }}", "cannot be a part of a path"},
		{inPath, "/{{ .list }}", "not a single value"},
		{inHeader, "{{ .lines }}", "control characters"},
		{inJSON, `{"a": {{ .missing }}}`, "has no field"},
		{inJSON, `"{{ .nested }}"`, "not a single value"},
	} {
		parsed, err := parseTemplate(c.text, c.place)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got, err := parsed.render(sample); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s gave %q and %v, want %q", c.text, got, err, c.want)
		}
	}
	parsed, _ := parseTemplate("/{{ .missing }}", inPath)
	if _, err := parsed.render(sample); !errors.Is(err, errNoValue) {
		t.Errorf("a missing field gave %v", err)
	}
}

func TestWhatATemplateDoesNotSupportIsFoundWhenItIsRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"/{{ .a":                                       "unclosed action",
		"/{{ nosuch .a }}":                             `function "nosuch" not defined`,
		"/{{ printf .a }}":                             `function "printf" not defined`,
		"/{{ range .a }}x{{ end }}":                    "is not supported",
		"/{{ with .a }}x{{ end }}":                     "is not supported",
		"/{{ $x := .a }}":                              "variables are not supported",
		`/{{ define "x" }}y{{ end }}`:                  "define is not supported",
		`/{{ template "x" }}`:                          "is not supported",
		"/{{ .a | default }}":                          "default takes 2 value(s), it got 1",
		"/{{ lower .a .b }}":                           "lower takes 1 value(s), it got 2",
		"/{{ .a | .b }}":                               "is no function",
		"/{{ lower (upper .a) }}":                      "is neither a field",
		"/{{ .a.b.C 1 }}":                              "is no function",
		`{"a": {{ if .a }}"{{ end }}x"}`:               "a quote is opened in one branch",
		`/{{ .a | default .b | nosuch }}`:              "not defined",
		`/{{ if .a }}{{ range .b }}{{ end }}{{ end }}`: "is not supported",
	} {
		where := inPath
		if strings.HasPrefix(text, "{") {
			where = inJSON
		}
		if _, err := parseTemplate(text, where); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// A value that holds whatever it may must never add a member to a body or a part to a path.
func FuzzAValueStaysAValue(f *testing.F) {
	f.Add(`","admin":true,"x":"`)
	f.Add(`a/../b?c#d`)
	body, err := parseTemplate(`{"a": "x{{ .v }}y", "b": {{ .v }}}`, inJSON)
	if err != nil {
		f.Fatal(err)
	}
	path, err := parseTemplate(`/v1/x{{ .v }}/y?q={{ .v }}&z=1`, inPath)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, v string) {
		fields := map[string]any{"v": v}
		text, err := body.render(fields)
		var got map[string]string
		if err != nil || json.Unmarshal([]byte(text), &got) != nil || len(got) != 2 || got["a"] != "x"+got["b"]+"y" {
			t.Errorf("%q made the body %s (%v)", v, text, err)
		}
		text, err = path.render(fields)
		if err == nil && (strings.Count(text, "/") != 3 || strings.Count(text, "?") != 1 || strings.Count(text, "&") > 1+strings.Count(strings.SplitN(text, "?", 2)[0], "&")) {
			t.Errorf("%q made the path %s", v, text)
		}
	})
}
