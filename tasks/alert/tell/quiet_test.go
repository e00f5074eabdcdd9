package tell_test

import (
	"testing"
	"time"

	"github.com/stint-run/stint/tasks/alert/tell"
)

func TestQuietHoursAreThoseOfTheClockOnTheWall(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	night := tell.Hours{From: 22 * time.Hour, To: 7 * time.Hour, Zone: berlin}
	weekend := tell.Hours{From: 22 * time.Hour, To: 7 * time.Hour, Zone: berlin, Days: []time.Weekday{time.Friday, time.Saturday}}
	noon := tell.Hours{From: 12 * time.Hour, To: 13*time.Hour + 30*time.Minute, Zone: time.UTC}
	for _, c := range []struct {
		hours tell.Hours
		now   string // in the zone of Berlin
		want  string // "" is not quiet
	}{
		{night, "2026-11-25T21:59:59+01:00", ""},
		{night, "2026-11-25T22:00:00+01:00", "2026-11-26T07:00:00+01:00"},
		{night, "2026-11-26T06:59:59+01:00", "2026-11-26T07:00:00+01:00"},
		{night, "2026-11-26T07:00:00+01:00", ""},
		{night, "2026-10-25T01:00:00+02:00", "2026-10-25T07:00:00+01:00"}, // the night in which clocks are put back
		{night, "2026-03-29T01:30:00+01:00", "2026-03-29T07:00:00+02:00"},
		{weekend, "2026-11-26T23:00:00+01:00", ""}, // a Thursday
		{weekend, "2026-11-28T03:00:00+01:00", "2026-11-28T07:00:00+01:00"},
		{weekend, "2026-11-29T23:00:00+01:00", ""},
		{noon, "2026-11-26T13:15:00+01:00", "2026-11-26T14:30:00+01:00"},
		{tell.Hours{}, "2026-11-26T13:15:00+01:00", ""},
	} {
		now, err := time.Parse(time.RFC3339, c.now)
		if err != nil {
			t.Fatal(err)
		}
		var want time.Time
		if c.want != "" {
			if want, err = time.Parse(time.RFC3339, c.want); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.hours.Until(now); !got.Equal(want) {
			t.Errorf("%s: quiet until %v, want %v", c.now, got, want)
		}
	}
}
