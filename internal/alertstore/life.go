package alertstore

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/notify"
)

// What follows moves one alert, and says who is to be told. It knows no Redis and no clock: the same alert and the same time give the
// same moves. docs/alerts.md has the drawing.

// Bounds of an alert.
const (
	// MaxTold is how many messages an alert remembers.
	MaxTold = 100
	// maxSubject and maxText are bytes.
	maxSubject = 2 << 10
	maxText    = 32 << 10
)

// byRule is who ends an alert that is over by the lights of its rule.
const byRule = "rule"

// Kept is an alert as it is kept: what is shown of it, and what is not.
type Kept struct {
	wire.Alert
	// TellEnd: the channels that were told of it are told that it is over.
	TellEnd bool `json:"tell_end,omitempty"`
	// Messages counts its messages, so that each has an id of its own.
	Messages int `json:"messages,omitempty"`
	// Links are the links that were used to take it.
	Links []string `json:"links,omitempty"`
}

// Found is an alert as the evaluation of a rule gives it.
type Found struct {
	Key      string
	At       time.Time
	Severity string
	Subject  string
	Text     string
	Matches  []map[string]any
}

// Rule is what an alert takes over from its rule when it is opened.
type Rule struct {
	Name    string
	Owner   string
	Ladder  []wire.AlertLevel
	TellEnd bool
}

// send is that a channel is to be told.
type send struct {
	channel string
	event   string
	level   int
}

// open makes an alert.
func open(r Rule, f Found) *Kept {
	k := &Kept{TellEnd: r.TellEnd, Alert: wire.Alert{ID: alertID(r.Name, f.Key, f.At), Rule: r.Name, Key: f.Key, State: wire.AlertOpen, Owner: r.Owner, OpenedAt: f.At,
		Ladder: slices.Clone(r.Ladder)}}
	k.found(f)
	return k
}

// found notes what the rule has found.
func (k *Kept) found(f Found) {
	k.LastAt, k.Severity, k.Subject, k.Text, k.Matches = f.At, f.Severity, clip(f.Subject, maxSubject), clip(f.Text, maxText), f.Matches
	k.Count++
}

// again notes that the rule's alert has come again, and tells those that are told each time.
func (k *Kept) again(f Found) []send {
	k.found(f)
	if k.State != wire.AlertOpen {
		return nil
	}
	var out []send
	for i, l := range k.Ladder {
		if l.Each && l.Told > 0 {
			out = k.tell(out, i, notify.Repeated)
		}
	}
	return out
}

// tell adds the channels of a level.
func (k *Kept) tell(out []send, level int, event string) []send {
	l := &k.Ladder[level]
	l.Told++
	for _, c := range l.To {
		out = append(out, send{c, event, level})
	}
	return out
}

// advance moves an alert to a time: silences and acknowledgements that have ended, levels whose time has come, repeats. It sets when
// it is to be looked at again.
func (k *Kept) advance(now time.Time) []send {
	k.NextAt = nil
	if k.State == wire.AlertResolved {
		return nil
	}
	k.ended(now)
	var out []send
	for i := range k.Ladder {
		l := &k.Ladder[i]
		due := k.OpenedAt.Add(time.Duration(l.After) * time.Millisecond)
		switch {
		case k.State == wire.AlertSilenced || k.State == wire.AlertAcknowledged && l.Until != "resolved":
			continue // what ends that looks again
		case l.Told == 0 && due.After(now):
			k.look(due)
			continue
		case l.Told == 0:
			event := notify.Escalated
			if i == 0 || k.Ladder[0].After == l.After {
				event = notify.Opened
			}
			out = k.tell(out, i, event)
			l.NextAt = repeatAt(l, now)
		case l.NextAt != nil && !l.NextAt.After(now):
			out = k.tell(out, i, notify.Repeated)
			l.NextAt = repeatAt(l, now)
		}
		if l.NextAt != nil {
			k.look(*l.NextAt)
		}
	}
	if k.State == wire.AlertSilenced && k.SilencedUntil != nil {
		k.look(*k.SilencedUntil)
	}
	if k.State == wire.AlertAcknowledged && k.AckedUntil != nil {
		k.look(*k.AckedUntil)
	}
	return out
}

// repeatAt says when a level is told again; nil for never.
func repeatAt(l *wire.AlertLevel, now time.Time) *time.Time {
	if l.Repeat <= 0 || l.Repeats > 0 && l.Told > l.Repeats {
		return nil
	}
	at := now.Add(time.Duration(l.Repeat) * time.Millisecond)
	return &at
}

// look brings the next look forward.
func (k *Kept) look(at time.Time) {
	if k.NextAt == nil || at.Before(*k.NextAt) {
		k.NextAt = &at
	}
}

// ended takes back what was for a time that is over.
func (k *Kept) ended(now time.Time) {
	if k.State == wire.AlertSilenced && k.SilencedUntil != nil && !k.SilencedUntil.After(now) {
		k.SilencedUntil, k.SilencedBy = nil, ""
		k.State = wire.AlertOpen
		if k.AcknowledgedAt != nil {
			k.State = wire.AlertAcknowledged
		}
	}
	if k.State == wire.AlertAcknowledged && k.AckedUntil != nil && !k.AckedUntil.After(now) {
		k.State, k.AcknowledgedAt, k.AckedUntil, k.AcknowledgedBy = wire.AlertOpen, nil, nil, ""
	}
}

