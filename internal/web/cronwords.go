package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// whenWords says in words when a schedule is due: "every weekday at 02:30". What has no simple words is said by its expression.
func whenWords(cron, every string) string {
	if every != "" {
		return "every " + interval(every)
	}
	cron = strings.TrimSpace(cron)
	switch cron {
	case "@hourly":
		return "every hour, on the hour"
	case "@daily", "@midnight":
		return "every day at 00:00"
	case "@weekly":
		return "every Sunday at 00:00"
	case "@monthly":
		return "on the 1st of every month at 00:00"
	case "@yearly", "@annually":
		return "on the 1st of January at 00:00"
	}
	f := strings.Fields(cron)
	if len(f) != 5 {
		return cron
	}
	day, dayOK := dayWords(f[2], f[3], f[4])
	at, timed, timeOK := timeWords(f[0], f[1])
	switch {
	case !dayOK || !timeOK:
		return "by the cron expression " + cron
	case timed:
		return day + " at " + at
	case day == "every day":
		return at
	}
	return at + ", " + day
}

// timeWords says at what times of a day. timed: they are times on the clock; else they are said as intervals.
func timeWords(minute, hour string) (text string, timed, ok bool) {
	hourStep, hourly := step(hour)
	if minuteStep, minutely := step(minute); minutely {
		if 60%minuteStep != 0 { // it begins anew with each hour
			return "", false, false
		}
		text := "every " + steps(minuteStep, "minute")
		if isAny(hour) {
			return text, false, true
		}
		hours, ok := numbers(hour, 0, 23)
		if !ok || hours[len(hours)-1]-hours[0] != len(hours)-1 {
			return "", false, false
		}
		return fmt.Sprintf("%s between %02d:00 and %02d:59", text, hours[0], hours[len(hours)-1]), false, true
	}
	minutes, ok := numbers(minute, 0, 59)
	if !ok || len(minutes) > 6 {
		return "", false, false
	}
	if hourly {
		if 24%hourStep != 0 {
			return "", false, false
		}
		text := "every " + steps(hourStep, "hour")
		if len(minutes) == 1 && minutes[0] == 0 {
			return text + ", on the hour", false, true
		}
		return text + " at minute " + and(spelled(minutes, func(m int) string { return strconv.Itoa(m) })), false, true
	}
	hours, ok := numbers(hour, 0, 23)
	if !ok || len(hours)*len(minutes) > 6 {
		return "", false, false
	}
	var list []string
	for _, h := range hours {
		for _, m := range minutes {
			list = append(list, fmt.Sprintf("%02d:%02d", h, m))
		}
	}
	return and(list), true, true
}

// interval says an interval that is a whole number of a unit with its unit's name.
func interval(text string) string {
	d, err := time.ParseDuration(text)
	for _, u := range []struct {
		of   time.Duration
		name string
	}{{24 * time.Hour, "day"}, {time.Hour, "hour"}, {time.Minute, "minute"}, {time.Second, "second"}} {
		if err == nil && d >= u.of && d%u.of == 0 {
			return steps(int(d/u.of), u.name)
		}
	}
	return text
}

// brief is a duration as people write it: 1m0s is 1m.
func brief(text string) string {
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func steps(n int, unit string) string {
	if n == 1 {
		return unit
	}
	return fmt.Sprintf("%d %ss", n, unit)
}

var (
	dayNames   = []string{"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"}
	monthNames = []string{"", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
)

// dayWords says on which days.
func dayWords(dom, month, dow string) (string, bool) {
	in := ""
	if !isAny(month) {
		months, ok := numbers(named(month, monthNames), 1, 12)
		if !ok {
			return "", false
		}
		in = and(spelled(months, func(m int) string { return monthNames[m] }))
	}
	week, weekOK := weekWords(dow)
	switch {
	case !weekOK:
		return "", false
	case isAny(dom) && in == "":
		return "every " + week, true
	case isAny(dom):
		return "every " + week + " in " + in, true
	}
	days, ok := numbers(dom, 1, 31)
	if !ok || len(days) > 8 {
		return "", false
	}
	text := "on the " + and(spelled(days, ordinal)) + " of "
	if in == "" {
		in = "every month"
	}
	text += in
	if !isAny(dow) { // cron takes either
		text += " and every " + week
	}
	return text, true
}

func weekWords(dow string) (string, bool) {
	if isAny(dow) {
		return "day", true
	}
	days, ok := numbers(named(dow, dayNames), 0, 6)
	if !ok {
		return "", false
	}
	switch {
	case len(days) == 7:
		return "day", true
	case slices.Equal(days, []int{1, 2, 3, 4, 5}):
		return "weekday", true
	}
	return and(spelled(days, func(d int) string { return dayNames[d] })), true
}

func isAny(field string) bool { return field == "*" || field == "?" }

// step reads * and */n.
func step(field string) (int, bool) {
	if isAny(field) {
		return 1, true
	}
	rest, ok := strings.CutPrefix(field, "*/")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && n > 0
}

// named puts numbers for the names of days and months, of which cron reads three letters.
func named(field string, names []string) string {
	field = strings.ToLower(field)
	for i, name := range names {
		if len(name) >= 3 {
			field = strings.ReplaceAll(field, strings.ToLower(name[:3]), strconv.Itoa(i))
		}
	}
	return field
}

// numbers lists what a field of numbers, lists and ranges means.
func numbers(field string, low, high int) ([]int, bool) {
	var list []int
	for _, p := range strings.Split(field, ",") {
		from, to, isRange := strings.Cut(p, "-")
		a, err := strconv.Atoi(from)
		if err != nil {
			return nil, false
		}
		b := a
		if isRange {
			if b, err = strconv.Atoi(to); err != nil {
				return nil, false
			}
		}
		if a < low || b > high || a > b {
			return nil, false
		}
		for n := a; n <= b; n++ {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), true
}

func spelled(list []int, text func(int) string) []string {
	out := make([]string, len(list))
	for i, n := range list {
		out[i] = text(n)
	}
	return out
}

// and joins words as a sentence does.
func and(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

func ordinal(n int) string {
	switch {
	case n%100 >= 11 && n%100 <= 13:
		return strconv.Itoa(n) + "th"
	case n%10 == 1:
		return strconv.Itoa(n) + "st"
	case n%10 == 2:
		return strconv.Itoa(n) + "nd"
	case n%10 == 3:
		return strconv.Itoa(n) + "rd"
	}
	return strconv.Itoa(n) + "th"
}
