package rule

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stint-run/stint/internal/yamlplace"
)

// form is what a query of Elasticsearch's language is like.
type form struct {
	// field: it has one field, whose value is a scalar, or names with values of these, of which one of need is wanted.
	field bool
	// parts are what it may have; nil is not looked at. queries among them are queries, or lists of them.
	parts, queries, need []string
	// lists: the value of its field is a list.
	lists bool
}

var common = []string{"boost", "_name"}

func params(names ...string) []string { return append(names, common...) }

// forms are the queries that there are. What has no parts here is handed on as it is.
var forms = map[string]form{
	"term":                {field: true, parts: params("value", "case_insensitive"), need: []string{"value"}},
	"terms":               {field: true, lists: true},
	"range":               {field: true, parts: params("gt", "gte", "lt", "lte", "from", "to", "include_lower", "include_upper", "format", "time_zone", "relation"), need: []string{"gt", "gte", "lt", "lte", "from", "to"}},
	"match":               {field: true, parts: params("query", "operator", "minimum_should_match", "analyzer", "fuzziness", "prefix_length", "max_expansions", "fuzzy_transpositions", "fuzzy_rewrite", "lenient", "zero_terms_query", "auto_generate_synonyms_phrase_query", "type"), need: []string{"query"}},
	"match_phrase":        {field: true, parts: params("query", "analyzer", "slop", "zero_terms_query"), need: []string{"query"}},
	"match_phrase_prefix": {field: true, parts: params("query", "analyzer", "slop", "max_expansions", "zero_terms_query"), need: []string{"query"}},
	"match_bool_prefix":   {field: true, parts: params("query", "analyzer", "operator", "minimum_should_match", "fuzziness", "prefix_length", "max_expansions", "fuzzy_transpositions", "fuzzy_rewrite"), need: []string{"query"}},
	"wildcard":            {field: true, parts: params("value", "wildcard", "case_insensitive", "rewrite"), need: []string{"value", "wildcard"}},
	"prefix":              {field: true, parts: params("value", "case_insensitive", "rewrite"), need: []string{"value"}},
	"regexp":              {field: true, parts: params("value", "flags", "flags_value", "case_insensitive", "max_determinized_states", "rewrite"), need: []string{"value"}},
	"fuzzy":               {field: true, parts: params("value", "fuzziness", "max_expansions", "prefix_length", "transpositions", "rewrite"), need: []string{"value"}},
	"exists":              {parts: params("field"), need: []string{"field"}},
	"ids":                 {parts: params("values", "type"), need: []string{"values"}},
	"bool":                {parts: params("must", "filter", "should", "must_not", "minimum_should_match", "adjust_pure_negative"), queries: []string{"must", "filter", "should", "must_not"}},
	"constant_score":      {parts: params("filter"), queries: []string{"filter"}, need: []string{"filter"}},
	"dis_max":             {parts: params("queries", "tie_breaker"), queries: []string{"queries"}, need: []string{"queries"}},
	"boosting":            {parts: params("positive", "negative", "negative_boost"), queries: []string{"positive", "negative"}, need: []string{"positive"}},
	"nested":              {parts: params("path", "query", "score_mode", "ignore_unmapped", "inner_hits"), queries: []string{"query"}, need: []string{"query"}},
	"has_child":           {queries: []string{"query"}, need: []string{"query"}},
	"has_parent":          {queries: []string{"query"}, need: []string{"query"}},
	"function_score":      {queries: []string{"query"}},
	"match_all":           {parts: params()},
	"match_none":          {parts: params()},
	"multi_match":         {need: []string{"query"}},
	"query_string": {parts: params("query", "default_field", "fields", "default_operator", "analyzer", "analyze_wildcard", "allow_leading_wildcard", "auto_generate_synonyms_phrase_query", "enable_position_increments",
		"fuzziness", "fuzzy_max_expansions", "fuzzy_prefix_length", "fuzzy_transpositions", "lenient", "max_determinized_states", "minimum_should_match", "quote_analyzer", "phrase_slop", "quote_field_suffix",
		"rewrite", "time_zone", "type", "tie_breaker", "escape", "lowercase_expanded_terms"), need: []string{"query"}},
	"simple_query_string": {need: []string{"query"}},
	"script":              {}, "script_score": {}, "terms_set": {}, "more_like_this": {}, "percolate": {}, "parent_id": {}, "distance_feature": {}, "rank_feature": {}, "pinned": {}, "wrapper": {}, "intervals": {}, "knn": {},
	"geo_distance": {}, "geo_bounding_box": {}, "geo_polygon": {}, "geo_shape": {}, "shape": {}, "combined_fields": {}, "type": {},
	"span_term": {}, "span_near": {}, "span_or": {}, "span_not": {}, "span_first": {}, "span_multi": {}, "span_containing": {}, "span_within": {}, "field_masking_span": {},
}

