// Package alert is the family that evaluates alert rules and tells people. One tick of the scheduler is one job: a stage that evaluates
// the rules which are due, and two that tell; one of those does not wait for the evaluation, so that a source that is slow to answer
// holds up nobody's ladder.
//
// A step of the evaluation is a group of rules that read the same index over the same windows, because their queries can be sent as one.
// What a rule remembers, the alerts that it opens or ends, and the messages about them are written in one call that is fenced by the
// version of the rule's state: a window takes effect once, however many workers evaluate it, and not at all when they die before.
package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/stint-run/stint/client/wire"
	"github.com/stint-run/stint/internal/alertstore"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
	"github.com/stint-run/stint/tasks/alert/tell"
)

// Kind is the word by which jobs name this family.
const Kind = "alert"

// The stages.
const (
	stageClimb    = "climb"    // moves the ladders whose time has come, and tells what is due
	stageEvaluate = "evaluate" // evaluates the rules that are due, a group a step
	stageTell     = "tell"     // tells what the evaluation found, a channel a step
)

const (
	// groupRules is how many rules one step evaluates at most.
	groupRules = 100
	// DefaultTimeout bounds the evaluation of one window.
	DefaultTimeout = 30 * time.Second
	// catchUpFor is how long a step goes on with windows that should have been evaluated before; the next tick goes on from there.
	catchUpFor = 20 * time.Second
)

// Spec is what a tick is asked for.
type Spec struct {
	// At is the time as of which everything is done; absent: that of the tick, or of the submission. A test plays a day by it.
	At *time.Time `json:"at,omitempty"`
	// Rules are the only ones that are evaluated; none: all.
	Rules []string `json:"rules,omitempty"`
}

// Options are what the family needs of its process.
type Options struct {
	Store  *alertstore.Store
	Teller *tell.Teller
	// Source opens the source of a connection's name. It belongs to the process.
	Source func(ctx context.Context, name string) (source.Source, error)
	// Render says what is told of an alert, and how bad it is.
	Render func(r *rule.Rule, a evaluate.Alert) (subject, text, severity string, err error)
	// Watch says what is the matter with the rules themselves; see Watcher.
	Watch *Watcher
	// Timeout bounds the evaluation of one window; 0 is DefaultTimeout.
	Timeout time.Duration
	Metrics Metrics // nil is none
	Log     *slog.Logger
}

// Metrics are told how evaluations go.
type Metrics interface {
	// RuleEvaluated: a window was evaluated, lag behind its time.
	RuleEvaluated(ctx context.Context, rule string, took, lag time.Duration, hits, matches, alerts int64)
	// RuleFailed: a window could not be evaluated; it will be again.
	RuleFailed(ctx context.Context, rule string)
}

// Family evaluates and tells.
type Family struct {
	o Options

	mu     sync.Mutex
	digest string // of the set that was read last
	set    map[string]*rule.Rule
}

// New makes the family. With the zero Options it can check a spec and nothing else.
func New(o Options) *Family {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Family{o: o}
}

// Kind returns the family's word.
func (*Family) Kind() string { return Kind }

// Check looks at a spec.
func (*Family) Check(spec json.RawMessage) error {
	_, err := specOf(tasks.Job{Spec: spec})
	return err
}

func specOf(job tasks.Job) (Spec, error) {
	var s Spec
	if len(job.Spec) == 0 {
		return s, nil
	}
	if err := tasks.DecodeStrictly(job.Spec, &s); err != nil {
		return s, tasks.Permanent(tasks.WithHint(err, `write {"at": "2026-03-01T00:00:00Z", "rules": ["name"]}, or {}`, "the spec of a tick of alerts cannot be read"))
	}
	return s, nil
}

// at is the time as of which a job is done.
func (s Spec) at(job tasks.Job) time.Time {
	if s.At != nil {
		return s.At.UTC()
	}
	return job.CreatedAt.UTC()
}

// Plan lists the stages.
func (*Family) Plan(_ context.Context, job tasks.Job) ([]tasks.Stage, error) {
	if _, err := specOf(job); err != nil {
		return nil, err
	}
	return []tasks.Stage{{Name: stageClimb}, {Name: stageEvaluate}, {Name: stageTell, After: []string{stageClimb, stageEvaluate}}}, nil
}

// group is the body of a step of the evaluation.
type group struct {
	Rules []string `json:"rules"`
}

// Split lists the groups that are due, and the channels that have something to be told.
func (f *Family) Split(ctx context.Context, job tasks.Job, stage tasks.Stage, after tasks.Cursor, limit int) ([]tasks.Step, tasks.Cursor, error) {
	spec, err := specOf(job)
	if err != nil {
		return nil, nil, err
	}
	switch stage.Name {
	case stageEvaluate:
		return f.splitRules(ctx, spec, spec.at(job), string(after), limit)
	case stageTell:
		channels, _, err := f.o.Store.Channels(ctx, f.clock(spec, job))
		if err != nil {
			return nil, nil, err
		}
		slices.Sort(channels)
		var steps []tasks.Step
		for _, c := range channels {
			if c <= string(after) {
				continue
			}
			if steps = append(steps, tasks.Step{ID: c}); len(steps) == limit {
				return steps, tasks.Cursor(c), nil
			}
		}
		return steps, nil, nil
	}
	return []tasks.Step{{ID: stageClimb}}, nil, nil
}

