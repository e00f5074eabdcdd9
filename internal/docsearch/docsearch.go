// Package docsearch is a search engine over documents in memory: it answers the queries and aggregations of Elasticsearch that rules
// are written in. It looks at each document in turn, so it is for thousands of them, not for millions. It runs rules over the events
// of a file, applies filters to events of sources that have no query language of their own, and is what the double of a search
// server answers with.
//
// A query, an aggregation or an option of one that it does not know is an error that names it. Nothing is left out silently.
//
// # What a field is
//
// Documents in memory have no mapping, so a field is what dynamic mapping would have made of it, and where the usual mappings differ,
// both are right:
//
//   - A text is analysed by the standard analyzer for match, match_phrase, multi_match and query_string: words in lower case.
//   - term, terms, prefix, wildcard, regexp and fuzzy hold when the whole text is meant, as in a keyword, or one of its words, as in a
//     text. A field whose name ends in .keyword is the whole text alone, and so is one that a Mapping calls Keyword; one that it
//     calls Text is its words alone.
//   - A text that looks like a date (at least year, month and day) is one where it is compared with dates. A number that is compared
//     with a date is milliseconds since 1970. Times count in milliseconds, as in the type date; what is finer is cut off.
//   - What is missing at the end of a date is its last moment for gt and lte: lte 10:00:00 includes 10:00:00.999, lte 10:00:00.000 does not.
//   - 5, 5.0 and "5" are the same term; an address matches the networks that it lies in.
//   - A field of objects in lists has the values of all of them; nested looks at one object at a time.
//   - Sorting, terms and cardinality take the whole text. Percentiles are exact: linear between the middles of neighbours, which is
//     what a t-digest gives while it holds each value.
//   - Fuzziness counts insertions, deletions, changes and swaps of neighbours. Boosts are accepted; there are no scores.
package docsearch

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
)

// Document is what is searched. Numbers in Source are json.Number; nobody may change it during a search.
type Document struct {
	Index, ID string
	Source    map[string]any
}

// Kind is how a field is indexed.
type Kind string

// The kinds that a Mapping can name; the zero value is what the package comment says of fields.
const (
	Keyword Kind = "keyword"
	Text    Kind = "text"
	Date    Kind = "date"
)

// Field is what is known of a field beforehand.
type Field struct {
	Kind Kind
	// Time reads a time of Kind Date out of a value, or out of a bound of a range; nil reads ISO 8601 and milliseconds since 1970.
	Time func(value any) (time.Time, bool)
}

// Mapping is what is known of fields, by their names. nil knows nothing.
type Mapping map[string]Field

// view is one document while it is looked at: what was found out about a field is kept for the next clause that asks.
type view struct {
	doc     *Document
	mapping Mapping
	now     time.Time
	fields  map[string]*field
	leaves  []string // the names of all fields, once asked for
}

// field is a field of a view.
type field struct {
	kind   Kind
	time   func(any) (time.Time, bool)
	values []any // none of them null
	tokens [][]string
	done   bool // tokens are there
}

func look(d *Document, m Mapping, now time.Time) *view {
	return &view{doc: d, mapping: m, now: now, fields: map[string]*field{}}
}

// field returns a field by its name; one that the document has not has no values.
func (v *view) field(name string) *field {
	if f, ok := v.fields[name]; ok {
		return f
	}
	known := v.mapping[name]
	f := &field{kind: known.Kind, time: known.Time}
	switch name {
	case "_id":
		f.kind, f.values = Keyword, []any{v.doc.ID}
	case "_index":
		f.kind, f.values = Keyword, []any{v.doc.Index}
	default:
		f.values = collect(v.doc.Source, name, nil)
		if bare, ok := strings.CutSuffix(name, document.Keyword); ok && len(f.values) == 0 {
			f.kind, f.values = Keyword, collect(v.doc.Source, bare, nil)
		}
	}
	v.fields[name] = f
	return f
}

// collect appends all values that a name stands for, through lists, whether its dots are in the names of fields or between them.
func collect(at any, name string, out []any) []any {
	switch at := at.(type) {
	case nil:
	case []any:
		for _, x := range at {
			out = collect(x, name, out)
		}
	case map[string]any:
		for i := 0; i <= len(name); i++ {
			if i < len(name) && name[i] != '.' {
				continue
			}
			if x, ok := at[name[:i]]; ok {
				out = collect(x, strings.TrimPrefix(name[i:], "."), out)
			}
		}
	default:
		if name == "" {
			out = append(out, at)
		}
	}
	return out
}

// names returns the names of all fields that have a value, sorted.
func (v *view) names() []string {
	if v.leaves == nil {
		found := map[string]bool{}
		leaves("", v.doc.Source, found)
		v.leaves = slices.Sorted(maps.Keys(found))
	}
	return v.leaves
}

func leaves(name string, at any, found map[string]bool) {
	switch at := at.(type) {
	case nil:
	case []any:
		for _, x := range at {
			leaves(name, x, found)
		}
	case map[string]any:
		for k, x := range at {
			if name != "" {
				k = name + "." + k
			}
			leaves(k, x, found)
		}
	default:
		found[name] = true
	}
}

// expand returns the fields of the document that a name with * stands for, or the name itself.
func (v *view) expand(name string) []string {
	if !strings.Contains(name, "*") {
		return []string{name}
	}
	if name == "*" {
		return v.names()
	}
	pattern := globPattern(name)
	bare, exact := strings.CutSuffix(name, document.Keyword)
	var out []string
	for _, n := range v.names() {
		if pattern.match(n) {
			out = append(out, n)
		} else if exact && globPattern(bare).match(n) {
			out = append(out, n+document.Keyword)
		}
	}
	return out
}

// has reports whether a field, or one below it, has a value.
func (v *view) has(name string) bool {
	if len(v.field(name).values) > 0 {
		return true
	}
	return slices.ContainsFunc(v.names(), func(n string) bool { return strings.HasPrefix(n, name+".") })
}

// words returns the words of each text of a field, nil for values that are none.
func (f *field) words() [][]string {
	if !f.done {
		f.done = true
		f.tokens = make([][]string, len(f.values))
		for i, x := range f.values {
			if s, ok := x.(string); ok && f.kind != Keyword {
				f.tokens[i] = Analyze(s)
			}
		}
	}
	return f.tokens
}

// moment returns the time of a value in milliseconds, where it is one: by the mapping, or because it looks like one.
func (f *field) moment(value any) (int64, bool) {
	if f.time != nil {
		t, ok := f.time(value)
		return t.UnixMilli(), ok
	}
	switch x := value.(type) {
	case string:
		if len(x) < len("2006-01-02") {
			return 0, false
		}
		t, ok := parseISO(x, false, time.UTC)
		return t.UnixMilli(), ok
	case json.Number:
		if f.kind != Date {
			return 0, false
		}
		ms, ok := document.Number(x)
		return int64(ms), ok
	}
	return 0, false
}