// bygone are queries that Elasticsearch does not know any more, with what to write instead.
var bygone = map[string]string{
	"and": "bool: {must: [...]}", "or": "bool: {should: [...]}", "not": "bool: {must_not: [...]}", "missing": "bool: {must_not: [{exists: {field: NAME}}]}", "filtered": "bool: {must: [...], filter: [...]}",
	"limit": "max_query_size", "fquery": "bool: {filter: [...]}",
}

// filters reads a list of queries, each of which has to hold. The way of old, query: {...} around one, is undone.
func (l *loader) filters(path string, n *yaml.Node) []map[string]any {
	if n.Tag == "!!null" && path == "filter" {
		return nil
	}
	list := []*yaml.Node{n}
	switch {
	case n.Kind == yaml.SequenceNode:
		list = n.Content
	case path == "filter" || n.Kind != yaml.MappingNode:
		l.mistake(n, path, "put a - before each query", "must be a list of queries, not %s", l.shownValue(n, nil))
		return nil
	}
	out := make([]map[string]any, 0, len(list))
	for i, c := range list {
		c, at := yamlplace.Plain(c), fmt.Sprintf("%s[%d]", path, i)
		for { // it is found more than once around one
			e, ok := l.pairs(c)["query"]
			if !ok || len(c.Content) != 2 || e.value.Kind != yaml.MappingNode {
				break
			}
			c, at = e.value, at+".query"
		}
		l.query(at, c)
		if m, ok := l.generic(c).(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

// query checks a query.
func (l *loader) query(path string, n *yaml.Node) {
	const hint = "a query is like {term: {FIELD: VALUE}}"
	if n = yamlplace.Plain(n); n.Kind != yaml.MappingNode {
		l.mistake(n, path, hint, "must be a query, not %s", l.shownValue(n, nil))
		return
	}
	all := l.pairs(n)
	if len(all) != 1 {
		more := hint
		if _, ok := all["query"]; ok && len(all) == 2 {
			more = "is query: indented deeper than the line above it?"
		}
		l.mistake(n, path, more, "a query has one name, and this has %d: %s", len(all), strings.Join(slices.Sorted(maps.Keys(all)), ", "))
		return
	}
	for name, e := range all {
		f, known := forms[name]
		at := path + "." + name
		switch instead := bygone[name]; {
		case instead != "":
			l.mistake(e.key, path, "write "+instead, "Elasticsearch has no query %s any more", name)
		case name == "eql" || name == "esql":
			l.mistake(e.key, path, "write it as query_string, term, range, bool, ...", "%s is another language, and stint asks with queries", name)
		case !known:
			l.mistake(e.key, path, or(yamlplace.DidYouMean(name, slices.Sorted(maps.Keys(forms))), hint), "there is no query %q", name)
		case e.value.Kind != yaml.MappingNode:
			l.mistake(e.value, at, or(map[bool]string{true: "write {query: ...}"}[slices.Contains(f.need, "query")], "names with values belong below it"), "must have names with values, not %s", l.shownValue(e.value, nil))
		case f.field:
			l.leaf(at, name, f, e.value)
		default:
			l.compound(at, name, f, e.value)
		}
	}
}

// leaf checks a query of one field.
func (l *loader) leaf(path, name string, f form, n *yaml.Node) {
	all := l.pairs(n)
	fields := slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(k string) bool { return slices.Contains(common, k) })
	if len(fields) != 1 {
		l.mistake(n, path, "write a query for each field, in a list", "a query has one field, and this has %d", len(fields))
		return
	}
	field, v := fields[0], all[fields[0]].value
	at := path + "." + field
	switch {
	case f.lists && v.Kind == yaml.MappingNode: // values that stand in a document
	case f.lists && v.Kind != yaml.SequenceNode:
		l.mistake(v, at, "write a list, or use term", "must be a list of values, not %s", l.shownValue(v, nil))
	case f.lists:
		for _, c := range v.Content {
			if c = yamlplace.Plain(c); c.Kind != yaml.ScalarNode || c.Tag == "!!null" {
				l.mistake(c, at, "", "a value must be a text, a number, true or false, not %s", l.shownValue(c, nil))
			}
		}
	case v.Kind == yaml.MappingNode:
		l.parts(at, name, f, v)
	case name == "range":
		l.mistake(v, at, "write {gt: 5}, or gte, lt, lte", "must have bounds, not %s", l.shownValue(v, nil))
	case v.Kind == yaml.SequenceNode:
		l.mistake(v, at, "use terms for several values", "must be one value, not a list")
	case v.Tag == "!!null":
		l.mistake(v, at, "use exists within must_not for a field that is not there", "must be a value, not nothing")
	case name == "regexp":
		l.pattern(at, v)
	}
	if name == "regexp" && v.Kind == yaml.MappingNode {
		if e, ok := l.pairs(v)["value"]; ok {
			l.pattern(at, e.value)
		}
	}
}

// compound checks a query that has other queries, or parts with names.
func (l *loader) compound(path, name string, f form, n *yaml.Node) {
	l.parts(path, name, f, n)
	all := l.pairs(n)
	for _, part := range f.queries {
		e, ok := all[part]
		if !ok || e.value.Tag == "!!null" && name == "bool" {
			continue
		}
		if e.value.Kind != yaml.SequenceNode {
			l.query(path+"."+part, e.value)
			continue
		}
		for i, c := range e.value.Content {
			l.query(fmt.Sprintf("%s.%s[%d]", path, part, i), c)
		}
	}
	if e, ok := all["query"]; ok && name == "query_string" {
		switch {
		case e.value.Kind != yaml.ScalarNode || e.value.Tag == "!!null" || strings.TrimSpace(e.value.Value) == "":
			l.mistake(e.value, path+".query", `query: "status:500 AND host:web*"`, "must be a text, not %s", l.shownValue(e.value, nil))
		case l.o.CheckQuery != nil:
			if err := l.o.CheckQuery(e.value.Value); err != nil {
				l.mistake(e.value, path+".query", "", "%v", err)
			}
		}
	}
	if e, ok := all["field"]; ok && name == "exists" && (e.value.Kind != yaml.ScalarNode || e.value.Value == "") {
		l.mistake(e.value, path+".field", "exists: {field: NAME}", "must be the name of a field, not %s", l.shownValue(e.value, nil))
	}
}

// parts checks the names that stand in a query.
func (l *loader) parts(path, name string, f form, n *yaml.Node) {
	all := l.pairs(n)
	if len(f.need) > 0 && !slices.ContainsFunc(f.need, func(s string) bool { _, ok := all[s]; return ok }) {
		l.mistake(n, path, "", "%s needs %s", name, strings.Join(f.need, " or "))
	}
	if f.parts == nil {
		return
	}
	for _, part := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(f.parts, part) {
			l.mistake(all[part].key, path, or(yamlplace.DidYouMean(part, f.parts), "it has "+strings.Join(f.parts, ", ")), "%s has no %s", name, part)
		}
	}
}

// pattern checks the brackets of a regular expression of Lucene, whose other rules are the source's to know.
func (l *loader) pattern(path string, n *yaml.Node) {
	var open []rune
	class, quoted := false, false
	escaped := false
	for _, c := range n.Value {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case quoted:
			quoted = c != '"'
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '"':
			quoted = true
		case c == '(':
			open = append(open, c)
		case c == ')':
			if len(open) == 0 {
				l.mistake(n, path, "", `a ) closes nothing in the regular expression; as itself it is written \)`)
				return
			}
			open = open[:len(open)-1]
		}
	}
	if class || escaped || quoted || len(open) > 0 {
		l.mistake(n, path, "", "a bracket, a quote or a backslash at the end is not closed in the regular expression")
	}
}
