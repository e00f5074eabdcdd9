package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/stint-run/stint/tasks"
)

// table lays out rows for people.
type table struct{ rows [][]string }

func newTable(heads ...string) *table { return &table{[][]string{heads}} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range t.rows {
		for i := range r {
			r[i] = printable(r[i])
		}
		fmt.Fprintln(tw, strings.Join(r, "\t"))
	}
	_ = tw.Flush()
}

// printable keeps control characters of foreign data, and those that turn the direction of text, away from a cell or a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) {
			return ' '
		}
		return r
	}, s)
}

// commands reports whether a character tells a terminal to do something instead of standing for itself.
func commands(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// plain is printable for whole texts: what separates lines and columns stays.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if commands(r) && r != '\n' && r != '\t' {
			return ' '
		}
		return r
	}, s)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 && s[i-1] != '-' {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// plural writes 1 attempt, 2 attempts.
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// short rounds a duration to what people want to read.
func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func ago(now, t time.Time) string { return short(now.Sub(t)) }

// strictly turns what a YAML file says into a form of the API, and does not pass over a key that it does not know.
func strictly(file string, tree, into any) error {
	body, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err = d.Decode(into)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) { // its own text speaks of Go
		return tasks.WithHint(nil, "quote a text that YAML takes for something else", "%s: %s: not a %s", file, kind.Field, kind.Value)
	}
	if err != nil {
		return tasks.WithHint(nil, "docs/configuration.md has the parts of a schedule", "%s: %s", file, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}
