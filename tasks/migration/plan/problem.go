package plan

import (
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a plan.
type Problem struct {
	Path    string // of the entry: stages[1].map.total; "" is the plan as a whole
	File    string // "" when the plan came from no file
	Line    int    // from 1; 0 when unknown
	Column  int    // from 1; 0 when unknown
	Message string
	Hint    string // what to do now; may be empty
	// TextLine and TextColumn are the place in the entry's text, such as an expression, from 1; 0 when it is the whole. Message begins
	// with them as long as Line and Column do not say so.
	TextLine, TextColumn int
}

// Within returns the problem of a place in an entry's text.
func Within(path string, line, column int, message, hint string) Problem {
	p := Problem{Path: path, Hint: hint, TextLine: line, TextColumn: column}
	p.Message = p.within() + message
	return p
}

// within is what Message begins with.
func (p *Problem) within() string {
	if p.TextLine > 1 {
		return fmt.Sprintf("line %d, column %d: ", p.TextLine, p.TextColumn)
	}
	return fmt.Sprintf("column %d: ", p.TextColumn)
}

// String returns place, path, message and hint in one line.
func (p Problem) String() string {
	var b strings.Builder
	switch {
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&b, "%s:%d:%d: ", p.File, p.Line, p.Column)
	case p.File != "":
		b.WriteString(p.File + ": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems is all that is wrong with a plan. As an error it has a line for each.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// asError returns nil when there is none.
func (p Problems) asError() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// Places are where the entries of a plan stand in its file, by their paths.
type Places struct {
	file  string
	at    map[string][2]int // line and column
	lines []string          // of the file
	texts map[string]scalar // of entries that are texts
}

// Locate adds file, line and column to problems that were found later, in the plan as it was parsed. An entry that is not in the
// file is said to be where the nearest one around it is. A problem within an expression is said to be where that stands, if the
// expression stands in the file as it is.
func (p *Places) Locate(found Problems) Problems {
	out := slices.Clone(found)
	for i := range out {
		if out[i].File != "" || p == nil {
			continue
		}
		out[i].File = p.file
		if at, ok := p.within(out[i].Path, out[i].TextLine, out[i].TextColumn); ok {
			out[i].Line, out[i].Column = at[0], at[1]
			out[i].Message = strings.TrimPrefix(out[i].Message, out[i].within())
			continue
		}
		for path := out[i].Path; ; path = parent(path) {
			if at, ok := p.at[path]; ok {
				out[i].Line, out[i].Column = at[0], at[1]
				break
			}
			if path == "" {
				break
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Problem) int { return a.Line - b.Line })
	return out
}

// parent returns the path of the entry around one.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}
