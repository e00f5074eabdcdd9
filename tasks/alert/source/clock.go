package source

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/strftime"
)

// The types of times that events carry.
const (
	ISO    = "iso" // also ""
	Unix   = "unix"
	UnixMS = "unix_ms"
	Custom = "custom"
)

// clock is how events carry their times.
type clock struct{ field, kind, format string }

func clockOf(q *Query) clock {
	c := clock{q.Field, q.Type, q.Format}
	if c.field == "" {
		c.field = "@timestamp"
	}
	if c.kind == "" {
		c.kind = ISO
	}
	return c
}

// check says what is wrong with a clock.
func (c clock) check() error {
	switch c.kind {
	case ISO, Unix, UnixMS:
		return nil
	case Custom:
		return strftime.Check(c.format)
	}
	return fmt.Errorf("times of the type %q are not known", c.kind)
}

// bound writes a time as a query compares it. What is finer than the clock is cut off, at the end of one window as at the beginning
// of the next, so that no event is between them.
func (c clock) bound(t time.Time) any {
	switch c.kind {
	case Unix:
		return json.Number(strconv.FormatInt(t.Unix(), 10))
	case UnixMS:
		return json.Number(strconv.FormatInt(t.UnixMilli(), 10))
	case Custom:
		return strftime.Format(t.UTC(), c.format)
	}
	// Always with a fraction: without one, servers take the last moment of the second for gt and lte.
	if t.Nanosecond()%1e6 != 0 {
		return t.UTC().Format("2006-01-02T15:04:05.000000000Z")
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// within is the query for times of (start, end]; a zero time is no bound.
func (c clock) within(start, end time.Time) map[string]any {
	bounds := map[string]any{}
	if !start.IsZero() {
		bounds["gt"] = c.bound(start)
	}
	if !end.IsZero() {
		bounds["lte"] = c.bound(end)
	}
	return map[string]any{"range": map[string]any{c.field: bounds}}
}

// read returns the time that a value is.
func (c clock) read(v any) (time.Time, bool) {
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	n, isNumber := document.Number(v)
	s, isText := v.(string)
	if isText && (c.kind == Unix || c.kind == UnixMS) {
		f, err := strconv.ParseFloat(s, 64)
		n, isNumber = f, err == nil
	}
	switch {
	case c.kind == Custom && isText:
		t, err := strftime.Parse(s, c.format)
		return t, err == nil
	case c.kind == Unix && isNumber:
		return time.UnixMicro(int64(math.Round(n * 1e6))).UTC(), true
	case isNumber && c.kind != Custom: // a date of Elasticsearch that is a number is of milliseconds too
		return time.UnixMicro(int64(math.Round(n * 1e3))).UTC(), true
	case isText && c.kind == ISO:
		return docsearch.ParseTime(s)
	}
	return time.Time{}, false
}

// text writes a time as matches have it: in UTC with a Z and milliseconds, or with the offset that the event itself has; a fraction is
// there if it is not zero, and of six digits where three are not enough.
func text(t time.Time) string {
	_, offset := t.Zone()
	micros := t.Nanosecond() / 1000
	fraction := ""
	switch {
	case micros == 0:
	case micros%1000 == 0 && offset == 0:
		fraction = ".000"
	default:
		fraction = ".000000"
	}
	return t.Format("2006-01-02T15:04:05" + fraction + "Z07:00")
}
