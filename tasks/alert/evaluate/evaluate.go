package evaluate

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/stint-run/stint/internal/docsearch"
	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/internal/elastic"
	"github.com/stint-run/stint/tasks"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
	"github.com/stint-run/stint/tasks/alert/source"
)

// maxTerms is how many keys a rule may have that asks for the number of events of each; more are an error, for a key that is left out
// looks as if it had no events.
const maxTerms = 50_000

// evaluation is one evaluation under way.
type evaluation struct {
	ctx   context.Context
	rule  *rule.Rule
	src   source.Source
	now   time.Time
	state *State
	out   *Outcome
}

// Evaluate evaluates a rule as of a time of its grid. The state is not changed; what it becomes is in the outcome. On an error nothing
// has been evaluated, and the state is to be kept: the next evaluation begins where the last one ended. An error that is marked by
// tasks.Permanent will come again until the rule is mended.
func Evaluate(ctx context.Context, r *rule.Rule, before State, src source.Source, now time.Time) (Outcome, error) {
	state, err := before.clone()
	if err != nil {
		return Outcome{}, err
	}
	e := &evaluation{ctx: ctx, rule: r, src: src, now: now, state: &state, out: &Outcome{}}
	if err := e.run(); err != nil {
		return Outcome{}, err
	}
	e.flushDue()
	e.state.Due = now
	e.out.Resolved = append(e.out.Resolved, e.state.bound(now, r.ExponentialRealert)...)
	e.out.State = state
	return *e.out, nil
}

// Flush makes alerts of what waits to be told together and whose time has come, without evaluating anything.
func Flush(r *rule.Rule, before State, now time.Time) (Outcome, error) {
	state, err := before.clone()
	if err != nil {
		return Outcome{}, err
	}
	e := &evaluation{rule: r, now: now, state: &state, out: &Outcome{}}
	e.flushDue()
	e.out.State = state
	return *e.out, nil
}

// clone copies a state through the form in which it is written, so that a rule sees the same values on its second evaluation by one
// process as by another.
func (s State) clone() (State, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return State{}, fmt.Errorf("write the state of a rule: %w", err)
	}
	return Decode(b)
}

// Decode reads a state.
func Decode(b []byte) (State, error) {
	var s State
	if len(b) == 0 {
		return s, nil
	}
	if err := document.Decode(b, &s); err != nil {
		return State{}, fmt.Errorf("read the state of a rule: %w", err)
	}
	return s, nil
}

func (e *evaluation) run() error {
	r := e.rule
	end := e.now.Add(-r.QueryDelay)
	if skip, err := e.limited(end); err != nil || skip {
		return err
	}
	c, err := e.condition()
	if err != nil {
		return err
	}
	start := e.state.start(r, end)
	if err := e.baseline(c, start); err != nil {
		return err
	}
	windows := spans(r, start, end)
	if len(windows) == 0 {
		return nil // a metric's window that is not complete
	}
	for _, w := range windows {
		if err := e.window(c, w); err != nil {
			return err
		}
		if err := c.Collect(w.end); err != nil {
			return err
		}
	}
	e.state.End = windows[len(windows)-1].end
	e.out.Matches = c.Matches()
	if n := forgotten(c); n > 0 {
		e.out.Notes = append(e.out.Notes, fmt.Sprintf("%d keys were forgotten: the rule has more than it can remember", n))
	}
	if err := e.tell(e.out.Matches); err != nil {
		return err
	}
	e.resolve(c)
	if e.state.Memory, err = c.Save(); err != nil {
		return fmt.Errorf("write the memory of the rule: %w", err)
	}
	e.state.Seen.forget(e.now.Add(-reach(r) - r.QueryDelay))
	if from := e.state.Seen.From; !from.IsZero() {
		e.out.Notes = append(e.out.Notes, fmt.Sprintf("there are more than %d events within buffer_time: those that come late are found back to %s only", MaxSeen, from.Format(time.RFC3339)))
	}
	return nil
}

// forgotten returns how many keys a condition has let go of because there were too many.
func forgotten(c condition.Condition) int {
	if f, ok := c.(interface{ Forgotten() int }); ok {
		return f.Forgotten()
	}
	return 0
}

