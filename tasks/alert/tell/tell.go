// Package tell sends what the outbox of alerts holds: each message to its channel, under a lease, again while it does not arrive, and
// no more when it has been overtaken. Each channel is a queue of its own: one that does not answer holds up no other.
//
// What holds when a sender dies between sending and writing that down: a receiver that knows a message by its id is sent it again and
// takes it for one; to any other it is sent again, or not, as the channel's setting says.
package tell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/notify"
)

const (
	// sendWithin bounds one attempt.
	sendWithin = 30 * time.Second
	// lastMoment is how long a message that is being sent has left when its process is to stop. Cut off at once, it would be one of
	// which nobody knows whether it arrived, with each deployment.
	lastMoment = 700 * time.Millisecond
	// lease is for how long nobody else sends a message that one has claimed.
	lease = sendWithin + 15*time.Second
	// settleWithin bounds the write of what came of it, also when the process is being stopped.
	settleWithin = 5 * time.Second
	// together is how many messages of a channel are claimed at once.
	together = 8
	// giveUpAfter is how long a message is tried.
	giveUpAfter = 24 * time.Hour
)

// DefaultTurn is how long a channel is told at a time.
const DefaultTurn = 5 * time.Second

// longestRest is how long a channel rests at most that fails and does not say for how long: when it is well again, it is not to be silent
// for long.
const longestRest = time.Minute

// waits are those between attempts at a message; the last one holds for all that follow.
var waits = []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute}

// Channel is a place that messages go to, and how it wants them.
type Channel struct {
	Name string
	To   notify.Channel
	// Again sends a message once more of which it is not known whether it arrived, to a receiver that does not know it by its id.
	Again bool
	// PerMinute is how many messages it takes in a minute; 0 is without bound. Those that are over wait.
	PerMinute int
	// Quiet says until when nobody wants to hear anything; nil and the zero time: it may be told now. The end of an alert waits as well.
	Quiet func(now time.Time) time.Time

	failures int // messages in a row that have failed, before
}

// Options are what a Teller needs.
type Options struct {
	Store *alertstore.Store
	// Channel finds a channel by the name that messages have. ok is false where this process knows none of that name.
	Channel func(ctx context.Context, name string) (c Channel, ok bool, err error)
	// Links are put into a message when it is sent: where it can be taken, and where it is shown; either may be "".
	Links func(m notify.Message) (ack, view string)
	// GaveUp is called for a message that did not arrive, or of which that is not known because nobody answered, and is tried no more.
	GaveUp func(ctx context.Context, o alertstore.Outgoing, err string, now time.Time)
	// Turn is how long a channel is told at a time; what is left waits for the next tick, which waits for this one. 0 is DefaultTurn. A
	// flood of messages to a slow receiver would otherwise keep rules from being evaluated until the last of them has arrived.
	Turn time.Duration
	// Sent is called with what came of each attempt, for metrics; nil is none.
	Sent func(ctx context.Context, channel, state string, took time.Duration)
	Log  *slog.Logger
}

// Teller sends messages. It may be used by many at the same time.
type Teller struct{ o Options }

// New makes a teller.
func New(o Options) *Teller {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	o.Turn = cmp.Or(o.Turn, DefaultTurn)
	return &Teller{o}
}

// All sends what is due to every channel, to all of them at once, and returns how many messages arrived. An error is of the outbox, and
// not of a channel.
func (t *Teller) All(ctx context.Context, now time.Time) (int, error) {
	channels, _, err := t.o.Store.Channels(ctx, now)
	if err != nil {
		return 0, err
	}
	sent, errs := make([]int, len(channels)), make([]error, len(channels))
	var wg sync.WaitGroup
	for i, c := range channels {
		wg.Go(func() { sent[i], errs[i] = t.Channel(ctx, c, now) })
	}
	wg.Wait()
	total := 0
	for _, n := range sent {
		total += n
	}
	return total, errors.Join(errs...)
}

// Channel sends what is due to one channel, in the order in which it is due, until nothing is, its turn is over, or one message has failed
// in a way that would hold for the next one, too. Then the channel rests: a receiver that does not answer costs each tick its patience otherwise, and
// one that asks for patience asks all of them for it.
func (t *Teller) Channel(ctx context.Context, name string, now time.Time) (int, error) {
	rests, failures, err := t.o.Store.Resting(ctx, name)
	if err != nil || rests.After(now) {
		return 0, err
	}
	c, ok, err := t.o.Channel(ctx, name)
	c.failures = failures
	began, asked, sent := time.Now(), now, 0
	for {
		// A receiver that is slow may take minutes for all; leases and rates go by the time that it is then.
		now = asked.Add(time.Since(began).Truncate(time.Second))
		list, claimed := t.o.Store.Claim(ctx, name, now, together, lease)
		if claimed != nil || len(list) == 0 {
			return sent, claimed
		}
		for i, o := range list {
			if ctx.Err() != nil { // the lease of what was not begun is over at once
				return sent, t.putBack(ctx, list[i:], now)
			}
			var arrived, goOn bool
			switch {
			case err != nil || !ok:
				goOn, claimed = t.failed(ctx, c, o, unknownChannel(name, err), now)
			default:
				arrived, goOn, claimed = t.send(ctx, c, o, now)
			}
			if arrived {
				if sent++; c.failures > 0 && claimed == nil {
					c.failures, claimed = 0, t.o.Store.Rest(ctx, name, now, 0)
				}
			}
			if claimed != nil {
				return sent, claimed
			}
			if !goOn || time.Since(began) > t.o.Turn {
				return sent, t.putBack(ctx, list[i+1:], now)
			}
		}
	}
}

