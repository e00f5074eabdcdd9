package expression

// mustLayout reads a layout of ours.
func mustLayout(source string) *layout {
	l, err := parseLayout(source)
	if err != nil {
		panic(err)
	}
	return l
}

var (
	dateLayout       = mustLayout("2006-01-02")
	clockLayouts     = []*layout{mustLayout("15:04:05"), mustLayout("15:04")}
	timestampLayouts = []*layout{mustLayout("2006-01-02 15:04:05"), mustLayout("2006-01-02 15:04"), dateLayout}
	momentLayout     = mustLayout("2006-01-02T15:04:05Z07:00")
)

func toDate(x Value) Value {
	switch x.kind {
	case Timestamp:
		days, _ := splitDay(x.n)
		return OfDate(days)
	case Text:
		days, _, _, complaint := dateLayout.read(x.s())
		if complaint != "" {
			return unreadable(dateLayout, x, complaint)
		}
		return OfDate(days)
	}
	return x
}

func toTime(x Value) Value {
	switch x.kind {
	case Timestamp:
		_, micros := splitDay(x.n)
		return OfTime(micros)
	case Text:
		_, micros, bad := readAny(clockLayouts, x)
		if bad.kind == failed {
			return bad
		}
		return OfTime(micros)
	}
	return x
}

func toTimestamp(x Value) Value {
	switch x.kind {
	case Date:
		return OfTimestamp(x.n * microsPerDay)
	case Text:
		text := x
		if len(x.s()) > 10 && x.s()[10] == 'T' {
			text = OfText(x.s()[:10] + " " + x.s()[11:])
		}
		days, micros, bad := readAny(timestampLayouts, text)
		if bad.kind == failed {
			return bad
		}
		return OfTimestamp(days*microsPerDay + micros)
	}
	return x
}

// readAny reads a text by the first layout that fits; what is wrong with it is said of the first.
func readAny(layouts []*layout, x Value) (days, micros int64, bad Value) {
	for i, l := range layouts {
		days, micros, _, complaint := l.read(x.s())
		if complaint == "" {
			return days, micros, Value{}
		}
		if v := unreadable(l, x, complaint); i == 0 || v.x().err.(*ValueError).Code == "22008" {
			bad = v
		}
	}
	return 0, 0, bad
}

func parseMoment(x Value) Value {
	if x.kind != Text {
		return x
	}
	text := x
	if len(x.s()) > 10 && (x.s()[10] == ' ' || x.s()[10] == 't') {
		text = OfText(x.s()[:10] + "T" + x.s()[11:])
	}
	days, micros, offset, complaint := momentLayout.read(text.s())
	if complaint != "" {
		return unreadable(momentLayout, x, complaint)
	}
	return momentAt(days*microsPerDay+micros-offset*microsPerSecond, x)
}

func zeroDate(x Value) Value {
	const zero = "0000-00-00 00:00:00"
	s := x.s()
	if len(s) > len(zero) && s[len(zero)] == '.' { // DATETIME(6)
		for i := len(zero) + 1; i < len(s); i++ {
			if s[i] != '0' {
				return x
			}
		}
		s = s[:len(zero)]
	}
	if s == zero || s == zero[:10] {
		return Value{}
	}
	return x
}

// dateParts take days, and microseconds of the day.
var dateParts = map[string]func(days, micros int64) int64{
	"year":        func(d, _ int64) int64 { y, _, _ := civil(d); return y },
	"quarter":     func(d, _ int64) int64 { _, m, _ := civil(d); return (m + 2) / 3 },
	"month":       func(d, _ int64) int64 { _, m, _ := civil(d); return m },
	"week":        func(d, _ int64) int64 { _, w := isoWeek(d); return w },
	"iso_year":    func(d, _ int64) int64 { y, _ := isoWeek(d); return y },
	"day":         func(d, _ int64) int64 { _, _, day := civil(d); return day },
	"day_of_year": func(d, _ int64) int64 { y, _, _ := civil(d); return d - daysOf(y, 1, 1) + 1 },
	"weekday":     func(d, _ int64) int64 { return weekday(d) },
	"hour":        func(_, m int64) int64 { return m / microsPerSecond / 3600 },
	"minute":      func(_, m int64) int64 { return m / microsPerSecond / 60 % 60 },
	"second":      func(_, m int64) int64 { return m / microsPerSecond % 60 },
	"microsecond": func(_, m int64) int64 { return m % microsPerSecond },
}

func isClockPart(name string) bool {
	return name == "hour" || name == "minute" || name == "second" || name == "microsecond"
}

