package cli

import (
	"context"
	"os"
	"slices"
	"sync"
)

// interrupts hands each signal of the process to who waits for one: to whoever has asked for them in order, if nobody has asked for less
// since; else to all those that it interrupts. A signal that nobody waits for ends the command's own context, so that whatever the
// command is at, a server that does not answer, say, comes back.
type interrupts struct {
	mu      sync.Mutex
	waiting []*waiting // the last to ask is the last
	rest    context.CancelCauseFunc
}

// waiting has one of two.
type waiting struct {
	interrupt context.CancelCauseFunc // hears one signal
	inbox     chan os.Signal          // hears all until it is released
}

// listen makes the command's own context, which ends with errInterrupted as its cause, and hands out signals until stop.
func (i *interrupts) listen(ctx context.Context, signals <-chan os.Signal) (_ context.Context, stop func()) {
	ctx, i.rest = context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-signals:
				i.hand(s)
			case <-done:
				return
			}
		}
	}()
	return ctx, func() {
		close(done)
		i.rest(nil)
	}
}

func (i *interrupts) hand(s os.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := len(i.waiting)
	if n == 0 {
		i.rest(errInterrupted)
		return
	}
	if inbox := i.waiting[n-1].inbox; inbox != nil {
		select {
		case inbox <- s:
		default: // nobody needs to hear of the fifth one
		}
		return
	}
	for n > 0 && i.waiting[n-1].interrupt != nil {
		n--
		i.waiting[n].interrupt(errInterrupted)
	}
	i.waiting = i.waiting[:n]
}

func (i *interrupts) add(w *waiting) (remove func()) {
	i.mu.Lock()
	i.waiting = append(i.waiting, w)
	i.mu.Unlock()
	return func() {
		i.mu.Lock()
		i.waiting = slices.DeleteFunc(i.waiting, func(other *waiting) bool { return other == w })
		i.mu.Unlock()
		for w.inbox != nil { // what came and was not read is for others
			select {
			case s := <-w.inbox:
				i.hand(s)
			default:
				return
			}
		}
	}
}

// interruptible gives a context that ends, with errInterrupted as its cause, at the first signal, unless cancel was called before. What
// comes after, a second signal, is for others.
func (c *command) interruptible(ctx context.Context) (_ context.Context, cancel context.CancelFunc) {
	ctx, end := context.WithCancelCause(ctx)
	remove := c.interrupts.add(&waiting{interrupt: end})
	return ctx, func() {
		remove()
		end(nil)
	}
}

// signals gives all signals from now on, until release.
func (c *command) signals() (_ <-chan os.Signal, release func()) {
	inbox := make(chan os.Signal, 4)
	return inbox, c.interrupts.add(&waiting{inbox: inbox})
}
