// Package due says when a schedule is due. A due time is a pure function of the rule and of the time after which it is
// wanted: every process that asks gets the same answer, and no process has to remember anything.
//
// Rules are cron expressions in a time zone, or multiples of an interval since the Unix epoch. What happens when clocks
// are put forward or back is what Vixie cron's users expect (docs/schedules.md has the table):
//
//   - A rule with fixed hours means the clock on the wall. A time that is skipped in spring is due once, right after the
//     gap; a time that comes twice in autumn is due at its first coming only.
//   - A rule with any hour means real time. It knows no times within the gap, and is due in both hours of the overlap.
package due

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a container without zone files computes the same due times as any other machine

	"github.com/cespare/xxhash/v2"
	"github.com/robfig/cron/v3"
)

// MinEvery is the shortest interval of a rule.
const MinEvery = time.Second

// Rule says when something is due. Its zero value is never due; Parse makes one.
type Rule struct {
	every  time.Duration // 0 with cron
	cron   *cron.SpecSchedule
	zone   *time.Location
	real   bool // follows real time, not the clock on the wall
	jitter time.Duration
}

// Parse makes a rule of a cron expression of five fields (or @hourly, @daily, @weekly, @monthly, @yearly) in a time zone ("" is UTC),
// or of an interval, of which the zone is no part. jitter is less than the interval. An error says which of its words is wrong.
func Parse(expression string, every time.Duration, zone string, jitter time.Duration) (Rule, error) {
	r := Rule{every: every, jitter: jitter}
	switch {
	case jitter < 0:
		return Rule{}, fmt.Errorf("a jitter of %s is less than nothing", jitter)
	case expression != "" && every != 0:
		return Rule{}, fmt.Errorf("it has both a cron expression and an interval")
	case expression != "":
		return r.parseCron(expression, zone)
	case every < MinEvery:
		return Rule{}, fmt.Errorf("an interval of %s is shorter than %s", every, MinEvery)
	case every%time.Millisecond != 0:
		return Rule{}, fmt.Errorf("an interval of %s is no whole number of milliseconds", every)
	case jitter >= every:
		return Rule{}, fmt.Errorf("a jitter of %s is not less than the interval of %s", jitter, every)
	case zone != "":
		return Rule{}, fmt.Errorf("an interval counts from the Unix epoch and knows no time zone")
	}
	return r, nil
}

// parser takes no @every (intervals are a word of their own), no seconds and no zone within the expression.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

func (r Rule) parseCron(expression, zone string) (Rule, error) {
	if zone == "" {
		zone = "UTC"
	}
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" { // Local is another zone on another machine
		return Rule{}, fmt.Errorf("there is no time zone %q", zone)
	}
	expression = strings.TrimSpace(expression)
	if strings.Contains(expression, "=") || strings.HasPrefix(expression, "@every") {
		return Rule{}, fmt.Errorf("%q is no cron expression: zone and interval have fields of their own", expression)
	}
	parsed, err := parser.Parse(expression)
	if err != nil {
		return Rule{}, fmt.Errorf("%q is no cron expression: %w", expression, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Rule{}, fmt.Errorf("%q is no cron expression", expression)
	}
	spec.Location = time.UTC // it is asked about the clock on the wall, which is written as if it were UTC
	r.cron, r.zone, r.real = spec, loc, anyHour(expression, spec)
	if r.Next(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return Rule{}, fmt.Errorf("%q is never due", expression)
	}
	return r, nil
}

// anyHour reports whether a rule goes by real time: its hours begin with a star, as cron has it, or are all there are.
func anyHour(expression string, spec *cron.SpecSchedule) bool {
	const all = 1<<24 - 1
	if spec.Hour&all == all {
		return true
	}
	fields := strings.Fields(expression)
	return len(fields) == 5 && (strings.HasPrefix(fields[1], "*") || strings.HasPrefix(fields[1], "?"))
}

// Next returns the first due time after t, in UTC; the zero time when there is none within the next years.
func (r Rule) Next(t time.Time) time.Time {
	switch {
	case r.every > 0:
		ms := r.every.Milliseconds()
		return time.UnixMilli((floorDiv(t.UnixMilli(), ms) + 1) * ms).UTC()
	case r.cron == nil:
		return time.Time{}
	case r.real:
		return r.nextReal(t)
	}
	return r.nextOnWall(t)
}

