package plan

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar is the text of an entry as it stands in its file.
type scalar struct {
	line, column int // where it begins; a quote or a | belongs to it
	style        yaml.Style
	value        string
}

// within returns where a place in the text of an entry stands in the file; lines and columns begin at 1 and columns are characters.
// It is false where that cannot be told: of folded texts, of escapes such as \u0041, and of what goes on in the next line.
func (p *Places) within(path string, line, column int) (at [2]int, ok bool) {
	s, there := p.texts[path]
	if !there || line < 1 || column < 1 || s.line > len(p.lines) {
		return at, false
	}
	if s.style&yaml.LiteralStyle != 0 {
		return p.withinLiteral(s, line, column)
	}
	raw := []rune(p.lines[s.line-1])
	if line > 1 || s.column > len(raw)+1 {
		return at, false
	}
	raw = raw[s.column-1:]
	next := 0 // of raw, behind what is read
	quote := rune(0)
	switch {
	case s.style&yaml.SingleQuotedStyle != 0:
		quote, next = '\'', 1
	case s.style&yaml.DoubleQuotedStyle != 0:
		quote, next = '"', 1
	case s.style&yaml.FoldedStyle != 0:
		return at, false
	}
	if quote != 0 && (len(raw) == 0 || raw[0] != quote) {
		return at, false
	}
	n := 1
	for _, c := range s.value {
		if n == column {
			break
		}
		n++
		if next < len(raw) && (quote == '"' && raw[next] == '\\' || quote == '\'' && raw[next] == quote) {
			next++ // of \", \\ and '' the second one is the character; of \t it is not
		}
		if next >= len(raw) || raw[next] != c {
			return at, false
		}
		next++
	}
	return [2]int{s.line, s.column + next}, n == column
}

// withinLiteral is within for a text behind a |, whose lines stand in the file as they are behind an indentation.
func (p *Places) withinLiteral(s scalar, line, column int) (at [2]int, ok bool) {
	lines := strings.Split(s.value, "\n")
	if line > len(lines) || s.line+line > len(p.lines) {
		return at, false
	}
	indent, ok := strings.CutSuffix(p.lines[s.line+line-1], lines[line-1])
	return [2]int{s.line + line, len(indent) + column}, ok && strings.Trim(indent, " ") == ""
}
