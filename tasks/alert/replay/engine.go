package replay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/evaluate"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// Defaults of the tables of engines.
var (
	defaultBuffer   = map[string]any{"minutes": 15}
	defaultRunEvery = map[string]any{"minutes": 1}
)

// RunEngine runs a table of level engine. Each run of the table is an evaluation, each pending a look at what waits to be told. A
// restart, or another instance, is nothing: what a rule remembers does not live in a process, and is written down after each run here,
// too. The channels of a table know a message that they are sent twice.
func RunEngine(t *Table, o Options) Result {
	result := Result{Name: t.Name, Advice: t.Advice}
	e := &engine{table: t}
	err := e.play(o)
	switch {
	case t.ExpectedError != "" && err == nil:
		result.differ("error: want %s, got none", t.ExpectedError)
	case t.ExpectedError == "" && err != nil:
		result.differ("error: want none, got %v", err)
	case err == nil:
		e.compare(&result)
	}
	result.Equal = len(result.Differences) == 0
	return result
}

// Run runs a table of either level.
func Run(t *Table, o Options) Result {
	if t.Level == LevelEngine {
		return RunEngine(t, o)
	}
	return RunRuleType(t, o)
}

// engine plays a table.
type engine struct {
	table    *Table
	rule     *rule.Rule
	state    evaluate.State
	channels []*recorder
	outbox   []*message

	matches  []condition.Match
	alerts   []Notification
	runs     []Evaluation
	silences []Silence
	status   []Status
	// plain: nothing happened that a process of the original does not survive, so that everything can be compared.
	plain    bool
	restarts []time.Time
}

// message is a message to a channel that has not been settled.
type message struct {
	id      int
	to      *recorder
	matches []condition.Match
	failed  bool // it is told again when somebody looks at what is pending
}

// recorder is a channel of a table, with its switches: which of its calls fail, and before or after which the process dies.
type recorder struct {
	name                string
	fail, before, after []int
	calls               int
	knows               map[int]bool
}

// errDied is the end of the process of a table.
var errDied = errors.New("the process died")

func (e *engine) play(o Options) error {
	options, err := e.options()
	if err != nil {
		return err
	}
	if e.rule, err = o.Rule(options); err != nil {
		return err
	}
	docs, since, err := documents(e.table)
	if err != nil {
		return err
	}
	e.plain = true
	instances := map[string]bool{}
	for i, s := range e.table.Steps {
		now, err := readTime(s.Now, rule.Timestamp{})
		if err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		instances[s.Instance] = true
		if s.SourceDown || s.WritebackDown || len(instances) > 1 {
			e.plain = false
		}
		switch s.Op {
		case "restart":
			e.plain = false
			e.restarts = append(e.restarts, now)
			continue
		case "run":
			err = e.run(s, now, visible{docs, since, now, s.SourceDown})
		case "pending":
			err = e.pending(s, now)
		default:
			return fmt.Errorf("step %d: there is no step %q", i, s.Op)
		}
		if err != nil {
			return fmt.Errorf("step %d (%s): %w", i, s.Op, err)
		}
	}
	return nil
}

// options are those of the rule, with what the configuration of the table says, and without its channels.
func (e *engine) options() (map[string]any, error) {
	out := maps.Clone(e.table.Rule)
	for name, otherwise := range map[string]any{"buffer_time": defaultBuffer, "run_every": defaultRunEvery} {
		if out[name] == nil {
			if out[name] = e.table.Config[name]; out[name] == nil {
				out[name] = otherwise
			}
		}
	}
	alerters, _ := out["alert"].([]any)
	delete(out, "alert")
	for _, a := range alerters {
		entry, _ := a.(map[string]any)
		r, ok := entry["record"].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("the table has an alerter that is no record: %v", a)
		}
		c := &recorder{name: document.Text(r["record_name"]), knows: map[int]bool{}}
		c.fail, c.before, c.after = numbers(r["record_fail"]), numbers(r["record_crash_before"]), numbers(r["record_crash_after"])
		e.channels = append(e.channels, c)
	}
	if len(e.channels) == 0 {
		e.channels = []*recorder{{name: "chat", knows: map[int]bool{}}}
	}
	return out, nil
}

func numbers(v any) []int {
	list, _ := v.([]any)
	var out []int
	for _, x := range list {
		if f, ok := document.Number(x); ok {
			out = append(out, int(f))
		}
	}
	return out
}

// visible are the events that can be searched at a time.
type visible struct {
	docs []docsearch.Document
	at   map[string]time.Time // since when, by id; one that is not here always could be
	now  time.Time
	down bool
}

