package expression

import (
	"strings"
)

func init() {
	register("Dates and times", []Function{
		{Signature: "parse_time(x text, layout text!, zone text?, at_change text!?)", Gives: "moment with a zone or an offset in the text, else timestamp", gives: Timestamp, bind: bindParseTime,
			Summary: "The time in a text. Layouts are Go's (02/01/2006 15:04:05) or strftime's (%d/%m/%Y %H:%M:%S). at_change is as in to_moment().",
			Errors:  "22007 the text is not of the layout, an empty one too; 22008 there is no such day or hour, or the clock shows it twice or never",
			Examples: []string{`text(parse_time("29/02/2024", "02/01/2006")) → "2024-02-29 00:00:00"`, `text(parse_time("29/02/2024 08:15", "%d/%m/%Y %H:%M", "Australia/Brisbane")) → "2024-02-28T22:15:00Z"`,
				`text(parse_time("2024-02-29T10:00:00+02:00", "2006-01-02T15:04:05Z07:00")) → "2024-02-29T08:00:00Z"`, `parse_time("", "02/01/2006") → error 22007`, `parse_time("30/02/2024", "02/01/2006") → error 22008`}},
		{Signature: "parse_date(x text, layout text!)", gives: Date, Summary: "The day in a text.", Errors: "22007 the text is not of the layout, an empty one too; 22008 there is no such day", Examples: []string{`parse_date("31.12.2024", "%d.%m.%Y") → date("2024-12-31")`, `parse_date("0000-00-00", "2006-01-02") → error 22008`}, bind: bindParse(Date)},
		{Signature: "parse_clock(x text, layout text!)", gives: Time, Summary: "The time of day in a text.", Errors: "22007 the text is not of the layout, an empty one too; 22008 there is no such hour", Examples: []string{`text(parse_clock("8:15 PM", "3:04 PM")) → "20:15:00"`}, bind: bindParse(Time)},
		{Signature: "format_time(t date|time|timestamp|moment, layout text!, zone text?)", gives: Text, Summary: "The text of a time, in the same layouts. A moment is shown in UTC, or in the zone.", Errors: "22008 it leaves the years 1 to 9999 in the zone", bind: bindFormat,
			Examples: []string{`format_time(date("2024-02-29"), "%-d.%-m.%y") → "29.2.24"`, `format_time(unix(0), "2006-01-02 15:04 -07:00", "Asia/Tokyo") → "1970-01-01 09:00 +09:00"`}},
		{Signature: "in_zone(m moment, zone text)", gives: Timestamp, Summary: "What clocks in a zone show at a moment.", Errors: "22023 there is no such zone", Examples: []string{`text(in_zone(unix(0), "Europe/Oslo")) → "1970-01-01 01:00:00"`}, bind: bindInZone},
		{Signature: "to_moment(ts timestamp|date, zone text, at_change text!?)", gives: Moment, bind: bindToMoment,
			Summary:  "When clocks in a zone show a timestamp. Where they show it twice, or never, when summer time ends or begins, at_change says what holds: the offset before the change (earlier; the default), that after it (later), or neither (reject).",
			Errors:   "22023 there is no such zone; 22008 rejected",
			Examples: []string{`text(to_moment(timestamp("2024-10-27 02:30:00"), "Europe/Oslo")) → "2024-10-27T00:30:00Z"`, `text(to_moment(timestamp("2024-10-27 02:30:00"), "Europe/Oslo", "later")) → "2024-10-27T01:30:00Z"`, `text(to_moment(timestamp("2024-03-31 02:30:00"), "Europe/Oslo")) → "2024-03-31T01:30:00Z"`, `to_moment(timestamp("2024-03-31 02:30:00"), "Europe/Oslo", "reject") → error 22008`}},
		{Signature: "date(x date|timestamp|text)", gives: Date, Summary: "The day of a timestamp, or of a text 2024-02-29. A moment has a day in a zone only: date(in_zone(m, zone)).", Errors: "22007 the text is no date; 22008 there is no such day", Examples: []string{`date("2024-02-29") == date(timestamp("2024-02-29 10:00:00")) → true`}, impl: impl{one: toDate}},
		{Signature: "time(x time|timestamp|text)", gives: Time, Summary: "The time of day of a timestamp, or of a text 15:04:05.", Errors: "22007 the text is no time; 22008 there is no such hour", Examples: []string{`text(time("08:15:00.5")) → "08:15:00.5"`}, impl: impl{one: toTime}},
		{Signature: "timestamp(x date|timestamp|text)", gives: Timestamp, Summary: "The beginning of a day, or the timestamp in a text 2024-02-29 10:00:00; T may be the blank, seconds may be missing.", Errors: "22007 the text is no timestamp; 22008 there is no such day or hour", Examples: []string{`timestamp(date("2024-02-29")) == timestamp("2024-02-29T00:00") → true`}, impl: impl{one: toTimestamp}},
		{Signature: "moment(x moment|text)", gives: Moment, Summary: "The moment in a text of RFC 3339.", Errors: "22007 the text is none, or has no offset; 22008 there is no such day or hour", Examples: []string{`text(moment("2024-02-29T10:00:00+02:00")) → "2024-02-29T08:00:00Z"`}, impl: impl{one: parseMoment}},
		{Signature: "zero_date(x text)", gives: Text, mayNull: true, Summary: "x, or NULL for the dates 0000-00-00 and 0000-00-00 00:00:00 that MySQL keeps for none.", Null: "NULL also of a zero date", Examples: []string{`zero_date("0000-00-00") → nil`, `zero_date("2024-02-29") → "2024-02-29"`}, impl: impl{one: zeroDate}},
		{Signature: "date_part(part text!, t date|time|timestamp)", gives: Int, bind: bindPart, Summary: "year, quarter, month, week (of ISO 8601), iso_year, day, day_of_year, weekday (1 is Monday), hour, minute, second, microsecond.", Examples: []string{`date_part("week", date("2024-12-30")) → 1`, `date_part("quarter", date("2024-05-01")) → 2`}},
		{Signature: "year(t date|timestamp)", gives: Int, Summary: "The year.", Examples: []string{`year(date("2024-02-29")) → 2024`}, impl: datePart("year")},
		{Signature: "month(t date|timestamp)", gives: Int, Summary: "The month, 1 to 12.", Examples: []string{`month(date("2024-02-29")) → 2`}, impl: datePart("month")},
		{Signature: "day(t date|timestamp)", gives: Int, Summary: "The day of the month.", Examples: []string{`day(date("2024-02-29")) → 29`}, impl: datePart("day")},
		{Signature: "add_days(t date|timestamp, n int)", Gives: "the type of t", Summary: "n days later, or earlier below zero.", Errors: "22008 the years 1 to 9999 are left", Examples: []string{`add_days(date("2024-02-28"), 2) → date("2024-03-01")`}, bind: bindMove(addDays)},
		{Signature: "add_months(t date|timestamp, n int)", Gives: "the type of t", Summary: "n months later; where that month has no such day, its last one.", Errors: "22008 the years 1 to 9999 are left", Examples: []string{`add_months(date("2024-01-31"), 1) → date("2024-02-29")`, `add_months(date("2024-02-29"), -12) → date("2023-02-28")`}, bind: bindMove(addMonths)},
		{Signature: "add_seconds(t timestamp|moment, n number)", Gives: "the type of t", Summary: "n seconds later, to the microsecond.", Errors: "22008 the years 1 to 9999 are left; 22003 n has more than six places", Examples: []string{`text(add_seconds(unix(0), 1.5)) → "1970-01-01T00:00:01.5Z"`}, bind: bindMove(addSeconds)},
		{Signature: "days_between(from date, to date)", gives: Int, Summary: "How many days to lies after from.", Examples: []string{`days_between(date("2024-02-28"), date("2024-03-01")) → 2`}, impl: impl{two: func(from, to Value) Value { return OfInt(to.n - from.n) }}},
		{Signature: "unix(seconds number)", gives: Moment, Summary: "The moment of a count of seconds since 1970, to the microsecond.", Errors: "22003 it has more than six places; 22008 it is outside of the years 1 to 9999", Examples: []string{`text(unix(1709164800)) → "2024-02-29T00:00:00Z"`}, impl: impl{one: func(x Value) Value { return ofUnix(x, 6) }}},
		{Signature: "unix_ms(milliseconds number)", gives: Moment, Summary: "The same of milliseconds.", Errors: "22003 it has more than three places; 22008 it is outside of the years 1 to 9999", Examples: []string{`text(unix_ms(1500)) → "1970-01-01T00:00:01.5Z"`}, impl: impl{one: func(x Value) Value { return ofUnix(x, 3) }}},
		{Signature: "to_unix(m moment)", gives: Decimal, Summary: "The seconds since 1970 of a moment.", Examples: []string{`to_unix(unix(1.5)) → 1.5`}, impl: impl{one: func(m Value) Value { return decimal{n: m.n, scale: 6}.stripped().value() }}},
		{Signature: "excel_date(serial number)", gives: Date, Summary: "The day of a serial number of Excel and Lotus, 1 being 1900-01-01; a fraction, which is a time of day, has no place in it.", Errors: "22008 60, which is 1900-02-29 and never was, and what lies outside of 1 to 2958465; 22003 a fraction",
			Examples: []string{`excel_date(45351) → date("2024-02-29")`, `excel_date(59) → date("1900-02-28")`, `excel_date(60) → error 22008`, `excel_date(1.5) → error 22003`}, impl: impl{one: excelDate}},
		{Signature: "excel_time(serial number)", gives: Timestamp, Summary: "The same with its time of day, to the nearest millisecond.", Errors: "as excel_date, but for the fraction", Examples: []string{`text(excel_time(45351.75)) → "2024-02-29 18:00:00"`}, impl: impl{one: excelTime}},
	})
}

