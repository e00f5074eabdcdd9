package docsearch

import (
	"strconv"
	"strings"
	"unicode"
)

// lucenePhrase reads a query in Lucene's syntax.
type lucenePhrase struct {
	text   []rune
	at     int
	depth  int
	fields []string // in which a clause without a field is looked for; none means all
	and    bool     // what stands side by side has to be there together
	phrase bool
	slop   int
	edits  int
	keep   int
	form   dateForm
}

func (p *lucenePhrase) parse() (node, error) {
	n, err := p.group(p.fields, false)
	if err != nil {
		return nil, err
	}
	if n == nil { // an empty query finds nothing
		return none{}, nil
	}
	return n, nil
}

func (p *lucenePhrase) fail(at int, format string, args ...any) error {
	return syntaxError(string(p.text), at, format, args...)
}

func (p *lucenePhrase) space() {
	for p.at < len(p.text) && (unicode.IsSpace(p.text[p.at])) {
		p.at++
	}
}

// next returns the character at hand, 0 at the end.
func (p *lucenePhrase) next() rune {
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// word takes an operator that is written as a word, if it stands here by itself.
func (p *lucenePhrase) word(w string) bool {
	end := p.at + len(w)
	if end > len(p.text) || string(p.text[p.at:end]) != w {
		return false
	}
	if unicode.IsLetter(rune(w[0])) && end < len(p.text) && !unicode.IsSpace(p.text[end]) && !strings.ContainsRune("()+-!\"[{/", p.text[end]) {
		return false
	}
	p.at = end
	return true
}

// group reads clauses up to the end or the closing bracket.
func (p *lucenePhrase) group(fields []string, bracket bool) (node, error) {
	g := gathered{and: p.and}
	from := p.at
	if p.depth++; p.depth > 100 {
		return nil, p.fail(p.at, "more than 100 brackets within one another")
	}
	defer func() { p.depth-- }()
	for {
		p.space()
		switch p.next() {
		case 0:
			if bracket {
				return nil, p.fail(from-1, "a ( that is not closed")
			}
			return g.node(), nil
		case ')':
			if !bracket {
				return nil, p.fail(p.at, "a ) that was not opened")
			}
			p.at++
			if len(g.clauses) == 0 {
				return nil, p.fail(p.at-1, "nothing between ( and )")
			}
			return g.node(), nil
		}
		join, mark, err := p.marks(len(g.clauses) > 0)
		if err != nil {
			return nil, err
		}
		n, err := p.clause(fields)
		if err != nil {
			return nil, err
		}
		g.add(join, mark, n)
	}
}

// marks reads what stands before a clause.
func (p *lucenePhrase) marks(after bool) (join, mark int, err error) {
	at := p.at
	switch {
	case p.word("AND") || p.word("&&"):
		join = markAnd
	case p.word("OR") || p.word("||"):
		join = markOr
	}
	if join != markNone && !after {
		return 0, 0, p.fail(at, "%s with nothing before it", string(p.text[at:p.at]))
	}
	p.space()
	switch {
	case p.word("NOT") || p.word("!") || p.word("-"):
		mark = markNot
	case p.word("+"):
		mark = markMust
	}
	p.space()
	if c := p.next(); (join != markNone || mark != markNone) && (c == 0 || c == ')') {
		return 0, 0, p.fail(at, "%s with nothing after it", strings.TrimSpace(string(p.text[at:p.at])))
	}
	return join, mark, nil
}

// clause reads a field with its value, a value, or a group.
func (p *lucenePhrase) clause(fields []string) (node, error) {
	if p.next() == '*' && p.at+2 < len(p.text)+0 && string(p.text[p.at:p.at+3]) == "*:*" {
		p.at += 3
		return all{}, p.boost()
	}
	from := p.at
	if name, ok := p.fieldName(); ok {
		p.space()
		if name == "_exists_" {
			value, _, err := p.bare()
			if err != nil {
				return nil, err
			}
			return &exists{field: plain(value)}, p.boost()
		}
		fields = unboosted([]string{name})
	} else {
		p.at = from
	}
	if p.next() == '(' {
		p.at++
		n, err := p.group(fields, true)
		if err != nil {
			return nil, err
		}
		return n, p.boost()
	}
	return p.value(fields)
}

// fieldName reads a name and the colon after it, if that is what stands here.
func (p *lucenePhrase) fieldName() (string, bool) {
	text, _, err := p.bare()
	if err != nil {
		return "", false
	}
	p.space()
	if p.next() != ':' {
		return "", false
	}
	p.at++
	return plain(text), true
}

// bare reads a term: whatever ends neither at a space nor at a mark; escapes are left in. wild reports whether it has * or ?.
func (p *lucenePhrase) bare() (text string, wild bool, err error) {
	from := p.at
	for ; p.at < len(p.text); p.at++ {
		c := p.text[p.at]
		if c == '\\' {
			if p.at++; p.at == len(p.text) {
				return "", false, p.fail(p.at-1, `a \ with nothing after it`)
			}
			continue
		}
		if unicode.IsSpace(c) || strings.ContainsRune(`!():^[]"{}~/`, c) || p.at == from && (c == '+' || c == '-') {
			break
		}
		wild = wild || c == '*' || c == '?'
	}
	if p.at == from {
		if p.at == len(p.text) {
			return "", false, p.fail(p.at, "an end where a value should be")
		}
		return "", false, p.fail(p.at, "%q where a value should be", p.text[p.at])
	}
	return string(p.text[from:p.at]), wild, nil
}

// plain takes the escapes out of a term.
func plain(text string) string {
	var b strings.Builder
	runes := []rune(text)
	for i := 0; i < len(runes); i++ {
		if runes[i] == '\\' && i+1 < len(runes) {
			i++
			if runes[i] == 'u' && i+4 < len(runes) {
				if n, err := strconv.ParseUint(string(runes[i+1:i+5]), 16, 32); err == nil {
					b.WriteRune(rune(n))
					i += 4
					continue
				}
			}
		}
		b.WriteRune(runes[i])
	}
	return b.String()
}

// value reads what a field is compared with.
func (p *lucenePhrase) value(fields []string) (node, error) {
	switch p.next() {
	case '"':
		return p.quoted(fields)
	case '/':
		return p.regular(fields)
	case '[', '{':
		return p.between(fields)
	}
	from := p.at
	text, wild, err := p.bare()
	if err != nil {
		return nil, err
	}
	if text[0] == '>' || text[0] == '<' {
		return p.than(from, text, fields)
	}
	if wild {
		return p.wild(text, fields), p.boost()
	}
	n := newText(fields, plain(text))
	n.every, n.phrase = p.and, p.phrase
	if p.next() == '~' {
		if n.fuzzy, n.edits, err = p.tilde(); err != nil {
			return nil, err
		}
		if n.keep = p.keep; n.edits < 0 {
			n.edits = p.edits
		}
		n.edits = min(n.edits, 2) // as many as Lucene takes
	}
	return n, p.boost()
}

// wild is a term with * or ?.
func (p *lucenePhrase) wild(text string, fields []string) node {
	if strings.Trim(text, "*") == "" {
		if len(fields) == 0 {
			return all{}
		}
		return each(fields, func(f string) node { return &exists{field: f} })
	}
	g := globPattern(text)
	return each(fields, func(f string) node {
		n := &termNode{field: f}
		n.glob(g, false)
		n.word = g.lower().match // as the words of the field are
		return n
	})
}

// each is a clause for one of several fields, or for all.
func each(fields []string, clause func(field string) node) node {
	if len(fields) == 1 {
		return clause(fields[0])
	}
	b := &boolean{least: 1}
	if len(fields) == 0 {
		return clause("*")
	}
	for _, f := range fields {
		b.should = append(b.should, clause(f))
	}
	return b
}

// than reads >5, >=5, <5 and <=5, of which text is the beginning: a quoted value may follow.
func (p *lucenePhrase) than(from int, text string, fields []string) (node, error) {
	op, rest := text[:1], text[1:]
	if after, ok := strings.CutPrefix(rest, "="); ok {
		op, rest = text[:2], after
	}
	if rest == "" {
		p.space()
		if p.next() == '"' {
			quoted, err := p.quote()
			if err != nil {
				return nil, err
			}
			rest = quoted
		} else if word, _, err := p.bare(); err == nil {
			rest = word
		} else {
			return nil, p.fail(from, "%s with nothing after it", op)
		}
	}
	for p.next() == ':' { // the time of a date
		p.at++
		more, _, err := p.bare()
		if err != nil {
			return nil, err
		}
		rest += ":" + more
	}
	b, err := newBound(plain(rest), op[0] == '<', len(op) == 2, p.form)
	if err != nil {
		return nil, p.fail(from, "%s", err)
	}
	return each(fields, func(f string) node { return &rangeNode{field: f, bounds: []bound{b}} }), p.boost()
}

// quote reads a text between quotes.
func (p *lucenePhrase) quote() (string, error) {
	from := p.at
	for p.at++; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\\':
			p.at++
		case '"':
			p.at++
			return plain(string(p.text[from+1 : p.at-1])), nil
		}
	}
	return "", p.fail(from, `a " that is not closed`)
}

