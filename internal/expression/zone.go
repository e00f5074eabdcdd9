package expression

import (
	"fmt"
	"sync"
	"time"
	_ "time/tzdata" // a container without zone files must read the same dates
)

// zones keeps what was loaded: a zone that stands in a column is looked up for each row. Only names that exist get in.
var zones sync.Map

// loadZone returns the zone of a name of the IANA database.
func loadZone(name string) (*time.Location, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location), nil
	}
	// "Local" differs from worker to worker, and "" is easily a mistake.
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone", name)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone of the IANA database", name)
	}
	zones.Store(name, z)
	return z, nil
}

// policy says what becomes of a wall clock that shows a time twice, or never, when summer time ends or begins.
type policy uint8

// The two that choose take the offset that held before or after the change. So "earlier" is the first of two in the autumn;
// 02:30 of the lost hour in spring becomes 03:30, as with most calendars and databases.
const (
	earlier policy = iota
	later
	reject
)

var policies = map[string]policy{"earlier": earlier, "later": later, "reject": reject}

// toMoment returns the moment at which a wall in a zone shows something.
func toMoment(wall int64, zone *time.Location, p policy) Value {
	before, after := offsetAt(zone, wall-microsPerDay), offsetAt(zone, wall+microsPerDay)
	offset := before
	if before != after {
		// A change is near. It matters only if both offsets are right for this wall clock, or neither is.
		first, second := offsetAt(zone, wall-before) == before, offsetAt(zone, wall-after) == after
		switch {
		case first != second:
			if second {
				offset = after
			}
		case p == reject:
			times := "never"
			if first {
				times = "twice"
			}
			return fail("22008", "clocks in %s show %s %s", zone, OfTimestamp(wall), times)
		case p == later:
			offset = after
		}
	}
	m := OfMoment(wall - offset)
	days, _ := splitDay(m.n)
	return inYears(Moment, m.n, days, m.String())
}

// offsetAt returns how many microseconds a zone is ahead of UTC at a moment.
func offsetAt(zone *time.Location, moment int64) int64 {
	_, seconds := time.UnixMicro(moment).In(zone).Zone()
	return int64(seconds) * microsPerSecond
}

// inZone returns what a wall in a zone shows at a moment.
func inZone(m int64, zone *time.Location) Value {
	wall := m + offsetAt(zone, m)
	days, _ := splitDay(wall)
	return inYears(Timestamp, wall, days, OfMoment(m).String()+" in "+zone.String())
}