const layoutHint = `layouts are Go's, as in "02/01/2006 15:04:05", or strftime's, as in "%d/%m/%Y %H:%M:%S"`

func (b *binding) layout(i int) (*layout, error) {
	s, _ := b.text(i)
	l, err := parseLayout(s)
	if err != nil {
		return nil, b.errorf(i, layoutHint, "layout %s: %v", quote(s), err)
	}
	return l, nil
}

// zone returns how to get at the zone of a row: at once where it is the same for all.
func (b *binding) zone(i int) (func(Value) (*zone, Value), error) {
	if name, ok := b.text(i); ok && b.args[i].typ == Text {
		z, err := loadZone(name)
		if err != nil {
			return nil, b.errorf(i, `names are like "Europe/Oslo" and "UTC"`, "%v", err)
		}
		return func(Value) (*zone, Value) { return z, Value{} }, nil
	}
	return func(name Value) (*zone, Value) {
		z, err := loadZone(name.s())
		if err != nil {
			return nil, fail("22023", "%v", err)
		}
		return z, Value{}
	}, nil
}

func (b *binding) policy(i int) (policy, error) {
	name, ok := b.text(i)
	if !ok {
		return earlier, nil
	}
	p, ok := policies[name]
	if !ok {
		return 0, b.errorf(i, "earlier, later or reject", "there is no way %s of treating a change of the clock", quote(name))
	}
	return p, nil
}

