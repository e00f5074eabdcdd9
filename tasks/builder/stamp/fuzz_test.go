package stamp

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzAStampedTextIsTheTextWithItsVersion holds that a file comes out of its encoding as it went in, that stamping twice is stamping once,
// and that a package.json stays one.
func FuzzAStampedTextIsTheTextWithItsVersion(f *testing.F) {
	names := []string{"package.json", "a.rc", "AssemblyInfo.cs", "AssemblyInfo.vb"}
	for i := range names {
		for _, seed := range []string{`{"version": "1.0.0", "packages": {"": {"version": "1"}}, "dependencies": {"a": {"version": "2"}}}`, "FILEVERSION 1,0,0,1\r\nVALUE \"ProductVersion\", \"1.0\\0\"\r\n// FILEVERSION 9\r\n", "[assembly: AssemblyVersion(\"1.0\")]\n/* AssemblyFileVersion(\"1\") */", "' AssemblyVersion(\"1\")\n<Assembly: AssemblyInformationalVersion(@\"1\"\"2\")>",
			"\xff\xfe{\x00}\x00", "\xfe\xff\x00{", "\xef\xbb\xbf{}", "{\"version\":\"\\u0031\"}", "[", "\"", "/*", "a\x00\x00"} {
			f.Add(i, []byte(seed), `VERSION "(.*)"`)
		}
	}
	v := Values{Version: "1.5.57-br.b-x.g01234567", File: [4]int{1, 5, 57, 0}}
	f.Fuzz(func(t *testing.T, which int, content []byte, pattern string) {
		if which < 0 || which >= len(names) {
			t.Skip()
		}
		if text, e, err := decode(content); err == nil && !bytes.Equal(e.encode(text), content) {
			t.Errorf("%q comes back as %q", content, e.encode(text))
		}
		out, err := stampText(content, []kind{kindOf(names[which])}, v)
		if err == nil {
			again, err := stampText(out, []kind{kindOf(names[which])}, v)
			if err != nil || !bytes.Equal(again, out) {
				t.Errorf("%q became %q, and then %q: %v", content, out, again, err)
			}
			if which == 0 && json.Valid(content) && !json.Valid(out) {
				t.Errorf("%q became %q", content, out)
			}
		}
		target, err := Parse("x=" + pattern)
		if err != nil || len(pattern) > 200 {
			return
		}
		if out, err := stampText(content, []kind{target.kind}, v); err == nil && len(out) > len(content)+4*60*(len(content)+1)*(1+strings.Count(pattern, "(")) {
			t.Errorf("%q made %d bytes", pattern, len(out))
		}
	})
}

func TestAPackageOfTooManyLevelsIsAnErrorAndNotTheEndOfTheProcess(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("[", 20_000_000), strings.Repeat(`{"a":`, 4_000_000)} {
		if _, err := stampText([]byte(text), []kind{inPackage}, Values{Version: "1.0.0"}); err == nil || !strings.Contains(err.Error(), "levels") {
			t.Errorf("%.20s...: %v", text, err)
		}
	}
}
