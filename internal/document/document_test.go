package document_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/document"
)

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var doc map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestAFieldIsFoundByItsNameOrByItsParts(t *testing.T) {
	t.Parallel()
	doc := parse(t, `{"a": {"b": {"c": 1}}, "x.y": {"z": "deep"}, "n": null, "l": [{"k": "first"}, 7], "m": {"o.p": 3}, "u": {"k": 2}, "u.k": 1}`)
	for name, want := range map[string]any{"a.b.c": json.Number("1"), "x.y.z": "deep", "n": nil, "l[0].k": "first", "l[1]": json.Number("7"), "m.o.p": json.Number("3"),
		"u.k": json.Number("1"), "a.b.c.keyword": json.Number("1")} {
		if got, ok := document.Get(doc, name); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, %v; want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "q", "a.q", "a.b.c.d", "n.x", "l[2]", "l[1].k", "a[0]"} {
		if got, ok := document.Get(doc, name); ok {
			t.Errorf("%q is there: %v", name, got)
		}
	}
}

func TestAFieldIsSetWhereItIsFound(t *testing.T) {
	t.Parallel()
	doc := parse(t, `{"a": {"b": 1}, "x.y": 2, "p.q": {"r": 3}}`)
	before := document.Clone(doc)
	for _, name := range []string{"a.b", "x.y", "p.q.r", "new.one"} {
		document.Set(doc, name, "set")
	}
	if want := (map[string]any{"a": map[string]any{"b": "set"}, "x.y": "set", "p.q": map[string]any{"r": "set"}, "new.one": "set"}); !reflect.DeepEqual(doc, want) {
		t.Errorf("the document is %v", doc)
	}
	if v := document.Value(before, "p.q.r"); v != json.Number("3") {
		t.Errorf("the copy has changed: %v", v)
	}
}

func TestValuesAreWrittenAndComparedAsPythonDoes(t *testing.T) {
	t.Parallel()
	doc := parse(t, `{"v": [null, true, "it's", "a\"b'c", 1, 1.0, 1.50, 1e20, 0.00001, ["x", 2], {"k": "v", "a": false}]}`)
	want := []string{"None", "True", "it's", `a"b'c`, "1", "1.0", "1.5", "1e+20", "1e-05", "['x', 2]", "{'a': False, 'k': 'v'}"}
	for i, v := range doc["v"].([]any) {
		if got := document.Text(v); got != want[i] {
			t.Errorf("%v is written %s, want %s", v, got, want[i])
		}
	}
	if document.Equal(json.Number("1"), "1") || !document.Equal(json.Number("1"), json.Number("1.0")) || document.Equal(nil, "None") ||
		document.Equal(json.Number("9007199254740993"), json.Number("9007199254740992")) {
		t.Error("values are compared otherwise")
	}
}
