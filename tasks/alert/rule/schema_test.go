package rule_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/tasks/alert/rule"
)

var update = flag.Bool("update", false, "write docs/alert-rule.schema.json and the tables of docs/alert-rules.md anew")

var (
	schemaFile = filepath.Join("..", "..", "..", "docs", "alert-rule.schema.json")
	pageFile   = filepath.Join("..", "..", "..", "docs", "alert-rules.md")
)

const token = `@@[A-Za-z_][A-Za-z0-9_]*@@`

func of(typ string) *jsonschema.Schema { return &jsonschema.Schema{Type: typ} }

func anyOf(list ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{AnyOf: list} }

func listOf(items *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "array", Items: items}
}

// object has the properties that it is given, and no others.
func object(properties map[string]*jsonschema.Schema) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		s.Properties.Set(name, properties[name])
	}
	return s
}

func orToken(s *jsonschema.Schema) *jsonschema.Schema {
	return anyOf(s, &jsonschema.Schema{Type: "string", Pattern: "^" + token + "$"})
}

// duration refers to what durations returns, which stands in the schema once.
func duration() *jsonschema.Schema { return &jsonschema.Schema{Ref: "#/$defs/duration"} }

func durations() *jsonschema.Schema {
	units := map[string]*jsonschema.Schema{}
	for _, u := range []string{"weeks", "days", "hours", "minutes", "seconds", "milliseconds"} {
		units[u] = orToken(&jsonschema.Schema{Type: "number", Minimum: "0"})
	}
	o := object(units)
	o.MinProperties = ptr(1)
	return anyOf(o, &jsonschema.Schema{Type: "string", Pattern: `^(([0-9]+\.?[0-9]*|\.[0-9]+)(ms|[wdhms]))+$|^0$|^` + token + `$`}, &jsonschema.Schema{Const: 0})
}

func ptr(n uint64) *uint64 { return &n }

// text is a text, or a number that stands for one.
func text() *jsonschema.Schema { return anyOf(of("string"), of("number")) }

// schemaOf is what an option's value looks like.
func schemaOf(o rule.Option) *jsonschema.Schema {
	var s *jsonschema.Schema
	query := &jsonschema.Schema{Type: "object", MinProperties: ptr(1), MaxProperties: ptr(1)}
	switch o.Kind {
	case rule.KindString, rule.KindCron:
		s = text()
	case rule.KindWord:
		word := &jsonschema.Schema{}
		for _, w := range o.Words {
			word.Enum = append(word.Enum, w)
		}
		s = orToken(word)
	case rule.KindInt:
		s = orToken(of("integer"))
	case rule.KindNumber:
		s = orToken(of("number"))
	case rule.KindBool:
		s = orToken(of("boolean"))
	case rule.KindStrings:
		s = anyOf(text(), listOf(text()))
	case rule.KindList:
		s = listOf(text())
	case rule.KindValues:
		s = listOf(anyOf(of("string"), of("number"), of("boolean")))
	case rule.KindDuration:
		s = duration()
	case rule.KindWindow:
		s = anyOf(duration(), object(map[string]*jsonschema.Schema{"schedule": of("string")}))
	case rule.KindMap:
		s = of("object")
	case rule.KindFields:
		s = anyOf(text(), listOf(anyOf(text(), listOf(text()))))
	case rule.KindFilters:
		s = listOf(query)
		if o.Name != "filter" {
			s = anyOf(query, s)
		}
	case rule.KindAlerts:
		entry := anyOf(of("string"), &jsonschema.Schema{Type: "object", MinProperties: ptr(1), MaxProperties: ptr(1)})
		s = anyOf(entry, listOf(entry))
	case rule.KindLadder:
		rung := object(map[string]*jsonschema.Schema{"after": duration(), "to": anyOf(of("string"), listOf(of("string"))), "until": {Enum: []any{"acked", "resolved"}}, "repeat": duration(), "repeats": {Type: "integer", Minimum: "0"}})
		rung.Required = []string{"to"}
		s = listOf(rung)
	default:
		s = &jsonschema.Schema{}
	}
	s.Description = o.Doc
	if o.Standing == rule.Elsewhere {
		s.Description, s.Deprecated = "Does nothing: "+o.Why+".", true
	}
	return s
}

