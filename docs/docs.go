// Package docs holds those of the documents that the program prints.
package docs

import _ "embed"

// PlanSchema is the JSON Schema of migration plans, for editors.
//
//go:embed plan.schema.json
var PlanSchema []byte
