package docsearch

import (
	"fmt"
	"strings"
	"unicode"
)

// simpleQueryString reads the query that never fails: + is and, | is or, - is not, "..." a phrase, * a beginning, ( ) a group.
func (c *compiler) simpleQueryString(body any) (node, error) {
	o, err := c.object("simple_query_string", body)
	if err != nil {
		return nil, err
	}
	text, ok := o.take("query")
	if !ok {
		return nil, fmt.Errorf("[simple_query_string] has no query")
	}
	if flags := o.text("flags", "ALL"); flags != "ALL" {
		return nil, fmt.Errorf("[simple_query_string] has flags, which are not supported here")
	}
	s := &simple{text: []rune(queryText(text)), fields: unboosted(o.texts("fields")), and: strings.EqualFold(o.text("default_operator", "or"), "and")}
	if err := analyzer(o, &textNode{}); err != nil {
		return nil, err
	}
	o.skip("analyze_wildcard", "fuzzy_max_expansions", "fuzzy_prefix_length")
	n := s.group(0)
	if n == nil {
		n = none{}
	}
	return c.end(o, n)
}

type simple struct {
	text   []rune
	at     int
	fields []string
	and    bool
}

// group reads clauses, each of which is joined to all that stands before it.
func (s *simple) group(depth int) node {
	var read node
	for every, not := s.and, false; s.at < len(s.text); {
		switch r := s.text[s.at]; {
		case unicode.IsSpace(r):
			s.at++
			continue
		case r == '+' || r == '|':
			every = r == '+'
			s.at++
			continue
		case r == '-':
			not = !not
			s.at++
			continue
		case r == ')':
			s.at++
			if depth > 0 {
				return read
			}
			continue
		}
		n := s.clause(depth)
		switch {
		case n == nil:
			continue
		case not:
			n = &boolean{not: []node{n}}
		}
		switch {
		case read == nil:
			read = n
		case every:
			read = &boolean{must: []node{read, n}}
		default:
			read = &boolean{should: []node{read, n}, least: 1}
		}
		every, not = s.and, false
	}
	return read
}

func (s *simple) clause(depth int) node {
	if s.text[s.at] == '(' {
		s.at++
		if depth > 100 {
			return nil
		}
		return s.group(depth + 1)
	}
	phrase := s.text[s.at] == '"'
	if phrase {
		s.at++
	}
	var b strings.Builder
	for ; s.at < len(s.text); s.at++ {
		r := s.text[s.at]
		if r == '\\' && s.at+1 < len(s.text) {
			s.at++
			b.WriteRune(s.text[s.at])
			continue
		}
		if phrase && r == '"' {
			s.at++
			break
		}
		if !phrase && (unicode.IsSpace(r) || strings.ContainsRune(`+|()"`, r)) {
			break
		}
		b.WriteRune(r)
	}
	text := b.String()
	if start, ok := strings.CutSuffix(text, "*"); ok && !phrase && start != "" {
		return each(s.fields, func(f string) node {
			n := &termNode{field: f}
			n.texts(start, false, strings.HasPrefix)
			n.word = func(w string) bool { return strings.HasPrefix(w, strings.ToLower(start)) }
			return n
		})
	}
	n := newText(s.fields, text)
	if word, edits, ok := strings.Cut(text, "~"); ok && len(edits) == 1 && edits[0] >= '0' && edits[0] <= '2' {
		n = newText(s.fields, word)
		if n.slop = int(edits[0] - '0'); !phrase {
			n.fuzzy, n.edits = true, n.slop
		}
	}
	n.phrase, n.every = phrase, s.and
	return n
}
