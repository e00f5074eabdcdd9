package expression

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// someZones have half hours, changes at midnight, days that never were, summer times of both hemispheres, below zero and of
// half an hour, and clocks of towns before there were zones.
var someZones = []string{
	"UTC", "Europe/Oslo", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Sao_Paulo", "Australia/Brisbane", "Australia/Lord_Howe", "Pacific/Apia",
	"Asia/Kolkata", "Asia/Tehran", "Africa/Casablanca", "Asia/Gaza", "Antarctica/Troll", "Europe/Amsterdam", "Pacific/Chatham", "America/Caracas",
}

func TestAZoneHasTheOffsetsOfPackageTime(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, name := range someZones {
		z, err := loadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		check := func(m int64) {
			_, seconds := time.UnixMicro(m).In(z.location).Zone()
			if got := z.offsetAt(m); got != int64(seconds)*microsPerSecond {
				t.Errorf("%s at %v: %d s, want %d s", name, OfMoment(m), got/microsPerSecond, seconds)
			}
		}
		for _, at := range z.from {
			check(at - 1)
			check(at)
			check(at + 1)
		}
		for range 2000 {
			check(random.Int64N((lastDay-firstDay)*microsPerDay) + firstDay*microsPerDay)
			check(daysOf(1900+random.Int64N(150), 1+random.Int64N(12), 1+random.Int64N(28))*microsPerDay + random.Int64N(microsPerDay))
		}
		for year := int64(1996); year < 2400; year += 4 { // leap years, whose last day package time has bounds of its own for
			check(daysOf(year, 12, 31)*microsPerDay + 3600*microsPerSecond)
		}
	}
}

// wallClock lists the moments at which clocks in a zone show something, by trying all offsets that there are.
func wallClock(z *zone, wall int64) []int64 {
	var out []int64
	for _, o := range z.offset {
		if m := wall - o; z.offsetAt(m) == o && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return out
}

func TestTheWallClockLeadsToTheMomentAtWhichItShowsThat(t *testing.T) {
	t.Parallel()
	for _, name := range someZones {
		z, err := loadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, at := range z.from[1:] {
			if at < daysOf(1900, 1, 1)*microsPerDay || at > daysOf(2040, 1, 1)*microsPerDay {
				continue
			}
			before, after := z.offset[i], z.offset[i+1]
			for minutes := int64(-180); minutes <= 180; minutes += 15 {
				wall := at + before + minutes*60*microsPerSecond
				moments := wallClock(z, wall)
				first, last, strict := toMoment(wall, z, earlier), toMoment(wall, z, later), toMoment(wall, z, reject)
				switch len(moments) {
				case 1:
					if first.n != moments[0] || last.n != moments[0] || strict.n != moments[0] {
						t.Errorf("%s %v: %v, %v, %v, want %v", name, OfTimestamp(wall), first, last, strict, OfMoment(moments[0]))
					}
				case 2:
					if first.n != moments[0] || last.n != moments[1] || strict.kind != failed {
						t.Errorf("%s %v, twice: %v, %v, %v, want %v, %v", name, OfTimestamp(wall), first, last, strict, OfMoment(moments[0]), OfMoment(moments[1]))
					}
				case 0:
					if first.n != wall-before || last.n != wall-after || strict.kind != failed {
						t.Errorf("%s %v, never: %v, %v, %v", name, OfTimestamp(wall), first, last, strict)
					}
				}
			}
		}
	}
}

func TestTheCalendarIsThatOfPackageTime(t *testing.T) {
	t.Parallel()
	day := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	for days := firstDay; days <= lastDay; days++ {
		y, m, d := civil(days)
		wantY, wantM, wantD := day.Date()
		if y != int64(wantY) || m != int64(wantM) || d != int64(wantD) || daysOf(y, m, d) != days {
			t.Fatalf("%d is %d-%d-%d, want %v", days, y, m, d, day)
		}
		if days%37 == 0 {
			isoY, isoW := isoWeek(days)
			wantIsoY, wantIsoW := day.ISOWeek()
			if isoY != int64(wantIsoY) || isoW != int64(wantIsoW) || weekday(days)%7 != int64(day.Weekday()) {
				t.Fatalf("%v is week %d of %d, weekday %d", day, isoW, isoY, weekday(days))
			}
		}
		day = day.AddDate(0, 0, 1)
	}
}

func TestALayoutWritesAndReadsWhatPackageTimeDoes(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	layouts := []string{
		"2006-01-02 15:04:05.000000", "02/01/2006 15:04:05", "Mon, 02 Jan 2006 15:04:05 -0700", "Monday, January 2, 2006 3:04:05 PM", "2006-01-02T15:04:05.999999Z07:00", "20060102150405",
		"_2 Jan 06 03:04pm -07:00", "2006-002 15:04:05", "1/2/2006 15.04", "2006-01-02 15:04:05,000",
	}
	for _, source := range layouts {
		l, err := parseLayout(source)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		for range 300 {
			micros := daysOf(1969+random.Int64N(99), 1+random.Int64N(12), 1+random.Int64N(28))*microsPerDay + random.Int64N(microsPerDay)
			offset := int64(0)
			if l.offset {
				offset = (random.Int64N(48) - 24) * 1800
			}
			days, ofDay := splitDay(micros)
			at := time.UnixMicro(micros - offset*microsPerSecond).In(time.FixedZone("", int(offset)))
			text := at.Format(source)
			if got := string(l.append(nil, days, ofDay, offset)); got != text {
				t.Fatalf("%s of %v: %s, want %s", source, at, got, text)
			}
			want, err := time.Parse(source, text)
			if err != nil {
				t.Fatal(err)
			}
			gotDays, gotMicros, gotOffset, complaint := l.read(text)
			if complaint != "" || gotDays*microsPerDay+gotMicros-gotOffset*microsPerSecond != want.UnixMicro() {
				t.Fatalf("%s reads %s as %d, %d, %d, %q; want %v", source, text, gotDays, gotMicros, gotOffset, complaint, want)
			}
		}
	}
}
