package flatfile

import (
	"fmt"
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
	{sqldb.KindBool, isBool},
	{sqldb.KindDate, isDate},
	{sqldb.KindTimestamp, func(s string) bool { return isTime(s, false) }},
	{sqldb.KindTimestampTZ, func(s string) bool { return isTime(s, true) }},
}

// isNot says for people what a value is not.
var isNot = map[sqldb.Kind]string{sqldb.KindInt64: "no whole number", sqldb.KindNumeric: "no decimal", sqldb.KindBool: "neither true nor false",
	sqldb.KindDate: "no date", sqldb.KindTimestamp: "no timestamp without a zone", sqldb.KindTimestampTZ: "no timestamp with a zone"}

// misfit is why a row is set aside that has a value of another kind than its column was guessed to have. What a database makes of
// such a value is often another one: 2139 of 02139.
func misfit(c *sqldb.Column, value, row string) *sqldb.UnreadableRow {
	return &sqldb.UnreadableRow{Column: c.Name, Code: codeMisfit, Raw: row, Reason: fmt.Sprintf(
		"%s is %s, unlike the values of the sample; from.as in the plan says what a column holds, sample=all looks at all rows, types=text guesses nothing", value, isNot[c.Kind])}
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
	if len(s) == 0 || s[0] == '0' && len(s) > 1 && s[1] != '.' {
		return false
	}
	point := -1
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && point < 0 && i > 0:
			point = i
		default:
			return false
		}
	}
	return point != len(s)-1
}

func isBool(s string) bool {
	return s == "true" || s == "false" || s == "TRUE" || s == "FALSE" || s == "True" || s == "False"
}

func isDate(s string) bool {
	if len(s) == 10 && soonDate(s) {
		return true
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// isTime reports whether text is a time, with a blank or a T in the middle, and with or without a zone. Fractions of seconds are
// allowed by the parser.
func isTime(s string, zone bool) bool {
	if len(s) < 19 {
		return false
	}
	if (s[10] == ' ' || s[10] == 'T') && soonDate(s) && soonClock(s[11:19]) && (!zone && len(s) == 19 || zone && s[19:] == "Z") {
		return true
	}
	layout := time.DateTime
	switch {
	case s[10] == ' ' && zone:
		layout = "2006-01-02 15:04:05Z07:00"
	case s[10] == 'T' && zone:
		layout = "2006-01-02T15:04:05Z07:00"
	case s[10] == 'T':
		layout = "2006-01-02T15:04:05"
	case s[10] != ' ':
		return false
	}
	_, err := time.Parse(layout, s)
	return err == nil
}

// soonDate knows dates sooner than the parser, which decides about what it does not know.
func soonDate(s string) bool {
	century, year, month, day := twoDigits(s, 0), twoDigits(s, 2), twoDigits(s, 5), twoDigits(s, 8)
	if century|year|month|day < 0 || s[4] != '-' || s[7] != '-' || month == 0 || month > 12 || day == 0 {
		return false
	}
	if leap := year%4 == 0 && (year != 0 || century%4 == 0); leap && month == 2 {
		return day <= 29
	}
	return day <= int(daysOf[month])
}

// daysOf are the days of the months in years that are no leap years.
var daysOf = [...]byte{1: 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// soonClock is soonDate for a time of day in whole seconds.
func soonClock(s string) bool {
	hour, minute, second := twoDigits(s, 0), twoDigits(s, 3), twoDigits(s, 6)
	return hour|minute|second >= 0 && hour < 24 && s[2] == ':' && minute < 60 && s[5] == ':' && second < 60
}

// twoDigits returns the number that two digits are, or -1.
func twoDigits(s string, at int) int {
	a, b := s[at]-'0', s[at+1]-'0'
	if a > 9 || b > 9 {
		return -1
	}
	return int(a)*10 + int(b)
}

// typedCell makes a cell of the kind of its column where the text fits, else text. It reports whether the text is what a column has
// to hold for that kind to be guessed; where the kind is no guess, the target says what is wrong with the text.
func typedCell(b []byte, kind sqldb.Kind) (c sqldb.Cell, fits bool) {
	s := lend(b)
	switch kind {
	case sqldb.KindInt64, sqldb.KindInt32, sqldb.KindInt16:
		if n, ok := parseInt(b); ok {
			return sqldb.IntCell(n), true
		}
		return sqldb.TextCell(s), false
	case sqldb.KindBool:
		switch {
		case s == "true":
			return sqldb.IntCell(1), true
		case s == "false":
			return sqldb.IntCell(0), true
		case strings.EqualFold(s, "true"):
			return sqldb.IntCell(1), isBool(s)
		case strings.EqualFold(s, "false"):
			return sqldb.IntCell(0), isBool(s)
		}
		return sqldb.TextCell(s), false
	case sqldb.KindNumeric:
		fits = isDecimal(s)
	case sqldb.KindDate:
		fits = isDate(s)
	case sqldb.KindTimestamp, sqldb.KindTimestampTZ:
		fits = isTime(s, kind == sqldb.KindTimestampTZ)
	default:
		fits = true
	}
	return sqldb.TextCell(s), fits
}
