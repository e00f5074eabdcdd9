package due

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"
)

func mustParse(t interface{ Fatal(...any) }, expression, zone string) Rule {
	r, err := Parse(expression, 0, zone, 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each line: what is due from a moment on, in the zone's own time with its offset.
func TestWhenTheClockIsChangedARuleIsDueAsPeopleExpect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, zone, cron, after, want string }{
		// Berlin 2026: 29 March 02:00 becomes 03:00; 25 October 03:00 becomes 02:00.
		{"fixed, in the gap: once, right after it", "Europe/Berlin", "30 2 * * *", "2026-03-28T00:00+01:00",
			"2026-03-28T02:30+01:00 2026-03-29T03:00+02:00 2026-03-30T02:30+02:00"},
		{"fixed, many in the gap: once", "Europe/Berlin", "*/15 2 * * *", "2026-03-28T02:40+01:00",
			"2026-03-28T02:45+01:00 2026-03-29T03:00+02:00 2026-03-30T02:00+02:00 2026-03-30T02:15+02:00"},
		{"fixed, in the gap and right after it: once", "Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00+01:00",
			"2026-03-29T03:00+02:00 2026-03-30T02:00+02:00"},
		{"fixed, in the overlap: at its first coming", "Europe/Berlin", "30 2 * * *", "2026-10-24T12:00+02:00",
			"2026-10-25T02:30+02:00 2026-10-26T02:30+01:00"},
		{"fixed, asked within the second coming", "Europe/Berlin", "30 2 * * *", "2026-10-25T02:10+01:00",
			"2026-10-26T02:30+01:00"},
		{"fixed, on a day that has the gap only in its date", "Europe/Berlin", "30 2 29 3 *", "2026-01-01T00:00+01:00",
			"2026-03-29T03:00+02:00 2027-03-29T02:30+02:00"},
		{"any hour, in the gap: real time", "Europe/Berlin", "30 * * * *", "2026-03-29T00:45+01:00",
			"2026-03-29T01:30+01:00 2026-03-29T03:30+02:00"},
		{"any hour, in the overlap: in both hours", "Europe/Berlin", "30 * * * *", "2026-10-25T01:45+02:00",
			"2026-10-25T02:30+02:00 2026-10-25T02:30+01:00 2026-10-25T03:30+01:00"},
		{"any hour, at the change itself", "Europe/Berlin", "0 * * * *", "2026-10-25T01:30+02:00",
			"2026-10-25T02:00+02:00 2026-10-25T02:00+01:00 2026-10-25T03:00+01:00"},
		{"every second hour follows real time as well", "Europe/Berlin", "0 */2 * * *", "2026-03-28T23:00+01:00",
			"2026-03-29T00:00+01:00 2026-03-29T04:00+02:00"},
		{"all hours by number are any hour", "Europe/Berlin", "0 0-23 * * *", "2026-10-25T01:30+02:00",
			"2026-10-25T02:00+02:00 2026-10-25T02:00+01:00"},
		{"@hourly", "Europe/Berlin", "@hourly", "2026-10-25T02:30+02:00", "2026-10-25T02:00+01:00 2026-10-25T03:00+01:00"},
		{"@daily", "Europe/Berlin", "@daily", "2026-03-28T12:00+01:00", "2026-03-29T00:00+01:00 2026-03-30T00:00+02:00"},
		// New York 2026: 8 March 02:00 becomes 03:00; 1 November 02:00 becomes 01:00.
		{"New York, spring", "America/New_York", "0 2 * * *", "2026-03-07T12:00-05:00",
			"2026-03-08T03:00-04:00 2026-03-09T02:00-04:00"},
		{"New York, autumn, fixed", "America/New_York", "30 1 * * *", "2026-10-31T12:00-04:00",
			"2026-11-01T01:30-04:00 2026-11-02T01:30-05:00"},
		{"New York, autumn, any hour", "America/New_York", "30 * * * *", "2026-11-01T00:45-04:00",
			"2026-11-01T01:30-04:00 2026-11-01T01:30-05:00 2026-11-01T02:30-05:00"},
		// Lord Howe 2026: 5 April 02:00 becomes 01:30; 4 October 02:00 becomes 02:30. Half an hour.
		{"Lord Howe, gap, fixed", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00+10:30",
			"2026-10-04T02:30+11:00 2026-10-05T02:15+11:00"},
		{"Lord Howe, right after the gap", "Australia/Lord_Howe", "30 2 * * *", "2026-10-03T12:00+10:30",
			"2026-10-04T02:30+11:00 2026-10-05T02:30+11:00"},
		{"Lord Howe, overlap, fixed", "Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00+11:00",
			"2026-04-05T01:45+11:00 2026-04-06T01:45+10:30"},
		{"Lord Howe, overlap, any hour", "Australia/Lord_Howe", "*/15 * * * *", "2026-04-05T01:25+11:00",
			"2026-04-05T01:30+11:00 2026-04-05T01:45+11:00 2026-04-05T01:30+10:30 2026-04-05T01:45+10:30 2026-04-05T02:00+10:30"},
		// Samoa had no 30 December 2011 at all.
		{"a day that never was: once, right after it", "Pacific/Apia", "0 9 * * *", "2011-12-28T12:00-10:00",
			"2011-12-29T09:00-10:00 2011-12-31T00:00+14:00 2011-12-31T09:00+14:00"},
		{"no time zone is UTC", "", "30 2 * * *", "2026-03-29T00:00Z", "2026-03-29T02:30Z 2026-03-30T02:30Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := mustParse(t, c.cron, c.zone)
			at := moment(t, c.after)
			for i, text := range strings.Fields(c.want) {
				next := r.Next(at)
				if want := moment(t, text); !next.Equal(want) {
					t.Fatalf("%d: %s, want %s", i, next.In(want.Location()).Format(time.RFC3339), text)
				}
				at = next
			}
		})
	}
}

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04Z07:00", text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// expressions draws cron expressions of every form: stars, steps, lists, ranges.
func expressions() *rapid.Generator[string] {
	field := func(low, high int) *rapid.Generator[string] {
		number := rapid.IntRange(low, high)
		return rapid.Custom(func(t *rapid.T) string {
			switch rapid.IntRange(0, 4).Draw(t, "form") {
			case 0, 1:
				return "*"
			case 2:
				return fmt.Sprintf("*/%d", rapid.IntRange(1, high-low).Draw(t, "step"))
			case 3:
				return fmt.Sprintf("%d,%d", number.Draw(t, "a"), number.Draw(t, "b"))
			}
			a := number.Draw(t, "from")
			return fmt.Sprintf("%d-%d", a, rapid.IntRange(a, high).Draw(t, "to"))
		})
	}
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join([]string{field(0, 59).Draw(t, "minute"), field(0, 23).Draw(t, "hour"), field(1, 28).Draw(t, "day"),
			field(1, 12).Draw(t, "month"), field(0, 6).Draw(t, "weekday")}, " ")
	})
}

