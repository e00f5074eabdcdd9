package notify_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/internal/notify"
)

func TestQuietHoursEndByTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		days     []string
		at, want string // in Berlin; "" is not quiet
	}{
		{"22:00", "06:00", nil, "2026-11-26 21:59", ""},
		{"22:00", "06:00", nil, "2026-11-26 22:00", "2026-11-27 06:00"},
		{"22:00", "06:00", nil, "2026-11-27 05:59", "2026-11-27 06:00"},
		{"22:00", "06:00", nil, "2026-11-27 06:00", ""},
		{"12:00", "13:30", nil, "2026-11-26 12:30", "2026-11-26 13:30"},
		{"12:00", "13:30", nil, "2026-11-26 11:59", ""},
		{"22:00", "06:00", []string{"fri"}, "2026-11-27 23:00", "2026-11-28 06:00"}, // a Friday
		{"22:00", "06:00", []string{"fri"}, "2026-11-28 05:00", "2026-11-28 06:00"},
		{"22:00", "06:00", []string{"fri"}, "2026-11-27 05:00", ""},
		{"22:00", "06:00", []string{"fri"}, "2026-11-28 23:00", ""},
		{"22:00", "06:00", nil, "2026-03-29 01:59", "2026-03-29 06:00"}, // the clock is set to summer
		{"22:00", "06:00", nil, "2026-10-25 05:59", "2026-10-25 06:00"}, // and back
		{"", "", nil, "2026-11-26 03:00", ""},
	} {
		q, err := notify.ParseQuiet(c.from, c.to, "Europe/Berlin", c.days)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.ParseInLocation("2006-01-02 15:04", c.at, berlin)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if until := q.Until(at.UTC()); !until.IsZero() {
			got = until.Format("2006-01-02 15:04")
		}
		if got != c.want {
			t.Errorf("%s to %s %v, at %s: until %q, want %q", c.from, c.to, c.days, c.at, got, c.want)
		}
	}
	for _, c := range [][4]string{{"25:00", "06:00", "", "mon"}, {"22:00", "", "", "mon"}, {"22:00", "22:00", "", "mon"}, {"22:00", "06:00", "Berlin", "mon"}, {"22:00", "06:00", "", "monday"}} {
		if _, err := notify.ParseQuiet(c[0], c[1], c[2], []string{c[3]}); err == nil {
			t.Errorf("%v is taken", c)
		}
	}
}
