package alertstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/notify"
)

var zero = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func at(minutes int) time.Time { return zero.Add(time.Duration(minutes) * time.Minute) }

const minute = int64(time.Minute / time.Millisecond)

// ladder is the one of the docs: chat at once, mail after ten minutes, a text message after thirty.
var ladder = []wire.AlertLevel{{To: []string{"chat"}}, {After: 10 * minute, To: []string{"mail"}}, {After: 30 * minute, To: []string{"sms"}}}

// played plays a life minute by minute: what is done to the alert at a minute, and who is told when.
func played(r Rule, minutes int, acts map[int]func(*Kept) []send) string {
	k := open(r, Found{At: zero, Subject: "it burns"})
	var told []string
	for m := range minutes {
		var sends []send
		if act := acts[m]; act != nil {
			sends = act(k)
		}
		if k.NextAt == nil && m > 0 && k.State == wire.AlertResolved || k.NextAt != nil && k.NextAt.After(at(m)) {
			// it is not due: looking at it all the same must tell nobody
			if early := k.advance(at(m)); len(early) > 0 {
				sends = append(sends, send{"EARLY", fmt.Sprint(early), 0})
			}
		} else {
			sends = append(sends, k.advance(at(m))...)
		}
		for _, s := range sends {
			told = append(told, fmt.Sprintf("%d:%s:%s", m, s.channel, s.event))
		}
	}
	return strings.Join(told, " ")
}

