package alert

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/notify"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// Watcher looks whether rules are evaluated. Both a tick and each scheduler ask it, the latter without any worker or queue: when
// evaluation stands still as a whole, it is the scheduler that tells, by itself.
type Watcher struct {
	Store *alertstore.Store
	// Channels are told that a rule stands still, or that a channel takes no messages.
	Channels []string
	// Heartbeat is how long a rule may go unevaluated that says nothing about it; 0: three times its run_every, and at least DefaultHeartbeat.
	Heartbeat time.Duration
	// SignOfLife is when the channels of it are told, each day, that rules are evaluated; without channels, never.
	SignOfLife SignOfLife
}

// SignOfLife is a message each day that says nothing but that it could be sent.
type SignOfLife struct {
	Channels []string
	At       time.Duration  // since midnight
	Zone     *time.Location // of it; nil is UTC
}

// DefaultHeartbeat is the least time after which a rule stands still that says nothing about it.
const DefaultHeartbeat = 5 * time.Minute

// Silent is a rule that is not evaluated.
type Silent struct {
	Rule string
	For  time.Duration
	By   time.Time // when it should have been evaluated by
}

// Silent lists the rules that have not been evaluated within their heartbeat, those that have been for longest first, and returns how
// many rules have one.
func (w *Watcher) Silent(ctx context.Context, now time.Time) (list []Silent, of int, err error) {
	late, of, err := w.Store.Overdue(ctx, now)
	if err != nil || len(late) == 0 {
		return nil, of, err
	}
	names := make([]string, len(late))
	for i, o := range late {
		names[i] = o.Rule
	}
	healths, err := w.Store.Healths(ctx, names)
	if err != nil {
		return nil, of, err
	}
	for _, o := range late {
		since := healths[o.Rule].At
		if since.IsZero() { // it never was
			since = o.By
		}
		list = append(list, Silent{o.Rule, now.Sub(since), o.By})
	}
	return list, of, nil
}

// HeartbeatOf is how long a rule may go unevaluated: what it says itself; what the configuration says, if that is not too short for its
// interval; or three times its interval. 0: it is evaluated at some times of the day only, and says nothing.
func (w *Watcher) HeartbeatOf(r *rule.Rule) time.Duration {
	switch {
	case r.Heartbeat > 0:
		return r.Heartbeat
	case r.LimitExecution != "":
		return 0
	case w.Heartbeat > 0:
		return max(w.Heartbeat, 2*r.RunEvery)
	}
	return max(3*r.RunEvery, DefaultHeartbeat)
}

// tellsAgain is how often it is told, at most, that more rules stand still than before: when all workers are gone they do so one by one.
const tellsAgain = 10 * time.Minute

// stillSign names the message that rules stand still, of which the last should have been evaluated by then.
func stillSign(by time.Time) string {
	return "rules stand still " + by.UTC().Truncate(tellsAgain).Format(time.RFC3339)
}

// Look tells that rules stand still, and when more of them do, also if one has done so all the time; each once until they are evaluated
// again. It gives the sign of life of the day.
func (w *Watcher) Look(ctx context.Context, now time.Time) error {
	silent, of, err := w.Silent(ctx, now)
	if err != nil {
		return err
	}
	switch {
	case len(silent) > 0 && len(w.Channels) > 0:
		subject := fmt.Sprintf("stint: %d alert rules are not evaluated", len(silent))
		if len(silent) == 1 {
			subject = "stint: the alert rule " + silent[0].Rule + " is not evaluated"
		}
		var text strings.Builder
		text.WriteString("What these rules watch is not watched:\n")
		for _, s := range silent[:min(len(silent), 20)] {
			fmt.Fprintf(&text, "- %s, for %v\n", s.Rule, s.For.Round(time.Second))
		}
		if more := len(silent) - 20; more > 0 {
			fmt.Fprintf(&text, "and %d more\n", more)
		}
		text.WriteString("`stint alert check` says why: no worker runs, a source does not answer, or the rule is wrong.")
		last := slices.MaxFunc(silent, func(a, b Silent) int { return a.By.Compare(b.By) })
		if _, err := w.Store.Post(ctx, stillSign(last.By), now, w.Channels, notify.Message{Event: notify.Opened, Severity: "critical", Subject: subject, Text: text.String()}); err != nil {
			return err
		}
	case len(silent) == 0:
		if err := w.Store.Withdraw(ctx, stillSign(now), stillSign(now.Add(-tellsAgain))); err != nil {
			return err
		}
	}
	return w.signOfLife(ctx, now, len(silent), of)
}

// signOfLife is not given while a rule stands still: that it is missing is the message.
func (w *Watcher) signOfLife(ctx context.Context, now time.Time, silent, of int) error {
	if len(w.SignOfLife.Channels) == 0 || silent > 0 {
		return nil
	}
	day := now.In(cmp.Or(w.SignOfLife.Zone, time.UTC))
	if since := time.Duration(day.Hour())*time.Hour + time.Duration(day.Minute())*time.Minute; since < w.SignOfLife.At {
		return nil
	}
	_, err := w.Store.Post(ctx, "sign of life "+day.Format(time.DateOnly), now, w.SignOfLife.Channels, notify.Message{Event: notify.Opened, Severity: "info",
		Subject: fmt.Sprintf("stint: %d alert rules are evaluated", of), Text: "This comes once a day. When it does not, look why."})
	return err
}

// GaveUp tells the other channels that one takes no messages, once an hour.
func (w *Watcher) GaveUp(ctx context.Context, o alertstore.Outgoing, reason string, now time.Time) error {
	others := slices.DeleteFunc(slices.Clone(w.Channels), func(c string) bool { return c == o.Channel })
	if len(others) == 0 {
		return nil
	}
	_, err := w.Store.Post(ctx, "channel "+o.Channel+" "+now.Format("2006-01-02T15"), now, others, notify.Message{Event: notify.Opened, Severity: "error",
		Subject: "stint: the channel " + o.Channel + " takes no messages", Text: "A message did not arrive and is given up: " + o.Subject + "\n" + reason})
	return err
}
