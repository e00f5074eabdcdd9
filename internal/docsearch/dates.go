package docsearch

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
)

var iso = regexp.MustCompile(`^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?)?(Z|z|[+-]\d\d(?::?\d\d)?)?)?)?$`)

// parseISO reads a date, or a part of one: what is missing at its end is the first moment, or the last millisecond if up.
func parseISO(s string, up bool, zone *time.Location) (time.Time, bool) {
	if len(s) < 4 || s[0] < '0' || s[0] > '9' {
		return time.Time{}, false
	}
	if t, ok := parseUTC(s); ok && !up {
		return t, true
	}
	m := iso.FindStringSubmatch(s)
	if m == nil {
		return time.Time{}, false
	}
	part := func(i, otherwise int) int {
		if m[i] == "" {
			return otherwise
		}
		n, _ := strconv.Atoi(m[i])
		return n
	}
	if m[8] != "" {
		zone = offset(m[8])
	}
	nanos := 0
	if m[7] != "" {
		nanos, _ = strconv.Atoi((m[7] + "00000000")[:9])
	}
	month, day, hour, minute, second := part(2, 1), part(3, 1), part(4, 0), part(5, 0), part(6, 0)
	if month < 1 || month > 12 || day < 1 || hour > 24 || minute > 59 || second > 59 || hour == 24 && minute+second+nanos > 0 {
		return time.Time{}, false
	}
	t := time.Date(part(1, 0), time.Month(month), day, hour, minute, second, nanos, zone)
	if hour < 24 && (t.Day() != day || int(t.Month()) != month) {
		return time.Time{}, false // the 30th of February
	}
	if !up {
		return t, true
	}
	for i, unit := range []string{"y", "M", "d", "h", "m", "s"} {
		if i < 5 && m[i+2] == "" || i == 5 && m[7] == "" {
			return add(t, 1, unit).Add(-time.Millisecond), true
		}
	}
	return t, true
}

// parseUTC reads the form that nearly all documents have, 2006-01-02T15:04:05.999Z, without a regular expression.
func parseUTC(s string) (time.Time, bool) {
	n := len(s)
	if n < 20 || n > 30 || s[n-1] != 'Z' || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || n > 20 && (s[19] != '.' || n == 21) {
		return time.Time{}, false
	}
	valid := true
	figures := func(from, to int) (v int) {
		for _, c := range []byte(s[from:to]) {
			valid = valid && c >= '0' && c <= '9'
			v = v*10 + int(c-'0')
		}
		return v
	}
	year, month, day := figures(0, 4), figures(5, 7), figures(8, 10)
	hour, minute, second, nanos := figures(11, 13), figures(14, 16), figures(17, 19), 0
	if n > 20 {
		nanos = figures(20, n-1)
		for range 9 - (n - 21) {
			nanos *= 10
		}
	}
	if !valid || month < 1 || month > 12 || day < 1 || day > 28 || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, false // or it takes the long way
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC), true
}

// offset returns the zone of Z, +02, +0200 or +02:00.
func offset(s string) *time.Location {
	if s == "Z" || s == "z" {
		return time.UTC
	}
	digits := strings.ReplaceAll(s[1:], ":", "")
	h, _ := strconv.Atoi(digits[:2])
	m := 0
	if len(digits) == 4 {
		m, _ = strconv.Atoi(digits[2:])
	}
	seconds := h*3600 + m*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return time.FixedZone("", seconds)
}

// add moves a time by a unit of date math.
func add(t time.Time, n int, unit string) time.Time {
	switch unit {
	case "y":
		return t.AddDate(n, 0, 0)
	case "M":
		return t.AddDate(0, n, 0)
	case "w":
		return t.AddDate(0, 0, 7*n)
	case "d":
		return t.AddDate(0, 0, n)
	case "h", "H":
		return t.Add(time.Duration(n) * time.Hour)
	case "m":
		return t.Add(time.Duration(n) * time.Minute)
	}
	return t.Add(time.Duration(n) * time.Second)
}

