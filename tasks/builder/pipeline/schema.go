package pipeline

import (
	"encoding/json"
	"maps"
)

// Schema is the JSON Schema (2020-12) of a pipeline file, for editors. It is made of the same entries that Read reads, and sees less
// than Read does: not names that stand for something elsewhere in the file, nor patterns, nor commands.
func Schema() []byte {
	s := maps.Clone(document.schema)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "A build pipeline of stint"
	s["description"] = "How a product is built: docs/builds-pipeline.md"
	s["patternProperties"] = schema{"^" + ownPrefix: schema{"description": "Your own: a place for anchors."}}
	out, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // it is made of maps, lists and texts
		panic(err)
	}
	return append(out, '\n')
}
