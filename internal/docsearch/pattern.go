package docsearch

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// glob is a pattern of * and ?, in pieces.
type glob struct {
	runes []rune
	wild  []bool // whether the rune at that place stands for more than itself
}

// globPattern reads a pattern in which \ takes the meaning of what follows.
func globPattern(pattern string) glob {
	var g glob
	escaped := false
	for _, r := range pattern {
		if r == '\\' && !escaped {
			escaped = true
			continue
		}
		g.runes, g.wild = append(g.runes, r), append(g.wild, !escaped && (r == '*' || r == '?'))
		escaped = false
	}
	if escaped {
		g.runes, g.wild = append(g.runes, '\\'), append(g.wild, false)
	}
	return g
}

// lower returns the pattern for texts in lower case.
func (g glob) lower() glob {
	return glob{runes: []rune(strings.ToLower(string(g.runes))), wild: g.wild}
}

// match reports whether the whole of a text fits.
func (g glob) match(text string) bool {
	t := []rune(text)
	p, star, mark := 0, -1, 0
	for i := 0; i < len(t); {
		switch {
		case p < len(g.runes) && g.wild[p] && g.runes[p] == '*':
			star, mark = p, i
			p++
		case p < len(g.runes) && (g.wild[p] || g.runes[p] == t[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	for p < len(g.runes) && g.wild[p] && g.runes[p] == '*' {
		p++
	}
	return p == len(g.runes)
}

// lucene makes a Go expression of one in Lucene's syntax, which fits whole texts only.
func lucene(pattern string, insensitive bool) (*regexp.Regexp, error) {
	var b strings.Builder
	b.WriteString(`(?s`)
	if insensitive {
		b.WriteByte('i')
	}
	b.WriteString(`)\A(?:`)
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; r {
		case '\\':
			if i++; i == len(runes) {
				return nil, fmt.Errorf("the regular expression /%s/ ends in a \\", pattern)
			}
			if strings.ContainsRune("dDwWsS", runes[i]) {
				b.WriteRune('\\')
				b.WriteRune(runes[i])
				continue
			}
			b.WriteString(regexp.QuoteMeta(string(runes[i])))
		case '^', '$': // ordinary characters there
			b.WriteString(regexp.QuoteMeta(string(r)))
		case '@':
			b.WriteString(".*")
		case '#':
			b.WriteString(`[^\x{0}-\x{10FFFF}]`)
		case '~', '&':
			return nil, fmt.Errorf("the regular expression /%s/ has the operator %c, which is not supported here", pattern, r)
		case '"':
			end := i + 1
			for end < len(runes) && runes[end] != '"' {
				end++
			}
			if end == len(runes) {
				return nil, fmt.Errorf("the regular expression /%s/ has a quote that does not end", pattern)
			}
			b.WriteString(regexp.QuoteMeta(string(runes[i+1 : end])))
			i = end
		case '<':
			end := i + 1
			for end < len(runes) && runes[end] != '>' {
				end++
			}
			numbers, err := numeric(string(runes[i+1 : min(end, len(runes))]))
			if err != nil || end == len(runes) {
				return nil, fmt.Errorf("the regular expression /%s/ has no interval of numbers between < and >", pattern)
			}
			b.WriteString(numbers)
			i = end
		case '[':
			end := i + 1
			if end < len(runes) && runes[end] == '^' {
				end++
			}
			for end < len(runes) && (runes[end] != ']' || end == i+1) {
				if runes[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(runes) {
				return nil, fmt.Errorf("the regular expression /%s/ has a [ that does not end", pattern)
			}
			b.WriteString(strings.ReplaceAll(string(runes[i:end+1]), "[:", `[\:`))
			i = end
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString(`)\z`)
	re, err := regexp.Compile(b.String())
	if err != nil {
		reason := err.Error()
		if s, ok := err.(*syntax.Error); ok {
			reason = s.Code.String()
		}
		return nil, fmt.Errorf("the regular expression /%s/ cannot be read: %s", pattern, reason)
	}
	return re, nil
}

// numeric writes the whole numbers of a-b as alternatives; it is for small intervals.
func numeric(text string) (string, error) {
	low, high, ok := strings.Cut(text, "-")
	from, err1 := strconv.Atoi(low)
	to, err2 := strconv.Atoi(high)
	if !ok || err1 != nil || err2 != nil || to < from || to-from > 1000 {
		return "", fmt.Errorf("no interval: %q", text)
	}
	words := make([]string, 0, to-from+1)
	for n := from; n <= to; n++ {
		words = append(words, "0*"+strconv.Itoa(n))
	}
	return "(?:" + strings.Join(words, "|") + ")", nil
}

// Wildcard reports whether a name fits a pattern of * and ?.
func Wildcard(pattern, name string) bool { return globPattern(pattern).match(name) }
