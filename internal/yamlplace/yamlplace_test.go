package yamlplace_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

func TestAMistakeIsWhereAPersonSeesIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text    string
		line, column  int
		message, hint string
	}{
		{"a tab", "a:\n  b: 1\n\tc: 2\n", 3, 1, "a tab stands in the indentation", "indent with spaces"},
		{"a bracket that nobody closed", "a: 1\nb: [1, 2\nc: 3\n", 2, 4, "", "look at the indentation"},
		{"a sign that begins nothing", "a: 1\nb: %x\n", 2, 4, "cannot start any token", "put the value in quotes"},
		{"an alias of nothing", "a: 1\nb: *x\n", 2, 4, "unknown anchor", "needs quotes"},
		{"a colon in a value", "a: b: c\n", 1, 5, "mapping values are not allowed", "is the line above complete?"},
	} {
		err := yaml.Unmarshal([]byte(c.text), new(yaml.Node))
		if err == nil {
			t.Errorf("%s: it is YAML", c.name)
			continue
		}
		m := yamlplace.Syntax([]byte(c.text), err)
		if m.Line != c.line || m.Column != c.column || !strings.Contains(m.Message, c.message) || !strings.Contains(m.Hint, c.hint) {
			t.Errorf("%s: got %+v", c.name, m)
		}
	}
}

func TestALargeFileIsNotReadForEachOfItsLines(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("a: 1\n"), 12_000)
	text = append([]byte("x: [\n"), text...)
	begun := time.Now()
	m := yamlplace.Syntax(text, yaml.Unmarshal(text, new(yaml.Node)))
	if m.Line < 1 || time.Since(begun) > time.Minute {
		t.Errorf("got %+v after %s", m, time.Since(begun))
	}
}

func TestAliasesAreCountedAsWhatTheyStandFor(t *testing.T) {
	t.Parallel()
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 8; i++ {
		was, is := string(rune('0'+i-1)), string(rune('0'+i))
		bomb += "a" + is + ": &a" + is + " [" + strings.Repeat("*a"+was+", ", 8) + "]\n"
	}
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(bomb), &n); err != nil {
		t.Fatal(err)
	}
	if yamlplace.Within(&n, 64, 10_000) {
		t.Error("16 million nodes are taken for ten thousand")
	}
	if err := yaml.Unmarshal([]byte("a: &a [x]\nb: *a\n"), &n); err != nil {
		t.Fatal(err)
	}
	if !yamlplace.Within(&n, 5, 9) || yamlplace.Within(&n, 4, 9) || yamlplace.Within(&n, 5, 8) {
		t.Error("nine nodes in five levels are not counted as such")
	}
	if got := yamlplace.Plain(n.Content[0].Content[3]); got.Kind != yaml.SequenceNode {
		t.Error("an alias was not followed")
	}
}

func TestANearWordIsMeant(t *testing.T) {
	t.Parallel()
	words := []string{"needs", "name", "requires", "run"}
	for word, want := range map[string]string{"need": "did you mean needs?", "nmae": "did you mean name?", "requiers": "did you mean requires?", "Run": "did you mean run?", "something": ""} {
		if got := yamlplace.DidYouMean(word, words); got != want {
			t.Errorf("%s: got %q", word, got)
		}
	}
}
