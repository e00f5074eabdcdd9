package expression

import (
	"math"
	"strings"
)

// stamp is what a text says.
type stamp struct {
	year, month, day, ofYear int64
	hour, minute, second     int64
	micros                   int64
	offset                   int64 // seconds east of UTC
	pm                       int64 // 1 AM, 2 PM
	twelve                   bool
	weekday                  int64
}

// read reads a text. What it returns besides are days, and microseconds of the day; a complaint says what is wrong with them.
func (l *layout) read(s string) (days, micros, offset int64, complaint string) {
	t := stamp{year: 1970, month: 1, day: 1}
	rest := s
	for i := range l.parts {
		var ok bool
		if rest, ok = l.parts[i].read(rest, &t); !ok {
			return 0, 0, 0, "is not of the form"
		}
		// Go's layouts need not mention a fraction of the second.
		if l.parts[i].field == second && rest != "" && (rest[0] == '.' || rest[0] == ',') && !(i+1 < len(l.parts) && l.takes(i+1, rest[0])) {
			p := part{field: fraction, text: rest[:1], min: 1, max: 6}
			if rest, ok = p.read(rest, &t); !ok {
				return 0, 0, 0, "has more than six digits of a second, or is not of the form"
			}
		}
	}
	if rest != "" {
		return 0, 0, 0, "goes on after the form"
	}
	return t.resolve()
}

// takes reports whether the next part of the layout reads a point or comma itself.
func (l *layout) takes(i int, c byte) bool {
	p := l.parts[i]
	return p.field == fraction || p.field == literal && p.text[0] == c
}

func (t *stamp) resolve() (days, micros, offset int64, complaint string) {
	if t.twelve {
		if t.hour < 1 || t.hour > 12 {
			return 0, 0, 0, "has no such hour"
		}
		t.hour %= 12
		if t.pm == 2 {
			t.hour += 12
		}
	}
	switch {
	case t.hour > 23:
		return 0, 0, 0, "has no such hour"
	case t.minute > 59:
		return 0, 0, 0, "has no such minute"
	case t.second > 59:
		return 0, 0, 0, "has no such second"
	case t.year < 1:
		return 0, 0, 0, "has no such year"
	}
	if t.ofYear > 0 {
		if t.ofYear > 365 && !(isLeap(t.year) && t.ofYear == 366) {
			return 0, 0, 0, "has no such day"
		}
		days = daysOf(t.year, 1, 1) + t.ofYear - 1
	} else {
		if t.month < 1 || t.month > 12 {
			return 0, 0, 0, "has no such month"
		}
		if t.day < 1 || t.day > daysIn(t.year, t.month) {
			return 0, 0, 0, "has no such day"
		}
		days = daysOf(t.year, t.month, t.day)
	}
	if t.weekday != 0 && t.weekday != weekday(days) {
		return 0, 0, 0, "names another day of the week"
	}
	return days, ((t.hour*60+t.minute)*60+t.second)*microsPerSecond + t.micros, t.offset, ""
}

// read reads one part off the beginning of a text.
func (p *part) read(s string, t *stamp) (rest string, ok bool) {
	switch p.field {
	case literal:
		return strings.CutPrefix(s, p.text)
	case monthName:
		t.month, rest = readName(s, monthNames[:], p.max)
		return rest, t.month > 0
	case weekdayName:
		t.weekday, rest = readName(s, weekdayNames[:], p.max)
		return rest, t.weekday > 0
	case half:
		if len(s) < 2 || s[1]|0x20 != 'm' {
			return s, false
		}
		t.pm = int64(strings.IndexByte("ap", s[0]|0x20)) + 1
		return s[2:], t.pm > 0
	case offsetColon, offsetPlain, offsetHours:
		return p.readOffset(s, t)
	case fraction:
		return p.readFraction(s, t)
	}
	least := p.min
	if p.field == dayNumber && p.pad == ' ' && s != "" {
		s, least = strings.TrimPrefix(s, " "), 1
	}
	if p.one {
		least = 1
	}
	n, rest, ok := readDigits(s, least, p.max)
	if !ok {
		return s, false
	}
	switch p.field {
	case year4:
		t.year = n
	case year2:
		t.year = 1900 + n
		if n < 69 { // as POSIX and Go have it
			t.year = 2000 + n
		}
	case monthNumber:
		t.month = n
	case dayNumber:
		t.day = n
	case dayOfYear:
		t.ofYear = n
		return rest, n > 0
	case hour24:
		t.hour = n
	case hour12:
		t.hour, t.twelve = n, true
	case minute:
		t.minute = n
	case second:
		t.second = n
	}
	return rest, true
}

func readDigits(s string, least, most int) (n int64, rest string, ok bool) {
	i := 0
	for i < len(s) && i < most && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int64(s[i]-'0')
		i++
	}
	return n, s[i:], i >= least && i > 0
}

