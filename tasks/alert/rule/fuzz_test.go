package rule_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/message"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// What stands in a file must never end the process that reads it: at a reload that is one which evaluates all rules.
func FuzzAnyFileIsARuleOrAProblem(f *testing.F) {
	f.Add(whole)
	for _, head := range heads {
		f.Add(head)
	}
	for _, m := range mistakes {
		f.Add(heads[m.head] + m.add)
	}
	for q := range queries {
		f.Add(heads["any"] + "filter:\n- " + q)
	}
	for _, s := range rule.Senders() {
		text := "type: any\nindex: a\nalert: " + s.Name + "\n"
		for _, o := range rule.Table() {
			if o.Of == s.Name && o.Standing == rule.Supported {
				text += o.Name + ": '{{ x'\n"
			}
		}
		f.Add(text)
	}
	f.Add("<<: [*a, {b: c}]\nalert: {? [a]: b}\nfilter: [&a {term: *a}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		set, problems := rule.Load(rule.Options{Files: []string{path}, Tokens: tokens("A", "x"), CheckQuery: docsearch.ParseQueryString, CheckTexts: message.Check,
			CheckSender: func(name string, options map[string]any) error {
				_, err := notify.FromAlerter(name, options, nil)
				return err
			}})
		for _, r := range set.Rules { // what has been taken can be told, and written down
			for _, m := range [][]condition.Match{nil, {{}}, {{"x": nil}, {"x": []any{map[string]any{}}, r.Timestamp.Field: 5}}} {
				if subject, text := message.Render(r, m, message.Extra{Options: r.Values}); len(subject) > message.MaxSubject || len(text) > message.MaxText {
					t.Errorf("%d and %d bytes are told", len(subject), len(text))
				}
			}
			b, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var again rule.Rule
			if err := json.Unmarshal(b, &again); err != nil {
				t.Errorf("%v: %s", err, b)
			}
		}
		if (len(set.Rules)+len(set.Disabled) == 1) != (len(problems.Mistakes()) == 0) {
			t.Errorf("%d rules, and %s", len(set.Rules), problems)
		}
	})
}

func TestAliasesThatGoTooFarAreAMistake(t *testing.T) {
	t.Parallel()
	bomb := heads["any"] + "x_0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
	for i := 1; i < 9; i++ {
		bomb += fmt.Sprintf("x_%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	for _, text := range []string{bomb, heads["any"] + "filter: &f [{bool: {must: *f}}]\n", heads["any"] + "x_deep: " + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "\n"} {
		if _, mistakes, _ := load(t, rule.Options{}, map[string]string{"r.yaml": text}); !strings.Contains(mistakes, "r.yaml:1:1: its aliases, or its levels, are too many") {
			t.Errorf("%s", mistakes)
		}
	}
	r := one(t, heads["any"]+"x_base: &b {term: {a: 1}}\nx_o: &o {owner: me, category: c}\nfilter: [*b, *b]\n<<: *o\ncategory: own\n")
	if len(r.Filter) != 2 || r.Owner != "me" || r.Category != "own" {
		t.Errorf("the rule is %+v", r)
	}
}