func (v visible) source() source.Source {
	if v.down {
		return source.Broken(errors.New("the source is down"))
	}
	return source.NewEvents(source.Events{Documents: v.docs, Now: func() time.Time { return v.now },
		Visible: func(d docsearch.Document) bool { return !v.at[d.ID].After(v.now) }})
}

// documents are the events of a table. The time from which one can be found is no part of it.
func documents(t *Table) (docs []docsearch.Document, at map[string]time.Time, err error) {
	at = map[string]time.Time{}
	for i, doc := range t.Events {
		id := document.Text(document.Value(doc, "_id"))
		doc = maps.Clone(doc)
		if v, ok := doc["_indexed_at"]; ok {
			if at[id], err = readTime(v, rule.Timestamp{}); err != nil {
				return nil, nil, fmt.Errorf("event %d: %w", i, err)
			}
		}
		delete(doc, "_indexed_at")
		delete(doc, "_id")
		docs = append(docs, docsearch.Document{Index: "logs", ID: id, Source: doc})
	}
	return docs, at, nil
}

// run evaluates, writes what that gave, and tells it.
func (e *engine) run(s Step, now time.Time, v visible) error {
	r := Evaluation{Now: s.Now, Op: s.Op, Instance: s.Instance}
	before := len(e.alerts)
	out, err := evaluate.Evaluate(context.Background(), e.rule, e.state, v.source(), now)
	switch {
	case err != nil && !v.down:
		return err
	case err != nil, s.WritebackDown: // nothing has been evaluated
	default:
		e.take(out, now)
		r.NewMatches = len(out.Matches)
		for _, w := range out.Windows {
			r.Queries = append(r.Queries, Question{w.Kind, condition.TimeText(w.Start), condition.TimeText(w.End), w.Hits})
		}
	}
	r.ProcessDied = e.tell(now, false) != nil
	r.Notifications = len(e.alerts) - before
	e.runs = append(e.runs, r)
	return nil
}

// pending tells what waits.
func (e *engine) pending(s Step, now time.Time) error {
	before := len(e.alerts)
	out, err := evaluate.Flush(e.rule, e.state, now)
	if err != nil {
		return err
	}
	e.take(out, now)
	died := e.tell(now, true) != nil
	e.runs = append(e.runs, Evaluation{Now: s.Now, Op: s.Op, Instance: s.Instance, Notifications: len(e.alerts) - before, ProcessDied: died})
	return nil
}

// take makes what an evaluation gave that of the engine: as in production, in one go.
func (e *engine) take(out evaluate.Outcome, now time.Time) {
	for _, name := range slices.Sorted(maps.Keys(out.State.Silences)) {
		if x := out.State.Silences[name]; x != e.state.Silences[name] {
			e.silences = append(e.silences, Silence{name, condition.TimeText(x.Until), x.Exponent})
		}
	}
	if n := len(out.Windows); n > 0 {
		e.status = append(e.status, Status{condition.TimeText(out.Windows[0].Start), condition.TimeText(out.Windows[n-1].End), out.Hits, len(out.Matches)})
	}
	e.state = out.State
	for _, m := range out.Matches {
		m = maps.Clone(m)
		delete(m, "num_hits")
		delete(m, "num_matches")
		e.matches = append(e.matches, m)
	}
	for _, a := range out.Alerts {
		for _, c := range e.channels {
			e.outbox = append(e.outbox, &message{id: len(e.outbox) + 1000*len(e.runs), to: c, matches: a.Matches})
		}
	}
}

// tell sends what is in the outbox, what has failed before only where it is asked to. It ends when the process dies.
func (e *engine) tell(now time.Time, again bool) error {
	for i := 0; i < len(e.outbox); {
		m := e.outbox[i]
		if m.failed && !again {
			i++
			continue
		}
		n := m.to.calls
		m.to.calls++
		if slices.Contains(m.to.before, n) {
			e.plain = false
			return errDied
		}
		ok := !slices.Contains(m.to.fail, n)
		if !m.to.knows[m.id] {
			e.alerts = append(e.alerts, Notification{At: condition.TimeText(now), Channel: m.to.name, OK: ok, Matches: m.matches})
		}
		if ok {
			m.to.knows[m.id] = true
		}
		if slices.Contains(m.to.after, n) {
			e.plain = false
			return errDied
		}
		if !ok {
			m.failed = true
			i++
			continue
		}
		e.outbox = slices.Delete(e.outbox, i, i+1)
	}
	return nil
}

