package config

import (
	"fmt"
	"slices"
	"strings"
)

// Place is where a value was set. The zero value is the defaults.
type Place struct {
	File   string // path of a file; "" when it was none
	Line   int    // from 1; 0 when unknown
	Column int    // from 1; 0 when unknown
	Source string // "env NAME" or "flag --name" when it was no file
}

// String returns FILE:LINE:COLUMN, the variable or flag, or "default".
func (p Place) String() string {
	switch {
	case p.File == "" && p.Source == "":
		return "default"
	case p.File == "":
		return p.Source
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
}

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Place   Place
	Key     string // "" when it is not about one
	Message string // never has a secret in it
	Hint    string // what to do now; may be empty
}

// String returns place, key, message and hint in one line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Place.String() + ": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Error is all that is wrong with a configuration, in the order of files and lines.
type Error struct{ Problems []Problem }

// Error returns one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// asError returns nil when there is no problem.
func asError(problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return &Error{Problems: problems}
}

// Origin says where the value of a key came from.
type Origin struct {
	Key   string // dotted; of a connection: connections.NAME.url
	Value string // as text, secrets masked
	Place Place
	Ref   string // file:PATH or env:NAME, when the value was read from there
}

// Origins say where each value of a Config came from, and what is doubtful about it.
type Origins struct {
	list     []Origin
	warnings []Problem
}

// All returns the origin of each key, in the order of Keys; the connections come last.
func (o *Origins) All() []Origin { return slices.Clone(o.list) }

// Of returns the origin of one key, and whether there is such a key.
func (o *Origins) Of(key string) (Origin, bool) {
	i := slices.IndexFunc(o.list, func(x Origin) bool { return x.Key == key })
	if i < 0 {
		return Origin{}, false
	}
	return o.list[i], true
}

// Warnings returns what works but is most likely not meant: a password in a file, a variable that no key has.
func (o *Origins) Warnings() []Problem { return slices.Clone(o.warnings) }