func moments() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		// Near a change of the clock of one of the zones half of the time.
		near := []int64{1774746000, 1792890000, 1772953200, 1793512800, 1775314800, 1791045000}
		if rapid.Bool().Draw(t, "near a change") {
			return time.Unix(rapid.SampledFrom(near).Draw(t, "change")+rapid.Int64Range(-100_000, 100_000).Draw(t, "distance"), 0).UTC()
		}
		return time.Unix(rapid.Int64Range(1_600_000_000, 2_000_000_000).Draw(t, "time"), 0).UTC()
	})
}

func TestDueTimesGoForwardAndNeverShareAMinute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "UTC"}).Draw(t, "zone")
		r := mustParse(t, expressions().Draw(t, "cron"), zone)
		at := moments().Draw(t, "after")
		for range 50 {
			next := r.Next(at)
			if !next.After(at) || next.Truncate(time.Minute).Equal(at.Truncate(time.Minute)) && at.Second() == 0 || next.Second() != 0 {
				t.Fatalf("after %s comes %s", at, next)
			}
			// Asked from anywhere in between, the answer is the same.
			between := at.Add(time.Duration(rapid.Int64Range(0, int64(next.Sub(at))-1).Draw(t, "between")))
			if again := r.Next(between); !again.Equal(next) {
				t.Fatalf("after %s comes %s, but after %s %s", at, next, between, again)
			}
			if last := r.Last(at, next); !last.Equal(next) {
				t.Fatalf("the last one up to %s is %s", next, last)
			}
			at = next
		}
	})
}

// The clock on the wall is right twice: what the zone shows at a due time is what the rule says, except at the end of a gap.
func TestWhatIsDueIsWhatTheWallShows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}).Draw(t, "zone")
		r := mustParse(t, expressions().Draw(t, "cron"), zone)
		at := moments().Draw(t, "after")
		for range 20 {
			at = r.Next(at)
			local := at.In(r.zone)
			wall := at.Add(offsetOf(local))
			start, _ := local.ZoneBounds()
			if !r.cron.Next(wall.Add(-time.Nanosecond)).Equal(wall) && !start.Equal(at) {
				t.Fatalf("%s is due and the rule does not say so", local)
			}
		}
	})
}

func TestWithoutChangesOfTheClockARuleIsPlainCron(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		zone := rapid.SampledFrom([]string{"UTC", "Asia/Tokyo", "Asia/Kolkata", "America/Phoenix", "Australia/Brisbane"}).Draw(t, "zone")
		expression := expressions().Draw(t, "cron")
		r := mustParse(t, expression, zone)
		plain, err := parser.Parse(expression)
		if err != nil {
			t.Fatal(err)
		}
		plain.(*cron.SpecSchedule).Location = r.zone
		at := moments().Draw(t, "after")
		for range 50 {
			next := r.Next(at)
			if want := plain.Next(at); !next.Equal(want) {
				t.Fatalf("after %s: %s, cron says %s", at, next, want)
			}
			at = next
		}
	})
}

