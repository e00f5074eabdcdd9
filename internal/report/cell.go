package report

import (
	"regexp"
	"strings"
)

var number = regexp.MustCompile(`^[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$`)

// Cell is a text for a cell of a CSV that people open. Programs for tables take a cell that begins with = + - @, a tab or the end of a line for
// a formula, which may send away what stands beside it; behind an apostrophe they show it as it is. A number is left alone. A text that
// begins with an apostrophe gets another one, so that whoever reads the file takes one away at the beginning, and has the text again.
func Cell(s string) string {
	if s == "" || !strings.ContainsRune("=+-@\t\r\n'＝＋－＠", []rune(s)[0]) || number.MatchString(s) {
		return s
	}
	return "'" + s
}

// Cells is Cell for a line.
func Cells(texts ...string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = Cell(s)
	}
	return out
}