func unreadable(l *layout, x Value, complaint string) Value {
	code := "22007"
	if strings.HasPrefix(complaint, "has no such") || strings.HasPrefix(complaint, "names another") {
		code = "22008"
	}
	return fail(code, "%s %s %s", quote(x.s()), complaint, l.source)
}

func bindParseTime(b *binding) (impl, error) {
	l, err := b.layout(1)
	if err != nil {
		return impl{}, err
	}
	if !l.date {
		return impl{}, b.errorf(1, "parse_clock() reads a time of day", "layout %s names no day with its year", quote(l.source))
	}
	wall := func(x Value) (int64, int64, Value) {
		days, micros, offset, complaint := l.read(x.s())
		if complaint != "" {
			return 0, 0, unreadable(l, x, complaint)
		}
		return days*microsPerDay + micros, offset, Value{}
	}
	switch {
	case l.offset && len(b.args) > 2:
		return impl{}, b.errorf(2, "leave the zone out", "the layout reads an offset, so the text says itself which moment it means")
	case l.offset:
		return impl{typ: Moment, two: func(x, _ Value) Value {
			w, offset, bad := wall(x)
			if bad.kind == failed {
				return bad
			}
			return momentAt(w-offset*microsPerSecond, x)
		}}, nil
	case len(b.args) == 2:
		return impl{typ: Timestamp, two: func(x, _ Value) Value {
			w, _, bad := wall(x)
			if bad.kind == failed {
				return bad
			}
			return OfTimestamp(w)
		}}, nil
	}
	zone, err := b.zone(2)
	if err != nil {
		return impl{}, err
	}
	p, err := b.policy(3)
	if err != nil {
		return impl{}, err
	}
	parse := func(x, name Value) Value {
		w, _, bad := wall(x)
		if bad.kind == failed {
			return bad
		}
		z, bad := zone(name)
		if bad.kind == failed {
			return bad
		}
		return toMoment(w, z, p)
	}
	return impl{typ: Moment, three: func(x, _, name Value) Value { return parse(x, name) },
		many: func(_ *Row, args []Value) Value { return parse(args[0], args[2]) }}, nil
}

