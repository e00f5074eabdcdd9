package plan_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/httpsink"
	"github.com/stint-run/stint/tasks/migration/plan"
)

var update = flag.Bool("update", false, "write docs/plan.schema.json anew")

var schemaFile = filepath.Join("..", "..", "..", "docs", "plan.schema.json")

func anyOf(types ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, t := range types {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: t})
	}
	return s
}

// texts is a list of texts; Parse takes one text as a list of one.
func texts() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "array", Items: &jsonschema.Schema{Type: "string"}}}}
}

// schema returns the JSON Schema of a plan, by its types, their tags and their comments.
func schema(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{Anonymous: true, DoNotReference: true, ExpandedStruct: true, FieldNameTag: "yaml",
		Mapper: func(typ reflect.Type) *jsonschema.Schema {
			switch typ {
			case reflect.TypeFor[plan.Map]():
				return &jsonschema.Schema{Type: "object", AdditionalProperties: anyOf("string", "number", "boolean", "null"), MinProperties: ptr(1)}
			case reflect.TypeFor[plan.Lookup]():
				return &jsonschema.Schema{Type: "object", AdditionalProperties: anyOf("string", "number", "boolean", "null")}
			case reflect.TypeFor[plan.Items](), reflect.TypeFor[[]string]():
				return texts()
			case reflect.TypeFor[plan.Duration](), reflect.TypeFor[httpsink.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$`}
			case reflect.TypeFor[plan.IDs]():
				object := &jsonschema.Schema{Type: "object", Properties: jsonschema.NewProperties(), AdditionalProperties: jsonschema.FalseSchema, Required: []string{"connection"}}
				object.Properties.Set("connection", &jsonschema.Schema{Type: "string"})
				object.Properties.Set("max_ids", &jsonschema.Schema{Type: "integer", Minimum: "0"})
				annotate(typ, object)
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, object}}
			case reflect.TypeFor[httpsink.Statuses]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "string"}, {Type: "array", Items: anyOf("integer", "string")}}}
			}
			return nil
		}}
	if err := r.AddGoComments("github.com/stint-run/stint/internal/httpsink", "../../../internal/httpsink"); err != nil {
		t.Fatal(err)
	}
	for key, text := range r.CommentMap { // the path that was read is a part of the key
		if _, name, ok := strings.Cut(key, "internal/httpsink."); ok {
			r.CommentMap["github.com/stint-run/stint/internal/httpsink."+name] = text
		}
	}
	s := r.Reflect(&plan.Plan{})
	s.Title, s.Description = "A plan of stint", "What a migration does: docs/plans.md"
	annotate(reflect.TypeFor[plan.Plan](), s)
	s.Required = []string{"stages"}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func ptr(n uint64) *uint64 { return &n }

// annotate adds what the tags doc and enum say.
func annotate(typ reflect.Type, s *jsonschema.Schema) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice && s.Items != nil {
		if typ.Kind() == reflect.Slice {
			s = s.Items
		}
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || s.Properties == nil {
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		sub, ok := s.Properties.Get(name)
		if !ok {
			continue
		}
		if doc := f.Tag.Get("doc"); doc != "" {
			sub.Description = doc
		}
		if words := f.Tag.Get("enum"); words != "" {
			for _, w := range strings.Split(words, ",") {
				sub.Enum = append(sub.Enum, w)
			}
		}
		annotate(f.Type, sub)
	}
}

func TestTheSchemaIsThatOfTheTypes(t *testing.T) {
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
		t.Errorf("%s is not what the types say; run `go test ./tasks/migration/plan -run Schema -update`", schemaFile)
	}
	for _, words := range []string{`"Target column: expression over the source's row."`, "Batch is how many records one request takes", `"upsert"`} {
		if !bytes.Contains(want, []byte(words)) {
			t.Errorf("the schema lacks %s", words)
		}
	}
}

// validate looks whether the schema allows a plan.
func validate(t *testing.T, text string) error {
	t.Helper()
	body, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := validator.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	if err := c.AddResource("plan.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("plan.json")
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := validator.UnmarshalJSON(bytes.NewReader(asJSON))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(instance)
}

func TestThePageShowsPlansThatAreRight(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "plans.md"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(page), "```yaml\n")
	if len(parts) < 6 {
		t.Fatalf("the page has %d plans", len(parts)-1)
	}
	for _, part := range parts[1:] {
		text, _, _ := strings.Cut(part, "```")
		if _, _, err := plan.Parse("plans.md", []byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if err := validate(t, text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	var mention func(typ reflect.Type)
	mention = func(typ reflect.Type) { // each entry, but those of requests, which have a page of their own
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[plan.HTTP]() {
			return
		}
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("yaml"), ",")
			if !strings.Contains(string(page), "`"+name+"`") && !strings.Contains(string(page), "."+name+"`") && name != "policy" && name != "chunk" && name != "verify" && name != "file" {
				t.Errorf("the page does not say what %s is", name)
			}
			mention(typ.Field(i).Type)
		}
	}
	mention(reflect.TypeFor[plan.Plan]())
}
