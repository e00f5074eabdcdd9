package pipeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a pipeline.
type Problem struct {
	File    string `json:"file,omitempty"`   // as it was given to Read; "" for a pipeline that came from no file
	Line    int    `json:"line,omitempty"`   // from 1; 0 when unknown
	Column  int    `json:"column,omitempty"` // from 1; 0 when unknown
	Path    string `json:"path,omitempty"`   // of the entry: steps[1].run[0]; "" is the file as a whole
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"` // what to do now
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

// Problems is all that is wrong with a pipeline, by line and column, each once. As an error it has a line for each.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, nil when there is none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// sorted returns them in their order, each once: what an alias stands for is read at each of its places.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	said := map[string]bool{}
	p = slices.DeleteFunc(p, func(x Problem) bool {
		key := fmt.Sprintf("%d:%d:%s", x.Line, x.Column, x.Message)
		again := said[key] && x.Line > 0
		said[key] = true
		return again
	})
	if len(p) > maxProblems {
		rest := p[maxProblems]
		rest.Path, rest.Message, rest.Hint = "", fmt.Sprintf("from here on %d more things are wrong", len(p)-maxProblems), ""
		p = append(p[:maxProblems:maxProblems], rest)
	}
	return p
}

// maxProblems is how many are said, of a file that nobody has written by hand.
const maxProblems = 500

// parent returns the path of the entry around one.
func parent(path string) string {
	if i := strings.LastIndexAny(path, ".["); i > 0 {
		return path[:i]
	}
	return ""
}
