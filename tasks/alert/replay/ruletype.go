package replay

import (
	"fmt"
	"strings"
	"time"

	"github.com/stint-run/stint/internal/document"
	"github.com/stint-run/stint/tasks/alert/condition"
	"github.com/stint-run/stint/tasks/alert/rule"
)

// Options are what the running of tables has to be given.
type Options struct {
	// Rule makes a rule of what a table says of it, as if that stood in a file, or refuses it.
	Rule func(options map[string]any) (*rule.Rule, error)
	// Condition are the options of the rule's type.
	Condition condition.Options
	// Restart makes a new condition before each step, which goes on from what the one before has written down.
	Restart bool
}

// RunRuleType runs a table of level ruletype.
func RunRuleType(t *Table, o Options) Result {
	result := Result{Name: t.Name, Advice: t.Advice}
	matches, counts, err := runRuleType(t, o)
	compareRuleType(t, &result, matches, counts, err)
	result.Equal = len(result.Differences) == 0
	return result
}

// refused is the error of a rule that is not taken at all.
type refused struct{ error }

func runRuleType(t *Table, o Options) (matches []condition.Match, counts []int, err error) {
	r, err := o.Rule(t.Rule)
	if err != nil {
		return nil, nil, refused{err}
	}
	c, err := condition.New(r, o.Condition)
	if err != nil {
		return nil, nil, refused{err}
	}
	if err := baseline(t, r, c); err != nil {
		return nil, nil, err
	}
	for i, s := range t.Steps {
		if o.Restart {
			memory, err := c.Save()
			if err != nil {
				return matches, counts, fmt.Errorf("before step %d: %w", i, err)
			}
			if c, err = condition.New(r, o.Condition); err != nil {
				return matches, counts, err
			}
			if err := c.Restore(memory); err != nil {
				return matches, counts, fmt.Errorf("before step %d: %w", i, err)
			}
		}
		if err := step(t, r, c, s); err != nil {
			return matches, counts, fmt.Errorf("step %d (%s): %w", i, s.Op, err)
		}
		found := c.Matches()
		matches, counts = append(matches, found...), append(counts, len(found))
	}
	return matches, counts, nil
}

// step does what a line of a table says.
func step(t *Table, r *rule.Rule, c condition.Condition, s Step) error {
	if s.Op == "add_data" {
		docs := make([]map[string]any, len(s.Events))
		for i, n := range s.Events {
			docs[i] = t.Events[n]
		}
		events, err := hits(docs, r.Timestamp)
		if err != nil {
			return err
		}
		condition.Prepare(r, events)
		return c.AddData(events)
	}
	at, err := readTime(s.At, rule.Timestamp{})
	if err != nil {
		return err
	}
	switch s.Op {
	case "garbage_collect":
		return c.Collect(at)
	case "add_count_data":
		return c.AddCount(at, s.Count)
	case "add_terms_data":
		return c.AddTerms(at, s.Buckets)
	case "add_aggregation_data":
		return c.AddAggregation(at, s.Payload)
	}
	return fmt.Errorf("there is no step %q", s.Op)
}

// baseline gives new_term what its history holds of the window before now.
func baseline(t *Table, r *rule.Rule, c condition.Condition) error {
	b, ok := c.(condition.Baseline)
	if !ok || t.Now == "" {
		return nil
	}
	now, err := readTime(t.Now, rule.Timestamp{})
	if err != nil {
		return err
	}
	window := r.TermsWindow
	if window == 0 {
		window = 30 * 24 * time.Hour
	}
	events, err := hits(t.History, r.Timestamp)
	if err != nil {
		return fmt.Errorf("history: %w", err)
	}
	fields := r.Fields
	if len(fields) == 0 {
		fields = []rule.Field{rule.Field(r.QueryKey)}
	}
	for i, field := range fields {
		var known []any
		for _, e := range events {
			if e.At.Before(now.Add(-window)) || !e.At.Before(now) {
				continue
			}
			known = append(known, terms(e.Doc, field)...)
		}
		b.AddBaseline(i, known)
	}
	return nil
}

// terms returns the values of a field that a document has, or the one of several fields together.
func terms(doc map[string]any, field rule.Field) []any {
	if len(field) == 1 {
		switch v := document.Value(doc, field[0]).(type) {
		case nil:
			return nil
		case []any:
			return v
		default:
			return []any{v}
		}
	}
	values := make([]any, len(field))
	for i, name := range field {
		if values[i] = document.Value(doc, name); values[i] == nil {
			return nil
		}
	}
	return []any{values}
}

// compareRuleType says how what came differs from what a table wants.
func compareRuleType(t *Table, result *Result, matches []condition.Match, counts []int, err error) {
	want := t.ExpectedMatches
	perStep := t.MatchesPerStep
	_, wasRefused := err.(refused)
	switch {
	case t.ExpectedError == "" && err != nil:
		result.differ("error: want none, got %v", err)
		return
	case t.ExpectedError != "" && strings.HasPrefix(t.ExpectedError, "EAException"):
		if err == nil {
			result.differ("error: want the rule to be refused (%s), got none", t.ExpectedError)
		}
		return
	case t.ExpectedError != "" && wasRefused:
		return
	case t.ExpectedError != "":
		// There is nothing to be equal to from where the original broke down.
		result.Notes = append(result.Notes, fmt.Sprintf("the original breaks down (%s); compared is what it found before", t.ExpectedError))
		matches = matches[:min(len(matches), len(want))]
		counts, perStep = nil, nil
	}
	for i := range max(len(perStep), len(counts)) {
		switch {
		case i >= len(counts):
			result.differ("step %d: want %d matches, got no such step", i, perStep[i])
		case i >= len(perStep):
			result.differ("step %d: want no such step, got %d matches", i, counts[i])
		case perStep[i] != counts[i]:
			result.differ("step %d (%s): want %d matches, got %d", i, t.Steps[i].Op, perStep[i], counts[i])
		}
	}
	result.Differences = append(result.Differences, CompareDocuments("matches", want, matches)...)
}
