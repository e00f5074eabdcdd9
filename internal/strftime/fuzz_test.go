package strftime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/strftime"
)

// FuzzATimeThatIsReadIsReadAgainAsItIsWritten holds that a time which was read by a format is written by it as a text that is read as the
// same time. A format that has a part of a time in two ways can be given two that differ, and one with
// half of the hours alone says little: such are left out.
func FuzzATimeThatIsReadIsReadAgainAsItIsWritten(f *testing.F) {
	for _, format := range []string{"%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S%z", "%d/%b/%Y:%I:%M %p", "%j %Y", "%s", "%%", "%", "%q", "%y%U", "%A %B", "%Y%m%d%H%M%S", "%f", "%Z"} {
		for _, text := range []string{"2026-03-01T00:00:00.123456Z", "2026-03-01 00:00:00+1000", "01/Mar/2026:12:00 AM", "060 2026", "1700000000", "%", "", "99999999999999999999", "20260229000000"} {
			f.Add(text, format)
		}
	}
	f.Fuzz(func(t *testing.T, text, format string) {
		at, err := strftime.Parse(text, format)
		if err != nil || strings.Contains(format, "%y") && strings.Contains(format, "%Y") || strings.Contains(format, "%e") && strings.Contains(format, "%d") || strings.Contains(format, "%I") && (strings.Contains(format, "%H") || !strings.Contains(format, "%p")) {
			return
		}
		if strftime.Check(format) != nil {
			t.Errorf("%q reads %q, and is refused: %v", format, text, strftime.Check(format))
		}
		if at.Year() < 1000 || at.Year() > 9999 { // C writes other numbers of digits than it reads
			return
		}
		written := strftime.Format(at, format)
		again, err := strftime.Parse(written, format)
		if err != nil || again.Sub(at).Abs() >= time.Second {
			t.Errorf("%q by %q is %s, written %q, and then %s, %v", text, format, at, written, again, err)
		}
	})
}
