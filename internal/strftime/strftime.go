// Package strftime writes and reads times in the words of C's strftime and strptime, which rules and index patterns are written in.
// Names of months and days are English, a time without a zone is UTC, and %f are the digits of a fraction, as in Python.
package strftime

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/itchyny/timefmt-go"
)

// Format writes a time. A directive that is not known is left as it stands, as C does.
func Format(t time.Time, format string) string { return timefmt.Format(t, format) }

// finer is what a fraction has beyond microseconds, of which %f knows nothing.
var finer = regexp.MustCompile(`([.,][0-9]{6})[0-9]+`)

// Parse reads a time. The error says which directive cannot be read, or where the text differs.
func Parse(text, format string) (time.Time, error) {
	short := text
	if strings.Contains(format, "%f") {
		short = finer.ReplaceAllString(text, "$1")
	}
	t, err := timefmt.ParseInLocation(short, format, time.UTC)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time of the form %s: %w", text, format, unwrapped(err))
	}
	return t, nil
}

// unwrapped is an error without the words that repeat text and format.
func unwrapped(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok {
		return u.Unwrap()
	}
	return err
}

// Check says what is wrong with a format that times are read by: it cannot read what it has written.
func Check(format string) error {
	if _, err := timefmt.ParseInLocation(Format(time.Date(2026, 3, 1, 14, 5, 9, 123456000, time.UTC), format), format, time.UTC); err != nil {
		return fmt.Errorf("times cannot be read by the format %q: %w", format, unwrapped(err))
	}
	return nil
}
