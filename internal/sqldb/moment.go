package sqldb

import (
	"encoding/binary"
	"math"
	"strings"
)

// moment is a day and a time as it was written.
type moment struct {
	days    int64 // since 2000-01-01
	us      int64 // since midnight
	hasDay  bool
	hasTime bool
	hasZone bool
	offset  int64 // of the zone from UTC, in seconds
}

// The last days that PostgreSQL knows.
const (
	maxDateYear      = 5874897
	maxTimestampYear = 294276
)

// appendMoment appends a field of a date, a time or a timestamp.
func (c *codec) appendMoment(dst []byte, v *cell) ([]byte, *BadValue) {
	if v.kind == cellMicros {
		return c.appendMicros(dst, v)
	}
	if v.kind != cellText {
		return dst, c.bad(v, codeDate, "is not a date or time as text")
	}
	if c.from == Postgres && (v.s == infinity || v.s == minusInfinity) && c.dst.Kind != KindTime {
		return appendInfinity(dst, c.dst.Kind, v.s == infinity), nil
	}
	var m moment
	if reason, code := m.parse(v.s, c.dst.Kind); reason != "" {
		return dst, c.bad(v, code, reason)
	}
	if c.grain > 1 && m.us%c.grain != 0 {
		return dst, c.bad(v, codeDateRange, "has more digits behind the second than "+c.dst.Type+" keeps")
	}
	switch c.dst.Kind {
	case KindTime:
		if m.hasDay || m.hasZone {
			return dst, c.bad(v, codeDate, "is more than a time of day")
		}
		return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(m.us)), nil
	case KindDate:
		if m.us != 0 || m.hasZone {
			return dst, c.bad(v, codeDate, "has a time of day, or a zone, which a date would lose")
		}
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(int32(m.days))), nil
	case KindTimestamp:
		if m.offset != 0 {
			return dst, c.bad(v, codeDate, "has an offset from UTC, which a timestamp without time zone would lose")
		}
	}
	us := m.days*usPerDay + m.us - m.offset*1e6
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(us)), nil
}

// appendMicros appends what a transformation made, which knows no more than microseconds.
func (c *codec) appendMicros(dst []byte, v *cell) ([]byte, *BadValue) {
	us := v.int()
	if c.dst.Kind != KindTime {
		us -= microsTo2000
	}
	day := us / usPerDay
	if us%usPerDay < 0 {
		day--
	}
	switch {
	case c.grain > 1 && us%c.grain != 0:
		return dst, c.bad(v, codeDateRange, "has more digits behind the second than "+c.dst.Type+" keeps")
	case c.dst.Kind == KindDate && us != day*usPerDay:
		return dst, c.bad(v, codeDate, "has a time of day, which a date would lose")
	case c.dst.Kind == KindDate:
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(int32(day))), nil
	}
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(us)), nil
}

// grainOf returns how many microseconds a type such as timestamp(3) without time zone rounds to.
func grainOf(typ string) int64 {
	_, after, ok := strings.Cut(typ, "(")
	if !ok || after == "" || after[0] < '0' || after[0] > '6' {
		return 1
	}
	grain := int64(1)
	for n := after[0]; n < '6'; n++ {
		grain *= 10
	}
	return grain
}

func appendInfinity(dst []byte, k Kind, positive bool) []byte {
	if k == KindDate {
		n := int32(math.MinInt32)
		if positive {
			n = math.MaxInt32
		}
		return binary.BigEndian.AppendUint32(append(dst, 0, 0, 0, 4), uint32(n))
	}
	n := int64(math.MinInt64)
	if positive {
		n = math.MaxInt64
	}
	return binary.BigEndian.AppendUint64(append(dst, 0, 0, 0, 8), uint64(n))
}

