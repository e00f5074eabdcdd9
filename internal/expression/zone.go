package expression

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // a container without zone files must read the same dates
)

// zone is a zone of the IANA database. time.Location reads the rule of a zone anew for each moment after its last known change,
// which for most zones is any moment of today; a table of all changes to come is searched in a few nanoseconds.
type zone struct {
	location *time.Location
	from     []int64 // microseconds since 1970 at which an offset begins to hold
	offset   []int64 // microseconds ahead of UTC
	until    int64   // where the table ends
}

// zones keeps what was loaded: a zone that stands in a column is looked up for each row. Only names that exist get in.
var zones sync.Map

// loadZone returns the zone of a name of the IANA database.
func loadZone(name string) (*zone, error) {
	if z, ok := zones.Load(name); ok {
		return z.(*zone), nil
	}
	// "Local" differs from worker to worker, and "" is easily a mistake.
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone", name)
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone of the IANA database", name)
	}
	z := newZone(location)
	zones.Store(strings.Clone(name), z)
	return z, nil
}

var utc = newZone(time.UTC)

func newZone(location *time.Location) *zone {
	z := &zone{location: location, until: daysOf(2200, 1, 1) * microsPerDay}
	at := firstDay*microsPerDay - microsPerDay
	for at < z.until {
		t := time.UnixMicro(at).In(location)
		_, seconds := t.Zone()
		if offset := int64(seconds) * microsPerSecond; len(z.from) == 0 || offset != z.offset[len(z.offset)-1] {
			z.from, z.offset = append(z.from, at), append(z.offset, offset)
		}
		_, end := t.ZoneBounds()
		if end.IsZero() {
			z.until = math.MaxInt64
			break
		}
		// Where a rule holds for ever, bounds also end with the year, which for package time has 365 days: on the last day of
		// a leap year the end has passed already.
		at = max(end.UnixMicro(), at+microsPerDay)
	}
	return z
}

// offsetAt returns how many microseconds a zone is ahead of UTC at a moment.
func (z *zone) offsetAt(moment int64) int64 {
	if moment >= z.until {
		_, seconds := time.UnixMicro(moment).In(z.location).Zone()
		return int64(seconds) * microsPerSecond
	}
	i, found := slices.BinarySearch(z.from, moment)
	if !found {
		i = max(i-1, 0)
	}
	return z.offset[i]
}

// String returns the name.
func (z *zone) String() string { return z.location.String() }

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
func toMoment(wall int64, z *zone, p policy) Value {
	before, after := z.offsetAt(wall-microsPerDay), z.offsetAt(wall+microsPerDay)
	offset := before
	if before != after {
		// A change is near. It matters only if both offsets are right for this wall clock, or neither is.
		first, second := z.offsetAt(wall-before) == before, z.offsetAt(wall-after) == after
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
			return fail("22008", "clocks in %s show %s %s", z, OfTimestamp(wall), times)
		case p == later:
			offset = after
		}
	}
	days, _ := splitDay(wall - offset)
	return inYears(Moment, wall-offset, days, OfTimestamp(wall))
}

// inZone returns what a wall in a zone shows at a moment.
func inZone(m int64, z *zone) Value {
	wall := m + z.offsetAt(m)
	days, _ := splitDay(wall)
	return inYears(Timestamp, wall, days, OfMoment(m))
}
