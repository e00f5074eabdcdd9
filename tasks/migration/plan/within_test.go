package plan_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stint-run/stint/tasks/migration/plan"
)

// withinCases are entries of a map, in whose expression ^ is where a mistake is; whether its place in the file can be told.
var withinCases = map[string]bool{
	`plain: trim(^nam) + 1`:                     true,
	`at_once: ^nam`:                             true,
	`unended: trim(name^`:                       true,
	`ünïcöde: trim(^nam)`:                       true,
	`umlaut: trim("é") + ^nam`:                  true,
	`{in_flow: trim(^nam)}`:                     true,
	`single: 'lookup("x", ^nam)'`:               true,
	`doubled: '''a'' + ^nam'`:                   true,
	`double: "lookup('x', ^nam)"`:               true,
	`escaped: "lookup(\"x\\y\", ^nam)"`:         true,
	`before_it: "^nam + '\u0041'"`:              true,
	`coded: "'\u0041' + ^nam"`:                  false,
	`tagged: !!str "x + ^nam"`:                  false,
	"folded: >\n        x +\n        ^nam\n":    false,
	"goes_on: x +\n        ^nam\n":              false,
	"begins: ^nam +\n        x\n":               true,
	"literal: |\n        x +\n          ^nam\n": true,
	"stripped: |-\n        'é' + ^nam\n":        true,
	"indented: |2\n            x + ^nam\n":      true,
}

func TestAProblemWithinAnExpressionIsWhereItStandsInTheFile(t *testing.T) {
	t.Parallel()
	for entry, exact := range withinCases {
		t.Run(entry, func(t *testing.T) {
			t.Parallel()
			text := "stages:\n  - name: a\n    from: {table: t}\n    map:\n      " + entry + "\n    to: {table: t}\n"
			if strings.HasPrefix(entry, "{") {
				text = strings.Replace(text, "map:\n      ", "map: ", 1)
			}
			before, after, _ := strings.Cut(text, "^")
			p, places, err := plan.Parse("p.yaml", []byte(before+after))
			if p == nil { // some of the expressions are wrong before their columns are known, too
				t.Fatal(err)
			}
			a := p.Stages[0].Map[0]
			in, _, found := strings.Cut(a.Expr, "nam")
			if strings.HasPrefix(after, "\n") || !found {
				in = a.Expr
			}
			line, column := end(in)
			got := places.Locate(plan.Problems{plan.Within("stages[0].map."+a.Column, line, column, "no column nam", "")})[0]
			if l, c := end(before); exact && (got.Line != l || got.Column != c || got.Message != "no column nam") {
				t.Errorf("at %d:%d, want %d:%d: %s", got.Line, got.Column, l, c, got)
			}
			if !exact && (got.Line != 5 || got.Column != 7 || !strings.HasSuffix(got.Message, fmt.Sprintf("column %d: no column nam", column))) {
				t.Errorf("at %d:%d, want the entry: %s", got.Line, got.Column, got)
			}
		})
	}
}

// end returns the line and the column behind a text.
func end(s string) (line, column int) {
	return 1 + strings.Count(s, "\n"), 1 + utf8.RuneCountInString(s[strings.LastIndex(s, "\n")+1:])
}
