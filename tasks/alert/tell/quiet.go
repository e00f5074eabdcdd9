package tell

import (
	"slices"
	"time"
)

// Hours are hours of the day in which nobody wants to hear anything. They may go over midnight; From and To the same are none.
type Hours struct {
	From, To time.Duration // since midnight, by the clock on the wall
	Zone     *time.Location
	Days     []time.Weekday // on which they begin; none is all
}

// Until returns when the hours end that hold at a time, or the zero time when none do. Where clocks are put forward or back, that is by
// the clock on the wall.
func (h Hours) Until(now time.Time) time.Time {
	if h.From == h.To || h.Zone == nil {
		return time.Time{}
	}
	local := now.In(h.Zone)
	for _, back := range []int{0, 1} { // they may have begun yesterday
		day := local.AddDate(0, 0, -back)
		if len(h.Days) > 0 && !slices.Contains(h.Days, day.Weekday()) {
			continue
		}
		from, to := onWall(day, h.From), onWall(day, h.To)
		if h.To <= h.From {
			to = onWall(day.AddDate(0, 0, 1), h.To)
		}
		if !now.Before(from) && now.Before(to) {
			return to.UTC()
		}
	}
	return time.Time{}
}

func onWall(day time.Time, since time.Duration) time.Time {
	y, m, d := day.Date()
	return time.Date(y, m, d, int(since/time.Hour), int(since%time.Hour/time.Minute), 0, 0, day.Location())
}
