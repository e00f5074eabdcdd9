package expression

import (
	"errors"
	"fmt"
	"strings"
)

// layout is how a text shows a time. It is read once, from Go's reference time or from strftime's letters.
type layout struct {
	source string
	parts  []part
	offset bool // the text says how far it is from UTC
	date   bool // the text has a day
	clock  bool // the text has an hour
}

type field uint8

// What a part of a layout stands for.
const (
	literal field = iota
	year4
	year2
	monthNumber
	monthName
	dayNumber
	dayOfYear
	hour24
	hour12
	minute
	second
	fraction // with its point or comma; may be missing if min is 0
	half     // AM or PM
	weekdayName
	offsetColon // +02:00
	offsetPlain // +0200
	offsetHours // +02
)

type part struct {
	field    field
	text     string // of a literal
	min, max int    // digits; names: 3 for short ones; when writing, min is the width, and a fraction has max digits
	one      bool   // one digit is enough when reading
	pad      byte   // what fills the width: '0' or ' '
	zulu     bool   // Z stands for +00:00
	lower    bool   // am and pm
}

var (
	monthNames   = [...]string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
	weekdayNames = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
)

// reference are the pieces of Go's layouts, longer ones first where one begins another.
var reference = []struct {
	text string
	part part
}{
	{"2006", part{field: year4, min: 4, max: 4, pad: '0'}},
	{"January", part{field: monthName}},
	{"Jan", part{field: monthName, max: 3}},
	{"Monday", part{field: weekdayName}},
	{"Mon", part{field: weekdayName, max: 3}},
	{"MST", part{field: literal, text: "MST"}},
	{"002", part{field: dayOfYear, min: 3, max: 3, pad: '0'}},
	{"01", part{field: monthNumber, min: 2, max: 2, pad: '0'}},
	{"02", part{field: dayNumber, min: 2, max: 2, pad: '0'}},
	{"03", part{field: hour12, min: 2, max: 2, pad: '0'}},
	{"04", part{field: minute, min: 2, max: 2, pad: '0'}},
	{"05", part{field: second, min: 2, max: 2, pad: '0'}},
	{"06", part{field: year2, min: 2, max: 2, pad: '0'}},
	{"_2", part{field: dayNumber, min: 2, max: 2, pad: ' '}},
	{"15", part{field: hour24, min: 2, max: 2, one: true, pad: '0'}},
	{"1", part{field: monthNumber, min: 1, max: 2}},
	{"2", part{field: dayNumber, min: 1, max: 2}},
	{"3", part{field: hour12, min: 1, max: 2}},
	{"4", part{field: minute, min: 1, max: 2}},
	{"5", part{field: second, min: 1, max: 2}},
	{"PM", part{field: half}},
	{"pm", part{field: half, lower: true}},
	{"Z07:00", part{field: offsetColon, zulu: true}},
	{"Z0700", part{field: offsetPlain, zulu: true}},
	{"-07:00", part{field: offsetColon}},
	{"-0700", part{field: offsetPlain}},
	{"-07", part{field: offsetHours}},
}

var letterParts = map[byte][]part{
	'Y': {{field: year4, min: 4, max: 4, pad: '0'}},
	'y': {{field: year2, min: 2, max: 2, pad: '0'}},
	'm': {{field: monthNumber, min: 2, max: 2, one: true, pad: '0'}},
	'B': {{field: monthName}},
	'b': {{field: monthName, max: 3}},
	'h': {{field: monthName, max: 3}},
	'd': {{field: dayNumber, min: 2, max: 2, one: true, pad: '0'}},
	'e': {{field: dayNumber, min: 2, max: 2, one: true, pad: ' '}},
	'j': {{field: dayOfYear, min: 3, max: 3, pad: '0'}},
	'H': {{field: hour24, min: 2, max: 2, one: true, pad: '0'}},
	'I': {{field: hour12, min: 2, max: 2, one: true, pad: '0'}},
	'M': {{field: minute, min: 2, max: 2, one: true, pad: '0'}},
	'S': {{field: second, min: 2, max: 2, one: true, pad: '0'}},
	'f': {{field: fraction, min: 1, max: 6, text: ""}},
	'p': {{field: half}},
	'A': {{field: weekdayName}},
	'a': {{field: weekdayName, max: 3}},
	'z': {{field: offsetPlain, zulu: true, text: "%z"}},
	'%': {{field: literal, text: "%"}},
	'n': {{field: literal, text: "\n"}},
	't': {{field: literal, text: "\t"}},
}

