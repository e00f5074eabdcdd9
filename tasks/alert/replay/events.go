package replay

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// hits makes events of documents of a table, as a source gives them.
func hits(docs []map[string]any, ts rule.Timestamp) ([]source.Hit, error) {
	out := make([]source.Hit, len(docs))
	for i, doc := range docs {
		v, ok := document.Get(doc, ts.Field)
		if !ok {
			return nil, fmt.Errorf("event %d has no field %s", i, ts.Field)
		}
		at, err := readTime(v, ts)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i, err)
		}
		doc = document.Clone(doc)
		document.Set(doc, ts.Field, eventTime(at))
		out[i] = source.Hit{At: at, Doc: doc}
		out[i].ID, _ = doc["_id"].(string)
		out[i].Index, _ = doc["_index"].(string)
	}
	return out, nil
}

// eventTime writes the time of an event: in UTC with a Z, or with the offset that it has.
func eventTime(t time.Time) string {
	if _, offset := t.Zone(); offset == 0 {
		return condition.TimeText(t)
	}
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02T15:04:05-07:00")
	}
	return t.Format("2006-01-02T15:04:05.000000-07:00")
}

// layouts are the ways in which iso times are written; those without a zone are in UTC.
var layouts = []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05",
	"2006-01-02 15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02 15:04", "20060102T150405Z0700", "20060102T150405", "2006-01-02", "2006"}

// readTime reads the time of an event of a table.
func readTime(v any, ts rule.Timestamp) (time.Time, error) {
	text := document.Text(v)
	switch ts.Type {
	case "unix", "unix_ms":
		unit := time.Second
		if ts.Type == "unix_ms" {
			unit = time.Millisecond
		}
		n, ok := new(big.Rat).SetString(text)
		if !ok {
			return time.Time{}, fmt.Errorf("the time %s is not a number", text)
		}
		f, _ := n.Mul(n, big.NewRat(int64(unit/time.Microsecond), 1)).Float64()
		return time.UnixMicro(int64(math.Round(f))).UTC(), nil
	case "custom":
		t, err := time.Parse(layoutOf(ts.Format), text)
		if err != nil {
			return time.Time{}, fmt.Errorf("the time %s is not of the form %s: %w", text, ts.Format, err)
		}
		return t, nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Truncate(time.Microsecond), nil
		}
	}
	return time.Time{}, fmt.Errorf("the time %s cannot be read", text)
}

// directives are the words of strptime.
var directives = map[string]string{"%Y": "2006", "%y": "06", "%m": "01", "%d": "02", "%H": "15", "%I": "03", "%M": "04", "%S": "05", "%f": "999999999", "%z": "Z0700",
	"%Z": "MST", "%b": "Jan", "%B": "January", "%a": "Mon", "%A": "Monday", "%p": "PM", "%j": "002", "%%": "%"}

// layoutOf writes a format of strptime in Go's way.
func layoutOf(format string) string {
	format = strings.NewReplacer(".%f", ".999999999", ",%f", ",999999999").Replace(format)
	var pairs []string
	for _, d := range slices.Sorted(maps.Keys(directives)) {
		pairs = append(pairs, d, directives[d])
	}
	return strings.NewReplacer(pairs...).Replace(format)
}