// acknowledge notes that somebody takes the alert, for a time or for good, and tells those that were told of it: what calls people does so
// until it hears of it.
func (k *Kept) acknowledge(now time.Time, by, reason string, until *time.Time) []send {
	k.AcknowledgedAt, k.AcknowledgedBy, k.AckedUntil, k.Reason = &now, by, until, reason
	k.State, k.SilencedUntil, k.SilencedBy = wire.AlertAcknowledged, nil, ""
	return k.tellAll(notify.Acknowledged)
}

// tellAll is for all who were told of the alert, once each.
func (k *Kept) tellAll(event string) []send {
	var out []send
	for i, l := range k.Ladder {
		if l.Told == 0 {
			continue
		}
		for _, c := range l.To {
			if !slices.ContainsFunc(out, func(s send) bool { return s.channel == c }) {
				out = append(out, send{c, event, i})
			}
		}
	}
	return out
}

// release takes an acknowledgement or a silence back: the ladder goes on.
func (k *Kept) release() {
	k.State, k.AcknowledgedAt, k.AcknowledgedBy, k.AckedUntil, k.SilencedUntil, k.SilencedBy = wire.AlertOpen, nil, "", nil, nil, ""
}

// silence keeps everybody from being told until a time.
func (k *Kept) silence(by, reason string, until time.Time) {
	k.State, k.SilencedUntil, k.SilencedBy, k.Reason = wire.AlertSilenced, &until, by, reason
}

// resolve ends the alert, and tells those that were told of it, where the rule wants that.
func (k *Kept) resolve(now time.Time, by, reason string) []send {
	k.State, k.ResolvedAt, k.ResolvedBy, k.Reason, k.NextAt = wire.AlertResolved, &now, by, reason, nil
	for i := range k.Ladder {
		k.Ladder[i].NextAt = nil
	}
	if !k.TellEnd {
		return nil
	}
	return k.tellAll(notify.Resolved)
}

// note remembers a message. When they are too many, the oldest is forgotten without which it is still known that its channel was told, or
// is about to be: who was told at all hears of the end.
func (k *Kept) note(t wire.AlertTold) {
	k.Told = append(k.Told, t)
	if len(k.Told) <= MaxTold {
		return
	}
	oldest := 0
	heard, waits, ends := map[string]bool{}, map[string]bool{}, map[string]bool{} // channels of which a later message says so
	for i, t := range slices.Backward(k.Told) {
		spare := true
		switch t.State {
		case wire.ToldSent, wire.ToldUnknown:
			spare = heard[t.Channel]
			heard[t.Channel] = true
		case wire.ToldPending:
			if t.Event == notify.Resolved || t.Event == notify.Acknowledged { // for who was told: that it waits does not say so
				spare = ends[t.Channel+" "+t.Event]
				ends[t.Channel+" "+t.Event] = true
				break
			}
			spare = heard[t.Channel] || waits[t.Channel]
			waits[t.Channel] = true
		}
		if spare {
			oldest = i
		}
	}
	k.Told = slices.Delete(k.Told, oldest, oldest+1)
}

// told returns a message of the alert, or nil.
func (k *Kept) told(message string) *wire.AlertTold {
	for i := range k.Told {
		if k.Told[i].Message == message {
			return &k.Told[i]
		}
	}
	return nil
}

func alertID(rule, key string, at time.Time) string {
	return "al_" + digest(rule, key, at.UTC().Format(time.RFC3339Nano))
}

// messageID has the number first: of the messages of an alert that are due at the same moment, the first one is sent first.
func messageID(alert string, n int, channel string) string {
	return fmt.Sprintf("am_%06x%s", n, digest(alert, fmt.Sprint(n), channel)[:14])
}

func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:10])
}

// clip cuts a text at a rune.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	const cut = " …"
	return strings.ToValidUTF8(s[:most-len(cut)], "") + cut
}

// life is an alert under change.
type life struct {
	k     *Kept
	was   int64
	sends []send
	done  bool
}

// move moves alerts by what an evaluation gave. at are those of the rule that are not over, by key; silences those of rules that hold
// for it. It returns the ones that have changed, in their order.
func (e Evaluated) move(at map[string]*life, silences []wire.AlertSilence) []*life {
	var order []string
	for _, f := range e.Alerts {
		l := at[f.Key]
		if l == nil {
			l = &life{k: open(e.Rule, f)}
			for _, x := range silences {
				if x.Until.After(e.Now) && like(x.Key, f.Key) {
					l.k.silence(x.By, x.Reason, x.Until)
				}
			}
			at[f.Key] = l
		} else {
			l.sends = append(l.sends, l.k.again(f)...)
		}
		order = append(order, f.Key)
	}
	for _, key := range e.Resolved {
		if l := at[key]; l != nil && l.k.State != wire.AlertResolved {
			l.sends = append(l.sends, l.k.resolve(e.Now, byRule, "the rule matches no more")...)
			order = append(order, key)
		}
	}
	var out []*life
	for _, key := range order {
		l := at[key]
		if l.done {
			continue
		}
		l.done = true
		if l.k.State != wire.AlertResolved {
			l.sends = append(l.k.advance(e.Now), l.sends...)
		}
		out = append(out, l)
	}
	return out
}