// parse reads YYYY-MM-DD[ T]HH:MM[:SS[.ffffff]][Z|+hh[:mm[:ss]]], a day alone, or, for KindTime, a time alone. Text without a
// zone counts as UTC where a zone is wanted. It returns what is wrong, with its SQLSTATE.
func (m *moment) parse(s string, want Kind) (reason, code string) {
	const form = "is not a date or time in ISO form"
	*m = moment{}
	rest := s
	if want != KindTime || len(s) > 4 && s[2] != ':' {
		var y int64
		var mon, day int
		var ok bool
		if y, mon, day, rest, ok = cutDay(s); !ok {
			return form, codeDate
		}
		most := int64(maxTimestampYear)
		if want == KindDate {
			most = maxDateYear
		}
		switch {
		case y == 0 || mon == 0 || day == 0:
			return "is a zero date, which is no day", codeDateRange
		case mon > 12 || day > daysOf(y, mon):
			return "is a day that does not exist", codeDateRange
		case y > most:
			return "lies beyond the calendar of PostgreSQL", codeDateRange
		}
		m.days, m.hasDay = dayNumber(y, mon, day), true
		if rest == "" {
			return "", ""
		}
		if rest[0] != ' ' && rest[0] != 'T' && rest[0] != 't' {
			return form, codeDate
		}
		rest = rest[1:]
	}
	return m.parseClock(rest, want)
}

// cutDay reads year, month and day from the front; the year has at least four digits.
func cutDay(s string) (y int64, mon, day int, rest string, ok bool) {
	i := 0
	for i < len(s) && i < 7 && s[i] >= '0' && s[i] <= '9' {
		y = y*10 + int64(s[i]-'0')
		i++
	}
	if i < 4 || len(s) < i+6 || s[i] != '-' || s[i+3] != '-' {
		return 0, 0, 0, "", false
	}
	mon, ok1 := two(s[i+1:])
	day, ok2 := two(s[i+4:])
	return y, mon, day, s[i+6:], ok1 && ok2
}

// two reads two digits from the front of a string that has them.
func two(s string) (int, bool) {
	if len(s) < 2 || s[0] < '0' || s[0] > '9' || s[1] < '0' || s[1] > '9' {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

func daysOf(y int64, mon int) int {
	switch mon {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if y%4 == 0 && (y%100 != 0 || y%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// parseClock reads HH:MM[:SS[.ffffff]] and a zone.
func (m *moment) parseClock(s string, want Kind) (reason, code string) {
	const form = "is not a date or time in ISO form"
	h, ok := two(s)
	if !ok || len(s) < 5 || s[2] != ':' {
		return form, codeDate
	}
	mi, ok := two(s[3:])
	if !ok {
		return form, codeDate
	}
	s = s[5:]
	sec := 0
	if len(s) >= 3 && s[0] == ':' {
		if sec, ok = two(s[1:]); !ok {
			return form, codeDate
		}
		s = s[3:]
		if len(s) > 1 && s[0] == '.' {
			i, unit := 1, int64(100_000)
			for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
				if unit == 0 && s[i] != '0' {
					return "is finer than a microsecond, which would be lost", codeDateRange
				}
				m.us += int64(s[i]-'0') * unit
				unit /= 10
			}
			if i == 1 {
				return form, codeDate
			}
			s = s[i:]
		}
	}
	midnight := h == 24 && mi == 0 && sec == 0 && m.us == 0 && want == KindTime
	if (h > 23 && !midnight) || mi > 59 || sec > 59 {
		return "is a time of day that does not exist", codeDateRange
	}
	m.us += (int64(h)*3600 + int64(mi)*60 + int64(sec)) * 1e6
	m.hasTime = true
	if s == "" {
		return "", ""
	}
	if m.offset, m.hasZone = zone(s); !m.hasZone {
		return form, codeDate
	}
	return "", ""
}

// zone reads Z or +hh[[:]mm[:ss]], as seconds from UTC.
func zone(s string) (int64, bool) {
	s = strings.TrimPrefix(s, " ")
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) < 3 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	neg := s[0] == '-'
	var total int64
	s = s[1:]
	for i, unit := range []int64{3600, 60, 1} {
		if s == "" {
			break
		}
		if i > 0 {
			s = strings.TrimPrefix(s, ":")
		}
		n, ok := two(s)
		if !ok || i > 0 && n > 59 || i == 0 && n > 15 {
			return 0, false
		}
		total += int64(n) * unit
		s = s[2:]
	}
	if neg {
		total = -total
	}
	return total, s == ""
}