// schema returns the JSON Schema of a rule file, by the table of options.
func schema(t *testing.T) []byte {
	t.Helper()
	properties := map[string]*jsonschema.Schema{}
	for _, o := range rule.Table() {
		if o.Standing != rule.Refused {
			properties[o.Name] = schemaOf(o)
		}
	}
	s := object(properties)
	s.Version, s.Title, s.Description = "https://json-schema.org/draft/2020-12/schema", "An alert rule of stint", "What it can say: docs/alert-rules.md"
	s.Definitions = jsonschema.Definitions{"duration": durations()}
	s.PatternProperties = map[string]*jsonschema.Schema{"^(" + rule.FreePrefix + "|__praeco_)": {}}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func TestTheSchemaIsThatOfTheTable(t *testing.T) {
	t.Parallel()
	want := schema(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the table says; run `go test ./tasks/alert/rule -run 'Schema|Page' -update`", schemaFile)
	}
	s := compile(t, want)
	for name, text := range heads {
		if err := s.Validate(instance(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Validate(instance(t, whole)); err == nil || !strings.Contains(err.Error(), "team") {
		t.Errorf("an option that is none is taken: %v", err)
	}
	if err := s.Validate(instance(t, strings.ReplaceAll(whole, "team: core", "x_team: core"))); err != nil {
		t.Error(err)
	}
	for _, wrong := range []string{"num_evens: 3", "timeframe: {minuts: 5}", "spike_type: sideways", "filter: {term: {a: b}}", "num_events: many"} {
		if s.Validate(instance(t, wrong)) == nil {
			t.Errorf("the schema takes %s", wrong)
		}
	}
}

func compile(t *testing.T, text []byte) *validator.Schema {
	t.Helper()
	doc, err := validator.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("rule.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("rule.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func instance(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := validator.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tables are those of the page, by the words between <!-- and -->.
func tables() map[string]string {
	out := map[string]string{}
	row := func(name string, cells ...string) { out[name] += "| " + strings.Join(cells, " | ") + " |\n" }
	head := func(name string, cells ...string) {
		row(name, cells...)
		out[name] += strings.Repeat("|---", len(cells)) + "|\n"
	}
	head("options", "option", "value", "means")
	head("type options", "option", "value", "types", "means")
	head("own options", "option", "value", "means")
	head("sender options", "option", "value", "means")
	head("senders", "name", "is", "needs")
	head("elsewhere", "options", "why they do nothing")
	head("refused", "option", "why it is refused")
	elsewhere := map[string][]string{}
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	for _, o := range rule.Table() {
		value := cell(string(o.Kind))
		if len(o.Words) > 0 {
			value = "`" + strings.Join(o.Words, "`, `") + "`"
		}
		name := "`" + o.Name + "`"
		doc := cell(o.Doc)
		if o.Secret {
			doc += " Secret."
		}
		switch {
		case o.Standing == rule.Elsewhere:
			elsewhere[o.Why] = append(elsewhere[o.Why], name)
		case o.Standing == rule.Refused:
			row("refused", name, o.Why)
		case o.Of != "":
			row("sender options", name, value, doc)
		case o.Own:
			row("own options", name, value, doc)
		case len(o.Types) > 0:
			row("type options", name, value, strings.Join(o.Types, ", "), doc)
		default:
			row("options", name, value, doc)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(elsewhere)) {
		row("elsewhere", strings.Join(elsewhere[why], ", "), why)
	}
	for _, s := range rule.Senders() {
		needs := "nothing"
		if len(s.Needs) > 0 {
			needs = "`" + strings.ReplaceAll(strings.Join(s.Needs, "`, `"), "|", "` or `") + "`"
		}
		row("senders", "`"+s.Name+"`", s.Doc, needs)
	}
	return out
}

func TestThePageHasTheTableAndShowsRulesThatAreRight(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(pageFile)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for name, want := range tables() {
		begin, end := fmt.Sprintf("<!-- %s -->\n", name), fmt.Sprintf("<!-- end of %s -->", name)
		before, rest, ok := strings.Cut(page, begin)
		got, after, closed := strings.Cut(rest, end)
		if !ok || !closed {
			t.Errorf("the page has no place for %s", name)
			continue
		}
		if got != want && *update {
			page = before + begin + want + end + after
		} else if got != want {
			t.Errorf("the page's %s are not those of the table; run `go test ./tasks/alert/rule -run 'Schema|Page' -update`", name)
		}
	}
	if *update {
		if err := os.WriteFile(pageFile, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := compile(t, schema(t))
	parts := strings.Split(page, "```yaml\n")
	if len(parts) < 4 {
		t.Fatalf("the page has %d rules", len(parts)-1)
	}
	for _, part := range parts[1:] {
		text, _, _ := strings.Cut(part, "```")
		if strings.HasPrefix(text, "# environments/") {
			continue
		}
		if _, mistakes, _ := load(t, rule.Options{Tokens: func(string) (string, bool) { return "x", true }}, map[string]string{"r.yaml": text}); mistakes != "" {
			t.Errorf("%s\n%s", mistakes, text)
		}
		if err := s.Validate(instance(t, text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestTheTableIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, o := range rule.Table() {
		if seen[o.Name] {
			t.Errorf("%s is in the table twice", o.Name)
		}
		seen[o.Name] = true
		if o.Standing == rule.Supported && o.Doc == "" || o.Standing != rule.Supported && o.Why == "" {
			t.Errorf("%s says nothing", o.Name)
		}
		if o.Kind == rule.KindWord && len(o.Words) == 0 {
			t.Errorf("%s has no words", o.Name)
		}
	}
	for _, s := range rule.Senders() {
		for _, need := range s.Needs {
			for name := range strings.SplitSeq(need, "|") {
				if !seen[name] {
					t.Errorf("%s needs %s, which is not in the table", s.Name, name)
				}
			}
		}
	}
}
