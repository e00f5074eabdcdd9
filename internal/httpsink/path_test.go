package httpsink

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestAPathFindsValuesAndTellsEmptyFromAbsent(t *testing.T) {
	t.Parallel()
	const doc = `{"id": 123456789012345678901234567890, "data": [{"id": "a"}, {"id": 2.50}], "none": [], "null": null, "odd name": {"x.y": true}}`
	for _, c := range []struct {
		path, want string // the values as JSON, or "absent"
	}{
		{"$.id", `[123456789012345678901234567890]`},
		{"$.data[0].id", `["a"]`},
		{"$.data[1].id", `[2.50]`},
		{"$.data[2].id", `null`},
		{"$.data[*].id", `["a",2.50]`},
		{"$.none[0].id", `null`},
		{"$.none[*].id", `null`},
		{"$.null.id", `null`},
		{"$.null", `[null]`},
		{"$['odd name']['x.y']", `[true]`},
		{`$["odd name"]["x.y"]`, `[true]`},
		{"$.missing", "absent"},
		{"$.data.id", "absent"},
		{"$.id[0]", "absent"},
		{"$.data[*].missing", "absent"},
	} {
		v, err := decode([]byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		p, err := parsePath(c.path)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		found, err := p.find(v)
		text, _ := json.Marshal(found)
		if errors.Is(err, errAbsent) {
			text = []byte("absent")
		}
		if string(text) != c.want {
			t.Errorf("%s found %s, want %s", c.path, text, c.want)
		}
	}
}

func TestAPathThatIsWrongSaysWhere(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"":             "does not begin with $",
		"data.id":      "does not begin with $",
		"$.":           "character 2",
		"$..id":        "character 2",
		"$.a b":        "quote one that is unusual",
		"$.data[-1]":   "[-1] is neither",
		"$.data[x]":    "[x] is neither",
		"$.data[0":     "[ without ]",
		"$['a]":        "has to end with",
		"$['']":        "has to end with",
		"$.data[0]id":  "character 10",
		"$.data[?(1)]": "is neither a number",
	} {
		if _, err := parsePath(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", path, err, want)
		}
	}
}

func FuzzAPathNeverPanics(f *testing.F) {
	f.Add("$.a[0]['b'].c[*]", `{"a": [{"b": {"c": [1]}}]}`)
	f.Fuzz(func(t *testing.T, path, doc string) {
		p, err := parsePath(path)
		v, broken := decode([]byte(doc))
		if err != nil || broken != nil {
			return
		}
		_, _ = p.find(v)
	})
}
