package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/stint-run/stint/cmd/internal/app"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// trial is what a rule made of a file of events; its JSON is a contract.
type trial struct {
	Rule     string         `json:"rule"`
	Start    time.Time      `json:"start"` // the first evaluation
	End      time.Time      `json:"end"`   // and the last one
	Every    int64          `json:"every_ms"`
	Windows  int            `json:"windows"`
	Events   int            `json:"events"` // of the file that have a time and are of the rule's index
	Hits     int64          `json:"hits"`   // that the windows found, those that one after another found again included
	Late     int64          `json:"late"`
	Matches  []trialMatch   `json:"matches"`
	Alerts   []trialAlert   `json:"alerts"`
	Resolved []trialEnd     `json:"resolved"`
	Messages []trialMessage `json:"messages"`
	Notes    []string       `json:"notes"`

	timeline []any // all of these in their order
}

type trialMatch struct {
	At    time.Time      `json:"at"` // of the evaluation that found it
	Match map[string]any `json:"match"`
}

type trialAlert struct {
	At       time.Time `json:"at"`
	Key      string    `json:"key"`
	Severity string    `json:"severity"`
	Subject  string    `json:"subject"`
	Text     string    `json:"text"`
	Matches  int       `json:"matches"`
}

type trialEnd struct {
	At  time.Time `json:"at"`
	Key string    `json:"key"`
}