// limited reports whether the rule is not to be evaluated at this time of the day.
func (e *evaluation) limited(end time.Time) (bool, error) {
	if e.rule.LimitExecution == "" {
		return false, nil
	}
	limit, err := rule.ParseCron(e.rule.LimitExecution)
	if err != nil {
		return false, tasks.Permanent(tasks.WithHint(err, "limit_execution is a cron expression of five fields", "the rule's limit_execution cannot be read"))
	}
	minute := e.now.Truncate(time.Minute)
	if limit.Next(minute.Add(-time.Millisecond)).Equal(minute) {
		return false, nil
	}
	if e.rule.LimitCoverage {
		e.state.End, e.state.MinStart = end, end
	}
	return true, nil
}

// condition makes the rule's type, with what it remembers.
func (e *evaluation) condition() (condition.Condition, error) {
	c, err := condition.New(e.rule, condition.Options{Matches: docsearch.Match})
	if err != nil {
		return nil, tasks.Permanent(err)
	}
	made := digest(e.rule)
	if e.state.Made != made {
		if e.state.Made != "" {
			e.out.Notes = append(e.out.Notes, "the rule has changed: what it remembered of events is forgotten, and it goes on from where it was")
		}
		e.state.Made, e.state.Memory = made, nil
	}
	if err := c.Restore(e.state.Memory); err != nil {
		return nil, fmt.Errorf("read the memory of the rule: %w", err)
	}
	return c, nil
}

// baseline asks for what new_term has to know before its first window: the terms up to where that begins.
func (e *evaluation) baseline(c condition.Condition, start time.Time) error {
	b, ok := c.(condition.Baseline)
	if !ok || !b.NeedsBaseline() {
		return nil
	}
	from := start.Add(-e.rule.TermsWindow)
	fields := e.rule.Fields
	if len(fields) == 0 {
		fields = []rule.Field{e.rule.QueryKey}
	}
	for i, field := range fields {
		for at := from; at.Before(start); {
			end := start
			if step := e.rule.WindowStep; step > 0 && at.Add(step).Before(start) {
				end = at.Add(step)
			}
			values, err := e.terms(span{at, end}, field)
			if err != nil {
				return fmt.Errorf("look for known terms: %w", err)
			}
			b.AddBaseline(i, values)
			at = end
		}
	}
	return nil
}

// terms returns the values of a field, or of several together, each a list of theirs.
func (e *evaluation) terms(w span, field rule.Field) ([]any, error) {
	names := slices.Clone(field)
	if e.rule.KeywordPostfix {
		for i, name := range names {
			if !strings.HasSuffix(name, document.Keyword) {
				names[i] = name + document.Keyword
			}
		}
	}
	if len(names) == 1 {
		list, err := e.src.Terms(e.ctx, e.query(w), names[0], 1, maxTerms)
		values := make([]any, len(list))
		for i, b := range list {
			values[i] = b.Key
		}
		return values, err
	}
	aggs := map[string]any{}
	for i, name := range slices.Backward(names) {
		inner := map[string]any{"terms": map[string]any{"field": name, "size": maxTerms}}
		if i < len(names)-1 {
			inner["aggs"] = aggs
		}
		aggs = map[string]any{"values": inner}
	}
	answer, _, err := e.src.Aggregate(e.ctx, e.query(w), aggs)
	if err != nil {
		return nil, err
	}
	var values []any
	collect(answer, nil, len(names), &values)
	return values, nil
}

// collect walks through nested buckets.
func collect(answer map[string]any, above []any, depth int, values *[]any) {
	inner, _ := answer["values"].(map[string]any)
	buckets, _ := inner["buckets"].([]any)
	for _, b := range buckets {
		b, ok := b.(map[string]any)
		if !ok {
			continue
		}
		key := b["key"]
		switch b["key_as_string"] { // true is the key 1 of a bucket
		case "true":
			key = true
		case "false":
			key = false
		}
		here := append(slices.Clone(above), key)
		if depth == 1 {
			*values = append(*values, here)
			continue
		}
		collect(b, here, depth-1, values)
	}
}

func (e *evaluation) query(w span) source.Query {
	r := e.rule
	q := source.Query{Index: r.Index, Text: r.Query, Filter: listed(r), Field: r.Timestamp.Field, Type: r.Timestamp.Type, Format: r.Timestamp.Format, IDField: r.IDField,
		Start: w.start, End: w.end, Include: r.Include, PageSize: r.MaxQuerySize, Step: source.StepFor(r.RunEvery)}
	if r.UseStrftimeIndex {
		q.Index = elastic.Indices(r.Index, w.start, w.end, r.SearchExtraIndex)
	}
	return q
}

