package flatfile

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// FuzzJSONText holds that the same text is JSON for us as for encoding/json, and that the members are those that it finds.
func FuzzJSONText(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[{}, [] ,"\u00e9\\"]}`, `{"a":-0.5e+7 }`, `{"a":01}`, `{"a":1,}`, `{,}`, `{"a" 1}`, `{"a":tru}`, `"x"`, `{"a":"\x"}`, `{"":{"":[null,true,false]}} `,
		"{\"a\":\"\t\"}", `{"a":"\ud83d\ude00\ud83d"}`, `{"a":"\u12"}`, `{"a":1}{`, `{"a":-}`, `{"a":1.}`, `{"a":1e}`, strings.Repeat("[", 10_001), `{"a":}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		if utf8.Valid(row) {
			compareJSON(t, row)
		}
	})
}

func TestWhatIsJSONForEncodingJSONIsJSONForUs(t *testing.T) {
	t.Parallel()
	piece := rapid.SampledFrom([]string{"{", "}", "[", "]", ",", ":", `"`, `"a"`, `"b":`, `\`, `\u0041`, `\ud800`, `\n`, "0", "12", "-", ".", "e", "+", "true", "null", "false", " ", "\t", "é"})
	rapid.Check(t, func(rt *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(rt, "text"), "")
		for _, row := range []string{text, "{" + text + "}", `{"a":` + text + "}", `{"a":"` + text + `"}`, `{"a":[` + text + "]}"} {
			compareJSON(rt, []byte(row))
		}
	})
}

func compareJSON(t interface {
	Fatalf(string, ...any)
	Helper()
}, row []byte) {
	t.Helper()
	var want map[string]json.RawMessage
	valid := json.Valid(row)
	object := valid && strings.HasPrefix(strings.TrimLeft(string(row), " \t\r\n"), "{")
	r := &jsonReader{}
	err := r.members(row)
	if (err == nil) != object {
		t.Fatalf("%q: %v, while for encoding/json it is an object: %v", row, err, object)
	}
	if err != nil {
		if got := strings.Contains(err.Error(), "no object"); got != valid {
			t.Fatalf("%q: %v, while for encoding/json it is valid: %v", row, err, valid)
		}
		return
	}
	if err := json.Unmarshal(row, &want); err != nil {
		t.Fatalf("%q: %v", row, err)
	}
	last := map[string]string{} // of members of the same name encoding/json takes the last
	for _, m := range r.found {
		last[strings.ToValidUTF8(string(m.name), "\ufffd")] = string(m.value)
	}
	for name, value := range want {
		if got, ok := last[name]; (!ok || got != string(value)) && !strings.ContainsRune(name, utf8.RuneError) {
			t.Fatalf("%q: the member %q is %q, want %q", row, name, got, value)
		}
	}
}
