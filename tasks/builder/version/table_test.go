package version_test

import (
	"strings"
	"testing"

	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/builder/version"
)

func checked(t *testing.T, text string) []version.Result {
	t.Helper()
	table, err := version.ReadTable([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return table.Check()
}

const facts = `"in": {"base": "1.5", "ci": true, "counter": 57, "ref": "refs/heads/main", "default": "main", "sha": "` + sha + `"}`

func TestARowThatDiffersSaysWhatAndHow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ row, want string }{
		{facts + `, "out": {"version": "1.5.58"}`, `version: got "1.5.57", want "1.5.58"`},
		{facts + `, "out": {"version": "1.5.57", "channel": "branch"}`, `channel: got "release", want "branch"`},
		{facts + `, "out": {"err": "base_invalid"}`, `err: got the version 1.5.57, want the error base_invalid`},
		{facts + `, "out": {"versoin": "1.5.57"}`, `versoin: a version has nothing of this name`},
		{`"in": {"base": "x"}, "out": {"version": "1.5.57"}`, `version: got the error base_invalid, want "1.5.57"`},
		{`"in": {"base": "x"}, "out": {"err": "counter_missing"}`, `err: got "base_invalid", want "counter_missing"`},
		{`"in": {"base": "1.5", "counter": "57"}, "out": {"err": "x"}`, `in.counter: "57" cannot be read`},
		{`"in": {"base": "1.5", "counter": 57.5}, "out": {"err": "x"}`, `in.counter: 57.5 cannot be read`},
		{`"in": {"base": "1.5", "ci": "yes"}, "out": {"err": "x"}`, `in.ci: "yes" cannot be read`},
	} {
		r := checked(t, `[{"name": "n", `+c.row+`}]`)
		if len(r) != 1 || r[0].Equal || !strings.Contains(strings.Join(r[0].Differences, "; "), c.want) {
			t.Errorf("%s: %+v, want %q", c.row, r, c.want)
		}
	}
}

func TestARowIsHeldToWhatItNames(t *testing.T) {
	t.Parallel()
	r := checked(t, "\ufeff"+`[{`+facts+`, "out": {"channel": "release"}}, {"in": {"base": "x", "moon": 1}, "out": {"err": "base_invalid"}}]`)
	if len(r) != 2 || !r[0].Equal || !r[1].Equal || r[0].Name != "row 1" || strings.Join(r[1].Ignored, ",") != "moon" {
		t.Errorf("%+v", r)
	}
}

func TestListsOfVersionsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lists, want string }{
		{`"valid": ["1.2"]`, "is refused, and is valid"},
		{`"invalid": ["1.2.3"]`, "is accepted, and is not valid"},
		{`"more_invalid": ["1.2.3"]`, "is accepted, and is not valid"},
		{`"valid": [1]`, "is no text"},
		{`"precedence_ascending": [["1.0.0", "1.0.0+a"]]`, "got 0 and 0, want -1 and 1"},
		{`"precedence_ascending": [["1.0.0"]]`, "no list of versions to compare"},
		{`"precedence_ascending": [["1.0.0", "x"]]`, `"x" is no version`},
		{`"equal_precedence": [["1.0.0", "1.0.1"]]`, "got -1 and 1, want 0 and 0"},
	} {
		r := checked(t, "{"+c.lists+"}")
		if len(r) != 1 || r[0].Equal || !strings.Contains(strings.Join(r[0].Differences, "; "), c.want) {
			t.Errorf("%s: %+v, want %q", c.lists, r, c.want)
		}
	}
	for _, r := range checked(t, `{"source": "x", "valid": ["1.2.3-a+b"], "precedence_ascending": [["1.0.0-2", "1.0.0-10", "1.0.0-99999999999999999999", "1.0.0-a", "1.0.0", "9.0.0", "10.0.0"]]}`) {
		if !r.Equal {
			t.Errorf("%+v", r)
		}
	}
}

func TestATableThatChecksNothingIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{``, "1:1"},
		{`[]`, "no rows"},
		{`{}`, "nothing to check"},
		{`{"source": "x"}`, "nothing to check"},
		{`{"precedence": [["1.0.0", "2.0.0"]]}`, `the list "precedence"`},
		{`[{"name": "n", "in": {"base": "1"}}]`, `row 1 ("n") lacks in or out`},
		{"[\n{\"name\": 1}]", "2:"},
		{"[\n  {]", "2:"},
		{`"x"`, "1:"},
	} {
		_, err := version.ReadTable([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || tasks.HintOf(err) == "" {
			t.Errorf("%s: %v, want %q", c.text, err, c.want)
		}
	}
}
