package condition

import (
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/source"
)

// TimeText writes a time as it stands in matches: RFC 3339 in UTC with a Z, with three digits of a second where there are milliseconds,
// and with six where those do not say it all.
func TimeText(t time.Time) string {
	layout := "2006-01-02T15:04:05Z"
	if micro := t.Nanosecond() / 1000; micro%1000 != 0 {
		layout = "2006-01-02T15:04:05.000000Z"
	} else if micro != 0 {
		layout = "2006-01-02T15:04:05.000Z"
	}
	return t.UTC().Format(layout)
}

// bucketTime reads the time of a bucket of a date histogram.
func bucketTime(bucket map[string]any) (string, bool) {
	if text, ok := bucket["key_as_string"].(string); ok {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			if strings.HasSuffix(text, "Z") {
				return TimeText(t), true
			}
			return text, true
		}
	}
	if ms, ok := document.Number(bucket["key"]); ok {
		return TimeText(time.UnixMilli(int64(ms))), true
	}
	return "", false
}

// timeOf returns the time of an event as its document writes it.
func timeOf(h source.Hit, field string) string {
	if text, ok := document.Value(h.Doc, field).(string); ok {
		return text
	}
	return TimeText(h.At)
}
