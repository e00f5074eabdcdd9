package docsearch

import (
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// ParseQueryString reads a query in Lucene's syntax, as query_string has it, and says what is wrong with it and at which character.
func ParseQueryString(query string) error {
	p := &lucenePhrase{text: []rune(query), form: dateForm{zone: time.UTC}}
	_, err := p.parse()
	return err
}

// syntaxError says where a query cannot be read, counted from 1.
func syntaxError(query string, at int, format string, args ...any) error {
	return tasks.WithHint(nil, `put what is meant literally into "quotes", or \ before + - ! ( ) { } [ ] ^ " ~ * ? : \ /`,
		"cannot parse the query %q: %s at character %d", query, fmt.Sprintf(format, args...), at+1)
}

func (c *compiler) queryString(body any) (node, error) {
	o, err := c.object("query_string", body)
	if err != nil {
		return nil, err
	}
	text, ok := o.m["query"].(string)
	if _, given := o.take("query"); !ok || !given {
		return nil, fmt.Errorf("[query_string] has no query that is a text")
	}
	p := &lucenePhrase{text: []rune(text), fields: unboosted(o.texts("fields"))}
	if f := o.text("default_field", ""); f != "" {
		p.fields = unboosted([]string{f})
	}
	switch op := strings.ToLower(o.text("default_operator", "or")); op {
	case "and":
		p.and = true
	case "or":
	default:
		return nil, fmt.Errorf("[query_string] has the default_operator %q, which is neither AND nor OR", op)
	}
	p.slop = o.whole("phrase_slop", 0)
	if p.form, err = newDateForm("", o.text("time_zone", "")); err != nil {
		return nil, fmt.Errorf("[query_string]: %w", err)
	}
	if v, ok := o.take("fuzziness"); ok {
		if p.edits, err = readEdits(v); err != nil {
			return nil, fmt.Errorf("[query_string]: %w", err)
		}
	} else {
		p.edits = -1
	}
	p.keep = o.whole("fuzzy_prefix_length", 0)
	switch kind := o.text("type", "best_fields"); kind {
	case "best_fields", "most_fields", "cross_fields":
	case "phrase":
		p.phrase = true
	default:
		return nil, fmt.Errorf("[query_string] has the type %q, which is not supported here", kind)
	}
	if err := analyzer(o, &textNode{}); err != nil {
		return nil, err
	}
	o.skip("analyze_wildcard", "allow_leading_wildcard", "enable_position_increments", "fuzzy_max_expansions", "quote_analyzer", "tie_breaker", "rewrite", "max_determinized_states")
	if exact := o.text("quote_field_suffix", ""); exact != "" && !isKeyword(exact) {
		return nil, fmt.Errorf("[query_string] has a quote_field_suffix, which is not supported here")
	}
	n, err := p.parse()
	if err != nil {
		return nil, err
	}
	if least, ok := o.take("minimum_should_match"); ok {
		if b, isBool := n.(*boolean); isBool && len(b.should) > 0 {
			if b.least, err = atLeast(least, len(b.should)); err != nil {
				return nil, fmt.Errorf("[query_string]: %w", err)
			}
		}
	}
	return c.end(o, n)
}

// gathered is what stands between brackets, or the whole of a query: clauses in Lucene's way, where AND and OR are marks of the clauses
// beside them and not operators with a rank: a AND b OR c is +a +b c.
type gathered struct {
	clauses []clause
	and     bool
}

type clause struct {
	node          node
	must, mustNot bool
}

// The marks before a clause.
const (
	markNone = iota
	markAnd
	markOr
	markNot
	markMust
)

func (g *gathered) add(join, mark int, n node) {
	if last := len(g.clauses) - 1; last >= 0 && !g.clauses[last].mustNot {
		if join == markAnd {
			g.clauses[last].must = true
		} else if join == markOr && g.and {
			g.clauses[last].must = false
		}
	}
	if n == nil {
		return
	}
	c := clause{node: n, mustNot: mark == markNot}
	if g.and {
		c.must = !c.mustNot && join != markOr
	} else {
		c.must = mark == markMust || join == markAnd && !c.mustNot
	}
	g.clauses = append(g.clauses, c)
}

func (g *gathered) node() node {
	if len(g.clauses) == 0 {
		return nil
	}
	if len(g.clauses) == 1 && !g.clauses[0].mustNot {
		return g.clauses[0].node
	}
	b := &boolean{}
	for _, c := range g.clauses {
		switch {
		case c.mustNot:
			b.not = append(b.not, c.node)
		case c.must:
			b.must = append(b.must, c.node)
		default:
			b.should = append(b.should, c.node)
		}
	}
	if len(b.must) == 0 && len(b.should) > 0 {
		b.least = 1
	}
	return b
}
