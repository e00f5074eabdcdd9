package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/sqldb"
	"github.com/stint-run/stint/tasks"
)

// sqlClock is how a column carries the time of its rows.
type sqlClock struct {
	// exact says that the database knows which rows are in the window, and their order.
	exact bool
	// between returns the condition for a column; place adds an argument and returns its place.
	between func(column string, q Query, place func(v any) string) string
	// read reads a value, as JSON has it.
	read func(v any) (time.Time, error)
}

// The words of timestamp_type.
const (
	typeUnix   = "unix"
	typeUnixMS = "unix_ms"
	typeCustom = "custom"
)

// sqlClockOf chooses by the type of the column, and by what the rule says of numbers.
func sqlClockOf(d sqldb.Dialect, c sqlColumn, q Query) (sqlClock, error) {
	kind := c.kind
	if d == sqldb.SQLite { // a column may hold anything, whatever it is declared as
		kind = kindText
		if q.Type == typeUnix || q.Type == typeUnixMS {
			kind = kindFloat
		}
	}
	switch kind {
	case kindMoment, kindDay:
		return momentClock(d), nil
	case kindInteger, kindFloat, kindDecimal:
		switch q.Type {
		case typeUnix:
			return numberClock(time.Second, kind), nil
		case typeUnixMS:
			return numberClock(time.Millisecond, kind), nil
		}
		return sqlClock{}, tasks.WithHint(nil, "say timestamp_type: unix (seconds) or unix_ms (milliseconds)", "column %s is of type %s: the rule does not say what its numbers count", c.name, c.typ)
	case kindText:
		if q.Type == typeCustom {
			return sqlClock{}, tasks.WithHint(nil, "make a timestamp of it with query:", "timestamp_type custom is not known of SQL databases")
		}
		if q.Type == typeUnix || q.Type == typeUnixMS {
			return sqlClock{}, tasks.WithHint(nil, "make a number of it with query:", "column %s is of type %s, which holds no numbers", c.name, c.typ)
		}
		return textClock(d), nil
	}
	return sqlClock{}, tasks.WithHint(nil, "name a timestamp with timestamp_field, or make one with query:", "column %s is of type %s, which holds no time", c.name, c.typ)
}

// momentClock is a timestamp. Windows that follow one another are cut off at the same place, so that no row is lost or seen twice.
func momentClock(d sqldb.Dialect) sqlClock {
	unit := time.Microsecond
	if d == sqldb.SQLServer {
		unit = 100 * time.Nanosecond
	}
	return sqlClock{
		exact: true,
		between: func(column string, q Query, place func(any) string) string {
			return column + " > " + place(q.Start.UTC().Truncate(unit)) + " AND " + column + " <= " + place(q.End.UTC().Truncate(unit))
		},
		read: readISO,
	}
}

// numberClock counts units since 1970. Of whole numbers a bound is one too, so that an index on them is of use.
func numberClock(unit time.Duration, kind sqlKind) sqlClock {
	bound := func(t time.Time) any {
		whole := t.Unix()*int64(time.Second/unit) + int64(t.Nanosecond()/int(unit))
		rest := t.Nanosecond() % int(unit)
		if kind == kindInteger {
			return whole
		}
		// By its digits: added up, it could be the neighbour of the float that the same time is in a row.
		if f, err := strconv.ParseFloat(fmt.Sprintf("%d.%09d", whole, int64(rest)*int64(time.Second/unit)), 64); err == nil && whole >= 0 {
			return f
		}
		return float64(whole) + float64(rest)/float64(unit)
	}
	return sqlClock{
		exact: true,
		between: func(column string, q Query, place func(any) string) string {
			return column + " > " + place(bound(q.Start)) + " AND " + column + " <= " + place(bound(q.End))
		},
		read: func(v any) (time.Time, error) { return readNumber(v, unit) },
	}
}

// furthestZone is how far a local time can be from UTC.
const furthestZone = 15 * time.Hour

// textClock is ISO 8601 as text. Texts with and without T, fraction and zone are in no common order, but their days are: the database
// is asked for the days of the window, and some more for the zones.
func textClock(d sqldb.Dialect) sqlClock {
	return sqlClock{
		between: func(column string, q Query, place func(any) string) string {
			first := q.Start.UTC().Add(-furthestZone).Format(time.DateOnly)
			end := q.End.UTC().Add(furthestZone).AddDate(0, 0, 1).Format(time.DateOnly)
			days := column + " >= " + place(first) + " AND " + column + " < " + place(end)
			if d != sqldb.SQLite {
				return days
			}
			// SQLite can read most of them by itself; what it cannot read, or is no text and so out of order, is looked at here.
			seconds := "COALESCE(CAST(strftime('%s', " + column + ") AS INTEGER) BETWEEN " + place(q.Start.Unix()-1) + " AND " + place(q.End.Unix()+1) + ", 1)"
			return "(" + days + " AND " + seconds + ") OR " + column + " < '' OR " + column + " >= x''"
		},
		read: readISO,
	}
}

// isoForms are those of ISO 8601 that occur, with T for the gap.
var isoForms = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999Z07", "2006-01-02T15:04:05.999999999",
	"2006-01-02T15:04Z07:00", "2006-01-02T15:04", time.DateOnly,
}

// readISO reads a text of ISO 8601; without a zone it is UTC.
func readISO(v any) (time.Time, error) {
	text, ok := v.(string)
	if !ok {
		return time.Time{}, errors.New("it is no text")
	}
	text = strings.TrimSpace(text)
	if len(text) > 10 && text[10] == ' ' {
		text = text[:10] + "T" + text[11:]
	}
	if i := strings.LastIndexByte(text, ' '); i > 10 { // 10:00:00 +02:00
		text = text[:i] + text[i+1:]
	}
	for _, form := range isoForms {
		if t, err := time.Parse(form, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errors.New("it is not of ISO 8601")
}

// readNumber reads a number of units since 1970, a decimal one to the nanosecond.
func readNumber(v any, unit time.Duration) (time.Time, error) {
	n, ok := v.(json.Number)
	if !ok {
		return time.Time{}, errors.New("it is no number")
	}
	const most = math.MaxInt64 / int64(time.Second) // of units: years that a text can hold
	whole, fraction, _ := strings.Cut(n.String(), ".")
	if strings.ContainsAny(n.String(), "eE") {
		f, err := n.Float64()
		if err != nil || math.Abs(f) > float64(most)*float64(time.Second/unit) {
			return time.Time{}, fmt.Errorf("%s is no time", n)
		}
		whole, rest := math.Modf(f)
		return inUnits(int64(whole), unit).Add(time.Duration(rest * float64(unit))), nil
	}
	count, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || count > most*int64(time.Second/unit) || count < -most*int64(time.Second/unit) {
		return time.Time{}, fmt.Errorf("%s is no time", n)
	}
	t := inUnits(count, unit)
	if fraction == "" {
		return t, nil
	}
	rest, err := strconv.ParseInt((fraction + "000000000")[:9], 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s is no time", n)
	}
	if strings.HasPrefix(whole, "-") {
		rest = -rest
	}
	return t.Add(time.Duration(rest) * unit / time.Second), nil
}

// inUnits returns the time so many units after 1970.
func inUnits(n int64, unit time.Duration) time.Time {
	if unit == time.Millisecond {
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}