// shorthands are letters that stand for several.
var shorthands = strings.NewReplacer("%F", "%Y-%m-%d", "%T", "%H:%M:%S", "%R", "%H:%M", "%D", "%m/%d/%y")

// parseLayout reads a layout: with a % it is strftime's, else Go's.
func parseLayout(source string) (*layout, error) {
	l := &layout{source: source}
	var err error
	if strings.Contains(source, "%") {
		err = l.letters(shorthands.Replace(source))
	} else {
		err = l.reference(source)
	}
	if err != nil {
		return nil, err
	}
	return l, l.check()
}

func (l *layout) letters(s string) error {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			l.add(part{text: s[i : i+1]})
			continue
		}
		bare := i+1 < len(s) && s[i+1] == '-' // %-d is without its zero
		if bare {
			i++
		}
		if i++; i >= len(s) {
			return errors.New("the layout ends in a %")
		}
		parts, ok := letterParts[s[i]]
		if !ok {
			return fmt.Errorf("there is no %%%c in layouts: %%Y %%m %%d %%H %%M %%S are the usual ones", s[i])
		}
		for _, p := range parts {
			if bare {
				p.min, p.pad = 1, 0
			}
			l.add(p)
		}
	}
	return nil
}

func (l *layout) reference(s string) error {
next:
	for s != "" {
		if (s[0] == '.' || s[0] == ',') && len(s) > 1 && (s[1] == '0' || s[1] == '9') {
			n := 1
			for n < len(s) && s[n] == s[1] {
				n++
			}
			if n == len(s) || s[n] < '0' || s[n] > '9' {
				if n > 7 {
					return errors.New("times have six digits of a second at most")
				}
				p := part{field: fraction, text: s[:1], min: n - 1, max: n - 1}
				if s[1] == '9' {
					p.min = 0
				}
				l.add(p)
				s = s[n:]
				continue
			}
		}
		for _, r := range reference {
			rest, ok := strings.CutPrefix(s, r.text)
			if !ok || len(r.text) == 3 && startsSmall(rest) { // as in "Monument", which is no Mon
				continue
			}
			if r.text == "MST" {
				return errors.New("abbreviations of zones are ambiguous: give the zone by its name, as in parse_time(x, layout, \"Europe/Oslo\")")
			}
			l.add(r.part)
			s = rest
			continue next
		}
		l.add(part{text: s[:1]})
		s = s[1:]
	}
	return nil
}

func startsSmall(s string) bool { return s != "" && s[0] >= 'a' && s[0] <= 'z' }

// add appends a part; letters of a literal become one part.
func (l *layout) add(p part) {
	if n := len(l.parts); p.field == literal && n > 0 && l.parts[n-1].field == literal {
		l.parts[n-1].text += p.text
		return
	}
	l.parts = append(l.parts, p)
}

func (l *layout) check() error {
	seen := map[field]bool{}
	for _, p := range l.parts {
		if p.field != literal && seen[p.field] {
			return errors.New("the layout has the same thing twice")
		}
		seen[p.field] = true
	}
	l.offset = seen[offsetColon] || seen[offsetPlain] || seen[offsetHours]
	l.clock = seen[hour24] || seen[hour12]
	l.date = (seen[year4] || seen[year2]) && (seen[dayOfYear] || (seen[monthNumber] || seen[monthName]) && seen[dayNumber])
	switch {
	case len(seen) == 0 || len(seen) == 1 && seen[literal]:
		return errors.New(`the layout names nothing of a time: "02/01/2006 15:04" or "%d/%m/%Y %H:%M"`)
	case seen[hour12] && !seen[half]:
		return errors.New("hours of 12 need AM or PM: 15 and %H are hours of 24")
	case seen[hour24] && seen[half]:
		return errors.New("hours of 24 have no AM or PM: 03 and %I are hours of 12")
	}
	return nil
}
