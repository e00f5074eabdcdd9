package flatfile

import (
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
)

// kindGuess is which kinds all values of a column so far could have. The zero value is that of a column without values.
type kindGuess struct {
	seen  bool
	never map[sqldb.Kind]bool
}

// guessed are the kinds that can be told from text, the narrowest first.
var guessed = []struct {
	kind sqldb.Kind
	fits func(string) bool
}{
	{sqldb.KindInt64, func(s string) bool { _, ok := parseInt([]byte(s)); return ok }},
	{sqldb.KindNumeric, isDecimal},
	{sqldb.KindBool, func(s string) bool {
		return s == "true" || s == "false" || s == "TRUE" || s == "FALSE" || s == "True" || s == "False"
	}},
	{sqldb.KindDate, func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }},
	{sqldb.KindTimestamp, func(s string) bool { return isTime(s, "2006-01-02 15:04:05") }},
	{sqldb.KindTimestampTZ, func(s string) bool { return isTime(s, "2006-01-02 15:04:05Z07:00") }},
}

// see looks at a value.
func (g *kindGuess) see(s string) {
	g.seen = true
	if g.never == nil {
		g.never = map[sqldb.Kind]bool{}
	}
	for _, k := range guessed {
		if !g.never[k.kind] && !k.fits(s) {
			g.never[k.kind] = true
		}
	}
}

// kind returns the narrowest kind that fits all.
func (g *kindGuess) kind() sqldb.Kind {
	if g.seen {
		for _, k := range guessed {
			if !g.never[k.kind] {
				return k.kind
			}
		}
	}
	return sqldb.KindText
}

// parseInt reads a whole number as it would be written again: no plus, no zeros before it, no blanks.
func parseInt(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	digits := b
	if b[0] == '-' {
		digits = b[1:]
	}
	if len(digits) == 0 || digits[0] == '0' && len(b) > 1 || digits[0] < '0' || digits[0] > '9' {
		return 0, false
	}
	if len(digits) < 19 {
		var n int64
		for _, c := range digits {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = n*10 + int64(c-'0')
		}
		if b[0] == '-' {
			n = -n
		}
		return n, true
	}
	n, err := strconv.ParseInt(lend(b), 10, 64)
	return n, err == nil
}

// isDecimal reports whether text is a decimal without an exponent and without zeros before it: 0.5, -12, 3.140.
func isDecimal(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole, fraction, point := strings.Cut(s, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || point && fraction == "" {
		return false
	}
	for _, c := range []byte(whole + fraction) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// isTime reports whether text is a time of a layout, with a blank or a T in the middle. Fractions of seconds are allowed by
// the parser.
func isTime(s, layout string) bool {
	if len(s) < 19 || s[10] != ' ' && s[10] != 'T' {
		return false
	}
	_, err := time.Parse(layout, s[:10]+" "+s[11:])
	return err == nil
}

// typedCell makes a cell of the kind of its column where the text fits, else text: the target says then what is wrong with it.
func typedCell(b []byte, kind sqldb.Kind) sqldb.Cell {
	switch kind {
	case sqldb.KindInt64, sqldb.KindInt32, sqldb.KindInt16:
		if n, ok := parseInt(b); ok {
			return sqldb.IntCell(n)
		}
	case sqldb.KindBool:
		switch {
		case strings.EqualFold(lend(b), "true"):
			return sqldb.IntCell(1)
		case strings.EqualFold(lend(b), "false"):
			return sqldb.IntCell(0)
		}
	}
	return sqldb.TextCell(lend(b))
}