// listed are the filters of a rule, with its list among them where the source is to compare: then it sends less. What it sends is
// compared again.
func listed(r *rule.Rule) []map[string]any {
	if !r.FilterByList || len(r.CompareKey) != 1 || r.Type != rule.Blacklist && r.Type != rule.Whitelist {
		return r.Filter
	}
	parts := make([]string, 0, len(r.List))
	for _, v := range r.List {
		text, ok := v.(string)
		if !ok {
			return r.Filter // a number may be one in one event and a text in another
		}
		if !strings.HasPrefix(text, "/") || !strings.HasSuffix(text, "/") { // else it is a regular expression
			text = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
		}
		parts = append(parts, r.CompareKey[0]+":"+text)
	}
	if len(parts) == 0 {
		return r.Filter
	}
	query := strings.Join(parts, " OR ")
	if r.Type == rule.Whitelist {
		query = "NOT " + strings.Join(parts, " AND NOT ")
	}
	return append(slices.Clone(r.Filter), map[string]any{"query_string": map[string]any{"query": query}})
}

// window asks for what the rule's type wants of a window.
func (e *evaluation) window(c condition.Condition, w span) error {
	r := e.rule
	switch {
	case r.UseCountQuery:
		n, err := e.src.Count(e.ctx, e.query(w))
		if err != nil {
			return err
		}
		e.note("count", w, n)
		return c.AddCount(w.end, n)
	case r.UseTermsQuery:
		list, err := e.src.Terms(e.ctx, e.query(w), r.Key(), max(r.MinDocCount, 1), maxTerms)
		if err != nil {
			return err
		}
		e.note("terms", w, int64(len(list)))
		return c.AddTerms(w.end, list)
	case r.Aggregates():
		answer, n, err := e.src.Aggregate(e.ctx, e.query(w), aggregations(r, w.start))
		if err != nil {
			return err
		}
		e.note("agg", w, n)
		return c.AddAggregation(w.end, answer)
	}
	return e.search(c, w)
}

func (e *evaluation) note(kind string, w span, hits int64) {
	e.out.Hits += hits
	e.out.Windows = append(e.out.Windows, Window{kind, w.start, w.end, hits})
}

// search asks for the events of a window, and gives those to the type that are new. What has been read before is only counted, unless
// there is more of it than there was.
func (e *evaluation) search(c condition.Condition, w span) error {
	known := e.state.End
	if known.Before(w.start) {
		known = w.start
	}
	if known.After(w.end) { // the whole of it has been read before
		known = w.end
	}
	from := w.start
	if e.state.Seen.From.After(from) {
		from = e.state.Seen.From
	}
	var hits []source.Hit
	page := func(list []source.Hit) error {
		hits = append(hits, list...)
		return nil
	}
	q := e.query(w)
	q.Known = known
	found, err := e.src.Search(e.ctx, q, page)
	if err != nil {
		return err
	}
	if found.Known > 0 && from.Before(known) && found.Known != e.state.Seen.within(w.start, known) {
		hits = nil
		q.Known = time.Time{}
		q.Start = from
		if found, err = e.src.Search(e.ctx, q, page); err != nil {
			return err
		}
	}
	e.note("search", w, found.Known+found.New)
	hits = e.unseen(hits, known)
	if len(hits) == 0 {
		return nil
	}
	condition.Prepare(e.rule, hits)
	return c.AddData(hits)
}

// unseen leaves out the events that have been seen, and remembers the others.
func (e *evaluation) unseen(hits []source.Hit, known time.Time) []source.Hit {
	seen := e.state.Seen.set()
	fresh := hits[:0]
	for _, h := range hits {
		id := idOf(h)
		if seen[id] {
			continue
		}
		if h.ID != "" {
			seen[id] = true
			e.state.Seen.add(id, h.At)
		}
		if !h.At.After(known) && !e.state.Due.IsZero() {
			e.out.Late++
		}
		fresh = append(fresh, h)
	}
	return slices.Clip(fresh)
}

func idOf(h source.Hit) uint64 { return xxhash.Sum64String(h.Index + "\x00" + h.ID) }

// hashOf names a value by its JSON.
func hashOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // of options that were read from a file; a type that cannot be written is none of them
		panic(fmt.Sprintf("evaluate: %v", err))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
