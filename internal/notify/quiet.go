package notify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Quiet is a part of the day in which nothing is sent. It may go over midnight. The zero value is none.
type Quiet struct {
	from, to int // minutes of the day; equal: none
	zone     *time.Location
	days     []time.Weekday // on which it begins; none is all
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // as time.Weekday counts

// ParseQuiet reads HH:MM twice, an IANA name ("" is UTC), and days such as mon (none is all). Two empty times are the zero value.
func ParseQuiet(from, to, zone string, days []string) (Quiet, error) {
	if from == "" && to == "" {
		return Quiet{}, nil
	}
	var q Quiet
	for at, text := range map[*int]string{&q.from: from, &q.to: to} {
		t, err := time.Parse("15:04", text)
		if err != nil {
			return Quiet{}, fmt.Errorf("%q is no time of day", text)
		}
		*at = t.Hour()*60 + t.Minute()
	}
	if q.from == q.to {
		return Quiet{}, errors.New("they end when they begin")
	}
	var err error
	if q.zone, err = time.LoadLocation(zone); err != nil {
		return Quiet{}, err
	}
	for _, day := range days {
		i := slices.Index(weekdays, strings.ToLower(day))
		if i < 0 {
			return Quiet{}, fmt.Errorf("%q is no day of the week", day)
		}
		q.days = append(q.days, time.Weekday(i))
	}
	return q, nil
}

// Until returns when the quiet hours end in which that moment is, and the zero time when it is in none.
func (q Quiet) Until(at time.Time) time.Time {
	if q.from == q.to {
		return time.Time{}
	}
	local := at.In(q.zone)
	moment := func(day, minute int) time.Time { // by the clock on the wall, whatever it has been set to that day
		return time.Date(local.Year(), local.Month(), local.Day()+day, minute/60, minute%60, 0, 0, q.zone)
	}
	for _, day := range []int{-1, 0} { // those that began yesterday may go on
		begin, end := moment(day, q.from), moment(day, q.to)
		if q.to < q.from {
			end = moment(day+1, q.to)
		}
		// The weekday of noon: a midnight that a clock is set over would be that of the day before.
		begins := len(q.days) == 0 || slices.Contains(q.days, moment(day, 12*60).Weekday())
		if begins && !at.Before(begin) && at.Before(end) {
			return end
		}
	}
	return time.Time{}
}