func momentAt(micros int64, of Value) Value {
	days, _ := splitDay(micros)
	return inYears(Moment, micros, days, of)
}

// bindParse makes parse_date and parse_clock.
func bindParse(typ Type) func(*binding) (impl, error) {
	return func(b *binding) (impl, error) {
		l, err := b.layout(1)
		if err != nil {
			return impl{}, err
		}
		if typ == Date && (!l.date || l.clock || l.offset) {
			return impl{}, b.errorf(1, "date(parse_time(x, layout)) drops a time of day", "layout %s is not that of a day alone", quote(l.source))
		}
		if typ == Time && (!l.clock || l.date || l.offset) {
			return impl{}, b.errorf(1, "time(parse_time(x, layout)) drops the day", "layout %s is not that of a time of day alone", quote(l.source))
		}
		return impl{two: func(x, _ Value) Value {
			days, micros, _, complaint := l.read(x.s())
			switch {
			case complaint != "":
				return unreadable(l, x, complaint)
			case typ == Date:
				return OfDate(days)
			}
			return OfTime(micros)
		}}, nil
	}
}

func bindFormat(b *binding) (impl, error) {
	l, err := b.layout(1)
	if err != nil {
		return impl{}, err
	}
	switch typ := b.args[0].typ; {
	case len(b.args) > 2 && typ != Moment && typ != Any && typ != Null:
		return impl{}, b.errorf(2, "to_moment(ts, zone) makes a moment of a timestamp", "only a moment is shown in a zone, and %s", b.c.describe(b.args[0]))
	case typ == Date && l.clock:
		return impl{}, b.errorf(1, "", "layout %s has a time of day, and %s", quote(l.source), b.c.describe(b.args[0]))
	case typ == Time && l.date:
		return impl{}, b.errorf(1, "", "layout %s has a day, and %s", quote(l.source), b.c.describe(b.args[0]))
	case (typ == Date || typ == Time || typ == Timestamp) && l.offset:
		return impl{}, b.errorf(1, "to_moment(ts, zone) makes a moment of a timestamp", "layout %s has an offset, and %s", quote(l.source), b.c.describe(b.args[0]))
	}
	write := func(r *Row, t Value, z *zone) Value {
		days, micros, offset := t.n, int64(0), int64(0)
		switch t.kind {
		case Time:
			days, micros = 0, t.n
		case Timestamp:
			days, micros = splitDay(t.n)
		case Moment:
			offset = z.offsetAt(t.n)
			if days, micros = splitDay(t.n + offset); days < firstDay || days > lastDay {
				return fail("22008", "%s in %s is outside of the years 1 to 9999", t, z)
			}
		}
		b, start := r.room()
		return r.made(l.append(b, days, micros, offset/microsPerSecond), start)
	}
	do := impl{shape: func(r *Row, t, _ Value) Value { return write(r, t, utc) }}
	if len(b.args) > 2 {
		zone, err := b.zone(2)
		if err != nil {
			return impl{}, err
		}
		do.many = func(r *Row, args []Value) Value {
			z, bad := zone(args[2])
			if bad.kind == failed {
				return bad
			}
			return write(r, args[0], z)
		}
	}
	return do, nil
}

func bindInZone(b *binding) (impl, error) {
	zone, err := b.zone(1)
	return impl{two: func(m, name Value) Value {
		z, bad := zone(name)
		if bad.kind == failed {
			return bad
		}
		return inZone(m.n, z)
	}}, err
}

func bindToMoment(b *binding) (impl, error) {
	zone, err := b.zone(1)
	if err != nil {
		return impl{}, err
	}
	p, err := b.policy(2)
	do := func(ts, name Value) Value {
		z, bad := zone(name)
		if bad.kind == failed {
			return bad
		}
		if ts.kind == Date {
			return toMoment(ts.n*microsPerDay, z, p)
		}
		return toMoment(ts.n, z, p)
	}
	return impl{two: do, three: func(ts, name, _ Value) Value { return do(ts, name) }}, err
}

// bindMove makes a function that gives the type of its first argument.
func bindMove(f func(t, n Value) Value) func(*binding) (impl, error) {
	return func(b *binding) (impl, error) { return impl{typ: b.args[0].typ, two: f}, nil }
}