func TestAnIntervalCountsFromTheEpoch(t *testing.T) {
	t.Parallel()
	r, err := Parse("", 90*time.Second, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1000, 1).UTC()
	if next := r.Next(at); next != time.Unix(1080, 0).UTC() {
		t.Errorf("%s", next)
	}
	if next := r.Next(time.Unix(1080, 0)); next != time.Unix(1170, 0).UTC() {
		t.Errorf("%s", next)
	}
	if next := r.Next(time.Unix(-1000, 0)); next != time.Unix(-990, 0).UTC() {
		t.Errorf("%s", next)
	}
	if n := r.Count(time.Unix(1080, 0), time.Unix(1080+900, 0)); n != 10 {
		t.Errorf("%d", n)
	}
	if last := r.Last(time.Unix(1080, 0), time.Unix(1300, 0)); last != time.Unix(1260, 0).UTC() {
		t.Errorf("%s", last)
	}
	if last := r.Last(time.Unix(1260, 0), time.Unix(1300, 0)); !last.IsZero() {
		t.Errorf("%s", last)
	}
}

func TestTheLastAndTheNumberOfManyDueTimesAreFound(t *testing.T) {
	t.Parallel()
	r := mustParse(t, "0 6 * * 1", "Europe/Berlin")
	from, to := moment(t, "2026-01-01T00:00Z"), moment(t, "2026-12-31T00:00Z")
	if last := r.Last(from, to); !last.Equal(moment(t, "2026-12-28T05:00Z")) {
		t.Errorf("the last is %s", last)
	}
	if n := r.Count(from, to); n != 52 {
		t.Errorf("there are %d", n)
	}
	if last := r.Last(from, from.Add(time.Hour)); !last.IsZero() {
		t.Errorf("%s is due", last)
	}
	if n := mustParse(t, "* * * * *", "").Count(from, to); n != CountLimit {
		t.Errorf("%d of a minutely rule in a year", n)
	}
}

func TestJitterIsTheSameForWhoeverAsksAndSpreads(t *testing.T) {
	t.Parallel()
	r, err := Parse("", time.Minute, "", 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var early, late int
	for i := range 1000 {
		at := time.Unix(int64(60*i), 0)
		offset := r.Fire("a", at).Sub(at)
		if offset < 0 || offset >= 10*time.Second || offset != r.Fire("a", at).Sub(at) {
			t.Fatalf("%s", offset)
		}
		if offset < 5*time.Second {
			early++
		} else {
			late++
		}
	}
	if early < 400 || late < 400 {
		t.Errorf("%d early, %d late", early, late)
	}
	if at := time.Unix(60, 0); r.Fire("a", at).Equal(r.Fire("b", at)) {
		t.Error("two schedules fire in the same moment")
	}
}

func TestARuleThatCannotBeMeantIsAnError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cron, zone    string
		every, jitter time.Duration
		want          string
	}{
		{want: "shorter than 1s"},
		{cron: "* * * *", want: "no cron expression"},
		{cron: "* * * * * *", want: "no cron expression"},
		{cron: "61 * * * *", want: "no cron expression"},
		{cron: "TZ=Europe/Berlin 0 2 * * *", want: "fields of their own"},
		{cron: "@every 5m", want: "fields of their own"},
		{cron: "0 0 30 2 *", want: "never due"},
		{cron: "@daily", zone: "Europe/Berlyn", want: "no time zone"},
		{cron: "@daily", zone: "Local", want: "no time zone"},
		{cron: "@daily", every: time.Hour, want: "both"},
		{every: time.Millisecond, want: "shorter than"},
		{every: time.Second + time.Microsecond, want: "whole number"},
		{every: time.Minute, jitter: time.Minute, want: "not less"},
		{every: time.Minute, jitter: -time.Minute, want: "less than nothing"},
		{every: time.Minute, zone: "Europe/Berlin", want: "no time zone"},
	} {
		if _, err := Parse(c.cron, c.every, c.zone, c.jitter); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func FuzzAnyExpressionIsRefusedOrGoesForward(f *testing.F) {
	for _, text := range []string{"*/5 2-4,7 * 1 0", "@daily", "0 0 29 2 *", "TZ=", "@every", "1-0 * * * *", "*/0 * * * *", "?/99999999999999999999 * * * *"} {
		f.Add(text, int64(1774746000))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		r, err := Parse(text, 0, "Australia/Lord_Howe", 0)
		if err != nil {
			return
		}
		at := time.Unix(seconds%4_000_000_000, 0)
		for range 5 {
			next := r.Next(at)
			if next.IsZero() {
				return // a leap day on a certain weekday may be further away than the search goes
			}
			if !next.After(at) {
				t.Fatalf("%q: after %s comes %s", text, at, next)
			}
			at = next
		}
	})
}