// floor returns the beginning of the unit that a time lies in.
func floor(t time.Time, unit string) time.Time {
	y, mo, d := t.Date()
	switch unit {
	case "y":
		return time.Date(y, 1, 1, 0, 0, 0, 0, t.Location())
	case "q":
		return time.Date(y, (mo-1)/3*3+1, 1, 0, 0, 0, 0, t.Location())
	case "M":
		return time.Date(y, mo, 1, 0, 0, 0, 0, t.Location())
	case "w":
		return time.Date(y, mo, d-(int(t.Weekday())+6)%7, 0, 0, 0, 0, t.Location())
	case "d":
		return time.Date(y, mo, d, 0, 0, 0, 0, t.Location())
	case "h", "H":
		return time.Date(y, mo, d, t.Hour(), 0, 0, 0, t.Location())
	case "m":
		return time.Date(y, mo, d, t.Hour(), t.Minute(), 0, 0, t.Location())
	}
	return time.Date(y, mo, d, t.Hour(), t.Minute(), t.Second(), 0, t.Location())
}

var mathStep = regexp.MustCompile(`^(?:([+-])(\d*)([yMwdhHms])|/([yMwdhHms]))`)

// dateMath applies +1h, -2d, /d to a time; a rounding goes up to the unit's last millisecond if up.
func dateMath(t time.Time, steps string, up bool) (time.Time, error) {
	for rest := steps; rest != ""; {
		m := mathStep.FindStringSubmatch(rest)
		if m == nil {
			return time.Time{}, fmt.Errorf("%q is no date math such as -1h or /d", steps)
		}
		rest = rest[len(m[0]):]
		if m[4] != "" {
			if t = floor(t, m[4]); up {
				t = add(t, 1, m[4]).Add(-time.Millisecond)
			}
			continue
		}
		n := 1
		if m[2] != "" {
			var err error
			if n, err = strconv.Atoi(m[2]); err != nil {
				return time.Time{}, fmt.Errorf("%q is too far away", steps)
			}
		}
		if m[1] == "-" {
			n = -n
		}
		t = add(t, n, m[3])
	}
	return t, nil
}

// dateForm reads the dates of a query.
type dateForm struct {
	formats []string // none: strict_date_optional_time and epoch_millis
	zone    *time.Location
}

func newDateForm(format, zone string) (dateForm, error) {
	d := dateForm{zone: time.UTC}
	if zone != "" {
		var err error
		if d.zone, err = readZone(zone); err != nil {
			return d, err
		}
	}
	if format == "" {
		return d, nil
	}
	for f := range strings.SplitSeq(format, "||") {
		if _, err := readFormat(f); err != nil {
			return d, err
		}
		d.formats = append(d.formats, f)
	}
	return d, nil
}

func readZone(zone string) (*time.Location, error) {
	if regexp.MustCompile(`^(?:[Zz]|[+-]\d\d(?::?\d\d)?)$`).MatchString(zone) {
		return offset(zone), nil
	}
	if loc, err := time.LoadLocation(zone); err == nil && zone != "Local" {
		return loc, nil
	}
	return nil, fmt.Errorf("no time zone is known as %q", zone)
}

// parse reads a bound of a range: a date, date math, or a number. The error is of date math only; what is no date at all is not ok.
func (d dateForm) parse(raw any, up bool, now time.Time) (t time.Time, ok bool, err error) {
	switch raw := raw.(type) {
	case json.Number, float64, int64, int:
		return d.number(raw, up)
	case string:
		base, steps, math := strings.Cut(raw, "||")
		if after, found := strings.CutPrefix(raw, "now"); found && (after == "" || strings.ContainsAny(after[:1], "+-/")) {
			t, err = dateMath(now.In(d.zone), after, up)
			return t, err == nil, err
		}
		t, ok = d.text(base, up && !math)
		if ok && math {
			t, err = dateMath(t, steps, up)
		}
		return t, ok && err == nil, err
	}
	return time.Time{}, false, nil
}

func (d dateForm) number(raw any, up bool) (time.Time, bool, error) {
	n, ok := document.Number(raw)
	if len(d.formats) == 0 {
		return time.UnixMilli(int64(n)), ok, nil
	}
	t, found := d.text(document.Text(raw), up)
	return t, ok && found, nil
}

