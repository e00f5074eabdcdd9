package alertstore

import (
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/notify"
)

// Play is the life of a rule's alerts without a Redis, for who wants to see what would be told: the same moves as those of a Store, and
// every message arrives. It may not be used by several at the same time.
type Play struct {
	rule Rule
	s    Store
	open map[string]*Kept
}

// Played is a message that would be sent.
type Played struct {
	notify.Message
	Channel string
}

// NewPlay begins without alerts. text is as in Options; nil tells the alert's own subject and text.
func NewPlay(r Rule, text func(a wire.Alert, event string, at time.Time) (subject, text string)) *Play {
	return &Play{rule: r, s: *New(nil, Options{Text: text}), open: map[string]*Kept{}}
}

// Evaluated moves the alerts by what an evaluation gave as of a time, and returns what is told then.
func (p *Play) Evaluated(found []Found, resolved []string, now time.Time) []Played {
	at := make(map[string]*life, len(p.open))
	for key, k := range p.open {
		at[key] = &life{k: k}
	}
	var out []Played
	for _, l := range (Evaluated{Rule: p.rule, Alerts: found, Resolved: resolved, Now: now}).move(at, nil) {
		out = append(out, p.send(l.k, l.sends, now)...)
		p.open[l.k.Key] = l.k
		if l.k.State == wire.AlertResolved {
			delete(p.open, l.k.Key)
		}
	}
	return out
}

// Next returns when the ladder of an alert goes on; zero for never.
func (p *Play) Next() time.Time {
	var next time.Time
	for _, k := range p.open {
		if k.NextAt != nil && (next.IsZero() || k.NextAt.Before(next)) {
			next = *k.NextAt
		}
	}
	return next
}

// Advance moves the ladders whose time has come, and returns what is told then.
func (p *Play) Advance(now time.Time) []Played {
	var out []Played
	for _, k := range p.Open() {
		if k.NextAt != nil && !k.NextAt.After(now) {
			out = append(out, p.send(k, k.advance(now), now)...)
		}
	}
	return out
}

// Open returns the alerts that are not over, by key.
func (p *Play) Open() []*Kept {
	list := make([]*Kept, 0, len(p.open))
	for _, k := range p.open {
		list = append(list, k)
	}
	slices.SortFunc(list, func(a, b *Kept) int { return strings.Compare(a.Key, b.Key) })
	return list
}

func (p *Play) send(k *Kept, sends []send, now time.Time) []Played {
	out := make([]Played, 0, len(sends))
	for _, x := range sends {
		k.Messages++
		out = append(out, Played{p.s.message(k, x, now), x.channel})
	}
	return out
}
