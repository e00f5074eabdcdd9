package httpsink

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/stint-run/stint/tasks"
)

// probing is how long others wait for the one request that tries an endpoint again.
const probing = 50 * time.Millisecond

// result is what became of one request.
type result struct {
	*reply               // nil if there was no answer
	class  meaning       // what the answer means; retryable without one
	cause  error         // why there was no answer
	sent   bool          // the API may have got the request, and have acted on it
	wait   time.Duration // what the API asked to wait; 0 if it did not
}

// patience counts what a request has used up of its tries and its time. That the API is busy costs time only.
type patience struct {
	tries  int
	busy   int
	waited time.Duration
}

// maxBackoff is the longest wait between two tries where the API does not ask for one.
const maxBackoff = 3 * time.Second

// call sends a request when it is its turn: after the pause that the API has asked for, within the rate, and not while the breaker is
// open. An error ends the Deliver; a request that failed is a result.
func (d *delivery) call(out *outgoing, classify func(int) meaning) (*result, error) {
	report, err := d.turn()
	if err != nil {
		return nil, err
	}
	d.requests.Add(1)
	r, sent, err := d.sink.exchange(d.flight, out)
	if err != nil && d.flight.Err() != nil {
		report(errCut)
		return nil, d.stopped()
	}
	if err != nil {
		if tasks.IsPermanent(err) {
			report(errCut) // it is about the credentials, and says nothing of the endpoint
			return nil, err
		}
		report(err)
		return &result{class: retryable, cause: err, sent: sent}, nil
	}
	res := &result{reply: r, class: classify(r.status), sent: !undone(r.status)}
	if r.status >= 500 {
		report(fmt.Errorf("status %d", r.status))
	} else {
		report(nil)
	}
	switch res.class {
	case unauthorized, redirected, unexpected:
		return nil, d.sink.stopError(res.class, r)
	case retryable:
		res.wait = min(retryAfter(r.header.Get("Retry-After"), time.Now()), d.sink.endpoint.MaxRetryAfter.or(DefaultMaxRetryAfter))
	}
	return res, nil
}

// turn waits until a request may be sent, and returns what tells the breaker how it went.
func (d *delivery) turn() (func(error), error) {
	state, options := d.sink.state, d.sink.options
	for {
		if d.waiting.Err() != nil {
			return nil, d.stopped()
		}
		for wait := state.paused(); wait > 0; wait = state.paused() {
			if wait > options.Patience {
				return nil, tasks.RetryAfter(fmt.Errorf("the API asks for patience, for another %s", wait.Round(time.Second)), wait)
			}
			if err := d.sleep(wait); err != nil {
				return nil, err
			}
		}
		report, err := state.breaker.Allow()
		switch {
		case errors.Is(err, gobreaker.ErrTooManyRequests): // another request is finding out whether the endpoint is well again
			if err := d.sleep(jitter(2 * probing)); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			wait := state.openFor(options.OpenFor)
			return nil, tasks.RetryAfter(tasks.WithHint(d.lastFailure(), "Nothing is lost: the step goes on by itself when the API answers again.",
				"the API only fails, and is left alone for %s", options.OpenFor), wait+jitter(wait/4))
		}
		if err := d.limiter.Wait(d.waiting, 1); err != nil {
			report(errCut)
			if d.waiting.Err() != nil {
				return nil, d.stopped()
			}
			return nil, tasks.RetryAfter(fmt.Errorf("waiting for a turn within the rate: %w", err), time.Second)
		}
		return report, nil
	}
}

// again waits before another try. Its error ends the Deliver. more is false when tries or patience are used up.
func (d *delivery) again(p *patience, r *result) (more bool, err error) {
	d.failed(r)
	d.retries.Add(1)
	wait := jitter(min(d.sink.options.Backoff<<min(p.tries+p.busy, 10), maxBackoff))
	if r.wait > 0 {
		wait = r.wait + jitter(r.wait/10) // not all at the same moment
	}
	spent := p.waited+wait > d.sink.options.Patience
	if r.reply != nil && (r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable && r.wait > 0) {
		p.busy++
		if ask := max(r.wait, time.Second); spent {
			d.sink.state.pauseFor(ask)
			return false, tasks.RetryAfter(fmt.Errorf("the API asks for patience with status %d", r.status), ask+jitter(ask/10))
		}
		d.sink.state.pauseFor(r.wait)
	} else if p.tries++; spent || p.tries >= d.sink.options.Tries {
		return false, nil
	}
	p.waited += wait
	return true, d.sleep(wait)
}

// jitter is a random part of d.
func jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return rand.N(d)
}

// sleep waits, and returns an error when nothing must be begun any more.
func (d *delivery) sleep(wait time.Duration) error {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-d.waiting.Done():
		return d.stopped()
	}
}

func (d *delivery) stopped() error { return context.Cause(d.waiting) }

// retryAfter reads the header: seconds or a date. 0 if there is none, or it is not understood, or it is over.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(24*time.Hour/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// describe says in one word, and for people, why there is no answer that is worth something.
func (r *result) describe() (code, reason string) {
	if r.reply != nil {
		return "status_" + strconv.Itoa(r.status), "the API goes on answering with status " + strconv.Itoa(r.status)
	}
	var timeout net.Error
	if errors.Is(r.cause, context.DeadlineExceeded) || errors.As(r.cause, &timeout) && timeout.Timeout() {
		return "timeout", "the API does not answer in time"
	}
	return "connection", "the API cannot be reached, or breaks off: " + r.cause.Error()
}