func unknownChannel(name string, err error) error {
	if err != nil {
		return fmt.Errorf("the channel %s cannot be used: %w", name, err)
	}
	return fmt.Errorf("this configuration has no channel %s", name)
}

// putBack gives up the leases of messages that were not begun. The oldest stays the first.
func (t *Teller) putBack(ctx context.Context, list []alertstore.Outgoing, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	var errs []error
	for _, o := range list {
		due := now
		if o.At.Before(now) {
			due = o.At
		}
		errs = append(errs, t.o.Store.Wait(ctx, o, due))
	}
	return errors.Join(errs...)
}

// send makes one attempt at a message. goOn reports whether the next one of the channel is worth one.
func (t *Teller) send(ctx context.Context, c Channel, o alertstore.Outgoing, now time.Time) (arrived, goOn bool, err error) {
	o.PutOff = c.Quiet != nil && c.Quiet(o.At).After(o.At)
	state, err := t.o.Store.Overtaken(ctx, o)
	if err != nil {
		return false, false, err
	}
	if state == "" && o.Unsure && !c.To.Keyed() && !c.Again {
		state = wire.ToldUnknown
	}
	if state != "" {
		return false, true, t.settle(ctx, o, alertstore.Sent{State: state, Error: unsure(state), Untried: true}, now)
	}
	if c.Quiet != nil {
		if until := c.Quiet(now); until.After(now) {
			return false, true, t.o.Store.Wait(ctx, o, until)
		}
	}
	if c.PerMinute > 0 {
		free, err := t.o.Store.Allow(ctx, c.Name, now, c.PerMinute)
		if err != nil {
			return false, false, err
		}
		if free.After(now) {
			return false, true, t.o.Store.Wait(ctx, o, free)
		}
	}
	mine, err := t.o.Store.Begin(ctx, o)
	if err != nil || !mine {
		return false, true, err
	}
	if t.o.Links != nil {
		o.AckURL, o.ViewURL = t.o.Links(o.Message)
	}
	began := time.Now()
	sctx, stop := finishing(ctx)
	sending := c.To.Send(sctx, o.Message)
	stop()
	if sending == nil {
		t.count(ctx, c.Name, wire.ToldSent, began)
		return true, true, t.settle(ctx, o, alertstore.Sent{State: wire.ToldSent}, now)
	}
	goOn, err = t.failed(ctx, c, o, sending, now)
	return false, goOn, err
}

// finishing returns a context for a message that is being sent.
func finishing(ctx context.Context) (context.Context, func()) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendWithin)
	stop := context.AfterFunc(ctx, func() {
		moment := time.NewTimer(lastMoment)
		defer moment.Stop()
		select {
		case <-moment.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

func unsure(state string) string {
	if state == wire.ToldUnknown {
		return "its sender died while sending it: it is not known whether it arrived, and the channel does not want it twice"
	}
	return ""
}

func (t *Teller) count(ctx context.Context, channel, state string, began time.Time) {
	if t.o.Sent != nil {
		t.o.Sent(ctx, channel, state, time.Since(began))
	}
}

// failed settles a message that did not arrive.
func (t *Teller) failed(ctx context.Context, c Channel, o alertstore.Outgoing, cause error, now time.Time) (goOn bool, err error) {
	var e *notify.Error
	if !errors.As(cause, &e) {
		e = &notify.Error{Err: cause}
	}
	r := alertstore.Sent{State: wire.ToldPending, Error: cause.Error(), Again: now.Add(max(e.After, waits[min(o.Tries, len(waits)-1)]))}
	switch {
	case e.Unknown && c.To != nil && !c.To.Keyed() && !c.Again:
		r.State = wire.ToldUnknown
	case e.Permanent, now.Sub(o.At) > giveUpAfter:
		r.State = wire.ToldGaveUp
	}
	log := t.o.Log.With("channel", o.Channel, "message", o.Message.ID, "alert", o.Alert, "err", cause)
	if r.State == wire.ToldPending {
		log.WarnContext(ctx, "message did not arrive; it will be sent again", "attempt", o.Tries+1, "at", r.Again)
	} else {
		log.ErrorContext(ctx, "message did not arrive, and is given up", "state", r.State)
	}
	t.count(ctx, o.Channel, r.State, time.Now())
	if err := t.settle(ctx, o, r, now); err != nil {
		return false, err
	}
	if r.State != wire.ToldPending && t.o.GaveUp != nil {
		t.o.GaveUp(ctx, o, cause.Error(), now)
	}
	if e.Permanent || c.To == nil || ctx.Err() != nil {
		return e.Permanent, nil // what failed for a reason of its own says nothing about the next one
	}
	rest := max(e.After, min(longestRest, waits[min(c.failures, len(waits)-1)]))
	return false, t.o.Store.Rest(ctx, c.Name, now.Add(rest), c.failures+1)
}

func (t *Teller) settle(ctx context.Context, o alertstore.Outgoing, r alertstore.Sent, now time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWithin)
	defer cancel()
	return t.o.Store.Settle(ctx, o, r, now)
}
