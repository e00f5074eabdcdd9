package cli

import (
	"fmt"
	"io"
	"time"
)

// clearLine goes to the beginning of the terminal's line and empties it.
const clearLine = "\r\x1b[K"

// busy says on a terminal what a command is at, and for how long, from its second second on. The function that it returns takes the line away,
// before the command writes anything. Elsewhere, and when quiet, it says nothing: what is asked of a server has no lines to show.
func (c *command) busy(what string) (done func()) {
	if c.quiet || !c.Terminal {
		return func() {}
	}
	tick := time.NewTicker(time.Second)
	return ticking(c.Stderr, what, time.Now(), tick.C, tick.Stop)
}

// ticking writes the line at each tick until it is told to end.
func ticking(w io.Writer, what string, since time.Time, tick <-chan time.Time, stop func()) (done func()) {
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		shown := false
		for {
			select {
			case now := <-tick:
				shown = true
				fmt.Fprintf(w, "%s%s ... %s", clearLine, what, now.Sub(since).Round(time.Second))
			case <-end:
				if shown {
					fmt.Fprint(w, clearLine)
				}
				return
			}
		}
	}()
	return func() {
		stop()
		close(end)
		<-ended
	}
}
