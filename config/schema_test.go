package config_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/stint-run/stint/config"
)

var update = flag.Bool("update", false, "write docs/stint.schema.json anew")

// tokenPattern lets a token stand where a number or a duration would.
const tokenPattern = `@@[A-Za-z_][A-Za-z0-9_]*@@`

// schema returns the JSON Schema of a configuration file, by the struct and its comments.
func schema(t *testing.T) []byte {
	t.Helper()
	text := func() *jsonschema.Schema { return &jsonschema.Schema{Type: "string"} } // new each time: descriptions go in
	r := &jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true, FieldNameTag: "key",
		Mapper: func(typ reflect.Type) *jsonschema.Schema {
			switch typ {
			case reflect.TypeFor[time.Duration]():
				return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(ns|us|µs|ms|s|m|h))+$|` + tokenPattern}
			case reflect.TypeFor[int]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "integer"}, {Type: "string", Pattern: tokenPattern}}}
			case reflect.TypeFor[config.Secret](), reflect.TypeFor[config.URL]():
				return text()
			case reflect.TypeFor[float64]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "number"}, {Type: "string", Pattern: tokenPattern}}}
			case reflect.TypeFor[bool]():
				return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "boolean"}, {Type: "string", Pattern: tokenPattern}}}
			case reflect.TypeFor[json.RawMessage]():
				return &jsonschema.Schema{Type: "object"}
			}
			return nil
		},
	}
	if err := r.AddGoComments("github.com/stint-run/stint/config", "./"); err != nil {
		t.Fatal(err)
	}
	s := r.Reflect(&config.Config{})
	s.Title, s.Description = "stint.yaml", "The configuration of stint"
	s.Properties.Set("tokens", &jsonschema.Schema{
		Type: "object", AdditionalProperties: text(), Description: "What @@NAME@@ in other values stands for.",
	})
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(out, '\n')
}

func TestTheSchemaIsThatOfTheStruct(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "docs", "stint.schema.json")
	want := schema(t)
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the struct says; run `go test ./config -update`", path)
	}
}
