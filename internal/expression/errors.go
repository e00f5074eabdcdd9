package expression

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Error says why an expression cannot be compiled. Line and Column begin at 1; columns are characters.
type Error struct {
	Line, Column int
	Message      string
	Hint         string // what to do now; may be empty
	Code         string // the SQLSTATE of a part that would fail for every row; empty for all other errors
}

// Error returns place, message and hint.
func (e *Error) Error() string {
	s := fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// ValueError says why a row has no value: the row is to be set aside with it.
type ValueError struct {
	Reason       string // for people, with the beginning of the value
	Code         string // an SQLSTATE, like 22P02
	Line, Column int    // of the function or operator in the expression; 0 where there is none
}

// Error returns reason and code.
func (e *ValueError) Error() string { return e.Reason + " (SQLSTATE " + e.Code + ")" }

// MissingRef says that ref() names a key that the other stage has not loaded, yet or at all.
type MissingRef struct {
	Stage string
	Key   []Value // the texts in it are copies
}

// Error returns stage and key.
func (e *MissingRef) Error() string {
	parts := make([]string, len(e.Key))
	for i, k := range e.Key {
		parts[i] = quoted(k)
	}
	return fmt.Sprintf("ref: %s has no %s", e.Stage, strings.Join(parts, ", "))
}

var errTrailing = errors.New("something follows the document")

// fail makes a value that is an error. Its place is filled in by the call that it comes out of.
func fail(code, format string, args ...any) Value {
	return withExtra(failed, 0, &extra{err: &ValueError{Reason: fmt.Sprintf(format, args...), Code: code}})
}

// failWith makes a value of somebody else's error.
func failWith(err error) Value { return withExtra(failed, 0, &extra{err: err}) }

// shown is how many characters of a value a message shows.
const shown = 40

// quoted returns the beginning of a value for a message: text in quotes, other types bare.
func quoted(v Value) string {
	if v.kind == Text {
		return quote(v.s())
	}
	return shorten(v.String())
}

func quote(s string) string { return strconv.Quote(shorten(s)) }

func shorten(s string) string {
	n := 0
	for i := range s {
		if n == shown {
			return s[:i] + "…"
		}
		n++
	}
	return s
}
