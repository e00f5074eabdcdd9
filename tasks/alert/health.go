package alert

import (
	"context"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/tasks/alert/evaluate"
)

// Rules says which rules are evaluated, by name, and how that goes.
func (w *Watcher) Rules(ctx context.Context, now time.Time) (wire.AlertRules, error) {
	out := wire.AlertRules{Rules: []wire.AlertRule{}}
	set, err := w.Store.Rules(ctx)
	if err != nil {
		return out, err
	}
	out.Digest, out.Environment, out.PublishedBy, out.Problems = set.Digest, set.Environment, set.By, set.Problems
	if !set.At.IsZero() {
		out.PublishedAt = &set.At
	}
	rules, err := Decode(set.Rules)
	if err != nil {
		return out, err
	}
	names := sortedKeys(rules)
	healths, err := w.Store.Healths(ctx, names)
	if err != nil {
		return out, err
	}
	silent, _, err := w.Silent(ctx, now)
	if err != nil {
		return out, err
	}
	still := map[string]bool{}
	for _, s := range silent {
		still[s.Rule] = true
	}
	for _, name := range names {
		r, h := rules[name], healths[name]
		x := wire.AlertRule{Name: name, File: r.File, Type: r.Type, Source: r.Source, RunEvery: r.RunEvery.Milliseconds(), Hits: h.Hits, Matches: h.Matches, Took: h.Took, Error: h.Error,
			Silent: still[name], Notes: h.Notes}
		if !h.At.IsZero() {
			x.EvaluatedAt = &h.At
		}
		if !h.End.IsZero() {
			x.Window = &h.End
		}
		// The window that comes next is late from the moment on at which it was due.
		if next := (&evaluate.State{Due: h.Due}).NextDue(r, now); !h.Due.IsZero() && next.Before(now) {
			x.Lag = now.Sub(next).Milliseconds()
		}
		if h.Error != nil && !h.Since.IsZero() {
			x.FailingFor = max(now.Sub(h.Since).Milliseconds(), 0)
		}
		out.Rules = append(out.Rules, x)
	}
	return out, nil
}