// readName reads a name of a list, whole or its first three letters, and returns its place from 1.
func readName(s string, names []string, short int) (int64, string) {
	for i, n := range names {
		if short > 0 {
			n = n[:short]
		}
		if len(s) >= len(n) && strings.EqualFold(s[:len(n)], n) {
			return int64(i + 1), s[len(n):]
		}
	}
	return 0, s
}

// readFraction reads digits of a second. More than six are read if they are zeros: nothing is cut off silently.
func (p *part) readFraction(s string, t *stamp) (string, bool) {
	rest, pointed := s, true
	if p.text != "" {
		if rest == "" || rest[0] != '.' && rest[0] != ',' {
			pointed = false
		} else {
			rest = rest[1:]
		}
	}
	if !pointed {
		return s, p.min == 0
	}
	n, scale, i := int64(0), int64(microsPerSecond), 0
	for i < len(rest) && rest[i] >= '0' && rest[i] <= '9' {
		scale /= 10
		if scale == 0 && rest[i] != '0' {
			return s, false
		}
		n += int64(rest[i]-'0') * scale
		i++
	}
	t.micros = n
	return rest[i:], i >= max(p.min, 1)
}

func (p *part) readOffset(s string, t *stamp) (string, bool) {
	if p.zulu && s != "" && (s[0] == 'Z' || s[0] == 'z') {
		t.offset = 0
		return s[1:], true
	}
	if s == "" || s[0] != '+' && s[0] != '-' {
		return s, false
	}
	sign := int64(1)
	if s[0] == '-' {
		sign = -1
	}
	hours, rest, ok := readDigits(s[1:], 2, 2)
	minutes := int64(0)
	if ok && p.field != offsetHours {
		// strftime's %z reads both forms, as Python's does.
		if p.field == offsetColon || p.zulu {
			if cut, has := strings.CutPrefix(rest, ":"); has {
				rest = cut
			} else if p.field == offsetColon {
				return s, false
			}
		}
		minutes, rest, ok = readDigits(rest, 2, 2)
	}
	t.offset = sign * (hours*3600 + minutes*60)
	return rest, ok && hours <= 18 && minutes <= 59
}

// append writes a time of days, microseconds of the day and seconds east of UTC.
func (l *layout) append(dst []byte, days, micros, offset int64) []byte {
	year, month, day := civil(days)
	seconds := micros / microsPerSecond
	for i := range l.parts {
		p := &l.parts[i]
		n := int64(math.MinInt64)
		switch p.field {
		case literal:
			dst = append(dst, p.text...)
		case monthName:
			dst = append(dst, shortName(monthNames[month-1], p.max)...)
		case weekdayName:
			dst = append(dst, shortName(weekdayNames[weekday(days)-1], p.max)...)
		case half:
			dst = append(dst, halfName(seconds/3600 >= 12, p.lower)...)
		case offsetColon, offsetPlain, offsetHours:
			dst = p.appendOffset(dst, offset)
		case fraction:
			dst = p.appendFraction(dst, micros%microsPerSecond)
		case year4:
			n = year
		case year2:
			n = year % 100
		case monthNumber:
			n = month
		case dayNumber:
			n = day
		case dayOfYear:
			n = days - daysOf(year, 1, 1) + 1
		case hour24:
			n = seconds / 3600
		case hour12:
			n = (seconds/3600+11)%12 + 1
		case minute:
			n = seconds / 60 % 60
		case second:
			n = seconds % 60
		}
		if n == math.MinInt64 {
			continue
		}
		if p.pad == ' ' && n < 10 {
			dst = append(dst, ' ')
		}
		width := p.min
		if p.pad != '0' {
			width = 1
		}
		dst = appendNumber(dst, n, width)
	}
	return dst
}

func shortName(name string, short int) string {
	if short > 0 {
		return name[:short]
	}
	return name
}

func halfName(afternoon, lower bool) string {
	name := "AM"
	if afternoon {
		name = "PM"
	}
	if lower {
		return strings.ToLower(name)
	}
	return name
}

func (p *part) appendFraction(dst []byte, micros int64) []byte {
	if p.text != "" && p.min == 0 && micros == 0 {
		return dst
	}
	dst = append(dst, p.text...)
	start := len(dst)
	dst = appendNumber(dst, micros, 6)[:start+p.max]
	if p.text != "" && p.min == 0 {
		for len(dst) > start && dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
		if len(dst) == start {
			dst = dst[:start-len(p.text)]
		}
	}
	return dst
}

func (p *part) appendOffset(dst []byte, offset int64) []byte {
	if p.zulu && p.text == "" && offset == 0 { // strftime's %z writes +0000
		return append(dst, 'Z')
	}
	sign := byte('+')
	if offset < 0 {
		sign, offset = '-', -offset
	}
	dst = appendNumber(append(dst, sign), offset/3600, 2)
	if p.field == offsetHours {
		return dst
	}
	if p.field == offsetColon {
		dst = append(dst, ':')
	}
	return appendNumber(dst, offset/60%60, 2)
}
