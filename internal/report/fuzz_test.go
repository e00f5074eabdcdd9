package report

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stint-run/stint/client/wire"
)

// FuzzAReportHasOneFormThatItsSealFits holds that JSON has one canonical form, that the seal of a report does not depend on how it is
// written, and that nothing of a report moves what stands beside it when it is shown.
func FuzzAReportHasOneFormThatItsSealFits(f *testing.F) {
	for _, seed := range []string{`{"b":1,"a":[1.0,1e21,-0,"\u2028é\ud83d\ude00"]}`, `{"a":1,"a":2}`, `{"job":{"id":"x","kind":"test"},"digest":"x"}`, `1e400`, `"\ud800"`, `{"\u0000":null}`, `[[[]]]`, `12345678901234567890`, `{} {}`, "\xff", `{"notes":["\u001b[2J","\u202e"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		once, err := Canonical(text)
		if err != nil {
			return
		}
		twice, err := Canonical(once)
		if err != nil || !bytes.Equal(once, twice) || !json.Valid(once) || !json.Valid(text) {
			t.Errorf("%q is %q, and then %q: %v", text, once, twice, err)
		}
		var spaced bytes.Buffer
		if json.Indent(&spaced, text, "", "\t") == nil {
			a, errA := Digest(text)
			b, errB := Digest(spaced.Bytes())
			if a != b || (errA == nil) != (errB == nil) {
				t.Errorf("%q has the seal %s, and spaced %s: %v, %v", text, a, b, errA, errB)
			}
		}
		var r wire.Report
		if json.Unmarshal(text, &r) != nil || r.Job == nil { // the server makes none without its job
			return
		}
		for _, form := range Formats {
			out, err := Render(&r, form)
			if err != nil {
				continue
			}
			if form != JSON && (!utf8.Valid(out) || bytes.ContainsFunc(out, func(r rune) bool {
				return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
			})) {
				t.Errorf("%s of %q is %q", form, text, out)
			}
		}
	})
}
