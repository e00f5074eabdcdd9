package rule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

var cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// ParseCron reads the cron expressions of rules: five fields, or @daily and the like. Sunday is 0 and 7.
func ParseCron(text string) (cron.Schedule, error) {
	fields := strings.Fields(text)
	if len(fields) == 5 {
		fields[4] = sundays(fields[4])
	} else if !strings.HasPrefix(text, "@") {
		return nil, fmt.Errorf("%q has %d fields instead of 5", text, len(fields))
	}
	if strings.HasPrefix(text, "@every") || strings.Contains(text, "TZ=") {
		return nil, fmt.Errorf("%q is no cron expression", text)
	}
	s, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		return nil, fmt.Errorf("%q is no cron expression: %w", text, err)
	}
	return s, nil
}

// mostMinutes is how many minutes of a cron expression are looked at, those between two times of a grid left out: enough to meet a grid
// that meets them at all, and soon done.
const mostMinutes = 10_000

// meets reports whether rules that are evaluated every so often, counted from the beginning of 1970 in UTC, come by in a minute of a
// cron expression.
func meets(limit cron.Schedule, every time.Duration) bool {
	if every <= time.Minute {
		return true
	}
	at := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second)
	for range mostMinutes {
		if at = limit.Next(at); at.IsZero() || at.Year() > 2100 {
			return false
		}
		since := time.Duration(at.UnixNano()) % every
		if since == 0 {
			return true
		}
		comes := at.Add(every - since) // the first time of the grid from this minute on
		if comes.Before(at.Add(time.Minute)) {
			return true
		}
		at = comes.Truncate(time.Minute).Add(-time.Second)
	}
	return false
}

// sundays writes a field of weekdays without 7. What it does not understand it leaves to the parser.
func sundays(field string) string {
	if !strings.Contains(field, "7") {
		return field
	}
	var days []string
	for part := range strings.SplitSeq(field, ",") {
		span, every, stepped := strings.Cut(part, "/")
		from, to, ranged := strings.Cut(span, "-")
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		step, err3 := strconv.Atoi(every)
		if !ranged {
			last, err2 = first, nil
		}
		if !stepped {
			step, err3 = 1, nil
		}
		if err1 != nil || err2 != nil || err3 != nil || step < 1 || first > last || last > 7 || stepped && !ranged {
			days = append(days, part)
			continue
		}
		for d := first; d <= last; d += step {
			if day := strconv.Itoa(d % 7); !slices.Contains(days, day) {
				days = append(days, day)
			}
		}
	}
	return strings.Join(days, ",")
}
