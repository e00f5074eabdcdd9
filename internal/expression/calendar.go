package expression

import (
	"strconv"
)

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 86_400 * microsPerSecond
)

// The first and last day that a date may be: years 1 to 9999, as in SQL and in RFC 3339.
var (
	firstDay = daysOf(1, 1, 1)
	lastDay  = daysOf(9999, 12, 31)
)

// daysOf counts the days from 1970-01-01 to a day of the proleptic Gregorian calendar.
func daysOf(year, month, day int64) int64 {
	// Years that begin in March have the leap day at their end.
	if month <= 2 {
		year--
		month += 12
	}
	era := floorDiv(year, 400)
	ofEra := year - era*400
	dayOfYear := (153*(month-3)+2)/5 + day - 1
	return era*146097 + ofEra*365 + ofEra/4 - ofEra/100 + dayOfYear - 719468
}

// civil is the opposite of daysOf.
func civil(days int64) (year, month, day int64) {
	days += 719468
	era := floorDiv(days, 146097)
	ofEra := days - era*146097
	year = (ofEra - ofEra/1460 + ofEra/36524 - ofEra/146096) / 365
	dayOfYear := ofEra - (365*year + year/4 - year/100)
	month = (5*dayOfYear + 2) / 153
	day = dayOfYear - (153*month+2)/5 + 1
	year += era * 400
	if month += 3; month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func isLeap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if isLeap(year) {
			return 29
		}
		return 28
	}
	return 31
}

// weekday is 1 for Monday to 7 for Sunday, as in ISO 8601.
func weekday(days int64) int64 { return days + 3 - floorDiv(days+3, 7)*7 + 1 }

// isoWeek returns week and year of ISO 8601: week 1 is that of the year's first Thursday.
func isoWeek(days int64) (year, week int64) {
	thursday := days - weekday(days) + 4
	year, _, _ = civil(thursday)
	return year, (thursday-daysOf(year, 1, 1))/7 + 1
}

// splitDay splits microseconds since 1970 into days, and microseconds of the day.
func splitDay(micros int64) (days, ofDay int64) {
	days = floorDiv(micros, microsPerDay)
	return days, micros - days*microsPerDay
}

// inYears makes a value of days or microseconds if it lies in the years 1 to 9999; of is what it was made of.
func inYears(typ Type, n int64, days int64, of Value) Value {
	if days < firstDay || days > lastDay {
		return fail("22008", "what comes out of %s is outside of the years 1 to 9999", quoted(of))
	}
	return Value{kind: typ, n: n}
}

func appendNumber(dst []byte, n int64, width int) []byte {
	start := len(dst)
	dst = strconv.AppendInt(dst, n, 10)
	for len(dst)-start < width {
		dst = append(dst, 0)
		copy(dst[start+1:], dst[start:])
		dst[start] = '0'
	}
	return dst
}

func appendDate(dst []byte, days int64) []byte {
	year, month, day := civil(days)
	dst = append(appendNumber(dst, year, 4), '-')
	dst = append(appendNumber(dst, month, 2), '-')
	return appendNumber(dst, day, 2)
}

// appendClock writes 15:04:05, and a fraction without zeros at its end if there is one.
func appendClock(dst []byte, micros int64) []byte {
	seconds := micros / microsPerSecond
	dst = append(appendNumber(dst, seconds/3600, 2), ':')
	dst = append(appendNumber(dst, seconds/60%60, 2), ':')
	dst = appendNumber(dst, seconds%60, 2)
	if rest := micros % microsPerSecond; rest != 0 {
		dst = appendNumber(append(dst, '.'), rest, 6)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return dst
}