func (d dateForm) text(s string, up bool) (time.Time, bool) {
	if len(d.formats) == 0 {
		if t, ok := parseISO(s, up, d.zone); ok {
			return t, true
		}
		ms, err := strconv.ParseInt(s, 10, 64)
		return time.UnixMilli(ms), err == nil
	}
	for _, f := range d.formats {
		read, err := readFormat(f)
		if err != nil {
			continue // newDateForm has refused it
		}
		if t, ok := read(s, up, d.zone); ok {
			return t, true
		}
	}
	return time.Time{}, false
}

// readFormat returns the reader of a format: a built-in name or a pattern of letters.
func readFormat(format string) (func(s string, up bool, zone *time.Location) (time.Time, bool), error) {
	switch strings.TrimPrefix(format, "strict_") {
	case "date_optional_time", "date_optional_time_nanos", "date_time", "date_time_no_millis", "date", "date_hour_minute_second", "iso8601", "year_month_day":
		return parseISO, nil
	case "epoch_millis":
		return epoch(1e3), nil
	case "epoch_second":
		return epoch(1), nil
	case "basic_date":
		format = "yyyyMMdd"
	case "basic_date_time":
		format = "yyyyMMdd'T'HHmmss.SSSZ"
	case "basic_date_time_no_millis":
		format = "yyyyMMdd'T'HHmmssZ"
	}
	layout, unit, err := javaLayout(format)
	if err != nil {
		return nil, err
	}
	return func(s string, up bool, zone *time.Location) (time.Time, bool) {
		t, err := time.ParseInLocation(layout, s, zone)
		if err == nil && up && unit != "" {
			t = add(t, 1, unit).Add(-time.Millisecond)
		}
		return t, err == nil
	}, nil
}

func epoch(perSecond float64) func(string, bool, *time.Location) (time.Time, bool) {
	return func(s string, _ bool, _ *time.Location) (time.Time, bool) {
		f, err := strconv.ParseFloat(s, 64)
		return time.UnixMilli(int64(f / perSecond * 1e3)), err == nil
	}
}

// javaLayout makes a layout of a pattern such as yyyy-MM-dd'T'HH:mm, and says which unit its end is exact to; "" is a millisecond.
func javaLayout(pattern string) (layout, unit string, err error) {
	words := map[string]string{"yyyy": "2006", "uuuu": "2006", "yy": "06", "y": "2006", "u": "2006", "MMMM": "January", "MMM": "Jan", "MM": "01", "M": "1", "dd": "02", "d": "2",
		"HH": "15", "H": "15", "hh": "03", "h": "3", "mm": "04", "m": "4", "ss": "05", "s": "5", "a": "PM", "EEE": "Mon", "EEEE": "Monday", "DDD": "002",
		"X": "Z07", "XX": "Z0700", "XXX": "Z07:00", "Z": "-0700", "ZZ": "-07:00", "ZZZ": "-07:00", "z": "MST", "xxx": "-07:00", "xx": "-0700"}
	units := []string{"y", "M", "d", "h", "m", "s"}
	finest := 0
	var b strings.Builder
	for i := 0; i < len(pattern); {
		c := pattern[i]
		switch {
		case c == '\'':
			end := strings.IndexByte(pattern[i+1:], '\'')
			if end < 0 {
				return "", "", fmt.Errorf("the format %q has a quote that does not end", pattern)
			}
			b.WriteString(pattern[i+1 : i+1+end])
			i += end + 2
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n := 1
			for i+n < len(pattern) && pattern[i+n] == c {
				n++
			}
			word, known := words[pattern[i:i+n]]
			if c == 'S' && i > 0 && (pattern[i-1] == '.' || pattern[i-1] == ',') {
				word, known = strings.Repeat("0", n), true
			}
			if !known {
				return "", "", fmt.Errorf("the format %q has %q, which is not supported here", pattern, pattern[i:i+n])
			}
			if at := strings.IndexByte("yMdHmsS", c); at > finest {
				finest = at
			}
			b.WriteString(word)
			i += n
		default:
			b.WriteByte(c)
			i++
		}
	}
	if finest < len(units) {
		unit = units[finest]
	}
	return b.String(), unit, nil
}

// ParseTime reads a time as documents have it: ISO 8601 from the day on, T or a space before the hour, UTC where no offset is given.
func ParseTime(s string) (time.Time, bool) {
	if len(s) < len("2006-01-02") {
		return time.Time{}, false
	}
	return parseISO(s, false, time.UTC)
}
