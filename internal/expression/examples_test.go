package expression_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stint-run/stint/internal/expression"
)

var update = flag.Bool("update", false, "write the table of functions in docs/expressions.md anew")

var page = filepath.Join("..", "..", "docs", "expressions.md")

// exampleScope is what the examples of the page may name.
var exampleScope = expression.Scope{
	Columns: []expression.Column{
		{Name: "id", Type: expression.Int}, {Name: "name", Type: expression.Text, Nullable: true}, {Name: "country", Type: expression.Text, Nullable: true},
		{Name: "total", Type: expression.Float, Nullable: true}, {Name: "created", Type: expression.Text}, {Name: "order date", Type: expression.Date, Nullable: true},
		{Name: "lines", Type: expression.JSON, Nullable: true}, {Name: "vat", Type: expression.Text}, {Name: "active", Type: expression.Text},
	},
	Lookups: map[string]expression.Lookup{"vat": {Type: expression.Decimal, Rows: map[string]expression.Value{"N": expression.OfDecimal(25, 2)}}},
	Refs: func(stage string) (expression.Type, error) {
		if stage != "customers" {
			return 0, errors.New("there is no stage " + stage)
		}
		return expression.Text, nil
	},
}

func exampleRow() *expression.Row {
	return &expression.Row{
		Values: []expression.Value{
			expression.OfInt(7), expression.OfText("  Anna Berg "), {}, expression.OfFloat(19.99), expression.OfText("29/02/2024"), expression.OfDate(19782),
			expression.OfJSONText(`[{"qty": 2, "price": 1.5, "sku": "A"}, {"qty": 0, "price": 9, "sku": null}]`), expression.OfText("N"), expression.OfText("J"),
		},
		Resolve: func(_ string, key []expression.Value) (expression.Value, bool, error) {
			return expression.OfText("c-" + key[0].String()), true, nil
		},
	}
}

// checkExample evaluates EXPRESSION → EXPRESSION, or → error SQLSTATE.
func checkExample(t *testing.T, example string) {
	t.Helper()
	source, want, ok := strings.Cut(example, " → ")
	if !ok {
		t.Errorf("%s: no →", example)
		return
	}
	got, err := evaluate(source)
	if code, ok := strings.CutPrefix(want, "error "); ok {
		if c := codeOf(err); c != code {
			t.Errorf("%s: got %v, %v, want an error with %s", source, got, err, code)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", source, err)
		return
	}
	expected, err := evaluate(want)
	if err != nil {
		t.Errorf("%s: %v", want, err)
		return
	}
	if got.Kind() != expected.Kind() || got.String() != expected.String() {
		t.Errorf("%s is %s %v, want %s %v", source, got.Kind(), got, expected.Kind(), expected)
	}
}

func evaluate(source string) (expression.Value, error) {
	p, err := expression.Compile(source, exampleScope)
	if err != nil {
		return expression.Value{}, err
	}
	return p.Eval(exampleRow())
}

// codeOf returns the SQLSTATE of an error, whether the row or the plan has it.
func codeOf(err error) string {
	var v *expression.ValueError
	if errors.As(err, &v) {
		return v.Code
	}
	var e *expression.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestEachFunctionHasExamplesThatEvaluateToWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, f := range expression.Functions() {
		if len(f.Examples) == 0 || f.Summary == "" {
			t.Errorf("%s has no example or summary", f.Name)
		}
		for _, e := range f.Examples {
			if !strings.Contains(e, f.Name+"(") && f.Name != "coalesce" && !strings.Contains(strings.Join(f.Examples, " "), f.Name+"(") {
				t.Errorf("%s: %s does not call it", f.Name, e)
			}
			checkExample(t, e)
		}
	}
}

const (
	tableBegins = "<!-- functions: written by go test ./internal/expression -run Page -update -->\n"
	tableEnds   = "<!-- end of functions -->"
)

func TestThePageHasEachFunctionAsItIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegins)
	_, after, ok2 := strings.Cut(rest, tableEnds)
	if !ok || !ok2 {
		t.Fatal("the page has no place for the table of functions")
	}
	want := before + tableBegins + table() + tableEnds + after
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("the table of functions on the page is not that of the code: go test ./internal/expression -run Page -update")
	}
}

func table() string {
	var b strings.Builder
	group := ""
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, f := range expression.Functions() {
		if f.Group != group {
			group = f.Group
			b.WriteString("\n### " + group + "\n\n| function | gives | does | of NULL | errors | example |\n|---|---|---|---|---|---|\n")
		}
		null := f.Null
		if null == "" {
			null = "NULL"
		}
		examples := make([]string, len(f.Examples))
		for i, e := range f.Examples {
			examples[i] = "`" + cell(e) + "`"
		}
		b.WriteString("| `" + cell(f.Signature) + "` | " + f.Gives + " | " + cell(f.Summary) + " | " + null + " | " + f.Errors + " | " + strings.Join(examples, "<br>") + " |\n")
	}
	return b.String() + "\n"
}

var quotedExample = regexp.MustCompile("`([^`\n]+ → [^`\n]+)`")

func TestTheExamplesOfThePageEvaluateToWhatTheySay(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var examples []string
	_, functions, _ := strings.Cut(string(text), tableBegins)
	for _, m := range quotedExample.FindAllStringSubmatch(functions, -1) {
		examples = append(examples, strings.ReplaceAll(m[1], `\|`, "|"))
	}
	for i, block := range strings.Split(string(text), "```stint\n") {
		if body, _, _ := strings.Cut(block, "```"); i > 0 {
			examples = append(examples, strings.Split(strings.TrimSpace(body), "\n")...)
		}
	}
	if len(examples) < 100 {
		t.Fatalf("the page has only %d examples", len(examples))
	}
	slices.Sort(examples)
	for _, e := range slices.Compact(examples) {
		checkExample(t, e)
	}
}