// clock is the time by which people are told: the tick's, where it was asked for one, and the present otherwise.
func (*Family) clock(spec Spec, job tasks.Job) time.Time {
	if spec.At != nil {
		return spec.at(job)
	}
	return time.Now().UTC()
}

// splitRules lists the groups with a rule that is due. A group is named by what its rules have in common; what is due changes while a
// job runs, the groups and the order of their names do not.
func (f *Family) splitRules(ctx context.Context, spec Spec, at time.Time, after string, limit int) ([]tasks.Step, tasks.Cursor, error) {
	rules, err := f.rules(ctx, spec.Rules)
	if err != nil {
		return nil, nil, err
	}
	names := make([]string, 0, len(rules))
	for name := range rules {
		names = append(names, name)
	}
	slices.Sort(names)
	healths, err := f.o.Store.Healths(ctx, names)
	if err != nil {
		return nil, nil, err
	}
	groups, before := map[string][]string{}, map[string]int{}
	for _, name := range names {
		r := rules[name]
		key := together(r)
		n := before[key] / groupRules
		before[key]++ // whether it is due or not: a page that is asked for later has the same groups
		if next := (&evaluate.State{Due: healths[name].Due}).NextDue(r, at); next.After(at) {
			continue
		}
		if n > 0 {
			key += "-" + strconv.Itoa(n)
		}
		groups[key] = append(groups[key], name)
	}
	var steps []tasks.Step
	for _, key := range sortedKeys(groups) {
		if key <= after {
			continue
		}
		body, err := json.Marshal(group{groups[key]})
		if err != nil {
			return nil, nil, fmt.Errorf("encode a step: %w", err)
		}
		if steps = append(steps, tasks.Step{ID: key, Body: body}); len(steps) == limit {
			return steps, tasks.Cursor(key), nil
		}
	}
	return steps, nil, nil
}

// rules reads the set of rules, or some of it. A set that has not changed is not read again. The rules are everybody's, and not changed.
func (f *Family) rules(ctx context.Context, only []string) (map[string]*rule.Rule, error) {
	digest, err := f.o.Store.Digest(ctx)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if digest == "" || digest != f.digest {
		set, err := f.o.Store.Rules(ctx)
		if err != nil {
			return nil, err
		}
		if f.set, err = Decode(set.Rules); err != nil {
			return nil, err
		}
		f.digest = set.Digest
	}
	if len(only) == 0 {
		return f.set, nil
	}
	some := make(map[string]*rule.Rule, len(only))
	for _, name := range only {
		if r := f.set[name]; r != nil {
			some[name] = r
		}
	}
	return some, nil
}

// Decode reads rules as they were published.
func Decode(texts map[string]json.RawMessage) (map[string]*rule.Rule, error) {
	out := make(map[string]*rule.Rule, len(texts))
	for name, text := range texts {
		r := &rule.Rule{}
		if err := decode(text, r); err != nil {
			return nil, fmt.Errorf("read rule %s: %w", name, err)
		}
		out[name] = r
	}
	return out, nil
}

// Run carries out a step.
func (f *Family) Run(ctx context.Context, a *tasks.Attempt) error {
	spec, err := specOf(a.Job)
	if err != nil {
		return err
	}
	ctx, stop := a.UntilDraining(ctx) // what is written is written in one call: any of it may be cut off
	defer stop()
	switch a.Stage.Name {
	case stageEvaluate:
		err = f.evaluateGroup(ctx, a, spec)
	case stageTell:
		var n int
		n, err = f.o.Teller.Channel(ctx, a.Step.ID, f.clock(spec, a.Job))
		a.Count(tasks.Counters{Written: int64(n)})
	default:
		err = f.climb(ctx, a, f.clock(spec, a.Job))
	}
	if err != nil && a.IsDraining() && !tasks.IsPermanent(err) {
		return tasks.ErrDrained
	}
	return err
}

// climb moves what is due, looks at the rules themselves, and tells.
func (f *Family) climb(ctx context.Context, a *tasks.Attempt, now time.Time) error {
	const page = 100
	for {
		n, err := f.o.Store.Advance(ctx, now, page)
		if err != nil {
			return err
		}
		if n < page {
			break
		}
	}
	if f.o.Watch != nil {
		if err := f.o.Watch.Look(ctx, now); err != nil {
			return err
		}
	}
	if err := f.o.Store.Trim(ctx, now); err != nil {
		return err
	}
	n, err := f.o.Teller.All(ctx, now)
	a.Count(tasks.Counters{Written: int64(n)})
	return err
}

// LadderOf is who is told of a rule's alerts: the list of its alerters, each time that its alert comes, and then the rungs of its ladder.
func LadderOf(r *rule.Rule) []wire.AlertLevel {
	var out []wire.AlertLevel
	var each []string
	for i, x := range r.Alert {
		each = append(each, ChannelOf(r.Name, i, x))
	}
	if len(each) > 0 {
		out = append(out, wire.AlertLevel{To: each, Each: len(r.Escalate) == 0})
	}
	for _, l := range r.Escalate {
		out = append(out, wire.AlertLevel{After: l.After.Milliseconds(), To: l.To, Until: l.Until, Repeat: l.Repeat.Milliseconds(), Repeats: l.Repeats})
	}
	return out
}

// ChannelOf names the channel of an entry of a rule's alert list: one of the configuration, or one that the rule itself describes.
func ChannelOf(name string, i int, x rule.Alerter) string {
	if x.Channel != "" {
		return x.Channel
	}
	return "rule:" + strconv.Itoa(i) + ":" + name
}
