package flatfile

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDatesAreKnownAsTheParserKnowsThem(t *testing.T) {
	t.Parallel()
	part := func(sep string, words ...string) *rapid.Generator[string] {
		return rapid.Map(rapid.SampledFrom(words), func(s string) string { return sep + s })
	}
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(sep string, words ...string) string { return part(sep, words...).Draw(rt, sep) }
		day := draw("", "2024", "0000", "2023", "1900", "2000", "20x4") + draw("-", "02", "00", "12", "13", "1/") + draw("-", "01", "00", "28", "29", "30", "31", "3", "2 ")
		clock := draw("", "00", "23", "24", "1", "0x") + draw(":", "00", "59", "60", "5") + draw(":", "00", "59", "60", "1a")
		rest := draw("", "", ".5", ",123456789", "Z", ".1Z", "+02:00", "-25:00", "z", " ")
		if _, err := time.Parse(time.DateOnly, day); isDate(day) != (err == nil) {
			rt.Fatalf("the date %q: %v", day, err)
		}
		for _, zone := range []bool{false, true} {
			layout := map[bool]string{false: "2006-01-02 15:04:05", true: "2006-01-02 15:04:05Z07:00"}[zone]
			text := day + " " + clock + rest
			_, err := time.Parse(layout, text)
			want := err == nil && len(text) >= 19 && text[10] == ' '
			if isTime(text, zone) != want {
				rt.Fatalf("the time %q, with a zone %v: %v", text, zone, err)
			}
			if withT := day + "T" + clock + rest; isTime(withT, zone) != want {
				rt.Fatalf("the time %q, with a zone %v: %v", withT, zone, err)
			}
		}
	})
}

func TestDecimals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"0": true, "-0": true, "0.5": true, "-12": true, "3.140": true, "123456789012345678901234567890.5": true, "": false,
		"-": false, ".": false, ".5": false, "-.5": false, "5.": false, "1.2.3": false, "00": false, "02139": false, "00.5": false, "+1": false, "1e5": false,
		" 1": false, "1,5": false, "--1": false, "0.0": true} {
		if isDecimal(text) != want {
			t.Errorf("%q is a decimal: %v", text, !want)
		}
	}
}
