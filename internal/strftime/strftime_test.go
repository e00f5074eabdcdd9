package strftime_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/internal/strftime"
)

func TestTimesAreWrittenAndReadAsStrftimeDoes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 14, 5, 9, 123456000, time.UTC) // a Sunday
	for format, want := range map[string]string{
		"logs-%Y.%m.%d": "logs-2026.03.01", "%Y-%m-%dT%H:%M:%S.%fZ": "2026-03-01T14:05:09.123456Z", "%d/%b/%Y:%H:%M:%S %z": "01/Mar/2026:14:05:09 +0000", "%s": "1772373909", "%G-%V": "2026-09", "%U %W %u %w %j": "09 08 7 0 060",
		"%y%m%d %I:%M %p": "260301 02:05 PM", "%%Y %q %-d": "%Y %q 1",
	} {
		if got := strftime.Format(at, format); got != want {
			t.Errorf("%s is %s, want %s", format, got, want)
		}
	}
	for _, c := range []struct{ text, format, want string }{
		{"2026-03-01 14:05:09", "%Y-%m-%d %H:%M:%S", "2026-03-01T14:05:09Z"}, {"2026-03-01T14:05:09.123Z", "%Y-%m-%dT%H:%M:%S.%fZ", "2026-03-01T14:05:09.123Z"},
		{"2026-03-01T14:05:09.123456789Z", "%Y-%m-%dT%H:%M:%S.%fZ", "2026-03-01T14:05:09.123456Z"}, {"log2 Jan 1.3.2026", "log2 Jan %e.%m.%Y", "2026-03-01T00:00:00Z"},
		{"01/Mar/2026:14:05:09 +0200", "%d/%b/%Y:%H:%M:%S %z", "2026-03-01T14:05:09+02:00"}, {"1772373909", "%s", "2026-03-01T14:05:09Z"},
	} {
		got, err := strftime.Parse(c.text, c.format)
		if err != nil || got.Format(time.RFC3339Nano) != c.want {
			t.Errorf("%s is %v, %v; want %s", c.text, got, err, c.want)
		}
	}
	for format, text := range map[string]string{"%Y": "x", "%q": "1", "%s": "x"} {
		if _, err := strftime.Parse(text, format); err == nil {
			t.Errorf("%s reads %s", format, text)
		}
	}
	if strftime.Check("%Y-%m") != nil || strftime.Check("%V") == nil {
		t.Error("formats are checked otherwise than used")
	}
}