func TestALadderIsClimbedUntilSomebodyTakesTheAlert(t *testing.T) {
	t.Parallel()
	repeated := slices.Clone(ladder)
	repeated[1].Repeat, repeated[1].Repeats = 5*minute, 2
	stubborn := slices.Clone(ladder)
	stubborn[2].Until = "resolved"
	type act = map[int]func(*Kept) []send
	acked := func(m int, long time.Duration) func(*Kept) []send {
		return func(k *Kept) []send { k.acknowledge(at(m), "ann", "", within(at(m), long)); return nil }
	}
	for _, c := range []struct {
		name   string
		ladder []wire.AlertLevel
		end    bool
		acts   act
		want   string
	}{
		{"nobody takes it", ladder, false, nil, "0:chat:opened 10:mail:escalated 30:sms:escalated"},
		{"taken at 12", ladder, false, act{12: acked(12, 0)}, "0:chat:opened 10:mail:escalated"},
		{"taken for a while", ladder, false, act{5: acked(5, 20*time.Minute)}, "0:chat:opened 25:mail:escalated 30:sms:escalated"},
		{"taken and given back", ladder, false, act{5: acked(5, 0), 40: func(k *Kept) []send { k.release(); return k.advance(at(40)) }},
			"0:chat:opened 40:mail:escalated 40:sms:escalated"},
		{"over at 12", ladder, false, act{12: func(k *Kept) []send { return k.resolve(at(12), "rule", "") }}, "0:chat:opened 10:mail:escalated"},
		{"over at 12, and they are told", ladder, true, act{12: func(k *Kept) []send { return k.resolve(at(12), "rule", "") }},
			"0:chat:opened 10:mail:escalated 12:chat:resolved 12:mail:resolved"},
		{"silenced for a while", ladder, false, act{8: func(k *Kept) []send { k.silence("ann", "", at(20)); return nil }}, "0:chat:opened 20:mail:escalated 30:sms:escalated"},
		{"repeated", repeated, false, nil, "0:chat:opened 10:mail:escalated 15:mail:repeated 20:mail:repeated 30:sms:escalated"},
		{"repeats end when it is taken", repeated, false, act{17: acked(17, 0)}, "0:chat:opened 10:mail:escalated 15:mail:repeated"},
		{"a level that goes on when it is taken", stubborn, false, act{12: acked(12, 0)}, "0:chat:opened 10:mail:escalated 30:sms:escalated"},
		{"each time, as ElastAlert does", []wire.AlertLevel{{To: []string{"chat"}, Each: true}}, false,
			act{3: func(k *Kept) []send { return k.again(Found{At: at(3)}) }, 4: func(k *Kept) []send { return k.again(Found{At: at(4)}) }},
			"0:chat:opened 3:chat:repeated 4:chat:repeated"},
		{"each time, but not when it is taken", []wire.AlertLevel{{To: []string{"chat"}, Each: true}}, false,
			act{2: acked(2, 0), 3: func(k *Kept) []send { return k.again(Found{At: at(3)}) }}, "0:chat:opened"},
	} {
		if got := played(Rule{Name: "r", Ladder: c.ladder, TellEnd: c.end}, 60, c.acts); got != c.want {
			t.Errorf("%s: told\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

func TestAnAlertThatNobodyLookedAtForLongClimbsAllAtOnceAndRepeatsOnce(t *testing.T) {
	t.Parallel()
	l := slices.Clone(ladder)
	l[0].Repeat = minute
	k := open(Rule{Name: "r", Ladder: l}, Found{At: zero})
	k.advance(zero)
	var told []string
	for _, s := range k.advance(at(90)) {
		told = append(told, s.channel+":"+s.event)
	}
	if got := strings.Join(told, " "); got != "chat:repeated mail:escalated sms:escalated" {
		t.Errorf("told %s", got)
	}
	if k.NextAt == nil || !k.NextAt.Equal(at(91)) {
		t.Errorf("it is looked at next at %v", k.NextAt)
	}
}

func TestAPatternIsAnyPart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{{"", "x", true}, {"*", "", true}, {"a", "a", true}, {"a", "ab", false}, {"a*", "ab", true}, {"*b", "ab", true}, {"a*c*e", "abcde", true}, {"a*c*e", "abde", false}, {"ab*b", "ab", false}} {
		if got := like(c.pattern, c.text); got != c.want {
			t.Errorf("%q like %q: %v", c.text, c.pattern, got)
		}
	}
}

func TestAnAlertRemembersThatAChannelWasToldHoweverManyOthersAreToldAfterIt(t *testing.T) {
	t.Parallel()
	k := &Kept{}
	say := func(channel, state string) { k.note(wire.AlertTold{Channel: channel, State: state}) }
	say("early", wire.ToldSent)
	say("early", wire.ToldGaveUp)
	for range 3 * MaxTold {
		say("each", wire.ToldSent)
	}
	if len(k.Told) != MaxTold || k.Told[0].Channel != "early" || k.Told[0].State != wire.ToldSent || k.Told[1].Channel != "each" {
		t.Errorf("%d messages, the first %+v", len(k.Told), k.Told[:2])
	}
	for range 3 * MaxTold { // none of them arrives
		say("each", wire.ToldPending)
	}
	if len(k.Told) != MaxTold || k.Told[0].Channel != "early" || k.Told[1].State != wire.ToldSent || k.Told[2].State != wire.ToldPending {
		t.Errorf("%d messages, the first %+v", len(k.Told), k.Told[:3])
	}
	// As many channels as there is room for, each told once: one is forgotten, and nothing else happens.
	k = &Kept{}
	for i := range MaxTold + 1 {
		say(fmt.Sprint(i), wire.ToldSent)
	}
	if len(k.Told) != MaxTold || k.Told[0].Channel != "1" {
		t.Errorf("%d messages, the first %+v", len(k.Told), k.Told[0])
	}
}

// A channel that is not to be told at night, or does not answer, has one message that waits while others are told again and again.
func TestAnAlertRemembersThatAMessageWaitsHoweverManyOthersAreToldAfterIt(t *testing.T) {
	t.Parallel()
	k := &Kept{}
	k.note(wire.AlertTold{Channel: "each", State: wire.ToldSent})
	k.note(wire.AlertTold{Message: "late", Channel: "day", State: wire.ToldPending})
	for range 3 * MaxTold {
		k.note(wire.AlertTold{Channel: "each", State: wire.ToldPending})
		k.Told[len(k.Told)-1].State = wire.ToldSent
	}
	if len(k.Told) != MaxTold || k.told("late") == nil {
		t.Fatalf("%d messages, and what waits is forgotten", len(k.Told))
	}
	k.told("late").State = wire.ToldGaveUp // from now on it is the first to be forgotten
	if k.note(wire.AlertTold{Channel: "each", State: wire.ToldPending}); len(k.Told) != MaxTold || k.told("late") != nil {
		t.Errorf("%d messages, and one that never came is among them", len(k.Told))
	}
}

// The end is told to who was told at all: that it waits says nothing of that.
func TestAnAlertRemembersAMessageThatWaitsBesideThatOfItsEnd(t *testing.T) {
	t.Parallel()
	for _, event := range []string{notify.Resolved, notify.Acknowledged} {
		k := &Kept{}
		k.note(wire.AlertTold{Message: "late", Channel: "day", Event: notify.Opened, State: wire.ToldPending})
		for range MaxTold - 1 {
			k.note(wire.AlertTold{Channel: "each", Event: notify.Repeated, State: wire.ToldSent})
		}
		for _, channel := range []string{"each", "day"} {
			k.note(wire.AlertTold{Message: event + channel, Channel: channel, Event: event, State: wire.ToldPending})
		}
		if len(k.Told) != MaxTold || k.told("late") == nil || k.told(event+"day") == nil {
			t.Errorf("%s: %d messages, and what waits is forgotten", event, len(k.Told))
		}
	}
}
