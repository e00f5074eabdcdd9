// Package strftime writes and reads times in the words of C's strftime and strptime, which rules and index patterns are written in.
// Names of months and days are English, a time without a zone is UTC.
package strftime

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// words are the directives that a layout of Go has a word for.
var words = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'I': "03", 'p': "PM", 'b': "Jan", 'h': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday",
	'z': "-0700", 'Z': "MST", 'j': "002", 'T': "15:04:05", 'D': "01/02/06", 'F': "2006-01-02", 'R': "15:04", 'e': "_2", 'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05", 'n': "\n", 't': "\t", '%': "%",
}

// Format writes a time. A directive that is not known is left as it stands, as C does.
func Format(t time.Time, format string) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		if c := format[i]; c == '-' && i+1 < len(format) { // without the zeros in front
			i++
			b.WriteString(strings.TrimLeft(directive(t, format[i]), "0"))
		} else {
			b.WriteString(directive(t, c))
		}
	}
	return b.String()
}

func directive(t time.Time, c byte) string {
	year, week := t.ISOWeek()
	switch c {
	case 'f':
		return fmt.Sprintf("%06d", t.Nanosecond()/1000)
	case 's':
		return strconv.FormatInt(t.Unix(), 10)
	case 'G':
		return fmt.Sprintf("%04d", year)
	case 'V':
		return fmt.Sprintf("%02d", week)
	case 'u':
		return strconv.Itoa((int(t.Weekday())+6)%7 + 1)
	case 'w':
		return strconv.Itoa(int(t.Weekday()))
	case 'U': // weeks begin on Sunday, the days before the first one are of week 0
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7)
	case 'W':
		return fmt.Sprintf("%02d", (t.YearDay()+6-(int(t.Weekday())+6)%7)/7)
	case 'C':
		return fmt.Sprintf("%02d", t.Year()/100)
	}
	if w, ok := words[c]; ok {
		return t.Format(w)
	}
	return "%" + string(c)
}

// Parse reads a time. The error says which directive cannot be read, or where the text differs.
func Parse(text, format string) (time.Time, error) {
	layout, seconds, err := layoutOf(format)
	if err != nil {
		return time.Time{}, err
	}
	if seconds {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return time.Time{}, fmt.Errorf("%q is no time of the form %s", text, format)
		}
		return time.Unix(n, 0).UTC(), nil
	}
	t, err := time.Parse(layout, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time of the form %s", text, format)
	}
	return t, nil
}

// Check says what is wrong with a format that times are read by.
func Check(format string) error {
	_, _, err := layoutOf(format)
	return err
}

// layoutOf makes a layout of a format; seconds reports whether it is %s alone.
func layoutOf(format string) (layout string, seconds bool, err error) {
	if format == "%s" {
		return "", true, nil
	}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		switch c := format[i]; c {
		case 'f':
			if i < 2 || format[i-2] != '.' && format[i-2] != ',' {
				return "", false, fmt.Errorf("the time format %q has %%f without a point before it", format)
			}
			b.WriteString("999999999") // of a fraction, as many digits as there are
		case 'z': // also with a colon, or as Z
			b.WriteString("Z0700")
		default:
			w, ok := words[c]
			if !ok {
				return "", false, fmt.Errorf("the time format %q has %%%c, which times cannot be read by", format, c)
			}
			b.WriteString(w)
		}
	}
	return b.String(), false, nil
}
