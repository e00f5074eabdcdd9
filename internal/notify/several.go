package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// rememberTold is how many messages a channel of several receivers remembers.
const rememberTold = 1000

// told remembers who has got a message, so that a next try of this process does not tell them again. Other processes do not know.
type told struct {
	mu    sync.Mutex
	who   map[string][]string
	order []string // of the messages, the oldest first
}

func (t *told) has(id, to string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Contains(t.who[id], to)
}

func (t *told) add(id, to string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.who == nil {
		t.who = map[string][]string{}
	}
	if _, known := t.who[id]; !known {
		if t.order = append(t.order, id); len(t.order) > rememberTold {
			delete(t.who, t.order[0])
			t.order = t.order[1:]
		}
	}
	t.who[id] = append(t.who[id], to)
}

// failure is why one of several receivers has not got a message.
type failure struct {
	to  string
	err error
}

// each sends a message to all of several receivers, whatever becomes of the others.
func (t *told) each(id string, to []string, send func(to string) error) error {
	var failed []failure
	for _, one := range to {
		if t.has(id, one) {
			continue
		}
		if err := send(one); err != nil {
			failed = append(failed, failure{one, err})
		} else {
			t.add(id, one)
		}
	}
	return outcome(len(to), failed)
}

// outcome is the error of a message to so many receivers. When some have got it and others have not, whoever tries next, in another
// process, does not know who has: so it is unknown, unless no try would help the rest.
func outcome(of int, failed []failure) error {
	if len(failed) == 0 {
		return nil
	}
	all := Error{Permanent: true}
	errs := make([]string, len(failed))
	for i, f := range failed {
		e, known := errors.AsType[*Error](f.err)
		if !known {
			e = &Error{Err: f.err}
		}
		errs[i] = f.to + ": " + e.Error()
		all.Permanent = all.Permanent && e.Permanent
		all.Unknown = all.Unknown || e.Unknown
		all.After = max(all.After, e.After)
	}
	text := strings.Join(errs, "; ")
	if reached := of - len(failed); reached > 0 {
		text = fmt.Sprintf("%d of %d have got it; %s", reached, of, text)
		all.Unknown = all.Unknown || !all.Permanent
	}
	all.Err = errors.New(text)
	return &all
}

// All makes one channel of several. It is Keyed if all of them are. Closing it closes them.
func All(channels ...Channel) Channel {
	if len(channels) == 1 {
		return channels[0]
	}
	return &all{channels: channels}
}

type all struct {
	channels []Channel
	told     told
}

// Send sends a message to all of them, whatever becomes of the others.
func (a *all) Send(ctx context.Context, m Message) error {
	numbers := make([]string, len(a.channels))
	for i := range numbers {
		numbers[i] = "receiver " + strconv.Itoa(i+1)
	}
	return a.told.each(m.ID, numbers, func(to string) error { return a.channels[slices.Index(numbers, to)].Send(ctx, m) })
}

// Keyed reports whether all of them take a message with the same id twice for one.
func (a *all) Keyed() bool {
	return !slices.ContainsFunc(a.channels, func(c Channel) bool { return !c.Keyed() })
}

// Close closes all of them.
func (a *all) Close() error {
	var errs []error
	for _, c := range a.channels {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