// floorDiv rounds down, for times before 1970 as well.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// nextReal looks through one period of constant offset after the other, each with its own clock on the wall.
func (r Rule) nextReal(t time.Time) time.Time {
	for {
		local := t.In(r.zone)
		offset := offsetOf(local)
		_, end := local.ZoneBounds() // the zero time where the clock is never changed again
		wall := r.cron.Next(t.UTC().Add(offset))
		if wall.IsZero() {
			return time.Time{}
		}
		if at := wall.Add(-offset); end.IsZero() || at.Before(end) {
			return at
		}
		// The moment of the change itself belongs to the new period.
		wall = end.UTC().Add(offsetOf(end.In(r.zone)))
		if r.cron.Next(wall.Add(-time.Nanosecond)).Equal(wall) {
			return end.UTC()
		}
		t = end
	}
}

// nextOnWall takes the times on the wall one after the other. Their moments never go back: those within a gap share its end.
func (r Rule) nextOnWall(t time.Time) time.Time {
	for wall := r.cron.Next(t.UTC().Add(offsetOf(t.In(r.zone)))); !wall.IsZero(); wall = r.cron.Next(wall) {
		if at := r.moment(wall); at.After(t) {
			return at
		}
	}
	return time.Time{}
}

// moment returns when a clock in the zone first shows this time: at its first coming when it comes twice, at the end of
// the gap when it never comes. time.Date promises neither.
func (r Rule) moment(wall time.Time) time.Time {
	guess := time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), 0, 0, r.zone)
	start, end := guess.ZoneBounds() // the zero time where there is no change
	offset := offsetOf(guess)
	at := wall.Add(-offset)
	if !start.IsZero() {
		before := offsetOf(start.Add(-time.Nanosecond).In(r.zone))
		switch early := wall.Add(-before); {
		case early.Before(start): // the clock showed it before it was put back
			return early
		case at.Before(start): // it was skipped when this period began
			return start.UTC()
		}
	}
	if !end.IsZero() && !at.Before(end) { // it is skipped when this period ends, or comes first in the next one
		if late := wall.Add(-offsetOf(end.In(r.zone))); !late.Before(end) {
			return late
		}
		return end.UTC()
	}
	return at
}

func offsetOf(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// Last returns the last due time that is after from and not after to; the zero time when there is none.
func (r Rule) Last(from, to time.Time) time.Time {
	if r.every > 0 {
		ms := r.every.Milliseconds()
		if at := time.UnixMilli(floorDiv(to.UnixMilli(), ms) * ms).UTC(); at.After(from) {
			return at
		}
		return time.Time{}
	}
	for back := time.Hour; ; back *= 2 {
		start := to.Add(-back)
		if !start.After(from) {
			start = from
		}
		at := r.Next(start)
		if at.IsZero() || at.After(to) {
			if start.Equal(from) {
				return time.Time{}
			}
			continue
		}
		for next := r.Next(at); !next.IsZero() && !next.After(to); next = r.Next(at) {
			at = next
		}
		return at
	}
}

// CountLimit is up to where due times of a cron expression are counted: two months of one each minute.
const CountLimit = 100_000

// Count returns how many due times are after from and not after to; of a cron expression no more than CountLimit.
func (r Rule) Count(from, to time.Time) int {
	if r.every > 0 {
		ms := r.every.Milliseconds()
		return int(max(0, floorDiv(to.UnixMilli(), ms)-floorDiv(from.UnixMilli(), ms)))
	}
	n := 0
	for at := r.Next(from); !at.IsZero() && !at.After(to) && n < CountLimit; at = r.Next(at) {
		n++
	}
	return n
}

// Fire returns when the due time of a schedule takes effect: up to the jitter later, spread by name and time so that
// schedules with the same rule do not all begin in the same second. It is the same for whoever asks.
func (r Rule) Fire(name string, at time.Time) time.Time {
	if r.jitter < time.Millisecond {
		return at
	}
	hash := xxhash.Sum64String(fmt.Sprintf("%s@%d", name, at.UnixMilli()))
	return at.Add(time.Duration(hash%uint64(r.jitter.Milliseconds())) * time.Millisecond)
}

// Jitter returns by how much a due time may be put off.
func (r Rule) Jitter() time.Duration { return r.jitter }