func datePart(name string) impl {
	f := dateParts[name]
	return impl{one: func(t Value) Value { return partOf(f, t) }}
}

func partOf(f func(days, micros int64) int64, t Value) Value {
	days, micros := t.n, int64(0)
	switch t.kind {
	case Timestamp:
		days, micros = splitDay(t.n)
	case Time:
		days, micros = 0, t.n
	}
	return OfInt(f(days, micros))
}

func bindPart(b *binding) (impl, error) {
	name, _ := b.text(0)
	f := dateParts[name]
	if f == nil {
		names := make([]string, 0, len(dateParts))
		for n := range dateParts {
			names = append(names, n)
		}
		return impl{}, b.errorf(0, didYouMean(name, names), "there is no part %s of a date", quote(name))
	}
	switch typ := b.args[1].typ; {
	case typ == Date && isClockPart(name), typ == Time && !isClockPart(name):
		return impl{}, b.errorf(0, "", "%s has no %s", b.c.describe(b.args[1]), name)
	}
	return impl{two: func(_, t Value) Value {
		if t.kind == Date && isClockPart(name) || t.kind == Time && !isClockPart(name) {
			return fail("42804", "a %s has no %s", t.kind, name)
		}
		return partOf(f, t)
	}}, nil
}

// split takes a Date or Timestamp apart.
func (v Value) split() (days, micros int64) {
	if v.kind == Timestamp {
		return splitDay(v.n)
	}
	return v.n, 0
}

// withDays is the opposite of split.
func (v Value) withDays(days, micros int64) Value {
	n := days
	if v.kind == Timestamp {
		n = days*microsPerDay + micros
	}
	return inYears(v.kind, n, days, v)
}

// maxMove keeps sums of days and months away from the end of 64 bits; it is more than the years 1 to 9999 have.
const maxMove = 10_000_000

func addDays(t, n Value) Value {
	days, micros := t.split()
	return t.withDays(days+min(max(n.n, -maxMove), maxMove), micros)
}

func addMonths(t, n Value) Value {
	days, micros := t.split()
	year, month, day := civil(days)
	months := year*12 + month - 1 + min(max(n.n, -maxMove), maxMove)
	year, month = floorDiv(months, 12), months-floorDiv(months, 12)*12+1
	return t.withDays(daysOf(year, month, min(day, daysIn(year, month))), micros)
}

func addSeconds(t, n Value) Value {
	micros := microsOf(n, 6)
	if micros.kind == failed {
		return micros
	}
	sum, ok := plus(t.n, micros.n)
	days, _ := splitDay(sum)
	if !ok {
		days = lastDay + 1
	}
	return inYears(t.kind, sum, days, t)
}

// microsOf makes an Int of a number with so many places, all of them whole.
func microsOf(x Value, places int64) Value {
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	n, whole, fits := d.multiply(decimal{n: powers[places]}).int64()
	switch {
	case !whole:
		return fail("22003", "%s is finer than a microsecond: round(x, %d) first", x, places)
	case !fits:
		return fail("22008", "%s is outside of the years 1 to 9999", x)
	}
	return OfInt(n)
}

func ofUnix(x Value, places int64) Value {
	micros := microsOf(x, places)
	if micros.kind == failed {
		return micros
	}
	days, _ := splitDay(micros.n)
	return inYears(Moment, micros.n, days, x)
}

func excelDate(x Value) Value {
	serial := toInt(x)
	if serial.kind == failed {
		return serial
	}
	return excelDay(serial.n)
}

// excelDay counts as Excel does: it inherited from Lotus the belief that 1900 was a leap year.
func excelDay(serial int64) Value {
	if serial == 60 || serial < 1 || serial > 2958465 {
		return fail("22008", "%d is no day that Excel and the calendar both know", serial)
	}
	if serial < 60 {
		serial++
	}
	return OfDate(daysOf(1899, 12, 30) + serial)
}

func excelTime(x Value) Value {
	d, err := x.number()
	if err != nil {
		return fail("22003", "%s is no number to calculate with", x)
	}
	const millisPerDay = microsPerDay / 1000
	millis, _, fits := d.multiply(decimal{n: millisPerDay}).round(0, halfUp).int64()
	if !fits {
		return fail("22008", "%s is no day that Excel knows", x)
	}
	day := excelDay(floorDiv(millis, millisPerDay))
	if day.kind == failed {
		return day
	}
	return OfTimestamp(day.n*microsPerDay + (millis-floorDiv(millis, millisPerDay)*millisPerDay)*1000)
}
