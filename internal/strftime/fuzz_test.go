package strftime_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/internal/strftime"
)

// parts are what directives say of a time. Weeks say too little by themselves, and what follows without a separator is taken for the second
// digit of a number that is padded with a space.
var parts = map[byte]string{
	'Y': "y", 'y': "y", 'C': "y", 'm': "m", 'b': "m", 'h': "m", 'B': "m", 'd': "d", 'e': "d", 'j': "md", 'H': "H", 'k': "H", 'I': "H", 'l': "H", 'M': "M", 'S': "S", 'f': "f", 'z': "z", 'Z': "z",
	'F': "ymd", 'D': "ymd", 'x': "ymd", 'v': "ymd", 'T': "HMS", 'X': "HMS", 'R': "HM", 'r': "HMS", 'c': "ymdHMS", '+': "ymdHMSz", 's': "ymdHMSz",
}

// once reports whether a format says each part of a time once at most.
func once(format string) bool {
	said := ""
	for i := 0; i+1 < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		i++
		if strings.ContainsRune("GgVUW:", rune(format[i])) || strings.ContainsAny(parts[format[i]], said) {
			return false
		}
		if strings.ContainsRune("ekl", rune(format[i])) && i+1 < len(format) && strings.ContainsRune("%0123456789", rune(format[i+1])) {
			return false
		}
		said += parts[format[i]]
	}
	return true
}

// FuzzATimeThatIsReadIsReadAgainAsItIsWritten holds that a time which was read by a format is written by it as a text that is read as the
// same time. A format that has a part of a time in two ways can be given two that differ, and one with half of the hours alone says
// little: such are left out.
func FuzzATimeThatIsReadIsReadAgainAsItIsWritten(f *testing.F) {
	for _, format := range []string{"%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%d %H:%M:%S%z", "%d/%b/%Y:%I:%M %p", "%j %Y", "%s", "%%", "%", "%q", "%y%U", "%A %B", "%Y%m%d%H%M%S", "%f", "%Z", "log2 %e.%m.%Y"} {
		for _, text := range []string{"2026-03-01T00:00:00.123456Z", "2026-03-01 00:00:00+1000", "01/Mar/2026:12:00 AM", "060 2026", "1700000000", "%", "", "99999999999999999999", "20260229000000", "log2  1.03.2026"} {
			f.Add(text, format)
		}
	}
	f.Fuzz(func(t *testing.T, text, format string) {
		at, err := strftime.Parse(text, format)
		half := (strings.Contains(format, "%I") || strings.Contains(format, "%l")) && !strings.Contains(format, "%p")
		if err != nil || half || !once(format) || at.Year() < 1000 || at.Year() > 9999 { // C writes other numbers of digits than it reads
			return
		}
		if strftime.Check(format) != nil {
			t.Errorf("%q reads %q, and is refused: %v", format, text, strftime.Check(format))
		}
		written := strftime.Format(at, format)
		again, err := strftime.Parse(written, format)
		if err != nil || again.Sub(at).Abs() >= time.Second {
			t.Errorf("%q by %q is %s, written %q, and then %s, %v", text, format, at, written, again, err)
		}
	})
}
