package pipeline_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/tasks/builder/pipeline"
)

var schemaFile = filepath.Join("..", "..", "..", "docs", "pipeline.schema.json")

func compiled(t *testing.T) *validator.Schema {
	t.Helper()
	doc, err := validator.UnmarshalJSON(bytes.NewReader(pipeline.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	if err := c.AddResource("pipeline.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("pipeline.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// validate looks whether the schema allows a file, which an editor reads as YAML 1.2. One that is no YAML is not its business.
func validate(s *validator.Schema, text string) error {
	var value any
	if yaml.Unmarshal([]byte(text), &value) != nil {
		return nil
	}
	body, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	instance, err := validator.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return nil
	}
	return s.Validate(instance)
}

func TestTheSchemaOfTheDocumentsIsThatOfTheReader(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile(schemaFile, pipeline.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, pipeline.Schema()) {
		t.Errorf("%s is another one; run `go test ./tasks/builder/pipeline -update`", schemaFile)
	}
}

func TestTheSchemaAllowsWhatTheReaderReads(t *testing.T) {
	t.Parallel()
	s := compiled(t)
	for name, text := range valid(t) {
		if _, _, err := pipeline.Read(name, []byte(text)); err != nil {
			t.Errorf("the reader refuses %s: %v", name, err)
		}
		if err := validate(s, text); err != nil {
			t.Errorf("the schema refuses %s: %v", name, err)
		}
	}
}

func TestEachEntryOfTheSchemaIsDescribed(t *testing.T) {
	t.Parallel()
	var root map[string]any
	if err := json.Unmarshal(pipeline.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	entries := 0
	var walk func(at string, value any)
	walk = func(at string, value any) {
		object, _ := value.(map[string]any)
		properties, _ := object["properties"].(map[string]any)
		for name, p := range properties {
			entries++
			if text, _ := p.(map[string]any)["description"].(string); len(text) < 10 {
				t.Errorf("%s.%s has no description", at, name)
			}
			walk(at+"."+name, p)
		}
		walk2 := func(key string) {
			switch v := object[key].(type) {
			case []any:
				for _, x := range v {
					walk(at, x)
				}
			case map[string]any:
				walk(at, v)
			}
		}
		walk2("anyOf")
		walk2("items")
	}
	walk("", root)
	if entries < 60 {
		t.Errorf("only %d entries", entries)
	}
}
