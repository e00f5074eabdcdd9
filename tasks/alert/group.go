package alert

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// maxKeptMatches is how many matches an alert keeps, and shows.
const maxKeptMatches = 5

func decode(b []byte, into any) error { return document.Decode(b, into) }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// together names what rules have in common whose queries can be sent as one.
func together(r *rule.Rule) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{r.Source, r.Index, r.Query, r.Timestamp.Field, r.Timestamp.Type, r.Timestamp.Format, r.RunEvery.String(), r.QueryDelay.String(),
		fmt.Sprint(r.UseStrftimeIndex, r.SearchExtraIndex)}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// tally adds up what the rules of a step did.
type tally struct {
	mu       sync.Mutex
	counters tasks.Counters
	errs     []error
}

func (t *tally) add(hits, alerts int64) {
	t.mu.Lock()
	t.counters.Read += hits
	t.counters.Written += alerts
	t.mu.Unlock()
}

func (t *tally) failed(err error) {
	t.mu.Lock()
	t.errs = append(t.errs, err)
	t.mu.Unlock()
}

// evaluateGroup evaluates the rules of a step, each as far as it is due. That a rule cannot be evaluated is noted with the rule and does
// not fail the step: the next tick evaluates the same window. An error is of the store.
func (f *Family) evaluateGroup(ctx context.Context, a *tasks.Attempt, spec Spec) error {
	var g group
	if err := json.Unmarshal(a.Step.Body, &g); err != nil {
		return tasks.Permanent(fmt.Errorf("read the step: %w", err))
	}
	rules, err := f.rules(ctx, g.Rules)
	if err != nil || len(rules) == 0 { // all of them were removed meanwhile
		return err
	}
	names := sortedKeys(rules)
	states, err := f.o.Store.States(ctx, names)
	if err != nil {
		return err
	}
	src, err := f.o.Source(ctx, rules[names[0]].Source)
	if err != nil {
		src = source.Broken(err)
	}
	var t tally
	var wg sync.WaitGroup
	at, until := spec.at(a.Job), time.Now().Add(catchUpFor)
	for i, part := range source.Together(src, len(names)) {
		wg.Go(func() {
			defer part.Done()
			one := &evaluating{f: f, rule: rules[names[i]], state: states[names[i]], src: part, tally: &t}
			if err := one.upTo(ctx, a, at, until); err != nil {
				t.failed(fmt.Errorf("rule %s: %w", names[i], err))
			}
		})
	}
	wg.Wait()
	a.Count(t.counters)
	return errors.Join(t.errs...)
}

// evaluating is a rule that is brought up to a time.
type evaluating struct {
	f     *Family
	rule  *rule.Rule
	state alertstore.State
	src   source.Source
	tally *tally
}

// upTo evaluates one window after the other.
func (e *evaluating) upTo(ctx context.Context, a *tasks.Attempt, at, until time.Time) error {
	before, err := evaluate.Decode(e.state.Body)
	if err != nil {
		return err
	}
	for first := true; ; first = false {
		now := before.NextDue(e.rule, at)
		if now.After(at) || !first && time.Now().After(until) {
			return nil
		}
		if a.IsDraining() {
			return tasks.ErrDrained
		}
		after, err := e.window(ctx, before, now, at)
		if err != nil || after == nil {
			return err
		}
		before = *after
	}
}

// window evaluates one, and writes what it gave. It returns nil when this rule is done for now: it could not be evaluated, or somebody
// else has.
func (e *evaluating) window(ctx context.Context, before evaluate.State, now, at time.Time) (*evaluate.State, error) {
	began := time.Now()
	ectx, cancel := context.WithTimeout(ctx, e.f.o.Timeout)
	out, err := evaluate.Evaluate(ectx, e.rule, before, e.src, now)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, e.failed(ctx, err, at)
	}
	found, err := e.found(out.Alerts)
	if err != nil {
		return nil, e.failed(ctx, err, at)
	}
	body, err := json.Marshal(out.State)
	if err != nil {
		return nil, fmt.Errorf("write the state: %w", err)
	}
	old := e.state.Health
	h := alertstore.Health{At: clockOr(at), Due: out.State.Due, End: out.State.End, Took: time.Since(began).Milliseconds(), Hits: out.Hits, Late: old.Late + out.Late,
		Matches: int64(len(out.Matches)), Alerts: old.Alerts + int64(len(found)), Notes: out.Notes}
	err = e.f.o.Store.Commit(ctx, e.state.Version, alertstore.Evaluated{Rule: KeptOf(e.rule), Body: body, Health: h, Alerts: found, Resolved: out.Resolved, Now: now, Heartbeat: e.f.heartbeat(e.rule)})
	switch {
	case errors.Is(err, alertstore.ErrSuperseded):
		return nil, nil
	case err != nil:
		return nil, err
	}
	e.state.Version, e.state.Health = e.state.Version+1, h
	e.tally.add(out.Hits, int64(len(found)))
	if m := e.f.o.Metrics; m != nil {
		m.RuleEvaluated(ctx, e.rule.Name, time.Since(began), at.Sub(now), out.Hits, h.Matches, int64(len(found)))
	}
	return &out.State, nil
}

// heartbeat is how long a rule may go unevaluated.
func (f *Family) heartbeat(r *rule.Rule) time.Duration {
	if f.o.Watch == nil {
		return 0
	}
	return f.o.Watch.HeartbeatOf(r)
}

// clockOr is when something was evaluated, by a clock; a tick that plays another time goes by that.
func clockOr(at time.Time) time.Time {
	if now := time.Now().UTC(); now.Sub(at).Abs() < 24*time.Hour {
		return now
	}
	return at
}

// failed notes with a rule that it could not be evaluated.
func (e *evaluating) failed(ctx context.Context, cause error, at time.Time) error {
	h := e.state.Health
	h.Error = &wire.JobError{Message: cause.Error(), Hint: tasks.HintOf(cause)}
	if h.Since.IsZero() {
		h.Since = clockOr(at)
	}
	if m := e.f.o.Metrics; m != nil {
		m.RuleFailed(ctx, e.rule.Name)
	}
	e.f.o.Log.WarnContext(ctx, "a rule could not be evaluated; the same window will be tried again", "rule", e.rule.Name, "err", cause)
	return e.f.o.Store.Failed(ctx, e.rule.Name, e.state.Version, h)
}

// KeptOf is what an alert takes over from its rule when it is opened.
func KeptOf(r *rule.Rule) alertstore.Rule {
	return alertstore.Rule{Name: r.Name, Owner: r.Owner, Ladder: LadderOf(r), TellEnd: len(r.Escalate) > 0 || r.ResolveAfter > 0}
}

// found puts alerts into words.
func (e *evaluating) found(list []evaluate.Alert) ([]alertstore.Found, error) {
	out := make([]alertstore.Found, len(list))
	for i, a := range list {
		subject, text, severity, err := e.f.o.Render(e.rule, a)
		if err != nil {
			return nil, fmt.Errorf("put the alert into words: %w", err)
		}
		out[i] = alertstore.Found{Key: a.Key, At: a.At, Severity: severity, Subject: subject, Text: text}
		out[i].Matches = append(out[i].Matches, a.Matches[:min(len(a.Matches), maxKeptMatches)]...)
	}
	return out, nil
}
