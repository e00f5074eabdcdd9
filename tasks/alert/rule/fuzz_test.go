package rule_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	f.Add("<<: [*a, {b: c}]\nalert: {? [a]: b}\nfilter: [&a {term: *a}]\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		set, problems := rule.Load(rule.Options{Files: []string{path}, Tokens: tokens("A", "x")})
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
