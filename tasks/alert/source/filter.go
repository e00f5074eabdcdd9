package source

import (
	"encoding/json"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
)

// compileFilter makes one condition of all filters; now is what date arithmetic in them counts from.
func compileFilter(filter []map[string]any, now time.Time) (func(Hit) bool, error) {
	if len(filter) == 0 {
		return func(Hit) bool { return true }, nil
	}
	all := make([]any, len(filter))
	for i, f := range filter {
		all[i] = f
	}
	query, err := docsearch.Compile(map[string]any{"bool": map[string]any{"filter": all}})
	if err != nil {
		return nil, err
	}
	return func(h Hit) bool {
		return query.Match(docsearch.Document{Index: h.Index, ID: h.ID, Source: h.Doc}, nil, now)
	}, nil
}

// aggregate answers aggregations over events.
func aggregate(hits []Hit, aggs map[string]any, q Query) (map[string]any, error) {
	docs := make([]docsearch.Document, len(hits))
	for i, h := range hits {
		docs[i] = docsearch.Document{Index: h.Index, ID: h.ID, Source: h.Doc}
	}
	r, err := docsearch.Search(docs, map[string]any{"size": json.Number("0"), "aggs": aggs}, nil, q.End)
	return r.Aggregations, err
}

// including leaves in a document what Query.Include names, besides its time and its name.
func including(doc map[string]any, q Query) map[string]any {
	if len(q.Include) == 0 {
		return doc
	}
	return docsearch.Include(doc, append([]string{q.Field, "_id", "_index"}, q.Include...), nil)
}