func (p *lucenePhrase) quoted(fields []string) (node, error) {
	text, err := p.quote()
	if err != nil {
		return nil, err
	}
	n := newText(fields, text)
	n.phrase, n.slop = true, p.slop
	if p.next() == '~' {
		if _, n.slop, err = p.tilde(); err != nil {
			return nil, err
		}
		n.slop = max(0, n.slop)
	}
	return n, p.boost()
}

func (p *lucenePhrase) regular(fields []string) (node, error) {
	from := p.at
	for p.at++; p.at < len(p.text) && p.text[p.at] != '/'; p.at++ {
		if p.text[p.at] == '\\' {
			p.at++
		}
	}
	if p.at >= len(p.text) {
		return nil, p.fail(from, "a regular expression that has no / at its end")
	}
	p.at++
	re, err := lucene(strings.ReplaceAll(string(p.text[from+1:p.at-1]), `\/`, "/"), false)
	if err != nil {
		return nil, p.fail(from, "%s", err)
	}
	return each(fields, func(f string) node {
		n := &termNode{field: f}
		n.expression(re)
		return n
	}), p.boost()
}

// between reads [a TO b], in which { and } leave the end out and * is no end at all.
func (p *lucenePhrase) between(fields []string) (node, error) {
	from := p.at
	low := p.next() == '['
	p.at++
	ends := [2]string{}
	for i := range ends {
		p.space()
		if p.next() == '"' {
			text, err := p.quote()
			if err != nil {
				return nil, err
			}
			ends[i] = text
		} else {
			start := p.at
			for p.at < len(p.text) && !unicode.IsSpace(p.text[p.at]) && p.text[p.at] != ']' && p.text[p.at] != '}' {
				p.at++
			}
			if ends[i] = plain(string(p.text[start:p.at])); ends[i] == "" {
				return nil, p.fail(from, "a range that is not [a TO b]")
			}
		}
		p.space()
		if i == 0 && !p.word("TO") {
			return nil, p.fail(from, "a range that is not [a TO b]")
		}
	}
	end := p.next()
	if end != ']' && end != '}' {
		return nil, p.fail(from, "a range that is not closed")
	}
	p.at++
	var bounds []bound
	for i, text := range ends {
		if text == "*" {
			continue
		}
		b, err := newBound(text, i == 1, i == 0 && low || i == 1 && end == ']', p.form)
		if err != nil {
			return nil, p.fail(from, "%s", err)
		}
		bounds = append(bounds, b)
	}
	return each(fields, func(f string) node {
		if bounds == nil {
			return &exists{field: f}
		}
		return &rangeNode{field: f, bounds: bounds}
	}), p.boost()
}

// figure reads the number after ~ or ^.
func (p *lucenePhrase) figure() (float64, bool, error) {
	from := p.at
	for p.at < len(p.text) && (unicode.IsDigit(p.text[p.at]) || p.text[p.at] == '.') {
		p.at++
	}
	if from == p.at {
		return 0, false, nil
	}
	f, err := strconv.ParseFloat(string(p.text[from:p.at]), 64)
	if err != nil {
		return 0, false, p.fail(from, "%q, which is no number", string(p.text[from:p.at]))
	}
	return f, true, nil
}

// tilde reads ~ or ~2; without a number, or with a share of 1 as it used to be written, the edits are -1.
func (p *lucenePhrase) tilde() (fuzzy bool, n int, err error) {
	p.at++
	f, ok, err := p.figure()
	if err != nil {
		return false, 0, err
	}
	if !ok || f > 0 && f < 1 {
		return true, -1, nil
	}
	return true, int(min(f, 1000)), nil
}

// boost takes ^2, which changes no match.
func (p *lucenePhrase) boost() error {
	if p.next() != '^' {
		return nil
	}
	from := p.at
	p.at++
	if _, ok, err := p.figure(); err != nil || !ok {
		return p.fail(from, "a ^ without a number")
	}
	return nil
}
