package docsearch

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
)

// termNode holds when a value, or a word of it, is one of some texts or numbers. Each test of them has both forms, for a query that
// knows no case is told its own.
type termNode struct {
	field string
	whole func(f *field, value any) bool
	word  func(word string) bool
}

func (n *termNode) match(v *view) bool {
	for _, name := range v.expand(n.field) {
		if f := v.field(name); f.any(n.whole, n.word) {
			return true
		}
	}
	return false
}

// any reports whether a value passes the test of values, or a word that of words, as its kind has it.
func (f *field) any(whole func(*field, any) bool, word func(string) bool) bool {
	for _, x := range f.values {
		if _, isText := x.(string); isText && f.kind == Text {
			continue
		}
		if whole(f, x) {
			return true
		}
	}
	if word == nil {
		return false
	}
	for _, words := range f.words() {
		if slices.ContainsFunc(words, word) {
			return true
		}
	}
	return false
}

// term is a value that others are compared with.
type term struct {
	raw     any
	text    string
	lower   bool // compare without regard to case
	number  float64
	numeric bool
	network netip.Prefix
	from    [2]int64 // what it is as a date: its first and last millisecond
	date    bool
}

func newTerm(raw any, insensitive bool) term {
	t := term{raw: raw, text: queryText(raw), lower: insensitive}
	t.number, t.numeric = number(raw)
	if strings.Contains(t.text, "/") {
		t.network, _ = netip.ParsePrefix(t.text)
	}
	if len(t.text) >= len("2006-01-02") {
		first, ok := parseISO(t.text, false, time.UTC)
		last, _ := parseISO(t.text, true, time.UTC)
		t.from, t.date = [2]int64{first.UnixMilli(), last.UnixMilli()}, ok
	}
	return t
}

// is reports whether a whole value is the term.
func (t *term) is(f *field, value any) bool {
	switch x := value.(type) {
	case string:
		if x == t.text || t.lower && strings.EqualFold(x, t.text) {
			return true
		}
		if t.network.IsValid() {
			a, err := netip.ParseAddr(x)
			return err == nil && t.network.Contains(a)
		}
	case bool:
		return queryText(x) == t.text
	case json.Number:
		if n, ok := document.Number(x); t.numeric && ok && f.time == nil {
			return n == t.number && (x.String() == t.text || n < 1<<53 && n > -1<<53)
		}
	}
	if t.date {
		ms, ok := f.moment(value)
		return ok && ms >= t.from[0] && ms <= t.from[1]
	}
	return false
}

func (t *term) isWord(word string) bool {
	return word == t.text || t.lower && strings.EqualFold(word, t.text)
}

func (c *compiler) termLevel(kind string, body any) (node, error) {
	short := "value"
	field, o, err := single(kind, body, short)
	if err != nil {
		return nil, err
	}
	if _, ok := o.m["wildcard"]; ok && kind == "wildcard" {
		short = "wildcard"
	}
	value, ok := o.take(short)
	if !ok {
		return nil, fmt.Errorf("%s has no value", o.where)
	}
	if kind := kindOf(value); kind == "a list" || kind == "an object" {
		return nil, fmt.Errorf("%s wants one value, not %s", o.where, kind)
	}
	insensitive := o.flag("case_insensitive", false)
	o.skip("rewrite")
	n := &termNode{field: field}
	text := queryText(value)
	switch kind {
	case "term":
		t := newTerm(value, insensitive)
		n.whole, n.word = t.is, t.isWord
	case "prefix":
		n.texts(text, insensitive, strings.HasPrefix)
	case "wildcard":
		n.glob(globPattern(text), insensitive)
	case "regexp":
		o.skip("flags", "max_determinized_states")
		re, err := lucene(text, insensitive)
		if err != nil {
			return nil, err
		}
		n.expression(re)
	case "fuzzy":
		fuzziness, _ := o.take("fuzziness")
		edits, err := readEdits(fuzziness)
		if err != nil {
			return nil, err
		}
		keep := o.whole("prefix_length", 0)
		o.skip("max_expansions", "transpositions")
		n.texts(text, insensitive, func(s, text string) bool { return near(s, text, edits, keep) })
	}
	return c.end(o, n)
}

// texts compares values and words with a text.
func (n *termNode) texts(text string, insensitive bool, holds func(s, text string) bool) {
	fold := func(s string) string { return s }
	if insensitive {
		fold = strings.ToLower
	}
	n.word = func(s string) bool { return holds(fold(s), fold(text)) }
	n.whole = func(_ *field, x any) bool { return holds(fold(queryText(x)), fold(text)) }
}

func (n *termNode) glob(g glob, insensitive bool) {
	if insensitive {
		g = g.lower()
		n.word = g.match
		n.whole = func(_ *field, x any) bool { return g.match(strings.ToLower(queryText(x))) }
		return
	}
	n.word = g.match
	n.whole = func(_ *field, x any) bool { return g.match(queryText(x)) }
}

func (n *termNode) expression(re *regexp.Regexp) {
	n.word = re.MatchString
	n.whole = func(_ *field, x any) bool { return re.MatchString(queryText(x)) }
}

// readEdits reads a fuzziness: how many edits a word may be away; -1 is AUTO.
func readEdits(v any) (int, error) {
	text := strings.ToUpper(queryText(v))
	if v == nil || strings.HasPrefix(text, "AUTO") {
		return -1, nil
	}
	if n, ok := number(v); ok && n >= 0 && n <= 2 {
		return int(n), nil
	}
	return 0, fmt.Errorf("a fuzziness is AUTO, 0, 1 or 2, not %q", text)
}

// near reports whether a word is a text with at most so many edits, and the same first letters.
func near(word, text string, edits, keep int) bool {
	letters := []rune(text)
	if edits < 0 {
		edits = 2
		if len(letters) < 3 {
			edits = 0
		} else if len(letters) < 6 {
			edits = 1
		}
	}
	if keep > 0 && !strings.HasPrefix(word, string(letters[:min(keep, len(letters))])) {
		return false
	}
	return distance(text, word, edits) <= edits
}

func (c *compiler) terms(body any) (node, error) {
	name, o, err := single("terms", body, "values")
	if err != nil {
		return nil, err
	}
	values := o.list("values")
	if len(o.m) > 0 && values == nil {
		if _, lookup := o.m["index"]; lookup {
			return nil, fmt.Errorf("[terms] of %s looks its values up in an index, which is not supported here", name)
		}
		return nil, fmt.Errorf("[terms] of %s wants a list", name)
	}
	texts, terms := map[string]bool{}, make([]term, len(values))
	compared := false // whether there is more to it than equal texts
	for i, v := range values {
		terms[i] = newTerm(v, false)
		texts[terms[i].text] = true
		compared = compared || terms[i].numeric || terms[i].network.IsValid() || terms[i].date
	}
	return c.end(o, &termNode{field: name,
		whole: func(f *field, x any) bool {
			if texts[queryText(x)] {
				return true
			}
			return compared && slices.ContainsFunc(terms, func(t term) bool { return t.is(f, x) })
		},
		word: func(word string) bool { return texts[word] }})
}