type trialMessage struct {
	At      time.Time `json:"at"`
	Channel string    `json:"channel"`
	Event   string    `json:"event"`
	Key     string    `json:"key"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	// Assumed: it comes after the last window, if nobody has taken the alert by then and it is not over.
	Assumed bool `json:"assumed"`
}

const (
	// maxWindows bounds a trial.
	maxWindows = 500_000
	// assumeFor and assumeMost bound what is told of ladders after the last window.
	assumeFor  = 24 * time.Hour
	assumeMost = 20
)

// player is a trial under way.
type player struct {
	*trial
	rule *rule.Rule
	play *alertstore.Play
}

// try evaluates a rule over documents, window by window.
func try(ctx context.Context, r *rule.Rule, docs []docsearch.Document, o *trying) (*trial, error) {
	now := time.Time{}
	src := source.NewEvents(source.Events{Documents: docs, Now: func() time.Time { return now }})
	x := &trial{Rule: r.Name, Every: r.RunEvery.Milliseconds(), Matches: []trialMatch{}, Alerts: []trialAlert{}, Resolved: []trialEnd{}, Messages: []trialMessage{}, Notes: []string{}}
	if err := x.span(ctx, r, src, o); err != nil {
		return nil, err
	}
	p := &player{x, r, alertstore.NewPlay(alert.KeptOf(r), app.AlertWords)}
	var state evaluate.State
	for now = x.Start; !now.After(x.End); now = now.Add(r.RunEvery) {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		p.climb(now)
		out, err := evaluate.Evaluate(ctx, r, state, src, now)
		if err != nil {
			return nil, fmt.Errorf("the window at %s cannot be evaluated: %w", now.Format(time.RFC3339), err)
		}
		state = out.State
		if err := p.take(out, now); err != nil {
			return nil, err
		}
		x.Windows++
	}
	for _, key := range slices.Sorted(maps.Keys(state.Groups)) {
		g := state.Groups[key]
		x.Notes = append(x.Notes, fmt.Sprintf("%s of the group %q are told together at the first evaluation after %s", matches(len(g.Matches)+g.More), key, g.At.UTC().Format(time.RFC3339)))
	}
	for n := 0; n < assumeMost; {
		next := p.play.Next()
		if next.IsZero() || next.Sub(x.End) > assumeFor {
			break
		}
		list := p.play.Advance(next)
		p.told(list, next, true)
		n += max(len(list), 1)
	}
	return x, nil
}

// span decides which windows there are.
func (x *trial) span(ctx context.Context, r *rule.Rule, src source.Source, o *trying) error {
	var first, last time.Time
	q := source.Query{Index: r.Index, Field: r.Timestamp.Field, Type: r.Timestamp.Type, Format: r.Timestamp.Format, IDField: r.IDField, Start: time.Unix(0, 0).UTC(), End: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)}
	if r.UseStrftimeIndex {
		q.Index = ""
	}
	_, err := src.Search(ctx, q, func(hits []source.Hit) error {
		x.Events += len(hits)
		for _, h := range hits {
			if first.IsZero() || h.At.Before(first) {
				first = h.At
			}
			if h.At.After(last) {
				last = h.At
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if x.Events == 0 && (o.start == "" || o.end == "") {
		return usage(tasks.WithHint(nil, "timestamp_field says which field has it, and index which _index is meant; --start and --end choose windows without events", "none of the events has a time in the field %s and is of the index %q", r.Timestamp.Field, r.Index))
	}
	x.Start = evaluate.Grid(first.Add(r.QueryDelay), r.RunEvery)
	x.End = gridAfter(last.Add(r.QueryDelay+tail(r)), r.RunEvery)
	if o.start != "" {
		t, err := timeFlag("--start", o.start)
		if err != nil {
			return err
		}
		x.Start = gridAfter(t, r.RunEvery)
	}
	if o.end != "" {
		t, err := timeFlag("--end", o.end)
		if err != nil {
			return err
		}
		x.End = evaluate.Grid(t, r.RunEvery)
	}
	switch n := x.End.Sub(x.Start) / r.RunEvery; {
	case x.End.Before(x.Start):
		return usage(tasks.WithHint(nil, "evaluations are at multiples of "+short(r.RunEvery), "there is no evaluation from %s to %s", x.Start.Format(time.RFC3339), x.End.Format(time.RFC3339)))
	case n > maxWindows:
		return usage(tasks.WithHint(nil, "write --every 5m, or choose a part with --start and --end", "that would be %d windows; %d are the most", n, maxWindows))
	}
	return nil
}

// tail is how long after its last event a rule can still say something about it.
func tail(r *rule.Rule) time.Duration {
	d := r.Aggregation.For
	if r.Type == rule.Absence {
		d += r.Timeframe
	}
	if d > 0 {
		d += r.RunEvery // what is due is told at the evaluation after
	}
	return d
}

// gridAfter is the first time of a grid that is not before a time.
func gridAfter(t time.Time, every time.Duration) time.Time {
	at := evaluate.Grid(t, every)
	if at.Before(t) {
		at = at.Add(every)
	}
	return at
}

// climb tells those whose time comes between two windows.
func (p *player) climb(now time.Time) {
	for next := p.play.Next(); !next.IsZero() && next.Before(now); next = p.play.Next() {
		p.told(p.play.Advance(next), next, false)
	}
}

// take notes what a window gave.
func (p *player) take(out evaluate.Outcome, now time.Time) error {
	p.Hits, p.Late = p.Hits+out.Hits, p.Late+out.Late
	for _, n := range out.Notes {
		if !slices.Contains(p.Notes, n) {
			p.Notes = append(p.Notes, n)
		}
	}
	for _, m := range out.Matches {
		x := trialMatch{now, m}
		p.Matches, p.timeline = append(p.Matches, x), append(p.timeline, x)
	}
	found := make([]alertstore.Found, len(out.Alerts))
	for i, a := range out.Alerts {
		subject, text, severity, err := app.RenderAlert(p.rule, a)
		if err != nil {
			return err
		}
		found[i] = alertstore.Found{Key: a.Key, At: a.At, Severity: severity, Subject: subject, Text: text}
		x := trialAlert{At: now, Key: a.Key, Severity: severity, Subject: subject, Text: text, Matches: len(a.Matches) + a.More}
		p.Alerts, p.timeline = append(p.Alerts, x), append(p.timeline, x)
	}
	told := p.play.Advance(now)
	told = append(told, p.play.Evaluated(found, out.Resolved, now)...)
	for _, key := range out.Resolved {
		x := trialEnd{now, key}
		p.Resolved, p.timeline = append(p.Resolved, x), append(p.timeline, x)
	}
	p.told(told, now, false)
	return nil
}

func (p *player) told(list []alertstore.Played, now time.Time, assumed bool) {
	for _, m := range list {
		x := trialMessage{At: now, Channel: m.Channel, Event: m.Event, Key: m.Key, Subject: m.Subject, Text: m.Text, Assumed: assumed}
		p.Messages, p.timeline = append(p.Messages, x), append(p.timeline, x)
	}
}
