package rule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/stint-run/stint/internal/yamlplace"
)

// The levels of a problem.
const (
	// Mistake refuses the rule that has it, or the whole set where it is of no single rule.
	Mistake = "error"
	// Note says what works but is most likely not meant, or is done in another way than ElastAlert does it. It refuses nothing.
	Note = "note"
)

// Problem is one thing to know of a rule file.
type Problem struct {
	File    string `json:"file"`             // as it can be opened
	Line    int    `json:"line"`             // from 1; 0 is the file as a whole
	Column  int    `json:"column"`           // from 1; 0 when unknown
	Option  string `json:"option,omitempty"` // its name, with the way into it: filter[0].term
	Level   string `json:"level"`            // Mistake or Note
	Message string `json:"message"`          // never has a secret in it
	Hint    string `json:"hint,omitempty"`   // what to do now
}

// String returns place, option, message and hint in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Level == Note {
		b.WriteString("note: ")
	}
	if p.Option != "" {
		b.WriteString(p.Option + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems are all that there is to know of a set of rule files, by file, line and column, each once. As an error they have a line
// for each.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Mistakes are those that refuse something.
func (p Problems) Mistakes() Problems { return p.of(Mistake) }

// Notes are those that refuse nothing.
func (p Problems) Notes() Problems { return p.of(Note) }

// Err returns the mistakes as an error, nil when there is none.
func (p Problems) Err() error {
	if m := p.Mistakes(); len(m) > 0 {
		return m
	}
	return nil
}

func (p Problems) of(level string) Problems {
	return slices.DeleteFunc(slices.Clone(p), func(x Problem) bool { return x.Level != level })
}

// sorted returns them in their order, each once: what stands in a file that many rules import is found many times.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Level, b.Level), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p)
}

// whatIsMeant is the hint of an option that is none. What resembles one only from afar is taken for a team's own.
func whatIsMeant(name string) string {
	if n := yamlplace.Nearest(name, names(), 4); n != "" {
		return "did you mean " + n + "?"
	}
	return "if it is a name of your own, for people or for texts, write own_options: [" + name + "] into " + DefaultsFile + ", or begin it with " + FreePrefix
}
