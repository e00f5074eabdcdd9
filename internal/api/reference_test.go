package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// readable is what the reference needs of an OpenAPI document.
type readable struct {
	Paths      map[string]map[string]describedRoute
	Components struct{ Schemas map[string]schema }
}

type describedRoute struct {
	Summary, Description string
	Parameters           []struct {
		Name, In, Description string
		Required              bool
	}
	RequestBody struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]struct {
		Content map[string]struct{ Schema schema }
	}
}

type schema struct {
	Ref         string `json:"$ref"`
	Type        any
	Description string
	Format      string
	Enum        []any
	Items       *schema
	Properties  map[string]schema
	Required    []string
}

// name is what a type is called: the name of a form, with a link, or the word of JSON Schema.
func (s schema) name() string {
	if s.Ref != "" {
		form := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		return fmt.Sprintf("[%s](#%s)", form, strings.ToLower(form))
	}
	kinds := []string{}
	switch t := s.Type.(type) {
	case string:
		kinds = append(kinds, t)
	case []any:
		for _, k := range t {
			if k != "null" {
				kinds = append(kinds, fmt.Sprint(k))
			}
		}
	}
	if slices.Equal(kinds, []string{"array"}) && s.Items != nil {
		return "list of " + s.Items.name()
	}
	text := strings.Join(kinds, " or ")
	if s.Format == "date-time" {
		text = "time"
	}
	for i, v := range s.Enum {
		text += map[bool]string{true: ": ", false: ", "}[i == 0] + fmt.Sprintf("`%v`", v)
	}
	return text
}

func TestTheReferenceOfTheAPIIsTheOneInTheDocs(t *testing.T) {
	t.Parallel()
	_, text := document(t)
	var doc readable
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("# The API, route by route\n\nMade from [openapi.json](../openapi.json): `go test ./internal/api -run Reference -update`. [api.md](../api.md) says how to use it: tokens,\n" +
		"keys, pages, errors, events. Every error is a [Problem](#problem), with a `hint` that says what to do.\n\n## Routes\n")
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			doc.Paths[path][method].write(&b, strings.ToUpper(method)+" "+path)
		}
	}
	b.WriteString("\n## Forms\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		s := doc.Components.Schemas[name]
		fmt.Fprintf(&b, "\n### %s\n", name)
		if s.Description != "" {
			fmt.Fprintf(&b, "\n%s\n", s.Description)
		}
		b.WriteString("\n| field | type | means |\n|---|---|---|\n")
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			p := s.Properties[field]
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", field, p.name(), cell(p.Description))
		}
	}
	path := filepath.Join("..", "..", "docs", "reference", "api.md")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(kept) != b.String() {
		t.Error("docs/reference/api.md is not what the server says; write it anew with: go test ./internal/api -run Reference -update")
	}
}

func (o describedRoute) write(b *strings.Builder, route string) {
	fmt.Fprintf(b, "\n### %s\n\n%s.", route, strings.TrimSuffix(o.Summary, "."))
	if o.Description != "" {
		fmt.Fprintf(b, "\n\n%s", strings.TrimSpace(o.Description))
	}
	b.WriteString("\n")
	for _, c := range o.RequestBody.Content {
		fmt.Fprintf(b, "\nTakes: %s\n", c.Schema.name())
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		if status < "300" {
			for _, kind := range slices.Sorted(maps.Keys(o.Responses[status].Content)) {
				form := o.Responses[status].Content[kind].Schema.name()
				if kind != "application/json" || form == "" {
					form = strings.TrimSpace(form + " `" + kind + "`")
				}
				fmt.Fprintf(b, "\nAnswers %s: %s\n", status, form)
			}
		}
	}
	if len(o.Parameters) == 0 {
		return
	}
	b.WriteString("\n| parameter | in | means |\n|---|---|---|\n")
	for _, p := range o.Parameters {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.Name, p.In, cell(p.Description))
	}
}

func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}
