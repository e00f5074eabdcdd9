package docsearch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/document"
)

// textNode is a text that is looked for in fields, analysed where the field is.
type textNode struct {
	fields []string // with *; none means all
	text   string
	term   term
	words  []string
	phrase bool
	prefix bool // the last word is the beginning of one
	slop   int
	every  bool // all words, not one of them
	// least is how many of the words there have to be, as minimum_should_match has it; nil is all or one.
	least any
	fuzzy bool
	edits int
	keep  int
	empty bool // a text without words is found everywhere
}

func newText(fields []string, text any) *textNode {
	return &textNode{fields: fields, text: queryText(text), term: newTerm(text, false), words: Analyze(queryText(text))}
}

func (n *textNode) match(v *view) bool {
	if n.empty && len(n.words) == 0 {
		return true
	}
	for _, pattern := range n.fields {
		for _, name := range v.expand(pattern) {
			if n.in(v.field(name)) {
				return true
			}
		}
	}
	return len(n.fields) == 0 && slices.ContainsFunc(v.names(), func(name string) bool { return n.in(v.field(name)) })
}

// in looks in one field.
func (n *textNode) in(f *field) bool {
	for i, x := range f.values {
		if f.kind != Text && n.term.is(f, x) {
			return true
		}
		text, isText := x.(string)
		switch {
		case !isText:
		case f.kind == Keyword:
			if n.fuzzy && near(text, n.text, n.edits, n.keep) || n.prefix && strings.HasPrefix(text, n.text) {
				return true
			}
		case n.found(f.words()[i]):
			return true
		}
	}
	return false
}

// found looks for the words among those of a text.
func (n *textNode) found(text []string) bool {
	if len(n.words) == 0 {
		return false
	}
	if n.phrase {
		return phrase(text, n.words, n.slop, n.prefix)
	}
	found := 0
	for _, w := range n.words {
		if slices.ContainsFunc(text, func(t string) bool { return t == w || n.fuzzy && near(t, w, n.edits, n.keep) }) {
			found++
		}
	}
	least := 1
	if n.every {
		least = len(n.words)
	} else if n.least != nil {
		least, _ = atLeast(n.least, len(n.words)) // checked by who set it
		least = max(1, least)
	}
	return found >= least
}

// crossNode is a text each of whose words may be in another field.
type crossNode []*textNode

func (n crossNode) match(v *view) bool {
	return !slices.ContainsFunc(n, func(t *textNode) bool { return !t.match(v) })
}

// textOptions reads what match and multi_match have in common.
func textOptions(o *options, n *textNode) error {
	if n.every = strings.EqualFold(o.text("operator", "or"), "and"); o.m["operator"] != nil && !n.every && !strings.EqualFold(o.text("operator", ""), "or") {
		o.fail("has the operator %q, which is neither and nor or", o.text("operator", ""))
	}
	if least, ok := o.take("minimum_should_match"); ok {
		if _, err := atLeast(least, 1); err != nil {
			return fmt.Errorf("%s: %w", o.where, err)
		}
		n.least = least
	}
	if f, ok := o.take("fuzziness"); ok {
		edits, err := readEdits(f)
		if err != nil {
			return fmt.Errorf("%s: %w", o.where, err)
		}
		n.fuzzy, n.edits = true, edits
	}
	n.keep = o.whole("prefix_length", 0)
	n.slop = o.whole("slop", 0)
	switch zero := o.text("zero_terms_query", "none"); zero {
	case "all":
		n.empty = true
	case "none":
	default:
		o.fail("has the zero_terms_query %q, which is neither all nor none", zero)
	}
	return analyzer(o, n)
}

// analyzer takes the analyzers that can be had.
func analyzer(o *options, n *textNode) error {
	switch name := o.text("analyzer", "standard"); name {
	case "standard":
	case "keyword":
		n.words = []string{n.text}
	default:
		return fmt.Errorf("%s asks for the analyzer %q; standard and keyword are there", o.where, name)
	}
	o.skip("lenient", "max_expansions", "fuzzy_transpositions", "fuzzy_rewrite", "auto_generate_synonyms_phrase_query", "cutoff_frequency")
	return nil
}

func (c *compiler) matchQuery(kind string, body any) (node, error) {
	field, o, err := single(kind, body, "query")
	if err != nil {
		return nil, err
	}
	text, ok := o.take("query")
	if !ok {
		return nil, fmt.Errorf("%s has no query", o.where)
	}
	if kind := kindOf(text); kind == "a list" || kind == "an object" {
		return nil, fmt.Errorf("%s wants one text, not %s", o.where, kind)
	}
	n := newText([]string{field}, text)
	if err := textOptions(o, n); err != nil {
		return nil, err
	}
	n.phrase, n.prefix = kind != "match", kind == "match_phrase_prefix"
	if o.text("type", "") == "phrase" { // how it was written before match_phrase
		n.phrase = true
	}
	return c.end(o, n)
}

func (c *compiler) multiMatch(body any) (node, error) {
	o, err := c.object("multi_match", body)
	if err != nil {
		return nil, err
	}
	text, ok := o.take("query")
	if !ok {
		return nil, fmt.Errorf("[multi_match] has no query")
	}
	n := newText(unboosted(o.texts("fields")), text)
	if err := textOptions(o, n); err != nil {
		return nil, err
	}
	o.skip("tie_breaker")
	switch kind := o.text("type", "best_fields"); kind {
	case "best_fields", "most_fields":
	case "phrase", "phrase_prefix":
		n.phrase, n.prefix = true, kind == "phrase_prefix"
	case "cross_fields":
		if n.every {
			var cross crossNode
			for _, w := range n.words {
				cross = append(cross, newText(n.fields, w))
			}
			return c.end(o, cross)
		}
	default:
		return nil, fmt.Errorf("[multi_match] has the type %q, which is not supported here", kind)
	}
	return c.end(o, n)
}

// unboosted takes the ^2 off fields; the field * is all of them.
func unboosted(fields []string) []string {
	out := make([]string, 0, len(fields))
	for _, f := range fields {
		f, _, _ = strings.Cut(f, "^")
		if f == "*" {
			return nil
		}
		out = append(out, f)
	}
	return out
}

// isKeyword reports whether a field is known to be exact by its name.
func isKeyword(field string) bool { return strings.HasSuffix(field, document.Keyword) }
