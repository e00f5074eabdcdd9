package worker

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stint-run/stint/tasks"
)

// action is what happens to a step after an attempt.
type action int

const (
	endStep   action = iota // the effect is complete
	giveBack                // ready again, now or later; the retry budget is not spent
	failStep                // counted; tried again with backoff until the budget is spent
	postpone                // as if it had not been begun; ready again later
	leaveStep               // a later attempt holds it: touch nothing
)

// What came of an attempt, in a word, for metrics and traces.
const (
	wordDone      = "done"      // the effect is complete
	wordDrained   = "drained"   // given back, as the worker or the job wanted
	wordCut       = "cut"       // given back, as the worker did not wait any longer
	wordPostponed = "postponed" // given back, as the other side asked for patience
	wordRetried   = "retried"   // failed, and will be tried again
	wordFailed    = "failed"    // failed for good
	wordStale     = "stale"     // a later attempt holds the step
	wordUnsettled = "unsettled" // the store could not be told
)

// outcome is a row of the table below, filled in.
type outcome struct {
	action    action
	word      string
	after     time.Duration
	reason    string
	hint      string
	permanent bool
}

// decide is the one table of what happens after Run:
//
//	Run returned            because                      action
//	nil                     effect complete              endStep
//	any                     the lease went to another    leaveStep
//	ErrStale                a later attempt holds it     leaveStep
//	postponed               the tenant's rate is used up postpone
//	ErrDrained              saved, the rest goes back    giveBack
//	any                     the worker was cut           giveBack
//	RetryAfter(err, d)      patience was asked for       giveBack after d
//	Permanent(err)          no retry can help            failStep, permanent
//	any other, or a panic   try again                    failStep after backoff with jitter
//
// cause is why the attempt's context ended, nil when it has not; failed counts earlier failures.
func decide(err, cause error, failed int) outcome {
	after, patience := tasks.RetryAfterOf(err)
	var p *postponed
	switch {
	case err == nil:
		return outcome{action: endStep, word: wordDone}
	case errors.Is(cause, tasks.ErrStale), errors.Is(err, tasks.ErrStale):
		return outcome{action: leaveStep, word: wordStale}
	case errors.As(err, &p):
		return outcome{action: postpone, word: wordPostponed, after: p.after}
	case errors.Is(err, tasks.ErrDrained):
		return outcome{action: giveBack, word: wordDrained, reason: "drained"}
	case errors.Is(cause, errCut):
		return outcome{action: giveBack, word: wordCut, reason: "cut"}
	case patience:
		return outcome{action: giveBack, word: wordPostponed, after: after, reason: brief(err)}
	case tasks.IsPermanent(err):
		return outcome{action: failStep, word: wordFailed, reason: brief(err), hint: tasks.HintOf(err), permanent: true}
	}
	return outcome{action: failStep, word: wordRetried, reason: brief(err), hint: tasks.HintOf(err), after: backoff(failed)}
}

// brief is an error's text, short enough to be kept in Redis for a job's lifetime. The log has all of it.
func brief(err error) string {
	const most = 2000
	text := err.Error()
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + " ... (cut; see the worker's log)"
}

// backoff is full jitter over an exponential from 1 s, at most 2 minutes: Brooker, "Exponential Backoff And Jitter", 2015.
func backoff(failed int) time.Duration {
	limit := min(time.Second<<min(failed, 7), 2*time.Minute)
	return 100*time.Millisecond + rand.N(limit)
}
