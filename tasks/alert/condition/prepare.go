package condition

import (
	"maps"
	"strings"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// Prepare gives events the joined fields of keys that have several parts, the query key and that of the aggregation: "h,s": "a, None".
// The documents themselves, which others may be reading, stay as they are; hits gets new ones.
func Prepare(r *rule.Rule, hits []source.Hit) {
	for _, key := range [][]string{r.QueryKey, r.Aggregation.Key} {
		if len(key) < 2 {
			continue
		}
		name := strings.Join(key, ",")
		for i := range hits {
			values := make([]any, len(key))
			for j, part := range key {
				values[j] = document.Value(hits[i].Doc, part)
			}
			doc := make(map[string]any, len(hits[i].Doc)+1)
			maps.Copy(doc, hits[i].Doc)
			doc[name] = joinedText(values)
			hits[i].Doc = doc
		}
	}
}

// joinedText is the value of a joined field.
func joinedText(values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = document.Text(v)
	}
	return strings.Join(texts, ", ")
}
