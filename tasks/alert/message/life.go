package message

import (
	"fmt"
	"strings"
	"time"
)

// Open is what is known of an alert when something is told about it again.
type Open struct {
	// Subject and Text are those with which it was opened.
	Subject, Text string
	// For is how long it has been open.
	For time.Duration
	// Times is how often its rule has matched; 0 and 1 are not worth saying.
	Times int
}

// Repeated tells an alert again that is open still.
func Repeated(o Open) (subject, text string) {
	said := fmt.Sprintf("Still open after %s", Span(o.For))
	if o.Times > 1 {
		said += fmt.Sprintf("; it has happened %d times", o.Times)
	}
	return titled("still open", o.Subject), below(said+".", o.Text)
}

// Escalated tells an alert to those who come next, as nobody has taken it. taken is who has, where a level is told all the same.
func Escalated(o Open, taken string) (subject, text string) {
	said := fmt.Sprintf("Still open after %s, nobody has taken it.", Span(o.For))
	if taken != "" {
		said = fmt.Sprintf("Still open after %s, although %s has taken it.", Span(o.For), taken)
	}
	return titled("open for "+Span(o.For), o.Subject), below(said, o.Text)
}

// Acknowledged tells that somebody has taken an alert, until when (zero: until it is over), and what they said.
func Acknowledged(o Open, by, comment string, until time.Time) (subject, text string) {
	said := "Taken by " + somebody(by)
	if o.For > 0 {
		said += " after " + Span(o.For)
	}
	if !until.IsZero() {
		said += ", until " + pretty(until, nil)
	}
	said += "."
	if comment != "" {
		said += "\n" + bounded(comment, 4<<10)
	}
	return titled("taken", o.Subject), bounded(said, MaxText) + "\n"
}

// Resolved tells that an alert is over: by somebody, or by itself, which "" means, because its rule has matched no more.
func Resolved(o Open, by, comment string) (subject, text string) {
	said := "Over after " + Span(o.For)
	if by != "" {
		said += ", says " + by + "."
	} else {
		said += ": the rule matches no more."
	}
	if o.Times > 1 {
		said += fmt.Sprintf(" It had happened %d times.", o.Times)
	}
	if comment != "" {
		said += "\n" + bounded(comment, 4<<10)
	}
	return titled("over", o.Subject), bounded(said, MaxText) + "\n"
}

// Failing tells those who watch the watcher that a rule cannot be evaluated: why, what can be done, since when, and how far it is
// behind. What is missed meanwhile is made up for.
func Failing(name, why, hint string, since time.Time, behind time.Duration) (subject, text string) {
	said := fmt.Sprintf("The rule %s has not been evaluated since %s (%s behind):\n%s", name, pretty(since, nil), Span(behind), bounded(why, 8<<10))
	if hint != "" {
		said += "\n" + bounded(hint, 4<<10)
	}
	return titled("rule fails", name), said + "\nIts windows wait, and are evaluated in their order when that is mended. Until then it alerts nobody.\n"
}

// Mended tells them that it is evaluated again.
func Mended(name string, failed time.Duration) (subject, text string) {
	return titled("rule works again", name), fmt.Sprintf("The rule %s is evaluated again, after %s.\n", name, Span(failed))
}

// Silent tells them that nobody evaluates a rule: its last window ended then, and the next should have followed within heartbeat. A zero
// last is never.
func Silent(name string, last time.Time, heartbeat time.Duration) (subject, text string) {
	when := "has never been evaluated"
	if !last.IsZero() {
		when = "was last evaluated up to " + pretty(last, nil)
	}
	return titled("rule stands still", name), fmt.Sprintf("The rule %s %s, and should be each %s. No error was reported: look whether schedulers and workers run, and whether their queue moves.\n", name, when, Span(heartbeat))
}

// Alive is the daily sign of life: so many rules are evaluated, the one that is furthest behind by that much.
func Alive(rules, open int, behind time.Duration) (subject, text string) {
	return "stint watches", fmt.Sprintf("%s evaluated; the one that is furthest behind is so by %s. %s open.\n", several(rules, "rule is", "rules are"), Span(behind), several(open, "alert is", "alerts are"))
}

// Dropped tells a channel of a storm: so many messages were held back because it takes only so many a minute.
func Dropped(held, perMinute int) (subject, text string) {
	return fmt.Sprintf("%s held back", several(held, "more alert was", "more alerts were")),
		fmt.Sprintf("This channel takes %d messages a minute. %s not told here; `stint alert list` shows them.\n", perMinute, several(held, "further alert was", "further alerts were"))
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func somebody(name string) string {
	if name == "" {
		return "somebody with the link"
	}
	return name
}

// titled puts what has happened in front of a subject.
func titled(what, subject string) string { return bounded("["+what+"] "+subject, MaxSubject) }

// below puts a text below what has happened.
func below(said, text string) string {
	if text == "" {
		return said + "\n"
	}
	return note(said+"\n\n"+text, 0, 0)
}

// Span writes a duration as a person says it: 10 minutes, 2 hours 5 minutes, 45 seconds.
func Span(d time.Duration) string {
	d = d.Round(time.Second)
	if d >= 10*time.Minute {
		d = d.Round(time.Minute)
	}
	var parts []string
	for _, u := range []struct {
		of        time.Duration
		one, many string
	}{{24 * time.Hour, "day", "days"}, {time.Hour, "hour", "hours"}, {time.Minute, "minute", "minutes"}, {time.Second, "second", "seconds"}} {
		if n := int(d / u.of); n > 0 && len(parts) < 2 {
			parts = append(parts, several(n, u.one, u.many))
		} else if len(parts) > 0 {
			break
		}
		d %= u.of
	}
	if len(parts) == 0 {
		return "0 seconds"
	}
	return strings.Join(parts, " ")
}