// compare compares what was played with what the table says.
func (e *engine) compare(r *Result) {
	t := e.table
	wantMatches, gotMatches := t.ExpectedMatches, e.matches
	for _, run := range t.ExpectedRuns {
		e.plain = e.plain && !run.ProcessDied
	}
	if !e.plain {
		r.Notes = append(r.Notes, "a process died, restarted, or had company: an event that the original matched again in another process counts once, and what the queries of one process were is not compared")
		wantMatches = once(wantMatches)
	}
	r.Differences = append(r.Differences, CompareDocuments("matches", wantMatches, gotMatches)...)
	for i := range max(len(t.ExpectedAlerts), len(e.alerts)) {
		place := fmt.Sprintf("alerts[%d]", i)
		switch {
		case i >= len(e.alerts):
			r.differ("%s: want %s, got nothing", place, notification(t.ExpectedAlerts[i]))
			continue
		case i >= len(t.ExpectedAlerts):
			r.differ("%s: want nothing, got %s", place, notification(e.alerts[i]))
			continue
		}
		want, got := t.ExpectedAlerts[i], e.alerts[i]
		if !sameTime(want.At, got.At) || want.Channel != got.Channel || want.OK != got.OK {
			r.differ("%s: want %s, got %s", place, notification(want), notification(got))
		}
		r.Differences = append(r.Differences, CompareDocuments(place+".matches", e.comparable(want.Matches), e.comparable(got.Matches))...)
	}
	if e.plain {
		e.compareRuns(r)
	}
}

// comparable leaves out of matches how many events the queries found, where another process of the original asked for fewer.
func (e *engine) comparable(list []map[string]any) []map[string]any {
	if e.plain {
		return list
	}
	out := make([]map[string]any, len(list))
	for i, m := range list {
		out[i] = maps.Clone(m)
		delete(out[i], "num_hits")
		delete(out[i], "num_matches")
	}
	return out
}

// compareRuns compares each run: its queries, what it found, what it told; and what it wrote down.
func (e *engine) compareRuns(r *Result) {
	want := e.table.ExpectedRuns
	for i := range max(len(want), len(e.runs)) {
		if i >= len(e.runs) || i >= len(want) {
			r.differ("runs: want %d, got %d", len(want), len(e.runs))
			break
		}
		w, g := want[i], e.runs[i]
		if w.NewMatches != g.NewMatches || w.Notifications != g.Notifications {
			r.differ("runs[%d] at %s: want %d matches and %d notifications, got %d and %d", i, w.Now, w.NewMatches, w.Notifications, g.NewMatches, g.Notifications)
		}
		asked := slices.DeleteFunc(slices.Clone(w.Queries), func(q Question) bool { return q.After == "" }) // those of a baseline have no window
		if len(asked) != len(g.Queries) {
			r.differ("runs[%d] at %s: want %d queries, got %d: %v", i, w.Now, len(asked), len(g.Queries), g.Queries)
			continue
		}
		for j, q := range asked {
			if o := g.Queries[j]; q.Kind != o.Kind || !sameTime(q.After, o.After) || !sameTime(q.To, o.To) || q.Hits != o.Hits {
				r.differ("runs[%d].queries[%d]: want %v, got %v", i, j, q, o)
			}
		}
	}
	order := func(a, b Silence) int {
		return cmp.Or(cmp.Compare(a.Until, b.Until), cmp.Compare(a.RuleName, b.RuleName))
	}
	ours, theirs := slices.SortedFunc(slices.Values(e.silences), order), slices.SortedFunc(slices.Values(e.table.Silences), order)
	if !slices.EqualFunc(ours, theirs, func(a, b Silence) bool {
		return a.RuleName == b.RuleName && a.Exponent == b.Exponent && sameTime(a.Until, b.Until)
	}) {
		r.differ("silences: want %v, got %v", theirs, ours)
	}
	if !slices.EqualFunc(e.status, e.table.Status, func(a, b Status) bool {
		return a.Hits == b.Hits && a.Matches == b.Matches && sameTime(a.StartTime, b.StartTime) && sameTime(a.EndTime, b.EndTime)
	}) {
		r.differ("status: want %v, got %v", e.table.Status, e.status)
	}
}

// once leaves out what stands in a list twice.
func once(list []map[string]any) []map[string]any {
	var out []map[string]any
	for _, m := range list {
		if !slices.ContainsFunc(out, func(o map[string]any) bool { return len(Compare("", m, o)) == 0 }) {
			out = append(out, m)
		}
	}
	return out
}

func sameTime(a, b string) bool {
	x, err1 := time.Parse(time.RFC3339Nano, a)
	y, err2 := time.Parse(time.RFC3339Nano, b)
	return a == b || err1 == nil && err2 == nil && x.Equal(y)
}

func notification(n Notification) string {
	keys := make([]string, len(n.Matches))
	for i, m := range n.Matches {
		keys[i] = cmp.Or(document.Text(m["_id"]), document.Text(m["@timestamp"]))
	}
	return fmt.Sprintf("%s at %s (ok %v) of %s", n.Channel, n.At, n.OK, strings.Join(keys, ", "))
}
